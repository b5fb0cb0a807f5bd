/* SPDX-License-Identifier: MIT */
/*
 * Queues that somebody reads: one cursor for all pollers of a queue, and those who wait, in order.
 *
 *     bus.serving: queue ── queue ── queue     those that have messages; each turn serves some
 *                    │        │                waiters, one of each queue, round and round
 *                  waiter   waiter             longest-waiting first
 *                  waiter
 *
 * A queue is here from its first poll until it is empty and nobody waits; its messages are the
 * stream's, and outlive it. So a poller of a name that never was costs memory only while it waits,
 * and not much: a queue gets a cursor, and its stream, when a message is there. (Thousands of
 * workers that each wait on a queue of their own cost a name each beside their connections.) The
 * first message of a queue without a cursor is told by the streams' watch, the others by the cursor:
 * never by a search.
 */
#include "buses/longpoll/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "buses/longpoll/call_events.h"
#include "buses/longpoll/longpoll_internal.h"
#include "core/queue_view.h"

enum {
	WINDOW = 4096,      /* messages of one queue in answers that have not arrived */
	SERVED_A_TURN = 64, /* waiters of the whole bus: some 0.5 ms, then others have their turn */
	AT_ONCE = 8,        /* of these, when their messages have just come */
};

struct queue {
	struct map_node node; /* longpoll.queues; its key is ours */
	struct longpoll *bus;
	struct stream *stream;      /* NULL: nothing has been there since its first poll */
	struct cursor *cursor;      /* with the stream */
	struct call_events *events; /* with the cursor, if the messages are of calls; else NULL */
	struct list waiters;        /* struct waiter.link: longest-waiting first */
	struct list serving;        /* longpoll.serving */
	unsigned held;              /* by those who are neither waiters nor have taken anything */
	char key[];
};

_Static_assert(sizeof(struct queue) <= 104, "a queue without messages is small");

/* True: there may be more for those who still wait. The queue may be gone afterwards. */
static bool queue_serve(struct queue *queue)
{
	if (queue->events)
		call_events_sort(queue->events);
	if (!list_empty(&queue->waiters)) {
		struct waiter *waiter = container_of(queue->waiters.next, struct waiter, link);
		enum served served = waiter->ops->serve(waiter);

		if (served == SERVED_NOTHING)
			return false; /* when there is something the cursor comes back */
		if (served == SERVED_AGAIN) {
			list_del(&waiter->link);
			list_add_tail(&queue->waiters, &waiter->link);
		}
	}
	if (!list_empty(&queue->waiters))
		return true;
	queue_release(queue);
	return false;
}

void queues_serve(void *arg)
{
	struct longpoll *bus = arg;
	unsigned served = bus->served_at_once;

	bus->served_at_once = 0;
	for (; served < SERVED_A_TURN && !list_empty(&bus->serving); served++) {
		struct queue *queue = container_of(bus->serving.next, struct queue, serving);

		list_del(&queue->serving);
		assert(bus->serving.next != &queue->serving); /* which analysers can't see */
		if (queue_serve(queue))
			queue_wake(queue);
	}
	if (!list_empty(&bus->serving))
		task_defer(&bus->serve);
}

void queue_wake(struct queue *queue)
{
	if (list_empty(&queue->serving))
		list_add_tail(&queue->bus->serving, &queue->serving);
	task_defer(&queue->bus->serve);
}

/* The cursor has something: this is a turn of its own already, so who waits longest is served in it. */
static void queue_ready(void *arg)
{
	struct queue *queue = arg;

	struct longpoll *bus = queue->bus;

	/* The task begins the count anew. */
	task_defer(&bus->serve);
	if (queue->events || bus->served_at_once == AT_ONCE || !list_empty(&bus->serving)) {
		queue_wake(queue);
		return;
	}
	bus->served_at_once++;
	if (queue_serve(queue))
		queue_wake(queue);
}

/* Begins to read the stream: 0 or -ENOMEM. */
static int queue_attach(struct queue *queue, struct stream *stream)
{
	int rc = cursor_create(stream, CURSOR_REQUIRED | CURSOR_LEASED, WINDOW, queue_ready, queue,
			       &queue->cursor);

	if (rc < 0)
		return rc;
	if (place_is_of_calls(queue->node.key)) {
		queue->events = call_events_create(queue, queue->cursor);
		if (!queue->events) {
			queue->cursor = cursor_destroy(queue->cursor);
			return -ENOMEM;
		}
	}
	queue->stream = stream_ref(stream);
	return 0;
}

