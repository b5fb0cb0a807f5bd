/* SPDX-License-Identifier: MIT */
/*
 * The arguments of each method that has some, in the order of the specification and under its
 * names. Reserved ones are left out. Strings are slices; `arguments`, `properties` and the like
 * are field tables (codec/amqp_table.h); names, keys, tags and reply texts hold at most 255 bytes.
 */
#ifndef VOXBUS_CODEC_AMQP_ARGS_H
#define VOXBUS_CODEC_AMQP_ARGS_H

#include <stdbool.h>

#include "codec/amqp.h"

struct amqp_start {
	uint8_t version_major, version_minor;
	struct str server_properties;   /* table */
	struct str mechanisms, locales; /* separated by spaces */
};
struct amqp_start_ok {
	struct str client_properties; /* table */
	struct str mechanism, response, locale;
};
struct amqp_secure {
	struct str challenge;
};
struct amqp_secure_ok {
	struct str response;
};
/* tune, tune-ok */
struct amqp_tune {
	uint16_t channel_max; /* 0: no limit */
	uint32_t frame_max;   /* 0: no limit */
	uint16_t heartbeat;   /* in seconds; 0: none */
};
struct amqp_open {
	struct str virtual_host;
};
/* connection.close, channel.close; code is one of enum amqp_code, or a later one */
struct amqp_close {
	uint16_t code;
	struct str text;
	uint16_t class_id, method_id; /* of the method that it answers, or 0 */
};
struct amqp_blocked {
	struct str reason;
};
struct amqp_update_secret {
	struct str new_secret, reason;
};
/* flow, flow-ok */
struct amqp_flow {
	bool active;
};

struct amqp_exchange_declare {
	struct str exchange, type; /* direct, fanout, topic, headers, or a plug-in's */
	bool passive, durable, auto_delete, internal, no_wait;
	struct str arguments;
};
struct amqp_exchange_delete {
	struct str exchange;
	bool if_unused, no_wait;
};
/* bind, unbind: from source to destination */
struct amqp_exchange_bind {
	struct str destination, source, routing_key;
	bool no_wait;
	struct str arguments;
};
struct amqp_queue_declare {
	struct str queue; /* empty: the broker names it, see declare-ok */
	bool passive, durable, exclusive, auto_delete, no_wait;
	struct str arguments;
};
struct amqp_queue_declare_ok {
	struct str queue;
	uint32_t message_count, consumer_count;
};
/* bind, and unbind, which has no no_wait */
struct amqp_queue_bind {
	struct str queue, exchange, routing_key;
	bool no_wait;
	struct str arguments;
};
struct amqp_queue_purge {
	struct str queue;
	bool no_wait;
};
struct amqp_queue_delete {
	struct str queue;
	bool if_unused, if_empty, no_wait;
};
/* purge-ok, delete-ok */
struct amqp_count {
	uint32_t message_count;
};
struct amqp_qos {
	uint32_t prefetch_size; /* RabbitMQ takes 0 alone */
	uint16_t prefetch_count;
	bool global; /* RabbitMQ: false is each new consumer, true the channel */
};
struct amqp_consume {
	struct str queue, consumer_tag; /* tag empty: the broker makes one, see consume-ok */
	bool no_local, no_ack, exclusive, no_wait;
	struct str arguments;
};
/* cancel, which brokers send, too (consumer_cancel_notify), consume-ok, cancel-ok */
struct amqp_cancel {
	struct str consumer_tag;
	bool no_wait; /* of cancel alone */
};
struct amqp_publish {
	struct str exchange, routing_key; /* exchange empty: the key is the queue's name */
	bool mandatory, immediate;
};
struct amqp_return {
	uint16_t code;
	struct str text, exchange, routing_key;
};
struct amqp_deliver {
	struct str consumer_tag;
	uint64_t delivery_tag;
	bool redelivered;
	struct str exchange, routing_key;
};
struct amqp_get {
	struct str queue;
	bool no_ack;
};
struct amqp_get_ok {
	uint64_t delivery_tag;
	bool redelivered;
	struct str exchange, routing_key;
	uint32_t message_count;
};
/* ack, nack and reject, which has no multiple; requeue is not ack's */
struct amqp_ack {
	uint64_t delivery_tag;
	bool multiple, requeue;
};
struct amqp_recover {
	bool requeue;
};
/* confirm.select */
struct amqp_select {
	bool no_wait;
};

#endif
