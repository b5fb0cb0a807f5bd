/* SPDX-License-Identifier: MIT */
/*
 * Messages out.
 *
 *   send --> held (its queue is not declared) --declared--> flying --ack--> settled 0
 *              ^                                            |    '--nack--> settled, sent again
 *              '------- returned: its queue went away ------'
 *
 * What flies stands in a table by the broker's delivery tag, which counts the publishes of a channel
 * from 1: confirms may come in any order and for many at once. The order within a topic is
 * kept, also when its queue is deleted under us: everything that was published meanwhile comes back
 * (basic.return, then the ack), is put in its old order by its number, and goes out again when
 * the queue is there and nothing of the topic flies any more.
 *
 * What a broker refuses goes back to the core at once for the first time, and after a growing pause
 * when it is refused again: a queue that is full by policy would else be a busy loop.
 */
#include "buses/amqp/amqp_publish.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "buses/amqp/amqp_consume.h"
#include "buses/amqp/amqp_link.h"
#include "buses/amqp/amqp_queue.h"
#include "codec/json.h"

enum { AGAIN_MS = 100, REFUSED_MS = 100, REFUSED_SHIFT_MAX = 6 };

/* ---- one publish */

static struct amqp_flight *publish_create(struct amqp_bus *bus, struct amqp_queue *queue,
					  struct msg *msg)
{
	struct amqp_flight *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	list_init(&p->link);
	p->queue = queue;
	p->msg = msg_ref(msg);
	p->bytes = msg_bytes(msg);
	bus->n_publishes++;
	bus->publish_bytes += p->bytes;
	return p;
}

static void publish_destroy(struct amqp_flight *p)
{
	struct amqp_bus *bus = p->queue->bus;

	list_del(&p->link);
	bus->n_publishes--;
	bus->publish_bytes -= p->bytes;
	(void)msg_unref(p->msg);
	free(p);
}

/* Its end: the core hears of it, or the command whose answer it is. */
static void publish_settle(struct amqp_flight *p, int result)
{
	struct amqp_bus *bus = p->queue->bus;
	struct amqp_command *answers = p->answers;

	if (answers)
		amqp_command_answered(answers, result == 0);
	else
		port_settle(bus->port, p->msg, result);
	publish_destroy(p);
}

/* Into bus->out, or -EMSGSIZE: it never goes; -EAGAIN: no memory or no room now. */
static int publish_write(struct amqp_flight *p)
{
	static const struct str content_type = STR_INIT("application/json");
	struct amqp_bus *bus = p->queue->bus;
	struct amqp_message m = {
		.method = { AMQP_BASIC_PUBLISH,
			    .publish = { .routing_key = amqp_queue_name(p->queue),
					 .mandatory = !p->answers } },
		.properties = { .present = AMQP_HAS_CONTENT_TYPE | AMQP_HAS_HEADERS |
					   AMQP_HAS_DELIVERY_MODE | AMQP_HAS_PRIORITY,
				.content_type = content_type,
				.delivery_mode =
					bus->conf->persistent ? AMQP_PERSISTENT : AMQP_TRANSIENT },
	};
	int rc;

	buf_clear(&bus->scratch);
	rc = envelope_add(&bus->scratch, p->msg, str_from(bus->env.node), 0);
	if (rc < 0)
		return rc == -ENOMEM ? -EAGAIN : -EMSGSIZE;
	m.body = buf_str(&bus->scratch);
	rc = amqp_message_write(&bus->out, (uint16_t)amqp_channel_of(AMQP_PUBLISHING),
				bus->frame_max, &m);
	if (rc < 0)
		return rc == -ENOMEM || rc == -ENOBUFS ? -EAGAIN : -EMSGSIZE;
	bus->flying[bus->next_tag++ % AMQP_FLYING_MAX] = p;
	p->queue->unconfirmed++;
	bus->stats.published++;
	amqp_said(bus);
	return 0;
}

/* ---- is there room? */

static bool has_room(const struct amqp_bus *bus)
{
	return bus->phase == AMQP_READY && !bus->blocked && !bus->closing &&
	       amqp_channel_is_open(bus, AMQP_PUBLISHING) && bus->n_publishes < AMQP_FLYING_MAX &&
	       bus->publish_bytes < AMQP_BYTES_MAX &&
	       bus->next_tag - bus->first_tag < AMQP_FLYING_MAX &&
	       amqp_link_pending(bus) < AMQP_OUT_HIGH;
}

/* No memory: asked again soon. */
static int no_room(struct amqp_bus *bus, bool memory)
{
	bus->full = true;
	if (memory)
		(void)timer_start(&bus->again, AGAIN_MS);
	return -EAGAIN;
}

static bool may_fly(const struct amqp_bus *bus)
{
	return amqp_channel_is_open(bus, AMQP_PUBLISHING) && !bus->blocked &&
	       bus->next_tag - bus->first_tag < AMQP_FLYING_MAX;
}

/* ---- those that wait for their queue */

