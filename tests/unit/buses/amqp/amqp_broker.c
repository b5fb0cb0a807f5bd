/* SPDX-License-Identifier: MIT */
/* A broker in the same process; the header says what it does and what it leaves to the test. */
/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "amqp_broker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/amqp_table.h"

enum { OUT_MAX = 8 << 20, LOG_MAX = 16 << 20, BODY_MAX = 1 << 20 };

void broker_say(struct broker *b, unsigned channel, const struct amqp_method *method)
{
	struct str out;

	if (!b->conn || b->silent)
		return;
	if (amqp_method_write(&b->out, (uint16_t)channel, AMQP_FRAME_MAX, method) < 0)
		return;
	out = buf_str(&b->out);
	(void)conn_write(b->conn, &out, 1);
	buf_clear(&b->out);
}

static void say_id(struct broker *b, unsigned channel, uint32_t id)
{
	broker_say(b, channel, &(struct amqp_method){ id });
}

static void say_message(struct broker *b, unsigned channel, const struct amqp_message *m)
{
	struct str out;

	if (!b->conn || amqp_message_write(&b->out, (uint16_t)channel, AMQP_FRAME_MAX, m) < 0)
		return;
	out = buf_str(&b->out);
	(void)conn_write(b->conn, &out, 1);
	buf_clear(&b->out);
}

void broker_close_channel(struct broker *b, unsigned channel, uint16_t code, const char *text,
			  uint32_t method)
{
	if (channel == 1)
		b->published = b->confirmed = 0;
	broker_say(b, channel,
		   &(struct amqp_method){ AMQP_CHANNEL_CLOSE,
					  .close = { code, str_from(text), AMQP_CLASS_OF(method),
						     AMQP_METHOD_OF(method) } });
}

/* ---- the log */

static void note(struct broker *b, unsigned channel, uint32_t id, struct str name, const char *more)
{
	(void)buf_addf(&b->log, "%u %s%s%.*s%s%s\n", channel, amqp_method_name(id),
		       name.n ? " " : "", STR_ARG(name), *more ? " " : "", more);
}

size_t broker_heard(const struct broker *b, const char *text)
{
	struct str rest = buf_str(&b->log), needle = str_from(text);
	size_t n = 0;

	for (size_t at; (at = str_find_str(rest, needle)) < rest.n; n++)
		rest = str_skip(rest, at + needle.n);
	return n;
}

void broker_forget(struct broker *b)
{
	buf_clear(&b->log);
}

/* ---- what the client says */

static void take_login(struct broker *b, const struct amqp_start_ok *ok)
{
	if (b->wrong_password)
		broker_say(b, 0,
			   &(struct amqp_method){
				   AMQP_CONNECTION_CLOSE,
				   .close = { AMQP_ACCESS_REFUSED, STR("ACCESS_REFUSED"), 0, 0 } });
	else
		broker_say(b, 0,
			   &(struct amqp_method){ AMQP_CONNECTION_TUNE,
						  .tune = { 2047, AMQP_FRAME_MAX, b->heartbeat } });
}

static void take_host(struct broker *b, const struct amqp_method *m)
{
	switch (m->id) {
	case AMQP_CONNECTION_START_OK:
		note(b, 0, m->id, m->start_ok.mechanism, "");
		take_login(b, &m->start_ok);
		break;
	case AMQP_CONNECTION_OPEN:
		note(b, 0, m->id, m->open.virtual_host, "");
		say_id(b, 0, AMQP_CONNECTION_OPEN_OK);
		break;
	case AMQP_CONNECTION_CLOSE:
		note(b, 0, m->id, m->close.text, "");
		say_id(b, 0, AMQP_CONNECTION_CLOSE_OK);
		break;
	default:
		note(b, 0, m->id, STR(""), "");
	}
}

static void flags_of(char *out, const struct amqp_method *m)
{
	const struct amqp_queue_declare *d = &m->queue_declare;
	const struct amqp_queue_delete *x = &m->queue_delete;

	if (m->id == AMQP_QUEUE_DECLARE) {
		assert_true(!d->exclusive && !d->arguments.n && !d->auto_delete);
		(void)snprintf(out, 8, "%s%s%s", d->durable ? "D" : "", d->passive ? "P" : "",
			       d->no_wait ? "W" : "");
	} else {
		(void)snprintf(out, 8, "%s%s%s", x->if_unused ? "U" : "", x->if_empty ? "E" : "",
			       x->no_wait ? "W" : "");
	}
}

