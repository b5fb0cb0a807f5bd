/* SPDX-License-Identifier: MIT */
/*
 * Queues and those who wait for their messages.
 *
 * A waiter is whoever takes messages of a queue: a poll that is parked, a call that is held, a
 * feed. Waiters are served longest-waiting first, by their queue alone:
 *
 *   messages came -> queues_serve -> ops->serve(waiter) -> queue_take ... -> queue_settle
 *
 * Nobody else touches the queue's cursor.
 */
#ifndef VOXBUS_BUSES_LONGPOLL_QUEUE_H
#define VOXBUS_BUSES_LONGPOLL_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

struct longpoll;
struct msg;
struct queue;
struct stream;
struct waiter;

enum served {
	SERVED_NOTHING, /* there was nothing to take; it still waits, in its place */
	SERVED_AGAIN,   /* it took what it could and waits for more: behind the others now */
	SERVED_DONE,    /* it has left, and may be gone */
};

struct waiter_ops {
	/* Messages may be there. It does not release the queue. */
	enum served (*serve)(struct waiter *waiter);
	/* The port stops: the waiter says so to its client and leaves. */
	void (*end)(struct waiter *waiter);
};

/* It lies in its user; one for each of thousands of connections, so it is small. */
struct waiter {
	struct list link; /* queue.waiters */
	struct queue *queue;
	const struct waiter_ops *ops;
};

/* The queue of that key with its cursor, made if it is new. NULL: no memory. */
struct queue *queue_open(struct longpoll *bus, struct str key);
/* The queue if somebody reads it, or has read from it what is not settled; else NULL. */
struct queue *queue_find(const struct longpoll *bus, struct str key);
/* Forgets it if nobody waits and nothing of it is under way. */
void queue_release(struct queue *queue);
/* The queue stays until it is let go of as often as it was held; that releases it, too. */
void queue_hold(struct queue *queue);
void queue_let_go(struct queue *queue);
struct longpoll *queue_bus(const struct queue *queue);
struct str queue_key(const struct queue *queue);

/* The next message to be delivered, with a reference: 1 and *ret, or 0 and waiters are served later. */
int queue_take(struct queue *queue, struct msg **ret);
/* done: its reader has it; else it goes back to the head, in its old order. */
void queue_settle(struct queue *queue, uint64_t seq, bool done);
/* How often the message, which was taken, was given back before. */
unsigned queue_returns(const struct queue *queue, uint64_t seq);

/* How many messages nobody has taken yet. */
uint64_t queue_unread(const struct queue *queue);
/* Whether messages are there that only the disk, or others that are under way, keep from being taken. */
bool queue_is_held_up(const struct queue *queue);
/* Whether events of dead calls are on their way from here to <path>/missed. */
bool queue_is_moving(const struct queue *queue);
/* The list of missed calls of a queue of calls, to be released; NULL: it is no such queue, or no memory. */
struct queue *queue_missed(struct queue *queue);
/* Of a list of missed calls: its calls' queue is looked at, for what a restart has left there. */
void queue_look_behind(struct queue *queue);
/* Messages of the queue of that key that nobody has got yet. */
uint64_t queue_length(struct longpoll *bus, struct str key);

struct queue_view;
/* Sets what a reader of the queue of that key changes: messages, under_way, waiters. */
void queue_look_at(const struct longpoll *bus, struct str key, struct queue_view *view);
/* The keys of queues that have no stream. */
void queues_each_bare(const struct longpoll *bus, void (*fn)(void *arg, struct str key), void *arg);
/* Its stream was emptied: what has been given back goes, too. */
void queue_drop_returned(struct longpoll *bus, struct str key);
/*
 * Serves those who wait on the queue of that key now, instead of in a later turn, up to that message:
 * whether somebody has taken it. Not from inside ops->serve.
 */
bool queue_deliver(struct longpoll *bus, struct str key, uint64_t seq);
/* In a later turn its waiters are served, and its messages sorted. */
void queue_wake(struct queue *queue);

/* Half of what may be out at a time is out. */
bool queue_is_crowded(const struct queue *queue);

bool queue_has_waiters(const struct queue *queue);
/* Puts it behind the others that wait; ops is set. */
void queue_wait(struct queue *queue, struct waiter *waiter);
/* Puts it before all others: for the request of a call, of which only the newest counts. */
void queue_wait_first(struct queue *queue, struct waiter *waiter);
/* Whether nobody else waits for its queue. */
bool queue_waits_alone(const struct waiter *waiter);
/* Takes it out; the queue may then be released. */
void queue_leave(struct waiter *waiter);

/* Serves some of those who wait and for whom there are messages; the others in later turns. */
void queues_serve(void *arg);
/* Messages came to a stream that no queue reads: its waiters, if there are any, get it. */
void queues_unread(void *arg, struct stream *stream);
/* At the end of the port: ends whoever waits, forgets everything. */
void queues_release_waiters(struct longpoll *bus);
void queues_destroy(struct longpoll *bus);

#endif
