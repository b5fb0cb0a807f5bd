/* SPDX-License-Identifier: MIT */
/* Commands in: consumers of commands_<dialog>, and what becomes of each delivery. */
#ifndef VOXBUS_BUSES_AMQP_AMQP_CONSUME_H
#define VOXBUS_BUSES_AMQP_AMQP_CONSUME_H

#include "buses/amqp/amqp_internal.h"

/* amqp_consume.c */
void amqp_consume_init(struct amqp_bus *bus);
void amqp_consume_fini(struct amqp_bus *bus);
/* The op `listen`. */
int amqp_listen(struct amqp_bus *bus, struct str topic, bool on);
/* The queue is there, and is to be consumed. */
void amqp_consume_declared(struct amqp_queue *queue);
void amqp_consume_ok(struct amqp_bus *bus, struct str tag);
/* basic.cancel: the queue was deleted under us. */
void amqp_consume_cancelled(struct amqp_bus *bus, struct str tag);
/* The channel is gone, and is there again. */
void amqp_consume_channel_lost(struct amqp_bus *bus);
void amqp_consume_channel_open(struct amqp_bus *bus);

/* amqp_command.c */
void amqp_commands_init(struct amqp_bus *bus);
void amqp_commands_fini(struct amqp_bus *bus);
/* basic.deliver. body: empty when it was too large to be kept (oversized). */
void amqp_command_delivered(struct amqp_bus *bus, const struct amqp_message *message,
			    bool oversized);
/* The op `settle`: tag is the command. */
void amqp_command_settle(uint64_t tag, int result);
/* The refusal is published (good), or was not. */
void amqp_command_answered(struct amqp_command *command, bool good);
/* The op `pause`. */
void amqp_commands_pause(struct amqp_bus *bus, bool on);
/* The channel is gone: their delivery tags mean nothing any more. */
void amqp_commands_lost(struct amqp_bus *bus);

#endif
