/* SPDX-License-Identifier: MIT */
/* Calls and the disk: what waits for it, and what is true when it is slow. */
#include "calls_test.h"

#include "base/clock.h"

enum { ROUNDS = 20 };

/* Everything is written, nothing synced. */
static void write_all(struct world *w)
{
	for (int i = 0; i < ROUNDS; i++) {
		run_some(w->loop);
		(void)journal_step_write(w->journal);
	}
	run_some(w->loop);
}

static void sync_all(struct world *w)
{
	for (int i = 0; i < ROUNDS; i++) {
		write_all(w);
		(void)journal_step_sync(w->journal);
		run_some(w->loop);
	}
}

static void a_call_is_answered_when_its_event_is_durable(void **state)
{
	struct world *w = *state;
	struct client c, publisher;

	client_open(&publisher, w);
	client_ask(&publisher, SAY, HELLO);
	sync_all(w);
	assert_int_equal(client_answer(&publisher), 200);
	client_open(&c, w);
	client_ask(&c, CALL, CA7);
	write_all(w);
	assert_false(client_has_answer(&c));
	assert_int_equal(world_stat(w, "calls_held"), 1);
	sync_all(w);
	expect_end(&c, HELLO);
	client_close(&c);
	client_close(&publisher);
}

/* A holder has them as soon as they are written; the publisher hears of it when they are durable. */
static void a_publisher_is_told_that_the_call_has_its_instructions(void **state)
{
	struct world *w = *state;
	struct client c, publisher;

	client_open(&c, w);
	client_ask(&c, CALL, CA7);
	sync_all(w);
	assert_int_equal(world_stat(w, "waiters"), 1);
	client_open(&publisher, w);
	client_ask(&publisher, SAY, HELLO);
	write_all(w);
	expect_end(&c, HELLO);
	client_close(&c);
	write_all(w);
	assert_false(client_has_answer(&publisher));
	sync_all(w);
	assert_int_equal(client_answer(&publisher), 200);
	assert_non_null(strstr(publisher.text, "\r\nX-Delivered: 1\r\n"));
	client_close(&publisher);
}

static void a_caller_who_leaves_before_the_sync_is_missed(void **state)
{
	struct world *w = *state;
	struct client c;

	client_open(&c, w);
	client_ask(&c, CALL, CA7);
	write_all(w);
	assert_int_equal(world_stat(w, "calls_held"), 1);
	client_close(&c);
	write_all(w);
	assert_int_equal(world_stat(w, "calls_missed"), 0);
	sync_all(w);
	assert_int_equal(world_stat(w, "calls_missed"), 1);
	expect_poll(w, "call.xml/missed", "", "\"CallSid\":\"CA7\"");
	expect_poll(w, "call.xml", "&timeout=0", NULL);
}

/* The copy is not durable: the event is nowhere else, and is not given up. */
static void an_event_leaves_its_queue_when_its_copy_is_durable(void **state)
{
	struct world *w = *state;
	struct client c, poll;

	client_open(&c, w);
	client_ask(&c, CALL, CA7);
	sync_all(w);
	client_close(&c);
	write_all(w);
	assert_int_equal(world_stat(w, "calls_missed"), 0);
	struct stream *stream = stream_find(w->streams, STR("AC1/call.xml"));
	assert_non_null(stream);
	assert_true(stream_first(stream) < stream_visible(stream));
	(void)stream_unref(stream);
	/* Who wants dead events and would not wait waits for the disk. */
	client_open(&poll, w);
	client_ask(&poll, poll_head(w, "call.xml", "&timeout=0&include=dead"), NULL);
	sync_all(w);
	assert_int_equal(client_answer(&poll), 200);
	assert_non_null(strstr(poll.text, "\"CallSid\":\"CA7\""));
	assert_int_equal(world_stat(w, "calls_missed"), 1);
	client_close(&poll);
}

static void stopped(void *arg)
{
	*(bool *)arg = true;
}

static uint64_t messages_of(struct world *w, const char *name)
{
	struct stream *s = stream_find(w->streams, str_from(name));
	uint64_t n = s ? stream_visible(s) - stream_first(s) : 0;

	if (s)
		(void)stream_unref(s);
	return n;
}

/* Else the next start would find it in both. */
static void a_stop_waits_for_events_that_are_being_moved(void **state)
{
	struct world *w = *state;
	struct client c, other;
	bool done = false;

	client_open(&c, w);
	client_ask(&c, CALL, CA7);
	client_open(&other, w);
	client_ask(&other, CALL, "CallSid=CA8");
	sync_all(w);
	client_close(&c);
	write_all(w);
	hub_stop(w->hub, 1000, stopped, &done);
	assert_int_equal(client_answer(&other), 200);
	write_all(w);
	assert_false(done);
	assert_int_equal(messages_of(w, "AC1/call.xml"), 2);
	client_close(&other);
	sync_all(w);
	assert_true(done);
	assert_int_equal(messages_of(w, "AC1/call.xml"), 1);
	assert_int_equal(messages_of(w, "AC1/call.xml/missed"), 1);
	(void)hub_destroy(w->hub);
	w->hub = NULL;
}

/* The clock was set back while the daemon was off. */
static void created_does_not_go_back(void **state)
{
	struct world *w = *state;
	struct client c;

	client_open(&c, w);
	client_ask(&c, "POST /AC1/q", "a=1");
	write_all(w);
	struct stream *s = stream_find(w->streams, STR("AC1/q"));
	assert_non_null(s);
	assert_true(stream_oldest_ns(s) > clock_wall_ns() + UINT64_C(3500000000000));
	(void)stream_unref(s);
	sync_all(w);
	assert_int_equal(client_answer(&c), 200);
	client_close(&c);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup_journal, world_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_call_is_answered_when_its_event_is_durable),
		TEST(a_publisher_is_told_that_the_call_has_its_instructions),
		TEST(a_caller_who_leaves_before_the_sync_is_missed),
		TEST(an_event_leaves_its_queue_when_its_copy_is_durable),
		TEST(a_stop_waits_for_events_that_are_being_moved),
		cmocka_unit_test_setup_teardown(created_does_not_go_back, world_setup_clock_back,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
