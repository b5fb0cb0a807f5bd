/* SPDX-License-Identifier: MIT */
/* Events to dialogs, dialogs to the bus: opening, announcing, ending, keeping what is unread. */
#include <errno.h>
#include <stdio.h>

#include "core_test.h"

enum { OPENS = OBJECT_OPENS | OBJECT_BINDS };

static void event_of_a_new_channel_opens_a_dialog(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_event(w, "StasisStart", OPENS, "c1", "{}"), 0);
	world_settle(w);
	assert_string_equal(world_sent(w), "AppStart StasisStart");
	assert_true(hub_has_dialog(w->hub, str_from(w->dialog)));
}

static void event_of_nobody_is_counted(void **state)
{
	struct world *w = *state;
	struct hub_stats stats;

	assert_int_equal(world_event(w, "Dial", 0, "c9", "{}"), -ENOENT);
	hub_stats(w->hub, &stats);
	assert_int_equal(stats.unowned, 1);
	assert_int_equal(w->sent.n, 0);
}

static void event_keeps_its_bytes_and_counts_up(void **state)
{
	struct world *w = *state;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{\"a\": 1}");
	(void)world_event(w, "ChannelVarset", 0, "c1", "second");
	world_settle(w);
	assert_int_equal(w->sent.n, 3);
	assert_true(str_eq(blob_str(w->sent.at[1]->payload), STR("{\"a\": 1}")));
	assert_int_equal(w->sent.at[1]->seq, 1);
	assert_int_equal(w->sent.at[2]->seq, 2);
}

static void event_of_two_calls_goes_to_both(void **state)
{
	struct world *w = *state;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	(void)world_event(w, "StasisStart", OPENS, "c2", "{}");
	world_settle(w);
	got_clear(&w->sent);
	assert_int_equal(world_event(w, "Dial", 0, "c1 c2", "both"), 0);
	world_settle(w);
	assert_int_equal(w->sent.n, 2);
	assert_false(str_eq(w->sent.at[0]->topic, w->sent.at[1]->topic));
	assert_ptr_equal(w->sent.at[0]->payload, w->sent.at[1]->payload);
}

static void channel_that_replaces_another_joins_its_dialog(void **state)
{
	struct world *w = *state;

	(void)world_event(w, "StasisStart", OPENS, "old", "{}");
	(void)world_event(w, "StasisStart", OPENS, "new old", "{}");
	(void)world_event(w, "ChannelDestroyed", OBJECT_ENDS, "old", "{}");
	(void)world_event(w, "ChannelHold", 0, "new", "{}");
	world_settle(w);
	assert_string_equal(world_sent(w),
			    "AppStart StasisStart StasisStart ChannelDestroyed ChannelHold");
}

static void dialog_ends_after_the_linger(void **state)
{
	struct world *w = *state;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	(void)world_event(w, "StasisEnd", OBJECT_LEAVES, "c1", "{}");
	loop_test_advance(w->loop, 9000);
	(void)world_event(w, "ChannelDestroyed", OBJECT_ENDS, "c1", "{}");
	world_settle(w);
	assert_string_equal(world_sent(w), "AppStart StasisStart StasisEnd ChannelDestroyed");
	assert_true(hub_has_dialog(w->hub, str_from(w->dialog)));
	loop_test_advance(w->loop, 10001);
	assert_false(hub_has_dialog(w->hub, str_from(w->dialog)));
}

static void channel_that_comes_back_keeps_the_dialog(void **state)
{
	struct world *w = *state;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	(void)world_event(w, "StasisEnd", OBJECT_LEAVES, "c1", "{}");
	loop_test_advance(w->loop, 5000);
	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	loop_test_advance(w->loop, 60000);
	world_settle(w);
	assert_true(hub_has_dialog(w->hub, str_from(w->dialog)));
	assert_string_equal(world_sent(w), "AppStart StasisStart StasisEnd StasisStart");
}

