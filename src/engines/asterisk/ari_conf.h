/* SPDX-License-Identifier: MIT */
/* The keys of `engines: [{type: asterisk, ...}]`; their meaning is in voxbus.yaml(5). */
#ifndef VOXBUS_ENGINES_ASTERISK_ARI_CONF_H
#define VOXBUS_ENGINES_ASTERISK_ARI_CONF_H

#include "config/tls_conf.h"

enum ari_websocket { ARI_WEBSOCKET_CLIENT, ARI_WEBSOCKET_SERVER };
enum ari_rest_way { ARI_REST_HTTP, ARI_REST_WEBSOCKET };
enum ari_on_replaced { ARI_STAND_DOWN, ARI_RECLAIM };

struct ari_conf {
	char *name;
	char *url; /* http://host[:port][/path], or https:// */
	struct tls_client_conf tls;
	char *username; /* NULL only where HTTP is not used at all */
	struct secret password;
	struct conf_strings applications; /* none: all of them */
	int websocket;                    /* enum ari_websocket */
	char *server_username;            /* with ARI_WEBSOCKET_SERVER never NULL */
	struct secret server_password;    /* the same */
	int rest;                         /* enum ari_rest_way */
	uint64_t connections;
	uint64_t ping_ms, stale_ms, dead_ms; /* ping < stale < dead */
	uint64_t timeout_ms;
	int on_replaced; /* enum ari_on_replaced */
};

extern const struct conf_table asterisk_conf;

struct log;
struct loop;
struct tls_context;

/* Whether its url is an https one. */
bool ari_conf_is_tls(const struct ari_conf *conf);
/* The context for that url, as tls_client_create. */
int ari_conf_tls(struct loop *loop, const struct log *log, const struct ari_conf *conf,
		 struct tls_context **ret, struct err *e);

#endif
