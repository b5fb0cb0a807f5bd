/* SPDX-License-Identifier: MIT */
/*
 * Cursors: taking in order, settling in any order, reading what has left the memory.
 *
 * The messages between floor and next have a slot each, in a table that goes round and grows up to
 * the window; a slot holds its message until it is settled, so that giving back costs no read.
 * A message that is in the stream's ring is taken from there; an older one is read from the
 * journal, a batch at a time, into `loaded`. What is nowhere (dropped, expired, damaged) is
 * skipped: its slots count as settled. What has expired is settled when its turn comes, unread.
 *
 * The window is how many may be out, however far apart: those that would hold up the table, since
 * thousands behind them are settled, leave it for an array of their own, `strays`.
 */
#include "core/cursor.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/core_internal.h"
#include "core/lease.h"
#include "journal/journal.h"

enum {
	SLOTS_FIRST = 4,
	RETRY_MS = 1000,
	HELD_MAX =
		16 << 20, /* bytes of messages taken and not settled: then nothing more is taken */
};
enum { SLOT_SETTLED, SLOT_IN_FLIGHT, SLOT_GIVEN_BACK, SLOT_ASIDE };

static struct cursor_slot *slot(const struct cursor *c, uint64_t seq)
{
	return &c->slots[seq & (c->cap - 1)];
}

/* The number's slot, in the table or astray; NULL: it is settled, or was not taken yet. */
static struct cursor_slot *find_slot(const struct cursor *c, uint64_t seq)
{
	size_t from = 0, to = c->n_strays;

	if (seq >= c->floor)
		return seq < c->next ? slot(c, seq) : NULL;
	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (c->strays[mid].seq < seq)
			from = mid + 1;
		else
			to = mid;
	}
	return from < c->n_strays && c->strays[from].seq == seq ? &c->strays[from].slot : NULL;
}

static void on_task(void *arg)
{
	struct cursor *c = arg;

	c->on_ready(c->arg);
}

static void wake(struct cursor *c)
{
	if (!c->hungry)
		return;
	c->hungry = false;
	task_defer(&c->task);
}

static void on_retry(void *arg)
{
	wake(arg);
}

void cursor_notify(struct cursor *c)
{
	/* Who took what it wanted hears that there is no more. */
	c->hungry |= c->stream->first == c->stream->visible;
	wake(c);
}

bool cursor_is_required(const struct cursor *c)
{
	return c->flags & CURSOR_REQUIRED;
}

uint64_t cursor_needs(const struct cursor *c)
{
	return cursor_floor(c);
}

int cursor_create(struct stream *stream, unsigned flags, size_t window, void (*on_ready)(void *arg),
		  void *arg, struct cursor **ret)
{
	struct cursor *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->stream = stream_ref(stream);
	c->flags = flags;
	c->window = window ? window : 1;
	c->floor = c->next = stream->first;
	c->on_ready = on_ready;
	c->arg = arg;
	if (flags & CURSOR_LEASED)
		c->lease_stream = lease_stream(stream->node.key);
	timer_init(&c->retry, streams_loop(stream->set), on_retry, c);
	task_init(&c->task, streams_loop(stream->set), on_task, c);
	list_add_tail(&stream->cursors, &c->link);
	c->hungry = true;
	if (stream->visible > stream->first)
		wake(c);
	*ret = c;
	return 0;
}

static void loaded_shift(struct cursor *c)
{
	streams_loaded(c->stream->set, ring_get(&c->loaded, c->loaded.first), false);
	ring_shift(&c->loaded);
}

static void loaded_clear(struct cursor *c)
{
	while (c->loaded.n)
		loaded_shift(c);
	ring_fini(&c->loaded);
}

struct cursor *cursor_destroy(struct cursor *c)
{
	if (!c)
		return NULL;
	task_cancel(&c->task);
	timer_stop(&c->retry);
	if (c->load)
		c->load->cursor = NULL;
	for (uint64_t seq = c->floor; seq < c->next; seq++) {
		cursor_lease_left(c, slot(c, seq));
		(void)msg_unref(slot(c, seq)->msg);
	}
	for (size_t i = 0; i < c->n_strays; i++) {
		cursor_lease_left(c, &c->strays[i].slot);
		(void)msg_unref(c->strays[i].slot.msg);
	}
	list_del(&c->link);
	loaded_clear(c);
	(void)stream_unref(c->stream);
	free(c->strays);
	free(c->slots);
	free(c);
	return NULL;
}

