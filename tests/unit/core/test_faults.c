/* SPDX-License-Identifier: MIT */
/*
 * The core over a journal that refuses, fails in the middle, or answers a read late: the linker
 * puts this file between the core and the journal.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/cursor.h"
#include "core_test.h"

enum { OPENS = OBJECT_OPENS | OBJECT_BINDS };

typedef void (*read_fn)(void *arg, int rc, const struct journal_record *records, size_t n);

static int refuse_appends, refuse_puts;
static bool refuse_streams, hold_reads;
static struct {
	read_fn fn;
	void *arg;
} held;

int __real_journal_append(struct journal *journal, struct jstream *js, uint64_t seq,
			  const struct str *parts, size_t n, uint64_t *ret_lsn);
int __wrap_journal_append(struct journal *journal, struct jstream *js, uint64_t seq,
			  const struct str *parts, size_t n, uint64_t *ret_lsn);
int __real_journal_put(struct journal *journal, struct str key, struct str value,
		       uint64_t *ret_lsn);
int __wrap_journal_put(struct journal *journal, struct str key, struct str value,
		       uint64_t *ret_lsn);
struct jstream *__real_journal_stream(struct journal *journal, struct str name);
struct jstream *__wrap_journal_stream(struct journal *journal, struct str name);
int __real_journal_read(struct journal *journal, struct jstream *js, uint64_t seq, size_t max_bytes,
			read_fn fn, void *arg);
int __wrap_journal_read(struct journal *journal, struct jstream *js, uint64_t seq, size_t max_bytes,
			read_fn fn, void *arg);

int __wrap_journal_append(struct journal *journal, struct jstream *js, uint64_t seq,
			  const struct str *parts, size_t n, uint64_t *ret_lsn)
{
	if (refuse_appends)
		return refuse_appends;
	return __real_journal_append(journal, js, seq, parts, n, ret_lsn);
}

int __wrap_journal_put(struct journal *journal, struct str key, struct str value, uint64_t *ret_lsn)
{
	if (refuse_puts && str_starts(key, STR("dialog/")))
		return refuse_puts;
	return __real_journal_put(journal, key, value, ret_lsn);
}

struct jstream *__wrap_journal_stream(struct journal *journal, struct str name)
{
	return refuse_streams ? NULL : __real_journal_stream(journal, name);
}

int __wrap_journal_read(struct journal *journal, struct jstream *js, uint64_t seq, size_t max_bytes,
			read_fn fn, void *arg)
{
	if (!hold_reads)
		return __real_journal_read(journal, js, seq, max_bytes, fn, arg);
	assert_null(held.fn);
	held.fn = fn;
	held.arg = arg;
	return 0;
}

static void heal(void)
{
	refuse_appends = refuse_puts = 0;
	refuse_streams = hold_reads = false;
	held.fn = NULL;
}

struct fixture {
	struct world w;
	char dir[64];
};

static int setup(void **state)
{
	static struct fixture f;

	heal();
	dir_make(f.dir);
	world_create(&f.w, &(struct world_options){ .dir = f.dir });
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	heal();
	world_destroy(&f->w);
	dir_remove(f->dir);
	return 0;
}

static void on_done(void *arg, int rc)
{
	*(int *)arg = rc == 0 ? 1 : rc;
}

static struct stream *open_stream(struct fixture *f)
{
	struct stream *s = stream_open(f->w.streams, STR("q"), STREAM_RECORD);

	assert_non_null(s);
	return s;
}

static int append(struct stream *s, size_t bytes, stream_done_fn done, void *arg)
{
	char *text = calloc(1, bytes + 1);
	struct msg init = { .kind = MSG_DOCUMENT,
			    .seq = stream_next(s),
			    .payload = blob_create(str_make(text, bytes)) };
	auto_msg struct msg *m = msg_create(&init);

	free(text);
	(void)blob_unref(init.payload);
	assert_non_null(m);
	return stream_append(s, m, done, arg);
}

static void refused_append_with_a_receipt_takes_nothing(void **state)
{
	static const int refusals[] = { -EAGAIN, -ENOSPC, -EIO, -ENOMEM, -EMSGSIZE };
	struct fixture *f = *state;
	struct stream *s = open_stream(f);
	int done = 0;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		refuse_appends = refusals[i];
		assert_int_equal(append(s, 10, on_done, &done), refusals[i]);
		assert_int_equal(stream_next(s), 1);
	}
	heal();
	assert_int_equal(append(s, 10, on_done, &done), 0);
	world_settle(&f->w);
	assert_int_equal(done, 1);
	stream_trim(s, 2);
	(void)stream_unref(s);
}

static void stream_that_stopped_recording_promises_nothing(void **state)
{
	struct fixture *f = *state;
	struct stream *s = open_stream(f);
	struct stream_stats stats;
	int done = 0;

	refuse_appends = -ENOSPC;
	assert_int_equal(append(s, 10, NULL, NULL), 0);
	heal();
	assert_int_equal(append(s, 10, on_done, &done), -EIO);
	assert_int_equal(append(s, 10, NULL, NULL), 0);
	world_settle(&f->w);
	assert_int_equal(done, 0);
	assert_int_equal(stream_visible(s), 3);
	streams_stats(f->w.streams, &stats);
	assert_int_equal(stats.unrecorded, 2);
	stream_trim(s, 3);
	(void)stream_unref(s);
}

static void message_too_large_does_not_end_the_record(void **state)
{
	struct fixture *f = *state;
	struct stream *s = open_stream(f);
	int done = 0;

	assert_int_equal(append(s, 17 << 20, NULL, NULL), -EMSGSIZE);
	assert_int_equal(append(s, 10, on_done, &done), 0);
	world_settle(&f->w);
	assert_int_equal(done, 1);
	stream_trim(s, 2);
	(void)stream_unref(s);
}

static void stream_that_the_journal_cannot_name_lives_in_memory(void **state)
{
	struct fixture *f = *state;
	struct stream *s;
	int done = 0;

	refuse_streams = true;
	s = open_stream(f);
	assert_non_null(s);
	assert_int_equal(append(s, 10, on_done, &done), -ENOSPC);
	assert_int_equal(append(s, 10, NULL, NULL), 0);
	world_settle(&f->w);
	assert_int_equal(stream_visible(s), 2);
	stream_trim(s, 2);
	(void)stream_unref(s);
}

static void calls_go_on_when_the_disk_is_full(void **state)
{
	struct fixture *f = *state;
	struct world *w = &f->w;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	world_settle(w);
	refuse_appends = refuse_puts = -ENOSPC;
	(void)world_event(w, "StasisStart", OPENS, "c2", "{}");
	(void)world_event(w, "Dial", 0, "c1", "{}");
	world_settle(w);
	assert_int_equal(w->sent.n, 5);
	/* A command is carried out all the same; the bus hears of it when it is answered. */
	assert_int_equal(world_command(w, "POST", "/a", "1"), 0);
	world_settle(w);
	assert_int_equal(w->settles, 0);
	assert_int_equal(w->commands.n, 1);
	memory_port_reply(w->engine, w->commands.at[0], 204, STR(""));
	world_settle(w);
	assert_int_equal(w->settles, 1);
	assert_int_equal(w->last_settle, 0);
	heal();
	assert_int_equal(world_command(w, "POST", "/b", "2"), 0);
	world_settle(w);
	assert_int_equal(w->settles, 2); /* recorded again */
	memory_port_reply(w->engine, w->commands.at[1], 204, STR(""));
	world_settle(w);
	assert_int_equal(w->sent.n, 7);
}

