/* SPDX-License-Identifier: MIT */
/* A ring of entries: doubled when full, halved when three quarters are empty. */
#include "journal/index.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { INDEX_FIRST = 4 };

void index_fini(struct index *ix)
{
	free(ix->ring);
	*ix = (struct index){ 0 };
}

static int index_resize(struct index *ix, uint32_t cap)
{
	struct index_entry *ring = malloc((size_t)cap * sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	for (uint32_t i = 0; i < ix->count; i++)
		ring[i] = *index_at(ix, i);
	free(ix->ring);
	ix->ring = ring;
	ix->cap = cap;
	ix->start = 0;
	return 0;
}

int index_reserve(struct index *ix)
{
	if (ix->count < ix->cap)
		return 0;
	if (ix->cap > UINT32_MAX / 2)
		return -ENOMEM;
	return index_resize(ix, ix->cap ? ix->cap * 2 : INDEX_FIRST);
}

void index_push(struct index *ix, struct index_entry entry)
{
	assert(ix->count < ix->cap);
	ix->ring[(ix->start + ix->count++) & (ix->cap - 1)] = entry;
}

struct index_entry *index_at(const struct index *ix, uint32_t i)
{
	return &ix->ring[(ix->start + i) & (ix->cap - 1)];
}

struct index_entry index_pop(struct index *ix)
{
	struct index_entry entry = ix->ring[ix->start];

	assert(ix->count);
	ix->start = (ix->start + 1) & (ix->cap - 1);
	ix->count--;
	if (ix->count == 0)
		index_fini(ix);
	else if (ix->cap > INDEX_FIRST && ix->count < ix->cap / 4)
		(void)index_resize(ix, ix->cap / 2); /* else it stays large */
	return entry;
}