static void take_queue(struct broker *b, unsigned channel, const struct amqp_method *m)
{
	struct str name =
		m->id == AMQP_QUEUE_DECLARE ? m->queue_declare.queue : m->queue_delete.queue;
	char flags[8];

	flags_of(flags, m);
	note(b, channel, m->id, name, flags);
	if (b->mute_queues)
		return;
	if (b->refused && str_eq(name, str_from(b->refused))) {
		b->refused = NULL;
		broker_close_channel(b, channel, b->refusal, "refused", m->id);
	} else if (m->id == AMQP_QUEUE_DECLARE) {
		broker_say(b, channel,
			   &(struct amqp_method){
				   AMQP_QUEUE_DECLARE_OK,
				   .queue_declare_ok = { name, b->messages, b->consumers } });
	} else {
		broker_say(b, channel, &(struct amqp_method){ AMQP_QUEUE_DELETE_OK });
	}
}

static void take_publish(struct broker *b, const struct amqp_message *m)
{
	const struct amqp_properties *p = &m->properties;
	const struct amqp_publish *publish = &m->method.publish;

	assert_true(str_eq(publish->exchange, STR("")) && !publish->immediate);
	assert_int_equal(p->present, AMQP_HAS_CONTENT_TYPE | AMQP_HAS_HEADERS |
					     AMQP_HAS_DELIVERY_MODE | AMQP_HAS_PRIORITY);
	assert_true(str_eq(p->content_type, STR("application/json")));
	assert_true(p->headers.n == 0 && p->delivery_mode == AMQP_TRANSIENT && p->priority == 0);
	(void)buf_addf(&b->log, "1 basic.publish %.*s%s %.*s\n", STR_ARG(publish->routing_key),
		       publish->mandatory ? " M" : "", STR_ARG(m->body));
	b->published++;
}

static void take_channel(struct broker *b, unsigned channel, const struct amqp_message *m)
{
	uint32_t id = m->method.id;
	char number[32];

	switch (id) {
	case AMQP_CHANNEL_OPEN:
	case AMQP_CONFIRM_SELECT:
	case AMQP_BASIC_QOS:
		(void)snprintf(number, sizeof(number), "%u",
			       id == AMQP_BASIC_QOS ? m->method.qos.prefetch_count : channel);
		note(b, channel, id, STR(""), number);
		if (id == AMQP_CHANNEL_OPEN && b->full)
			broker_close_channel(b, channel, AMQP_RESOURCE_ERROR, "full", id);
		else
			say_id(b, channel, id + 1);
		break;
	case AMQP_QUEUE_DECLARE:
	case AMQP_QUEUE_DELETE:
		take_queue(b, channel, &m->method);
		break;
	case AMQP_BASIC_CONSUME:
		assert_true(!m->method.consume.no_ack && !m->method.consume.exclusive);
		note(b, channel, id, m->method.consume.queue,
		     m->method.consume.no_local ? "L" : "");
		if (!b->mute_queues)
			broker_say(b, channel,
				   &(struct amqp_method){
					   AMQP_BASIC_CONSUME_OK,
					   .cancel = { m->method.consume.consumer_tag } });
		break;
	case AMQP_BASIC_ACK:
	case AMQP_BASIC_NACK:
		(void)snprintf(number, sizeof(number), "%" PRIu64, m->method.ack.delivery_tag);
		note(b, channel, id, str_from(number), m->method.ack.requeue ? "R" : "");
		break;
	case AMQP_BASIC_CANCEL:
		note(b, channel, id, m->method.cancel.consumer_tag, "");
		break;
	case AMQP_BASIC_PUBLISH:
		take_publish(b, m);
		break;
	default:
		note(b, channel, id, STR(""), "");
	}
}

static void take_frame(struct broker *b, const struct amqp_frame *frame)
{
	struct amqp_fault fault;
	struct amqp_message m = { 0 };
	int rc;

	if (frame->type == AMQP_FRAME_HEARTBEAT) {
		(void)buf_addf(&b->log, "0 heartbeat\n");
	} else if (!frame->channel) {
		assert_int_equal(amqp_method_read(frame, &m.method, &fault), 0);
		take_host(b, &m.method);
	} else {
		assert_true(frame->channel <= BROKER_CHANNELS);
		rc = amqp_assembly_take(&b->assemblies[frame->channel - 1], frame, &m, &fault);
		assert_true(rc >= 0);
		if (rc != AMQP_MORE)
			take_channel(b, frame->channel, &m);
	}
}

