/* SPDX-License-Identifier: MIT */
/* Many polls that wait: who gets a message, in which order, and how much of a turn that may take. */
#include "longpoll_test.h"

#include "core/stream.h"

enum { MANY = 150, A_TURN = 64 };

static void poll_start(struct client *c, struct world *w, const char *queue)
{
	char head[256];
	uint64_t waiters = world_stat(w, "waiters");

	client_open(c, w);
	(void)snprintf(head, sizeof(head), "GET /AC1/%s?timeout=60s&max=1&session=%s", queue,
		       w->session);
	client_ask(c, head, NULL);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == waiters + 1);
}

/* As a publisher would, without its requests. */
static void append(struct world *w, const char *queue, const char *text)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "AC1/%s", queue);
	struct stream *stream = stream_open(w->streams, str_from(name), STREAM_RECORD);
	assert_non_null(stream);
	struct blob *payload = blob_create(str_from(text));
	struct msg *msg = msg_create(&(struct msg){ .kind = MSG_DOCUMENT,
						    .seq = stream_next(stream),
						    .topic = str_from(queue),
						    .content_type = STR("application/json"),
						    .payload = payload });

	assert_non_null(msg);
	assert_int_equal(stream_append(stream, msg, NULL, NULL), 0);
	(void)msg_unref(msg);
	(void)blob_unref(payload);
	(void)stream_unref(stream);
}

static void append_many(struct world *w, const char *queue)
{
	char text[32];

	for (int i = 0; i < MANY; i++) {
		(void)snprintf(text, sizeof(text), "{\"number\":%d}", i);
		append(w, queue, text);
	}
}

static int answered(struct client *c, int n)
{
	int count = 0;

	for (int i = 0; i < n; i++)
		count += raw_read(c[i].fd, &c[i].in) > 0 || buf_len(&c[i].in) > 0;
	return count;
}

static void assert_number(struct client *c, int number)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "{\"number\":%d}", number);
	assert_int_equal(client_answer(c), 200);
	assert_non_null(strstr(c->text, text));
}

static void the_first_message_of_a_name_finds_who_waits(void **state)
{
	struct world *w = *state;
	struct client c, other;

	poll_start(&c, w, "fresh/name");
	poll_start(&other, w, "fresh");
	append(w, "fresh/name", "{\"number\":7}");
	assert_number(&c, 7);
	assert_false(client_has_answer(&other));
	client_close(&c);
	client_close(&other);
}

static void a_queue_that_was_read_finds_who_waits_again(void **state)
{
	struct world *w = *state;
	struct client c;

	for (int i = 0; i < 3; i++) {
		poll_start(&c, w, "q");
		append(w, "q", "{\"number\":1}");
		assert_number(&c, 1);
		client_close(&c);
		run_some(w->loop);
	}
	assert_int_equal(world_stat(w, "redelivered"), 0);
	assert_int_equal(world_stat(w, "delivered"), 3);
}

static void many_are_served_longest_waiting_first(void **state)
{
	struct world *w = *state;
	struct client c[MANY];

	for (int i = 0; i < MANY; i++)
		poll_start(&c[i], w, "all");
	append_many(w, "all");
	for (int i = 0; i < MANY; i++) {
		assert_number(&c[i], i);
		client_close(&c[i]);
	}
}

static void who_comes_late_waits_behind_the_others(void **state)
{
	struct world *w = *state;
	struct client early[MANY], late;
	char head[128];

	for (int i = 0; i < MANY; i++)
		poll_start(&early[i], w, "all");
	client_open(&late, w);
	append_many(w, "all");
	(void)snprintf(head, sizeof(head), "GET /AC1/all?timeout=60s&session=%s", w->session);
	client_ask(&late, head, NULL);
	for (int i = 0; i < MANY; i++) {
		assert_number(&early[i], i);
		client_close(&early[i]);
	}
	assert_false(client_has_answer(&late));
	append(w, "all", "{\"number\":1000}");
	assert_number(&late, 1000);
	client_close(&late);
}

static void a_waiter_that_has_gone_gets_no_message(void **state)
{
	struct world *w = *state;
	struct client c[5];

	for (int i = 0; i < 5; i++)
		poll_start(&c[i], w, "q");
	client_close(&c[0]);
	raw_reset(c[2].fd);
	c[2].fd = -1;
	client_close(&c[2]);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 3);
	append(w, "q", "{\"number\":1}");
	append(w, "q", "{\"number\":3}");
	append(w, "q", "{\"number\":4}");
	assert_number(&c[1], 1);
	assert_number(&c[3], 3);
	assert_number(&c[4], 4);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "redelivered"), 0);
	assert_int_equal(world_stat(w, "delivered"), 3);
	client_close(&c[1]);
	client_close(&c[3]);
	client_close(&c[4]);
}

/* Neither queue is served before the other, and no turn serves more than its share. */
static void queues_are_served_in_turns(void **state)
{
	struct world *w = *state;
	struct client a[MANY], b[MANY];
	uint64_t before = 2 * (uint64_t)MANY, after;
	int turns = 0, n_a, n_b;

	for (int i = 0; i < MANY; i++) {
		poll_start(&a[i], w, "a");
		poll_start(&b[i], w, "b");
	}
	append_many(w, "a");
	append_many(w, "b");
	while (before > 0) {
		assert_true(turns++ < 20);
		loop_turn(w->loop);
		after = world_stat(w, "waiters");
		assert_true(before - after <= A_TURN);
		before = after;
		n_a = answered(a, MANY);
		n_b = answered(b, MANY);
		/* The first of one of them was served when its message came. */
		assert_true(n_a - n_b <= 2 && n_b - n_a <= 2);
	}
	for (int i = 0; i < MANY; i++) {
		assert_number(&a[i], i);
		assert_number(&b[i], i);
		client_close(&a[i]);
		client_close(&b[i]);
	}
}

/* Somebody who asks for something else is answered while hundreds are released. */
static void a_bystander_is_not_held_up(void **state)
{
	struct world *w = *state;
	struct client c[2 * MANY], bystander;
	char head[128], queue[16];

	for (int i = 0; i < 2 * MANY; i++) {
		(void)snprintf(queue, sizeof(queue), "own-%d", i);
		poll_start(&c[i], w, queue);
	}
	client_open(&bystander, w);
	run_some(w->loop);
	for (int i = 0; i < 2 * MANY; i++) {
		(void)snprintf(queue, sizeof(queue), "own-%d", i);
		append(w, queue, "{\"number\":1}");
	}
	(void)snprintf(head, sizeof(head), "GET /AC1/other?timeout=0&session=%s", w->session);
	client_ask(&bystander, head, NULL);
	for (int i = 0; i < 4 && raw_read(bystander.fd, &bystander.in) <= 0; i++)
		loop_turn(w->loop);
	assert_true(buf_len(&bystander.in) > 0);
	assert_true(world_stat(w, "waiters") > 0);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 0);
	client_close(&bystander);
	for (int i = 0; i < 2 * MANY; i++) {
		assert_number(&c[i], 1);
		client_close(&c[i]);
	}
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(the_first_message_of_a_name_finds_who_waits),
		TEST(a_queue_that_was_read_finds_who_waits_again),
		TEST(many_are_served_longest_waiting_first),
		TEST(who_comes_late_waits_behind_the_others),
		TEST(a_waiter_that_has_gone_gets_no_message),
		TEST(queues_are_served_in_turns),
		TEST(a_bystander_is_not_held_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
