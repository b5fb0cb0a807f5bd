/* SPDX-License-Identifier: MIT */
/*
 * Methods: the commands and answers of AMQP, in structs and as frames. An id is class << 16 |
 * method; the comment behind an id names the member of the union that holds its arguments.
 */
#ifndef VOXBUS_CODEC_AMQP_METHOD_H
#define VOXBUS_CODEC_AMQP_METHOD_H

#include "base/buf.h"
#include "codec/amqp_args.h"
#include "codec/amqp_frame.h"

#define AMQP_ID(class_id, method_id) ((uint32_t)(class_id) << 16 | (method_id))
#define AMQP_CLASS_OF(id)            ((uint16_t)((id) >> 16))
#define AMQP_METHOD_OF(id)           ((uint16_t)((id)&0xffff))

enum amqp_method_id {
	AMQP_CONNECTION_START = AMQP_ID(10, 10),         /* start */
	AMQP_CONNECTION_START_OK = AMQP_ID(10, 11),      /* start_ok */
	AMQP_CONNECTION_SECURE = AMQP_ID(10, 20),        /* secure */
	AMQP_CONNECTION_SECURE_OK = AMQP_ID(10, 21),     /* secure_ok */
	AMQP_CONNECTION_TUNE = AMQP_ID(10, 30),          /* tune */
	AMQP_CONNECTION_TUNE_OK = AMQP_ID(10, 31),       /* tune */
	AMQP_CONNECTION_OPEN = AMQP_ID(10, 40),          /* open */
	AMQP_CONNECTION_OPEN_OK = AMQP_ID(10, 41),       /* - */
	AMQP_CONNECTION_CLOSE = AMQP_ID(10, 50),         /* close */
	AMQP_CONNECTION_CLOSE_OK = AMQP_ID(10, 51),      /* - */
	AMQP_CONNECTION_BLOCKED = AMQP_ID(10, 60),       /* blocked */
	AMQP_CONNECTION_UNBLOCKED = AMQP_ID(10, 61),     /* - */
	AMQP_CONNECTION_UPDATE_SECRET = AMQP_ID(10, 70), /* update_secret */
	AMQP_CONNECTION_UPDATE_SECRET_OK = AMQP_ID(10, 71),

	AMQP_CHANNEL_OPEN = AMQP_ID(20, 10),     /* - */
	AMQP_CHANNEL_OPEN_OK = AMQP_ID(20, 11),  /* - */
	AMQP_CHANNEL_FLOW = AMQP_ID(20, 20),     /* flow */
	AMQP_CHANNEL_FLOW_OK = AMQP_ID(20, 21),  /* flow */
	AMQP_CHANNEL_CLOSE = AMQP_ID(20, 40),    /* close */
	AMQP_CHANNEL_CLOSE_OK = AMQP_ID(20, 41), /* - */

	AMQP_EXCHANGE_DECLARE = AMQP_ID(40, 10),    /* exchange_declare */
	AMQP_EXCHANGE_DECLARE_OK = AMQP_ID(40, 11), /* - */
	AMQP_EXCHANGE_DELETE = AMQP_ID(40, 20),     /* exchange_delete */
	AMQP_EXCHANGE_DELETE_OK = AMQP_ID(40, 21),  /* - */
	AMQP_EXCHANGE_BIND = AMQP_ID(40, 30),       /* exchange_bind */
	AMQP_EXCHANGE_BIND_OK = AMQP_ID(40, 31),    /* - */
	AMQP_EXCHANGE_UNBIND = AMQP_ID(40, 40),     /* exchange_bind */
	AMQP_EXCHANGE_UNBIND_OK = AMQP_ID(40, 51),  /* -, and 51 it is */

	AMQP_QUEUE_DECLARE = AMQP_ID(50, 10),    /* queue_declare */
	AMQP_QUEUE_DECLARE_OK = AMQP_ID(50, 11), /* queue_declare_ok */
	AMQP_QUEUE_BIND = AMQP_ID(50, 20),       /* queue_bind */
	AMQP_QUEUE_BIND_OK = AMQP_ID(50, 21),    /* - */
	AMQP_QUEUE_PURGE = AMQP_ID(50, 30),      /* queue_purge */
	AMQP_QUEUE_PURGE_OK = AMQP_ID(50, 31),   /* count */
	AMQP_QUEUE_DELETE = AMQP_ID(50, 40),     /* queue_delete */
	AMQP_QUEUE_DELETE_OK = AMQP_ID(50, 41),  /* count */
	AMQP_QUEUE_UNBIND = AMQP_ID(50, 50),     /* queue_bind */
	AMQP_QUEUE_UNBIND_OK = AMQP_ID(50, 51),  /* - */

