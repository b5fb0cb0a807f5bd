/* SPDX-License-Identifier: MIT */
/*
 * A command, from its delivery to its acknowledgement.
 *
 *   delivered --> OFFERED to the core --settle 0--> acknowledged
 *        |            |    '--settle -EAGAIN--> PARKED --> offered again
 *        |            '--refused--> ANSWERING (a reply of our own is published) --> acknowledged
 *        '-- paused, or others are parked: PARKED
 *
 * A command keeps its bytes until it is acknowledged, so that it can be offered again by us. Giving
 * it back to the broker would bring it again marked as redelivered, and the core would take it
 * for a repetition of an equal command before it. Only beyond AMQP_COMMANDS_BYTES_MAX it goes back.
 *
 * `pause` parks what comes. The broker sends no more than `prefetch` of a call without an
 * acknowledgement and keeps the rest; so nothing is to be cancelled, consumed again, or
 * redelivered, however often it goes on and off.
 *
 * A refusal is answered on responses_<dialog> with the command's unique_id, a status, and the numbers
 * 0 (the reply stands in no stream). When its channel is gone a command is the broker's again.
 */
#include "buses/amqp/amqp_consume.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "buses/amqp/amqp_link.h"
#include "buses/amqp/amqp_publish.h"
#include "buses/amqp/amqp_queue.h"
#include "codec/json.h"

enum { OFFER_MS = 100, TELL_MS = 1000, TEXT_MAX = 4096, ROUND = 256 };

static struct str topic_of(const struct amqp_command *c)
{
	return str_make(c->bytes, c->topic_n);
}

static struct str body_of(const struct amqp_command *c)
{
	return str_make(c->bytes + c->topic_n, c->body_n);
}

/* ---- life */

static size_t size_of(const struct amqp_command *c)
{
	return sizeof(*c) + c->topic_n + c->body_n;
}

static void set_state(struct amqp_command *c, enum amqp_command_state state)
{
	struct amqp_bus *bus = c->bus;

	bus->n_parked += (size_t)(state == AMQP_PARKED) - (size_t)(c->state == AMQP_PARKED);
	c->state = state;
	list_del(&c->link);
	if (state != AMQP_PARKED)
		list_add_tail(&bus->commands, &c->link);
}

static void command_destroy(struct amqp_command *c)
{
	list_del(&c->link);
	c->bus->n_parked -= c->state == AMQP_PARKED;
	c->bus->command_bytes -= size_of(c);
	free(c);
}

static void acknowledge(struct amqp_bus *bus, uint64_t delivery_tag)
{
	amqp_say(bus, amqp_channel_of(AMQP_CONSUMING),
		 &(struct amqp_method){ AMQP_BASIC_ACK, .ack = { .delivery_tag = delivery_tag } });
}

static void command_done(struct amqp_command *c)
{
	if (c->delivery_tag)
		acknowledge(c->bus, c->delivery_tag);
	command_destroy(c);
}

/* Before those that are parked, since one that was offered is older; or behind them. */
static void park_at(struct amqp_command *c, bool first)
{
	struct amqp_bus *bus = c->bus;

	if (!c->delivery_tag) {
		command_destroy(c);
		return;
	}
	set_state(c, AMQP_PARKED);
	if (first)
		list_add_head(&bus->parked, &c->link);
	else
		list_add_tail(&bus->parked, &c->link);
	if (!bus->paused && !timer_running(&bus->offer))
		(void)timer_start(&bus->offer, OFFER_MS);
}

static void park(struct amqp_command *c)
{
	c->bus->stuck = true;
	park_at(c, true);
}

/* ---- refusing */

struct refusal {
	int status;
	const char *text;
};

static struct refusal refusal_of(int rc)
{
	switch (rc) {
	case -ENOENT:
		return (struct refusal){ 404, "there is no such call any more: not done" };
	case -EBUSY:
		return (struct refusal){ 503, "too many commands of this call wait: not done" };
	case -ENOSPC:
	case -EIO:
		return (struct refusal){ 503, "voxbus can't record the command: not done" };
	default:
		return (struct refusal){ 500, "voxbus can't take the command: not done" };
	}
}

