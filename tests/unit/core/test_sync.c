/* SPDX-License-Identifier: MIT */
/* Waiting until what was said of a stream is durable. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/cursor.h"
#include "core_test.h"

struct waiter {
	struct stream_sync sync;
	struct journal *journal;
	int calls, rc;
	uint64_t durable; /* when it was called */
};

static void on_done(void *arg, int rc)
{
	struct waiter *w = arg;

	w->calls++;
	w->rc = rc;
	w->durable = w->journal ? journal_durable(w->journal) : 0;
}

static void on_ready(void *arg)
{
}

static void append(struct stream *s, int n)
{
	while (n--) {
		struct msg init = { .kind = MSG_DOCUMENT, .seq = stream_next(s) };
		auto_msg struct msg *m = msg_create(&init);

		assert_non_null(m);
		assert_int_equal(stream_append(s, m, NULL, NULL), 0);
	}
}

static void wait_for(struct world *w, const struct waiter *x)
{
	for (int i = 0; i < 5000 && !x->calls; i++) {
		loop_turn(w->loop);
		(void)usleep(500);
	}
	assert_int_equal(x->calls, 1);
}

static void settled_message_stays_settled_after_a_crash_once_synced(void **state)
{
	char dir[] = "/tmp/voxbus-sync-XXXXXX";
	struct waiter x = { 0 };
	struct cursor *c;
	struct stream *s;
	struct world w;
	struct msg *m;
	uint64_t before;

	assert_non_null(mkdtemp(dir));
	world_create(&w, &(struct world_options){ .dir = dir });
	x.journal = w.journal;
	stream_sync_init(&x.sync, on_done, &x);
	s = stream_open(w.streams, STR("s"), STREAM_RECORD);
	assert_non_null(s);
	append(s, 3);
	assert_int_equal(cursor_create(s, CURSOR_REQUIRED, 8, on_ready, NULL, &c), 0);
	world_settle(&w);
	assert_int_equal(cursor_take(c, &m), 1);
	cursor_settle(c, m->seq, true);
	(void)msg_unref(m);
	before = journal_durable(w.journal);
	stream_sync(s, &x.sync);
	assert_int_equal(x.calls, 0); /* never from inside */
	wait_for(&w, &x);
	assert_int_equal(x.rc, 0);
	assert_true(x.durable > before); /* the mark */
	assert_int_equal(stream_first(s), 2);
	/* With nothing new to say it is done at once, in a turn of its own. */
	x.calls = 0;
	stream_sync(s, &x.sync);
	wait_for(&w, &x);
	(void)cursor_destroy(c);
	(void)stream_unref(s);
	world_destroy(&w);
	world_create(&w, &(struct world_options){ .dir = dir });
	s = stream_find(w.streams, STR("s"));
	assert_non_null(s);
	assert_int_equal(stream_first(s), 2);
	(void)stream_unref(s);
	world_destroy(&w);
}

static void stream_in_memory_alone_needs_no_disk(void **state)
{
	struct waiter x = { 0 };
	struct stream *s;
	struct world w;

	world_create(&w, &(struct world_options){ 0 });
	stream_sync_init(&x.sync, on_done, &x);
	s = stream_open(w.streams, STR("s"), 0);
	assert_non_null(s);
	append(s, 1);
	stream_sync(s, &x.sync);
	assert_int_equal(x.calls, 0);
	wait_for(&w, &x);
	assert_int_equal(x.rc, 0);
	(void)stream_unref(s);
	world_destroy(&w);
}

static void cancelled_wait_is_not_heard_of(void **state)
{
	char dir[] = "/tmp/voxbus-sync-XXXXXX";
	struct waiter x = { 0 };
	struct stream *s;
	struct world w;
	int calls;

	assert_non_null(mkdtemp(dir));
	world_create(&w, &(struct world_options){ .dir = dir });
	stream_sync_init(&x.sync, on_done, &x);
	stream_sync_cancel(&x.sync); /* nothing was asked */
	s = stream_open(w.streams, STR("s"), STREAM_RECORD);
	assert_non_null(s);
	append(s, 1);
	stream_sync(s, &x.sync);
	stream_sync(s, &x.sync); /* again: once */
	loop_turn(w.loop);
	/* A disk that is quick may be done already. */
	calls = x.calls;
	stream_sync_cancel(&x.sync);
	world_settle(&w);
	assert_int_equal(x.calls, calls);
	(void)stream_unref(s);
	world_destroy(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settled_message_stays_settled_after_a_crash_once_synced),
		cmocka_unit_test(stream_in_memory_alone_needs_no_disk),
		cmocka_unit_test(cancelled_wait_is_not_heard_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
