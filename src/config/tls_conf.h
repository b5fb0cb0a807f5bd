/* SPDX-License-Identifier: MIT */
/* The two `tls` tables: of what listens, and of what dials (engines, buses). */
#ifndef VOXBUS_CONFIG_TLS_CONF_H
#define VOXBUS_CONFIG_TLS_CONF_H

#include "config/schema.h"

/* Paths of PEM files. */
struct tls_server_conf {
	char *certificate; /* NULL: there is no TLS */
	char *key;         /* NULL only where certificate is */
	char *client_ca;
};

struct tls_client_conf {
	char *ca; /* NULL: the system's store */
	bool verify;
	char *certificate, *key; /* both or neither */
	char *server_name;
};

extern const struct conf_table tls_server_table, tls_client_table;

/* Whether anything in it was given that only TLS reads. */
bool tls_client_conf_is_set(const struct tls_client_conf *conf);

#endif