static struct msg *refusal_msg(struct amqp_bus *bus, const struct amqp_queue *q, struct str id,
			       const struct refusal *r)
{
	struct msg init = { .kind = MSG_REPLY,
			    .status = r->status,
			    .topic = amqp_queue_name(q),
			    .dialog = amqp_dialog_id(q->dialog),
			    .id = id };
	struct msg *m = NULL;

	buf_clear(&bus->text);
	if (buf_add(&bus->text, STR("{\"message\":")) == 0 &&
	    json_add_string(&bus->text, str_from(r->text)) == 0 && buf_addc(&bus->text, '}') == 0)
		init.payload = blob_create(buf_str(&bus->text));
	if (init.payload)
		m = msg_create(&init);
	(void)blob_unref(init.payload);
	return m;
}

/* Where its answers go, if we know the call. */
static struct amqp_queue *responses_of(const struct amqp_command *c)
{
	const struct amqp_queue *q = amqp_queue_find(c->bus, topic_of(c));

	return q && q->dialog ? q->dialog->queues[AMQP_RESPONSES] : NULL;
}

static void refuse(struct amqp_command *c, struct str id, const struct refusal *r)
{
	struct amqp_bus *bus = c->bus;
	struct amqp_queue *q = responses_of(c);
	struct msg *m;
	int rc;

	if (!q || !c->delivery_tag) {
		bus->stats.refused++;
		command_done(c);
		return;
	}
	m = refusal_msg(bus, q, id, r);
	rc = m ? amqp_publish_answer(bus, q, m, c) : -EAGAIN;
	(void)msg_unref(m);
	if (rc == -EAGAIN) {
		park(c);
		return;
	}
	bus->stats.refused++;
	if (rc < 0) {
		command_done(c);
		return;
	}
	set_state(c, AMQP_ANSWERING);
}

void amqp_command_answered(struct amqp_command *c, bool good)
{
	if (good || !c->delivery_tag)
		command_done(c);
	else
		park(c);
}

/* ---- offering */

static void malformed(struct amqp_command *c, const struct err *e)
{
	struct amqp_bus *bus = c->bus;
	uint64_t now = loop_now(bus->loop);

	bus->stats.malformed++;
	if (!bus->bad_told_ms || now - bus->bad_told_ms >= TELL_MS) {
		bus->bad_told_ms = now;
		log_warn(bus->log, "bad command", "topic=%.*s reason=%s then=%s",
			 STR_ARG(topic_of(c)), e->text,
			 "it is answered 400; at most one such line a second");
	}
	refuse(c, STR(""), &(struct refusal){ 400, e->text });
}

static int deliver(struct amqp_command *c, const struct envelope_command *envelope)
{
	return port_deliver(c->bus->port,
			    &(struct delivery){ .kind = MSG_COMMAND,
						.flags = c->redelivered ? MSG_REDELIVERED : 0,
						.tag = (uint64_t)(uintptr_t)c,
						.topic = topic_of(c),
						.type = envelope->method,
						.target = envelope->url,
						.id = envelope->unique_id,
						.content_type = STR("application/json"),
						.payload = envelope->body });
}

static void take(struct amqp_command *c, const struct envelope_command *envelope)
{
	struct refusal refusal;
	int rc;

	set_state(c, AMQP_OFFERED);
	rc = deliver(c, envelope);
	if (rc == -EAGAIN || rc == -ENOMEM) {
		park(c);
	} else if (rc < 0) {
		refusal = refusal_of(rc);
		refuse(c, envelope->unique_id, &refusal);
	}
}

static void offer(struct amqp_command *c)
{
	struct envelope_command envelope;
	struct err e = { "" };
	int rc = envelope_command_parse(body_of(c), &envelope, &e);

	if (rc == -ENOMEM) {
		park(c);
		return;
	}
	if (rc < 0) {
		malformed(c, &e);
		return;
	}
	if (envelope.dummy) {
		c->bus->stats.dummies++;
		port_touched(c->bus->port, topic_of(c));
		command_done(c);
	} else {
		take(c, &envelope);
	}
	envelope_command_fini(&envelope);
}

