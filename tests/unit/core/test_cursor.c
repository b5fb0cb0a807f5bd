/* SPDX-License-Identifier: MIT */
/* Streams and cursors: order, settling in any order, giving back, falling behind. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/core_internal.h"
#include "core/cursor.h"
#include "core_test.h"

struct reader {
	struct cursor *cursor;
	int ready;
};

static void on_ready(void *arg)
{
	struct reader *r = arg;

	r->ready++;
}

static void append(struct world *w, struct stream *s, int n)
{
	while (n--) {
		char text[32];
		int len = snprintf(text, sizeof(text), "m%d", (int)stream_next(s));
		struct msg init = { .kind = MSG_DOCUMENT,
				    .seq = stream_next(s),
				    .payload = blob_create(str_make(text, (size_t)len)) };
		auto_msg struct msg *m = msg_create(&init);

		(void)blob_unref(init.payload);
		assert_non_null(m);
		assert_int_equal(stream_append(s, m, NULL, NULL), 0);
	}
}

static void reader_create(struct stream *s, struct reader *r, unsigned flags, size_t window)
{
	r->ready = 0;
	assert_non_null(s);
	assert_int_equal(cursor_create(s, flags, window, on_ready, r, &r->cursor), 0);
}

/* Takes one: its number, 0 when there is none. */
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

static void messages_come_in_order_and_wake_once(void **state)
{
	struct reader r;
	struct world w;
	struct stream *s;

	world_create(&w, &(struct world_options){ 0 });
	s = stream_open(w.streams, STR("s"), 0);
	assert_non_null(s);
	reader_create(s, &r, CURSOR_REQUIRED, 10);
	assert_int_equal(take(&r), 0);
	append(&w, s, 3);
	world_settle(&w);
	assert_int_equal(r.ready, 1);
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(take(&r), i);
	assert_int_equal(take(&r), 0);
	r.cursor = cursor_destroy(r.cursor);
	(void)stream_unref(s);
	world_destroy(&w);
}

static void append_large(struct stream *s, size_t bytes)
{
	struct blob *payload = calloc(1, sizeof(*payload) + bytes);

	assert_non_null(payload);
	payload->refs = 1;
	payload->n = bytes;
	auto_msg struct msg *m =
		msg_create(&(struct msg){ .seq = stream_next(s), .payload = payload });
	(void)blob_unref(payload);
	assert_non_null(m);
	assert_int_equal(stream_append(s, m, NULL, NULL), 0);
}

static void large_messages_fill_the_window_before_many_do(void **state)
{
	struct reader r;
	struct world w;
	struct stream *s;

	world_create(&w, &(struct world_options){ 0 });
	s = stream_open(w.streams, STR("s"), 0);
	assert_non_null(s);
	reader_create(s, &r, CURSOR_REQUIRED, 100);
	for (int i = 0; i < 20; i++)
		append_large(s, 1 << 20);
	world_settle(&w);
	for (uint64_t i = 1; i <= 16; i++)
		assert_int_equal(take(&r), i);
	assert_int_equal(take(&r), 0);
	r.ready = 0;
	cursor_settle(r.cursor, 7, false); /* given back it is kept all the same */
	world_settle(&w);
	assert_int_equal(r.ready, 1);
	assert_int_equal(take(&r), 7);
	assert_int_equal(take(&r), 0);
	cursor_settle(r.cursor, 7, true);
	world_settle(&w);
	assert_int_equal(r.ready, 2);
	assert_int_equal(take(&r), 17);
	assert_int_equal(take(&r), 0);
	r.cursor = cursor_destroy(r.cursor);
	(void)stream_unref(s);
	world_destroy(&w);
}

