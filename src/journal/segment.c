/* SPDX-License-Identifier: MIT */
/*
 * Segments as the loop sees them: which one is written, what is alive in each, when one may go.
 *
 * A segment goes when no index points into it any more. But it may hold the newest word on a
 * stream that is empty now (its name, and which number comes next), or that a stream is dropped
 * whose records still lie in an older segment. So before it goes, these words are said again in
 * the current segment, and it is unlinked when they are durable:
 *
 *   dead ─► names and drops repeated, remove_lsn ─► durable reaches it ─► unlink ─► forgotten
 *
 * Where repeating costs more than a quarter of what it would free, the segment stays: else a log
 * of nothing but names would chase its own tail.
 */
#include <errno.h>
#include <stdlib.h>

#include "journal/journal_internal.h"

enum { REST_KEPT = 65536, SPARE_AGAIN_MS = 200 };

static int slot_find(struct journal *j, uint32_t *ret)
{
	struct segment **slots;
	size_t i = 0;

	while (i < j->n_slots && j->slots[i])
		i++;
	if (i == j->n_slots) {
		slots = realloc(j->slots, (i + 16) * sizeof(struct segment *));
		if (!slots)
			return -ENOMEM;
		memset(slots + i, 0, 16 * sizeof(struct segment *));
		j->slots = slots;
		j->n_slots = i + 16;
	}
	*ret = (uint32_t)i;
	return 0;
}

int segment_create_take(struct journal *j, int fd, const struct file_header *h,
			struct segment **ret)
{
	struct segment *s = calloc(1, sizeof(*s));
	struct file *f = file_create_take(fd, h->number, h->generation);

	if (!s || !f || slot_find(j, &s->slot) < 0) {
		free(s);
		(void)file_unref(f);
		return -ENOMEM;
	}
	f->size = h->size;
	f->lsn = h->lsn;
	f->before = h->before;
	s->file = f;
	s->number = h->number;
	s->size = h->size;
	s->end = FILE_HEADER;
	list_init(&s->streams);
	j->slots[s->slot] = s;
	j->disk_bytes += s->size;
	j->stats.segments++;
	*ret = s;
	return 0;
}

struct segment *segment_destroy(struct journal *j, struct segment *s)
{
	if (!s)
		return NULL;
	while (!list_empty(&s->streams))
		jstream_set_named(container_of(s->streams.next, struct jstream, named_link), NULL);
	compact_forget(j, s);
	j->slots[s->slot] = NULL;
	j->disk_bytes -= s->size;
	j->stats.segments--;
	(void)file_unref(s->file);
	free(s->tombs);
	free(s);
	return NULL;
}

uint64_t segments_bytes(const struct journal *j)
{
	return j->disk_bytes + j->n_spares * j->options.segment_bytes;
}

static bool quota_allows(const struct journal *j, size_t more)
{
	return segments_bytes(j) + more <= j->options.quota_bytes;
}

/* What stays free in the last segment, for marks, trims and drops: they make room. */
static size_t rest_kept(const struct segment *s)
{
	size_t kept = s->size / 16 > REST_KEPT ? s->size / 16 : REST_KEPT;

	return kept < s->size / 4 ? kept : s->size / 4;
}

/* Has the next segment made before this one is full. */
static void spare_ask(struct journal *j)
{
	const struct segment *s = j->current;

	if (j->n_spares || j->spare_asked || !j->writer || !s || s->size - s->end > s->size / 2 ||
	    !quota_allows(j, j->options.segment_bytes))
		return;
	j->spare_asked = true;
	writer_want_spare(j->writer);
}

static void on_spare_timer(void *arg)
{
	struct journal *j = arg;

	j->spare_asked = false;
	spare_ask(j);
}

void segments_init(struct journal *j)
{
	timer_init(&j->spare_timer, j->loop, on_spare_timer, j);
}

void segments_progress(struct journal *j)
{
	uint64_t more = j->seen.spares_made - j->spares_seen;

	j->spares_seen = j->seen.spares_made;
	j->n_spares += more;
	if (more)
		j->spare_asked = false;
	else if (j->seen.no_room && j->spare_asked && !timer_running(&j->spare_timer))
		(void)timer_start(&j->spare_timer, SPARE_AGAIN_MS);
}

/* Begins a segment: 0 or -ENOMEM. */
static int segment_begin(struct journal *j, size_t size)
{
	struct file_header h = { .number = j->next_number,
				 .size = size,
				 .generation = j->random(j->random_arg),
				 .lsn = j->lsn + 1,
				 .before = j->current ? j->current->last_lsn : 0 };
	struct segment *s;
	int rc = segment_create_take(j, -1, &h, &s);

	if (rc < 0)
		return rc;
	s->file->from_spare = j->n_spares && size == j->options.segment_bytes;
	j->n_spares -= s->file->from_spare;
	j->next_number++;
	j->current = s;
	j->sweep_due = true;
	task_defer(&j->flush);
	return 0;
}

