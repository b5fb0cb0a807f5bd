/* SPDX-License-Identifier: MIT */
/* Events that stay after they were delivered, and are given out again. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/replay.h"
#include "core/stream.h"
#include "core_test.h"

enum { OPENS = OBJECT_OPENS | OBJECT_BINDS, KEEP = 60000, LINGER = 1000 };

static uint64_t wall_ms;

uint64_t __real_clock_wall_ns(void);
uint64_t __wrap_clock_wall_ns(void);
uint64_t __wrap_clock_wall_ns(void)
{
	return __real_clock_wall_ns() + wall_ms * 1000000;
}

static const struct world_options keeping = { .application = { .keep_ms = KEEP },
					      .linger_ms = LINGER };

/* Time for both clocks. */
static void pass(struct world *w, uint64_t ms)
{
	wall_ms += ms;
	loop_test_advance(w->loop, ms);
	world_settle(w);
}

static void wait_sent(struct world *w, size_t n)
{
	for (int i = 0; w->sent.n < n && i < 1000; i++) {
		(void)usleep(1000);
		world_settle(w);
	}
}

static int replay(struct world *w, const char *topic, uint64_t speed, struct replay_view *ret,
		  struct err *e)
{
	struct replay_options o = { .dialog = str_from(w->dialog),
				    .topic = str_from(topic),
				    .speed = speed };

	return hub_replay(w->hub, &o, ret, e);
}

