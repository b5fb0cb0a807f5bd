/* SPDX-License-Identifier: MIT */
/* Calls that a worker must accept in time: announced anew, and in the end let go. */
#include <stdio.h>
#include <unistd.h>

#include "core/stream.h"
#include "core_test.h"

enum { OPENS = OBJECT_OPENS | OBJECT_BINDS, WITHIN = 5000 };

static const struct application_options accepting = { .accept_ms = WITHIN, .accept_tries = 3 };

static void pass(struct world *w, uint64_t ms)
{
	loop_test_advance(w->loop, ms);
	world_settle(w);
}

static void touch(struct world *w, const char *prefix)
{
	char topic[80];
	int n = snprintf(topic, sizeof(topic), "%s%s", prefix, w->dialog);

	port_touched(memory_port_port(w->bus), str_make(topic, (size_t)n));
	world_settle(w);
}

/* What is read from the disk may take its time. */
static void wait_sent(struct world *w, size_t n)
{
	for (int i = 0; w->sent.n < n && i < 1000; i++) {
		(void)usleep(1000);
		world_settle(w);
	}
}

static int setup(void **state)
{
	static struct world w;

	world_create(&w, &(struct world_options){ .application = accepting, .linger_ms = 1000 });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	(void)world_event(&w, "ChannelVarset", 0, "c1", "{}");
	world_settle(&w);
	*state = &w;
	return 0;
}

static void call_that_nobody_accepts_is_announced_anew_with_all_its_events(void **state)
{
	struct world *w = *state;
	char first[64];

	assert_string_equal(world_sent(w), "AppStart StasisStart ChannelVarset");
	memcpy(first, w->dialog, sizeof(first));
	got_clear(&w->sent);
	pass(w, WITHIN - 1);
	assert_int_equal(w->sent.n, 0);
	pass(w, 1);
	assert_string_equal(world_sent(w), "AppStart StasisStart ChannelVarset");
	assert_string_not_equal(w->dialog, first);
	for (size_t i = 1; i < w->sent.n; i++) {
		char topic[80];
		int n = snprintf(topic, sizeof(topic), "events_%s", w->dialog);

		assert_true(str_eq(w->sent.at[i]->dialog, str_from(w->dialog)));
		assert_true(str_eq(w->sent.at[i]->topic, str_make(topic, (size_t)n)));
		assert_int_equal(w->sent.at[i]->seq, i);
	}
	/* The old topics are dead, the new ones live. */
	got_clear(&w->sent);
	assert_int_equal(world_event(w, "ChannelHold", 0, "c1", "{}"), 0);
	world_settle(w);
	assert_string_equal(world_sent(w), "ChannelHold");
	assert_true(str_eq(w->sent.at[0]->dialog, str_from(w->dialog)));
	assert_int_equal(w->sent.at[0]->seq, 3);
	assert_int_equal(world_command(w, "POST", "/channels/c1/answer", ""), 0);
	memcpy(w->dialog, first, sizeof(first));
	assert_true(world_command(w, "POST", "/channels/c1/answer", "") < 0);
	assert_int_equal(world_hub_stats(w).dialogs, 1);
	assert_int_equal(world_hub_stats(w).dialogs_opened, 1);
	assert_int_equal(world_hub_stats(w).announced_again, 1);
	assert_int_equal(world_hub_stats(w).unread_dropped, 0);
}

static void after_the_last_try_the_call_goes_on_in_the_dialplan(void **state)
{
	struct world *w = *state;

	pass(w, WITHIN);
	pass(w, WITHIN);
	assert_string_equal(w->released, "");
	got_clear(&w->sent);
	pass(w, WITHIN);
	assert_string_equal(w->released, "c1:UNACCEPTED");
	assert_int_equal(w->sent.n, 0);
	assert_int_equal(world_hub_stats(w).dialogs, 0);
	assert_int_equal(world_hub_stats(w).closed, 0);
	assert_int_equal(world_hub_stats(w).announced_again, 2);
	assert_int_equal(world_hub_stats(w).released_unaccepted, 1);
	assert_true(world_command(w, "POST", "/channels/c1/answer", "") < 0);
	assert_true(world_event(w, "StasisEnd", OBJECT_LEAVES, "c1", "{}") < 0);
}

