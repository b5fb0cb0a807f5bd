/* SPDX-License-Identifier: MIT */
/*
 * Sorting what a queue of calls has.
 *
 * Each message lies on one pile. What is READY may have lost its call since it was put there; that
 * is looked at when it is taken, so that parking a call costs nothing.
 *
 * Bounds. READY: a cursor is read ahead only as far as AHEAD_*, for it is read for the sake of the
 * dead. PARKED: beyond PARKED_* the call that is parked longest is given up before its time, or
 * its event would fill the cursor's window and hold up the calls behind it. MOVING and STUCK: what
 * the window leaves; while the journal refuses copies it refuses new events as well.
 * All queues together: beyond BUS_BYTES nothing more is read ahead, since anybody may post to
 * thousands of names; a reader still gets its queue's next message, and what is on the disk is sorted
 * a second later.
 */
#include "buses/longpoll/call_events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "buses/longpoll/bury.h"
#include "buses/longpoll/dedup.h"
#include "buses/longpoll/longpoll_internal.h"

enum {
	A_TURN = 256, /* messages sorted at once */
	AHEAD_MAX = 1024,
	AHEAD_BYTES = 1 << 20,
	PARKED_MAX = 2048, /* half of the cursor's window */
	PARKED_BYTES = 8 << 20,
	BUS_BYTES = 32 << 20,
	RETRY_MS = 1000
};

enum where { READY, PARKED, MOVING, STUCK, N_PILES };

/* A message that is set aside in the cursor. */
struct event {
	struct list link; /* pile.events */
	struct list kept; /* call.kept */
	struct call_events *events;
	struct call *call; /* NULL: it is no call's, or its call is dead */
	struct msg *msg;
	enum where where;
};

struct pile {
	struct list events; /* struct event.link; READY by number, PARKED longest ago first */
	size_t n, bytes;
};

struct call_events {
	struct queue *queue;
	struct cursor *cursor;
	struct event *spare; /* for the next message: nothing is taken that can't be kept */
	struct timer retry;  /* memory was short, or a copy was refused */
	struct pile piles[N_PILES];
};

static void pile_del(struct event *event)
{
	struct pile *pile = &event->events->piles[event->where];

	list_del(&event->link);
	pile->n--;
	pile->bytes -= msg_bytes(event->msg);
	queue_bus(event->events->queue)->event_bytes -= msg_bytes(event->msg);
}

/* By number: new messages at the end, what comes back mostly near the beginning. */
static void pile_add_sorted(struct pile *pile, struct event *event)
{
	struct list *at = &pile->events;

	if (!list_empty(at) &&
	    container_of(at->prev, struct event, link)->msg->seq > event->msg->seq)
		for (at = at->next;
		     container_of(at, struct event, link)->msg->seq < event->msg->seq;)
			at = at->next;
	list_add_tail(at, &event->link);
}

static void pile_add(struct event *event, enum where where)
{
	struct pile *pile = &event->events->piles[where];

	event->where = where;
	if (where == READY)
		pile_add_sorted(pile, event);
	else
		list_add_tail(&pile->events, &event->link);
	pile->n++;
	pile->bytes += msg_bytes(event->msg);
	queue_bus(event->events->queue)->event_bytes += msg_bytes(event->msg);
}

static void event_put(struct event *event, enum where where)
{
	pile_del(event);
	pile_add(event, where);
}

/* It has left its pile. */
static void event_free(struct event *event)
{
	list_del(&event->kept);
	event->msg = msg_unref(event->msg);
	free(event);
}

static void event_settle(struct event *event)
{
	struct call_events *events = event->events;

	pile_del(event);
	if (cursor_take_aside(events->cursor, event->msg->seq))
		cursor_settle(events->cursor, event->msg->seq, true);
	event_free(event);
}

static void try_later(struct call_events *events)
{
	/* Without memory for the timer whatever comes next tries again. */
	if (!timer_running(&events->retry))
		(void)timer_start(&events->retry, RETRY_MS);
}

/* --- to <path>/missed --- */