/* The bus of this test settles nothing, so the dialog's streams are never read. */
static void closed_dialog_is_no_call_of_now(void **state)
{
	struct world w;
	struct hub_stats stats;

	(void)state;
	world_create(&w, &(struct world_options){ .manual_bus = true });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.dialogs, 1);
	(void)world_event(&w, "StasisEnd", OBJECT_LEAVES, "c1", "{}");
	world_settle(&w);
	loop_test_advance(w.loop, 10001);
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.dialogs, 0);
	loop_test_advance(w.loop, 3700000);
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.dialogs, 0);
	world_destroy(&w);
}

static void closed_dialog_leaves_nothing_behind(void **state)
{
	struct world *w = *state;
	struct stream_stats stats;
	struct hub_stats hub;

	for (int i = 0; i < 20; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "c%d", i);
		(void)world_event(w, "StasisStart", OPENS, id, "{}");
		(void)world_event(w, "StasisEnd", OBJECT_LEAVES, id, "{}");
	}
	world_settle(w);
	loop_test_advance(w->loop, 30000);
	streams_stats(w->streams, &stats);
	hub_stats(w->hub, &hub);
	assert_int_equal(stats.streams, 1); /* the application's own */
	assert_int_equal(stats.messages_in_memory, 0);
	assert_int_equal(hub.dialogs, 0);
}

static void events_wait_while_the_bus_is_away(void **state)
{
	struct world *w = *state;

	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	world_settle(w);
	memory_port_up(w->bus, false);
	(void)world_event(w, "A", 0, "c1", "{}");
	(void)world_event(w, "B", 0, "c1", "{}");
	world_settle(w);
	assert_int_equal(w->sent.n, 2);
	memory_port_up(w->bus, true);
	world_settle(w);
	assert_string_equal(world_sent(w), "AppStart StasisStart A B");
}

static void too_many_dialogs_are_refused_and_counted(void **state)
{
	struct world w;
	struct hub_stats stats;

	world_create(&w, &(struct world_options){ .dialogs_max = 2 });
	assert_int_equal(world_event(&w, "StasisStart", OPENS, "c1", "{}"), 0);
	assert_int_equal(world_event(&w, "StasisStart", OPENS, "c2", "{}"), 0);
	assert_int_equal(world_event(&w, "StasisStart", OPENS, "c3", "{}"), -ENOENT);
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.dialogs_refused, 1);
	world_destroy(&w);
}

static void call_is_announced_only_once_the_bus_listens(void **state)
{
	struct world w;

	world_create(&w, &(struct world_options){ .manual_listen = true });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	world_settle(&w);
	assert_int_equal(w.sent.n, 0);
	assert_int_equal(memory_port_asked(w.bus), 1);
	memory_port_grant(w.bus, -EIO);
	world_settle(&w);
	assert_int_equal(w.sent.n, 0);
	memory_port_up(w.bus, false);
	memory_port_up(w.bus, true); /* asks again */
	memory_port_grant(w.bus, 0);
	world_settle(&w);
	assert_string_equal(world_sent(&w), "AppStart StasisStart");
	world_destroy(&w);
}

static void full_bus_gets_everything_in_order(void **state)
{
	struct world w;

	world_create(&w, &(struct world_options){ .manual_bus = true, .bus_capacity = 3 });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	for (int i = 0; i < 50; i++) {
		char type[16];

		(void)snprintf(type, sizeof(type), "E%d", i);
		(void)world_event(&w, type, 0, "c1", "{}");
	}
	world_settle(&w);
	assert_int_equal(w.sent.n, 3);
	for (size_t done = 0; done < w.sent.n; done++) {
		memory_port_settle(w.bus, w.sent.at[done], 0);
		world_settle(&w);
	}
	assert_int_equal(w.sent.n, 52);
	for (size_t i = 0, seq = 0; i < w.sent.n; i++)
		if (w.sent.at[i]->kind == MSG_EVENT)
			assert_int_equal(w.sent.at[i]->seq, ++seq);
	world_destroy(&w);
}

