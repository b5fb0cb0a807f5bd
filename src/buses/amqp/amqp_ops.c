/* SPDX-License-Identifier: MIT */
/*
 * What is asked of queues: declare, look, delete. Each of the two channels for it answers in the order
 * of the questions, so that a list of those that were sent is all that is to be known; several are
 * under way at a time. When the broker closes the channel instead, the oldest question is to blame.
 *
 *   declare   durable, no other flag, no arguments, as every client of go-ari-proxy declares it: another
 *             flag would be answered 406
 *   look      the same, but passive if the queue is known to be there: how many messages and consumers
 *             it has. An active one can't fail for a queue that is gone.
 *   delete    if it is unused and empty. Nobody but us reads commands: those of a call that is over are
 *             lost anyway, so that queue is not asked to be empty. RabbitMQ is content with a
 *             queue that is not there: so one that was deleted before is deleted without a look.
 */
#include <stdio.h>

#include "buses/amqp/amqp_consume.h"
#include "buses/amqp/amqp_link.h"
#include "buses/amqp/amqp_publish.h"
#include "buses/amqp/amqp_queue.h"

enum { PIPELINE = 64 };

static struct amqp_ops *ops_of(struct amqp_bus *bus, enum amqp_role role)
{
	return role == AMQP_DECLARING ? &bus->declares : &bus->sweeps;
}

static bool is_commands(const struct amqp_queue *q)
{
	return q->dialog && q->dialog->queues[AMQP_COMMANDS] == q;
}

/* ---- asking */

static struct amqp_method method_of(const struct amqp_op *op)
{
	const struct amqp_queue *q = op->queue;
	struct amqp_method m = { AMQP_QUEUE_DECLARE };

	if (op->kind == AMQP_OP_DELETE) {
		bool due = amqp_sweep_is_due(q->dialog);

		m.id = AMQP_QUEUE_DELETE;
		m.queue_delete = (struct amqp_queue_delete){ .queue = amqp_queue_name(q),
							     .if_unused = !due,
							     .if_empty = !due && !is_commands(q) };
	} else {
		m.queue_declare = (struct amqp_queue_declare){
			.queue = amqp_queue_name(q),
			.durable = true,
			.passive = op->kind == AMQP_OP_LOOK && q->declared,
		};
	}
	return m;
}

void amqp_ops_pump(struct amqp_bus *bus, enum amqp_role role)
{
	struct amqp_ops *ops = ops_of(bus, role);

	while (bus->phase == AMQP_READY && !bus->closing && amqp_channel_is_open(bus, role) &&
	       !list_empty(&ops->waiting) && ops->n_sent < PIPELINE &&
	       amqp_link_pending(bus) < AMQP_OUT_HIGH) {
		struct amqp_op *op = container_of(ops->waiting.next, struct amqp_op, link);
		struct amqp_method m = method_of(op);

		list_del(&op->link);
		list_add_tail(&ops->sent, &op->link);
		ops->n_sent++;
		amqp_say(bus, amqp_channel_of(role), &m);
	}
}

static void put(struct amqp_op *op, enum amqp_op_kind kind, enum amqp_role role)
{
	struct amqp_bus *bus = op->queue->bus;

	if (!list_empty(&op->link))
		return;
	op->kind = kind;
	list_add_tail(&ops_of(bus, role)->waiting, &op->link);
	amqp_ops_pump(bus, role);
}

void amqp_op_declare(struct amqp_queue *q)
{
	put(&q->declare, AMQP_OP_DECLARE, AMQP_DECLARING);
}

void amqp_op_look(struct amqp_queue *q)
{
	put(&q->sweep, q->gone && !q->declared ? AMQP_OP_DELETE : AMQP_OP_LOOK, AMQP_SWEEPING);
}

/* ---- answers */

static void declared(struct amqp_queue *q)
{
	q->declared = true;
	q->gone = false;
	amqp_publish_declared(q);
	amqp_consume_declared(q);
}

