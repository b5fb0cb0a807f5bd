/* SPDX-License-Identifier: MIT */
/* What an application says of its events: types that it never gets, types that grow old. */
#include <sched.h>
#include <stdio.h>

#include "base/clock.h"
#include "core/stream.h"
#include "core_test.h"

enum { OPENS = OBJECT_OPENS | OBJECT_BINDS, HOUR_S = 3600 };

static int64_t wall_jump_s;

uint64_t __real_clock_wall_ns(void);
uint64_t __wrap_clock_wall_ns(void);
uint64_t __wrap_clock_wall_ns(void)
{
	return __real_clock_wall_ns() + (uint64_t)(wall_jump_s * 1000000000);
}

static const struct str dropped[] = { STR_INIT("ChannelVarset"), STR_INIT("Dial") };
static const struct event_ttl ttls[] = { { STR_INIT("ChannelDtmfReceived"), 30000 } };
static const struct application_options rules = {
	.drop = dropped, .n_drop = 2, .ttl = ttls, .n_ttl = 1
};

static uint64_t expired(const struct world *w)
{
	struct stream_stats stats;

	streams_stats(w->streams, &stats);
	return stats.expired;
}

static void event_of_no_call_goes_to_the_application_that_wants_it(void **state)
{
	struct world w;

	world_create_call(&w,
			  &(struct world_options){ .application = { .application_events = true,
								    .drop = dropped,
								    .n_drop = 2,
								    .ttl = ttls,
								    .n_ttl = 1 } },
			  "c1");
	assert_int_equal(world_event(&w, "DeviceStateChanged", 0, "", "{\"a\":1}"), 0);
	assert_int_equal(world_event(&w, "ChannelStateChange", 0, "c1", "{}"), 0);
	assert_int_equal(world_event(&w, "ChannelVarset", 0, "c9", "{}"), 0);
	assert_int_equal(world_event(&w, "ChannelDtmfReceived", 0, "c9", "{}"), 0);
	world_settle(&w);
	assert_string_equal(world_sent(&w),
			    "DeviceStateChanged ChannelDtmfReceived ChannelStateChange");
	assert_true(str_eq(w.sent.at[0]->topic, STR("events_app")));
	assert_true(str_eq(w.sent.at[0]->application, STR("app")));
	assert_true(str_eq(blob_str(w.sent.at[0]->payload), STR("{\"a\":1}")));
	assert_int_equal(w.sent.at[0]->dialog.n, 0);
	assert_int_equal(w.sent.at[0]->seq, 1);
	assert_int_equal(w.sent.at[1]->seq, 2);
	assert_int_equal(w.sent.at[1]->ttl_ms, 30000);
	assert_int_equal(w.sent.at[2]->seq, 2); /* of its call, after StasisStart */
	assert_int_equal(world_hub_stats(&w).application_events, 2);
	assert_int_equal(world_hub_stats(&w).events_filtered, 1);
	assert_int_equal(world_hub_stats(&w).unowned, 0);
	world_destroy(&w);
}

static void event_of_no_call_is_counted_where_nobody_wants_it(void **state)
{
	struct world *w = *state;

	assert_true(world_event(w, "DeviceStateChanged", 0, "", "{}") < 0);
	world_settle(w);
	assert_string_equal(world_sent(w), "");
	assert_int_equal(world_hub_stats(w).unowned, 1);
	assert_int_equal(world_hub_stats(w).application_events, 0);
}

static int setup(void **state)
{
	static struct world w;

	wall_jump_s = 0;
	world_create_call(&w, &(struct world_options){ .application = rules }, "c1");
	*state = &w;
	return 0;
}

static void dropped_types_are_not_given_and_are_counted(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_event(w, "ChannelVarset", 0, "c1", "{}"), 0);
	assert_int_equal(world_event(w, "ChannelStateChange", 0, "c1", "{}"), 0);
	assert_int_equal(world_event(w, "Dial", 0, "c1", "{}"), 0);
	world_settle(w);
	assert_string_equal(world_sent(w), "ChannelStateChange");
	assert_int_equal(w->sent.at[0]->seq, 2); /* no gap */
	assert_int_equal(world_hub_stats(w).events_filtered, 2);
	assert_int_equal(world_hub_stats(w).unowned, 0);
}

static void objects_that_a_dropped_event_names_are_noted(void **state)
{
	struct world *w = *state;
	struct object_ref refs[] = { { OBJECT_CHANNEL, 0, STR("c1") },
				     { OBJECT_CHANNEL, OBJECT_BINDS, STR("c2") } };
	struct delivery e = { .kind = MSG_EVENT,
			      .application = STR("app"),
			      .type = STR("Dial"),
			      .objects = refs,
			      .n_objects = 2 };

	assert_int_equal(port_deliver(memory_port_port(w->engine), &e), 0);
	assert_int_equal(world_event(w, "ChannelStateChange", 0, "c2", "{}"), 0);
	refs[1].verbs = OBJECT_ENDS;
	assert_int_equal(port_deliver(memory_port_port(w->engine), &e), 0);
	assert_true(world_event(w, "ChannelStateChange", 0, "c2", "{}") < 0);
	world_settle(w);
	assert_string_equal(world_sent(w), "ChannelStateChange");
}

static void event_that_opens_is_never_dropped(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_event(w, "Dial", OPENS, "other", "{}"), 0);
	world_settle(w);
	assert_string_equal(world_sent(w), "AppStart Dial");
}

static void engine_can_ask_what_is_dropped(void **state)
{
	struct world *w = *state;
	size_t n;
	const struct str *types = port_dropped(memory_port_port(w->engine), STR("app"), &n);

	assert_int_equal(n, 2);
	assert_true(str_eq(types[0], dropped[0]));
	assert_true(str_eq(types[1], dropped[1]));
	assert_null(port_dropped(memory_port_port(w->engine), STR("nobody"), &n));
	assert_int_equal(n, 0);
}

