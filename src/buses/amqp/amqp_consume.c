/* SPDX-License-Identifier: MIT */
/*
 * Consumers: one for each call that lives, all on one channel, on its queue commands_<dialog>.
 *
 *   NO_CONSUMER --listen--> WANTED --declared, basic.consume--> ASKED --consume-ok--> CONSUMES
 *                             ^                                                          |
 *                             '--- the queue was deleted (basic.cancel), the channel was closed
 *
 * The consumer's tag is the queue's name, so that whatever the broker says of it finds its queue. The
 * core hears port_listening when consume-ok has come: from then on no command is lost, and the
 * call may be announced. With it the two other queues of the call are declared, so that a client
 * finds all three.
 */
#include "buses/amqp/amqp_consume.h"

#include <errno.h>

#include "buses/amqp/amqp_link.h"
#include "buses/amqp/amqp_queue.h"

static void on_listened(void *arg)
{
	struct amqp_bus *bus = arg;
	struct list now;

	list_init(&now);
	list_splice_tail(&now, &bus->listening);
	while (!list_empty(&now)) {
		struct amqp_queue *q = container_of(now.next, struct amqp_queue, listening);

		list_del(&q->listening);
		q->asked = false;
		port_listening(bus->port, amqp_queue_name(q), 0);
	}
}

/* The core hears that it listens, in a turn of our own. */
static void tell(struct amqp_queue *q)
{
	if (!q->asked || !list_empty(&q->listening))
		return;
	list_add_tail(&q->bus->listening, &q->listening);
	task_defer(&q->bus->listened);
}

static void consume(struct amqp_queue *q)
{
	struct amqp_bus *bus = q->bus;

	if (!amqp_channel_is_open(bus, AMQP_CONSUMING))
		return; /* asked when it is */
	q->consumer = AMQP_CONSUMER_ASKED;
	/* no_local as ever: it means nothing to RabbitMQ. */
	amqp_say(bus, amqp_channel_of(AMQP_CONSUMING),
		 &(struct amqp_method){ AMQP_BASIC_CONSUME,
					.consume = { .queue = amqp_queue_name(q),
						     .consumer_tag = amqp_queue_name(q),
						     .no_local = true } });
}

void amqp_consume_declared(struct amqp_queue *q)
{
	if (q->consumer == AMQP_CONSUMER_WANTED)
		consume(q);
}

static void want(struct amqp_queue *q)
{
	q->consumer = AMQP_CONSUMER_WANTED;
	if (q->declared)
		consume(q);
	else
		amqp_op_declare(q);
}

static int begin(struct amqp_bus *bus, struct str id)
{
	struct amqp_dialog *d = amqp_dialog_of(bus, id);
	struct amqp_queue *q = d ? d->queues[AMQP_COMMANDS] : NULL;

	if (!d)
		return -ENOMEM;
	amqp_sweep_cancel(d);
	d->live = true;
	amqp_register_add(d);
	q->asked = true;
	if (q->consumer == AMQP_CONSUMES)
		tell(q);
	else if (q->consumer == AMQP_NO_CONSUMER)
		want(q);
	for (size_t i = 0; i < AMQP_TOPICS; i++)
		if (!d->queues[i]->declared)
			amqp_op_declare(d->queues[i]);
	return 0;
}

static void cancel(struct amqp_queue *q)
{
	if (q->consumer == AMQP_CONSUMES || q->consumer == AMQP_CONSUMER_ASKED)
		amqp_say(q->bus, amqp_channel_of(AMQP_CONSUMING),
			 &(struct amqp_method){ AMQP_BASIC_CANCEL,
						.cancel = { amqp_queue_name(q), true } });
	q->consumer = AMQP_NO_CONSUMER;
	q->asked = false;
	list_del(&q->listening);
}

int amqp_listen(struct amqp_bus *bus, struct str topic, bool on)
{
	struct str prefix = STR("commands_");
	struct amqp_queue *q;

	if (!str_starts(topic, prefix))
		return -EINVAL;
	if (on)
		return begin(bus, str_skip(topic, prefix.n));
	q = amqp_queue_find(bus, topic);
	if (!q)
		return 0;
	cancel(q);
	if (q->dialog)
		amqp_sweep_begin(q->dialog);
	return 0;
}

void amqp_consume_ok(struct amqp_bus *bus, struct str tag)
{
	struct amqp_queue *q = amqp_queue_find(bus, tag);

	if (!q || q->consumer != AMQP_CONSUMER_ASKED)
		return; /* cancelled meanwhile */
	q->consumer = AMQP_CONSUMES;
	tell(q);
}

void amqp_consume_cancelled(struct amqp_bus *bus, struct str tag)
{
	struct amqp_queue *q = amqp_queue_find(bus, tag);

	if (!q || q->consumer == AMQP_NO_CONSUMER)
		return;
	log_warn(bus->log, "consumer cancelled", "queue=%s then=%s", q->name,
		 "it was deleted under a call: declared and consumed again");
	q->declared = false;
	want(q);
}

void amqp_consume_channel_lost(struct amqp_bus *bus)
{
	list_for_each (it, &bus->dialogs) {
		const struct amqp_dialog *d = container_of(it, struct amqp_dialog, link);
		struct amqp_queue *q = d->queues[AMQP_COMMANDS];

		if (q->consumer == AMQP_NO_CONSUMER)
			continue;
		q->consumer = AMQP_CONSUMER_WANTED;
		q->declared = false; /* it may have been its absence */
	}
}

void amqp_consume_channel_open(struct amqp_bus *bus)
{
	list_for_each (it, &bus->dialogs) {
		const struct amqp_dialog *d = container_of(it, struct amqp_dialog, link);

		if (d->queues[AMQP_COMMANDS]->consumer == AMQP_CONSUMER_WANTED)
			want(d->queues[AMQP_COMMANDS]);
	}
}

void amqp_consume_init(struct amqp_bus *bus)
{
	list_init(&bus->listening);
	task_init(&bus->listened, bus->loop, on_listened, bus);
}

void amqp_consume_fini(struct amqp_bus *bus)
{
	task_cancel(&bus->listened);
}
