/* SPDX-License-Identifier: MIT */
/*
 * The open batch: what was appended and is not with the writer yet, as bytes of the files they go to.
 *
 * It lies in chunks of neighbouring bytes of one file, in the order of the appends. A task hands them
 * to the writer in the next turn; where nobody waits for a record, a timer does, so that a stream of
 * relaxed ones wakes the writer a few hundred times a second and not for each. Chunks come back when
 * they are written, and a few are kept to be used again.
 */
#include <errno.h>
#include <stdlib.h>

#include "journal/journal_internal.h"

enum {
	CHUNK_CAP = 65536 - (int)sizeof(struct chunk), /* with its head what no heap rounds up */
	SPARE_MAX = 4,
	RELAXED_MS = 5,
};

static struct chunk *chunk_get(struct journal *j, size_t size)
{
	size_t cap = size > CHUNK_CAP ? size : CHUNK_CAP;
	struct chunk *c;

	if (cap == CHUNK_CAP && !list_empty(&j->spare)) {
		c = container_of(j->spare.next, struct chunk, link);
		list_del(&c->link);
		j->n_spare--;
		return c;
	}
	c = malloc(sizeof(*c) + cap);
	if (!c)
		return NULL;
	list_init(&c->link);
	c->cap = cap;
	return c;
}

void batch_give_back(struct journal *j, struct chunk *c)
{
	list_del(&c->link);
	if (c->cap != CHUNK_CAP || j->n_spare >= SPARE_MAX) {
		free(c);
		return;
	}
	list_add_head(&j->spare, &c->link);
	j->n_spare++;
}

void batch_free(struct list *chunks)
{
	list_for_each_safe (it, chunks)
		free(container_of(it, struct chunk, link));
	list_init(chunks);
}

struct chunk *batch_reserve(struct journal *j, struct segment *s, size_t size)
{
	struct list *chunks = s ? &j->chunks : &j->state_chunks;
	struct chunk *c = container_of(chunks->prev, struct chunk, link);

	if (!list_empty(chunks) && c->segment == s && c->cap - c->len >= size)
		return c;
	c = chunk_get(j, size);
	if (!c)
		return NULL;
	c->segment = s;
	c->file = s ? s->file : NULL;
	c->offset = s ? s->end : 0;
	c->len = c->done = 0;
	list_add_tail(chunks, &c->link);
	return c;
}

static int put_record(struct journal *j, struct segment *s, struct record *r,
		      const struct str *parts, size_t n)
{
	size_t size = record_size(r->body.n);
	struct chunk *c = batch_reserve(j, s, size);
	char *at, *body;

	if (!c)
		return -ENOMEM;
	at = c->data + c->len;
	body = at + RECORD_HEADER;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n)
			memcpy(body, parts[i].p, parts[i].n);
		body += parts[i].n;
	}
	r->lsn = ++j->lsn;
	/* The states' log may be made anew before this is written: the writer puts its own in. */
	record_seal(at, r, s ? s->file->generation : 0);
	c->len += size;
	j->inflight += size;
	if (s) {
		s->end += size;
		s->last_lsn = r->lsn;
	}
	if (r->type != RECORD_SYNC)
		marks_note(j, !s, r->lsn);
	return 0;
}

int journal_put_record(struct journal *j, struct segment *s, struct record *r,
		       const struct str *parts, size_t n)
{
	int rc = put_record(j, s, r, parts, n);

	if (rc == 0)
		task_defer(&j->flush);
	return rc;
}

int journal_put_relaxed(struct journal *j, struct segment *s, struct record *r,
			const struct str *parts, size_t n)
{
	int rc = put_record(j, s, r, parts, n);

	if (rc == 0 && !task_waiting(&j->flush) && !timer_running(&j->relaxed_timer) &&
	    timer_start(&j->relaxed_timer, RELAXED_MS) < 0)
		task_defer(&j->flush);
	return rc;
}
