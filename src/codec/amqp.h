/* SPDX-License-Identifier: MIT */
/*
 * AMQP 0-9-1 as a client speaks it: what all of its parts share.
 *
 *     bytes -> amqp_frame -> amqp_assembly -> methods and whole messages
 *     methods, messages -> struct buf -> bytes
 *
 * Names, ids and reply codes are those of the AMQP 0-9-1 specification; what RabbitMQ adds to it
 * (confirm.select, basic.nack, connection.blocked, exchange.bind, connection.update-secret) is in.
 * Only base/ is needed, so that a plug-in of another program can be built from these files.
 */
#ifndef VOXBUS_CODEC_AMQP_H
#define VOXBUS_CODEC_AMQP_H

#include <stdint.h>

#include "base/str.h"

enum {
	AMQP_FRAME_MIN = 4096,   /* the least frame_max, and the one that holds before tune */
	AMQP_FRAME_MAX = 131072, /* what RabbitMQ proposes; we take no larger frame */
	AMQP_FRAME_OVERHEAD = 8, /* type, channel, size and the end octet */
	AMQP_SHORT_MAX = 255,    /* bytes in a short string: names, keys, tags */
	AMQP_DEPTH_MAX = 8,      /* tables in tables; x-death needs 3 */
};

/* The first bytes that a client sends. */
#define AMQP_PROTOCOL_HEADER STR("AMQP\0\0\x09\x01")

/* Specification section 1.8. Codes of 500 and more, 320 and 402 end the connection. */
enum amqp_code {
	AMQP_REPLY_SUCCESS = 200,
	AMQP_CONTENT_TOO_LARGE = 311,
	AMQP_NO_ROUTE = 312,
	AMQP_NO_CONSUMERS = 313,
	AMQP_CONNECTION_FORCED = 320,
	AMQP_INVALID_PATH = 402,
	AMQP_ACCESS_REFUSED = 403,
	AMQP_NOT_FOUND = 404,
	AMQP_RESOURCE_LOCKED = 405,
	AMQP_PRECONDITION_FAILED = 406,
	AMQP_FRAME_ERROR = 501,
	AMQP_SYNTAX_ERROR = 502,
	AMQP_COMMAND_INVALID = 503,
	AMQP_CHANNEL_ERROR = 504,
	AMQP_UNEXPECTED_FRAME = 505,
	AMQP_RESOURCE_ERROR = 506,
	AMQP_NOT_ALLOWED = 530,
	AMQP_NOT_IMPLEMENTED = 540,
	AMQP_INTERNAL_ERROR = 541,
};

/*
 * What was wrong with the peer's bytes, written by whoever returns -EBADMSG. The text quotes
 * nothing of the peer's but numbers, and fits the reply-text of the close that answers it.
 */
struct amqp_fault {
	uint16_t code; /* enum amqp_code to close with; 0: the peer speaks no AMQP, just drop it */
	uint16_t class_id, method_id; /* of the method at fault, or 0 */
	char text[AMQP_SHORT_MAX + 1];
};

/* Writes the code and the sentence (cut to its room) and returns -EBADMSG. */
int amqp_fault_set(struct amqp_fault *f, enum amqp_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts what, and ": ", in front of the sentence, and returns -EBADMSG. */
int amqp_fault_prefix(struct amqp_fault *f, const char *what);

#endif
