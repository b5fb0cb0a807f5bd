/* SPDX-License-Identifier: MIT */
/* Which command of a call runs when: those of one channel in order, channels side by side. */
#include <errno.h>
#include <stdio.h>

#include "core_test.h"

enum { OPENS = OBJECT_OPENS | OBJECT_BINDS };

static int setup(void **state)
{
	static struct world w;

	world_create_call(&w, &(struct world_options){ .parallel = true }, "a");
	*state = &w;
	return 0;
}

static void command(struct world *w, const char *url)
{
	assert_int_equal(world_command(w, "POST", url, url), 0);
	for (int i = 0; i < 5; i++)
		loop_turn(w->loop);
}

/* The engine answers the command with that id; it must have it. */
static void answer(struct world *w, const char *id)
{
	for (size_t i = 0; i < w->commands.n; i++)
		if (str_eq(w->commands.at[i]->id, str_from(id))) {
			memory_port_reply(w->engine, w->commands.at[i], 204, STR(""));
			world_settle(w);
			return;
		}
	fail_msg("the engine has no %s", id);
}

/* The ids of the commands that the engine got, in order. */
static const char *got(struct world *w)
{
	static char text[1024];
	size_t n = 0;

	world_settle(w);
	text[0] = '\0';
	for (size_t i = 0; i < w->commands.n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", i ? " " : "",
				      STR_ARG(w->commands.at[i]->id));
	return text;
}

static void channels_run_side_by_side_each_in_order(void **state)
{
	struct world *w = *state;

	command(w, "/channels/a/1");
	command(w, "/channels/a/2");
	command(w, "/channels/b/1");
	command(w, "/channels/b/2");
	assert_string_equal(got(w), "/channels/a/1 /channels/b/1");
	answer(w, "/channels/b/1");
	assert_string_equal(got(w), "/channels/a/1 /channels/b/1 /channels/b/2");
	answer(w, "/channels/b/2");
	answer(w, "/channels/a/1");
	assert_string_equal(got(w), "/channels/a/1 /channels/b/1 /channels/b/2 /channels/a/2");
	answer(w, "/channels/a/2");
	assert_int_equal(w->sent.n, 4);
	assert_int_equal(w->sent.at[0]->answers, 3);
	assert_int_equal(w->sent.at[1]->answers, 4);
	assert_int_equal(w->sent.at[2]->answers, 1);
	assert_int_equal(w->sent.at[3]->answers, 2);
	assert_int_equal(w->settles, 4);
}

static void command_that_may_touch_anything_is_a_barrier(void **state)
{
	struct world *w = *state;

	command(w, "/channels/a/1");
	command(w, "/all");
	command(w, "/channels/b/1");
	command(w, "/nothing");
	assert_string_equal(got(w), "/channels/a/1");
	answer(w, "/channels/a/1");
	assert_string_equal(got(w), "/channels/a/1 /all");
	answer(w, "/all");
	assert_string_equal(got(w), "/channels/a/1 /all /channels/b/1 /nothing");
}

static void command_that_touches_nothing_waits_for_nobody(void **state)
{
	struct world *w = *state;

	command(w, "/channels/a/1");
	command(w, "/nothing");
	command(w, "/nothing");
	assert_string_equal(got(w), "/channels/a/1 /nothing /nothing");
}

static void slow_command_delays_its_own_channel_alone(void **state)
{
	struct world *w = *state;

	command(w, "/channels/a/slow");
	for (int i = 0; i < 100; i++)
		command(w, "/channels/a/next");
	for (int i = 0; i < 50; i++) {
		char id[32];

		(void)snprintf(id, sizeof(id), "/channels/b/%d", i);
		command(w, id);
		world_settle(w);
		answer(w, id);
		assert_int_equal(w->sent.n, i + 1);
	}
	assert_int_equal(w->commands.n, 51);
}

