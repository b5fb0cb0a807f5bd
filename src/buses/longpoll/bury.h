/* SPDX-License-Identifier: MIT */
/* Messages that nobody acknowledged: after deliveries_max of them, `<queue>.dead`. */
#ifndef VOXBUS_BUSES_LONGPOLL_BURY_H
#define VOXBUS_BUSES_LONGPOLL_BURY_H

#include <stdbool.h>

struct longpoll;
struct msg;
struct queue;

/*
 * A message that was taken comes back unacknowledged: true when it has been delivered often enough and
 * goes to the dead ones (it stays taken until it is durable there, is settled then, and the queue is
 * released); false when it is to be given back.
 */
bool bury(struct queue *queue, const struct msg *msg);
/* A copy that longpoll.copies counts is durable, or will never be; what it was made of is settled. */
void copy_finished(struct longpoll *bus);
/* At the end of the port: what is not known to be durable stays where it was. */
void burials_abandon(struct longpoll *bus);

#endif