static void call_that_could_not_be_saved_is_saved_later(void **state)
{
	struct fixture *f = *state;
	struct world *w = &f->w;
	char dialog[64];

	refuse_puts = -ENOSPC;
	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	world_settle(w);
	(void)snprintf(dialog, sizeof(dialog), "%s", w->dialog);
	heal();
	loop_test_advance(w->loop, 5000);
	world_settle(w);
	refuse_puts = -ENOSPC; /* the last chance is no chance */
	world_destroy(w);
	heal();
	world_create(w, &(struct world_options){ .dir = f->dir });
	assert_true(hub_has_dialog(w->hub, str_from(dialog)));
}

static void journal_that_fails_in_the_middle_loses_no_event(void **state)
{
	struct fixture *f = *state;
	struct world *w = &f->w;
	struct journal_events events;
	struct err e = { "made up" };

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	world_settle(w);
	(void)world_event(w, "A", 0, "c1", "{}");
	assert_int_equal(world_command(w, "GET", "/a", "1"), 0);
	streams_journal_events(w->streams, &events);
	refuse_appends = refuse_puts = -EIO;
	events.failed(events.arg, &e);
	(void)world_event(w, "B", 0, "c1", "{}");
	world_settle(w);
	assert_int_equal(w->settles, 1);
	assert_int_equal(w->last_settle, -EIO); /* not durable: nobody is told that it is */
	assert_string_equal(world_sent(w), "AppStart StasisStart A B");
	assert_int_equal(w->commands.n, 1);
	memory_port_reply(w->engine, w->commands.at[0], 200, STR(""));
	world_settle(w);
	assert_string_equal(world_sent(w), "AppStart StasisStart A B 200");
	assert_int_equal(world_command(w, "GET", "/a", "2"), 0);
	world_settle(w);
	assert_int_equal(w->settles, 1);
	memory_port_reply(w->engine, w->commands.at[1], 200, STR(""));
	world_settle(w);
	assert_int_equal(w->settles, 2);
}