void queues_unread(void *arg, struct stream *stream)
{
	struct longpoll *bus = arg;
	struct str sid = account_sid(bus->account), name = stream_name(stream);

	if (!str_starts(name, sid) || name.n == sid.n || name.p[sid.n] != '/')
		return;
	struct str key = str_skip(name, sid.n + 1);
	struct queue *queue = queue_find(bus, key);
	/* Without memory the next message, or the next poll, tries again. */
	if (!queue && place_is_of_calls(key))
		(void)queue_open(bus, key); /* calls die although nobody reads of them */
	else if (queue && !queue->cursor)
		(void)queue_attach(queue, stream);
}

static void queue_destroy(struct queue *queue)
{
	list_del(&queue->serving);
	queue->events = call_events_destroy(queue->events);
	if (queue->cursor) {
		/* Nobody else reads it; without its cursor the stream would keep what is settled. */
		stream_trim(queue->stream, cursor_floor(queue->cursor));
		(void)cursor_destroy(queue->cursor);
		(void)stream_unref(queue->stream);
	}
	free(queue);
}

/* What is there already gets its cursor now. */
static int queue_look(struct queue *queue)
{
	struct stream *stream = place_stream(queue->bus, queue->node.key, false);
	int rc = 0;

	if (stream && stream_first(stream) < stream_visible(stream))
		rc = queue_attach(queue, stream);
	if (stream)
		(void)stream_unref(stream);
	return rc;
}

struct queue *queue_find(const struct longpoll *bus, struct str key)
{
	struct map_node *node = map_find(&bus->queues, key);

	return node ? container_of(node, struct queue, node) : NULL;
}

struct queue *queue_open(struct longpoll *bus, struct str key)
{
	struct queue *queue = queue_find(bus, key);

	if (queue)
		return queue;
	queue = calloc(1, sizeof(*queue) + key.n);
	if (!queue)
		return NULL;
	queue->bus = bus;
	list_init(&queue->waiters);
	list_init(&queue->serving);
	memcpy(queue->key, key.p, key.n);
	if (map_add(&bus->queues, &queue->node, str_make(queue->key, key.n)) < 0) {
		free(queue);
		return NULL;
	}
	if (queue_look(queue) < 0) {
		map_del(&bus->queues, &queue->node);
		queue_destroy(queue);
		return NULL;
	}
	return queue;
}

void queue_release(struct queue *queue)
{
	if (queue->held || !list_empty(&queue->waiters) ||
	    (queue->cursor && (cursor_in_flight(queue->cursor) || cursor_lag(queue->cursor))))
		return;
	map_del(&queue->bus->queues, &queue->node);
	queue_destroy(queue);
}

void queue_hold(struct queue *queue)
{
	queue->held++;
}

void queue_let_go(struct queue *queue)
{
	queue->held--;
	queue_release(queue);
}

struct longpoll *queue_bus(const struct queue *queue)
{
	return queue->bus;
}

struct str queue_key(const struct queue *queue)
{
	return queue->node.key;
}

int queue_take(struct queue *queue, struct msg **ret)
{
	if (queue->events)
		return call_events_take(queue->events, queue->bus->take_dead, ret);
	return queue->cursor ? cursor_take(queue->cursor, ret) : 0;
}

void queue_settle(struct queue *queue, uint64_t seq, bool done)
{
	cursor_settle(queue->cursor, seq, done);
}

unsigned queue_returns(const struct queue *queue, uint64_t seq)
{
	return cursor_returns(queue->cursor, seq);
}

uint64_t queue_unread(const struct queue *queue)
{
	return queue->cursor ? cursor_lag(queue->cursor) - cursor_holds(queue->cursor) : 0;
}

bool queue_is_held_up(const struct queue *queue)
{
	return queue->cursor && cursor_lag(queue->cursor) > cursor_in_flight(queue->cursor);
}

bool queue_is_moving(const struct queue *queue)
{
	return queue->events && call_events_moving(queue->events);
}

struct queue *queue_missed(struct queue *queue)
{
	char bytes[CALL_NAME_MAX];
	struct str key;

	if (!place_is_of_calls(queue->node.key))
		return NULL;
	key = place_missed(queue->node.key, bytes);
	return key.p ? queue_open(queue->bus, key) : NULL;
}

