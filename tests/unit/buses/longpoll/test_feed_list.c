/* SPDX-License-Identifier: MIT */
/* stream=1: one list that grows, and who has got what of it. */
#include "feed_test.h"

static void a_stream_begins_at_once_and_every_message_is_a_chunk(void **state)
{
	struct world *w = *state;
	struct client c;

	read_start(&c, w, "q?stream=1&timeout=60s");
	await_text(&c, "\r\n\r\n1\r\n[\r\n");
	publish(w, "q", "one", NULL);
	await_text(&c, "\r\n\n{\"Hostname\"");
	publish(w, "q", "two", NULL);
	await_text(&c, "\r\n,\n{\"Hostname\"");
	let_arrive(w);
	assert_int_equal(world_stat(w, "delivered"), 2);
	assert_int_equal(world_stat(w, "waiters"), 1);
	loop_test_advance(w->loop, 60000);
	assert_int_equal(client_answer(&c), 200);
	assert_non_null(strstr(c.text, "3\r\n\n]\n\r\n0\r\n\r\n"));
	client_close(&c);
}

static void a_silent_stream_shows_that_it_is_alive(void **state)
{
	struct world *w = *state;
	struct client c;

	read_start(&c, w, "q?stream=1&timeout=10m");
	await_text(&c, "[\r\n");
	loop_test_advance(w->loop, 14999);
	assert_false(has_come(&c, "1\r\n\n\r\n"));
	loop_test_advance(w->loop, 30002);
	await_text(&c, "1\r\n\n\r\n1\r\n\n\r\n");
	client_close(&c);
}

static void a_stream_ends_with_its_max(void **state)
{
	struct world *w = *state;
	struct client c;

	for (int i = 0; i < 3; i++)
		publish(w, "q", "x", NULL);
	read_start(&c, w, "q?stream=1&max=2");
	assert_int_equal(client_answer(&c), 200);
	client_close(&c);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "delivered"), 2);
	read_expect(w, "q?stream=1&timeout=0", "[\r\n");
	read_expect(w, "q?stream=1&timeout=0", "\r\n\n]\n");
	assert_int_equal(world_stat(w, "delivered"), 3);
}

static void a_reader_that_goes_has_what_it_acknowledged(void **state)
{
	struct world *w = *state;
	struct client c;

	read_start(&c, w, "q?stream=1");
	publish(w, "q", "one", NULL);
	await_text(&c, "one");
	client_close(&c); /* all was read, nothing has looked yet: a FIN */
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 0);
	read_expect(w, "q?timeout=0", "[]\n");
	assert_int_equal(world_stat(w, "delivered"), 1);
	read_start(&c, w, "q?stream=1");
	publish(w, "q", "two", NULL);
	await_text(&c, "two");
	raw_reset(c.fd);
	c.fd = -1;
	client_close(&c);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 0);
	read_expect(w, "q?timeout=0", "\"Redelivered\":1}");
}

static void a_leasing_stream_keeps_what_has_arrived_until_it_is_named(void **state)
{
	struct world *w = *state;
	struct client c;
	char id[ID_SIZE], target[160];

	read_start(&c, w, "q?stream=1&ack=manual&visibility=1m&timeout=10m");
	publish(w, "q", "one", id);
	publish(w, "q", "two", NULL);
	await_text(&c, "two");
	let_arrive(w);
	assert_int_equal(world_stat(w, "lent"), 2);
	(void)snprintf(target, sizeof(target), "q?id=%s", id);
	acknowledge(w, target, 204, NULL);
	client_close(&c);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 0);
	read_expect(w, "q?timeout=0", "[]\n");
	loop_test_advance(w->loop, 60000);
	read_expect(w, "q?timeout=0", "two");
}

static void those_who_wait_get_messages_in_turn(void **state)
{
	struct world *w = *state;
	struct client stream, poll, other;

	read_start(&stream, w, "q?stream=1&timeout=60s");
	await_text(&stream, "[\r\n");
	read_start(&poll, w, "q?max=1&timeout=60s");
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 2);
	read_start(&other, w, "q?stream=1&timeout=60s");
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 3);
	publish(w, "q", "first", NULL);
	await_text(&stream, "first");
	publish(w, "q", "second", NULL);
	await_text(&poll, "second");
	publish(w, "q", "third", NULL);
	await_text(&other, "third");
	publish(w, "q", "fourth", NULL);
	await_text(&stream, "fourth");
	client_close(&stream);
	client_close(&poll);
	client_close(&other);
}

/* It never reads: nothing more is read for it than fits, and others get the rest. */
static void who_does_not_read_is_cut_and_its_messages_go_back(void **state)
{
	struct world *w = *state;
	struct client c;
	char *text = malloc(200001);
	uint64_t delivered;

	assert_non_null(text);
	memset(text, 'x', 200000);
	text[200000] = 0;
	read_start(&c, w, "q?stream=1&timeout=10m");
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 1);
	for (int i = 0; i < 60; i++)
		publish(w, "q", text, NULL);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 0);
	loop_test_advance(w->loop, 29000);
	delivered = world_stat(w, "delivered");
	loop_test_advance(w->loop, 5000);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "delivered"), delivered);
	(void)close(c.fd);
	c.fd = -1;
	client_close(&c);
	read_expect(w, "q?timeout=0&max=1", "\"Redelivered\":1}");
	free(text);
}

static void an_old_client_gets_its_list_without_chunks(void **state)
{
	struct world *w = *state;
	struct client c;
	char head[200];
	int n;

	client_open(&c, w);
	n = snprintf(head, sizeof(head),
		     "GET /AC1/q?stream=1&timeout=10s&session=%s HTTP/1.0\r\n\r\n", w->session);
	assert_int_equal(send(c.fd, head, (size_t)n, 0), n);
	await_text(&c, "Connection: close\r\n\r\n[");
	publish(w, "q", "one", NULL);
	await_text(&c, "\r\n\r\n[\n{");
	assert_false(has_come(&c, "chunked"));
	loop_test_advance(w->loop, 10000);
	await_text(&c, "}\n]\n");
	client_close(&c);
}

/* A poll finishes normally; a feed ends soon after its session. */
static void a_stream_ends_with_its_session(void **state)
{
	struct world *w = *state;
	struct client c;
	char head[128];

	read_start(&c, w, "q?stream=1&timeout=10m");
	await_text(&c, "[\r\n");
	(void)snprintf(head, sizeof(head), "DELETE /auth?session=%s", w->session);
	expect(w, 204, NULL, head, NULL);
	loop_test_advance(w->loop, 15000);
	assert_int_equal(client_answer(&c), 200);
	client_close(&c);
	assert_int_equal(world_stat(w, "waiters"), 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_stream_begins_at_once_and_every_message_is_a_chunk),
		TEST(a_silent_stream_shows_that_it_is_alive),
		TEST(a_stream_ends_with_its_max),
		TEST(a_reader_that_goes_has_what_it_acknowledged),
		TEST(a_leasing_stream_keeps_what_has_arrived_until_it_is_named),
		TEST(those_who_wait_get_messages_in_turn),
		TEST(who_does_not_read_is_cut_and_its_messages_go_back),
		TEST(an_old_client_gets_its_list_without_chunks),
		TEST(a_stream_ends_with_its_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
