/* SPDX-License-Identifier: MIT */
/* Commands to the engine and replies back: one by one, each answered once and in time. */
#include <errno.h>
#include <stdio.h>

#include "core_test.h"

enum { OPENS = OBJECT_OPENS | OBJECT_BINDS };

static void command_is_answered_with_its_id(void **state)
{
	struct world *w = *state;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	world_settle(w);
	assert_int_equal(world_command(w, "POST", "/channels/c1/answer", "u1"), 0);
	world_settle(w);
	assert_int_equal(w->settles, 1);
	assert_int_equal(w->last_settle, 0);
	assert_int_equal(w->commands.n, 1);
	assert_true(str_eq(w->commands.at[0]->target, STR("/channels/c1/answer")));
	memory_port_reply(w->engine, w->commands.at[0], 204, STR(""));
	world_settle(w);
	assert_string_equal(world_sent(w), "AppStart StasisStart 204");
	assert_true(str_eq(w->sent.at[2]->id, STR("u1")));
	assert_int_equal(w->sent.at[2]->answers, 1);
}

static void commands_of_a_dialog_run_one_by_one(void **state)
{
	struct world *w = *state;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	world_settle(w);
	(void)world_command(w, "POST", "/a", "1");
	(void)world_command(w, "POST", "/b", "2");
	world_settle(w);
	assert_int_equal(w->commands.n, 1);
	memory_port_reply(w->engine, w->commands.at[0], 200, STR("{}"));
	world_settle(w);
	assert_int_equal(w->commands.n, 2);
	assert_true(str_eq(w->commands.at[1]->target, STR("/b")));
}

static void command_without_answer_gets_504_at_the_deadline(void **state)
{
	struct world *w = *state;
	struct hub_stats stats;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	world_settle(w);
	(void)world_command(w, "POST", "/a", "1");
	world_settle(w);
	loop_test_advance(w->loop, 30001);
	world_settle(w);
	assert_string_equal(world_sent(w), "AppStart StasisStart 504");
	memory_port_reply(w->engine, w->commands.at[0], 200, STR("{}"));
	world_settle(w);
	assert_int_equal(w->sent.n, 3);
	hub_stats(w->hub, &stats);
	assert_int_equal(stats.late_replies, 1);
}

static void command_gets_503_when_the_engine_is_away(void **state)
{
	struct world *w = *state;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	world_settle(w);
	memory_port_up(w->engine, false);
	(void)world_command(w, "POST", "/a", "1");
	world_settle(w);
	assert_int_equal(w->commands.n, 0);
	assert_string_equal(world_sent(w), "AppStart StasisStart 503");
}

static void command_of_an_unknown_call_is_refused(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_command(w, "POST", "/a", "1"), -ENOENT);
}

static void too_many_commands_are_refused(void **state)
{
	struct world *w = *state;
	int rc = 0, n = 0;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	world_settle(w);
	for (; rc == 0 && n < 5000; n++)
		rc = world_command(w, "POST", "/a", "1");
	assert_int_equal(rc, -EBUSY);
	assert_in_range(n, 1000, 1010);
}

static void objects_of_a_command_are_bound_before_its_answer(void **state)
{
	struct world *w = *state;
	struct object_ref made = { .kind = OBJECT_CHANNEL, .id = STR("mine") };
	struct delivery reply = {
		.kind = MSG_REPLY, .status = 500, .objects = &made, .n_objects = 1
	};

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	world_settle(w);
	(void)world_command(w, "POST", "/channels/mine", "1");
	world_settle(w);
	assert_int_equal(w->commands.n, 1);
	assert_int_equal(port_bind(memory_port_port(w->engine), w->commands.at[0], &made, 1), 0);
	assert_int_equal(world_event(w, "ChannelCreated", 0, "mine", "{}"), 0);
	made.verbs = OBJECT_ENDS;
	reply.answers = w->commands.at[0];
	(void)port_deliver(memory_port_port(w->engine), &reply);
	assert_int_equal(world_event(w, "Late", 0, "mine", "{}"), -ENOENT);
	assert_int_equal(world_event(w, "Own", 0, "c1", "{}"), 0);
}

static void commands_behind_one_without_answer_are_answered_with_it(void **state)
{
	struct world *w = *state;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	world_settle(w);
	for (int i = 0; i < 3; i++)
		(void)world_command(w, "POST", "/a", "1");
	world_settle(w);
	loop_test_advance(w->loop, 30001);
	world_settle(w);
	assert_int_equal(w->commands.n, 1); /* what nobody waits for any more is not done */
	assert_string_equal(world_sent(w), "AppStart StasisStart 504 504 504");
	assert_int_equal(w->settles, 3);
}

static void command_for_an_engine_that_stays_full_is_answered(void **state)
{
	struct world *w = *state;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	(void)world_event(w, "StasisStart", OPENS, "c2", "{}");
	world_settle(w);
	w->engine_conf.capacity = 1;
	(void)world_command(w, "POST", "/a", "1");
	world_settle(w);
	assert_true(w->sent.n > 0);
	(void)snprintf(w->dialog, sizeof(w->dialog), "%.*s", STR_ARG(w->sent.at[0]->dialog));
	(void)world_command(w, "POST", "/b", "2");
	world_settle(w);
	assert_int_equal(w->commands.n, 1);
	loop_test_advance(w->loop, 30001);
	world_settle(w);
	assert_int_equal(w->commands.n, 1);
	assert_string_equal(world_sent(w), "AppStart AppStart StasisStart StasisStart 504 504");
}

static void on_stopped(void *arg)
{
	++*(int *)arg;
}

static void stop_ends_with_messages_and_commands_in_flight(void **state)
{
	struct world w;
	int stopped = 0;

	world_create(&w, &(struct world_options){ .manual_bus = true });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	world_settle(&w);
	(void)world_command(&w, "POST", "/a", "1");
	(void)world_command(&w, "POST", "/b", "2");
	world_settle(&w);
	hub_stop(w.hub, 3000, on_stopped, &stopped);
	assert_int_equal(stopped, 0);
	world_settle(&w);
	assert_int_equal(stopped, 1);
	loop_test_advance(w.loop, 60000);
	assert_int_equal(stopped, 1);
	world_destroy(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
		TEST(command_is_answered_with_its_id),
		TEST(commands_of_a_dialog_run_one_by_one),
		TEST(command_without_answer_gets_504_at_the_deadline),
		TEST(command_gets_503_when_the_engine_is_away),
		TEST(command_of_an_unknown_call_is_refused),
		TEST(too_many_commands_are_refused),
		TEST(objects_of_a_command_are_bound_before_its_answer),
		TEST(commands_behind_one_without_answer_are_answered_with_it),
		TEST(command_for_an_engine_that_stays_full_is_answered),
		cmocka_unit_test(stop_ends_with_messages_and_commands_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
