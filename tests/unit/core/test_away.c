/* SPDX-License-Identifier: MIT */
/* A bus without a link: what waits for it, what goes, and calls that are not taken. */
#include <stdio.h>
#include <unistd.h>

#include "core/stream.h"
#include "core_test.h"

enum { OPENS = OBJECT_OPENS | OBJECT_BINDS };

static void start(struct world *w, const char *channel)
{
	(void)world_event(w, "StasisStart", OPENS, channel, "{}");
}

static void end(struct world *w, const char *channel)
{
	(void)world_event(w, "StasisEnd", OBJECT_LEAVES, channel, "{}");
}

static void events(struct world *w, const char *type, const char *channel, int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(world_event(w, type, 0, channel, "{}"), 0);
	world_settle(w);
}

static void pass(struct world *w, uint64_t ms)
{
	loop_test_advance(w->loop, ms);
	world_settle(w);
}

static void up(struct world *w, bool is_up)
{
	memory_port_up(w->bus, is_up);
	world_settle(w);
}

static void oldest_go_when_too_many_wait(void **state)
{
	struct world w;

	world_create(&w, &(struct world_options){ .application = { .away_events_max = 4 } });
	start(&w, "c1");
	start(&w, "c2");
	world_settle(&w);
	up(&w, false);
	got_clear(&w.sent);
	events(&w, "One", "c1", 2);
	events(&w, "Two", "c2", 2);
	assert_int_equal(world_hub_stats(&w).away_dropped, 0);
	events(&w, "Three", "c1", 1);
	assert_int_equal(world_hub_stats(&w).away_dropped, 1);
	events(&w, "Four", "c2", 2);
	assert_int_equal(world_hub_stats(&w).away_dropped, 3);
	up(&w, true);
	/* One went whole, and the older of Two. Which call is first is not said. */
	if (str_eq(w.sent.at[0]->type, STR("Three")))
		assert_string_equal(world_sent(&w), "Three Two Four Four");
	else
		assert_string_equal(world_sent(&w), "Two Four Four Three");
	for (size_t i = 0; i < w.sent.n; i++) {
		const struct msg *m = w.sent.at[i];

		assert_int_equal(m->seq, str_eq(m->type, STR("Two")) ? 3
					 : str_eq(m->type, STR("Three"))
						 ? 4
						 : 4 + (i > 0 && m->seq == 5));
	}
	/* With a link nothing is counted, and the count begins anew. */
	got_clear(&w.sent);
	events(&w, "Five", "c1", 10);
	assert_int_equal(w.sent.n, 10);
	up(&w, false);
	events(&w, "Six", "c1", 4);
	assert_int_equal(world_hub_stats(&w).away_dropped, 3);
	world_destroy(&w);
}

static void no_limit_is_no_limit(void **state)
{
	struct world w;

	world_create_call(&w, &(struct world_options){ 0 }, "c1");
	up(&w, false);
	events(&w, "One", "c1", 200);
	up(&w, true);
	assert_int_equal(w.sent.n, 200);
	assert_int_equal(world_hub_stats(&w).away_dropped, 0);
	world_destroy(&w);
}

static void what_a_restart_finds_counts_too(void **state)
{
	struct world_options o = { .application = { .away_events_max = 3 }, .bus_away = true };
	char dir[64];
	struct world w;

	dir_make(dir);
	o.dir = dir;
	world_create(&w, &o);
	start(&w, "c1");
	events(&w, "Old", "c1", 2);
	world_destroy(&w);
	world_create(&w, &o);
	events(&w, "New", "c1", 2);
	assert_int_equal(world_hub_stats(&w).away_dropped, 2);
	up(&w, true);
	for (int i = 0; w.sent.n < 4 && i < 1000; i++) { /* it reads from the disk */
		(void)usleep(1000);
		world_settle(&w);
	}
	assert_string_equal(world_sent(&w), "AppStart Old New New");
	world_destroy(&w);
	dir_remove(dir);
}

