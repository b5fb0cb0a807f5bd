/* SPDX-License-Identifier: MIT */
/* The link of the AMQP bus: logging in, losing it, silence, what a person must mend. */
#include "buses/amqp/amqp_test.h"

static void opens_its_channels_and_says_who_it_is(void **state)
{
	struct bench *b = *state;

	assert_int_equal(broker_heard(b->broker, "0 connection.start-ok PLAIN\n"), 1);
	assert_int_equal(broker_heard(b->broker, "0 connection.open /\n"), 1);
	assert_int_equal(broker_heard(b->broker, "channel.open"), 4);
	assert_int_equal(broker_heard(b->broker, "1 confirm.select"), 1);
	assert_int_equal(broker_heard(b->broker, "2 basic.qos 100\n"), 1);
}

static void says_goodbye_when_it_stops(void **state)
{
	struct bench *b = *state;

	hub_stop(b->hub, 100000, NULL, NULL);
	HEARD(b, 1, "0 connection.close voxbus stops");
	RUN_UNTIL(b->loop, bench_is(b, PORT_CLOSED));
}

static void a_silent_broker_does_not_hold_up_a_stop(void **state)
{
	struct bench *b = *state;

	b->broker->silent = true;
	hub_stop(b->hub, 100000, NULL, NULL);
	HEARD(b, 1, "0 connection.close");
	assert_false(bench_is(b, PORT_CLOSED));
	bench_advance(b, 600);
	assert_true(bench_is(b, PORT_CLOSED));
}

static void heartbeats_go_out_when_nothing_else_does(void **state)
{
	struct bench *b = *state;

	broker_forget(b->broker);
	bench_advance(b, 29000);
	assert_int_equal(broker_heard(b->broker, "heartbeat"), 0);
	bench_advance(b, 32000);
	assert_int_equal(broker_heard(b->broker, "heartbeat"), 2);
}

static void silence_makes_it_stale_and_then_lost(void **state)
{
	struct bench *b = *state;
	char reason[256];

	bench_advance(b, 59000);
	assert_int_equal(bench_state(b, reason), PORT_UP);
	bench_advance(b, 2000);
	assert_int_equal(bench_state(b, reason), PORT_STALE);
	assert_non_null(strstr(reason, "has been silent for 60 s"));
	broker_say(b->broker, 0, &(struct amqp_method){ AMQP_CONNECTION_UNBLOCKED });
	RUN_UNTIL(b->loop, bench_is(b, PORT_UP));
	b->broker->away = true;
	bench_advance(b, 61000);
	assert_int_equal(bench_state(b, reason), PORT_STALE);
	bench_advance(b, 62000);
	assert_int_equal(bench_state(b, reason), PORT_DOWN);
	b->broker->away = false;
	bench_advance(b, 11000);
	RUN_UNTIL(b->loop, bench_is(b, PORT_UP));
	assert_int_equal(bench_stat(b, "reconnects"), 1);
}

static void a_broker_that_does_not_answer_is_not_waited_for(void **state)
{
	struct bench b;
	char reason[256];

	bench_create(&b);
	b.broker->silent = true;
	bench_add_bus(&b);
	RUN_UNTIL(b.loop, (loop_test_advance(b.loop, 1), b.broker->conn));
	bench_advance(&b, 5100);
	assert_int_equal(bench_state(&b, reason), PORT_DOWN);
	assert_non_null(strstr(reason, "does not answer in time"));
	bench_destroy(&b);
}

static void a_wrong_password_waits_for_a_person(void **state)
{
	struct bench b;
	char reason[256];

	bench_create(&b);
	b.broker->wrong_password = true;
	bench_add_bus(&b);
	RUN_UNTIL(b.loop, (loop_test_advance(b.loop, 1), bench_is(&b, PORT_FAILED)));
	(void)bench_state(&b, reason);
	assert_non_null(strstr(reason, "refuses user \"guest\""));
	assert_null(strstr(reason, "guest:guest"));
	bench_advance(&b, 29000);
	assert_int_equal(b.broker->connections, 1);
	b.broker->wrong_password = false;
	bench_advance(&b, 2000);
	RUN_UNTIL(b.loop, bench_is(&b, PORT_UP));
	bench_destroy(&b);
}

static void a_broker_without_our_mechanism_is_told(void **state)
{
	struct bench b;
	char reason[256];

	bench_create(&b);
	b.broker->mechanisms = "AMQPLAIN RABBIT-CR-DEMO";
	bench_add_bus(&b);
	RUN_UNTIL(b.loop, (loop_test_advance(b.loop, 1), bench_is(&b, PORT_FAILED)));
	(void)bench_state(&b, reason);
	assert_non_null(strstr(reason, "must have PLAIN"));
	bench_destroy(&b);
}

static void a_broker_without_channels_is_told(void **state)
{
	struct bench b;

	bench_create(&b);
	b.broker->full = true;
	bench_add_bus(&b);
	RUN_UNTIL(b.loop, (loop_test_advance(b.loop, 1), bench_is(&b, PORT_FAILED)));
	bench_destroy(&b);
}

static void others_are_tried_in_turn(void **state)
{
	struct bench b;

	bench_create(&b);
	b.conf.failover = (struct conf_strings){ b.failover, 1 };
	b.broker->away = true;
	bench_add_bus(&b);
	RUN_UNTIL(b.loop, (loop_test_advance(b.loop, 1), bench_is(&b, PORT_UP)));
	assert_int_equal(b.broker->connections, 1);
	assert_non_null(b.second->conn);
	/* The first is the one that is wanted. */
	b.broker->away = false;
	broker_hang_up(b.second);
	RUN_UNTIL(b.loop, bench_is(&b, PORT_DOWN));
	bench_advance(&b, 1000);
	RUN_UNTIL(b.loop, bench_is(&b, PORT_UP));
	assert_non_null(b.broker->conn);
	assert_null(b.second->conn);
	bench_destroy(&b);
}

