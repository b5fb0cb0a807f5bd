/* SPDX-License-Identifier: MIT */
/*
 * The table of queues: the applications', which are never deleted, and three for each call.
 *
 * A call gets into the table when the core asks us to listen to its commands, when the register of an
 * earlier run has it, or when one of its messages comes late: then it is over already.
 */
#include "buses/amqp/amqp_queue.h"

#include <stdio.h>
#include <stdlib.h>

#include "buses/amqp/amqp_link.h"

enum { TOPIC_SIZE = 320 };

static const struct str prefixes[AMQP_TOPICS] = {
	[AMQP_EVENTS] = STR_INIT("events_"),
	[AMQP_RESPONSES] = STR_INIT("responses_"),
	[AMQP_COMMANDS] = STR_INIT("commands_"),
};

static void op_init(struct amqp_op *op, struct amqp_queue *q)
{
	list_init(&op->link);
	op->queue = q;
}

static struct amqp_queue *queue_create(struct amqp_bus *bus, struct str name, struct amqp_dialog *d)
{
	struct amqp_queue *q = calloc(1, sizeof(*q) + name.n + 1);

	if (!q)
		return NULL;
	q->bus = bus;
	q->dialog = d;
	q->n = name.n;
	memcpy(q->name, name.p, name.n);
	list_init(&q->held);
	list_init(&q->unflushed);
	list_init(&q->listening);
	op_init(&q->declare, q);
	op_init(&q->sweep, q);
	if (map_add(&bus->queues, &q->node, amqp_queue_name(q)) < 0) {
		free(q);
		return NULL;
	}
	return q;
}

/* Nothing of it is under way. */
static void queue_destroy(struct amqp_queue *q)
{
	if (!q)
		return;
	map_del(&q->bus->queues, &q->node);
	list_del(&q->unflushed);
	list_del(&q->listening);
	list_del(&q->declare.link);
	list_del(&q->sweep.link);
	free(q);
}

struct amqp_queue *amqp_queue_find(const struct amqp_bus *bus, struct str name)
{
	struct map_node *node = map_find(&bus->queues, name);

	return node ? container_of(node, struct amqp_queue, node) : NULL;
}

static struct str topic_name(char text[TOPIC_SIZE], size_t topic, struct str id)
{
	int n = snprintf(text, TOPIC_SIZE, "%.*s%.*s", STR_ARG(prefixes[topic]), STR_ARG(id));

	return str_make(text, n < TOPIC_SIZE ? (size_t)n : TOPIC_SIZE - 1);
}

struct amqp_dialog *amqp_dialog_of(struct amqp_bus *bus, struct str id)
{
	char text[TOPIC_SIZE];
	struct amqp_queue *known = amqp_queue_find(bus, topic_name(text, AMQP_COMMANDS, id));
	struct amqp_dialog *d;

	if (known)
		return known->dialog;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->bus = bus;
	list_init(&d->timeless);
	list_add_tail(&bus->dialogs, &d->link);
	amqp_sweep_prepare(d);
	for (size_t i = 0; i < AMQP_TOPICS; i++) {
		d->queues[i] = queue_create(bus, topic_name(text, i, id), d);
		if (d->queues[i])
			continue;
		amqp_dialog_destroy(d);
		return NULL;
	}
	return d;
}

struct str amqp_dialog_id(const struct amqp_dialog *d)
{
	return str_skip(amqp_queue_name(d->queues[AMQP_COMMANDS]), prefixes[AMQP_COMMANDS].n);
}

void amqp_dialog_destroy(struct amqp_dialog *d)
{
	amqp_sweep_cancel(d);
	for (size_t i = 0; i < AMQP_TOPICS; i++)
		queue_destroy(d->queues[i]);
	list_del(&d->link);
	free(d);
}

bool amqp_dialog_is_busy(const struct amqp_dialog *d)
{
	bool busy = false;

	for (size_t i = 0; i < AMQP_TOPICS; i++) {
		const struct amqp_queue *q = d->queues[i];

		busy |= q->unconfirmed || !list_empty(&q->held) || !list_empty(&q->declare.link) ||
			!list_empty(&q->sweep.link) || q->delayed;
	}
	return busy;
}

/* An application may have a name that looks like a call's topic. */
struct amqp_queue *amqp_queue_of(struct amqp_bus *bus, const struct msg *msg)
{
	struct amqp_queue *q = amqp_queue_find(bus, msg->topic);
	struct amqp_dialog *d;

	if (q)
		return q;
	if (msg->kind == MSG_ANNOUNCE)
		return queue_create(bus, msg->topic, NULL);
	d = amqp_dialog_of(bus, msg->dialog);
	if (!d)
		return NULL;
	amqp_register_add(d);
	if (!d->live)
		amqp_sweep_begin(d);
	return amqp_queue_find(bus, msg->topic);
}

void amqp_queues_lost(struct amqp_bus *bus)
{
	map_for_each (it, &bus->queues) {
		struct amqp_queue *q = container_of(it, struct amqp_queue, node);

		q->declared = q->asked = false;
		q->consumer = AMQP_NO_CONSUMER;
		list_del(&q->listening);
		if (q->dialog)
			q->dialog->live = false;
	}
	amqp_sweep_lost(bus);
}

void amqp_queues_init(struct amqp_bus *bus)
{
	map_init(&bus->queues);
	list_init(&bus->dialogs);
	list_init(&bus->declares.waiting);
	list_init(&bus->declares.sent);
	list_init(&bus->sweeps.waiting);
	list_init(&bus->sweeps.sent);
}

void amqp_queues_fini(struct amqp_bus *bus)
{
	list_for_each_safe (it, &bus->over)
		amqp_dialog_destroy(container_of(it, struct amqp_dialog, link));
	list_for_each_safe (it, &bus->dialogs)
		amqp_dialog_destroy(container_of(it, struct amqp_dialog, link));
	map_for_each (it, &bus->queues)
		queue_destroy(container_of(it, struct amqp_queue, node));
	map_fini(&bus->queues);
}
