/* SPDX-License-Identifier: MIT */
/*
 * What is known of a lane's commands after a restart.
 *
 * Commands below the lane's floor are trimmed together with their replies. Above it some may be
 * answered although an older one is not: a state "lane/<dialog>" says which, in the same batch of
 * the journal as the reply: u64 number, then a bit for each command from there on. A crash may cut
 * a batch in two, but then nobody has seen the reply, and it lies in the stream: replies that were
 * not read yet are looked through, and name the command that they answer (and the key of its
 * result, which may have been cut off, too). Until that is done the lane waits.
 */
#include <stdlib.h>

#include "core/hub_internal.h"
#include "journal/journal.h"

enum { KEY_MAX = 64, BITS_MAX = LANE_WINDOW, VALUE_MAX = 8 + BITS_MAX / 8, SCAN_WINDOW = 64 };

struct lane_recovery {
	struct dialog *dialog;
	struct cursor *scan; /* of the replies; NULL: done */
	uint64_t until;      /* replies below are of an earlier run */
	uint64_t base, n;    /* commands */
	unsigned char answered[];
};

static struct str key_of(const struct dialog *d, char key[KEY_MAX])
{
	int n = snprintf(key, KEY_MAX, "lane/%s", d->id);

	return str_make(key, (size_t)n);
}

static struct str marks_of(const struct dialog *d, unsigned char value[VALUE_MAX])
{
	uint64_t floor = cursor_floor(d->lane.cursor), n = d->lane.taken - floor;
	size_t last = 0;

	memset(value, 0, VALUE_MAX);
	for (int i = 0; i < 8; i++)
		value[i] = (unsigned char)(floor >> (8 * i));
	for (uint64_t i = 0; d->lane.taken > floor && i < n && i < BITS_MAX; i++) {
		if (!cursor_has_settled(d->lane.cursor, floor + i))
			continue;
		value[8 + i / 8] |= (unsigned char)(1u << (i % 8));
		last = i / 8 + 1;
	}
	return str_make((const char *)value, last ? 8 + last : 0);
}

void lane_mark(struct dialog *d)
{
	unsigned char value[VALUE_MAX];
	char key[KEY_MAX];
	struct str marks;
	uint64_t lsn;

	if (!d->hub->opt.journal || !d->application->record)
		return;
	marks = marks_of(d, value);
	if (!marks.n && !d->lane.marked)
		return;
	d->lane.marked = marks.n;
	(void)journal_put(d->hub->opt.journal, key_of(d, key), marks.n ? marks : str_make(NULL, 0),
			  &lsn);
}

static struct lane_recovery *recovery_of(struct dialog *d)
{
	struct lane_recovery *r = d->lane.recovery;
	uint64_t base = stream_first(d->commands), n = d->lane.unsure_below - base;

	if (r)
		return r;
	r = calloc(1, sizeof(*r) + n / 8 + 1);
	if (!r)
		return NULL;
	r->dialog = d;
	r->base = base;
	r->n = n;
	d->lane.recovery = r;
	return r;
}

static void set_answered(struct lane_recovery *r, uint64_t seq)
{
	uint64_t i = seq - r->base;

	if (seq >= r->base && i < r->n)
		r->answered[i / 8] |= (unsigned char)(1u << (i % 8));
}

bool lane_was_answered(const struct dialog *d, uint64_t seq)
{
	const struct lane_recovery *r = d->lane.recovery;
	uint64_t i = r ? seq - r->base : 0;

	return r && seq >= r->base && i < r->n && r->answered[i / 8] >> (i % 8) & 1;
}

void lane_recover_mark(struct dialog *d, struct str value)
{
	struct lane_recovery *r = recovery_of(d);
	uint64_t floor = 0;

	d->lane.marked = true;
	if (!r || value.n < 8)
		return;
	for (int i = 0; i < 8; i++)
		floor |= (uint64_t)(unsigned char)value.p[i] << (8 * i);
	value = str_skip(value, 8);
	for (size_t i = 0; i < value.n * 8; i++)
		if ((unsigned char)value.p[i / 8] >> (i % 8) & 1)
			set_answered(r, floor + i);
}

static void on_scan(void *arg)
{
	struct lane_recovery *r = arg;
	struct dialog *d = r->dialog;
	struct msg *m;

	while (cursor_take(r->scan, &m) > 0) {
		char key[RESULT_KEY + 1];

		set_answered(r, m->answers);
		(void)snprintf(key, sizeof(key), "%.*s", STR_ARG(m->target));
		if (m->target.n == RESULT_KEY && application_keeps_results(d->application) &&
		    !result_find(d, key))
			result_keep(d, key, m);
		cursor_settle(r->scan, m->seq, true);
		(void)msg_unref(m);
	}
	if (cursor_floor(r->scan) < r->until)
		return;
	r->scan = cursor_destroy(r->scan);
	lane_wake(d);
}

void lane_recover(struct dialog *d)
{
	bool unsure = d->lane.unsure_below > stream_first(d->commands);
	struct lane_recovery *r;

	if (stream_next(d->responses) == stream_first(d->responses) ||
	    !(unsure || application_keeps_results(d->application)))
		return;
	r = recovery_of(d);
	if (!r)
		return;
	r->until = stream_next(d->responses);
	/* Required: else a reader could be done with a reply before it was looked at. */
	(void)cursor_create(d->responses, CURSOR_REQUIRED, SCAN_WINDOW, on_scan, r, &r->scan);
}

bool lane_is_recovering(const struct dialog *d)
{
	return d->lane.recovery && d->lane.recovery->scan;
}

void lane_recovery_free(struct dialog *d)
{
	if (d->lane.recovery)
		(void)cursor_destroy(d->lane.recovery->scan);
	free(d->lane.recovery);
	d->lane.recovery = NULL;
}