	AMQP_BASIC_QOS = AMQP_ID(60, 10),        /* qos */
	AMQP_BASIC_QOS_OK = AMQP_ID(60, 11),     /* - */
	AMQP_BASIC_CONSUME = AMQP_ID(60, 20),    /* consume */
	AMQP_BASIC_CONSUME_OK = AMQP_ID(60, 21), /* cancel */
	AMQP_BASIC_CANCEL = AMQP_ID(60, 30),     /* cancel */
	AMQP_BASIC_CANCEL_OK = AMQP_ID(60, 31),  /* cancel */
	AMQP_BASIC_PUBLISH = AMQP_ID(60, 40),    /* publish, and content */
	AMQP_BASIC_RETURN = AMQP_ID(60, 50),     /* returned, and content */
	AMQP_BASIC_DELIVER = AMQP_ID(60, 60),    /* deliver, and content */
	AMQP_BASIC_GET = AMQP_ID(60, 70),        /* get */
	AMQP_BASIC_GET_OK = AMQP_ID(60, 71),     /* get_ok, and content */
	AMQP_BASIC_GET_EMPTY = AMQP_ID(60, 72),  /* - */
	AMQP_BASIC_ACK = AMQP_ID(60, 80),        /* ack */
	AMQP_BASIC_REJECT = AMQP_ID(60, 90),     /* ack */
	AMQP_BASIC_RECOVER = AMQP_ID(60, 110),   /* recover */
	AMQP_BASIC_RECOVER_OK = AMQP_ID(60, 111),
	AMQP_BASIC_NACK = AMQP_ID(60, 120), /* ack */

	AMQP_CONFIRM_SELECT = AMQP_ID(85, 10), /* select */
	AMQP_CONFIRM_SELECT_OK = AMQP_ID(85, 11),
};

struct amqp_method {
	uint32_t id;
	union {
		struct amqp_start start;
		struct amqp_start_ok start_ok;
		struct amqp_secure secure;
		struct amqp_secure_ok secure_ok;
		struct amqp_tune tune;
		struct amqp_open open;
		struct amqp_close close;
		struct amqp_blocked blocked;
		struct amqp_update_secret update_secret;
		struct amqp_flow flow;
		struct amqp_exchange_declare exchange_declare;
		struct amqp_exchange_delete exchange_delete;
		struct amqp_exchange_bind exchange_bind;
		struct amqp_queue_declare queue_declare;
		struct amqp_queue_declare_ok queue_declare_ok;
		struct amqp_queue_bind queue_bind;
		struct amqp_queue_purge queue_purge;
		struct amqp_queue_delete queue_delete;
		struct amqp_count count;
		struct amqp_qos qos;
		struct amqp_consume consume;
		struct amqp_cancel cancel;
		struct amqp_publish publish;
		struct amqp_return returned;
		struct amqp_deliver deliver;
		struct amqp_get get;
		struct amqp_get_ok get_ok;
		struct amqp_ack ack;
		struct amqp_recover recover;
		struct amqp_select select;
	};
};

/* "basic.deliver"; NULL for an id that is none here. */
const char *amqp_method_name(uint32_t id);
/* A header and a body follow. */
bool amqp_method_has_content(uint32_t id);
/* The id at the front of a method frame's payload; 0 when that is too short. */
uint32_t amqp_method_peek(struct str payload);
/*
 * Takes a method frame apart: 0, with slices of the payload in *ret; or -EBADMSG and *f: 502 for
 * arguments that don't fit, 503 and 504 for the wrong channel, 540 for a method that is none
 * here. Whether the method may come now is the caller's question.
 */
int amqp_method_read(const struct amqp_frame *frame, struct amqp_method *ret, struct amqp_fault *f);
/*
 * Appends a frame, whole or not at all: 0, -ENOBUFS, -ENOMEM, -EINVAL (no such id, or a name over
 * 255 bytes) or -EMSGSIZE (over frame_max). Of a method with content it is the first frame alone:
 * amqp_message_write writes all.
 */
int amqp_method_write(struct buf *b, uint16_t channel, size_t frame_max,
		      const struct amqp_method *m);

#endif
