/* SPDX-License-Identifier: MIT */
/*
 * What streams keep in memory, and who gives way when it is too much.
 *
 * A message that is in the journal, too, can leave the memory at any time: whoever is behind reads it from
 * the disk. So when all streams together pass their limit, those that were written to longest ago spill
 * first: a backlog that nobody reads does not push out the calls that are being served. Streams without
 * a record have nowhere to spill to: they drop their oldest, counted.
 * Cursors that are behind read ahead, and ever less the more all of them hold.
 */
#include "core/core_internal.h"

enum {
	SPARE = 16,   /* messages that a stream without a record keeps when memory is short */
	VICTIMS = 16, /* streams looked at for one append */
	LOAD_BYTES = 262144,
	LOAD_LEAST = 4096,
};

void stream_keep(struct stream *s, const struct msg *msg)
{
	s->set->stats.messages_in_memory++;
	s->set->stats.bytes_in_memory += msg_bytes(msg);
	list_del(&s->resident);
	if (s->js)
		list_add_tail(&s->set->resident, &s->resident);
}

void stream_shift(struct stream *s)
{
	s->set->stats.messages_in_memory--;
	s->set->stats.bytes_in_memory -= msg_bytes(ring_get(&s->ring, s->ring.first));
	ring_shift(&s->ring);
	if (!s->ring.n)
		list_del(&s->resident);
}

static bool over(const struct streams *set)
{
	return set->stats.bytes_in_memory > set->limits.memory_bytes;
}

/* The oldest is in memory, and on the disk, which can be read. */
static bool can_spill(const struct stream *s)
{
	return s->js && !s->detached && !s->set->stalled && s->ring.n && s->ring.first < s->written;
}

static void spill_oldest(struct streams *set)
{
	int looked = 0;

	list_for_each_safe (it, &set->resident) {
		struct stream *s = container_of(it, struct stream, resident);

		if (!over(set) || looked++ == VICTIMS)
			return;
		while (over(set) && can_spill(s))
			stream_shift(s);
		if (!over(set) || !s->ring.n)
			continue;
		/* It has given what it could: others are asked first the next time. */
		list_del(&s->resident);
		list_add_tail(&set->resident, &s->resident);
	}
}

static void drop_oldest(struct stream *s)
{
	uint64_t before = s->first;

	stream_drop_below(s, s->ring.first + 1);
	s->set->stats.dropped += s->first - before;
}

void stream_evict(struct stream *s)
{
	const struct stream_limits *limits = &s->set->limits;

	while (s->ring.n > limits->ring_max && can_spill(s))
		stream_shift(s);
	if (over(s->set))
		spill_oldest(s->set);
	if (s->js && !s->detached)
		return;
	while (s->ring.n && s->ring.first < s->visible &&
	       (s->ring.n > limits->memory_max || (s->ring.n > SPARE && over(s->set))))
		drop_oldest(s);
}

void stream_spill(struct stream *s)
{
	while (s->js && !s->detached && s->ring.n && s->ring.first < s->written)
		stream_shift(s);
}

size_t streams_load_bytes(const struct streams *set)
{
	size_t max = set->limits.memory_bytes / 2, left = max > set->loaded ? max - set->loaded : 0;

	if (left / 8 > LOAD_BYTES)
		return LOAD_BYTES;
	return left / 8 > LOAD_LEAST ? left / 8 : LOAD_LEAST;
}

void streams_loaded(struct streams *set, const struct msg *msg, bool on)
{
	if (on)
		set->loaded += msg_bytes(msg);
	else
		set->loaded -= msg_bytes(msg);
}
