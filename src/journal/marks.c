/* SPDX-License-Identifier: MIT */
/*
 * Sync marks: records that say how far the log was synced when they were written.
 *
 * After a power cut, what was not synced may be on the disk or not, in any order; recovery must
 * tell that from damage, and only the log can say what was synced. So when the durable watermark
 * has moved, the next batch ends in a mark; in a pause one is written by itself, within a second.
 * A mark alone needs no mark. Segments and states each have their own, because a mark's number
 * must be that of a record in the same kind of file: "a record behind this hole was synced".
 *
 *   batch 1 ──► durable    batch 2 + mark(1) ──► durable    pause: mark(2)
 *
 * A segment is only unlinked when a durable mark covers it: else its place in the middle of the log
 * would look like the end of it.
 */
#include "journal/marks.h"

#include "journal/journal_internal.h"
#include "journal/le.h"

enum { MARK_DELAY_MS = 1000 };

static bool is_due(const struct marks *m, int kind)
{
	return m->durable[kind] > m->marked[kind];
}

void marks_hurry(struct journal *j)
{
	j->marks.force = true;
	task_defer(&j->flush);
}

static void on_timer(void *arg)
{
	marks_hurry(arg);
}

void marks_init(struct journal *j)
{
	timer_init(&j->marks.timer, j->loop, on_timer, j);
}

static void mark_later(struct journal *j)
{
	struct marks *m = &j->marks;

	if ((is_due(m, MARK_SEGMENTS) || is_due(m, MARK_STATES)) && !timer_running(&m->timer) &&
	    timer_start(&m->timer, MARK_DELAY_MS) < 0)
		m->force = true; /* with the next flush, then */
}

void marks_begin(struct journal *j, uint64_t last, uint64_t marked)
{
	struct marks *m = &j->marks;

	m->last[MARK_SEGMENTS] = m->durable[MARK_SEGMENTS] = last;
	m->marked[MARK_SEGMENTS] = m->safe = marked;
	/* The states' log was made anew, with a mark. */
	m->last[MARK_STATES] = m->durable[MARK_STATES] = m->marked[MARK_STATES] = j->lsn;
	mark_later(j);
}

void marks_note(struct journal *j, bool state, uint64_t lsn)
{
	j->marks.last[state ? MARK_STATES : MARK_SEGMENTS] = lsn;
}

static int put_mark(struct journal *j, int kind)
{
	char body[8];
	struct str part = { body, sizeof(body) };
	struct record r = { .type = RECORD_SYNC, .wall_ms = age_now(&j->age), .body.n = 8 };
	int rc = 0;

	if (kind == MARK_SEGMENTS)
		rc = segment_room(j, record_size(8), record_size(8), ROOM_MARKS);
	le64_put(body, j->marks.durable[kind]);
	if (rc == 0)
		rc = journal_put_record(j, kind == MARK_SEGMENTS ? j->current : NULL, &r, &part, 1);
	if (rc == 0)
		j->marks.marked[kind] = j->marks.durable[kind];
	return rc;
}

void marks_put(struct journal *j)
{
	const struct list *batches[MARK_KINDS] = { &j->chunks, &j->state_chunks };
	struct marks *m = &j->marks;

	for (int kind = 0; kind < MARK_KINDS; kind++)
		if (is_due(m, kind) && (m->force || !list_empty(batches[kind])))
			(void)put_mark(j, kind); /* no memory: with another batch */
	m->force = false;
	if (!is_due(m, MARK_SEGMENTS) && !is_due(m, MARK_STATES))
		timer_stop(&m->timer);
}

void marks_submitted(struct journal *j)
{
	struct marks *m = &j->marks;
	struct mark_batch *b;

	/* What is many is one, that ends with the last. */
	if (m->n < MARK_BATCHES)
		m->n++;
	b = &m->batches[(m->first + m->n - 1) % MARK_BATCHES];
	*b = (struct mark_batch){ .lsn = j->lsn, .marked = m->marked[MARK_SEGMENTS] };
	for (int kind = 0; kind < MARK_KINDS; kind++)
		b->last[kind] = m->last[kind];
}

void marks_progress(struct journal *j)
{
	struct marks *m = &j->marks;

	while (m->n && m->batches[m->first].lsn <= j->seen.durable) {
		const struct mark_batch *b = &m->batches[m->first];

		for (int kind = 0; kind < MARK_KINDS; kind++)
			m->durable[kind] = b->last[kind];
		m->safe = b->marked;
		m->first = (m->first + 1) % MARK_BATCHES;
		m->n--;
	}
	mark_later(j);
}