static void looked(struct amqp_queue *q, const struct amqp_queue_declare_ok *found)
{
	bool read = found->message_count == 0 || is_commands(q);

	q->gone = false;
	if (amqp_sweep_is_due(q->dialog) || (read && found->consumer_count == 0))
		put(&q->sweep, AMQP_OP_DELETE, AMQP_SWEEPING);
	else
		amqp_sweep_looked(q);
}

static void deleted(struct amqp_queue *q, uint32_t messages)
{
	struct amqp_bus *bus = q->bus;

	if (!q->gone)
		bus->stats.queues_deleted++;
	if (messages && !is_commands(q)) {
		bus->stats.queues_aged++;
		log_warn(bus->log, "queue deleted unread", "queue=%s messages=%u then=%s", q->name,
			 messages, "its call has been over for queue_age_max");
	}
	q->gone = true;
	q->declared = false;
	amqp_sweep_looked(q);
}

static struct amqp_op *oldest(struct amqp_ops *ops)
{
	struct amqp_op *op;

	if (list_empty(&ops->sent))
		return NULL;
	op = container_of(ops->sent.next, struct amqp_op, link);
	list_del(&op->link);
	ops->n_sent--;
	return op;
}

void amqp_ops_answered(struct amqp_bus *bus, enum amqp_role role, const struct amqp_method *m)
{
	struct amqp_op *op = oldest(ops_of(bus, role));
	bool delete = m->id == AMQP_QUEUE_DELETE_OK;
	struct amqp_fault fault = { 0 };

	if (!op || delete != (op->kind == AMQP_OP_DELETE)) {
		(void)amqp_fault_set(&fault, AMQP_COMMAND_INVALID, "%s now",
				     amqp_method_name(m->id));
		amqp_link_fault(bus, &fault);
		return;
	}
	if (delete)
		deleted(op->queue, m->count.message_count);
	else if (op->kind == AMQP_OP_LOOK)
		looked(op->queue, &m->queue_declare_ok);
	else
		declared(op->queue);
	amqp_ops_pump(bus, role);
}

/* ---- refusals */

static void warn_once(struct amqp_queue *q, const struct amqp_close *close, const char *then)
{
	if (q->warned)
		return;
	q->warned = true;
	log_warn(q->bus->log, "queue refused", "queue=%s code=%u reason=%.*s then=%s", q->name,
		 close->code, STR_ARG(close->text), then);
}

static void refused(struct amqp_op *op, const struct amqp_close *close)
{
	struct amqp_queue *q = op->queue;

	if (op->kind == AMQP_OP_DECLARE && close->code == AMQP_PRECONDITION_FAILED) {
		warn_once(q, close, "somebody has declared it otherwise: it is used as it is");
		declared(q);
	} else if (op->kind == AMQP_OP_DECLARE) {
		warn_once(q, close, "it is declared again and again");
		amqp_op_declare(q);
	} else {
		/* 404: somebody was faster; 406: there is something in it, or somebody on it. */
		q->gone = close->code == AMQP_NOT_FOUND;
		q->declared = !q->gone;
		if (!q->gone && close->code != AMQP_PRECONDITION_FAILED)
			warn_once(q, close,
				  "its call is over and it can't be deleted: tried again");
		amqp_sweep_looked(q);
	}
}

void amqp_ops_refused(struct amqp_bus *bus, enum amqp_role role, const struct amqp_close *close)
{
	struct amqp_ops *ops = ops_of(bus, role);
	struct amqp_op *op = oldest(ops);

	list_splice_tail(&ops->sent, &ops->waiting);
	list_splice_tail(&ops->waiting, &ops->sent);
	ops->n_sent = 0;
	if (op)
		refused(op, close);
}

static void ops_drop(struct amqp_ops *ops)
{
	list_splice_tail(&ops->sent, &ops->waiting);
	while (!list_empty(&ops->sent))
		list_del(ops->sent.next);
	ops->n_sent = 0;
}

void amqp_ops_lost(struct amqp_bus *bus)
{
	ops_drop(&bus->declares);
	ops_drop(&bus->sweeps);
}
