/* SPDX-License-Identifier: MIT */
/*
 * Publishers are not quicker than the reader of their queue, as long as that comes again at once.
 *
 * A reader gets one answer at a time, while each publisher has its message in the same turn: many of
 * them would leave a reader behind that could keep up with the sum of them. So while a queue is read by
 * somebody whose answers are full, and enough waits there already, the publishers' 200s (their
 * messages are durable by then) wait until messages were taken, one for one, and for some milliseconds at
 * most. A reader that takes its time holds up nobody for longer.
 */
#ifndef VOXBUS_LONGPOLL_PACE_H
#define VOXBUS_LONGPOLL_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

struct longpoll;
struct queue;

/* A publisher whose answer may wait; it lies in its user. */
struct paced {
	struct list link; /* pace.held */
	void (*go)(struct paced *paced);
	uint64_t since_ms; /* loop time; pace.c sets it */
};

/* A plain poll got n messages of the max that it asked for. */
void pace_polled(struct queue *queue, size_t n, size_t max);
/* True: go is called later, in a turn of its own or at a poll. False: the answer goes out now. */
bool pace_hold(struct longpoll *bus, struct str key, struct paced *paced);
/* All go now: the port stops. */
void paces_end(struct longpoll *bus);

#endif