static void whatever_a_worker_says_accepts(void **state)
{
	static const char *const prefixes[] = { "commands_", "events_", "responses_" };
	enum { N = sizeof(prefixes) / sizeof(*prefixes) };

	for (size_t i = 0; i <= N; i++) {
		void *made = NULL;
		struct world *w;

		(void)setup(&made);
		w = made;
		if (i < N)
			touch(w, prefixes[i]);
		else
			assert_int_equal(world_command(w, "POST", "/channels/c1/answer", ""), 0);
		got_clear(&w->sent);
		pass(w, 100 * WITHIN);
		assert_int_equal(world_hub_stats(w).announced_again, 0);
		assert_int_equal(world_hub_stats(w).dialogs, 1);
		assert_string_equal(w->released, "");
		world_destroy(w);
	}
}

static void touch_of_what_is_no_call_is_nothing(void **state)
{
	struct world *w = *state;

	port_touched(memory_port_port(w->bus), STR("app"));
	port_touched(memory_port_port(w->bus), STR("commands_"));
	port_touched(memory_port_port(w->bus), STR("commands_nobody"));
	port_touched(memory_port_port(w->engine), STR("commands_nobody"));
	port_touched(memory_port_port(w->bus), STR(""));
	pass(w, WITHIN);
	assert_int_equal(world_hub_stats(w).announced_again, 1);
	/* The second is accepted as the first would have been. */
	touch(w, "commands_");
	pass(w, 10 * WITHIN);
	assert_int_equal(world_hub_stats(w).announced_again, 1);
	assert_string_equal(w->released, "");
}

static void accepted_events_are_kept_no_longer(void **state)
{
	struct world *w = *state;
	struct stream_stats before, after;

	streams_stats(w->streams, &before);
	touch(w, "commands_");
	streams_stats(w->streams, &after);
	assert_int_equal(before.messages_in_memory - after.messages_in_memory, 2);
}

static void call_that_is_over_is_not_announced_again(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_event(w, "StasisEnd", OBJECT_LEAVES, "c1", "{}"), 0);
	world_settle(w);
	got_clear(&w->sent);
	pass(w, 1001);
	pass(w, 10 * WITHIN);
	assert_int_equal(w->sent.n, 0);
	assert_int_equal(world_hub_stats(w).dialogs + world_hub_stats(w).closed, 0);
	assert_string_equal(w->released, "");
}

static void time_does_not_run_while_the_bus_is_away(void **state)
{
	struct world *w = *state;

	memory_port_up(w->bus, false);
	pass(w, WITHIN);
	pass(w, WITHIN);
	assert_int_equal(world_hub_stats(w).announced_again, 0);
	memory_port_up(w->bus, true);
	pass(w, WITHIN);
	assert_int_equal(world_hub_stats(w).announced_again, 1);
}

static void worker_that_comes_while_events_are_copied_keeps_its_call(void **state)
{
	struct world *w = *state;
	char first[64];

	memcpy(first, w->dialog, sizeof(first));
	for (int i = 0; i < 600; i++) {
		assert_int_equal(world_event(w, "ChannelVarset", 0, "c1", "{}"), 0);
		if (i % 100 == 0)
			world_settle(w);
		if (i % 100 == 0)
			got_clear(&w->sent);
	}
	world_settle(w);
	got_clear(&w->sent);
	loop_test_advance(w->loop, WITHIN);
	for (int i = 0; i < 100 && !world_hub_stats(w).announced_again; i++)
		loop_turn(w->loop);
	assert_int_equal(world_hub_stats(w).announced_again, 1); /* begun: there are three rounds */
	touch(w, "commands_");
	pass(w, 10 * WITHIN);
	assert_int_equal(w->sent.n, 0);
	assert_int_equal(world_hub_stats(w).dialogs, 1);
	assert_string_equal(w->dialog, first);
	assert_int_equal(world_command(w, "POST", "/channels/c1/answer", ""), 0);
}

