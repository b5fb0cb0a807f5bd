/* SPDX-License-Identifier: MIT */
/* Whose events are for readers: those of calls that can be answered. */
#include "calls_test.h"

static void the_event_of_a_caller_who_left_is_missed(void **state)
{
	struct world *w = *state;
	struct client dead, alive;

	wait_start(&dead, w, CALL, CA7);
	wait_start(&alive, w, CALL, "AccountSid=AC1&CallSid=CA8");
	client_close(&dead);
	RUN_UNTIL(w->loop, world_stat(w, "calls_missed") == 1);
	expect_poll(w, "call.xml", "&max=1", "\"CallSid\":\"CA8\"");
	expect_poll(w, "call.xml", "&timeout=0", NULL);
	expect_poll(w, "call.xml/missed", "", "\"CallSid\":\"CA7\"");
	client_close(&alive);
}

static void an_event_waits_for_its_call_and_holds_up_no_other(void **state)
{
	struct world *w = *state;
	struct client first, second;

	wait_start(&first, w, CALL, CA7);
	loop_test_advance(w->loop, 10001);
	expect_end(&first, REDIRECT);
	client_close(&first);
	wait_start(&second, w, CALL, "CallSid=CA8");
	expect_poll(w, "call.xml", "", "\"CallSid\":\"CA8\"");
	expect_poll(w, "call.xml", "&timeout=0", NULL);
	loop_test_advance(w->loop, 5000);
	wait_start(&first, w, AGAIN, CA7);
	int status;
	char *text = ask(w, &status, poll_head(w, "call.xml", ""), NULL);
	assert_non_null(strstr(text, "\"CallSid\":\"CA7\""));
	assert_null(strstr(text, "Redelivered"));
	free(text);
	client_close(&first);
	client_close(&second);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "calls_missed"), 0);
}

static void events_of_calls_that_come_again_keep_their_order(void **state)
{
	struct world *w = *state;
	struct client first, second;

	wait_start(&first, w, CALL, "CallSid=CA1");
	wait_start(&second, w, CALL, "CallSid=CA2");
	loop_test_advance(w->loop, 10001);
	assert_int_equal(client_answer(&first), 200);
	assert_int_equal(client_answer(&second), 200);
	expect_poll(w, "call.xml", "&timeout=0", NULL);
	client_close(&first);
	client_close(&second);
	wait_start(&second, w, POST_FORM("/AC1/call.xml/CA2"), "CallSid=CA2");
	wait_start(&first, w, POST_FORM("/AC1/call.xml/CA1"), "CallSid=CA1");
	run_some(w->loop);
	expect_poll(w, "call.xml", "&max=1", "CA1");
	expect_poll(w, "call.xml", "&max=1", "CA2");
	client_close(&first);
	client_close(&second);
}

static void a_call_that_does_not_come_again_is_missed(void **state)
{
	struct world *w = *state;
	struct client c, poll;

	wait_start(&c, w, CALL, CA7);
	loop_test_advance(w->loop, 10001);
	expect_end(&c, REDIRECT);
	client_close(&c);
	loop_test_advance(w->loop, 10000);
	wait_start(&poll, w, poll_head(w, "call.xml", "&timeout=60s"), NULL);
	loop_test_advance(w->loop, 5001);
	RUN_UNTIL(w->loop, world_stat(w, "calls_missed") == 1);
	assert_false(client_has_answer(&poll));
	expect_poll(w, "call.xml/missed", "", "\"CallSid\":\"CA7\"");
	/* Who waited is there for the next call. */
	client_open(&c, w);
	client_ask(&c, CALL, "CallSid=CA8");
	assert_int_equal(client_answer(&poll), 200);
	assert_non_null(strstr(poll.text, "CA8"));
	client_close(&poll);
	client_close(&c);
}

static void a_reader_who_waits_gets_the_event(void **state)
{
	struct world *w = *state;
	struct client c, poll;

	wait_start(&poll, w, poll_head(w, "call.xml", ""), NULL);
	client_open(&c, w);
	client_ask(&c, CALL, CA7);
	assert_int_equal(client_answer(&poll), 200);
	assert_non_null(strstr(poll.text, "\"CallSid\":\"CA7\""));
	client_close(&poll);
	client_close(&c);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "calls_missed"), 0);
}

