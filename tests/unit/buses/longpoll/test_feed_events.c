/* SPDX-License-Identifier: MIT */
/* Server-Sent Events: what they look like, and how a client goes on where it was. */
#include "feed_test.h"

static void events_start(struct client *c, struct world *w, const char *target)
{
	uint64_t waiters = world_stat(w, "waiters");

	read_start_with(c, w, target, "\r\nAccept: text/event-stream");
	await_text(c, "retry: 2000\n\n");
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == waiters + 1);
}

/* The connection breaks. */
static void events_break(struct client *c)
{
	uint64_t waiters = world_stat(c->world, "waiters");

	raw_reset(c->fd);
	c->fd = -1;
	RUN_UNTIL(c->world->loop, world_stat(c->world, "waiters") == waiters - 1);
	client_close(c);
}

/* A client that got three messages and has lost its connection; their ids. */
static void three_are_sent(struct world *w, char id[3][ID_SIZE])
{
	static const char *const texts[] = { "one", "two", "three" };
	struct client c;

	events_start(&c, w, "q");
	for (int i = 0; i < 3; i++)
		publish(w, "q", texts[i], id[i]);
	await_text(&c, "three");
	let_arrive(w);
	events_break(&c);
}

static void every_message_is_an_event_with_its_id(void **state)
{
	struct world *w = *state;
	struct client c;
	char id[ID_SIZE], text[256];

	events_start(&c, w, "q");
	assert_true(has_come(&c, "\r\nContent-Type: text/event-stream\r\n"));
	assert_true(has_come(&c, "\r\nAccess-Control-Allow-Origin: *\r\n"));
	publish(w, "q", "one", id);
	(void)snprintf(text, sizeof(text), "id: %s\ndata: {\"Hostname\":\"vb.test\",", id);
	await_text(&c, text);
	(void)snprintf(text, sizeof(text), "\"Id\":\"%s\"}\n\n", id);
	await_text(&c, text);
	loop_test_advance(w->loop, 30000);
	await_text(&c, ":\n\n");
	client_close(&c);
	read_start(&c, w, "q?sse=1&timeout=5s");
	await_text(&c, "retry: 2000\n\n");
	loop_test_advance(w->loop, 5000);
	assert_int_equal(client_answer(&c), 200);
	client_close(&c);
}

static void who_comes_back_goes_on_behind_its_last_id(void **state)
{
	struct world *w = *state;
	struct client other, c;
	char id[3][ID_SIZE], head[128];

	three_are_sent(w, id);
	read_start(&other, w, "q?timeout=60s");
	(void)snprintf(head, sizeof(head), "\r\nAccept: text/event-stream\r\nLast-Event-ID: %s",
		       id[0]);
	read_start_with(&c, w, "q", head);
	await_text(&c, "three");
	assert_false(has_come(&c, "\"one\""));
	assert_true(strstr(so_far(&c), "two") < strstr(so_far(&c), "three"));
	assert_true(has_come(&c, "\"Redelivered\":1}\n\n"));
	assert_false(client_has_answer(&other));
	assert_int_equal(world_stat(w, "delivered"), 1);
	let_arrive(w);
	loop_test_advance(w->loop, 30000);
	assert_int_equal(world_stat(w, "delivered"), 3);
	client_close(&c);
	client_close(&other);
}

static void the_same_last_id_serves_again(void **state)
{
	struct world *w = *state;
	struct client c;
	char id[3][ID_SIZE], target[128];

	three_are_sent(w, id);
	(void)snprintf(target, sizeof(target), "q?last=%s", id[1]);
	for (int i = 0; i < 3; i++) {
		events_start(&c, w, target);
		await_text(&c, "three");
		assert_false(has_come(&c, "two"));
		events_break(&c);
	}
	loop_test_advance(w->loop, 30000);
	read_expect(w, "q?timeout=0", "\"Redelivered\":4}");
	assert_int_equal(world_stat(w, "delivered"), 3);
}

static void what_nobody_comes_back_for_is_everybodys_again(void **state)
{
	struct world *w = *state;
	char id[3][ID_SIZE];

	three_are_sent(w, id);
	publish(w, "q", "four", NULL);
	read_expect(w, "q?max=1", "four");
	loop_test_advance(w->loop, 29999);
	read_expect(w, "q?timeout=0", "[]\n");
	loop_test_advance(w->loop, 1);
	read_expect(w, "q?max=1&timeout=0", "\"Body\":\"one\"");
	read_expect(w, "q?max=1&timeout=0", "\"Body\":\"two\"");
	read_expect(w, "q?max=1&timeout=0", "\"Redelivered\":1}");
	assert_int_equal(world_stat(w, "lent"), 0);
}