static void sixteen_of_a_call_are_under_way(void **state)
{
	struct world *w = *state;
	char id[32];

	for (int i = 0; i < 20; i++) {
		(void)snprintf(id, sizeof(id), "/channels/%d/x", i);
		command(w, id);
	}
	world_settle(w);
	assert_int_equal(w->commands.n, 16);
	answer(w, "/channels/7/x");
	assert_int_equal(w->commands.n, 17);
}

static struct msg *first;
static unsigned n_sent;

static void count(void *arg, struct msg *m)
{
	if (!n_sent++)
		first = msg_ref(m);
}

static void engine_has_a_bound_and_who_waits_for_it_goes_on(void **state)
{
	struct world *w = *state;

	n_sent = 0;
	w->engine_conf.on_send = count;
	for (int i = 0; i < 17; i++) {
		char id[32];

		(void)snprintf(id, sizeof(id), "x%d", i);
		(void)world_event(w, "StasisStart", OPENS, id, "{}");
		world_settle(w);
		got_clear(&w->sent);
		for (int k = 0; k < 17; k++) {
			(void)snprintf(id, sizeof(id), "/channels/%d/x", k);
			command(w, id);
		}
	}
	world_settle(w);
	assert_int_equal(n_sent, 256);
	memory_port_reply(w->engine, first, 200, STR(""));
	world_settle(w);
	assert_int_equal(n_sent, 257);
	(void)msg_unref(first);
	memory_port_up(w->engine, false); /* who still waits is told */
	world_settle(w);
	assert_int_equal(n_sent, 257);
	assert_int_equal(w->sent.n, 1 + 16 + 1); /* the others' calls have 16 under way */
}

static void deadline_counts_from_the_arrival(void **state)
{
	struct world *w = *state;

	command(w, "/channels/a/1");
	loop_test_advance(w->loop, 20000);
	command(w, "/channels/a/2");
	loop_test_advance(w->loop, 10000);
	assert_string_equal(got(w), "/channels/a/1 /channels/a/2");
	assert_string_equal(world_sent(w), "504");
	loop_test_advance(w->loop, 19000);
	world_settle(w);
	assert_string_equal(world_sent(w), "504");
	loop_test_advance(w->loop, 1001);
	world_settle(w);
	assert_string_equal(world_sent(w), "504 504");
}

static void command_that_waits_is_answered_at_its_deadline(void **state)
{
	struct world *w = *state;

	command(w, "/channels/a/1");
	loop_test_advance(w->loop, 29000);
	command(w, "/channels/b/1");
	command(w, "/all");
	loop_test_advance(w->loop, 1001);
	world_settle(w);
	assert_string_equal(world_sent(w), "504"); /* a/1 */
	loop_test_advance(w->loop, 29000);
	world_settle(w);
	assert_string_equal(world_sent(w), "504 504 504");
	assert_string_equal(got(w), "/channels/a/1 /channels/b/1"); /* /all never went */
}

static void playback_lies_on_the_channel_that_it_was_made_on(void **state)
{
	struct world *w = *state;
	struct object_ref p = { OBJECT_PLAYBACK, 0, STR("p") };

	command(w, "/channels/a/play");
	world_settle(w);
	assert_int_equal(w->commands.n, 1);
	assert_int_equal(port_bind(memory_port_port(w->engine), w->commands.at[0], &p, 1), 0);
	command(w, "/playbacks/p");
	command(w, "/channels/b/1");
	command(w, "/channels/a/1");
	assert_string_equal(got(w), "/channels/a/play /channels/b/1");
	answer(w, "/channels/a/play");
	assert_string_equal(got(w), "/channels/a/play /channels/b/1 /playbacks/p");
	answer(w, "/playbacks/p");
	assert_string_equal(got(w), "/channels/a/play /channels/b/1 /playbacks/p /channels/a/1");
}

