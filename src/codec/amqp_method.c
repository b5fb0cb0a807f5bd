/* SPDX-License-Identifier: MIT */
/*
 * All methods, from one table: for each its fields, in the order of the wire. Reading and writing
 * walk the same row, so that they can't disagree; the compiler checks each field's type.
 */
#include "codec/amqp_method.h"

#include <errno.h>

#include "codec/amqp_internal.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define U8(m)        AMQP_FIELD(AMQP_KIND_U8, uint8_t, struct amqp_method, m)
#define U16(m)       AMQP_FIELD(AMQP_KIND_U16, uint16_t, struct amqp_method, m)
#define U32(m)       AMQP_FIELD(AMQP_KIND_U32, uint32_t, struct amqp_method, m)
#define U64(m)       AMQP_FIELD(AMQP_KIND_U64, uint64_t, struct amqp_method, m)
#define SHORT(m)     AMQP_FIELD(AMQP_KIND_SHORT, struct str, struct amqp_method, m)
#define LONG(m)      AMQP_FIELD(AMQP_KIND_LONG, struct str, struct amqp_method, m)
#define TABLE(m)     AMQP_FIELD(AMQP_KIND_TABLE, struct str, struct amqp_method, m)
#define BIT(m)       AMQP_FIELD(AMQP_KIND_BIT, bool, struct amqp_method, m)
#define NO(what)                                           \
	{                                                  \
		"a reserved field", 0, AMQP_KIND_NO_##what \
	}

static const struct amqp_field start[] = { U8(start.version_major), U8(start.version_minor),
					   TABLE(start.server_properties), LONG(start.mechanisms),
					   LONG(start.locales) };
static const struct amqp_field start_ok[] = { TABLE(start_ok.client_properties),
					      SHORT(start_ok.mechanism), LONG(start_ok.response),
					      SHORT(start_ok.locale) };
static const struct amqp_field secure[] = { LONG(secure.challenge) };
static const struct amqp_field secure_ok[] = { LONG(secure_ok.response) };
static const struct amqp_field tune[] = { U16(tune.channel_max), U32(tune.frame_max),
					  U16(tune.heartbeat) };
static const struct amqp_field connection_open[] = { SHORT(open.virtual_host), NO(SHORT), NO(BIT) };
static const struct amqp_field close_[] = { U16(close.code), SHORT(close.text), U16(close.class_id),
					    U16(close.method_id) };
static const struct amqp_field blocked[] = { SHORT(blocked.reason) };
static const struct amqp_field update_secret[] = { LONG(update_secret.new_secret),
						   SHORT(update_secret.reason) };
static const struct amqp_field one_short[] = { NO(SHORT) };
static const struct amqp_field one_long[] = { NO(LONG) };
static const struct amqp_field flow[] = { BIT(flow.active) };
static const struct amqp_field exchange_declare[] = { NO(U16),
						      SHORT(exchange_declare.exchange),
						      SHORT(exchange_declare.type),
						      BIT(exchange_declare.passive),
						      BIT(exchange_declare.durable),
						      BIT(exchange_declare.auto_delete),
						      BIT(exchange_declare.internal),
						      BIT(exchange_declare.no_wait),
						      TABLE(exchange_declare.arguments) };
static const struct amqp_field exchange_delete[] = { NO(U16), SHORT(exchange_delete.exchange),
						     BIT(exchange_delete.if_unused),
						     BIT(exchange_delete.no_wait) };
static const struct amqp_field exchange_bind[] = { NO(U16),
						   SHORT(exchange_bind.destination),
						   SHORT(exchange_bind.source),
						   SHORT(exchange_bind.routing_key),
						   BIT(exchange_bind.no_wait),
						   TABLE(exchange_bind.arguments) };
static const struct amqp_field queue_declare[] = { NO(U16),
						   SHORT(queue_declare.queue),
						   BIT(queue_declare.passive),
						   BIT(queue_declare.durable),
						   BIT(queue_declare.exclusive),
						   BIT(queue_declare.auto_delete),
						   BIT(queue_declare.no_wait),
						   TABLE(queue_declare.arguments) };