/* Room for one more slot: 0 or -ENOMEM. */
static int slots_grow(struct cursor *c)
{
	size_t used = c->next - c->floor, cap = c->cap ? c->cap * 2 : SLOTS_FIRST;
	struct cursor_slot *slots;

	if (used < c->cap)
		return 0;
	slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint64_t seq = c->floor; seq < c->next; seq++)
		slots[seq & (cap - 1)] = *slot(c, seq);
	free(c->slots);
	c->slots = slots;
	c->cap = cap;
	return 0;
}

/* The floor rises over what is settled; the stream may trim then. */
static void floor_rise(struct cursor *c)
{
	uint64_t before = c->floor;

	while (c->floor < c->next && slot(c, c->floor)->state == SLOT_SETTLED)
		cursor_lease_passed(c, slot(c, c->floor++));
	if (c->floor > before && !c->n_strays && cursor_is_required(c))
		stream_mark(c->stream, false);
}

/* It is settled. */
static void stray_del(struct cursor *c, struct cursor_slot *s)
{
	size_t i = (size_t)(container_of(s, struct cursor_stray, slot) - c->strays);

	cursor_lease_passed(c, s);
	c->n_strays--;
	memmove(&c->strays[i], &c->strays[i + 1], (c->n_strays - i) * sizeof(c->strays[0]));
	if (i == 0 && cursor_is_required(c))
		stream_mark(c->stream, false);
}

/* 0 or -ENOMEM. */
static int strays_reserve(struct cursor *c, size_t n)
{
	size_t cap = c->cap_strays ? c->cap_strays : SLOTS_FIRST;

	while (cap < n)
		cap *= 2;
	if (cap == c->cap_strays)
		return 0;
	struct cursor_stray *strays = realloc(c->strays, cap * sizeof(*strays));
	if (!strays)
		return -ENOMEM;
	c->strays = strays;
	c->cap_strays = cap;
	return 0;
}

/* What is out below `to` leaves the table: true, or there was no memory. */
static bool lead_astray(struct cursor *c, uint64_t to)
{
	if (strays_reserve(c, c->n_strays + c->in_flight + c->given_back) < 0)
		return false;
	for (; c->floor < to; c->floor++) {
		struct cursor_slot *s = slot(c, c->floor);

		if (s->state == SLOT_SETTLED)
			cursor_lease_passed(c, s);
		else
			c->strays[c->n_strays++] =
				(struct cursor_stray){ .seq = c->floor, .slot = *s };
	}
	floor_rise(c);
	return true;
}

/* Room in the table for the next number. */
static bool window_has_room(struct cursor *c)
{
	if (c->in_flight + c->given_back >= c->window || c->held >= HELD_MAX)
		return false;
	return c->next - c->floor < c->window || lead_astray(c, c->floor + (c->window + 1) / 2);
}

/* What lies before `to` is nowhere any more. */
static void skip_to(struct cursor *c, uint64_t to)
{
	bool fits = to - c->floor <= c->window;

	if (c->floor == c->next || (!fits && lead_astray(c, c->next))) {
		c->floor = c->next = to;
		if (!c->n_strays && cursor_is_required(c))
			stream_mark(c->stream, false);
		return;
	}
	/* Something is out before the hole: the hole takes slots, as far as there are any. */
	while (c->next < to && c->next - c->floor < c->window && slots_grow(c) == 0)
		*slot(c, c->next++) = (struct cursor_slot){ .state = SLOT_SETTLED };
}