struct reader {
	struct cursor *cursor;
	int ready;
};

static void on_ready(void *arg)
{
	((struct reader *)arg)->ready++;
}

static uint64_t take(struct reader *r)
{
	struct msg *m;
	uint64_t seq;

	if (cursor_take(r->cursor, &m) == 0)
		return 0;
	seq = m->seq;
	(void)msg_unref(m);
	return seq;
}

static void late_read_does_not_move_a_cursor_that_went_on(void **state)
{
	struct fixture *f = *state;
	struct stream *s = open_stream(f);
	struct reader r = { .ready = 0 };

	for (int i = 0; i < 20; i++)
		assert_int_equal(append(s, 10, NULL, NULL), 0);
	world_settle(&f->w);
	stream_spill(s);
	hold_reads = true;
	assert_int_equal(cursor_create(s, 0, 10, on_ready, &r, &r.cursor), 0);
	assert_int_equal(take(&r), 0); /* 1..20 are on the disk, and the disk is slow */
	for (int i = 0; i < 5; i++)
		assert_int_equal(append(s, 10, NULL, NULL), 0);
	world_settle(&f->w);
	stream_trim(s, 21); /* of age, meanwhile */
	assert_int_equal(take(&r), 21);
	assert_non_null(held.fn);
	held.fn(held.arg, -ENOENT, NULL, 0);
	for (uint64_t i = 22; i <= 25; i++)
		assert_int_equal(take(&r), i);
	heal();
	r.cursor = cursor_destroy(r.cursor);
	stream_trim(s, 26);
	(void)stream_unref(s);
}

static void failed_read_is_tried_again_and_skips_nothing(void **state)
{
	struct fixture *f = *state;
	struct stream *s = open_stream(f);
	struct reader r = { .ready = 0 };

	for (int i = 0; i < 3; i++)
		assert_int_equal(append(s, 10, NULL, NULL), 0);
	world_settle(&f->w);
	stream_spill(s);
	hold_reads = true;
	assert_int_equal(cursor_create(s, CURSOR_REQUIRED, 10, on_ready, &r, &r.cursor), 0);
	assert_int_equal(take(&r), 0);
	assert_non_null(held.fn);
	held.fn(held.arg, -ENOMEM, NULL, 0);
	heal();
	world_settle(&f->w);
	assert_int_equal(take(&r), 0);
	loop_test_advance(f->w.loop, 1000);
	for (int i = 0; i < 1000 && take(&r) != 1; i++)
		world_settle(&f->w);
	assert_int_equal(take(&r), 2);
	assert_int_equal(take(&r), 3);
	r.cursor = cursor_destroy(r.cursor);
	stream_trim(s, 4);
	(void)stream_unref(s);
}

static void cursor_goes_while_its_read_is_under_way(void **state)
{
	struct fixture *f = *state;
	struct stream *s = open_stream(f);
	struct reader r = { .ready = 0 };

	assert_int_equal(append(s, 10, NULL, NULL), 0);
	world_settle(&f->w);
	stream_spill(s);
	hold_reads = true;
	assert_int_equal(cursor_create(s, CURSOR_REQUIRED, 10, on_ready, &r, &r.cursor), 0);
	assert_int_equal(take(&r), 0);
	r.cursor = cursor_destroy(r.cursor);
	assert_non_null(held.fn);
	held.fn(held.arg, 0, NULL, 0);
	assert_int_equal(r.ready, 0);
	stream_trim(s, 2);
	(void)stream_unref(s);
}