static const struct amqp_field queue_declare_ok[] = { SHORT(queue_declare_ok.queue),
						      U32(queue_declare_ok.message_count),
						      U32(queue_declare_ok.consumer_count) };
static const struct amqp_field queue_bind[] = { NO(U16),
						SHORT(queue_bind.queue),
						SHORT(queue_bind.exchange),
						SHORT(queue_bind.routing_key),
						BIT(queue_bind.no_wait),
						TABLE(queue_bind.arguments) };
static const struct amqp_field queue_unbind[] = { NO(U16), SHORT(queue_bind.queue),
						  SHORT(queue_bind.exchange),
						  SHORT(queue_bind.routing_key),
						  TABLE(queue_bind.arguments) };
static const struct amqp_field queue_purge[] = { NO(U16), SHORT(queue_purge.queue),
						 BIT(queue_purge.no_wait) };
static const struct amqp_field queue_delete[] = { NO(U16), SHORT(queue_delete.queue),
						  BIT(queue_delete.if_unused),
						  BIT(queue_delete.if_empty),
						  BIT(queue_delete.no_wait) };
static const struct amqp_field count[] = { U32(count.message_count) };
static const struct amqp_field qos[] = { U32(qos.prefetch_size), U16(qos.prefetch_count),
					 BIT(qos.global) };
static const struct amqp_field consume[] = { NO(U16),
					     SHORT(consume.queue),
					     SHORT(consume.consumer_tag),
					     BIT(consume.no_local),
					     BIT(consume.no_ack),
					     BIT(consume.exclusive),
					     BIT(consume.no_wait),
					     TABLE(consume.arguments) };
static const struct amqp_field consumer_tag[] = { SHORT(cancel.consumer_tag) };
static const struct amqp_field cancel[] = { SHORT(cancel.consumer_tag), BIT(cancel.no_wait) };
static const struct amqp_field publish[] = { NO(U16), SHORT(publish.exchange),
					     SHORT(publish.routing_key), BIT(publish.mandatory),
					     BIT(publish.immediate) };
static const struct amqp_field returned[] = { U16(returned.code), SHORT(returned.text),
					      SHORT(returned.exchange),
					      SHORT(returned.routing_key) };
static const struct amqp_field deliver[] = { SHORT(deliver.consumer_tag), U64(deliver.delivery_tag),
					     BIT(deliver.redelivered), SHORT(deliver.exchange),
					     SHORT(deliver.routing_key) };
static const struct amqp_field get[] = { NO(U16), SHORT(get.queue), BIT(get.no_ack) };
static const struct amqp_field get_ok[] = { U64(get_ok.delivery_tag), BIT(get_ok.redelivered),
					    SHORT(get_ok.exchange), SHORT(get_ok.routing_key),
					    U32(get_ok.message_count) };
static const struct amqp_field ack[] = { U64(ack.delivery_tag), BIT(ack.multiple) };
static const struct amqp_field nack[] = { U64(ack.delivery_tag), BIT(ack.multiple),
					  BIT(ack.requeue) };
static const struct amqp_field reject[] = { U64(ack.delivery_tag), BIT(ack.requeue) };
static const struct amqp_field recover[] = { BIT(recover.requeue) };
static const struct amqp_field confirm_select[] = { BIT(select.no_wait) };

struct layout {
	uint32_t id;
	bool content;
	const char *name;
	const struct amqp_field *fields;
	size_t n;
};

#define ROW(id, name, fields)                                 \
	{                                                     \
		AMQP_##id, false, name, fields, COUNT(fields) \
	}
#define CONTENT(id, name, fields)                            \
	{                                                    \
		AMQP_##id, true, name, fields, COUNT(fields) \
	}
#define BARE(id, name)                          \
	{                                       \
		AMQP_##id, false, name, NULL, 0 \
	}