static void an_event_given_back_after_its_call_died_is_missed(void **state)
{
	struct world *w = *state;
	struct client c, poll;

	wait_start(&c, w, CALL, CA7);
	/* The reader's connection is reset with the answer under way. */
	client_open(&poll, w);
	client_ask(&poll, poll_head(w, "call.xml", ""), NULL);
	client_close(&c);
	raw_reset(poll.fd);
	poll.fd = -1;
	client_close(&poll);
	run_some(w->loop);
	assert_true(world_stat(w, "calls_held") == 0);
	expect_poll(w, "call.xml", "&timeout=0", NULL);
}

static void many_parked_events_hold_up_nobody(void **state)
{
	enum { MANY = 5000 };
	struct world *w = *state;
	struct client c, live;
	char form[64];

	client_open(&c, w);
	for (int i = 0; i < MANY; i++) {
		/* Instructions are there: each call is answered at once, and parked with its event. */
		(void)snprintf(form, sizeof(form), "CallSid=CB%d", i);
		char path[128];
		(void)snprintf(
			path, sizeof(path),
			"POST /AC1/call.xml/CB%d HTTP/1.1\r\nContent-Type: text/xml\r\nX-End:", i);
		client_ask(&c, path, "<A/>");
		assert_int_equal(client_answer(&c), 200);
		client_ask(&c, CALL, form);
		assert_int_equal(client_answer(&c), 200);
	}
	wait_start(&live, w, CALL, CA7);
	expect_poll(w, "call.xml", "", "\"CallSid\":\"CA7\"");
	RUN_UNTIL(w->loop, world_stat(w, "calls_missed") >= MANY - 2048);
	loop_test_advance(w->loop, 15001);
	RUN_UNTIL(w->loop, world_stat(w, "calls_missed") == MANY);
	client_close(&live);
	client_close(&c);
}

static void dead_events_are_for_who_includes_them(void **state)
{
	struct world *w = *state;
	struct client missed, parked;

	wait_start(&missed, w, CALL, CA7);
	client_close(&missed);
	RUN_UNTIL(w->loop, world_stat(w, "calls_missed") == 1);
	wait_start(&parked, w, CALL, "CallSid=CA8");
	loop_test_advance(w->loop, 10001);
	assert_int_equal(client_answer(&parked), 200);
	client_close(&parked);
	expect_poll(w, "call.xml", "&timeout=0", NULL);
	expect_poll(w, "call.xml", "&timeout=0&include=dead", "\"CallSid\":\"CA7\"");
	expect_poll(w, "call.xml", "&timeout=0&include=dead", "\"CallSid\":\"CA8\"");
	expect_poll(w, "call.xml", "&timeout=0&include=dead", NULL);
	expect_poll(w, "call.xml/missed", "&timeout=0", NULL);
	loop_test_advance(w->loop, 20000);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "calls_missed"), 1);
	expect(w, 400, "include may only be dead", poll_head(w, "call.xml", "&include=all"), NULL);
}

static void what_is_parked_is_not_counted_as_waiting(void **state)
{
	static const char head[] =
		"HEAD /AC1/call.xml HTTP/1.1\r\nAuthorization: Basic QUMxOnNlY3JldA==\r\nX-End:";
	struct world *w = *state;
	struct client c;

	wait_start(&c, w, CALL, CA7);
	expect(w, 200, "\r\nX-Queue-Length: 1\r\n", head, NULL);
	loop_test_advance(w->loop, 10001);
	expect_end(&c, REDIRECT);
	expect_poll(w, "call.xml", "&timeout=0", NULL);
	expect(w, 200, "\r\nX-Queue-Length: 0\r\n", head, NULL);
	client_close(&c);
}