static void begin(struct world *w, uint64_t speed, uint64_t events)
{
	struct replay_view view;
	struct err e = { "" };

	got_clear(&w->sent);
	if (replay(w, "", speed, &view, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(view.events, events);
	assert_int_equal(view.first, 1);
}

static void call(struct world *w, const struct world_options *o)
{
	world_create(w, o);
	(void)world_event(w, "StasisStart", OPENS, "c1", "{\"a\":1}");
	(void)world_event(w, "ChannelVarset", 0, "c1", "{\"b\":2}");
	(void)world_event(w, "ChannelHold", 0, "c1", "{\"c\":3}");
	world_settle(w);
}

static int setup(void **state)
{
	static struct world w;

	call(&w, &keeping);
	*state = &w;
	return 0;
}

static void delivered_events_are_given_out_again(void **state)
{
	struct world *w = *state;
	char topic[80];
	int n = snprintf(topic, sizeof(topic), "replay_%s", w->dialog);

	begin(w, 0, 3);
	(void)world_event(w, "ChannelUnhold", 0, "c1", "{}"); /* live: not of the replay */
	world_settle(w);
	assert_int_equal(w->sent.n, 4);
	for (size_t i = 0, seq = 1; i < w->sent.n; i++) {
		const struct msg *m = w->sent.at[i];

		if (!(m->flags & MSG_REPLAYED)) {
			assert_true(str_eq(m->type, STR("ChannelUnhold")));
			continue;
		}
		assert_true(str_eq(m->topic, str_make(topic, (size_t)n)));
		assert_true(str_eq(m->dialog, str_from(w->dialog)));
		assert_int_equal(m->seq, seq);
		assert_int_equal(m->answers, seq++);
		assert_int_equal(blob_str(m->payload).n, 7);
	}
	/* And again, under another name. */
	pass(w, 1000);
	got_clear(&w->sent);
	assert_int_equal(replay(w, "again", 0, &(struct replay_view){ 0 }, NULL), 0);
	world_settle(w);
	assert_string_equal(world_sent(w), "StasisStart ChannelVarset ChannelHold ChannelUnhold");
	assert_true(str_eq(w->sent.at[0]->topic, STR("again")));
}

static void kept_events_go_when_their_time_is_over(void **state)
{
	struct world *w = *state;
	struct err e;

	(void)world_event(w, "StasisEnd", OBJECT_LEAVES, "c1", "{}");
	world_settle(w);
	pass(w, LINGER);
	assert_int_equal(world_hub_stats(w).closed, 1);
	pass(w, KEEP - 5000);
	begin(w, 0, 4);
	world_settle(w);
	assert_int_equal(w->sent.n, 4);
	pass(w, 6000);
	assert_int_equal(world_hub_stats(w).closed, 0);
	assert_int_equal(world_hub_stats(w).unread_dropped, 0);
	assert_int_equal(replay(w, "", 0, &(struct replay_view){ 0 }, &e), -ENOENT);
}

/* The clock of the wall runs besides, so what was recorded is a little longer: LATE at most. */
static void pace_is_that_of_then(void **state)
{
	enum { LATE = 60 };
	static const uint64_t gaps[] = { 400, 1600, 3000 };
	static const struct {
		uint64_t speed, due[3]; /* ms after the first */
	} cases[] = { { 1000, { 400, 2000, 5000 } },
		      { 500, { 800, 4000, 10000 } },
		      { 10000, { 40, 200, 500 } } };
	struct world w;

	wall_ms = 0;
	world_create(&w, &keeping);
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	for (int i = 0; i < 3; i++) {
		pass(&w, gaps[i]);
		(void)world_event(&w, "Next", 0, "c1", "{}");
	}
	world_settle(&w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t at = 0;

		begin(&w, cases[i].speed, 4);
		world_settle(&w);
		for (size_t k = 0; k < 3; k++) {
			pass(&w, cases[i].due[k] - 1 - at);
			assert_int_equal(w.sent.n, k + 1);
			pass(&w, 1 + LATE);
			assert_int_equal(w.sent.n, k + 2);
			at = cases[i].due[k] + LATE;
		}
		pass(&w, 1000);
	}
	world_destroy(&w);
}

static void delivered_and_not_kept_is_not_there(void **state)
{
	struct world w;
	struct err e;

	call(&w, &(struct world_options){ .linger_ms = LINGER });
	assert_int_equal(replay(&w, "", 0, &(struct replay_view){ 0 }, &e), -ENODATA);
	assert_non_null(strstr(e.text, "keep"));
	memory_port_up(w.bus, false);
	(void)world_event(&w, "ChannelUnhold", 0, "c1", "{}");
	world_settle(&w);
	got_clear(&w.sent);
	assert_int_equal(replay(&w, "", 0, &(struct replay_view){ 0 }, &e), 0);
	memory_port_up(w.bus, true);
	world_settle(&w);
	assert_string_equal(world_sent(&w), "ChannelUnhold ChannelUnhold");
	world_destroy(&w);
}

static void what_can_not_be_is_refused_with_a_sentence(void **state)
{
	static const char *const topics[] = { "app", "events_x", "commands_x", "responses_x",
					      "a b", "a/b",      "calls.xml",  "\xc3\xa4" };
	struct world *w = *state;
	struct replay_view view;
	char long_topic[300];
	struct err e;

	for (size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++) {
		e.text[0] = '\0';
		if (replay(w, topics[i], 0, &view, &e) != -EINVAL || !e.text[0])
			fail_msg("%s", topics[i]);
	}
	(void)snprintf(long_topic, sizeof(long_topic), "%0250d", 1);
	assert_int_equal(replay(w, long_topic, 0, &view, &e), -EINVAL);
	assert_int_equal(replay(w, "t", 1, &view, &e), 0);
	assert_int_equal(replay(w, "t", 1, &view, &e), -EBUSY);
	for (int i = 1; i < 16; i++) {
		(void)snprintf(long_topic, sizeof(long_topic), "t%d", i);
		assert_int_equal(replay(w, long_topic, 1, &view, &e), 0);
	}
	assert_int_equal(replay(w, "one-too-many", 1, &view, &e), -EBUSY);
	memcpy(w->dialog, "nobody", 7);
	assert_int_equal(replay(w, "x", 0, &view, &e), -ENOENT);
}

static void slow_reader_slows_it_down(void **state)
{
	struct world_options o = keeping;
	struct world w;
	size_t got = 0;

	world_create(&w, &o);
	(void)world_event(&w, "StasisStart", OPENS, "c1", "{}");
	for (int i = 1; i < 1000; i++) {
		(void)world_event(&w, "Next", 0, "c1", "{}");
		if (i % 100 == 0)
			world_settle(&w);
		if (i % 100 == 0)
			got_clear(&w.sent);
	}
	world_settle(&w);
	w.bus_conf.manual = true;
	begin(&w, 0, 1000);
	for (int i = 0; got < 1000 && i < 100; i++) {
		pass(&w, 100);
		assert_true(w.sent.n <= 256);
		for (size_t k = 0; k < w.sent.n; k++) {
			assert_int_equal(w.sent.at[k]->answers, ++got);
			memory_port_settle(w.bus, w.sent.at[k], 0);
		}
		got_clear(&w.sent);
	}
	assert_int_equal(got, 1000);
	world_destroy(&w);
}

static void call_that_goes_meanwhile_ends_the_replay(void **state)
{
	struct world_options o = keeping;
	struct world w;

	o.dialogs_max = 2;
	call(&w, &o);
	pass(&w, 500);
	(void)world_event(&w, "StasisEnd", OBJECT_LEAVES, "c1", "{}");
	pass(&w, LINGER);
	begin(&w, 1, 4);
	world_settle(&w);
	assert_in_range(w.sent.n, 1, 3);
	(void)world_event(&w, "StasisStart", OPENS, "c2", "{}");
	(void)world_event(&w, "StasisStart", OPENS, "c3",
			  "{}"); /* it takes the first one's place */
	world_settle(&w);
	pass(&w, 100);
	assert_int_equal(world_hub_stats(&w).closed, 0);
	begin(&w, 0, 1); /* of the newest */
	world_settle(&w);
	world_destroy(&w);
}

static void restart_delivers_no_kept_event_again(void **state)
{
	struct world_options o = keeping;
	char dir[64], first[64];
	struct world w;

	dir_make(dir);
	o.dir = dir;
	call(&w, &o);
	memcpy(first, w.dialog, sizeof(first));
	(void)world_event(&w, "StasisEnd", OBJECT_LEAVES, "c1", "{}");
	(void)world_event(&w, "StasisStart", OPENS, "c2", "{}");
	pass(&w, LINGER);
	pass(&w, 1000);
	world_destroy(&w);
	world_create(&w, &o);
	for (int i = 0; i < 50; i++) {
		(void)usleep(1000);
		world_settle(&w);
	}
	assert_int_equal(w.sent.n, 0);
	assert_int_equal(world_hub_stats(&w).closed, 1);
	assert_int_equal(world_hub_stats(&w).dialogs, 1);
	(void)world_event(&w, "ChannelHold", 0, "c2", "{}");
	wait_sent(&w, 1);
	assert_string_equal(world_sent(&w), "ChannelHold");
	memcpy(w.dialog, first, sizeof(first));
	begin(&w, 0, 4);
	wait_sent(&w, 4);
	assert_string_equal(world_sent(&w), "StasisStart ChannelVarset ChannelHold StasisEnd");
	/* The time that is kept goes on over the restart. */
	pass(&w, KEEP - 1000);
	pass(&w, 5000);
	assert_int_equal(world_hub_stats(&w).closed, 0);
	world_destroy(&w);
	/* Who no longer keeps, has nothing of it delivered again. */
	o.application.keep_ms = 0;
	world_create(&w, &o);
	for (int i = 0; i < 50; i++) {
		(void)usleep(1000);
		world_settle(&w);
	}
	assert_int_equal(w.sent.n, 0);
	world_destroy(&w);
	dir_remove(dir);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		CASE(delivered_events_are_given_out_again),
		CASE(kept_events_go_when_their_time_is_over),
		cmocka_unit_test(pace_is_that_of_then),
		cmocka_unit_test(delivered_and_not_kept_is_not_there),
		CASE(what_can_not_be_is_refused_with_a_sentence),
		cmocka_unit_test(slow_reader_slows_it_down),
		cmocka_unit_test(call_that_goes_meanwhile_ends_the_replay),
		cmocka_unit_test(restart_delivers_no_kept_event_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