/* 0, also when the record is left out, or -ENOMEM. */
static int loaded_add(struct cursor *c, const struct journal_record *record)
{
	struct msg *m;
	bool follows = !c->loaded.n || record->seq == c->loaded.first + c->loaded.n;
	int rc;

	/* Behind a hole the next read starts anew, and finds it at the front. */
	if (!follows || record->seq < c->next)
		return 0;
	rc = msg_decode(record->body, record->seq, &m);
	if (rc < 0)
		return rc == -ENOMEM ? rc : 0;
	if (m->ttl_ms && m->seq < c->stream->fresh_from)
		m->expires_ms = streams_expiry(c->stream->set, m);
	rc = ring_push(&c->loaded, m);
	if (rc == 0)
		streams_loaded(c->stream->set, m, true);
	(void)msg_unref(m);
	return rc;
}

/* Nothing could be read, but that does not say that nothing is there. */
static void load_again(struct cursor *c)
{
	(void)timer_start(&c->retry, RETRY_MS);
}

static void on_loaded(void *arg, int rc, const struct journal_record *records, size_t n)
{
	struct cursor_load *load = arg;
	struct cursor *c = load->cursor;
	uint64_t from = load->from;

	list_del(&load->link);
	free(load);
	if (!c)
		return;
	c->load = NULL;
	if (from != c->next) { /* it went on meanwhile: what this read did not find means nothing */
		wake(c);
		return;
	}
	if (rc < 0 && rc != -ENOENT) {
		load_again(c);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (loaded_add(c, &records[i]) < 0) {
			if (c->loaded.n)
				break;
			load_again(c);
			return;
		}
	/* Nothing readable came although it should be there: go on behind the damage. */
	if (!c->loaded.n && c->next < c->stream->visible)
		skip_to(c, n ? records[n - 1].seq + 1 : stream_in_memory(c->stream));
	else if (c->loaded.n && c->loaded.first > c->next)
		skip_to(c, c->loaded.first);
	wake(c);
}

static void load_start(struct cursor *c)
{
	struct cursor_load *load;

	if (c->load || timer_running(&c->retry))
		return;
	loaded_clear(c);
	load = malloc(sizeof(*load));
	if (load) {
		*load = (struct cursor_load){ .cursor = c, .from = c->next };
		streams_add_load(c->stream->set, load);
		if (journal_read(streams_journal(c->stream->set), c->stream->js, c->next,
				 streams_load_bytes(c->stream->set), on_loaded, load) == 0) {
			c->load = load;
			return;
		}
		list_del(&load->link);
	}
	free(load);
	load_again(c);
}

/* The message at `next`, borrowed; NULL: it must be loaded, or there is none. */
static struct msg *find_next(struct cursor *c)
{
	struct stream *s = c->stream;
	struct msg *m;

	if (c->next < s->first)
		skip_to(c, s->first);
	if (c->next >= s->visible || !window_has_room(c))
		return NULL;
	m = ring_get(&s->ring, c->next);
	if (!m) {
		while (c->loaded.n && c->loaded.first < c->next)
			loaded_shift(c);
		m = ring_get(&c->loaded, c->next);
	}
	if (m)
		return m;
	if (s->js) {
		load_start(c);
		return NULL;
	}
	skip_to(c, stream_in_memory(s));
	return c->next < s->visible ? ring_get(&s->ring, c->next) : NULL;
}

static struct cursor_slot *first_given_back(const struct cursor *c)
{
	if (!c->given_back)
		return NULL;
	for (size_t i = 0; i < c->n_strays; i++)
		if (c->strays[i].slot.state == SLOT_GIVEN_BACK)
			return &c->strays[i].slot;
	for (uint64_t seq = c->floor; seq < c->next; seq++)
		if (slot(c, seq)->state == SLOT_GIVEN_BACK)
			return slot(c, seq);
	return NULL;
}

/* Expired or not. */
static int take(struct cursor *c, struct msg **ret)
{
	struct cursor_slot *back = first_given_back(c);
	struct msg *m;

	if (back) {
		back->state = SLOT_IN_FLIGHT;
		c->given_back--;
		c->in_flight++;
		*ret = msg_ref(back->msg);
		return 1;
	}
	m = find_next(c);
	if (m && slots_grow(c) < 0) {
		load_again(c); /* no memory now */
		m = NULL;
	}
	if (!m) {
		c->hungry = true;
		return 0;
	}
	*slot(c, c->next++) = (struct cursor_slot){ .msg = msg_ref(m), .state = SLOT_IN_FLIGHT };
	c->held += msg_bytes(m);
	c->in_flight++;
	*ret = msg_ref(m);
	return 1;
}

static struct cursor_slot *in_flight(const struct cursor *c, uint64_t seq)
{
	struct cursor_slot *s = find_slot(c, seq);

	return s && s->state == SLOT_IN_FLIGHT ? s : NULL;
}

static void give_back(struct cursor *c, struct cursor_slot *s)
{
	s->state = SLOT_GIVEN_BACK;
	if (s->returns < UCHAR_MAX)
		s->returns++;
	c->in_flight--;
	c->given_back++;
}

/* It has reached the age that messages have. What a purge found under way is still sent. */
static bool is_gone(const struct cursor *c, uint64_t seq)
{
	return seq < c->stream->aged;
}

void cursor_settle(struct cursor *c, uint64_t seq, bool done)
{
	struct cursor_slot *s = in_flight(c, seq);

	if (!s)
		return;
	if (done || is_gone(c, seq)) {
		c->held -= msg_bytes(s->msg);
		s->msg = msg_unref(s->msg);
		s->state = SLOT_SETTLED;
		cursor_lease_settled(c, s);
		c->in_flight--;
		if (seq < c->floor)
			stray_del(c, s);
		else
			floor_rise(c);
	} else {
		give_back(c, s);
	}
	wake(c);
}

void cursor_set_aside(struct cursor *c, uint64_t seq)
{
	struct cursor_slot *s = in_flight(c, seq);

	if (!s)
		return;
	s->state = SLOT_ASIDE;
	cursor_lease_aside(c, s);
}

bool cursor_take_aside(struct cursor *c, uint64_t seq)
{
	struct cursor_slot *s = find_slot(c, seq);

	if (!s || s->state != SLOT_ASIDE)
		return false;
	s->state = SLOT_IN_FLIGHT;
	(void)cursor_lease(c, s); /* what was settled before was never set aside */
	return true;
}

void cursor_rewind(struct cursor *c)
{
	for (size_t i = 0; i < c->n_strays; i++)
		if (c->strays[i].slot.state == SLOT_IN_FLIGHT)
			give_back(c, &c->strays[i].slot);
	for (uint64_t seq = c->floor; seq < c->next; seq++)
		if (slot(c, seq)->state == SLOT_IN_FLIGHT)
			give_back(c, slot(c, seq));
	wake(c);
}

uint64_t cursor_floor(const struct cursor *c)
{
	return c->n_strays ? c->strays[0].seq : c->floor;
}

bool cursor_has_settled(const struct cursor *c, uint64_t seq)
{
	const struct cursor_slot *s = find_slot(c, seq);

	return seq < c->next && (!s || s->state == SLOT_SETTLED);
}

bool cursor_has_taken(const struct cursor *c, uint64_t seq)
{
	return cursor_has_settled(c, seq) || in_flight(c, seq);
}

int cursor_take(struct cursor *c, struct msg **ret)
{
	uint64_t now = loop_now(streams_loop(c->stream->set));
	struct msg *m;

	while (take(c, &m) > 0) {
		bool expired = m->ttl_ms && now >= m->expires_ms;

		if (cursor_lease(c, find_slot(c, m->seq)) && !expired && !is_gone(c, m->seq)) {
			*ret = m;
			return 1;
		}
		cursor_settle(c, m->seq, true);
		if (expired && cursor_is_required(c))
			streams_count_expired(c->stream->set);
		(void)msg_unref(m);
	}
	return 0;
}

unsigned cursor_returns(const struct cursor *c, uint64_t seq)
{
	const struct cursor_slot *s = in_flight(c, seq);

	return s ? s->returns : 0;
}

uint64_t cursor_lag(const struct cursor *c)
{
	uint64_t from = c->next > c->stream->first ? c->next : c->stream->first;
	uint64_t unread = c->stream->visible > from ? c->stream->visible - from : 0;

	return unread + c->in_flight + c->given_back;
}

size_t cursor_in_flight(const struct cursor *c)
{
	return c->in_flight;
}

size_t cursor_holds(const struct cursor *c)
{
	return c->in_flight + c->given_back;
}