static void of_several_that_fail_the_one_for_a_person_is_told(void **state)
{
	struct bench b;
	char reason[256], port[16];
	unsigned tries;

	bench_create(&b);
	(void)snprintf(port, sizeof(port), ":%d", broker_port(b.second));
	b.conf.failover = (struct conf_strings){ b.failover, 1 };
	b.broker->wrong_password = true;
	b.second->away = true;
	bench_add_bus(&b);
	RUN_UNTIL(b.loop, (loop_test_advance(b.loop, 1), bench_is(&b, PORT_FAILED)));
	assert_int_equal(b.second->connections, 1);
	(void)bench_state(&b, reason);
	assert_non_null(strstr(reason, "refuses user \"guest\""));
	bench_advance(&b, 29000);
	assert_int_equal(b.broker->connections, 1);
	b.broker->wrong_password = false;
	b.broker->away = true;
	bench_advance(&b, 3000);
	RUN_UNTIL(b.loop, (loop_test_advance(b.loop, 1), bench_is(&b, PORT_DOWN)));
	/* Round after round: one sentence, not one for each broker. */
	tries = b.second->connections;
	for (int i = 0; i < 300; i++) {
		loop_test_advance(b.loop, 100);
		run_some(b.loop);
		(void)bench_state(&b, reason);
		assert_non_null(strstr(reason, port));
	}
	assert_true(b.second->connections > tries + 1);
	bench_destroy(&b);
}

static void what_the_broker_says_of_the_end_is_told(void **state)
{
	struct bench *b = *state;
	char reason[256];

	broker_say(b->broker, 0,
		   &(struct amqp_method){ AMQP_CONNECTION_CLOSE,
					  .close = { AMQP_CONNECTION_FORCED,
						     STR("broker forced connection closure"), 0,
						     0 } });
	RUN_UNTIL(b->loop, bench_is(b, PORT_DOWN));
	(void)bench_state(b, reason);
	assert_non_null(strstr(reason, "320 broker forced connection closure"));
	HEARD(b, 1, "0 connection.close-ok");
	bench_advance(b, 1000);
	RUN_UNTIL(b->loop, bench_is(b, PORT_UP));
}

static void what_is_no_amqp_ends_the_link(void **state)
{
	static const char *const wrong[] = {
		"HTTP/1.1 400 Bad Request\r\n\r\n",
		"\1\0\0\0\0\0\4xxxx\xce",
		"\x08\0\1\0\0\0\0\xce",
		"\1\0\x09\0\0\0\4\0\x14\0\x0b\xce",
		"\1\0\0\0\0\0\4\0\x0a\0\x0a\x00",
	};
	static const size_t sizes[] = { 28, 12, 8, 12, 12 };
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct str bytes = str_make(wrong[i], sizes[i]);

		(void)conn_write(b->broker->conn, &bytes, 1);
		RUN_UNTIL(b->loop, bench_is(b, PORT_DOWN));
		bench_advance(b, 10000);
		RUN_UNTIL(b->loop, bench_is(b, PORT_UP));
	}
	/* Well-formed, but out of turn. */
	for (size_t i = 0; i < 3; i++) {
		static const uint32_t ids[] = { AMQP_CONNECTION_OPEN_OK, AMQP_QUEUE_DELETE_OK,
						AMQP_CONFIRM_SELECT_OK };

		broker_say(b->broker, i == 1 ? 3 : (unsigned)i / 2,
			   &(struct amqp_method){ ids[i] });
		RUN_UNTIL(b->loop, bench_is(b, PORT_DOWN));
		HEARD(b, 1, "0 connection.close ");
		bench_advance(b, 10000);
		RUN_UNTIL(b->loop, bench_is(b, PORT_UP));
	}
}

static void a_confirm_of_nothing_ends_the_link(void **state)
{
	struct bench *b = *state;

	broker_say(b->broker, 1,
		   &(struct amqp_method){ AMQP_BASIC_ACK, .ack = { .delivery_tag = 7 } });
	RUN_UNTIL(b->loop, bench_is(b, PORT_DOWN));
	HEARD(b, 1, "connection.close a confirm of 7");
}

int main(void)
{
#define BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		BENCH(opens_its_channels_and_says_who_it_is),
		BENCH(says_goodbye_when_it_stops),
		BENCH(a_silent_broker_does_not_hold_up_a_stop),
		BENCH(heartbeats_go_out_when_nothing_else_does),
		BENCH(silence_makes_it_stale_and_then_lost),
		cmocka_unit_test(a_broker_that_does_not_answer_is_not_waited_for),
		cmocka_unit_test(a_wrong_password_waits_for_a_person),
		cmocka_unit_test(a_broker_without_our_mechanism_is_told),
		cmocka_unit_test(a_broker_without_channels_is_told),
		cmocka_unit_test(others_are_tried_in_turn),
		cmocka_unit_test(of_several_that_fail_the_one_for_a_person_is_told),
		BENCH(what_the_broker_says_of_the_end_is_told),
		BENCH(what_is_no_amqp_ends_the_link),
		BENCH(a_confirm_of_nothing_ends_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
