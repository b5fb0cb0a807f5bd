/* SPDX-License-Identifier: MIT */
/* What queues do when two things happen to them at once: emptied while lent, dying while away. */
#include "calls_test.h"
#include "core/queue_view.h"

#define RETRIED                                                                              \
	"POST /AC1/call.xml HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n" \
	"I-Twilio-Idempotency-Token: t1\r\nX-End:"

static void publish(struct world *w, const char *queue, int n)
{
	char head[64];
	struct client c;

	(void)snprintf(head, sizeof(head), "POST /AC1/%s", queue);
	client_open(&c, w);
	while (n--) {
		client_ask(&c, head, "a=1");
		assert_int_equal(client_answer(&c), 200);
	}
	client_close(&c);
}

static void on_synced(void *arg, int rc)
{
	assert_int_equal(rc, 0);
	*(bool *)arg = true;
}

/* How many it says. */
static uint64_t purge(struct world *w, const char *queue)
{
	struct stream_sync sync;
	bool done = false;
	uint64_t n = 0;

	stream_sync_init(&sync, on_synced, &done);
	assert_int_equal(hub_purge_queue(w->hub, str_from(queue), &sync, &n), 0);
	RUN_UNTIL(w->loop, done);
	run_some(w->loop);
	return n;
}

static bool has_stream(struct world *w, const char *name)
{
	run_some(w->loop);
	struct stream *s = stream_find(w->streams, str_from(name));

	if (s)
		(void)stream_unref(s);
	return s;
}

/* Leases one message: its id. */
static void lease(struct world *w, const char *queue, const char *params, char id[33])
{
	int status;
	char *text = ask(w, &status, poll_head(w, queue, params), NULL);
	const char *at = strstr(text, "\"Id\":\"");

	assert_int_equal(status, 200);
	assert_non_null(at);
	(void)snprintf(id, 33, "%.32s", at + 6);
	free(text);
	run_some(w->loop);
}

static void acknowledge(struct world *w, const char *queue, const char *id, int status)
{
	char head[256];

	(void)snprintf(head, sizeof(head), "DELETE /AC1/%s?session=%s&id=%s", queue, w->session,
		       id);
	expect(w, status, NULL, head, NULL);
}

static void a_message_that_is_leased_for_long_does_not_stop_its_queue(void **state)
{
	struct world *w = *state;
	char id[33];

	publish(w, "q", 1);
	lease(w, "q", "&ack=manual&max=1&visibility=12h", id);
	for (int i = 0; i < 50; i++) {
		publish(w, "q", 100);
		expect_poll(w, "q", "&max=100", "a=1");
	}
	acknowledge(w, "q", id, 204);
	expect_poll(w, "q", "&timeout=0", NULL);
}

static void a_purge_while_a_message_is_leased_lets_the_next_ones_through(void **state)
{
	struct world *w = *state;
	char id[33], other[33];

	publish(w, "q", 6000);
	lease(w, "q", "&ack=manual&max=1&visibility=5m", id);
	lease(w, "q", "&ack=manual&max=1&visibility=5m", other);
	assert_int_equal(purge(w, "q"), 5998);
	publish(w, "q", 1);
	expect_poll(w, "q", "", "a=1");
	acknowledge(w, "q", id, 204);
	acknowledge(w, "q", id, 404);
	/* What was under way is not purged. */
	loop_test_advance(w->loop, 300001);
	run_some(w->loop);
	expect_poll(w, "q", "&timeout=0", "\"Redelivered\":1}");
	expect_poll(w, "q", "&timeout=0", NULL);
	assert_int_equal(world_stat(w, "lent"), 0);
	assert_false(has_stream(w, "AC1/q"));
}

static void a_queue_that_was_read_in_part_and_emptied_is_forgotten(void **state)
{
	struct world *w = *state;

	publish(w, "q", 11);
	expect_poll(w, "q", "", "a=1");
	run_some(w->loop);
	assert_int_equal(purge(w, "q"), 1);
	assert_false(has_stream(w, "AC1/q"));
}