static void stale_events_go_but_those_of_life(void **state)
{
	struct world w;

	world_create(&w, &(struct world_options){ .application = { .away_age_ms = 30000 },
						  .bus_away = true });
	start(&w, "c1");
	events(&w, "Stale", "c1", 3);
	pass(&w, 20000);
	events(&w, "Fresh", "c1", 1);
	pass(&w, 15000);
	up(&w, true);
	assert_string_equal(world_sent(&w), "AppStart StasisStart Fresh");
	world_destroy(&w);
}

static void call_that_is_over_for_too_long_goes_whole(void **state)
{
	struct world w;
	struct hub_stats stats;

	world_create(&w, &(struct world_options){ .application = { .away_age_ms = 30000 },
						  .bus_away = true,
						  .linger_ms = 1000 });
	start(&w, "over");
	start(&w, "on");
	world_settle(&w);
	end(&w, "over");
	pass(&w, 2000);
	assert_int_equal(world_hub_stats(&w).closed, 1);
	pass(&w, 25000);
	assert_int_equal(world_hub_stats(&w).closed, 1);
	pass(&w, 10000);
	stats = world_hub_stats(&w);
	assert_int_equal(stats.closed, 0);
	assert_int_equal(stats.dialogs, 1);
	assert_int_equal(stats.unread_dropped, 2);
	up(&w, true);
	for (size_t i = 0; i < w.sent.n; i++)
		assert_true(w.sent.at[i]->kind != MSG_EVENT || w.sent.at[i]->seq == 1);
	assert_true(w.sent.n > 0);
	assert_true(str_eq(w.sent.at[w.sent.n - 1]->type, STR("StasisStart")));
	world_destroy(&w);
}

static void new_calls_are_refused_and_open_ones_wait(void **state)
{
	struct world w;

	world_create_call(&w, &(struct world_options){ .application = { .refuse_away = true } },
			  "open");
	up(&w, false);
	assert_true(world_event(&w, "StasisStart", OPENS, "new", "{}") < 0);
	assert_string_equal(w.released, ""); /* not from inside */
	assert_true(world_event(&w, "StasisStart", OPENS, "new2", "{}") < 0);
	events(&w, "Held", "open", 1);
	assert_string_equal(w.released, "new:AWAY new2:AWAY");
	assert_int_equal(world_hub_stats(&w).released_away, 2);
	assert_int_equal(world_hub_stats(&w).dialogs, 1);
	/* What a call makes is its own, also now. */
	assert_int_equal(world_event(&w, "StasisStart", OPENS, "leg open", "{}"), 0);
	up(&w, true);
	assert_string_equal(world_sent(&w), "Held StasisStart");
	start(&w, "later");
	world_settle(&w);
	assert_int_equal(world_hub_stats(&w).dialogs, 2);
	assert_int_equal(world_hub_stats(&w).released_away, 2);
	world_destroy(&w);
}

static void first_attempt_refuses_nobody(void **state)
{
	struct world w;

	world_create(&w, &(struct world_options){ .application = { .refuse_away = true },
						  .bus_away = true });
	port_set_state(memory_port_port(w.bus), PORT_CONNECTING, "");
	start(&w, "early");
	world_settle(&w);
	assert_string_equal(w.released, "");
	assert_int_equal(world_hub_stats(&w).dialogs, 1);
	up(&w, false);
	start(&w, "late");
	world_settle(&w);
	assert_string_equal(w.released, "late:AWAY");
	world_destroy(&w);
}

static void refused_call_waits_for_nobody_at_the_end(void **state)
{
	struct world w;

	world_create(&w, &(struct world_options){ .application = { .refuse_away = true },
						  .bus_away = true });
	start(&w, "c1"); /* destroyed before its turn: nothing is lost or read */
	world_destroy(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oldest_go_when_too_many_wait),
		cmocka_unit_test(no_limit_is_no_limit),
		cmocka_unit_test(what_a_restart_finds_counts_too),
		cmocka_unit_test(stale_events_go_but_those_of_life),
		cmocka_unit_test(call_that_is_over_for_too_long_goes_whole),
		cmocka_unit_test(new_calls_are_refused_and_open_ones_wait),
		cmocka_unit_test(first_attempt_refuses_nobody),
		cmocka_unit_test(refused_call_waits_for_nobody_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