void queue_look_behind(struct queue *queue)
{
	struct queue *calls = NULL;
	struct str path;

	if (place_is_missed(queue->node.key, &path))
		calls = queue_open(queue->bus, path);
	if (calls)
		queue_release(calls);
}

uint64_t queue_length(struct longpoll *bus, struct str key)
{
	const struct queue *queue = queue_find(bus, key);
	uint64_t length;

	if (queue && queue->cursor)
		return cursor_lag(queue->cursor) -
		       (queue->events ? call_events_hidden(queue->events) : 0);
	struct stream *stream = place_stream(bus, key, false);
	if (!stream)
		return 0;
	length = stream_visible(stream) - stream_first(stream);
	(void)stream_unref(stream);
	return length;
}

void queue_look_at(const struct longpoll *bus, struct str key, struct queue_view *view)
{
	const struct queue *queue = queue_find(bus, key);

	if (!queue)
		return;
	list_for_each (it, &queue->waiters)
		view->waiters++;
	if (!queue->cursor)
		return;
	/* The cursor's floor may be below what was purged, while something is under way. */
	view->under_way = cursor_in_flight(queue->cursor) -
			  (queue->events ? call_events_count(queue->events) : 0);
	if (cursor_lag(queue->cursor) < view->messages)
		view->messages = cursor_lag(queue->cursor);
	if (view->messages < view->under_way)
		view->messages = view->under_way;
}

void queues_each_bare(const struct longpoll *bus, void (*fn)(void *arg, struct str key), void *arg)
{
	map_for_each (node, &bus->queues)
		if (!container_of(node, struct queue, node)->stream)
			fn(arg, node->key);
}

void queue_drop_returned(struct longpoll *bus, struct str key)
{
	struct queue *queue = queue_find(bus, key);
	struct msg *msg;

	if (queue && queue->events)
		call_events_purge(queue->events);
	while (queue && queue->cursor && cursor_take(queue->cursor, &msg) > 0) {
		cursor_settle(queue->cursor, msg->seq, true);
		(void)msg_unref(msg);
	}
	if (queue)
		queue_wake(queue); /* which may have nothing to stay for */
}

/* Whether somebody has the message, or had it and it was settled. */
static bool was_taken(struct longpoll *bus, struct str key, uint64_t seq)
{
	struct stream *stream = place_stream(bus, key, false);
	const struct queue *queue = queue_find(bus, key);
	bool trimmed = !stream || stream_first(stream) > seq;

	if (stream)
		(void)stream_unref(stream);
	return trimmed || (queue && queue->cursor && cursor_has_taken(queue->cursor, seq));
}

bool queue_deliver(struct longpoll *bus, struct str key, uint64_t seq)
{
	for (int i = 0; i < SERVED_A_TURN && !was_taken(bus, key, seq); i++) {
		struct queue *queue = queue_find(bus, key);

		if (!queue || !queue_serve(queue))
			break;
	}
	return was_taken(bus, key, seq);
}

bool queue_is_crowded(const struct queue *queue)
{
	return queue->cursor && cursor_in_flight(queue->cursor) > WINDOW / 2;
}

bool queue_has_waiters(const struct queue *queue)
{
	return !list_empty(&queue->waiters);
}

void queue_wait(struct queue *queue, struct waiter *waiter)
{
	waiter->queue = queue;
	list_add_tail(&queue->waiters, &waiter->link);
	queue->bus->waiters++;
}

void queue_wait_first(struct queue *queue, struct waiter *waiter)
{
	waiter->queue = queue;
	list_add_head(&queue->waiters, &waiter->link);
	queue->bus->waiters++;
}

bool queue_waits_alone(const struct waiter *waiter)
{
	const struct list *all = &waiter->queue->waiters;

	return all->next == &waiter->link && all->prev == &waiter->link;
}

void queue_leave(struct waiter *waiter)
{
	list_del(&waiter->link);
	waiter->queue->bus->waiters--;
}

void queues_release_waiters(struct longpoll *bus)
{
	map_for_each (node, &bus->queues) {
		struct queue *queue = container_of(node, struct queue, node);

		list_for_each_safe (it, &queue->waiters) {
			struct waiter *waiter = container_of(it, struct waiter, link);

			waiter->ops->end(waiter);
		}
		queue_release(queue);
	}
}

void queues_destroy(struct longpoll *bus)
{
	map_for_each (node, &bus->queues) {
		map_del(&bus->queues, node);
		queue_destroy(container_of(node, struct queue, node));
	}
	map_fini(&bus->queues);
}