static void message_given_back_is_sent_again_first(void **state)
{
	struct world w;

	world_create(&w, &(struct world_options){ .manual_bus = true });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	(void)world_event(&w, "A", 0, "c1", "{}");
	world_settle(&w);
	assert_true(w.sent.n > 1);
	memory_port_settle(w.bus, w.sent.at[1], -EIO);
	world_settle(&w);
	assert_string_equal(world_sent(&w), "AppStart StasisStart A StasisStart");
	world_destroy(&w);
}

static void call_that_ended_while_the_bus_was_away_is_told_later(void **state)
{
	struct world *w = *state;

	memory_port_up(w->bus, false);
	(void)world_event(w, "StasisStart", OPENS, "c1", "{}");
	(void)world_event(w, "StasisEnd", OBJECT_LEAVES, "c1", "{}");
	world_settle(w);
	loop_test_advance(w->loop, 60000);
	assert_int_equal(w->sent.n, 0);
	memory_port_up(w->bus, true);
	world_settle(w);
	assert_string_equal(world_sent(w), "AppStart StasisStart StasisEnd");
	loop_test_advance(w->loop, 60000);
}

static void appstart_goes_first_again_after_a_lost_link(void **state)
{
	struct world w;

	world_create(&w, &(struct world_options){ .manual_bus = true });
	for (int i = 0; i < 20; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "c%d", i);
		(void)world_event(&w, "StasisStart", OPENS, id, "{}");
	}
	world_settle(&w);
	got_clear(&w.sent); /* none of them was settled */
	memory_port_up(w.bus, false);
	memory_port_up(w.bus, true);
	world_settle(&w);
	assert_int_equal(w.sent.n, 40);
	for (size_t i = 0; i < w.sent.n; i++)
		for (size_t k = 0; w.sent.at[i]->kind == MSG_ANNOUNCE && k < i; k++)
			assert_false(str_eq(w.sent.at[k]->dialog, w.sent.at[i]->dialog));
	world_destroy(&w);
}

static void event_of_too_many_calls_is_counted(void **state)
{
	struct world *w = *state;
	struct object_ref refs[40];
	char ids[40][16];
	struct delivery e = { .kind = MSG_EVENT,
			      .application = STR("app"),
			      .type = STR("BridgeX"),
			      .objects = refs,
			      .n_objects = 40 };
	struct hub_stats stats;

	for (size_t i = 0; i < 40; i++) {
		(void)snprintf(ids[i], sizeof(ids[i]), "c%zu", i);
		(void)world_event(w, "StasisStart", OPENS, ids[i], "{}");
		refs[i] = (struct object_ref){ .id = str_from(ids[i]) };
	}
	world_settle(w);
	got_clear(&w->sent);
	assert_int_equal(port_deliver(memory_port_port(w->engine), &e), 0);
	world_settle(w);
	assert_int_equal(w->sent.n, 32);
	hub_stats(w->hub, &stats);
	assert_int_equal(stats.events_cut, 1);
}