/* Sorted by id: it is searched by halves. */
static const struct layout layouts[] = {
	ROW(CONNECTION_START, "connection.start", start),
	ROW(CONNECTION_START_OK, "connection.start-ok", start_ok),
	ROW(CONNECTION_SECURE, "connection.secure", secure),
	ROW(CONNECTION_SECURE_OK, "connection.secure-ok", secure_ok),
	ROW(CONNECTION_TUNE, "connection.tune", tune),
	ROW(CONNECTION_TUNE_OK, "connection.tune-ok", tune),
	ROW(CONNECTION_OPEN, "connection.open", connection_open),
	ROW(CONNECTION_OPEN_OK, "connection.open-ok", one_short),
	ROW(CONNECTION_CLOSE, "connection.close", close_),
	BARE(CONNECTION_CLOSE_OK, "connection.close-ok"),
	ROW(CONNECTION_BLOCKED, "connection.blocked", blocked),
	BARE(CONNECTION_UNBLOCKED, "connection.unblocked"),
	ROW(CONNECTION_UPDATE_SECRET, "connection.update-secret", update_secret),
	BARE(CONNECTION_UPDATE_SECRET_OK, "connection.update-secret-ok"),
	ROW(CHANNEL_OPEN, "channel.open", one_short),
	ROW(CHANNEL_OPEN_OK, "channel.open-ok", one_long),
	ROW(CHANNEL_FLOW, "channel.flow", flow),
	ROW(CHANNEL_FLOW_OK, "channel.flow-ok", flow),
	ROW(CHANNEL_CLOSE, "channel.close", close_),
	BARE(CHANNEL_CLOSE_OK, "channel.close-ok"),
	ROW(EXCHANGE_DECLARE, "exchange.declare", exchange_declare),
	BARE(EXCHANGE_DECLARE_OK, "exchange.declare-ok"),
	ROW(EXCHANGE_DELETE, "exchange.delete", exchange_delete),
	BARE(EXCHANGE_DELETE_OK, "exchange.delete-ok"),
	ROW(EXCHANGE_BIND, "exchange.bind", exchange_bind),
	BARE(EXCHANGE_BIND_OK, "exchange.bind-ok"),
	ROW(EXCHANGE_UNBIND, "exchange.unbind", exchange_bind),
	BARE(EXCHANGE_UNBIND_OK, "exchange.unbind-ok"),
	ROW(QUEUE_DECLARE, "queue.declare", queue_declare),
	ROW(QUEUE_DECLARE_OK, "queue.declare-ok", queue_declare_ok),
	ROW(QUEUE_BIND, "queue.bind", queue_bind),
	BARE(QUEUE_BIND_OK, "queue.bind-ok"),
	ROW(QUEUE_PURGE, "queue.purge", queue_purge),
	ROW(QUEUE_PURGE_OK, "queue.purge-ok", count),
	ROW(QUEUE_DELETE, "queue.delete", queue_delete),
	ROW(QUEUE_DELETE_OK, "queue.delete-ok", count),
	ROW(QUEUE_UNBIND, "queue.unbind", queue_unbind),
	BARE(QUEUE_UNBIND_OK, "queue.unbind-ok"),
	ROW(BASIC_QOS, "basic.qos", qos),
	BARE(BASIC_QOS_OK, "basic.qos-ok"),
	ROW(BASIC_CONSUME, "basic.consume", consume),
	ROW(BASIC_CONSUME_OK, "basic.consume-ok", consumer_tag),
	ROW(BASIC_CANCEL, "basic.cancel", cancel),
	ROW(BASIC_CANCEL_OK, "basic.cancel-ok", consumer_tag),
	CONTENT(BASIC_PUBLISH, "basic.publish", publish),
	CONTENT(BASIC_RETURN, "basic.return", returned),
	CONTENT(BASIC_DELIVER, "basic.deliver", deliver),
	ROW(BASIC_GET, "basic.get", get),
	CONTENT(BASIC_GET_OK, "basic.get-ok", get_ok),
	ROW(BASIC_GET_EMPTY, "basic.get-empty", one_short),
	ROW(BASIC_ACK, "basic.ack", ack),
	ROW(BASIC_REJECT, "basic.reject", reject),
	ROW(BASIC_RECOVER, "basic.recover", recover),
	BARE(BASIC_RECOVER_OK, "basic.recover-ok"),
	ROW(BASIC_NACK, "basic.nack", nack),
	ROW(CONFIRM_SELECT, "confirm.select", confirm_select),
	BARE(CONFIRM_SELECT_OK, "confirm.select-ok"),
};