static void a_caller_who_leaves_is_told_of_if_that_is_wanted(void **state)
{
	struct world *w = *state;
	struct client older, newer;

	wait_start(&older, w, CALL, CA7);
	client_close(&older);
	RUN_UNTIL(w->loop, world_stat(w, "calls_missed") == 1);
	expect_poll(w, "call.xml", "&timeout=0", NULL);

	w->conf.disconnect_events = true;
	wait_start(&older, w, CALL, CA7);
	wait_start(&newer, w, CALL, CA7);
	client_close(&older);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 1);
	client_close(&newer);
	RUN_UNTIL(w->loop, world_stat(w, "calls_missed") == 3);
	expect_poll(w, "call.xml", "",
		    "\"FormParams\":{\"AccountSid\":\"AC1\",\"CallSid\":\"CA7\",\"PubSubEvent\":"
		    "\"disconnected\"},\"Created\":");
	expect_poll(w, "call.xml", "&timeout=0", NULL);
}

/* More than is sorted in a turn, with readers who wait: each gets one, in order. */
static void many_events_at_once_are_sorted_while_readers_wait(void **state)
{
	enum { CALLS = 600, READERS = 20 };
	struct world *w = *state;
	struct client calls[CALLS], readers[READERS];
	char form[64];

	for (int i = 0; i < CALLS; i++) {
		(void)snprintf(form, sizeof(form), "CallSid=CB%d.", i);
		wait_start(&calls[i], w, CALL, form);
	}
	for (int i = 0; i < CALLS; i++)
		if (i % 2)
			client_close(&calls[i]);
	for (int i = 0; i < READERS; i++) {
		client_open(&readers[i], w);
		client_ask(&readers[i], poll_head(w, "call.xml", "&max=1"), NULL);
	}
	for (int i = 0; i < READERS; i++) {
		(void)snprintf(form, sizeof(form), "\"CallSid\":\"CB%d.\"", 2 * i);
		assert_int_equal(client_answer(&readers[i]), 200);
		assert_non_null(strstr(readers[i].text, form));
		client_close(&readers[i]);
	}
	for (int i = 0; i < CALLS; i += 2)
		client_close(&calls[i]);
	RUN_UNTIL(w->loop, world_stat(w, "calls_missed") == CALLS - READERS);
}

/* The sender loses its patience, and its second attempt is known: one event, and not missed. */
static void a_retry_finds_the_event_of_its_call_where_it_was(void **state)
{
	static const char retry[] =
		"POST /AC1/call.xml HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
		"I-Twilio-Idempotency-Token: t1\r\nX-End:";
	struct world *w = *state;
	struct client older, newer;

	wait_start(&older, w, retry, CA7);
	client_close(&older);
	RUN_UNTIL(w->loop, world_stat(w, "calls_held") == 0);
	expect_poll(w, "call.xml", "&timeout=0", NULL);
	wait_start(&older, w, retry, CA7);
	wait_start(&newer, w, retry, CA7);
	expect_poll(w, "call.xml", "", "\"CallSid\":\"CA7\"");
	expect_poll(w, "call.xml", "&timeout=0", NULL);
	expect(w, 200, "X-Delivered: 1", SAY, HELLO);
	expect_end(&newer, HELLO);
	client_close(&newer);
	client_close(&older);
	RUN_UNTIL(w->loop, world_stat(w, "calls_held") == 0);
	loop_test_advance(w->loop, 5001);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "calls_parked"), 0);
	assert_int_equal(world_stat(w, "calls_missed"), 0);
	assert_int_equal(world_stat(w, "published"), 2);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(the_event_of_a_caller_who_left_is_missed),
		TEST(an_event_waits_for_its_call_and_holds_up_no_other),
		TEST(events_of_calls_that_come_again_keep_their_order),
		TEST(a_call_that_does_not_come_again_is_missed),
		TEST(a_reader_who_waits_gets_the_event),
		TEST(an_event_given_back_after_its_call_died_is_missed),
		TEST(many_parked_events_hold_up_nobody),
		TEST(dead_events_are_for_who_includes_them),
		TEST(what_is_parked_is_not_counted_as_waiting),
		TEST(a_caller_who_leaves_is_told_of_if_that_is_wanted),
		TEST(many_events_at_once_are_sorted_while_readers_wait),
		TEST(a_retry_finds_the_event_of_its_call_where_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
