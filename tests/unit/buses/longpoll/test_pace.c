/* SPDX-License-Identifier: MIT */
/* Publishers and a reader that comes again at once, and how little others feel of it. */
#include "calls_test.h"

static void publish(struct world *w, int n)
{
	struct client c;

	client_open(&c, w);
	while (n--) {
		client_ask(&c, "POST /AC1/q", "a=1");
		assert_int_equal(client_answer(&c), 200);
	}
	client_close(&c);
}

static void a_publisher_waits_for_a_reader_that_is_behind(void **state)
{
	struct world *w = *state;
	struct client first, second;

	publish(w, 300);
	expect_poll(w, "q", "", "a=1");
	client_open(&first, w);
	client_open(&second, w);
	client_ask(&first, "POST /AC1/q", "a=2");
	assert_false(client_has_answer(&first));
	client_ask(&second, "POST /AC1/q", "a=3");
	assert_false(client_has_answer(&second));
	/* As many go as were taken, those that wait longest first. */
	expect_poll(w, "q", "&max=1", "a=1");
	assert_int_equal(client_answer(&first), 200);
	assert_false(client_has_answer(&second));
	expect_poll(w, "q", "&max=1", "a=1");
	assert_int_equal(client_answer(&second), 200);
	client_close(&first);
	client_close(&second);
}

static void all_go_when_the_reader_has_nearly_caught_up(void **state)
{
	struct world *w = *state;
	struct client first, second;

	publish(w, 160);
	expect_poll(w, "q", "", "a=1");
	client_open(&first, w);
	client_open(&second, w);
	client_ask(&first, "POST /AC1/q", "a=2");
	client_ask(&second, "POST /AC1/q", "a=3");
	assert_false(client_has_answer(&first));
	assert_false(client_has_answer(&second));
	expect_poll(w, "q", "&max=30", "a=1");
	assert_int_equal(client_answer(&first), 200);
	assert_int_equal(client_answer(&second), 200);
	publish(w, 1);
	client_close(&first);
	client_close(&second);
}

static void a_reader_that_stays_away_holds_up_nobody(void **state)
{
	struct world *w = *state;
	struct client c;

	publish(w, 300);
	expect_poll(w, "q", "", "a=1");
	client_open(&c, w);
	client_ask(&c, "POST /AC1/q", "a=2");
	assert_false(client_has_answer(&c));
	loop_test_advance(w->loop, 11);
	assert_int_equal(client_answer(&c), 200);
	publish(w, 10); /* nor those that come then */
	client_close(&c);
}

static void a_slow_reader_holds_nobody_up_for_long(void **state)
{
	struct world *w = *state;
	struct client c[3];

	publish(w, 300);
	expect_poll(w, "q", "", "a=1");
	for (int i = 0; i < 3; i++) {
		client_open(&c[i], w);
		client_ask(&c[i], "POST /AC1/q", "a=2");
		assert_false(client_has_answer(&c[i]));
	}
	loop_test_advance(w->loop, 4);
	expect_poll(w, "q", "&max=1", "a=1");
	loop_test_advance(w->loop, 7);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(client_answer(&c[i]), 200);
		client_close(&c[i]);
	}
}

static void other_queues_and_clients_that_go_are_not_touched(void **state)
{
	struct world *w = *state;
	struct client c;

	publish(w, 300);
	expect_poll(w, "q", "", "a=1");
	expect(w, 200, NULL, "POST /AC1/other", "a=1");
	client_open(&c, w);
	client_ask(&c, "POST /AC1/q", "a=2");
	assert_false(client_has_answer(&c));
	client_close(&c);
	run_some(w->loop);
	loop_test_advance(w->loop, 11);
	expect_poll(w, "q", "&max=100", "a=1");
}

static void on_stopped(void *arg)
{
}

static void a_stop_answers_those_that_wait(void **state)
{
	struct world *w = *state;
	struct client c;

	publish(w, 300);
	expect_poll(w, "q", "", "a=1");
	client_open(&c, w);
	client_ask(&c, "POST /AC1/q", "a=2");
	assert_false(client_has_answer(&c));
	hub_stop(w->hub, 1000, on_stopped, NULL);
	assert_int_equal(client_answer(&c), 200);
	client_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
		TEST(a_publisher_waits_for_a_reader_that_is_behind),
		TEST(all_go_when_the_reader_has_nearly_caught_up),
		TEST(a_reader_that_stays_away_holds_up_nobody),
		TEST(a_slow_reader_holds_nobody_up_for_long),
		TEST(other_queues_and_clients_that_go_are_not_touched),
		TEST(a_stop_answers_those_that_wait),
	};

	return cmocka_run_group_tests_name("longpoll pace", tests, NULL, NULL);
}
