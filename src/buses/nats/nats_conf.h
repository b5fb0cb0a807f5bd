/* SPDX-License-Identifier: MIT */
/* The keys of `buses: [{type: nats, ...}]`; their meaning is in voxbus.yaml(5). */
#ifndef VOXBUS_BUSES_NATS_NATS_CONF_H
#define VOXBUS_BUSES_NATS_NATS_CONF_H

#include "config/tls_conf.h"

enum nats_storage { NATS_STORAGE_FILE, NATS_STORAGE_MEMORY };

struct nats_stream_conf {
	char *stream; /* NULL: core NATS */
	char *prefix; /* the first part of all subjects */
	int storage;  /* enum nats_storage; this and what follows: of a stream that we make */
	uint64_t max_age_ms, max_bytes, replicas;
};

struct nats_conf {
	char *name;
	char *url; /* nats:// or tls://; may hold a user and a password, or a token: not for logs */
	struct conf_strings failover; /* the same without any */
	char *queue;                  /* NULL: each daemon hears every command */
	struct secret token;
	char *credentials; /* a file: JWT and seed */
	char *nkey;        /* a file: seed */
	struct tls_client_conf tls;
	uint64_t connect_timeout_ms;
	uint64_t ping_ms, stale_ms, dead_ms; /* ping < stale < dead */
	uint64_t hold_ms;
	struct nats_stream_conf jetstream;
};

extern const struct conf_table nats_conf;

/* A server's URL in parts, which lie in it. */
struct nats_url {
	bool tls;
	struct str host_port;      /* as it stands there; never empty */
	struct str user, password; /* percent-encoded; a token is a user without a password */
	bool has_password;
};

/* 0, or -EINVAL: no URL of a NATS server. */
int nats_url_parse(struct str url, struct nats_url *ret);
bool nats_url_has_port(struct str host_port);

#endif
