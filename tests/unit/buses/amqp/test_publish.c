/* SPDX-License-Identifier: MIT */
/* Messages out by the AMQP bus: declared first, confirmed, refused, returned, in order. */
#include "buses/amqp/amqp_test.h"

/* Where the text first stands in what the broker heard. */
static size_t place(struct bench *b, const char *text)
{
	struct str log = buf_str(&b->broker->log);
	size_t at = str_find_str(log, str_from(text));

	if (at == log.n)
		fail_msg("not heard: %s\n%.*s", text, STR_ARG(log));
	return at;
}

static void queues_are_there_before_the_call_is_announced(void **state)
{
	struct bench *b = *state;
	char line[256];

	bench_call(b);
	for (size_t i = 0; i < 3; i++) {
		static const char *const kinds[] = { "commands", "events", "responses" };

		(void)snprintf(line, sizeof(line), "3 queue.declare %s D\n",
			       bench_topic(b, kinds[i]));
		assert_true(place(b, line) < place(b, "1 basic.publish hello"));
	}
	assert_true(place(b, "3 queue.declare hello D\n") < place(b, "1 basic.publish hello M"));
	(void)snprintf(line, sizeof(line), "2 basic.consume %s L\n", bench_topic(b, "commands"));
	assert_true(place(b, line) < place(b, "1 basic.publish hello M"));
	(void)snprintf(line, sizeof(line),
		       "1 basic.publish hello M {\"application\":\"hello\",\"dialog_id\":\"%s\","
		       "\"server_id\":\"pbx1\",\"seq\":1}\n",
		       b->dialog);
	assert_true(place(b, line) < place(b, "\"type\":\"StasisStart\""));
	assert_int_equal(bench_stat(b, "unconfirmed"), 0);
	assert_int_equal(bench_stat(b, "published"), 2);
}

static void ack(struct bench *b, uint64_t tag, bool multiple)
{
	broker_say(b->broker, 1,
		   &(struct amqp_method){ AMQP_BASIC_ACK, .ack = { tag, .multiple = multiple } });
	run_some(b->loop);
}

static void confirms_come_in_any_order_and_for_many(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	for (int i = 0; i < 10; i++)
		bench_event(b, "Dial", 0, "c1");
	HEARD(b, 10, "\"type\":\"Dial\"");
	assert_int_equal(bench_stat(b, "unconfirmed"), 10);
	ack(b, 2 + 7, false);
	assert_int_equal(bench_stat(b, "unconfirmed"), 9);
	ack(b, 2 + 8, true); /* the seventh is settled already */
	assert_int_equal(bench_stat(b, "unconfirmed"), 2);
	ack(b, 0, true); /* all */
	assert_int_equal(bench_stat(b, "unconfirmed"), 0);
	assert_true(bench_is(b, PORT_UP));
}

static void nack_one(struct bench *b)
{
	assert_true(broker_confirm(b->broker, false));
	run_some(b->loop);
}

static void what_is_refused_goes_again_and_not_in_a_busy_loop(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	bench_event(b, "Dial", 0, "c1");
	HEARD(b, 1, "\"type\":\"Dial\"");
	nack_one(b);
	HEARD(b, 2, "\"type\":\"Dial\"");
	nack_one(b);
	run_some(b->loop);
	assert_int_equal(broker_heard(b->broker, "\"type\":\"Dial\""), 2);
	bench_advance(b, 400);
	HEARD(b, 3, "\"type\":\"Dial\"");
	bench_confirm(b);
	assert_int_equal(bench_stat(b, "nacked"), 2);
	assert_int_equal(bench_stat(b, "unconfirmed"), 0);
	/* It was taken: the next refusal is the first one again. */
	bench_event(b, "Dial", 0, "c1");
	HEARD(b, 4, "\"type\":\"Dial\"");
	nack_one(b);
	HEARD(b, 5, "\"type\":\"Dial\"");
}

static void a_queue_that_went_away_is_declared_and_everything_comes_in_order(void **state)
{
	struct bench *b = *state;
	char first[64], second[64], declare[128];

	bench_call(b);
	bench_event(b, "First", 0, "c1");
	bench_event(b, "Second", 0, "c1");
	HEARD(b, 1, "\"type\":\"Second\"");
	broker_forget(b->broker);
	(void)snprintf(first, sizeof(first), "{\"ari_body\":\"{\\\"seq\\\":9}\",\"seq\":2}");
	(void)snprintf(second, sizeof(second), "{\"seq\":3}");
	broker_return(b->broker, bench_topic(b, "events"), str_from(first));
	run_some(b->loop);
	(void)snprintf(declare, sizeof(declare), "queue.declare %s D\n", bench_topic(b, "events"));
	HEARD(b, 1, declare);
	/* This one comes while the queue is made, and the second is still to be returned. */
	bench_event(b, "Third", 0, "c1");
	assert_true(broker_confirm(b->broker, true));
	run_some(b->loop);
	assert_int_equal(broker_heard(b->broker, "basic.publish"), 0);
	broker_return(b->broker, bench_topic(b, "events"), str_from(second));
	assert_true(broker_confirm(b->broker, true));
	HEARD(b, 3, "basic.publish");
	assert_true(place(b, "\"type\":\"First\"") < place(b, "\"type\":\"Second\""));
	assert_true(place(b, "\"type\":\"Second\"") < place(b, "\"type\":\"Third\""));
	assert_int_equal(bench_stat(b, "returned"), 2);
	bench_confirm(b);
	assert_int_equal(bench_stat(b, "unconfirmed"), 0);
}

