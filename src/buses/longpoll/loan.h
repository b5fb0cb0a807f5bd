/* SPDX-License-Identifier: MIT */
/*
 * Messages that a client has been given and that are not yet its own: what is lent to one client
 * under one of three terms, and how each loan ends.
 *
 *                  settled when                                  back to the head of its queue when
 *   UNTIL_ARRIVED  its TCP has it                                it goes before that
 *   UNTIL_PROVEN   its TCP has had it for `visibility`, or it    it went, and nobody came back with
 *                  came back with a last id not before it        a last id within `visibility`
 *   UNTIL_NAMED    it names it (loan_settle)                     it went before its TCP had it, or
 *                                                                `visibility` is over
 *
 * Where it is known which messages have arrived (the feed asks its connection now and then) they are
 * told apart by the order in which they were sent. UNTIL_PROVEN keeps the newest 1,024 or 1 MiB of
 * what has arrived, and nothing while half the queue's window is out: what arrived before is settled,
 * so that a busy feed is not held up by its own memory.
 */
#ifndef VOXBUS_BUSES_LONGPOLL_LOAN_H
#define VOXBUS_BUSES_LONGPOLL_LOAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct item;
struct loans;
struct longpoll;
struct queue;

enum loan_terms { UNTIL_ARRIVED, UNTIL_PROVEN, UNTIL_NAMED };

/* of: who is told to go when another client shows its last id. NULL: no memory. */
struct loans *loans_create(struct queue *queue, enum loan_terms terms, uint64_t visibility_ms,
			   void (*on_replaced)(void *arg), void *arg);
/* A message that was taken is lent: 0 or -ENOMEM. */
int loans_add(struct loans *loans, const struct item *item, size_t bytes);
/* How many were ever added; loans_arrived tells by it. */
uint64_t loans_count(const struct loans *loans);
/* The client's TCP has the first `count` of them. */
void loans_arrived(struct loans *loans, uint64_t count);
/* The client says that it is done: what has arrived UNTIL_PROVEN is its own. */
void loans_conclude(struct loans *loans);
/*
 * The client has gone; `loans` is not the caller's any more. The caller releases the queue then.
 */
void loans_leave(struct loans *loans);

/*
 * A client that was away says which message it has: what was lent UNTIL_PROVEN up to it is settled,
 * what was lent behind it is to be sent again by `loans`. An id that is not known changes nothing.
 */
void loans_resume(struct loans *loans, struct str last_id);
/* Gives back the next of those that are to be sent again, so that it is taken next; false: none. */
bool loans_next_again(struct loans *loans);
bool loans_have_again(const struct loans *loans);

/* The client has it: true, or false when no message of that id is lent. The queue stays. */
bool loan_settle(struct queue *queue, struct str id);

/* The port stops: what has arrived UNTIL_PROVEN is settled, since nobody comes back to this process. */
void loans_close(struct longpoll *bus);
/* At the end of the port: forgets all. */
void loans_abandon(struct longpoll *bus);

#endif
