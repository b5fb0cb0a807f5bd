/* SPDX-License-Identifier: MIT */
/* Commands in by the AMQP bus: run, acknowledged, refused, repeated; and its consumers. */
#include "buses/amqp/amqp_test.h"

static void a_command_is_acknowledged_and_its_reply_published(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	bench_command(b, "/channels/c1/answer", "u1", false);
	HEARD(b, 1, "2 basic.ack 1\n");
	assert_int_equal(b->n_commands, 1);
	assert_true(str_eq(b->commands[0]->target, STR("/channels/c1/answer")));
	bench_reply(b, 204);
	HEARD(b, 1, "{\"unique_id\":\"u1\",\"status_code\":204,\"response_body\":\"{}\"");
}

static void dummies_are_swallowed(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	broker_deliver(b->broker, bench_topic(b, "commands"), "DUMMY", false);
	HEARD(b, 1, "2 basic.ack 1\n");
	run_some(b->loop);
	assert_int_equal(b->n_commands, 0);
	assert_int_equal(broker_heard(b->broker, "basic.publish responses"), 0);
	assert_int_equal(bench_stat(b, "dummies"), 1);
}

static void what_is_no_command_is_answered_and_acknowledged(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	broker_deliver(b->broker, bench_topic(b, "commands"), "{\"url\":\"/x\"", false);
	HEARD(b, 1, "{\"unique_id\":\"\",\"status_code\":400,\"response_body\":");
	assert_int_equal(broker_heard(b->broker, "2 basic.ack"), 0);
	bench_confirm(b);
	HEARD(b, 1, "2 basic.ack 1\n");
	assert_int_equal(bench_stat(b, "malformed"), 1);
	/* Larger than we take. */
	char *large = calloc(1, (1 << 20) + 2);
	memset(large, 'x', (1 << 20) + 1);
	for (int i = 0; i < 2; i++)
		broker_deliver(b->broker, bench_topic(b, "commands"), i ? "DUMMY" : large, false);
	free(large);
	HEARD(b, 1, "the command is over 1048576 bytes long");
	HEARD(b, 1, "2 basic.ack 3\n");
}

static void a_refusal_that_is_not_published_is_made_again(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	broker_deliver(b->broker, bench_topic(b, "commands"), "[]", false);
	HEARD(b, 1, "\"status_code\":400");
	assert_true(broker_confirm(b->broker, false));
	run_some(b->loop);
	bench_advance(b, 200);
	HEARD(b, 2, "\"status_code\":400");
	assert_int_equal(broker_heard(b->broker, "2 basic.ack"), 0);
	bench_confirm(b);
	HEARD(b, 1, "2 basic.ack 1\n");
}

static void too_many_commands_are_answered_503(void **state)
{
	struct bench *b = *state;

	bench_call(b); /* two may wait */
	for (int i = 0; i < 3; i++) {
		char id[8];

		(void)snprintf(id, sizeof(id), "u%d", i);
		bench_command(b, "/channels/c1/play", id, false);
	}
	HEARD(b, 1, "{\"unique_id\":\"u2\",\"status_code\":503,");
	bench_confirm(b);
	HEARD(b, 1, "2 basic.ack 3\n");
	assert_int_equal(bench_stat(b, "refused"), 1);
}

static void a_command_of_an_unknown_call_is_acknowledged(void **state)
{
	struct bench *b = *state;

	broker_deliver(b->broker, "commands_nobody",
		       "{\"unique_id\":\"\",\"url\":\"/x\",\"method\":\"GET\"}", false);
	HEARD(b, 1, "2 basic.ack 1\n");
	assert_int_equal(bench_stat(b, "refused"), 1);
}

static void what_the_broker_brings_again_is_not_done_again(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	bench_command(b, "/channels/c1/answer", "", false);
	bench_reply(b, 204);
	bench_command(b, "/channels/c1/answer", "", true);
	HEARD(b, 1, "2 basic.ack 2\n");
	HEARD(b, 2, "\"status_code\":204");
	assert_int_equal(b->n_commands, 0);
	assert_int_equal(bench_stat(b, "redelivered"), 1);
	/* The same again by the client is another command. */
	bench_command(b, "/channels/c1/answer", "", false);
	assert_int_equal(b->n_commands, 1);
}

struct ids {
	char at[16][64];
	size_t n;
};

static void on_dialog(void *arg, const struct dialog_view *view)
{
	struct ids *ids = arg;

	(void)snprintf(ids->at[ids->n++], sizeof(ids->at[0]), "commands_%.*s", STR_ARG(view->id));
}

