/* SPDX-License-Identifier: MIT */
/* The timers of a loop, earliest first: a binary heap whose entries know their places. */
#ifndef VOXBUS_LOOP_HEAP_H
#define VOXBUS_LOOP_HEAP_H

#include "loop/loop.h"

struct heap {
	struct timer **at; /* from 1 */
	size_t n, cap;
};

void heap_fini(struct heap *h);
/* Puts a timer with its due_ms set where it belongs: 0 or -ENOMEM. */
int heap_add(struct heap *h, struct timer *t);
void heap_del(struct heap *h, struct timer *t);
/* The earliest, or NULL. Equal times: any order. */
struct timer *heap_first(const struct heap *h);

#endif