static void on_moved(void *arg, int rc)
{
	struct event *event = arg;
	struct queue *queue = event->events->queue;
	struct longpoll *bus = queue_bus(queue);

	if (rc < 0) {
		event_put(event, STUCK);
		try_later(event->events);
		copy_finished(bus);
		return;
	}
	bus->calls_missed++;
	log_debug(bus->env.log, "call event missed", "call=%.*s queue=%.*s id=%.*s",
		  STR_ARG(event->msg->dialog), STR_ARG(event->msg->topic), STR_ARG(event->msg->id));
	event_settle(event);
	queue_wake(queue); /* who waits for missed calls as well */
	queue_release(queue);
	copy_finished(bus);
}

static int append_copy(struct event *event, struct stream *stream, struct str key)
{
	struct msg copy = *event->msg;

	copy.seq = stream_next(stream);
	copy.topic = key;
	copy.flags = 0;
	auto_msg struct msg *msg = msg_create(&copy);
	return msg ? stream_append(stream, msg, on_moved, event) : -ENOMEM;
}

/* Appends a copy to the list of missed calls: 0 and on_moved comes, or why not. */
static int event_copy(struct event *event)
{
	struct queue *queue = event->events->queue;
	char bytes[CALL_NAME_MAX];
	struct longpoll *bus = queue_bus(queue);
	struct str key = place_missed(queue_key(queue), bytes);

	/* The next start finds it, and waits for its call once more. */
	if (bus->stopped)
		return -ESHUTDOWN;
	struct stream *stream = key.p ? place_stream(bus, key, true) : NULL;
	if (!stream)
		return -ENOMEM;
	int rc = append_copy(event, stream, key);
	bus->copies += rc == 0;
	(void)stream_unref(stream);
	return rc;
}

static void event_move(struct event *event)
{
	struct longpoll *bus = queue_bus(event->events->queue);

	list_del(&event->kept);
	event->call = NULL;
	/* A retry that came now would be held, and without an event nobody would hear of it. */
	if (!bus->stopped)
		dedup_forget(bus->dedup, event->msg->id);
	int rc = event_copy(event);
	event_put(event, rc < 0 ? STUCK : MOVING);
	if (rc < 0)
		try_later(event->events);
}

/* --- sorting --- */

static struct call *call_of(const struct call_events *events, const struct msg *msg)
{
	struct webhook *webhook = queue_bus(events->queue)->webhook;
	char bytes[CALL_NAME_MAX];
	struct str name = place_join(queue_key(events->queue), msg->dialog, bytes);
	if (!name.p)
		return NULL;
	struct call *call = webhook_find(webhook, name);
	if (!call && msg->flags & MSG_RECOVERED)
		call = webhook_expect(webhook, name);
	return call && call->state != CALL_DEAD ? call : NULL;
}

static void parked_limit(struct call_events *events)
{
	struct pile *parked = &events->piles[PARKED];

	if (parked->n > PARKED_MAX || parked->bytes > PARKED_BYTES)
		webhook_give_up(container_of(parked->events.next, struct event, link)->call);
}

static void event_sort(struct event *event)
{
	struct call_events *events = event->events;

	pile_add(event, READY);
	if (!event->msg->dialog.n)
		return;
	event->call = call_of(events, event->msg);
	if (!event->call) {
		event_move(event);
		return;
	}
	list_add_tail(&event->call->kept, &event->kept);
	if (event->call->state == CALL_HELD)
		return;
	event_put(event, PARKED);
	parked_limit(events);
}

/* Room for one more message: true, or it is tried later. */
static bool spare_make(struct call_events *events)
{
	if (!events->spare)
		events->spare = calloc(1, sizeof(*events->spare));
	if (!events->spare)
		try_later(events);
	return events->spare;
}

/* True: there may be more. */
static bool sort_next(struct call_events *events)
{
	struct event *event;

	if (!spare_make(events) || cursor_take(events->cursor, &events->spare->msg) == 0)
		return false;
	event = events->spare;
	events->spare = NULL;
	event->events = events;
	list_init(&event->link);
	list_init(&event->kept);
	cursor_set_aside(events->cursor, event->msg->seq);
	event_sort(event);
	return true;
}