static void settled_in_any_order_the_floor_follows(void **state)
{
	struct reader r;
	struct world w;
	struct stream *s;

	world_create(&w, &(struct world_options){ 0 });
	s = stream_open(w.streams, STR("s"), 0);
	assert_non_null(s);
	reader_create(s, &r, CURSOR_REQUIRED, 3);
	append(&w, s, 5);
	world_settle(&w);
	while (take(&r))
		;
	assert_int_equal(cursor_in_flight(r.cursor), 3); /* the window */
	cursor_settle(r.cursor, 2, true);
	assert_int_equal(cursor_floor(r.cursor), 1);
	assert_int_equal(take(&r), 4);
	assert_int_equal(take(&r), 0);
	cursor_settle(r.cursor, 1, true);
	assert_int_equal(cursor_floor(r.cursor), 3);
	cursor_settle(r.cursor, 1, true);   /* twice: nothing */
	cursor_settle(r.cursor, 99, false); /* never taken: nothing */
	cursor_settle(r.cursor, 3, false);
	assert_int_equal(take(&r), 3);
	assert_int_equal(cursor_returns(r.cursor, 3), 1);
	assert_int_equal(take(&r), 5);
	world_settle(&w);
	assert_int_equal(stream_first(s), 3);
	r.cursor = cursor_destroy(r.cursor);
	(void)stream_unref(s);
	world_destroy(&w);
}

/* Each message of `n` is taken and settled: what has come. */
static void read_on(struct world *w, struct stream *s, struct reader *r, uint64_t n)
{
	uint64_t seq = stream_next(s);

	append(w, s, (int)n);
	world_settle(w);
	for (; n; n--, seq++) {
		assert_int_equal(take(r), seq);
		cursor_settle(r->cursor, seq, true);
	}
}

static void what_is_out_for_long_does_not_stop_the_others(void **state)
{
	struct reader r;
	struct world w;
	struct stream *s;

	world_create(&w, &(struct world_options){ 0 });
	s = stream_open(w.streams, STR("s"), 0);
	reader_create(s, &r, CURSOR_REQUIRED, 4);
	append(&w, s, 3);
	world_settle(&w);
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(take(&r), i);
	cursor_settle(r.cursor, 2, true);
	read_on(&w, s, &r, 100);
	/* Two are out, and so two more may be. */
	append(&w, s, 3);
	world_settle(&w);
	assert_int_equal(take(&r), 104);
	assert_int_equal(take(&r), 105);
	assert_int_equal(take(&r), 0);
	assert_int_equal(cursor_floor(r.cursor), 1);
	assert_true(cursor_has_settled(r.cursor, 50));
	assert_false(cursor_has_settled(r.cursor, 3));
	world_settle(&w);
	assert_int_equal(stream_first(s), 1);
	cursor_settle(r.cursor, 3, false);
	assert_int_equal(take(&r), 3);
	assert_int_equal(cursor_returns(r.cursor, 3), 1);
	cursor_set_aside(r.cursor, 3);
	assert_true(cursor_take_aside(r.cursor, 3));
	cursor_settle(r.cursor, 1, true);
	assert_int_equal(cursor_floor(r.cursor), 3);
	cursor_rewind(r.cursor);
	assert_int_equal(take(&r), 3);
	assert_int_equal(take(&r), 104);
	cursor_settle(r.cursor, 3, true);
	world_settle(&w);
	assert_int_equal(stream_first(s), 104);
	r.cursor = cursor_destroy(r.cursor);
	(void)stream_unref(s);
	world_destroy(&w);
}

/* By age (which journals tell of), and not by hand: a purge leaves alone what is under way. */
static void what_is_too_old_does_not_come_again(void **state)
{
	struct reader r;
	struct world w;
	struct stream *s;

	world_create(&w, &(struct world_options){ 0 });
	s = stream_open(w.streams, STR("s"), 0);
	reader_create(s, &r, CURSOR_REQUIRED | CURSOR_LEASED, 4);
	append(&w, s, 50);
	world_settle(&w);
	assert_int_equal(take(&r), 1);
	assert_int_equal(take(&r), 2);
	cursor_settle(r.cursor, 2, false);
	stream_trim(s, stream_visible(s));
	append(&w, s, 1);
	world_settle(&w);
	assert_int_equal(take(&r), 2);
	assert_int_equal(take(&r), 51); /* 1 does not hold it up */
	cursor_settle(r.cursor, 1, false);
	cursor_settle(r.cursor, 2, false);
	s->aged = 2;
	assert_int_equal(take(&r), 2);
	s->aged = 3;
	cursor_settle(r.cursor, 2, false);
	assert_int_equal(take(&r), 0);
	assert_int_equal(cursor_lag(r.cursor), 1);
	r.cursor = cursor_destroy(r.cursor);
	(void)stream_unref(s);
	world_destroy(&w);
}