static const struct layout *find_layout(uint32_t id)
{
	size_t low = 0, high = COUNT(layouts);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (layouts[middle].id == id)
			return &layouts[middle];
		if (layouts[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const char *amqp_method_name(uint32_t id)
{
	const struct layout *layout = find_layout(id);

	return layout ? layout->name : NULL;
}

bool amqp_method_has_content(uint32_t id)
{
	const struct layout *layout = find_layout(id);

	return layout && layout->content;
}

uint32_t amqp_method_peek(struct str payload)
{
	struct amqp_in in = { payload, false };

	return (uint32_t)amqp_in_uint(&in, 4);
}

static int check_channel(const struct layout *layout, uint16_t channel, struct amqp_fault *f)
{
	bool connection = AMQP_CLASS_OF(layout->id) == AMQP_CLASS_OF(AMQP_CONNECTION_START);

	if (connection && channel != 0)
		return amqp_fault_set(f, AMQP_COMMAND_INVALID, "on channel %u, must be 0", channel);
	if (!connection && channel == 0)
		return amqp_fault_set(f, AMQP_CHANNEL_ERROR, "on channel 0");
	return 0;
}

static int read_args(const struct layout *layout, const struct amqp_frame *frame,
		     struct amqp_method *ret, struct amqp_fault *f)
{
	struct amqp_in in = { str_skip(frame->payload, sizeof(ret->id)), false };
	int rc = check_channel(layout, frame->channel, f);

	if (rc == 0)
		rc = amqp_fields_read(&in, layout->fields, layout->n, ret, f);
	if (rc == 0 && in.rest.n)
		rc = amqp_fault_set(f, AMQP_SYNTAX_ERROR, "%zu bytes behind its arguments",
				    in.rest.n);
	return rc;
}

int amqp_method_read(const struct amqp_frame *frame, struct amqp_method *ret, struct amqp_fault *f)
{
	uint32_t id = amqp_method_peek(frame->payload);
	const struct layout *layout = find_layout(id);
	int rc = 0;

	if (frame->payload.n < sizeof(id))
		return amqp_fault_set(f, AMQP_SYNTAX_ERROR, "a method frame of %zu bytes",
				      frame->payload.n);
	if (!layout) {
		rc = amqp_fault_set(f, AMQP_NOT_IMPLEMENTED, "method %u of class %u is unknown",
				    AMQP_METHOD_OF(id), AMQP_CLASS_OF(id));
	} else {
		*ret = (struct amqp_method){ .id = id };
		rc = read_args(layout, frame, ret, f);
		if (rc < 0)
			rc = amqp_fault_prefix(f, layout->name);
	}
	if (rc < 0) {
		f->class_id = AMQP_CLASS_OF(id);
		f->method_id = AMQP_METHOD_OF(id);
	}
	return rc;
}

int amqp_method_write(struct buf *b, uint16_t channel, size_t frame_max,
		      const struct amqp_method *m)
{
	const struct layout *layout = find_layout(m->id);
	struct amqp_out out = amqp_out_begin(b);
	size_t opened;

	if (!layout)
		return -EINVAL;
	opened = amqp_out_open_frame(&out, AMQP_FRAME_METHOD, channel);
	amqp_out_uint(&out, m->id, sizeof(m->id));
	amqp_fields_write(&out, layout->fields, layout->n, m);
	amqp_out_close_frame(&out, opened, frame_max);
	return amqp_out_end(&out);
}
