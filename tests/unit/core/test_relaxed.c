/* SPDX-License-Identifier: MIT */
/* Messages that readers see before they are written, and what that must not break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/core_internal.h"
#include "journal/journal_internal.h"

struct fx {
	struct loop *loop;
	struct journal *journal;
	struct streams *streams;
	struct stream *stream;
	struct cursor *cursor;
	int done, last_rc;
};

static void on_ready(void *arg)
{
}

static int setup(void **state)
{
	char dir[] = "/tmp/voxbus-test-XXXXXX";
	struct fx *fx = calloc(1, sizeof(*fx));
	struct stream_limits limits = { .memory_bytes = 2000, .ring_max = 2 };
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
	fx->stream = stream_open(fx->streams, STR("q"), STREAM_RECORD);
	assert_non_null(fx->stream);
	assert_int_equal(
		cursor_create(fx->stream, CURSOR_REQUIRED, 100, on_ready, NULL, &fx->cursor), 0);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	(void)cursor_destroy(fx->cursor);
	(void)stream_unref(fx->stream);
	(void)journal_close(fx->journal);
	(void)streams_destroy(fx->streams);
	(void)loop_destroy(fx->loop);
	free(fx);
	return 0;
}

static void turns(struct fx *fx)
{
	for (int i = 0; i < 5; i++)
		(void)loop_turn(fx->loop);
}

static void write_all(struct fx *fx)
{
	loop_test_advance(fx->loop, 5); /* relaxed ones are handed to the writer together, later */
	for (int i = 0; i < 10; i++) {
		(void)journal_step_write(fx->journal);
		(void)journal_step_sync(fx->journal);
		turns(fx);
	}
}

static void on_done(void *arg, int rc)
{
	struct fx *fx = arg;

	fx->done++;
	fx->last_rc = rc;
}

static int append(struct fx *fx, const char *id, bool relaxed)
{
	static char body[1000];
	struct msg init = { .kind = MSG_DOCUMENT,
			    .seq = stream_next(fx->stream),
			    .id = str_from(id),
			    .payload = blob_create(str_make(body, sizeof(body))) };
	auto_msg struct msg *m = msg_create(&init);

	(void)blob_unref(init.payload);
	assert_non_null(m);
	return relaxed ? stream_append_relaxed(fx->stream, m, on_done, fx)
		       : stream_append(fx->stream, m, on_done, fx);
}

/* The next message has that id; NULL: there is none. */
static void expect_next(struct fx *fx, const char *id)
{
	struct msg *m = NULL;

	if (!id) {
		assert_int_equal(cursor_take(fx->cursor, &m), 0);
		return;
	}
	for (int i = 0; i < 2000000 && cursor_take(fx->cursor, &m) == 0; i++)
		(void)loop_turn(fx->loop); /* it may have to be read */
	assert_non_null(m);
	assert_true(str_eq(m->id, str_from(id)));
	cursor_settle(fx->cursor, m->seq, true);
	(void)msg_unref(m);
}

static void it_is_seen_and_done_before_it_is_written(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(append(fx, "a", true), 0);
	assert_int_equal(fx->done, 0);
	turns(fx);
	assert_int_equal(fx->done, 1);
	expect_next(fx, "a");
	turns(fx);
	write_all(fx);
	assert_int_equal(fx->done, 1);
	assert_int_equal(stream_first(fx->stream), 2);
}

static void many_are_written_together(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(append(fx, "a", true), 0);
	write_all(fx); /* with the stream's name */
	for (int i = 0; i < 10; i++) {
		assert_int_equal(append(fx, "a", true), 0);
		turns(fx);
	}
	assert_int_equal(fx->done, 11);
	assert_false(journal_step_write(fx->journal));
	loop_test_advance(fx->loop, 5);
	turns(fx);
	assert_true(journal_step_write(fx->journal));
	assert_false(journal_step_write(fx->journal));
	turns(fx);
	assert_int_equal(fx->stream->written, 12);
}

static void one_that_is_awaited_takes_the_others_along(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(append(fx, "a", true), 0);
	turns(fx);
	assert_int_equal(append(fx, "b", false), 0);
	turns(fx);
	assert_true(journal_step_write(fx->journal));
	turns(fx);
	assert_int_equal(fx->stream->written, 3);
}

static void order_is_kept_behind_what_is_being_written(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(append(fx, "a", false), 0);
	assert_int_equal(append(fx, "b", true), 0);
	turns(fx);
	assert_int_equal(fx->done, 1); /* the second's publisher waits for nothing */
	expect_next(fx, NULL);
	write_all(fx);
	assert_int_equal(fx->done, 2);
	expect_next(fx, "a");
	expect_next(fx, "b");
	/* A durable one behind a relaxed one waits for its own write. */
	assert_int_equal(append(fx, "c", true), 0);
	assert_int_equal(append(fx, "d", false), 0);
	turns(fx);
	expect_next(fx, "c");
	expect_next(fx, NULL);
	write_all(fx);
	expect_next(fx, "d");
	assert_int_equal(fx->done, 4);
}

static void what_is_not_written_never_leaves_the_memory(void **state)
{
	struct fx *fx = *state;
	char id[8];

	for (int i = 0; i < 10; i++) {
		(void)snprintf(id, sizeof(id), "%d", i);
		assert_int_equal(append(fx, id, true), 0);
		turns(fx);
	}
	stream_spill(fx->stream);
	assert_int_equal(fx->stream->ring.n, 10);
	for (int i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "%d", i);
		expect_next(fx, id);
	}
	write_all(fx);
	assert_true(fx->stream->ring.n <= 2);
	for (int i = 5; i < 10; i++) {
		(void)snprintf(id, sizeof(id), "%d", i);
		expect_next(fx, id);
	}
	expect_next(fx, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		TEST(it_is_seen_and_done_before_it_is_written),
		TEST(many_are_written_together),
		TEST(one_that_is_awaited_takes_the_others_along),
		TEST(order_is_kept_behind_what_is_being_written),
		TEST(what_is_not_written_never_leaves_the_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
