/* SPDX-License-Identifier: MIT */
/*
 * The few queues that are outrun have an entry each, found by name; when there are more of them than
 * PACES_MAX the others go unpaced. A timer looks every PACE_MS: who has waited so long goes, and when
 * nobody has polled since it rang last, all go, and the entry.
 */
#include "buses/longpoll/pace.h"

#include <stdlib.h>

#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/queue.h"

enum {
	PACE_MS = 5,
	PACES_MAX = 16,
	HIGH = 128, /* so many unread messages keep a reader busy while others publish */
};

struct pace {
	struct list link; /* longpoll.paces */
	struct list held; /* struct paced.link */
	struct longpoll *bus;
	struct timer timer;
	bool polled; /* since the timer rang last */
	size_t n;
	char key[];
};

static struct pace *find(const struct longpoll *bus, struct str key)
{
	list_for_each (it, &bus->paces) {
		struct pace *pace = container_of(it, struct pace, link);

		if (str_eq(str_make(pace->key, pace->n), key))
			return pace;
	}
	return NULL;
}

static struct paced *first_held(const struct pace *pace)
{
	return list_empty(&pace->held) ? NULL : container_of(pace->held.next, struct paced, link);
}

static void release(struct pace *pace, size_t n)
{
	struct paced *first;

	for (; n && (first = first_held(pace)); n--) {
		list_del(&first->link);
		first->go(first);
	}
}

static void pace_end(struct pace *pace)
{
	release(pace, SIZE_MAX);
	timer_stop(&pace->timer);
	list_del(&pace->link);
	pace->bus->n_paces--;
	free(pace);
}

static void on_timer(void *arg)
{
	struct pace *pace = arg;
	uint64_t now = loop_now(pace->bus->env.loop);
	const struct paced *first;

	while ((first = first_held(pace)) && now - first->since_ms >= PACE_MS)
		release(pace, 1);
	if (!pace->polled || timer_start(&pace->timer, PACE_MS) < 0)
		pace_end(pace);
	else
		pace->polled = false;
}

/* NULL: without one, then. */
static struct pace *begin(struct longpoll *bus, struct str key)
{
	struct pace *pace;

	if (bus->n_paces == PACES_MAX || bus->stopped)
		return NULL;
	pace = calloc(1, sizeof(*pace) + key.n);
	if (!pace)
		return NULL;
	pace->bus = bus;
	pace->n = key.n;
	memcpy(pace->key, key.p, key.n);
	list_init(&pace->held);
	timer_init(&pace->timer, bus->env.loop, on_timer, pace);
	if (timer_start(&pace->timer, PACE_MS) < 0) {
		free(pace);
		return NULL;
	}
	list_add_tail(&bus->paces, &pace->link);
	bus->n_paces++;
	return pace;
}

void pace_polled(struct queue *queue, size_t n, size_t max)
{
	struct longpoll *bus = queue_bus(queue);
	struct str key = queue_key(queue);
	struct pace *pace = bus->n_paces || n == max ? find(bus, key) : NULL;

	if (!pace && n == max && queue_unread(queue) >= HIGH)
		pace = begin(bus, key);
	if (!pace)
		return;
	pace->polled = true;
	release(pace, queue_unread(queue) < HIGH ? SIZE_MAX : n);
}

bool pace_hold(struct longpoll *bus, struct str key, struct paced *paced)
{
	struct pace *pace = bus->n_paces ? find(bus, key) : NULL;
	struct queue *queue = pace ? queue_find(bus, key) : NULL;

	if (!queue || queue_unread(queue) < HIGH)
		return false;
	paced->since_ms = loop_now(bus->env.loop);
	list_add_tail(&pace->held, &paced->link);
	return true;
}

void paces_end(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->paces)
		pace_end(container_of(it, struct pace, link));
}
