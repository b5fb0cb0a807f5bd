/* SPDX-License-Identifier: MIT */
/* Queues of the broker: which there are, what is asked of them, when they go. */
#ifndef VOXBUS_BUSES_AMQP_AMQP_QUEUE_H
#define VOXBUS_BUSES_AMQP_AMQP_QUEUE_H

#include "buses/amqp/amqp_internal.h"

/* amqp_queue.c */
void amqp_queues_init(struct amqp_bus *bus);
void amqp_queues_fini(struct amqp_bus *bus);
/* NULL: not known. */
struct amqp_queue *amqp_queue_find(const struct amqp_bus *bus, struct str name);
/*
 * The queue of a message's topic, made in the table if need be, with the two others of its dialog. A dialog that
 * nobody has asked us to listen to is over: its last messages come late. NULL: no memory.
 */
struct amqp_queue *amqp_queue_of(struct amqp_bus *bus, const struct msg *msg);
/* The dialog of "events_<id>", "responses_<id>" or "commands_<id>", made if need be; NULL: no memory. */
struct amqp_dialog *amqp_dialog_of(struct amqp_bus *bus, struct str id);
struct str amqp_dialog_id(const struct amqp_dialog *dialog);
/* Forgets it with its queues; nothing of theirs may be under way. */
void amqp_dialog_destroy(struct amqp_dialog *dialog);
/* Messages of it are under way, or waiting. */
bool amqp_dialog_is_busy(const struct amqp_dialog *dialog);
/* The link is gone: nothing is known to be declared, nobody is known to live. */
void amqp_queues_lost(struct amqp_bus *bus);
static inline struct str amqp_queue_name(const struct amqp_queue *queue)
{
	return str_make(queue->name, queue->n);
}

/* amqp_ops.c */
/* On the channel of its kind, behind those before it; one that waits already is not put twice. */
void amqp_op_declare(struct amqp_queue *queue);
void amqp_op_look(struct amqp_queue *queue);
/* What waits goes out, as far as there is room. */
void amqp_ops_pump(struct amqp_bus *bus, enum amqp_role role);
void amqp_ops_answered(struct amqp_bus *bus, enum amqp_role role, const struct amqp_method *method);
/* channel.close: the oldest that has no answer is to blame, the others are put again. */
void amqp_ops_refused(struct amqp_bus *bus, enum amqp_role role, const struct amqp_close *close);
/* The link is gone. */
void amqp_ops_lost(struct amqp_bus *bus);

/* amqp_sweep.c */
void amqp_sweep_init(struct amqp_bus *bus);
/* No more looks. */
void amqp_sweep_stop(struct amqp_bus *bus);
/* Of a new one: its timer. */
void amqp_sweep_prepare(struct amqp_dialog *dialog);
/* The call is over: its queues go when they are read. */
void amqp_sweep_begin(struct amqp_dialog *dialog);
/* It lives after all. */
void amqp_sweep_cancel(struct amqp_dialog *dialog);
/* The link is gone with the looks that were under way. */
void amqp_sweep_lost(struct amqp_bus *bus);
/* A look is done; the queue's `gone` says what came of it. */
void amqp_sweep_looked(struct amqp_queue *queue);
/* The core has asked for all calls that live: the others are over. */
void amqp_sweep_others(struct amqp_bus *bus);
/* Whether its queues go whatever is in them. */
bool amqp_sweep_is_due(const struct amqp_dialog *dialog);

/* amqp_register.c */
int amqp_register_start(struct amqp_bus *bus);
/* Also of one that was never started. */
void amqp_register_stop(struct amqp_bus *bus);
/* From now on a restart knows that the call has queues; said once each. */
void amqp_register_add(struct amqp_dialog *dialog);
/* It has none any more. */
void amqp_register_done(struct amqp_dialog *dialog);

#endif