/* Those that are parked, in their order, until one can't be taken now. */
static void on_offer(void *arg)
{
	struct amqp_bus *bus = arg;
	int left = ROUND;

	bus->stuck = false;
	list_for_each_safe (it, &bus->parked) {
		if (left-- == 0 || bus->stuck || bus->paused)
			break;
		offer(container_of(it, struct amqp_command, link));
	}
	if (!list_empty(&bus->parked) && !bus->paused && !timer_running(&bus->offer))
		(void)timer_start(&bus->offer, bus->stuck ? OFFER_MS : 0);
}

void amqp_commands_pause(struct amqp_bus *bus, bool on)
{
	bus->paused = on;
	if (on)
		timer_stop(&bus->offer);
	else if (!list_empty(&bus->parked))
		(void)timer_start(&bus->offer, 0);
}

/* ---- from the broker */

static struct amqp_command *command_create(struct amqp_bus *bus, const struct amqp_message *m)
{
	/* The default exchange's key is the queue's name, and so is our consumer's tag. */
	struct str topic = m->method.deliver.consumer_tag;
	struct amqp_command *c = malloc(sizeof(*c) + topic.n + m->body.n);

	if (!c)
		return NULL;
	*c = (struct amqp_command){ .bus = bus,
				    .delivery_tag = m->method.deliver.delivery_tag,
				    .redelivered = m->method.deliver.redelivered,
				    .topic_n = topic.n,
				    .body_n = m->body.n };
	list_init(&c->link);
	if (topic.n)
		memcpy(c->bytes, topic.p, topic.n);
	if (m->body.n)
		memcpy(c->bytes + topic.n, m->body.p, m->body.n);
	bus->command_bytes += size_of(c);
	return c;
}

static void give_back(struct amqp_bus *bus, uint64_t delivery_tag)
{
	amqp_say(bus, amqp_channel_of(AMQP_CONSUMING),
		 &(struct amqp_method){ AMQP_BASIC_NACK,
					.ack = { .delivery_tag = delivery_tag, .requeue = true } });
}

void amqp_command_delivered(struct amqp_bus *bus, const struct amqp_message *m, bool oversized)
{
	struct amqp_message kept = *m;
	struct amqp_command *c = NULL;

	if (oversized)
		kept.body = STR("");
	if (kept.method.deliver.redelivered)
		bus->stats.redelivered++;
	if (bus->command_bytes < AMQP_COMMANDS_BYTES_MAX)
		c = command_create(bus, &kept);
	if (!c) {
		give_back(bus, kept.method.deliver.delivery_tag);
		return;
	}
	if (oversized) {
		struct err e;

		(void)err_set(&e, 0, "the command is over %d bytes long", AMQP_COMMAND_MAX);
		malformed(c, &e);
	} else if (bus->paused || !list_empty(&bus->parked)) {
		park_at(c, false);
	} else {
		offer(c);
	}
}

void amqp_command_settle(uint64_t tag, int result)
{
	struct amqp_command *c = (struct amqp_command *)(uintptr_t)tag;
	struct envelope_command envelope;
	struct refusal refusal = refusal_of(result);

	if (result == 0 || !c->delivery_tag) {
		command_done(c);
	} else if (result == -EAGAIN || result == -ENOMEM ||
		   envelope_command_parse(body_of(c), &envelope, NULL) < 0) {
		park(c);
	} else {
		refuse(c, envelope.unique_id, &refusal);
		envelope_command_fini(&envelope);
	}
}

void amqp_commands_lost(struct amqp_bus *bus)
{
	list_for_each_safe (it, &bus->parked)
		command_destroy(container_of(it, struct amqp_command, link));
	list_for_each (it, &bus->commands)
		container_of(it, struct amqp_command, link)->delivery_tag = 0;
}

void amqp_commands_init(struct amqp_bus *bus)
{
	list_init(&bus->commands);
	list_init(&bus->parked);
	timer_init(&bus->offer, bus->loop, on_offer, bus);
	buf_init(&bus->text, TEXT_MAX);
}

void amqp_commands_fini(struct amqp_bus *bus)
{
	timer_stop(&bus->offer);
	amqp_commands_lost(bus);
	list_for_each_safe (it, &bus->commands)
		command_destroy(container_of(it, struct amqp_command, link));
	buf_fini(&bus->text);
}
