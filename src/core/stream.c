/* SPDX-License-Identifier: MIT */
/*
 * Streams: becoming visible, trimming, forgetting.
 *
 * stream_append.c puts a message into the ring in memory and into the journal. Two queues wait for
 * the journal's watermarks: `writing` makes messages visible to readers, `syncing` calls back those
 * who acknowledge somebody. Streams where something changed are on the list `dirty`; one task a
 * turn trims them and wakes their readers, so that a burst costs one round.
 * While the disk is full what waits is shown at once, and stays in memory until it is written:
 * calls must go on.
 */
#include "core/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/core_internal.h"
#include "journal/journal.h"

enum {
	RING_MAX = 1024,
	MEMORY_MAX = 10000,
	MEMORY_BYTES = 32 << 20,
	HEAD_MAX = 1 << 20,
	SEVEN_DAYS_MS = 604800000
};

struct loop *streams_loop(const struct streams *set)
{
	return set->loop;
}

struct syncs *streams_syncs(struct streams *set)
{
	return &set->syncs;
}

struct journal *streams_journal(const struct streams *set)
{
	return set->journal;
}

void streams_add_load(struct streams *set, struct cursor_load *load)
{
	list_add_tail(&set->loads, &load->link);
	set->stats.disk_reads++;
}

void streams_count_expired(struct streams *set)
{
	set->stats.expired++;
}

uint64_t streams_expiry(const struct streams *set, const struct msg *msg)
{
	uint64_t age_ms = 0;

	if (set->started_wall_ns > msg->wall_ns)
		age_ms = (set->started_wall_ns - msg->wall_ns) / 1000000;
	return set->started_ms + (age_ms < msg->ttl_ms ? msg->ttl_ms - age_ms : 0);
}

static void stream_forget(struct stream *s)
{
	map_del(&s->set->by_name, &s->node);
	list_del(&s->dirty);
	if (s->js) {
		jstream_on_expired(s->js, NULL, NULL); /* it stays if the drop is refused */
		jstream_set_meter(s->js, NULL);
		(void)jstream_drop(s->set->journal, s->js);
	}
	while (s->ring.n)
		stream_shift(s);
	ring_fini(&s->ring);
	free(s);
}

void stream_drop_below(struct stream *s, uint64_t seq)
{
	if (seq > s->visible)
		seq = s->visible;
	if (seq <= s->first)
		return;
	s->first = seq;
	while (s->ring.n && s->ring.first < seq)
		stream_shift(s);
}

void stream_trim(struct stream *s, uint64_t seq)
{
	uint64_t before = s->first;

	stream_drop_below(s, seq);
	if (s->first == before || !s->js)
		return;
	/* The journal may not have all of it. */
	seq = s->first < jstream_next(s->js) ? s->first : jstream_next(s->js);
	(void)jstream_trim(s->set->journal, s->js, seq);
}

/*
 * What no required reader needs any more goes; a stream that nobody is required to read stays.
 * Whether there is such a reader.
 */
static bool stream_trim_read(struct stream *s)
{
	uint64_t needed = s->visible;
	bool any = false;

	list_for_each (it, &s->cursors) {
		struct cursor *c = container_of(it, struct cursor, link);

		if (cursor_is_required(c)) {
			any = true;
			if (cursor_needs(c) < needed)
				needed = cursor_needs(c);
		}
	}
	if (any)
		stream_trim(s, needed);
	return any;
}

static void stream_tidy(struct stream *s)
{
	bool wake = s->wake, required = stream_trim_read(s);

	s->wake = false;
	if (wake)
		list_for_each (it, &s->cursors)
			cursor_notify(container_of(it, struct cursor, link));
	if (wake && !required && s->first < s->visible)
		watches_tell(s);
	if (s->refs == 0 && s->first == s->next)
		stream_forget(s);
}

static void streams_tidy(struct streams *set)
{
	struct list now;

	list_init(&now);
	list_splice_tail(&now, &set->dirty);
	while (!list_empty(&now)) {
		struct stream *s = container_of(now.next, struct stream, dirty);

		list_del(&s->dirty);
		stream_tidy(s);
	}
	syncs_start(&set->syncs, set->journal);
	if (set->finished.n > set->finished.head)
		task_defer(&set->finish);
}

