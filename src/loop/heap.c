/* SPDX-License-Identifier: MIT */
/* A textbook binary heap; `place` in each timer makes removal from the middle cheap. */
#include "loop/heap.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST = 32 };

void heap_fini(struct heap *h)
{
	free(h->at);
	*h = (struct heap){ 0 };
}

static void set(struct heap *h, size_t place, struct timer *t)
{
	h->at[place] = t;
	t->place = place;
}

static void rise(struct heap *h, size_t place, struct timer *t)
{
	while (place > 1 && h->at[place / 2]->due_ms > t->due_ms) {
		set(h, place, h->at[place / 2]);
		place /= 2;
	}
	set(h, place, t);
}

static void sink(struct heap *h, size_t place, struct timer *t)
{
	for (size_t child; (child = place * 2) <= h->n; place = child) {
		if (child < h->n && h->at[child + 1]->due_ms < h->at[child]->due_ms)
			child++;
		if (h->at[child]->due_ms >= t->due_ms)
			break;
		set(h, place, h->at[child]);
	}
	set(h, place, t);
}

int heap_add(struct heap *h, struct timer *t)
{
	if (h->n + 1 >= h->cap) {
		size_t cap = h->cap ? h->cap * 2 : FIRST;
		struct timer **at = realloc(h->at, cap * sizeof(*at));

		if (!at)
			return -ENOMEM;
		h->at = at;
		h->cap = cap;
	}
	rise(h, ++h->n, t);
	return 0;
}

void heap_del(struct heap *h, struct timer *t)
{
	size_t place = t->place;
	struct timer *last = h->at[h->n--];

	t->place = 0;
	if (last == t)
		return;
	if (place > 1 && h->at[place / 2]->due_ms > last->due_ms)
		rise(h, place, last);
	else
		sink(h, place, last);
}

struct timer *heap_first(const struct heap *h)
{
	return h->n ? h->at[1] : NULL;
}
