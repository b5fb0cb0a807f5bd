/* SPDX-License-Identifier: MIT */
/* What a restart on the same journal brings back, and in which order. */
#include <errno.h>
#include <stdio.h>

#include "core_test.h"

enum { OPENS = OBJECT_OPENS | OBJECT_BINDS };

/* What has to be read from the disk comes when the thread pool gets its turn. */
static void settle_until(struct world *w, const struct got *got, size_t n)
{
	for (int i = 0; i < 5000 && got->n < n; i++)
		world_settle(w);
	world_settle(w);
}

static void calls_and_unread_events_survive_a_restart(void **state)
{
	char dir[64], dialog[64];
	struct world w;

	dir_make(dir);
	world_create(&w, &(struct world_options){ .dir = dir, .manual_bus = true });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	world_settle(&w);
	assert_int_equal(w.sent.n, 2);
	memory_port_settle(w.bus, w.sent.at[0], 0); /* AppStart is read, StasisStart is not */
	(void)snprintf(dialog, sizeof(dialog), "%s", w.dialog);
	world_settle(&w);
	world_destroy(&w);

	world_create(&w, &(struct world_options){ .dir = dir });
	settle_until(&w, &w.sent, 1);
	assert_string_equal(world_sent(&w), "StasisStart");
	assert_true(hub_has_dialog(w.hub, str_from(dialog)));
	assert_int_equal(world_event(&w, "StasisEnd", OBJECT_LEAVES, "c1", "{}"), 0);
	world_settle(&w);
	assert_string_equal(world_sent(&w), "StasisStart StasisEnd");
	assert_int_equal(w.sent.at[1]->seq, 2);
	loop_test_advance(w.loop, 30000);
	world_settle(&w);
	world_destroy(&w);

	world_create(&w, &(struct world_options){ .dir = dir });
	assert_false(hub_has_dialog(w.hub, str_from(dialog)));
	assert_int_equal(w.sent.n, 0);
	world_destroy(&w);
	dir_remove(dir);
}

static void appstart_goes_first_after_a_restart(void **state)
{
	char dir[64];
	struct world w;

	dir_make(dir);
	world_create(&w, &(struct world_options){ .dir = dir, .manual_bus = true });
	for (int i = 0; i < 20; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "c%d", i);
		(void)world_event(&w, "StasisStart", OPENS, id, "{}");
	}
	world_settle(&w);
	assert_int_equal(w.sent.n, 40);
	world_destroy(&w);

	world_create(&w, &(struct world_options){ .dir = dir });
	for (int i = 0; i < 1000 && w.sent.n < 40; i++)
		world_settle(&w);
	assert_int_equal(w.sent.n, 40);
	for (size_t i = 0; i < w.sent.n; i++)
		for (size_t k = 0; w.sent.at[i]->kind == MSG_ANNOUNCE && k < i; k++)
			assert_false(str_eq(w.sent.at[k]->dialog, w.sent.at[i]->dialog));
	world_destroy(&w);
	dir_remove(dir);
}

static void call_that_nobody_heard_of_is_told_after_a_restart(void **state)
{
	char dir[64];
	struct world w;

	dir_make(dir);
	world_create(&w, &(struct world_options){ .dir = dir, .manual_listen = true });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	world_settle(&w);
	assert_int_equal(w.sent.n, 0);
	world_destroy(&w);

	world_create(&w, &(struct world_options){ .dir = dir });
	settle_until(&w, &w.sent, 2);
	assert_string_equal(world_sent(&w), "AppStart StasisStart");
	world_destroy(&w);
	dir_remove(dir);
}

static void command_at_the_last_moment_keeps_the_dialog(void **state)
{
	char dir[64];
	struct world w;

	dir_make(dir);
	world_create(&w, &(struct world_options){ .dir = dir });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	(void)world_event(&w, "StasisEnd", OBJECT_LEAVES, "c1", "{}");
	world_settle(&w);
	assert_int_equal(world_command(&w, "GET", "/a", "1"), 0);
	loop_test_advance(w.loop, 10001); /* no turn in between: it is not written yet */
	world_settle(&w);
	assert_int_equal(w.commands.n, 1);
	memory_port_reply(w.engine, w.commands.at[0], 404, STR(""));
	world_settle(&w);
	assert_string_equal(world_sent(&w), "AppStart StasisStart StasisEnd 404");
	world_destroy(&w);
	dir_remove(dir);
}