static void an_unknown_last_id_is_as_none(void **state)
{
	struct world *w = *state;
	struct client c;
	char id[3][ID_SIZE];

	three_are_sent(w, id);
	events_start(&c, w, "q?last=nothing");
	publish(w, "q", "four", NULL);
	await_text(&c, "four");
	assert_false(has_come(&c, "two"));
	loop_test_advance(w->loop, 30000);
	await_text(&c, "three");
	client_close(&c);
}

static void a_client_that_is_here_twice_goes_on_with_the_newer(void **state)
{
	struct world *w = *state;
	struct client old, c;
	char id[ID_SIZE], target[128];

	events_start(&old, w, "q");
	publish(w, "q", "one", id);
	publish(w, "q", "two", NULL);
	await_text(&old, "two");
	(void)snprintf(target, sizeof(target), "q?sse=1&last=%s", id);
	read_start(&c, w, target);
	assert_int_equal(client_answer(&old), 200); /* it has ended */
	await_text(&c, "two");
	assert_int_equal(world_stat(w, "waiters"), 1);
	client_close(&old);
	publish(w, "q", "three", NULL);
	await_text(&c, "three");
	client_close(&c);
}

static void what_arrived_long_ago_is_settled_and_its_id_still_known(void **state)
{
	struct world *w = *state;
	struct client c;
	char id[ID_SIZE], target[128];

	events_start(&c, w, "q?visibility=5s");
	publish(w, "q", "one", id);
	await_text(&c, "one");
	let_arrive(w);
	assert_int_equal(world_stat(w, "delivered"), 0);
	loop_test_advance(w->loop, 5000);
	assert_int_equal(world_stat(w, "delivered"), 1);
	publish(w, "q", "two", NULL);
	await_text(&c, "two");
	events_break(&c);
	(void)snprintf(target, sizeof(target), "q?last=%s", id);
	events_start(&c, w, target);
	await_text(&c, "two");
	client_close(&c);
}

static void a_feed_that_leases_is_acknowledged_by_hand(void **state)
{
	struct world *w = *state;
	struct client c;
	char id[ID_SIZE], target[128];

	events_start(&c, w, "q?ack=manual&visibility=10s");
	publish(w, "q", "one", id);
	publish(w, "q", "two", NULL);
	await_text(&c, "two");
	let_arrive(w);
	(void)snprintf(target, sizeof(target), "q?id=%s", id);
	acknowledge(w, target, 204, NULL);
	loop_test_advance(w->loop, 10000);
	await_text(&c, "\"Redelivered\":1}");
	assert_int_equal(world_stat(w, "delivered"), 1);
	client_close(&c);
}

static void a_busy_feed_is_not_held_up_by_what_it_keeps(void **state)
{
	struct world *w = *state;
	struct client c;
	struct client p;
	uint64_t lent;

	events_start(&c, w, "q");
	client_open(&p, w);
	for (int i = 0; i < 1500; i++) {
		client_ask(&p, "POST /AC1/q", "x");
		(void)client_answer(&p);
		if (i % 100 == 0) {
			(void)so_far(&c);
			loop_test_advance(w->loop, 50);
		}
	}
	RUN_UNTIL(w->loop, (so_far(&c), let_arrive(w), world_stat(w, "delivered") >= 400));
	lent = world_stat(w, "lent"); /* and the id of the last that was settled */
	assert_in_range(lent, 1, 1025);
	client_close(&p);
	client_close(&c);
}

static void ended(void *arg)
{
	*(bool *)arg = true;
}

static void feeds_end_with_the_port(void **state)
{
	struct world *w = *state;
	struct client c;
	bool stopped = false;

	events_start(&c, w, "q");
	publish(w, "q", "one", NULL);
	await_text(&c, "one");
	let_arrive(w);
	hub_stop(w->hub, 1000, ended, &stopped);
	assert_int_equal(client_answer(&c), 200);
	RUN_UNTIL(w->loop, stopped);
	client_close(&c);
	assert_int_equal(world_stat(w, "delivered"), 1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(every_message_is_an_event_with_its_id),
		TEST(who_comes_back_goes_on_behind_its_last_id),
		TEST(the_same_last_id_serves_again),
		TEST(what_nobody_comes_back_for_is_everybodys_again),
		TEST(an_unknown_last_id_is_as_none),
		TEST(a_client_that_is_here_twice_goes_on_with_the_newer),
		TEST(what_arrived_long_ago_is_settled_and_its_id_still_known),
		TEST(a_feed_that_leases_is_acknowledged_by_hand),
		TEST(a_busy_feed_is_not_held_up_by_what_it_keeps),
		TEST(feeds_end_with_the_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