/* Behind those with lower numbers; an answer of ours has none and comes last. */
static void hold(struct amqp_flight *p)
{
	struct list *before = &p->queue->held;

	while (p->msg->seq && before->prev != &p->queue->held) {
		const struct amqp_flight *last =
			container_of(before->prev, struct amqp_flight, link);

		if (last->msg->seq && last->msg->seq < p->msg->seq)
			break;
		before = before->prev;
	}
	list_add_tail(before, &p->link);
}

static void never(struct amqp_flight *p)
{
	const struct amqp_bus *bus = p->queue->bus;

	log_warn(bus->log, "message not sent", "topic=%s seq=%" PRIu64 " reason=%s then=%s",
		 p->queue->name, p->msg->seq, "it is too large as JSON", "it is dropped");
	publish_settle(p, 0);
}

static void flush_held(struct amqp_queue *q)
{
	struct amqp_bus *bus = q->bus;

	list_for_each_safe (it, &q->held) {
		struct amqp_flight *p = container_of(it, struct amqp_flight, link);
		int rc;

		if (!q->declared || !may_fly(bus))
			break;
		rc = publish_write(p);
		if (rc == -EAGAIN) {
			(void)no_room(bus, true);
			break;
		}
		if (rc < 0)
			never(p);
		else
			list_del(&p->link);
	}
	list_del(&q->unflushed);
	if (!list_empty(&q->held) && q->declared)
		list_add_tail(&bus->unflushed, &q->unflushed);
}

void amqp_publish_declared(struct amqp_queue *q)
{
	if (!q->dialog && q->bus->full && has_room(q->bus)) {
		q->bus->full = false;
		port_writable(q->bus->port);
	}
	/* While some of the topic fly, those that come back must go first. */
	if (!q->unconfirmed)
		flush_held(q);
}

void amqp_publish_room(struct amqp_bus *bus)
{
	struct list now;

	if (bus->phase != AMQP_READY)
		return;
	list_init(&now);
	list_splice_tail(&now, &bus->unflushed);
	while (!list_empty(&now)) {
		struct amqp_queue *q = container_of(now.next, struct amqp_queue, unflushed);

		list_del(&q->unflushed);
		amqp_publish_declared(q);
	}
	if (!bus->full || !has_room(bus))
		return;
	bus->full = false;
	port_writable(bus->port);
}

/* ---- taking a message */

static int publish_begin(struct amqp_flight *p)
{
	struct amqp_queue *q = p->queue;

	if (q->declared && list_empty(&q->held) && !q->returning)
		return publish_write(p);
	hold(p);
	if (!q->declared)
		amqp_op_declare(q);
	return 0;
}

static int take(struct amqp_bus *bus, struct amqp_queue *q, struct msg *msg,
		struct amqp_command *answers)
{
	struct amqp_flight *p = publish_create(bus, q, msg);
	int rc;

	if (!p)
		return no_room(bus, true);
	p->answers = answers;
	rc = publish_begin(p);
	if (rc == 0)
		return 0;
	publish_destroy(p);
	return rc == -EAGAIN ? no_room(bus, true) : rc;
}

int amqp_publish_send(struct amqp_bus *bus, struct msg *msg)
{
	struct amqp_queue *q;

	if (!has_room(bus))
		return no_room(bus, false);
	q = amqp_queue_of(bus, msg);
	if (!q)
		return no_room(bus, true);
	if (msg->kind != MSG_ANNOUNCE || q->declared)
		return take(bus, q, msg, NULL);
	/* Once it is taken the call's events follow: it must be first. */
	amqp_op_declare(q);
	return no_room(bus, false);
}

int amqp_publish_answer(struct amqp_bus *bus, struct amqp_queue *q, struct msg *msg,
			struct amqp_command *command)
{
	return has_room(bus) ? take(bus, q, msg, command) : -EAGAIN;
}

/* ---- confirms */

static void refused(struct amqp_flight *p)
{
	struct amqp_bus *bus = p->queue->bus;
	unsigned again = p->queue->refusals++;

	bus->stats.nacked++;
	if (!again) {
		publish_settle(p, -EIO);
		return;
	}
	if (again > REFUSED_SHIFT_MAX)
		again = REFUSED_SHIFT_MAX;
	p->due_ms = loop_now(bus->loop) + ((uint64_t)REFUSED_MS << again);
	list_add_tail(&bus->refused, &p->link);
	p->queue->delayed++;
	if (!timer_running(&bus->again))
		(void)timer_start(&bus->again, AGAIN_MS);
}

static void confirmed(struct amqp_flight *p, bool good)
{
	struct amqp_queue *q = p->queue;

	q->unconfirmed--;
	if (p->returned) {
		p->returned = false;
		q->returning--;
		hold(p);
		amqp_op_declare(q);
	} else if (good) {
		q->refusals = 0;
		publish_settle(p, 0);
	} else {
		refused(p);
	}
	if (!q->unconfirmed && !list_empty(&q->held) && q->declared)
		flush_held(q);
}

static void confirm_one(struct amqp_bus *bus, uint64_t tag, bool good)
{
	struct amqp_flight **place = &bus->flying[tag % AMQP_FLYING_MAX];
	struct amqp_flight *p = *place;

	*place = NULL;
	if (p)
		confirmed(p, good);
}

