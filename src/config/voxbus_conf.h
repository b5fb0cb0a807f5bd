/* SPDX-License-Identifier: MIT */
/*
 * The top level of voxbus.yaml.
 *
 * Engines and buses are variant lists: their types and tables are the caller's (`variants`, lists
 * "engines" and "buses"), so that this file knows no adapter. The manual is voxbus.yaml(5).
 */
#ifndef VOXBUS_CONFIG_VOXBUS_CONF_H
#define VOXBUS_CONFIG_VOXBUS_CONF_H

#include "config/application_conf.h"
#include "config/config.h"
#include "config/tls_conf.h"

struct log_conf {
	int level;  /* enum log_level */
	int format; /* enum log_format */
};

struct http_conf {
	/* "host:port", "unix:/path", or "http://..." and "https://..."; empty: no HTTP */
	struct conf_strings listen;
	struct tls_server_conf tls;
	char *public_url; /* NULL: not known */
	struct conf_strings trusted_proxies;
	uint64_t connections, connections_per_address;
};

struct admin_conf {
	char *listen;     /* never NULL: "unix:<data_dir>/admin.sock" by default; as http's */
	char *token_file; /* never NULL when listen is TCP */
	struct tls_server_conf tls;
};

struct account_conf {
	char *sid;
	struct secret token;
};

struct journal_conf {
	uint64_t segment, quota, inflight; /* bytes */
	uint64_t retention_ms;
};

struct dialogs_conf {
	uint64_t linger_ms, max;
};

struct commands_conf {
	uint64_t deadline_ms, max;
};

struct voxbus_conf {
	char *node;     /* never NULL */
	char *data_dir; /* never NULL */
	struct log_conf log;
	struct http_conf http;
	struct admin_conf admin;
	struct conf_items accounts; /* struct account_conf; none: main makes one */
	struct conf_variants engines, buses;
	struct conf_items applications; /* struct application_conf */
	struct journal_conf journal;
	struct dialogs_conf dialogs;
	struct commands_conf commands;
};

/* The configuration that serves when there is no file; its values come from the environment. */
extern const char voxbus_conf_defaults[];

/*
 * As conf_parse, then what depends on this machine: node (host name), data_dir
 * ($XDG_STATE_HOME/voxbus, else $HOME/.local/state/voxbus), admin.listen (in data_dir), and the
 * bus of each application that names none (the only one). Nothing is created or opened.
 */
int voxbus_conf_parse(const struct conf_variant *variants, struct str text, const char *filename,
		      struct voxbus_conf **ret, struct err *e);
/* From a file; filename NULL: the embedded defaults. */
int voxbus_conf_load(const struct conf_variant *variants, const char *filename,
		     struct voxbus_conf **ret, struct err *e);
struct voxbus_conf *voxbus_conf_destroy(struct voxbus_conf *conf);
/* As conf_print and conf_doc. */
int voxbus_conf_print(const struct voxbus_conf *conf, FILE *out);
int voxbus_conf_doc(const struct conf_variant *variants, FILE *out);
/*
 * One entry of a `listen`: whether it speaks TLS, and the address behind its scheme. An entry
 * without a scheme speaks TLS where there is a certificate (a Unix socket never does).
 */
bool voxbus_conf_listen(const char *entry, const struct tls_server_conf *tls,
			struct str *ret_address);
/*
 * The bus of an application: as it is listed, else the only bus; NULL when there are several and
 * it is not listed. Borrowed from conf.
 */
const char *voxbus_conf_bus(const struct voxbus_conf *conf, struct str application);

#endif