static void a_blocking_broker_gets_nothing_and_commands_go_on(void **state)
{
	struct bench *b = *state;
	char reason[256];

	bench_call(b);
	broker_say(b->broker, 0,
		   &(struct amqp_method){ AMQP_CONNECTION_BLOCKED,
					  .blocked = { STR("low on memory") } });
	RUN_UNTIL(b->loop, bench_state(b, reason) == PORT_STALE);
	assert_non_null(strstr(reason, "blocks publishers (low on memory)"));
	assert_int_equal(bench_stat(b, "blocked"), 1);
	bench_event(b, "Dial", 0, "c1");
	bench_command(b, "/channels/c1/answer", "u1", false);
	HEARD(b, 1, "2 basic.ack 1\n");
	assert_int_equal(b->n_commands, 1);
	assert_int_equal(broker_heard(b->broker, "\"type\":\"Dial\""), 0);
	broker_say(b->broker, 0, &(struct amqp_method){ AMQP_CONNECTION_UNBLOCKED });
	HEARD(b, 1, "\"type\":\"Dial\"");
	assert_true(bench_is(b, PORT_UP));
}

static void a_closed_channel_is_opened_again_and_publishes_again(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	for (int i = 0; i < 3; i++)
		bench_event(b, "Dial", 0, "c1");
	HEARD(b, 3, "\"type\":\"Dial\"");
	broker_close_channel(b->broker, 1, AMQP_PRECONDITION_FAILED, "no", AMQP_BASIC_PUBLISH);
	HEARD(b, 1, "1 channel.close-ok");
	assert_true(bench_is(b, PORT_UP));
	bench_advance(b, 100);
	HEARD(b, 6, "\"type\":\"Dial\"");
	bench_confirm(b);
	assert_int_equal(bench_stat(b, "unconfirmed"), 0);
	assert_int_equal(bench_stat(b, "channel_errors"), 1);
	assert_true(place(b, "\"seq\":2}") < place(b, "\"seq\":3}"));
}

static void a_lost_link_loses_no_message(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	bench_event(b, "First", 0, "c1");
	HEARD(b, 1, "\"type\":\"First\"");
	broker_hang_up(b->broker);
	RUN_UNTIL(b->loop, bench_is(b, PORT_DOWN));
	bench_event(b, "Second", 0, "c1");
	broker_forget(b->broker);
	bench_advance(b, 1000);
	HEARD(b, 1, "\"type\":\"Second\"");
	/* Again, with the same number; and the call's queues and consumer are made anew. */
	assert_true(place(b, "\"type\":\"First\"") < place(b, "\"type\":\"Second\""));
	assert_true(place(b, "basic.consume commands_") > 0);
	assert_int_equal(broker_heard(b->broker, "basic.publish hello"), 0);
	bench_confirm(b);
	assert_int_equal(bench_stat(b, "unconfirmed"), 0);
}

static void a_queue_that_somebody_declared_otherwise_is_used_as_it_is(void **state)
{
	struct bench *b = *state;

	b->broker->refused = "hello";
	b->broker->refusal = AMQP_PRECONDITION_FAILED;
	bench_event(b, "StasisStart", OBJECT_BINDS | OBJECT_OPENS, "c1");
	HEARD(b, 1, "3 channel.close-ok");
	HEARD(b, 1, "1 basic.publish hello");
	assert_true(bench_is(b, PORT_UP));
}

static void a_user_without_permission_is_told(void **state)
{
	struct bench *b = *state;
	char reason[256];

	b->broker->refused = "hello";
	b->broker->refusal = AMQP_ACCESS_REFUSED;
	bench_event(b, "StasisStart", OBJECT_BINDS | OBJECT_OPENS, "c1");
	RUN_UNTIL(b->loop, bench_state(b, reason) == PORT_FAILED);
	assert_non_null(strstr(reason, "configure permissions"));
}

static void a_broker_that_does_not_read_gets_no_more_than_it_may(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	for (int i = 0; i < 300; i++)
		bench_event(b, "Dial", 0, "c1");
	HEARD(b, 256, "\"type\":\"Dial\"");
	assert_int_equal(bench_stat(b, "unconfirmed"), 256);
	bench_confirm(b);
	HEARD(b, 300, "\"type\":\"Dial\"");
}

int main(void)
{
#define BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		BENCH(queues_are_there_before_the_call_is_announced),
		BENCH(confirms_come_in_any_order_and_for_many),
		BENCH(what_is_refused_goes_again_and_not_in_a_busy_loop),
		BENCH(a_queue_that_went_away_is_declared_and_everything_comes_in_order),
		BENCH(a_blocking_broker_gets_nothing_and_commands_go_on),
		BENCH(a_closed_channel_is_opened_again_and_publishes_again),
		BENCH(a_lost_link_loses_no_message),
		BENCH(a_queue_that_somebody_declared_otherwise_is_used_as_it_is),
		BENCH(a_user_without_permission_is_told),
		BENCH(a_broker_that_does_not_read_gets_no_more_than_it_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
