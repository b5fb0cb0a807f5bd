/* SPDX-License-Identifier: MIT */
/* The keys of `buses: [{type: amqp, ...}]`; their meaning is in voxbus.yaml(5). */
#ifndef VOXBUS_BUSES_AMQP_AMQP_CONF_H
#define VOXBUS_BUSES_AMQP_AMQP_CONF_H

#include "config/tls_conf.h"

struct amqp_conf {
	char *name;
	char *url;                    /* amqp:// or amqps:// */
	struct conf_strings failover; /* more of them */
	struct tls_client_conf tls;   /* of those that are amqps */
	uint64_t heartbeat_ms;
	uint64_t connect_timeout_ms; /* from the dial until the channels are open */
	uint64_t prefetch;           /* commands of one call that are not acknowledged */
	bool persistent;             /* delivery-mode 2 */
	/* Of a call that is over: first look, second look, the end. Ascending. */
	uint64_t queue_grace_ms, queue_sweep_ms, queue_age_max_ms;
};

extern const struct conf_table amqp_conf;

struct log;
struct loop;
struct tls_context;

/* Whether one of its urls is amqps. */
bool amqp_conf_is_tls(const struct amqp_conf *conf);
/* The context for those, as tls_client_create. */
int amqp_conf_tls(struct loop *loop, const struct log *log, const struct amqp_conf *conf,
		  struct tls_context **ret, struct err *e);

#endif
