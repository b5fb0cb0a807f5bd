/* SPDX-License-Identifier: MIT */
/*
 * A ring of entries. Small ones double when full, others grow by a quarter: with millions of
 * records what is unused would else be most of our memory. Halved when three quarters are empty.
 */
#include "journal/index.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_FIRST = 4, INDEX_DOUBLES = 64 };

void index_fini(struct index *ix)
{
	free(ix->ring);
	*ix = (struct index){ 0 };
}

static int index_resize(struct index *ix, uint32_t cap)
{
	struct index_entry *ring = malloc((size_t)cap * sizeof(*ring));
	uint32_t run = ix->cap - ix->start < ix->count ? ix->cap - ix->start : ix->count;

	if (!ring)
		return -ENOMEM;
	if (ix->count) {
		memcpy(ring, ix->ring + ix->start, run * sizeof(*ring));
		memcpy(ring + run, ix->ring, (ix->count - run) * sizeof(*ring));
	}
	free(ix->ring);
	ix->ring = ring;
	ix->cap = cap;
	ix->start = 0;
	return 0;
}

int index_reserve(struct index *ix)
{
	uint32_t cap = ix->cap;

	if (ix->count < cap)
		return 0;
	if (cap > UINT32_MAX / 2)
		return -ENOMEM;
	return index_resize(ix, cap == 0              ? INDEX_FIRST
				: cap < INDEX_DOUBLES ? cap * 2
						      : cap + cap / 4);
}

int index_reserve_many(struct index *ix, uint32_t n)
{
	if (ix->cap - ix->count >= n)
		return 0;
	return n > UINT32_MAX / 2 - ix->count ? -ENOMEM : index_resize(ix, ix->count + n);
}

void index_push(struct index *ix, struct index_entry entry)
{
	assert(ix->count < ix->cap);
	*index_at(ix, ix->count++) = entry;
}

void index_push_missing_front(struct index *ix)
{
	assert(ix->count < ix->cap);
	ix->start = (ix->start ? ix->start : ix->cap) - 1;
	ix->ring[ix->start] = (struct index_entry){ 0 };
	ix->count++;
}

struct index_entry *index_at(const struct index *ix, uint32_t i)
{
	return &ix->ring[i < ix->cap - ix->start ? ix->start + i : i - (ix->cap - ix->start)];
}

struct index_entry index_pop(struct index *ix)
{
	struct index_entry entry = ix->ring[ix->start];

	assert(ix->count);
	if (++ix->start == ix->cap)
		ix->start = 0;
	ix->count--;
	if (ix->count == 0)
		index_fini(ix);
	else if (ix->cap > INDEX_FIRST && ix->count < ix->cap / 4)
		(void)index_resize(ix, ix->cap / 2); /* else it stays large */
	return entry;
}