static void what_the_call_owns_goes_with_it(void **state)
{
	struct object_ref refs[] = { { OBJECT_CHANNEL, 0, STR("c1") },
				     { OBJECT_CHANNEL, OBJECT_BINDS, STR("c2") },
				     { OBJECT_BRIDGE, OBJECT_BINDS, STR("b") } };
	struct delivery e = { .kind = MSG_EVENT,
			      .application = STR("app"),
			      .type = STR("Binds"),
			      .objects = refs,
			      .n_objects = 3 };
	struct world *w = *state;

	assert_int_equal(port_deliver(memory_port_port(w->engine), &e), 0);
	assert_int_equal(world_event(w, "StasisEnd", OBJECT_LEAVES, "c1", "{}"), 0);
	world_settle(w);
	pass(w, WITHIN);
	assert_int_equal(world_hub_stats(w).announced_again, 1);
	got_clear(&w->sent);
	assert_int_equal(world_event(w, "Late", 0, "c1", "{}"), 0);
	assert_int_equal(world_event(w, "StasisEnd", OBJECT_LEAVES, "c2", "{}"), 0);
	world_settle(w);
	assert_string_equal(world_sent(w), "Late StasisEnd");
	assert_true(str_eq(w->sent.at[0]->dialog, str_from(w->dialog)));
	pass(w, 1001); /* the linger: no channel is left */
	pass(w, 6000);
	assert_int_equal(world_hub_stats(w).dialogs + world_hub_stats(w).closed, 0);
}

static void restart_knows_who_was_accepted(void **state)
{
	struct world_options o = { .application = accepting };
	struct world w;
	char dir[64];

	dir_make(dir);
	o.dir = dir;
	world_create(&w, &o);
	(void)world_event(&w, "StasisStart", OPENS, "open", "{}");
	world_settle(&w);
	touch(&w, "commands_");
	(void)world_event(&w, "StasisStart", OPENS, "waits", "{}");
	(void)world_event(&w, "ChannelVarset", 0, "waits", "{}");
	world_settle(&w);
	pass(&w, WITHIN);
	assert_int_equal(world_hub_stats(&w).announced_again, 1);
	world_destroy(&w);
	world_create(&w, &o);
	assert_int_equal(world_hub_stats(&w).dialogs, 2);
	wait_sent(&w, 2); /* what was not accepted comes again */
	got_clear(&w.sent);
	pass(&w, WITHIN);
	wait_sent(&w, 3);
	assert_string_equal(world_sent(&w), "AppStart StasisStart ChannelVarset");
	pass(&w, WITHIN);
	assert_string_equal(w.released, "waits:UNACCEPTED"); /* its third */
	assert_int_equal(world_hub_stats(&w).dialogs, 1);
	world_destroy(&w);
	dir_remove(dir);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		CASE(call_that_nobody_accepts_is_announced_anew_with_all_its_events),
		CASE(after_the_last_try_the_call_goes_on_in_the_dialplan),
		cmocka_unit_test(whatever_a_worker_says_accepts),
		CASE(touch_of_what_is_no_call_is_nothing),
		CASE(accepted_events_are_kept_no_longer),
		CASE(call_that_is_over_is_not_announced_again),
		CASE(time_does_not_run_while_the_bus_is_away),
		CASE(worker_that_comes_while_events_are_copied_keeps_its_call),
		CASE(what_the_call_owns_goes_with_it),
		cmocka_unit_test(restart_knows_who_was_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