static void while_it_is_paused_commands_wait_in_their_order(void **state)
{
	static const char play[] = "{\"unique_id\":\"\",\"url\":\"/channels/%s/play\","
				   "\"method\":\"POST\",\"body\":\"\"}";
	struct bench *b = *state;
	struct ids ids = { .n = 0 };
	char id[8], body[128];

	for (int i = 0; i < 10; i++) {
		(void)snprintf(id, sizeof(id), "c%d", i);
		bench_event(b, "StasisStart", OBJECT_BINDS | OBJECT_OPENS, id);
	}
	HEARD(b, 10, "basic.consume");
	hub_each_dialog(b->hub, on_dialog, &ids);
	assert_int_equal(ids.n, 10);
	/* Twenty that wait, ten times commands_max, make the core pause the bus. */
	for (int i = 0; i < 20; i++) {
		(void)snprintf(body, sizeof(body), play, i % 2 ? "x" : "y");
		broker_deliver(b->broker, ids.at[i / 2], body, false);
	}
	HEARD(b, 20, "2 basic.ack");
	broker_deliver(b->broker, ids.at[0], "DUMMY", false);
	broker_deliver(b->broker, ids.at[1], "{}", false);
	RUN_UNTIL(b->loop, bench_stat(b, "parked") == 2);
	bench_advance(b, 1000);
	assert_int_equal(broker_heard(b->broker, "2 basic.ack 21\n"), 0);
	assert_int_equal(broker_heard(b->broker, "basic.nack"), 0);
	for (int i = 0; i < 10; i++)
		bench_reply(b, 204);
	bench_advance(b, 10);
	HEARD(b, 1, "2 basic.ack 21\n");
	bench_confirm(b);
	HEARD(b, 1, "2 basic.ack 22\n");
	assert_int_equal(bench_stat(b, "parked"), 0);
}

static void a_closed_consuming_channel_consumes_again(void **state)
{
	struct bench *b = *state;

	bench_call(b);
	bench_command(b, "/channels/c1/answer", "u1", false);
	HEARD(b, 1, "2 basic.ack 1\n");
	broker_forget(b->broker);
	broker_close_channel(b->broker, 2, AMQP_PRECONDITION_FAILED, "timeout", 0);
	HEARD(b, 1, "2 channel.close-ok");
	bench_advance(b, 100);
	HEARD(b, 1, "2 basic.qos 100");
	HEARD(b, 1, "2 basic.consume commands_");
	b->broker->delivered = 0;
	bench_reply(b, 204);
	broker_deliver(b->broker, bench_topic(b, "commands"), "DUMMY", false);
	HEARD(b, 1, "2 basic.ack 1\n");
}

static void a_queue_deleted_under_a_call_is_consumed_again(void **state)
{
	struct bench *b = *state;
	char line[128];

	bench_call(b);
	broker_forget(b->broker);
	broker_say(
		b->broker, 2,
		&(struct amqp_method){ AMQP_BASIC_CANCEL,
				       .cancel = { str_from(bench_topic(b, "commands")), true } });
	(void)snprintf(line, sizeof(line), "3 queue.declare %s D\n", bench_topic(b, "commands"));
	HEARD(b, 1, line);
	HEARD(b, 1, "2 basic.consume commands_");
}

static void a_call_is_announced_once_its_consumer_is_there(void **state)
{
	struct bench *b = *state;

	b->broker->mute_queues = true;
	bench_event(b, "StasisStart", OBJECT_BINDS | OBJECT_OPENS, "c1");
	HEARD(b, 1, "3 queue.declare commands_");
	assert_int_equal(broker_heard(b->broker, "basic.consume"), 0);
	assert_int_equal(broker_heard(b->broker, "queue.declare hello"), 0);
	broker_hang_up(b->broker);
	b->broker->mute_queues = false;
	RUN_UNTIL(b->loop, bench_is(b, PORT_DOWN));
	bench_advance(b, 1000);
	HEARD(b, 1, "basic.publish hello");
}

int main(void)
{
#define BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		BENCH(a_command_is_acknowledged_and_its_reply_published),
		BENCH(dummies_are_swallowed),
		BENCH(what_is_no_command_is_answered_and_acknowledged),
		BENCH(a_refusal_that_is_not_published_is_made_again),
		BENCH(too_many_commands_are_answered_503),
		BENCH(a_command_of_an_unknown_call_is_acknowledged),
		BENCH(what_the_broker_brings_again_is_not_done_again),
		BENCH(while_it_is_paused_commands_wait_in_their_order),
		BENCH(a_closed_consuming_channel_consumes_again),
		BENCH(a_queue_deleted_under_a_call_is_consumed_again),
		BENCH(a_call_is_announced_once_its_consumer_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