static void on_finish(void *arg)
{
	struct streams *set = arg;
	struct waiting w;

	/* Only those that are there now: a callback may append again. */
	for (size_t n = set->finished.n - set->finished.head; n; n--)
		if (waitings_pop(&set->finished, UINT64_MAX, &w))
			w.done(w.arg, w.rc);
}

static void on_task(void *arg)
{
	streams_tidy(arg);
}

void stream_mark(struct stream *s, bool wake)
{
	s->wake |= wake;
	if (list_empty(&s->dirty))
		list_add_tail(&s->set->dirty, &s->dirty);
	task_defer(&s->set->task);
}

uint64_t stream_discard(struct stream *s)
{
	uint64_t n = s->next - s->first;

	s->discard = true;
	stream_trim(s, s->visible);
	return n;
}

void stream_show(struct stream *s, uint64_t visible)
{
	s->visible = visible;
	if (s->discard)
		stream_trim(s, visible);
	stream_evict(s);
	stream_mark(s, true);
}

/* One message more is written; one that was relaxed readers have seen already. */
static void stream_wrote(struct stream *s)
{
	s->written++;
	if (s->written > s->visible)
		stream_show(s, s->written);
	else
		stream_evict(s);
}

static void show_written(struct streams *set, uint64_t written)
{
	struct waiting w;

	while (waitings_pop(&set->writing, written, &w)) {
		stream_wrote(w.stream);
		(void)stream_unref(w.stream);
	}
}

static void on_progress(void *arg, uint64_t written, uint64_t durable)
{
	struct streams *set = arg;
	struct waiting w;

	show_written(set, written);
	task_cancel(&set->task);
	streams_tidy(set);
	streams_leases_written(set, written);
	while (waitings_pop(&set->syncing, durable, &w))
		w.done(w.arg, w.rc);
	syncs_finish(&set->syncs, durable, 0);
}

/* The disk is gone: what was promised to nobody goes on in memory, the others hear of it. */
static void on_failed(void *arg, const struct err *e)
{
	struct streams *set = arg;
	struct waiting w;

	set->failed = true;
	log_error(set->log, "journal failed", "reason=%s then=%s", e->text,
		  "events are kept in memory only, acknowledged writes are refused");
	show_written(set, UINT64_MAX);
	while (waitings_pop(&set->syncing, UINT64_MAX, &w))
		w.done(w.arg, -EIO);
	syncs_finish(&set->syncs, UINT64_MAX, -EIO);
}

static void on_stalled(void *arg, bool on)
{
	struct streams *set = arg;

	set->stalled = on;
	if (on)
		show_written(set, UINT64_MAX);
}

void streams_journal_events(struct streams *streams, struct journal_events *ret)
{
	*ret = (struct journal_events){
		.progress = on_progress, .failed = on_failed, .stalled = on_stalled, .arg = streams
	};
}

int streams_create(struct loop *loop, const struct log *log, const struct stream_limits *limits,
		   struct streams **ret)
{
	struct streams *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->loop = loop;
	set->log = log;
	set->limits = limits ? *limits : (struct stream_limits){ 0 };
	if (!set->limits.ring_max)
		set->limits.ring_max = RING_MAX;
	if (!set->limits.max_age_ms)
		set->limits.max_age_ms = SEVEN_DAYS_MS;
	if (!set->limits.memory_max)
		set->limits.memory_max = MEMORY_MAX;
	if (!set->limits.memory_bytes)
		set->limits.memory_bytes = MEMORY_BYTES;
	set->started_ms = loop_now(loop);
	set->started_wall_ns = clock_wall_ns();
	map_init(&set->by_name);
	list_init(&set->dirty);
	list_init(&set->loads);
	list_init(&set->resident);
	list_init(&set->watches);
	list_init(&set->meters);
	list_init(&set->syncs.asked);
	list_init(&set->syncs.waiting);
	set->syncs.tidy = &set->task;
	task_init(&set->task, loop, on_task, set);
	task_init(&set->finish, loop, on_finish, set);
	buf_init(&set->head, HEAD_MAX);
	*ret = set;
	return 0;
}