/* ---- the link */

static void forget_link(struct broker *b)
{
	b->conn = conn_destroy(b->conn);
	amqp_frame_reader_fini(&b->frames);
	amqp_frame_reader_init(&b->frames);
	for (size_t i = 0; i < BROKER_CHANNELS; i++)
		amqp_assembly_reset(&b->assemblies[i]);
	b->published = b->confirmed = b->delivered = 0;
}

static void begin(struct broker *b)
{
	amqp_frame_reader_set_max(&b->frames, AMQP_FRAME_MAX);
	broker_say(b, 0,
		   &(struct amqp_method){
			   AMQP_CONNECTION_START,
			   .start = { 0, 9, STR(""), str_from(b->mechanisms), STR("en_US") } });
}

static void on_data(void *arg, struct str data)
{
	struct broker *b = arg;
	struct conn *conn = b->conn;
	struct amqp_fault fault;
	struct amqp_frame frame;

	if (str_starts(data, AMQP_PROTOCOL_HEADER)) {
		begin(b);
		data = str_skip(data, AMQP_PROTOCOL_HEADER.n);
	}
	while (b->conn == conn && amqp_frame_read(&b->frames, &data, &frame, &fault) > 0)
		take_frame(b, &frame);
}

static void on_end(void *arg, int reason)
{
	forget_link(arg);
}

static void on_conn(void *arg, struct conn *conn)
{
	static const struct conn_events events = { .on_data = on_data, .on_end = on_end };
	struct broker *b = arg;

	b->connections++;
	if (b->away) {
		(void)conn_destroy(conn);
		return;
	}
	forget_link(b);
	b->conn = conn;
	conn_set_events(conn, &events, b);
}

void broker_hang_up(struct broker *b)
{
	forget_link(b);
}

/* ---- what the test says */

void broker_deliver(struct broker *b, const char *queue, const char *body, bool redelivered)
{
	say_message(
		b, 2,
		&(struct amqp_message){ .method = { AMQP_BASIC_DELIVER,
						    .deliver = { .consumer_tag = str_from(queue),
								 .delivery_tag = ++b->delivered,
								 .redelivered = redelivered,
								 .routing_key = str_from(queue) } },
					.body = str_from(body) });
}

bool broker_confirm(struct broker *b, bool good)
{
	if (b->confirmed == b->published)
		return false;
	broker_say(b, 1,
		   &(struct amqp_method){ good ? AMQP_BASIC_ACK : AMQP_BASIC_NACK,
					  .ack = { .delivery_tag = ++b->confirmed } });
	return true;
}

void broker_return(struct broker *b, const char *queue, struct str body)
{
	say_message(
		b, 1,
		&(struct amqp_message){
			.method = { AMQP_BASIC_RETURN, .returned = { AMQP_NO_ROUTE, STR("NO_ROUTE"),
								     STR(""), str_from(queue) } },
			.body = body });
}

/* ---- life */

struct broker *broker_create(struct loop *loop)
{
	const struct conn_options options = { .write_max = OUT_MAX };
	struct broker *b = calloc(1, sizeof(*b));
	struct err e = { "" };

	assert_non_null(b);
	b->loop = loop;
	b->heartbeat = 60;
	b->mechanisms = "PLAIN AMQPLAIN EXTERNAL";
	buf_init(&b->out, OUT_MAX);
	buf_init(&b->log, LOG_MAX);
	amqp_frame_reader_init(&b->frames);
	for (size_t i = 0; i < BROKER_CHANNELS; i++)
		amqp_assembly_init(&b->assemblies[i], BODY_MAX);
	if (listener_create(loop, STR("127.0.0.1:0"), &options, on_conn, b, &b->listener, &e) < 0)
		fail_msg("%s", e.text);
	return b;
}

struct broker *broker_destroy(struct broker *b)
{
	if (!b)
		return NULL;
	forget_link(b);
	(void)listener_destroy(b->listener);
	amqp_frame_reader_fini(&b->frames);
	for (size_t i = 0; i < BROKER_CHANNELS; i++)
		amqp_assembly_fini(&b->assemblies[i]);
	buf_fini(&b->out);
	buf_fini(&b->log);
	free(b);
	return NULL;
}

int broker_port(const struct broker *b)
{
	return listener_port(b->listener);
}

const char *broker_url(const struct broker *b, char text[64])
{
	(void)snprintf(text, 64, "amqp://guest:guest@127.0.0.1:%d/", broker_port(b));
	return text;
}
