/* SPDX-License-Identifier: MIT */
/* The queues of calls that are over: when they go, and that those of others stay. */
#include "buses/amqp/amqp_test.h"

static void call_and_end(struct bench *b)
{
	bench_call(b);
	bench_end_call(b);
	HEARD(b, 1, "2 basic.cancel commands_");
	broker_forget(b->broker);
}

static void they_go_after_the_grace_if_they_are_read(void **state)
{
	struct bench *b = *state;
	char line[128];

	call_and_end(b);
	bench_advance(b, 8500);
	assert_int_equal(broker_heard(b->broker, "queue."), 0);
	bench_advance(b, 2000);
	HEARD(b, 3, "4 queue.delete");
	(void)snprintf(line, sizeof(line), "4 queue.declare %s DP\n", bench_topic(b, "events"));
	assert_int_equal(broker_heard(b->broker, line), 1);
	(void)snprintf(line, sizeof(line), "4 queue.delete %s UE\n", bench_topic(b, "events"));
	assert_int_equal(broker_heard(b->broker, line), 1);
	(void)snprintf(line, sizeof(line), "4 queue.delete %s UE\n", bench_topic(b, "responses"));
	assert_int_equal(broker_heard(b->broker, line), 1);
	(void)snprintf(line, sizeof(line), "4 queue.delete %s U\n", bench_topic(b, "commands"));
	assert_int_equal(broker_heard(b->broker, line), 1);
	RUN_UNTIL(b->loop, bench_stat(b, "queues_deleted") == 3);
}

static void late_ones_are_looked_for_once_more_and_then_forgotten(void **state)
{
	struct bench *b = *state;

	call_and_end(b);
	bench_advance(b, 10500);
	HEARD(b, 3, "4 queue.delete");
	broker_forget(b->broker);
	bench_advance(b, 48000);
	assert_int_equal(broker_heard(b->broker, "queue."), 0);
	assert_int_equal(bench_stat(b, "calls_over"), 1);
	bench_advance(b, 3000);
	HEARD(b, 3, "4 queue.delete");
	assert_int_equal(broker_heard(b->broker, "queue.declare"), 0);
	RUN_UNTIL(b->loop, bench_stat(b, "calls_over") == 0);
	broker_forget(b->broker);
	bench_advance(b, 200000);
	assert_int_equal(broker_heard(b->broker, "queue."), 0);
}

static void what_is_not_read_stays_until_it_is_old(void **state)
{
	struct bench *b = *state;

	b->broker->messages = 2;
	call_and_end(b);
	bench_advance(b, 10500);
	HEARD(b, 3, "4 queue.declare");
	RUN_UNTIL(b->loop, broker_heard(b->broker, "4 queue.delete commands_") == 1);
	bench_advance(b, 60000);
	assert_int_equal(broker_heard(b->broker, "4 queue.delete events_"), 0);
	assert_int_equal(broker_heard(b->broker, "4 queue.delete responses_"), 0);
	for (int i = 0; i < 59; i++) {
		broker_say(b->broker, 0, &(struct amqp_method){ AMQP_CONNECTION_UNBLOCKED });
		bench_advance(b, 60000);
	}
	HEARD(b, 1, "4 queue.delete events_");
	HEARD(b, 1, "4 queue.delete responses_");
	/* Without conditions. */
	assert_int_equal(broker_heard(b->broker, " UE\n"), 0);
	RUN_UNTIL(b->loop, bench_stat(b, "calls_over") == 0);
}

static void what_has_a_consumer_stays(void **state)
{
	struct bench *b = *state;

	b->broker->consumers = 1;
	call_and_end(b);
	bench_advance(b, 30000);
	assert_int_equal(broker_heard(b->broker, "4 queue.delete"), 0);
	b->broker->consumers = 0;
	bench_advance(b, 11000);
	HEARD(b, 3, "4 queue.delete");
}