struct streams *streams_destroy(struct streams *set)
{
	if (!set)
		return NULL;
	task_cancel(&set->task);
	task_cancel(&set->finish);
	map_for_each (it, &set->by_name) {
		struct stream *s = container_of(it, struct stream, node);

		assert(list_empty(&s->cursors));
		ring_fini(&s->ring);
		free(s);
	}
	map_fini(&set->by_name);
	list_for_each_safe (it, &set->loads)
		free(container_of(it, struct cursor_load, link));
	free(set->writing.at);
	free(set->syncing.at);
	free(set->finished.at);
	free(set->leases.passed);
	buf_fini(&set->head);
	free(set);
	return NULL;
}

static struct stream *stream_create(struct streams *set, struct str name)
{
	struct stream *s = calloc(1, sizeof(*s) + name.n + 1);

	if (!s)
		return NULL;
	memcpy(s->name, name.p, name.n);
	s->set = set;
	s->first = s->visible = s->written = s->next = 1;
	list_init(&s->cursors);
	list_init(&s->dirty);
	list_init(&s->resident);
	if (map_add(&set->by_name, &s->node, str_make(s->name, name.n)) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

static void on_expired(void *arg, uint64_t first)
{
	struct stream *s = arg;

	stream_drop_below(s, first);
	s->aged = s->first;
	stream_mark(s, true);
}

/* Numbers go on where the journal has them, also when nothing of the stream is kept any more. */
static void stream_attach(struct stream *s, struct jstream *js)
{
	s->js = js;
	s->record = true;
	s->first = jstream_first(js);
	s->visible = s->written = s->next = s->fresh_from = jstream_next(js);
	jstream_on_expired(js, on_expired, s);
	jstream_set_max_age(js, s->set->limits.max_age_ms);
	meters_count(s);
}

static void adopt(void *arg, struct jstream *js)
{
	struct stream *s = stream_create(arg, jstream_name(js));

	if (s)
		stream_attach(s, js);
}

int streams_set_journal(struct streams *set, struct journal *journal)
{
	set->journal = journal;
	journal_each_stream(journal, adopt, set);
	return 0;
}

struct stream *stream_find(struct streams *set, struct str name)
{
	struct map_node *node = map_find(&set->by_name, name);

	return node ? stream_ref(container_of(node, struct stream, node)) : NULL;
}

struct stream *stream_open(struct streams *set, struct str name, unsigned flags)
{
	struct stream *s = stream_find(set, name);

	if (s)
		return s;
	s = stream_create(set, name);
	if (!s)
		return NULL;
	s->record = flags & STREAM_RECORD;
	if (s->record && set->journal) {
		struct jstream *js = journal_stream(set->journal, s->node.key);

		if (js)
			stream_attach(s, js);
	}
	return stream_ref(s);
}

struct stream *stream_ref(struct stream *s)
{
	s->refs++;
	return s;
}

struct stream *stream_unref(struct stream *s)
{
	/* Forgotten in a later turn, if nothing is in it by then. */
	if (s && --s->refs == 0 && s->first == s->next)
		stream_mark(s, false);
	return NULL;
}

void streams_each(const struct streams *set, void (*fn)(void *arg, const struct stream *stream),
		  void *arg)
{
	map_for_each (it, &set->by_name)
		fn(arg, container_of(it, struct stream, node));
}

struct str stream_name(const struct stream *s)
{
	return s->node.key;
}

uint64_t stream_first(const struct stream *s)
{
	return s->first;
}

uint64_t stream_visible(const struct stream *s)
{
	return s->visible;
}

uint64_t stream_next(const struct stream *s)
{
	return s->next;
}

uint64_t stream_oldest_ns(const struct stream *s)
{
	return s->ring.n ? ring_get(&s->ring, s->ring.first)->wall_ns : 0;
}

uint64_t stream_in_memory(const struct stream *s)
{
	return s->ring.n && s->ring.first < s->visible ? s->ring.first : s->visible;
}

void streams_stats(const struct streams *set, struct stream_stats *ret)
{
	*ret = set->stats;
	ret->streams = set->by_name.count;
	streams_leases_stats(set, ret);
}