static void call_whose_channel_cannot_be_kept_does_not_stay(void **state)
{
	struct world *w = *state;
	struct hub_stats stats;
	char id[2000];

	memset(id, 'x', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	assert_int_equal(world_event(w, "StasisStart", OPENS, id, "{}"), 0);
	world_settle(w);
	loop_test_advance(w->loop, 60000);
	world_settle(w);
	hub_stats(w->hub, &stats);
	assert_int_equal(stats.dialogs_opened, 1);
	assert_int_equal(stats.dialogs, 0);
}

static void full_table_drops_the_oldest_unread_call_and_takes_a_new_one(void **state)
{
	struct hub_stats stats;
	struct stream_stats streams;
	struct world w;
	char first[64];

	world_create(&w, &(struct world_options){ .dialogs_max = 2, .manual_bus = true });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	(void)world_event(&w, "StasisEnd", OBJECT_ENDS, "c1", "{}");
	world_settle(&w);
	(void)snprintf(first, sizeof(first), "%s", w.dialog);
	(void)world_event(&w, "StasisStart", OPENS, "c2", "{}");
	world_settle(&w);
	loop_test_advance(w.loop, 10001);
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.dialogs, 1);
	assert_int_equal(stats.closed, 1);
	assert_int_equal(world_event(&w, "StasisStart", OPENS, "c3", "{}"), 0);
	world_settle(&w);
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.dialogs, 2);
	assert_int_equal(stats.closed, 0);
	assert_int_equal(stats.unread_dropped, 2);
	assert_int_equal(stats.dialogs_refused, 0);
	assert_int_equal(world_event(&w, "StasisStart", OPENS, "c4", "{}"), -ENOENT);
	streams_stats(w.streams, &streams);
	assert_int_equal(streams.streams, 1 + 2 * 3);
	/* The bus settles what is gone: nothing. */
	for (size_t i = 0; i < w.sent.n; i++)
		memory_port_settle(w.bus, w.sent.at[i], 0);
	world_settle(&w);
	world_destroy(&w);
}

static void unread_call_is_dropped_after_an_hour_but_not_while_the_bus_is_away(void **state)
{
	struct hub_stats stats;
	struct stream_stats streams;
	struct world w;

	world_create(&w, &(struct world_options){ .manual_bus = true });
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	(void)world_event(&w, "StasisEnd", OBJECT_ENDS, "c1", "{}");
	world_settle(&w);
	memory_port_up(w.bus, false);
	loop_test_advance(w.loop, 2 * 3600000);
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.closed, 1);
	memory_port_up(w.bus, true);
	world_settle(&w);
	assert_string_equal(world_sent(&w),
			    "AppStart StasisStart StasisEnd AppStart StasisStart StasisEnd");
	loop_test_advance(w.loop, 3600000);
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.closed, 0);
	assert_int_equal(stats.unread_dropped, 2);
	world_settle(&w);
	streams_stats(w.streams, &streams);
	assert_int_equal(streams.streams, 1);
	assert_int_equal(streams.messages_in_memory, 1); /* the AppStart */
	world_destroy(&w);
}

static void stop_closes_the_buses_when_nobody_asks_to_be_told(void **state)
{
	struct world w;

	world_create(&w, &(struct world_options){ 0 });
	hub_stop(w.hub, 3000, NULL, NULL);
	world_settle(&w);
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	world_settle(&w);
	assert_int_equal(w.sent.n, 0);
	world_destroy(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
		TEST(event_of_a_new_channel_opens_a_dialog),
		TEST(event_of_nobody_is_counted),
		TEST(event_keeps_its_bytes_and_counts_up),
		TEST(event_of_two_calls_goes_to_both),
		TEST(channel_that_replaces_another_joins_its_dialog),
		TEST(dialog_ends_after_the_linger),
		TEST(channel_that_comes_back_keeps_the_dialog),
		TEST(closed_dialog_leaves_nothing_behind),
		TEST(events_wait_while_the_bus_is_away),
		cmocka_unit_test(too_many_dialogs_are_refused_and_counted),
		cmocka_unit_test(closed_dialog_is_no_call_of_now),
		cmocka_unit_test(call_is_announced_only_once_the_bus_listens),
		cmocka_unit_test(full_bus_gets_everything_in_order),
		cmocka_unit_test(message_given_back_is_sent_again_first),
		TEST(call_that_ended_while_the_bus_was_away_is_told_later),
		cmocka_unit_test(appstart_goes_first_again_after_a_lost_link),
		TEST(event_of_too_many_calls_is_counted),
		TEST(call_whose_channel_cannot_be_kept_does_not_stay),
		cmocka_unit_test(full_table_drops_the_oldest_unread_call_and_takes_a_new_one),
		cmocka_unit_test(
			unread_call_is_dropped_after_an_hour_but_not_while_the_bus_is_away),
		cmocka_unit_test(stop_closes_the_buses_when_nobody_asks_to_be_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