/* wanted: somebody takes one now. */
static void sort_some(struct call_events *events, bool wanted)
{
	const struct pile *ready = &events->piles[READY];

	for (int i = 0; ready->n < AHEAD_MAX && ready->bytes < AHEAD_BYTES; i++) {
		if (queue_bus(events->queue)->event_bytes >= BUS_BYTES && (ready->n || !wanted)) {
			if (!ready->n)
				try_later(events);
			return;
		}
		if (!sort_next(events))
			return;
		if (i == A_TURN) {
			queue_wake(events->queue);
			return;
		}
	}
}

void call_events_sort(struct call_events *events)
{
	sort_some(events, false);
}

static void on_retry(void *arg)
{
	struct call_events *events = arg;
	struct list stuck;

	list_init(&stuck);
	list_splice_tail(&stuck, &events->piles[STUCK].events);
	while (!list_empty(&stuck))
		event_move(container_of(stuck.next, struct event, link));
	queue_wake(events->queue);
}

/* --- taking --- */

static struct event *first_of(const struct pile *pile)
{
	return list_empty(&pile->events) ? NULL
					 : container_of(pile->events.next, struct event, link);
}

static bool has_expired(const struct event *event)
{
	uint64_t now = loop_now(queue_bus(event->events->queue)->env.loop);

	return event->msg->ttl_ms && now >= event->msg->expires_ms;
}

static struct event *next_ready(struct call_events *events)
{
	list_for_each_safe (it, &events->piles[READY].events) {
		struct event *event = container_of(it, struct event, link);

		if (event->call && event->call->state != CALL_HELD) {
			event_put(event, PARKED);
			parked_limit(events);
		} else if (has_expired(event)) {
			event_settle(event);
		} else {
			return event;
		}
	}
	return NULL;
}

int call_events_take(struct call_events *events, bool dead, struct msg **ret)
{
	sort_some(events, true);
	struct event *event = next_ready(events);
	struct event *parked = dead ? first_of(&events->piles[PARKED]) : NULL;

	if (parked && (!event || parked->msg->seq < event->msg->seq))
		event = parked;
	if (!event)
		return 0;
	*ret = msg_ref(event->msg);
	(void)cursor_take_aside(events->cursor, event->msg->seq);
	pile_del(event);
	event_free(event);
	return 1;
}

size_t call_events_hidden(const struct call_events *events)
{
	return events->piles[PARKED].n + events->piles[MOVING].n + events->piles[STUCK].n;
}

bool call_events_moving(const struct call_events *events)
{
	return events->piles[MOVING].n || events->piles[STUCK].n;
}

size_t call_events_count(const struct call_events *events)
{
	return events->piles[READY].n + call_events_hidden(events);
}

void call_events_purge(struct call_events *events)
{
	for (enum where where = READY; where <= PARKED; where++)
		list_for_each_safe (it, &events->piles[where].events)
			event_settle(container_of(it, struct event, link));
}

/* --- life --- */

void call_events_changed(void *bus, struct call *call)
{
	(void)bus;
	list_for_each_safe (it, &call->kept) {
		struct event *event = container_of(it, struct event, kept);

		if (call->state == CALL_DEAD) {
			event_move(event);
		} else if (call->state == CALL_HELD && event->where == PARKED) {
			event_put(event, READY);
			queue_wake(event->events->queue);
		}
	}
}

struct call_events *call_events_create(struct queue *queue, struct cursor *cursor)
{
	struct call_events *events = calloc(1, sizeof(*events));

	if (!events)
		return NULL;
	events->queue = queue;
	events->cursor = cursor;
	timer_init(&events->retry, queue_bus(queue)->env.loop, on_retry, events);
	for (int i = 0; i < N_PILES; i++)
		list_init(&events->piles[i].events);
	return events;
}

struct call_events *call_events_destroy(struct call_events *events)
{
	if (!events)
		return NULL;
	timer_stop(&events->retry);
	for (int i = 0; i < N_PILES; i++)
		list_for_each_safe (it, &events->piles[i].events) {
			struct event *event = container_of(it, struct event, link);

			pile_del(event);
			event_free(event);
		}
	free(events->spare);
	free(events);
	return NULL;
}
