/* SPDX-License-Identifier: MIT */
/*
 * Where the records of one stream are: 16 bytes each, in a ring that grows and shrinks.
 *
 * The numbers of a stream have no gaps, so the place in the ring is the number. A record that is
 * lost (damaged) leaves an entry without an offset.
 */
#ifndef VOXBUS_JOURNAL_INDEX_H
#define VOXBUS_JOURNAL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index_entry {
	uint32_t slot;   /* of the segment */
	uint32_t offset; /* in units of 8 bytes; 0 = missing */
	uint32_t length; /* of the body */
	uint32_t wall_s;
};

struct index {
	struct index_entry *ring;
	uint32_t cap, start, count;
};

/* Starts as zeros. */
void index_fini(struct index *ix);
/* Room for one more: 0 or -ENOMEM; index_push then can't fail. */
int index_reserve(struct index *ix);
/* Room for n more, and for no others. */
int index_reserve_many(struct index *ix, uint32_t n);
void index_push(struct index *ix, struct index_entry entry);
/* A missing one in front of all others; room was reserved. */
void index_push_missing_front(struct index *ix);
/* i < count, from the front. Valid until the next push or pop. */
struct index_entry *index_at(const struct index *ix, uint32_t i);
/* Takes the front one off; count > 0. */
struct index_entry index_pop(struct index *ix);

/* The next push is near: has the place where it goes fetched into the cache. */
static inline void index_prefetch(const struct index *ix)
{
	uint64_t at = (uint64_t)ix->start + ix->count;

	if (ix->ring)
		__builtin_prefetch(&ix->ring[at < ix->cap ? at : at - ix->cap], 1);
}

static inline bool index_missing(const struct index_entry *entry)
{
	return entry->offset == 0;
}

#endif