static void read_that_a_closed_journal_forgot_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct stream *s = open_stream(f);
	struct reader r = { .ready = 0 };

	assert_int_equal(append(s, 10, NULL, NULL), 0);
	world_settle(&f->w);
	stream_spill(s);
	hold_reads = true;
	assert_int_equal(cursor_create(s, CURSOR_REQUIRED, 10, on_ready, &r, &r.cursor), 0);
	assert_int_equal(take(&r), 0);
	r.cursor = cursor_destroy(r.cursor);
	(void)stream_unref(s);
	memset(&held, 0, sizeof(held)); /* the sanitizer must not find it here */
}

static void hole_behind_what_is_in_flight_is_passed(void **state)
{
	struct fixture *f = *state;
	struct stream *s = open_stream(f);
	struct reader r = { .ready = 0 };

	for (int i = 0; i < 30; i++)
		assert_int_equal(append(s, 10, NULL, NULL), 0);
	world_settle(&f->w);
	assert_int_equal(cursor_create(s, 0, 4, on_ready, &r, &r.cursor), 0);
	assert_int_equal(take(&r), 1);
	assert_int_equal(take(&r), 2);
	stream_trim(s, 21);
	assert_int_equal(take(&r), 21); /* although the hole is larger than the window */
	cursor_settle(r.cursor, 2, true);
	cursor_settle(r.cursor, 1, false);
	assert_int_equal(take(&r), 1);
	assert_int_equal(cursor_floor(r.cursor), 1);
	cursor_settle(r.cursor, 1, true);
	assert_int_equal(cursor_floor(r.cursor), 21);
	assert_int_equal(take(&r), 22);
	r.cursor = cursor_destroy(r.cursor);
	stream_trim(s, 31);
	(void)stream_unref(s);
}

static void memory_of_all_streams_has_a_maximum(void **state)
{
	struct fixture *f = *state;
	struct stream_limits limits = { .memory_bytes = 100000 };
	struct streams *set;
	struct stream_stats stats;
	struct stream *s[10];

	assert_int_equal(streams_create(f->w.loop, NULL, &limits, &set), 0);
	for (int i = 0; i < 10; i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "s%d", i);
		s[i] = stream_open(set, str_from(name), 0);
		assert_non_null(s[i]);
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(append(s[i % 10], 1000, NULL, NULL), 0);
	streams_stats(set, &stats);
	assert_true(stats.bytes_in_memory < 10 * 17 * 1500);
	assert_int_equal(stats.messages_in_memory + stats.dropped, 1000);
	for (int i = 0; i < 10; i++) {
		assert_true(stream_next(s[i]) - stream_first(s[i]) >=
			    9); /* ten were there when it was short */
		(void)stream_discard(s[i]);
		(void)stream_unref(s[i]);
	}
	world_settle(&f->w);
	streams_stats(set, &stats);
	assert_int_equal(stats.bytes_in_memory, 0);
	assert_int_equal(stats.streams, 0);
	(void)streams_destroy(set);
}

static void discarded_stream_goes_when_the_last_is_written(void **state)
{
	struct fixture *f = *state;
	struct stream *s = open_stream(f);

	assert_int_equal(append(s, 10, NULL, NULL), 0);
	assert_int_equal(stream_visible(s), 1);
	assert_int_equal(stream_discard(s), 1);
	(void)stream_unref(s);
	world_settle(&f->w);
	assert_null(stream_find(f->w.streams, STR("q")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		TEST(refused_append_with_a_receipt_takes_nothing),
		TEST(stream_that_stopped_recording_promises_nothing),
		TEST(message_too_large_does_not_end_the_record),
		TEST(stream_that_the_journal_cannot_name_lives_in_memory),
		TEST(calls_go_on_when_the_disk_is_full),
		TEST(call_that_could_not_be_saved_is_saved_later),
		TEST(journal_that_fails_in_the_middle_loses_no_event),
		TEST(late_read_does_not_move_a_cursor_that_went_on),
		TEST(failed_read_is_tried_again_and_skips_nothing),
		TEST(cursor_goes_while_its_read_is_under_way),
		TEST(read_that_a_closed_journal_forgot_leaves_nothing),
		TEST(hole_behind_what_is_in_flight_is_passed),
		TEST(memory_of_all_streams_has_a_maximum),
		TEST(discarded_stream_goes_when_the_last_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