void amqp_publish_confirmed(struct amqp_bus *bus, const struct amqp_ack *ack, bool good)
{
	uint64_t tag = ack->delivery_tag, end = bus->next_tag;
	struct amqp_fault fault = { 0 };

	if (ack->multiple && tag == 0)
		tag = end - 1;
	if (tag == 0 || tag >= end) {
		(void)amqp_fault_set(&fault, AMQP_COMMAND_INVALID,
				     "a confirm of %" PRIu64 ", the last publish was %" PRIu64, tag,
				     end - 1);
		amqp_link_fault(bus, &fault);
		return;
	}
	if (ack->multiple)
		for (uint64_t t = bus->first_tag; t < tag; t++)
			confirm_one(bus, t, good);
	if (tag >= bus->first_tag)
		confirm_one(bus, tag, good);
	while (bus->first_tag < end && !bus->flying[bus->first_tag % AMQP_FLYING_MAX])
		bus->first_tag++;
	amqp_publish_room(bus);
}

/* The number that its envelope holds: basic.return does not say which publish it was. */
static uint64_t seq_of(struct str body)
{
	uint64_t seq = 0;

	return json_u64(json_get(json_peek(body), STR("seq")), &seq) == 0 ? seq : 0;
}

void amqp_publish_returned(struct amqp_bus *bus, const struct amqp_message *m)
{
	struct amqp_queue *q = amqp_queue_find(bus, m->method.returned.routing_key);
	uint64_t seq = seq_of(m->body);

	bus->stats.returned++;
	if (!q)
		return;
	for (uint64_t t = bus->first_tag; t < bus->next_tag; t++) {
		struct amqp_flight *p = bus->flying[t % AMQP_FLYING_MAX];

		if (!p || p->queue != q || p->msg->seq != seq || p->answers)
			continue;
		q->returning += !p->returned;
		p->returned = true;
		q->declared = false;
	}
	amqp_op_declare(q);
}

/* ---- what is lost */

void amqp_publish_channel_lost(struct amqp_bus *bus)
{
	uint64_t from = bus->first_tag, end = bus->next_tag;

	bus->first_tag = bus->next_tag = 1;
	for (uint64_t t = from; t < end; t++) {
		struct amqp_flight *p = bus->flying[t % AMQP_FLYING_MAX];

		bus->flying[t % AMQP_FLYING_MAX] = NULL;
		if (!p)
			continue;
		p->queue->unconfirmed--;
		p->queue->returning -= p->returned;
		publish_settle(p, -ECONNRESET);
	}
	/* What the core sends again comes before what waits for its queue. */
	map_for_each (it, &bus->queues) {
		struct amqp_queue *q = container_of(it, struct amqp_queue, node);

		list_for_each_safe (held, &q->held)
			publish_settle(container_of(held, struct amqp_flight, link), -ECONNRESET);
		list_del(&q->unflushed);
	}
}

static void drop(struct amqp_flight *p)
{
	struct amqp_command *answers = p->answers;

	publish_destroy(p);
	if (answers)
		amqp_command_answered(answers, false);
}

void amqp_publish_lost(struct amqp_bus *bus)
{
	for (uint64_t t = bus->first_tag; t < bus->next_tag; t++) {
		struct amqp_flight *p = bus->flying[t % AMQP_FLYING_MAX];

		bus->flying[t % AMQP_FLYING_MAX] = NULL;
		if (p)
			drop(p);
	}
	bus->first_tag = bus->next_tag = 1;
	map_for_each (it, &bus->queues) {
		struct amqp_queue *q = container_of(it, struct amqp_queue, node);

		list_for_each_safe (held, &q->held)
			drop(container_of(held, struct amqp_flight, link));
		list_del(&q->unflushed);
		q->unconfirmed = q->returning = q->delayed = 0;
		q->refusals = 0;
	}
	list_for_each_safe (it, &bus->refused)
		drop(container_of(it, struct amqp_flight, link));
	bus->full = false;
}

/* ---- life */

static void on_again(void *arg)
{
	struct amqp_bus *bus = arg;
	uint64_t now = loop_now(bus->loop);

	list_for_each_safe (it, &bus->refused) {
		struct amqp_flight *p = container_of(it, struct amqp_flight, link);

		if (p->due_ms > now)
			continue;
		p->queue->delayed--;
		publish_settle(p, -EIO);
	}
	amqp_publish_room(bus);
	if (bus->full || !list_empty(&bus->refused))
		(void)timer_start(&bus->again, AGAIN_MS);
}

void amqp_publish_init(struct amqp_bus *bus)
{
	bus->first_tag = bus->next_tag = 1;
	list_init(&bus->unflushed);
	list_init(&bus->refused);
	timer_init(&bus->again, bus->loop, on_again, bus);
	buf_init(&bus->scratch, AMQP_BODY_MAX);
}

void amqp_publish_fini(struct amqp_bus *bus)
{
	amqp_publish_lost(bus);
	timer_stop(&bus->again);
	buf_fini(&bus->scratch);
}
