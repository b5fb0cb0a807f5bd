/* SPDX-License-Identifier: MIT */
/* The newest messages of a stream, found by their numbers: an array that goes round. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/core_internal.h"

enum { FIRST = 8 };

void ring_fini(struct ring *ring)
{
	while (ring->n)
		ring_shift(ring);
	free(ring->at);
	*ring = (struct ring){ 0 };
}

static int ring_grow(struct ring *ring)
{
	size_t cap = ring->cap ? ring->cap * 2 : FIRST;
	struct msg **at = malloc(cap * sizeof(struct msg *));

	if (!at)
		return -ENOMEM;
	for (size_t i = 0; i < ring->n; i++)
		at[i] = ring->at[(ring->head + i) & (ring->cap - 1)];
	free(ring->at);
	ring->at = at;
	ring->cap = cap;
	ring->head = 0;
	return 0;
}

int ring_push(struct ring *ring, struct msg *msg)
{
	if (ring->n == ring->cap && ring_grow(ring) < 0)
		return -ENOMEM;
	if (ring->n == 0)
		ring->first = msg->seq;
	assert(msg->seq == ring->first + ring->n);
	ring->at[(ring->head + ring->n++) & (ring->cap - 1)] = msg_ref(msg);
	return 0;
}

void ring_shift(struct ring *ring)
{
	assert(ring->n);
	(void)msg_unref(ring->at[ring->head]);
	ring->head = (ring->head + 1) & (ring->cap - 1);
	ring->first++;
	ring->n--;
	if (ring->n == 0 && ring->cap > FIRST) {
		free(ring->at);
		*ring = (struct ring){ 0 };
	}
}

struct msg *ring_get(const struct ring *ring, uint64_t seq)
{
	if (seq < ring->first || seq - ring->first >= ring->n)
		return NULL;
	return ring->at[(ring->head + (seq - ring->first)) & (ring->cap - 1)];
}