static void slowest_required_reader_holds_the_stream(void **state)
{
	struct reader fast, slow, tail;
	struct world w;
	struct stream *s;

	world_create(&w, &(struct world_options){ 0 });
	s = stream_open(w.streams, STR("s"), 0);
	assert_non_null(s);
	reader_create(s, &fast, CURSOR_REQUIRED, 10);
	reader_create(s, &slow, CURSOR_REQUIRED, 10);
	reader_create(s, &tail, 0, 10);
	append(&w, s, 4);
	world_settle(&w);
	for (int i = 0; i < 4; i++)
		cursor_settle(fast.cursor, take(&fast), true);
	cursor_settle(slow.cursor, take(&slow), true);
	world_settle(&w);
	assert_int_equal(stream_first(s), 2);
	assert_int_equal(take(&tail), 2); /* 1 is gone: an observer holds nothing */
	fast.cursor = cursor_destroy(fast.cursor);
	slow.cursor = cursor_destroy(slow.cursor);
	tail.cursor = cursor_destroy(tail.cursor);
	(void)stream_unref(s);
	world_destroy(&w);
}

static void full_memory_stream_drops_the_oldest(void **state)
{
	struct stream_stats stats;
	struct reader r;
	struct world w;
	struct stream *s;

	world_create(&w, &(struct world_options){ 0 });
	s = stream_open(w.streams, STR("s"), 0);
	assert_non_null(s);
	reader_create(s, &r, CURSOR_REQUIRED, 10);
	append(&w, s, 10005);
	world_settle(&w);
	assert_int_equal(take(&r), 6);
	streams_stats(w.streams, &stats);
	assert_int_equal(stats.dropped, 5);
	r.cursor = cursor_destroy(r.cursor);
	(void)stream_unref(s);
	world_destroy(&w);
}

static void reader_far_behind_reads_from_the_disk(void **state)
{
	enum { N = 5000 };
	char dir[64];
	struct stream_stats stats;
	struct reader r;
	struct world w;
	struct stream *s;
	uint64_t want = 1;

	dir_make(dir);
	world_create(&w, &(struct world_options){ .dir = dir });
	s = stream_open(w.streams, STR("s"), STREAM_RECORD);
	assert_non_null(s);
	append(&w, s, N);
	world_settle(&w);
	streams_stats(w.streams, &stats);
	assert_true(stats.messages_in_memory <= 1024);
	reader_create(s, &r, CURSOR_REQUIRED, 10);
	for (int turns = 0; want <= N && turns < 2000000; turns++) {
		uint64_t seq = take(&r);

		if (seq) {
			assert_int_equal(seq, want);
			want++;
			cursor_settle(r.cursor, seq, true);
		} else {
			loop_turn(w.loop);
		}
	}
	assert_int_equal(want, N + 1);
	r.cursor = cursor_destroy(r.cursor);
	(void)stream_unref(s);
	world_destroy(&w);
	dir_remove(dir);
}

static void on_done(void *arg, int rc)
{
	*(int *)arg = rc == 0 ? 1 : rc;
}