static void event_that_grew_old_unread_is_not_given(void **state)
{
	struct world *w = *state;

	memory_port_up(w->bus, false);
	(void)world_event(w, "ChannelDtmfReceived", 0, "c1", "{}");
	(void)world_event(w, "ChannelStateChange", 0, "c1", "{}");
	loop_test_advance(w->loop, 20000);
	(void)world_event(w, "ChannelDtmfReceived", 0, "c1", "{}");
	loop_test_advance(w->loop, 10000);
	memory_port_up(w->bus, true);
	world_settle(w);
	assert_string_equal(world_sent(w), "ChannelStateChange ChannelDtmfReceived");
	assert_int_equal(w->sent.at[1]->seq, 4);
	assert_int_equal(expired(w), 1);
	/* It was settled: nothing waits for a reader. */
	(void)world_event(w, "ChannelDestroyed", OBJECT_ENDS, "c1", "{}");
	loop_test_advance(w->loop, 30000);
	world_settle(w);
	assert_int_equal(world_hub_stats(w).dialogs + world_hub_stats(w).closed, 0);
}

static void event_given_back_too_late_is_not_given_again(void **state)
{
	struct world *w = *state;

	w->bus_conf.manual = true;
	(void)world_event(w, "ChannelDtmfReceived", 0, "c1", "{}");
	(void)world_event(w, "ChannelStateChange", 0, "c1", "{}");
	world_settle(w);
	memory_port_up(w->bus, false);
	got_clear(&w->sent);
	loop_test_advance(w->loop, 30000);
	memory_port_up(w->bus, true);
	world_settle(w);
	assert_string_equal(world_sent(w), "ChannelStateChange");
	assert_int_equal(expired(w), 1);
}

/* Reads from the disk what was said before it, in this run. */
static void spilled(struct world *w)
{
	char name[96];
	struct stream *s;

	(void)snprintf(name, sizeof(name), "bus/events_%s", w->dialog);
	s = stream_find(w->streams, str_from(name));
	assert_non_null(s);
	stream_spill(s);
	(void)stream_unref(s);
}

static void wait_sent(struct world *w, size_t n)
{
	for (int i = 0; i < 1000 && w->sent.n < n; i++)
		world_settle(w);
}

static void jump_of_the_wall_clock_expires_nothing(void **state)
{
	char dir[64];
	struct world w;

	dir_make(dir);
	world_create(&w, &(struct world_options){ .dir = dir, .application = rules });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	world_settle(&w);
	memory_port_up(w.bus, false);
	(void)world_event(&w, "ChannelDtmfReceived", 0, "c1", "{}");
	world_settle(&w);
	spilled(&w);
	got_clear(&w.sent);
	wall_jump_s = HOUR_S;
	memory_port_up(w.bus, true);
	wait_sent(&w, 1);
	assert_string_equal(world_sent(&w), "ChannelDtmfReceived");
	assert_int_equal(expired(&w), 0);
	world_destroy(&w);
	dir_remove(dir);
	wall_jump_s = 0;
}

static void time_to_live_goes_on_over_a_restart(void **state)
{
	static const struct {
		const char *what, *sent;
		int64_t away_s;
		uint64_t more_ms;
	} cases[] = {
		{ "at once", "ChannelDtmfReceived ChannelStateChange", 0, 0 },
		{ "too late at the start", "ChannelStateChange", 31, 0 },
		{ "too late some time after it", "ChannelStateChange", 20, 11000 },
		{ "the clock went back: it begins anew", "ChannelDtmfReceived ChannelStateChange",
		  -HOUR_S, 20000 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char dir[64];
		struct world w;

		dir_make(dir);
		world_create(&w, &(struct world_options){ .dir = dir, .application = rules });
		(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
		world_settle(&w);
		memory_port_up(w.bus, false);
		(void)world_event(&w, "ChannelDtmfReceived", 0, "c1", "{}");
		(void)world_event(&w, "ChannelStateChange", 0, "c1", "{}");
		world_settle(&w);
		world_destroy(&w);

		wall_jump_s = cases[i].away_s;
		world_create(&w, &(struct world_options){
					 .dir = dir, .application = rules, .bus_away = true });
		loop_test_advance(w.loop, cases[i].more_ms);
		memory_port_up(w.bus, true);
		/* The disk is read by another thread, which may be slow to have its turn. */
		for (int k = 0; k < 20 || (k < 5000 && strcmp(world_sent(&w), cases[i].sent));
		     k++) {
			world_settle(&w);
			(void)sched_yield();
		}
		if (strcmp(world_sent(&w), cases[i].sent) != 0)
			fail_msg("%s: %s", cases[i].what, world_sent(&w));
		world_destroy(&w);
		dir_remove(dir);
		wall_jump_s = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(event_of_no_call_goes_to_the_application_that_wants_it),
		cmocka_unit_test_setup_teardown(event_of_no_call_is_counted_where_nobody_wants_it,
						setup, world_teardown),
		cmocka_unit_test_setup_teardown(dropped_types_are_not_given_and_are_counted, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(objects_that_a_dropped_event_names_are_noted, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(event_that_opens_is_never_dropped, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(engine_can_ask_what_is_dropped, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(event_that_grew_old_unread_is_not_given, setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(event_given_back_too_late_is_not_given_again, setup,
						world_teardown),
		cmocka_unit_test(jump_of_the_wall_clock_expires_nothing),
		cmocka_unit_test(time_to_live_goes_on_over_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
