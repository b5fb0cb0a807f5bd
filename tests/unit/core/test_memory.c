/* SPDX-License-Identifier: MIT */
/* What streams keep in memory when all of it is too much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "core/core_internal.h"
#include "journal/journal_internal.h"

enum { LIMIT = 65536, BODY = 1000, BACKLOG = 100, STEPS = 10 };

struct fx {
	struct loop *loop;
	struct journal *journal;
	struct streams *streams;
};

static void fx_open(struct fx *fx, size_t limit)
{
	char dir[] = "/tmp/voxbus-test-XXXXXX";
	struct stream_limits limits = { .memory_bytes = limit };
	struct journal_options options = { .dir = dir };
	struct journal_events events;
	struct journal_inject inject = { .options = &options, .events = &events, .stepped = true };
	struct err e;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(loop_create_manual(&fx->loop), 0);
	assert_int_equal(streams_create(fx->loop, NULL, &limits, &fx->streams), 0);
	streams_journal_events(fx->streams, &events);
	inject.loop = fx->loop;
	assert_int_equal(journal_open_injected(&inject, &fx->journal, &e), 0);
	assert_int_equal(streams_set_journal(fx->streams, fx->journal), 0);
}

static void fx_close(struct fx *fx)
{
	(void)journal_close(fx->journal);
	(void)streams_destroy(fx->streams);
	(void)loop_destroy(fx->loop);
}

static void fx_step(struct fx *fx)
{
	for (int i = 0; i < STEPS; i++) {
		(void)loop_turn(fx->loop);
		(void)journal_step_write(fx->journal);
		(void)journal_step_sync(fx->journal);
	}
}

static void append(struct stream *s, size_t n)
{
	static char body[BODY];

	while (n--) {
		struct msg init = { .kind = MSG_DOCUMENT,
				    .seq = stream_next(s),
				    .payload = blob_create(str_make(body, BODY)) };
		auto_msg struct msg *m = msg_create(&init);

		(void)blob_unref(init.payload);
		assert_non_null(m);
		assert_int_equal(stream_append(s, m, NULL, NULL), 0);
	}
}

static struct stream_stats stats(const struct fx *fx)
{
	struct stream_stats st;

	streams_stats(fx->streams, &st);
	return st;
}

static void on_ready(void *arg)
{
}

static void backlog_of_others_gives_way_to_calls_that_are_served(void **state)
{
	struct stream *idle[3], *served;
	struct cursor *reader;
	struct msg *m;
	struct fx fx;
	char name[8];

	fx_open(&fx, LIMIT);
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof(name), "idle%zu", i);
		idle[i] = stream_open(fx.streams, str_from(name), STREAM_RECORD);
		assert_non_null(idle[i]);
		append(idle[i], BACKLOG);
		fx_step(&fx);
	}
	served = stream_open(fx.streams, STR("served"), STREAM_RECORD);
	assert_non_null(served);
	assert_int_equal(cursor_create(served, CURSOR_REQUIRED, 8, on_ready, NULL, &reader), 0);
	for (uint64_t i = 1; i <= 2 * BACKLOG; i++) {
		append(served, 1);
		fx_step(&fx);
		assert_int_equal(cursor_take(reader, &m), 1); /* at once: from memory */
		assert_int_equal(m->seq, i);
		cursor_settle(reader, i, true);
		(void)msg_unref(m);
	}
	assert_int_equal(stats(&fx).disk_reads, 0);
	assert_true(stats(&fx).bytes_in_memory <= LIMIT);
	assert_int_equal(stats(&fx).dropped, 0);
	(void)cursor_destroy(reader);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(stream_visible(idle[i]) - stream_first(idle[i]), BACKLOG);
		(void)stream_unref(idle[i]);
	}
	(void)stream_unref(served);
	fx_close(&fx);
}

static void readers_that_are_behind_hold_no_more_than_their_share(void **state)
{
	enum { READERS = 40 };
	struct cursor *readers[READERS];
	struct stream *s[READERS];
	struct msg *m;
	struct fx fx;
	char name[8];

	fx_open(&fx, LIMIT);
	for (size_t i = 0; i < READERS; i++) {
		(void)snprintf(name, sizeof(name), "s%zu", i);
		s[i] = stream_open(fx.streams, str_from(name), STREAM_RECORD);
		assert_non_null(s[i]);
		append(s[i], BACKLOG);
		fx_step(&fx);
		stream_spill(s[i]);
		assert_int_equal(
			cursor_create(s[i], CURSOR_REQUIRED, 1, on_ready, NULL, &readers[i]), 0);
	}
	/* Each takes one and goes no further: what it read ahead stays. */
	for (size_t i = 0; i < READERS; i++) {
		for (int n = 0; cursor_take(readers[i], &m) == 0; n++) {
			assert_true(n < 100000);
			(void)loop_turn(fx.loop);
		}
		(void)msg_unref(m);
	}
	/* Half the limit, and at least 4 KiB each. */
	assert_true(fx.streams->loaded <= LIMIT / 2 + READERS * 4096 * 2);
	for (size_t i = 0; i < READERS; i++) {
		(void)cursor_destroy(readers[i]);
		(void)stream_unref(s[i]);
	}
	assert_int_equal(fx.streams->loaded, 0);
	fx_close(&fx);
}

static void stream_without_a_record_drops_its_oldest_and_says_so(void **state)
{
	struct stream *s;
	struct fx fx;

	fx_open(&fx, LIMIT);
	s = stream_open(fx.streams, STR("memory"), 0);
	assert_non_null(s);
	append(s, 2 * BACKLOG);
	fx_step(&fx);
	assert_true(stats(&fx).bytes_in_memory <= LIMIT);
	assert_int_equal(stats(&fx).dropped, stream_first(s) - 1);
	assert_true(stats(&fx).dropped > 0);
	(void)stream_unref(s);
	fx_close(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backlog_of_others_gives_way_to_calls_that_are_served),
		cmocka_unit_test(readers_that_are_behind_hold_no_more_than_their_share),
		cmocka_unit_test(stream_without_a_record_drops_its_oldest_and_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
