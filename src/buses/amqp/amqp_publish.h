/* SPDX-License-Identifier: MIT */
/* Messages out: at most AMQP_FLYING_MAX, each until the broker's confirm. */
#ifndef VOXBUS_BUSES_AMQP_AMQP_PUBLISH_H
#define VOXBUS_BUSES_AMQP_AMQP_PUBLISH_H

#include "buses/amqp/amqp_internal.h"

void amqp_publish_init(struct amqp_bus *bus);
/* Drops all. */
void amqp_publish_fini(struct amqp_bus *bus);
/* The op `send`. */
int amqp_publish_send(struct amqp_bus *bus, struct msg *msg);
/*
 * An answer of our own, msg, to a command that the core did not take: 0, then amqp_command_answered
 * comes; -EAGAIN: no room now.
 */
int amqp_publish_answer(struct amqp_bus *bus, struct amqp_queue *queue, struct msg *msg,
			struct amqp_command *command);
/* The queue is there: what waited for that goes out. */
void amqp_publish_declared(struct amqp_queue *queue);
/* There may be room: what waited goes on, and so does the core. */
void amqp_publish_room(struct amqp_bus *bus);
/* basic.ack, basic.nack. */
void amqp_publish_confirmed(struct amqp_bus *bus, const struct amqp_ack *ack, bool good);
/* basic.return: there is no such queue. The confirm follows. */
void amqp_publish_returned(struct amqp_bus *bus, const struct amqp_message *message);
/* The channel is gone: what was under way goes back to the core, which sends it again. */
void amqp_publish_channel_lost(struct amqp_bus *bus);
/* The link is gone: the core takes everything back by itself. */
void amqp_publish_lost(struct amqp_bus *bus);

#endif