static void bus_pauses_by_the_commands_that_really_wait(void **state)
{
	char dir[64];
	struct world w;

	dir_make(dir);
	world_create(&w, &(struct world_options){ .dir = dir, .commands_max = 10 });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	world_settle(&w);
	for (int i = 0; i < 10; i++)
		assert_int_equal(world_command(&w, "POST", "/a", "1"), 0);
	world_settle(&w);
	world_destroy(&w);

	/* The ten of the last run are answered, and don't count against those of this one. */
	world_create(&w, &(struct world_options){ .dir = dir, .commands_max = 10 });
	for (int i = 0; i < 10; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "d%d", i);
		(void)world_event(&w, "StasisStart", OPENS, id, "{}");
		world_settle(&w);
		for (int k = 0; k < 10; k++)
			assert_int_equal(world_command(&w, "POST", "/a", "1"), 0);
		assert_int_equal(memory_port_paused(w.bus), i == 9);
	}
	world_settle(&w);
	while (w.commands.n && memory_port_paused(w.bus)) {
		struct msg *m = w.commands.at[--w.commands.n];

		memory_port_reply(w.engine, m, 200, STR(""));
		(void)msg_unref(m);
		for (int i = 0; i < 5; i++)
			loop_turn(w.loop);
		world_settle(&w);
	}
	assert_false(memory_port_paused(w.bus));
	world_destroy(&w);
	dir_remove(dir);
}

static void closed_call_lies_on_the_disk_and_not_in_memory(void **state)
{
	char dir[64];
	struct stream_stats streams;
	struct world w;

	dir_make(dir);
	world_create(&w, &(struct world_options){ .dir = dir });
	memory_port_up(w.bus, false);
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	for (int i = 0; i < 50; i++)
		(void)world_event(&w, "Dial", 0, "c1", "{}");
	(void)world_event(&w, "StasisEnd", OBJECT_ENDS, "c1", "{}");
	world_settle(&w);
	loop_test_advance(w.loop, 10001);
	world_settle(&w);
	streams_stats(w.streams, &streams);
	assert_int_equal(streams.messages_in_memory, 1); /* the AppStart */
	memory_port_up(w.bus, true);
	for (int i = 0; i < 1000 && w.sent.n < 53; i++)
		world_settle(&w);
	assert_int_equal(w.sent.n, 53);
	for (size_t i = 1; i < w.sent.n; i++)
		assert_int_equal(w.sent.at[i]->seq, i);
	world_destroy(&w);
	dir_remove(dir);
}

static void command_from_before_a_restart_is_not_done_twice(void **state)
{
	char dir[64], dialog[64];
	struct world w;

	dir_make(dir);
	world_create(&w, &(struct world_options){ .dir = dir });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	world_settle(&w);
	(void)snprintf(dialog, sizeof(dialog), "%s", w.dialog);
	(void)world_command(&w, "POST", "/channels/c1/play", "p");
	(void)world_command(&w, "GET", "/channels", "g");
	world_settle(&w);
	assert_int_equal(w.commands.n, 1);
	world_destroy(&w);

	world_create(&w, &(struct world_options){ .dir = dir });
	settle_until(&w, &w.sent, 1);
	settle_until(&w, &w.commands, 1);
	assert_string_equal(world_sent(&w), "504");
	assert_int_equal(w.commands.n, 1); /* the GET */
	assert_true(str_eq(w.commands.at[0]->type, STR("GET")));
	world_destroy(&w);
	dir_remove(dir);
}

static void command_that_is_done_again_waits_for_the_engine(void **state)
{
	char dir[64];
	struct world w;

	for (int comes = 0; comes < 2; comes++) {
		dir_make(dir);
		world_create(&w, &(struct world_options){ .dir = dir });
		(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
		world_settle(&w);
		(void)world_command(&w, "GET", "/channels", "g");
		world_settle(&w);
		world_destroy(&w);

		world_create(&w, &(struct world_options){ .dir = dir, .engine_away = true });
		for (int i = 0; i < 5; i++)
			world_settle(&w);
		assert_int_equal(w.sent.n, 0);
		if (comes)
			memory_port_up(w.engine, true);
		else
			loop_test_advance(w.loop, 30001);
		settle_until(&w, comes ? &w.commands : &w.sent, 1);
		assert_int_equal(w.commands.n, comes);
		assert_string_equal(world_sent(&w), comes ? "" : "504");
		world_destroy(&w);
		dir_remove(dir);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_and_unread_events_survive_a_restart),
		cmocka_unit_test(appstart_goes_first_after_a_restart),
		cmocka_unit_test(call_that_nobody_heard_of_is_told_after_a_restart),
		cmocka_unit_test(command_at_the_last_moment_keeps_the_dialog),
		cmocka_unit_test(bus_pauses_by_the_commands_that_really_wait),
		cmocka_unit_test(closed_call_lies_on_the_disk_and_not_in_memory),
		cmocka_unit_test(command_from_before_a_restart_is_not_done_twice),
		cmocka_unit_test(command_that_is_done_again_waits_for_the_engine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
