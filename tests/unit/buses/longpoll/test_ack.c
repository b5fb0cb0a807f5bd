/* SPDX-License-Identifier: MIT */
/* ack=manual: leased, acknowledged, back after its time, dead after too many. And linger. */
#include "feed_test.h"

static void what_is_leased_is_nobody_elses_until_it_is_acknowledged(void **state)
{
	struct world *w = *state;
	char id[ID_SIZE], target[160];

	publish(w, "q", "one", id);
	read_expect(w, "q?ack=manual", "\"Body\":\"one\"");
	read_expect(w, "q?timeout=0", "[]\n");
	assert_int_equal(world_stat(w, "lent"), 1);
	(void)snprintf(target, sizeof(target), "q?id=%s", id);
	acknowledge(w, target, 204, NULL);
	assert_int_equal(world_stat(w, "lent"), 0);
	assert_int_equal(world_stat(w, "delivered"), 1);
	acknowledge(w, target, 404, id);
	loop_test_advance(w->loop, 60000);
	read_expect(w, "q?timeout=0", "[]\n");
}

static void what_is_not_acknowledged_in_its_time_comes_again_first(void **state)
{
	struct world *w = *state;
	char id[ID_SIZE], target[160];

	publish(w, "q", "one", id);
	publish(w, "q", "two", NULL);
	read_expect(w, "q?ack=manual&max=1&visibility=5s", "\"Body\":\"one\"");
	loop_test_advance(w->loop, 4999);
	read_expect(w, "q?ack=manual&max=1&visibility=1m", "\"Body\":\"two\"");
	publish(w, "q", "three", NULL);
	loop_test_advance(w->loop, 1);
	(void)snprintf(target, sizeof(target), "q?id=%s", id);
	acknowledge(w, target, 404, "its visibility is over");
	read_expect(w, "q?max=1", "\"Body\":\"one\"");
	assert_int_equal(world_stat(w, "redelivered"), 1);
	read_expect(w, "q?max=1", "\"Body\":\"three\"");
}

static void a_message_that_comes_back_too_often_is_dead(void **state)
{
	struct world *w = *state;

	publish(w, "q", "poison", NULL);
	for (int i = 0; i < 3; i++) {
		read_expect(w, "q?ack=manual&visibility=1s", "\"Body\":\"poison\"");
		loop_test_advance(w->loop, 1000);
		run_some(w->loop);
	}
	read_expect(w, "q?timeout=0", "[]\n");
	assert_int_equal(world_stat(w, "dead"), 1);
	/* The dead have no dead: there it comes back for ever. */
	for (int i = 0; i < 5; i++) {
		read_expect(w, "q.dead?ack=manual&visibility=1s", "\"Body\":\"poison\"");
		loop_test_advance(w->loop, 1000);
	}
	assert_int_equal(world_stat(w, "dead"), 1);
}

static void several_are_acknowledged_at_once(void **state)
{
	struct world *w = *state;
	char id[2][ID_SIZE], target[256];

	publish(w, "q", "one", id[0]);
	publish(w, "q", "two", id[1]);
	read_expect(w, "q?ack=manual", "\"Body\":\"two\"");
	(void)snprintf(target, sizeof(target), "q?id=%s&id=nothing&id=%s", id[0], id[1]);
	acknowledge(w, target, 404, "not leased: nothing;");
	assert_int_equal(world_stat(w, "lent"), 0);
	acknowledge(w, "q?ids=x", 400, "?id=<Id>");
	acknowledge(w, "never/was?id=x", 404, "not leased: x;");
	expect(w, 401, NULL, "DELETE /AC1/q?id=x", NULL);
}

static void a_reader_that_leases_and_goes_before_its_answer_has_leased_nothing(void **state)
{
	struct world *w = *state;
	struct client c;

	read_start(&c, w, "q?ack=manual&linger=5s");
	run_some(w->loop);
	publish(w, "q", "one", NULL);
	await_text(&c, "one");
	raw_reset(c.fd);
	c.fd = -1;
	RUN_UNTIL(w->loop, world_stat(w, "lent") == 0);
	read_expect(w, "q", "\"Redelivered\":1}");
	client_close(&c);
}

static void a_poll_lingers_for_more(void **state)
{
	struct world *w = *state;
	struct client c;

	read_start(&c, w, "q?linger=2s&timeout=60s");
	loop_test_advance(w->loop, 30000);
	publish(w, "q", "one", NULL);
	await_text(&c, "[\n{");
	loop_test_advance(w->loop, 1999);
	publish(w, "q", "two", NULL);
	await_text(&c, "two");
	assert_false(has_come(&c, "\n]\n"));
	loop_test_advance(w->loop, 1);
	assert_int_equal(client_answer(&c), 200);
	assert_non_null(strstr(c.text, ",\n{"));
	assert_non_null(strstr(c.text, "3\r\n\n]\n\r\n0\r\n\r\n"));
	client_close(&c);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "delivered"), 2);
	assert_int_equal(world_stat(w, "waiters"), 0);
}

static void a_poll_that_lingers_ends_with_its_max(void **state)
{
	struct world *w = *state;
	struct client c;

	publish(w, "q", "one", NULL);
	publish(w, "q", "two", NULL);
	publish(w, "q", "three", NULL);
	read_start(&c, w, "q?linger=2s&max=2");
	assert_int_equal(client_answer(&c), 200);
	assert_non_null(strstr(c.text, "two"));
	assert_null(strstr(c.text, "three"));
	client_close(&c);
	read_expect(w, "q?linger=2s&timeout=0&max=1", "three");
	read_expect(w, "q?linger=2s&timeout=0", "\r\n[]\n");
	read_expect(w, "q?linger=2s&timeout=0&empty=204", "HTTP/1.1 204");
}

static void who_leases_waits_its_time_for_the_first(void **state)
{
	struct world *w = *state;
	struct client c;

	read_start(&c, w, "q?ack=manual&timeout=20s");
	run_some(w->loop);
	assert_int_equal(world_stat(w, "waiters"), 1);
	loop_test_advance(w->loop, 20000);
	assert_int_equal(client_answer(&c), 200);
	assert_non_null(strstr(c.text, "[]\n"));
	client_close(&c);
}

static void stopped(void *arg)
{
	(void)arg;
}

static void answers_that_wait_for_the_port_are_given_at_its_end(void **state)
{
	struct world *w = *state;
	struct client waits, lingers;

	publish(w, "q", "one", NULL);
	read_start(&lingers, w, "q?linger=9s");
	await_text(&lingers, "one");
	read_start(&waits, w, "other?ack=manual");
	run_some(w->loop);
	hub_stop(w->hub, 1000, stopped, NULL);
	assert_int_equal(client_answer(&waits), 200);
	assert_int_equal(client_answer(&lingers), 200);
	assert_non_null(strstr(waits.text, "[]\n"));
	client_close(&waits);
	client_close(&lingers);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(what_is_leased_is_nobody_elses_until_it_is_acknowledged),
		TEST(what_is_not_acknowledged_in_its_time_comes_again_first),
		TEST(a_message_that_comes_back_too_often_is_dead),
		TEST(several_are_acknowledged_at_once),
		TEST(a_reader_that_leases_and_goes_before_its_answer_has_leased_nothing),
		TEST(a_poll_lingers_for_more),
		TEST(a_poll_that_lingers_ends_with_its_max),
		TEST(who_leases_waits_its_time_for_the_first),
		TEST(answers_that_wait_for_the_port_are_given_at_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
