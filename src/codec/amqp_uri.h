/* SPDX-License-Identifier: MIT */
/*
 * Where a broker is and who comes, in one line:
 *
 *     amqp[s]://user:password@host:port/vhost?heartbeat=10&connection_timeout=5000
 *
 * By RabbitMQ's "URI specification" and "URI query parameters", with percent-encoding in each part.
 */
#ifndef VOXBUS_CODEC_AMQP_URI_H
#define VOXBUS_CODEC_AMQP_URI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"

enum { AMQP_URI_PART_MAX = 255 };

struct amqp_uri {
	bool tls;                          /* amqps */
	bool external;                     /* auth_mechanism=external */
	uint16_t port;                     /* 5672, or 5671 for amqps */
	char host[AMQP_URI_PART_MAX + 1];  /* a name or an address, without brackets; "localhost" */
	char user[AMQP_URI_PART_MAX + 1];  /* "guest" */
	char vhost[AMQP_URI_PART_MAX + 1]; /* "/" */
	struct secret password;            /* "guest" */
	int heartbeat_s;                   /* 0 to 65535; -1: not said */
	int channel_max;                   /* 0 to 65535; -1: not said */
	int64_t connection_timeout_ms;     /* 1 to 600000; -1: not said */
};

/*
 * 0, or -EINVAL with a sentence, or -ENOMEM; *ret is then empty. What is not said gets the defaults
 * above. The sentence holds nothing that could be a part of the password, even where a character of
 * it that had to be encoded was not.
 */
int amqp_uri_parse(struct str uri, struct amqp_uri *ret, struct err *e);
void amqp_uri_fini(struct amqp_uri *uri);

#endif