static void acknowledged_append_survives_a_restart(void **state)
{
	char dir[64];
	struct reader r;
	struct world w;
	struct stream *s;
	struct msg *m;
	int done = 0;

	dir_make(dir);
	world_create(&w, &(struct world_options){ .dir = dir });
	s = stream_open(w.streams, STR("q"), STREAM_RECORD);
	assert_non_null(s);
	m = msg_create(&(struct msg){ .kind = MSG_DOCUMENT, .seq = 1, .type = STR("t") });
	assert_non_null(m);
	assert_int_equal(stream_append(s, m, on_done, &done), 0);
	assert_int_equal(done, 0);
	world_settle(&w);
	assert_int_equal(done, 1);
	(void)msg_unref(m);
	(void)stream_unref(s);
	world_destroy(&w);

	world_create(&w, &(struct world_options){ .dir = dir });
	s = stream_find(w.streams, STR("q"));
	assert_non_null(s);
	reader_create(s, &r, CURSOR_REQUIRED, 10);
	for (int i = 0; i < 2000000 && cursor_take(r.cursor, &m) == 0; i++)
		loop_turn(w.loop);
	assert_true(r.ready > 0);
	assert_int_equal(cursor_in_flight(r.cursor), 1);
	assert_true(str_eq(m->type, STR("t")));
	assert_true(m->flags & MSG_RECOVERED);
	(void)msg_unref(m);
	r.cursor = cursor_destroy(r.cursor);
	(void)stream_unref(s);
	world_destroy(&w);
	dir_remove(dir);
}

static void empty_stream_without_readers_is_forgotten(void **state)
{
	struct world w;
	struct stream *s;

	world_create(&w, &(struct world_options){ 0 });
	s = stream_open(w.streams, STR("s"), 0);
	assert_non_null(s);
	(void)stream_unref(s);
	world_settle(&w);
	assert_null(stream_find(w.streams, STR("s")));
	world_destroy(&w);
}

static void record_of_a_message_reads_back_and_never_past_its_end(void **state)
{
	struct msg init = { .kind = MSG_REPLY,
			    .status = 404,
			    .seq = 9,
			    .answers = 3,
			    .wall_ns = 12345,
			    .topic = STR("responses_x"),
			    .id = STR("u"),
			    .dialog = STR("x"),
			    .application = STR("app"),
			    .type = STR(""),
			    .payload = blob_create(STR("body")),
			    .node = STR("02:00") };
	auto_msg struct msg *m = msg_create(&init);
	struct msg *back;
	struct buf b;
	size_t head;

	(void)blob_unref(init.payload);
	assert_non_null(m);
	buf_init(&b, 4096);
	assert_int_equal(msg_encode(m, &b), 0);
	head = buf_len(&b);
	assert_int_equal(buf_add(&b, STR("body")), 0);
	assert_int_equal(msg_decode(buf_str(&b), 9, &back), 0);
	assert_int_equal(back->status, 404);
	assert_int_equal(back->answers, 3);
	assert_true(str_eq(back->topic, m->topic) && str_eq(back->node, m->node));
	assert_true(str_eq(blob_str(back->payload), STR("body")));
	(void)msg_unref(back);
	for (size_t n = 0; n < head; n++) {
		char *cut =
			str_dup(str_make(buf_str(&b).p, n)); /* so that ASan sees a read past it */

		assert_int_equal(msg_decode(str_make(cut, n), 9, &back), -EBADMSG);
		free(cut);
	}
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_in_order_and_wake_once),
		cmocka_unit_test(large_messages_fill_the_window_before_many_do),
		cmocka_unit_test(settled_in_any_order_the_floor_follows),
		cmocka_unit_test(what_is_out_for_long_does_not_stop_the_others),
		cmocka_unit_test(what_is_too_old_does_not_come_again),
		cmocka_unit_test(slowest_required_reader_holds_the_stream),
		cmocka_unit_test(full_memory_stream_drops_the_oldest),
		cmocka_unit_test(reader_far_behind_reads_from_the_disk),
		cmocka_unit_test(acknowledged_append_survives_a_restart),
		cmocka_unit_test(empty_stream_without_readers_is_forgotten),
		cmocka_unit_test(record_of_a_message_reads_back_and_never_past_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