static void playback_of_nobody_knows_where_waits_for_all(void **state)
{
	struct world *w = *state;

	command(w, "/channels/b/1");
	command(w, "/playbacks/x");
	command(w, "/channels/c/1");
	assert_string_equal(got(w), "/channels/b/1");
}

/* ---- after a crash: the engine's answers of the old run are lost */

static void begin(struct world *w, const char *dir, bool away)
{
	world_create(w, &(struct world_options){ .dir = dir, .parallel = true, .bus_away = away });
}

static void answered_out_of_order_is_not_answered_again_after_a_crash(void **state)
{
	static const char *const lost_states[] = { NULL, "lane/" };

	for (size_t lost = 0; lost < 2; lost++) {
		for (int read = 0; read < 2; read++) {
			char dir[64], key[96];
			struct world w;
			uint64_t lsn;

			/* Who has read a reply has seen a whole batch: its mark is there. */
			if (read && lost_states[lost])
				continue;
			dir_make(dir);
			begin(&w, dir, false);
			(void)world_event(&w, "StasisStart", OPENS, "a", "{}");
			world_settle(&w);
			memory_port_up(w.bus, read);
			command(&w, "/channels/a/1");
			command(&w, "/channels/b/1");
			command(&w, "/channels/c/1");
			command(&w, "/channels/a/2");
			world_settle(&w);
			answer(&w, "/channels/c/1");
			answer(&w, "/channels/b/1");
			(void)snprintf(key, sizeof(key), "lane/%s", w.dialog);
			if (lost_states[lost])
				assert_int_equal(journal_put(w.journal, str_from(key),
							     str_make(NULL, 0), &lsn),
						 0);
			world_settle(&w);
			world_destroy(&w);

			begin(&w, dir, false);
			for (int i = 0; i < 1000 && w.sent.n < (read ? 2 : 4); i++)
				world_settle(&w);
			for (int i = 0; i < 3; i++)
				world_settle(&w);
			assert_string_equal(world_sent(&w), read ? "504 504" : "204 204 504 504");
			assert_int_equal(w.sent.at[w.sent.n - 1]->answers, 4);
			assert_int_equal(w.commands.n, 0);
			world_destroy(&w);

			begin(&w, dir, false);
			world_settle(&w);
			assert_int_equal(w.sent.n, 0);
			world_destroy(&w);
			dir_remove(dir);
		}
	}
}

static void mark_goes_when_it_says_nothing_any_more(void **state)
{
	struct journal_stats stats;
	uint64_t before;
	char dir[64];
	struct world w;

	dir_make(dir);
	begin(&w, dir, false);
	(void)world_event(&w, "StasisStart", OPENS, "a", "{}");
	world_settle(&w);
	journal_stats(w.journal, &stats);
	before = stats.states;
	command(&w, "/channels/a/1");
	command(&w, "/channels/b/1");
	world_settle(&w);
	answer(&w, "/channels/b/1");
	journal_stats(w.journal, &stats);
	assert_int_equal(stats.states, before + 1);
	answer(&w, "/channels/a/1");
	journal_stats(w.journal, &stats);
	assert_int_equal(stats.states, before);
	world_destroy(&w);
	dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, world_teardown)
		TEST(channels_run_side_by_side_each_in_order),
		TEST(command_that_may_touch_anything_is_a_barrier),
		TEST(command_that_touches_nothing_waits_for_nobody),
		TEST(slow_command_delays_its_own_channel_alone),
		TEST(sixteen_of_a_call_are_under_way),
		TEST(engine_has_a_bound_and_who_waits_for_it_goes_on),
		TEST(deadline_counts_from_the_arrival),
		TEST(command_that_waits_is_answered_at_its_deadline),
		TEST(playback_lies_on_the_channel_that_it_was_made_on),
		TEST(playback_of_nobody_knows_where_waits_for_all),
		cmocka_unit_test(answered_out_of_order_is_not_answered_again_after_a_crash),
		cmocka_unit_test(mark_goes_when_it_says_nothing_any_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
