/* SPDX-License-Identifier: MIT */
/*
 * The messages of a queue of calls (one whose last segment ends in .xml).
 *
 * An event of a call is worth reading only while its call can be answered: as long as one of its
 * requests is held (engines/webhook). So all that the queue's cursor brings is sorted at once:
 *
 *                        held call, or no call's event
 *   cursor ---- sort ---------------------------------> READY ---- take ----> a reader
 *                 |                                     ^   |
 *                 |  parked call             held again |   | answered
 *                 |----------------------------------> PARKED
 *                 |  dead or unknown call               | dead
 *                 `----------------------------------> MOVING ---> the queue <path>/missed
 *
 * READY and PARKED messages are set aside in the cursor: they keep their places, and nothing of
 * this counts as a delivery. A MOVING one is settled when its copy is durable, so that after a
 * kill in between the copy is there twice, and never not at all.
 */
#ifndef VOXBUS_LONGPOLL_CALL_EVENTS_H
#define VOXBUS_LONGPOLL_CALL_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

struct call;
struct call_events;
struct cursor;
struct msg;
struct queue;

/* Both outlive it. NULL: no memory. */
struct call_events *call_events_create(struct queue *queue, struct cursor *cursor);
/* At the end of the queue, or of the port: what is being moved is not waited for. */
struct call_events *call_events_destroy(struct call_events *events);
/* The cursor has something. What is left for a later turn makes the queue ready again. */
void call_events_sort(struct call_events *events);
/* As queue_take. dead: also what is parked. */
int call_events_take(struct call_events *events, bool dead, struct msg **ret);
/* How many are not for readers now. */
size_t call_events_hidden(const struct call_events *events);

/* How many it keeps, for readers or not. */
size_t call_events_count(const struct call_events *events);
/* The queue was emptied by hand: what is kept goes, but for what is on its way elsewhere. */
void call_events_purge(struct call_events *events);
/* Whether some are on their way to the list of missed calls. */
bool call_events_moving(const struct call_events *events);

/* The call is held again, or dead: webhook_options.on_changed; the argument is the bus. */
void call_events_changed(void *bus, struct call *call);

#endif
