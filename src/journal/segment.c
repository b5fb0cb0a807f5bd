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
	j->slots[s->slot] = NULL;
	j->disk_bytes -= s->size;
	j->stats.segments--;
	(void)file_unref(s->file);
	free(s->tombs);
	free(s);
	return NULL;
}

int segment_room(struct journal *j, size_t need, size_t fresh, bool data)
{
	struct file_header h = { .number = j->next_number, .size = j->options.segment_bytes };
	struct segment *s;
	int rc;

	if (data && j->disk_bytes > j->options.quota_bytes)
		return -ENOSPC;
	if (j->current && j->current->size - j->current->end >= need)
		return 0;
	if (h.size < FILE_HEADER + fresh)
		h.size = FILE_HEADER + fresh;
	if (data && j->disk_bytes + h.size > j->options.quota_bytes)
		return -ENOSPC;
	h.generation = j->random(j->random_arg);
	h.lsn = j->lsn + 1;
	h.before = j->current ? j->current->last_lsn : 0;
	rc = segment_create_take(j, -1, &h, &s);
	if (rc < 0)
		return rc;
	j->next_number++;
	j->current = s;
	j->sweep_due = true;
	task_defer(&j->flush);
	return 0;
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
				     0, false);
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
		writer_remove(j->writer, s->file);
	}
	if (hurry)
		marks_hurry(j);
}

void segment_removed(struct journal *j, struct file *f)
{
	for (size_t i = 0; i < j->n_slots; i++) {
		if (j->slots[i] && j->slots[i]->file == f) {
			(void)segment_destroy(j, j->slots[i]);
			break;
		}
	}
	(void)file_unref(f);
}