int segment_room(struct journal *j, size_t need, size_t fresh, enum room_for what)
{
	size_t size = j->options.segment_bytes,
	       rest = j->current ? j->current->size - j->current->end : 0;
	bool more;

	if (size < FILE_HEADER + fresh)
		size = FILE_HEADER + fresh;
	if (what == ROOM_DATA && segments_bytes(j) > j->options.quota_bytes)
		return -ENOSPC;
	spare_ask(j);
	more = (j->n_spares && size == j->options.segment_bytes) ||
	       ((what == ROOM_COPIES || quota_allows(j, size)) && !j->seen.no_room);
	if (what != ROOM_MARKS && !more && rest < need + (j->current ? rest_kept(j->current) : 0))
		return -ENOSPC;
	return rest >= need ? 0 : segment_begin(j, size);
}

void segment_hold(struct journal *j, struct segment *s, size_t size)
{
	s->live++;
	s->live_bytes += size;
	j->live_bytes += size;
}

void segment_release(struct journal *j, struct segment *s, size_t size)
{
	s->live_bytes -= size;
	j->live_bytes -= size;
	if (--s->live == 0) {
		j->sweep_due = true;
		task_defer(&j->flush);
	}
}

int segment_bury(struct segment *s, struct tomb tomb)
{
	if (s->n_tombs == s->tombs_cap) {
		size_t cap = s->tombs_cap ? s->tombs_cap * 2 : 16;
		struct tomb *tombs = realloc(s->tombs, cap * sizeof(*tombs));

		if (!tombs)
			return -ENOMEM;
		s->tombs = tombs;
		s->tombs_cap = cap;
	}
	s->tombs[s->n_tombs++] = tomb;
	return 0;
}

/* Is there a segment in [since, before) that may hold records of a dropped stream? */
static bool segment_between(const struct journal *j, uint64_t since, uint64_t before)
{
	for (size_t i = 0; i < j->n_slots; i++)
		if (j->slots[i] && j->slots[i]->number >= since && j->slots[i]->number < before)
			return true;
	return false;
}

/* Says again what only this segment says. What was said before a failure is not said twice. */
static int segment_retire(struct journal *j, struct segment *s)
{
	int rc = 0;

	while (rc == 0 && !list_empty(&s->streams))
		rc = jstream_reserve(j, container_of(s->streams.next, struct jstream, named_link),
				     0, ROOM_MARKS);
	while (rc == 0 && s->n_tombs) {
		struct tomb tomb = s->tombs[s->n_tombs - 1];

		if (segment_between(j, tomb.since, s->number))
			rc = jstream_put_drop(j, tomb.stream, tomb.since);
		if (rc == 0)
			s->n_tombs--;
	}
	if (rc == 0)
		s->remove_lsn = j->lsn;
	return rc;
}

void segments_sweep(struct journal *j)
{
	if (!j->sweep_due || j->failed)
		return;
	j->sweep_due = false;
	for (size_t i = 0; i < j->n_slots; i++) {
		struct segment *s = j->slots[i];

		if (!s || s == j->current || s->live || s->remove_lsn ||
		    s->name_bytes > s->size / 4)
			continue;
		if (segment_retire(j, s) < 0)
			j->sweep_due = true; /* no memory: with the next flush */
	}
	segments_remove(j);
}

/* Whoever still reads the old bytes must not find new ones there. */
static bool may_recycle(const struct journal *j, const struct segment *s)
{
	return s->size == j->options.segment_bytes && j->n_spares + j->n_recycling < SPARES_MAX &&
	       segments_bytes(j) <= j->options.quota_bytes && atomic_load(&s->file->refs) == 1;
}

void segments_remove(struct journal *j)
{
	bool hurry = false;

	for (size_t i = 0; i < j->n_slots; i++) {
		struct segment *s = j->slots[i];

		if (!s || !s->remove_lsn || s->removing || s->remove_lsn > j->seen.durable)
			continue;
		if (s->last_lsn > j->marks.safe) {
			hurry |= s->last_lsn > j->marks.marked[MARK_SEGMENTS];
			continue;
		}
		s->removing = true;
		s->file->recycle = may_recycle(j, s);
		j->n_recycling += s->file->recycle;
		writer_remove(j->writer, s->file);
	}
	if (hurry)
		marks_hurry(j);
}

void segment_removed(struct journal *j, struct file *f)
{
	j->n_recycling -= f->recycle;
	for (size_t i = 0; i < j->n_slots; i++) {
		if (j->slots[i] && j->slots[i]->file == f) {
			(void)segment_destroy(j, j->slots[i]);
			break;
		}
	}
	(void)file_unref(f);
}