static void a_purge_takes_the_events_of_calls(void **state)
{
	struct world *w = *state;
	struct client held, parked;

	wait_start(&parked, w, CALL, "CallSid=CA6");
	loop_test_advance(w->loop, 10001);
	assert_int_equal(client_answer(&parked), 200);
	wait_start(&held, w, CALL, CA7);
	assert_int_equal(world_stat(w, "calls_parked"), 1);
	assert_int_equal(purge(w, "call.xml"), 2);
	expect_poll(w, "call.xml", "&timeout=0&include=dead", NULL);
	/* The calls go on, without an event. */
	expect(w, 200, "X-Delivered: 1", SAY, HELLO);
	expect_end(&held, HELLO);
	loop_test_advance(w->loop, 15001);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "calls_parked"), 0);
	assert_int_equal(world_stat(w, "calls_missed"), 0);
	client_close(&held);
	client_close(&parked);
	wait_start(&held, w, CALL, CA7);
	expect_poll(w, "call.xml", "", "\"CallSid\":\"CA7\"");
	client_close(&held);
}

static void an_event_that_is_leased_when_its_call_dies_is_missed_in_the_end(void **state)
{
	struct world *w = *state;
	struct client c;
	char id[33];

	wait_start(&c, w, CALL, CA7);
	lease(w, "call.xml", "&ack=manual&visibility=10s", id);
	client_close(&c);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "calls_missed"), 0);
	loop_test_advance(w->loop, 10001);
	RUN_UNTIL(w->loop, world_stat(w, "calls_missed") == 1);
	acknowledge(w, "call.xml", id, 404);
	expect_poll(w, "call.xml", "&timeout=0", NULL);
	expect_poll(w, "call.xml/missed", "", "\"CallSid\":\"CA7\"");
}

/* Its event is among the missed ones: the retry must not wait in silence. */
static void a_retry_of_a_call_that_was_given_up_is_a_new_call(void **state)
{
	struct world *w = *state;
	struct client c;

	wait_start(&c, w, RETRIED, CA7);
	client_close(&c);
	run_some(w->loop);
	loop_test_advance(w->loop, 5001);
	RUN_UNTIL(w->loop, world_stat(w, "calls_missed") == 1);
	wait_start(&c, w, RETRIED, CA7);
	expect_poll(w, "call.xml", "&timeout=0", "\"CallSid\":\"CA7\"");
	client_close(&c);
}

static void dead_events_are_for_polls(void **state)
{
	struct world *w = *state;

	expect(w, 400, "include=dead", poll_head(w, "call.xml", "&include=dead&stream=1"), NULL);
	expect(w, 400, "include=dead", poll_head(w, "call.xml", "&include=dead&ack=manual"), NULL);
	expect(w, 400, "include=dead", poll_head(w, "call.xml", "&include=dead&sse=1"), NULL);
}

/* Anybody may post, and to any name; nobody reads. */
static void many_queues_of_calls_are_not_all_read_ahead(void **state)
{
	enum { QUEUES = 60, BYTES = 900 * 1000 };
	struct world *w = *state;
	char *body = calloc(1, BYTES + 1), head[64];

	memset(body, 'x', BYTES);
	for (int i = 0; i < QUEUES; i++) {
		(void)snprintf(head, sizeof(head), "POST /AC1/%d.xml", i);
		expect(w, 200, NULL, head, body);
	}
	free(body);
	run_some(w->loop);
	assert_in_range(world_stat(w, "event_bytes"), 1 << 20, 33 << 20);
	/* All are there for who reads. */
	for (int i = QUEUES; i-- > 0;) {
		(void)snprintf(head, sizeof(head), "%d.xml", i);
		expect_poll(w, head, "&timeout=0", "xxx");
	}
	run_some(w->loop);
	assert_int_equal(world_stat(w, "event_bytes"), 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_message_that_is_leased_for_long_does_not_stop_its_queue),
		TEST(a_purge_while_a_message_is_leased_lets_the_next_ones_through),
		TEST(a_queue_that_was_read_in_part_and_emptied_is_forgotten),
		TEST(a_purge_takes_the_events_of_calls),
		TEST(an_event_that_is_leased_when_its_call_dies_is_missed_in_the_end),
		TEST(a_retry_of_a_call_that_was_given_up_is_a_new_call),
		TEST(dead_events_are_for_polls),
		TEST(many_queues_of_calls_are_not_all_read_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