static void a_queue_that_is_gone_or_in_use_disturbs_nobody(void **state)
{
	struct bench *b = *state;
	char name[128];

	call_and_end(b);
	(void)snprintf(name, sizeof(name), "%s", bench_topic(b, "events"));
	b->broker->refused = name;
	b->broker->refusal = AMQP_NOT_FOUND;
	bench_advance(b, 11000);
	HEARD(b, 1, "4 channel.close-ok");
	bench_advance(b, 1000);
	HEARD(b, 2, "4 queue.delete");
	b->broker->refused = name; /* a client has declared it again and is on it */
	b->broker->refusal = AMQP_PRECONDITION_FAILED;
	broker_forget(b->broker);
	bench_advance(b, 50000);
	HEARD(b, 1, "4 channel.close-ok");
	bench_advance(b, 1000);
	assert_int_equal(bench_stat(b, "calls_over"), 1);
	bench_advance(b, 58000);
	broker_say(b->broker, 0, &(struct amqp_method){ AMQP_CONNECTION_UNBLOCKED });
	bench_advance(b, 5000);
	RUN_UNTIL(b->loop, bench_stat(b, "calls_over") == 0);
	assert_true(bench_is(b, PORT_UP));
}

static void queues_of_a_call_that_lives_are_never_touched(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	broker_forget(b->broker);
	for (int i = 0; i < 80; i++) {
		broker_say(b->broker, 0, &(struct amqp_method){ AMQP_CONNECTION_UNBLOCKED });
		bench_advance(b, 50000);
	}
	assert_int_equal(broker_heard(b->broker, "queue."), 0);
	broker_hang_up(b->broker);
	RUN_UNTIL(b->loop, bench_is(b, PORT_DOWN));
	bench_advance(b, 1000);
	RUN_UNTIL(b->loop, bench_is(b, PORT_UP));
	bench_advance(b, 40000);
	assert_int_equal(broker_heard(b->broker, "queue.delete"), 0);
	assert_int_equal(bench_stat(b, "calls_over"), 0);
}

static void a_call_that_ended_while_the_link_was_away_is_swept(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	b->broker->away = true;
	broker_hang_up(b->broker);
	RUN_UNTIL(b->loop, bench_is(b, PORT_DOWN));
	bench_event(b, "StasisEnd", OBJECT_LEAVES, "c1");
	bench_advance(b, 3000);
	b->broker->away = false;
	bench_advance(b, 10000);
	RUN_UNTIL(b->loop, bench_is(b, PORT_UP));
	bench_confirm(b);
	assert_int_equal(bench_stat(b, "calls_over"), 1);
	bench_advance(b, 11000);
	HEARD(b, 3, "4 queue.delete");
}

static void a_link_lost_amid_a_look_looks_again(void **state)
{
	struct bench *b = *state;

	call_and_end(b);
	b->broker->mute_queues = true;
	bench_advance(b, 11000);
	HEARD(b, 3, "4 queue.declare");
	b->broker->mute_queues = false;
	broker_hang_up(b->broker);
	RUN_UNTIL(b->loop, bench_is(b, PORT_DOWN));
	bench_advance(b, 5000);
	RUN_UNTIL(b->loop, bench_stat(b, "queues_deleted") == 3);
	/* Whether it is there was not known any more: an active declare can't fail. */
	assert_true(broker_heard(b->broker, "4 queue.declare events_") == 2);
}

int main(void)
{
#define BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		BENCH(they_go_after_the_grace_if_they_are_read),
		BENCH(late_ones_are_looked_for_once_more_and_then_forgotten),
		BENCH(what_is_not_read_stays_until_it_is_old),
		BENCH(what_has_a_consumer_stays),
		BENCH(a_queue_that_is_gone_or_in_use_disturbs_nobody),
		BENCH(queues_of_a_call_that_lives_are_never_touched),
		BENCH(a_call_that_ended_while_the_link_was_away_is_swept),
		BENCH(a_link_lost_amid_a_look_looks_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
