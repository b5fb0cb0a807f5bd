/* SPDX-License-Identifier: MIT */
/*
 * Queues that somebody reads: one cursor for all pollers of a queue, and those who wait, in order.
 *
 * A queue is here from its first poll until it is empty and nobody waits; its messages are the
 * stream's, and outlive it. So a poller of a name that never was costs memory only while it waits.
 * A message wakes the queue by its cursor, never by a search: the one who has waited longest is
 * the head of the list.
 */
#include <errno.h>
#include <stdlib.h>

#include "buses/longpoll/longpoll_internal.h"

enum {
	WINDOW = 4096,     /* messages of one queue in answers that the kernel has not taken */
	SERVE_AT_ONCE = 64 /* waiters of one queue in one turn */
};

struct queue {
	struct map_node node; /* longpoll.queues */
	struct longpoll *bus;
	struct stream *stream;
	struct cursor *cursor;
	struct list waiters; /* struct poll.link: longest-waiting first */
	struct task serve;   /* the rest of a long list of waiters */
	size_t key_n;
	char key[];
};

_Static_assert(sizeof(struct poll) <= 256, "a parked poll is small");

static void queue_serve(void *arg)
{
	struct queue *queue = arg;

	for (int i = 0; !list_empty(&queue->waiters); i++) {
		struct poll *poll = container_of(queue->waiters.next, struct poll, link);

		if (i == SERVE_AT_ONCE) {
			task_defer(&queue->serve);
			return;
		}
		if (!poll_answer(queue->bus, queue, poll->request, poll->max))
			return;
		queue_leave(poll);
		free(poll);
	}
	queue_release(queue);
}

static void queue_destroy(struct queue *queue)
{
	task_cancel(&queue->serve);
	/* Nobody else reads it; without its cursor the stream would keep what is settled. */
	stream_trim(queue->stream, cursor_floor(queue->cursor));
	(void)cursor_destroy(queue->cursor);
	(void)stream_unref(queue->stream);
	free(queue);
}

struct queue *queue_open(struct longpoll *bus, struct str key)
{
	struct map_node *node = map_find(&bus->queues, key);

	if (node)
		return container_of(node, struct queue, node);
	struct queue *queue = calloc(1, sizeof(*queue) + key.n);
	if (!queue)
		return NULL;
	queue->bus = bus;
	list_init(&queue->waiters);
	task_init(&queue->serve, bus->env.loop, queue_serve, queue);
	memcpy(queue->key, key.p, key.n);
	queue->key_n = key.n;
	queue->stream = place_stream(bus, key, true);
	if (!queue->stream || cursor_create(queue->stream, CURSOR_REQUIRED, WINDOW, queue_serve,
					    queue, &queue->cursor) < 0)
		goto fail;
	if (map_add(&bus->queues, &queue->node, str_make(queue->key, queue->key_n)) < 0)
		goto fail;
	return queue;

fail:
	if (queue->cursor)
		(void)cursor_destroy(queue->cursor);
	if (queue->stream)
		(void)stream_unref(queue->stream);
	free(queue);
	return NULL;
}

void queue_release(struct queue *queue)
{
	if (!list_empty(&queue->waiters) || cursor_in_flight(queue->cursor) ||
	    cursor_lag(queue->cursor))
		return;
	map_del(&queue->bus->queues, &queue->node);
	queue_destroy(queue);
}

struct cursor *queue_cursor(struct queue *queue)
{
	return queue->cursor;
}

bool queue_has_waiters(const struct queue *queue)
{
	return !list_empty(&queue->waiters);
}

void queue_wait(struct queue *queue, struct poll *poll)
{
	poll->queue = queue;
	list_add_tail(&queue->waiters, &poll->link);
	queue->bus->waiters++;
}

void queue_leave(struct poll *poll)
{
	timer_stop(&poll->timeout);
	list_del(&poll->link);
	poll->queue->bus->waiters--;
}

void queues_release_waiters(struct longpoll *bus)
{
	map_for_each (node, &bus->queues) {
		struct queue *queue = container_of(node, struct queue, node);

		/* The last one's poll_end may take the queue with it. */
		for (bool more = queue_has_waiters(queue); more;) {
			struct poll *poll = container_of(queue->waiters.next, struct poll, link);

			more = poll->link.next != &queue->waiters;
			poll_end(poll);
		}
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
