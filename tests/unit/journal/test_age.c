/* SPDX-License-Identifier: MIT */
/* The journal's clock: what a wall clock that is set does to ages (nothing). */
#include "fixture.h"

#include "base/log.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static const uint64_t week = UINT64_C(7) * DAY, year = UINT64_C(365) * DAY;

struct clocks {
	uint64_t wall, steady;
};

static uint64_t wall(void *arg)
{
	return ((struct clocks *)arg)->wall;
}

static uint64_t steady(void *arg)
{
	return ((struct clocks *)arg)->steady;
}

static struct age_clock clock_of(struct clocks *c)
{
	return (struct age_clock){ .wall_ms = wall, .steady_ms = steady, .arg = c, .dir = "test" };
}

static void start_is_bounded_by_the_newest_record(void **state)
{
	static const struct {
		const char *what;
		uint64_t newest;
		int64_t ahead;
		uint64_t want;
	} cases[] = {
		{ "nothing recorded: the wall clock", 0, 5, UINT64_C(1000) * DAY },
		{ "off for an hour", UINT64_C(1000) * DAY - HOUR, 0, UINT64_C(1000) * DAY },
		{ "off for ten days: one counts", UINT64_C(990) * DAY, 0, UINT64_C(991) * DAY },
		{ "set back while off", UINT64_C(2000) * DAY, 0, UINT64_C(2000) * DAY },
		{ "was ahead before, off for an hour", UINT64_C(990) * DAY - HOUR,
		  (int64_t)10 * DAY, UINT64_C(990) * DAY },
		{ "was behind before, off for an hour", UINT64_C(1010) * DAY - HOUR,
		  -(int64_t)10 * DAY, UINT64_C(1010) * DAY },
		{ "nonsense in the header", UINT64_C(990) * DAY, INT64_MIN, UINT64_C(990) * DAY },
		{ "a record from the end of time", (UINT64_C(1) << 48) - 1, 0,
		  (UINT64_C(1) << 48) - 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct clocks now = { UINT64_C(1000) * DAY, 77 };
		struct age_clock c = clock_of(&now);

		age_begin(&c, cases[i].newest, cases[i].ahead);
		if (age_now(&c) != cases[i].want)
			fail_msg("%s: %ju, not %ju", cases[i].what, (uintmax_t)age_now(&c),
				 (uintmax_t)cases[i].want);
		assert_int_equal(age_ahead(&c), (int64_t)(now.wall - cases[i].want));
	}
}

static void drift_is_followed_and_jumps_are_not(void **state)
{
	static const struct {
		const char *what;
		int64_t wall, steady, want;
	} steps[] = {
		{ "together", 1000, 1000, 1000 },
		{ "a second ahead: drift", 2000, 1000, 3000 },
		{ "which goes back", 0, 1000, 3000 },
		{ "never backwards", -2000, 1000, 3000 },
		{ "behind, and catching up", 3000, 1000, 4000 },
		{ "the machine slept a night", 8 * HOUR, 8 * HOUR, 8 * HOUR + 5000 },
		{ "a new hour: drift counts anew", MINUTE, 1000, 8 * HOUR + 5000 + MINUTE },
		{ "set ahead by a minute and more", MINUTE, 1000, 8 * HOUR + 5000 + MINUTE },
		{ "alone", 1000, 2000, 8 * HOUR + 7000 + MINUTE },
		{ "even when it is set back", -2 * MINUTE, 2000, 8 * HOUR + 9000 + MINUTE },
	};
	struct clocks now = { UINT64_C(1000) * DAY, 77 };
	struct age_clock c = clock_of(&now);
	unsigned long warned = log_count(LOG_WARN);
	uint64_t start = now.wall, was = start;

	age_begin(&c, 0, 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		uint64_t got;

		now.wall += (uint64_t)steps[i].wall;
		now.steady += (uint64_t)steps[i].steady;
		got = age_now(&c);
		if (got < was || got - start > (uint64_t)steps[i].want + 1000 ||
		    got - start + 1000 < (uint64_t)steps[i].want)
			fail_msg("%s: %jd, not %jd", steps[i].what, (intmax_t)(got - start),
				 (intmax_t)steps[i].want);
		was = got;
	}
	assert_int_equal(log_count(LOG_WARN), warned + 1);
}

static void many_small_steps_are_no_way_around(void **state)
{
	struct clocks now = { UINT64_C(1000) * DAY, 77 };
	struct age_clock c = clock_of(&now);
	uint64_t start = now.wall;

	age_begin(&c, 0, 0);
	for (int i = 0; i < 10000; i++) {
		now.wall += 59 * 1000;
		now.steady += 10;
		(void)age_now(&c);
	}
	assert_true(age_now(&c) - start < 100 * 1000 + 2 * MINUTE);
}

static void real_clocks_go_together(void **state)
{
	struct age_clock c = { .dir = "test" };
	uint64_t start;

	age_begin(&c, 0, 0);
	start = age_now(&c);
	assert_true(start > UINT64_C(1700000000000));
	assert_true(age_now(&c) - start < GUARD_US / 1000);
	assert_false(c.alone);
}

static struct jstream *kept_for_a_week(struct fx *fx)
{
	struct jstream *js = fx_stream(fx, "s");

	jstream_set_max_age(js, week);
	return js;
}

/* The round of age checks after `ms`. */
static uint64_t first_after(struct fx *fx, struct jstream *js, uint64_t ms)
{
	fx->wall_ms += ms;
	loop_test_advance(fx->loop, 20000);
	return jstream_first(js);
}

static void a_clock_set_ahead_expires_nothing(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = kept_for_a_week(fx);

	fx_settle(fx, fx_append(fx, js, "young"));
	fx->wall_set_ms = year;
	assert_int_equal(first_after(fx, js, 6 * DAY), 1);
	assert_int_equal(first_after(fx, js, DAY + MINUTE), 2);
}

static void a_clock_set_back_keeps_nothing_for_ever(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;

	fx->wall_ms = year;
	fx_reopen(fx);
	js = kept_for_a_week(fx);
	fx_settle(fx, fx_append(fx, js, "old"));
	fx->wall_set_ms = 0 - year / 2;
	fx_settle(fx, fx_append(fx, js, "of the same hour"));
	assert_int_equal(first_after(fx, js, 6 * DAY), 1);
	assert_int_equal(first_after(fx, js, DAY + MINUTE), 3);
}

static void restarts_with_a_wrong_clock_cost_one_day_together(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = kept_for_a_week(fx);
	uint64_t start = age_now(&fx->j->age);

	fx_settle(fx, fx_append(fx, js, "young"));
	fx->wall_set_ms = year;
	for (int i = 0; i < 20; i++) {
		fx->wall_ms += 1000;
		fx_reopen(fx);
		js = kept_for_a_week(fx);
		assert_int_equal(first_after(fx, js, 0), 1);
		assert_true(age_now(&fx->j->age) - start <= DAY + 20 * 1000);
	}
	/* Put right, and off for two hours meanwhile: no time is lost for good. */
	fx->wall_set_ms = 0;
	fx_reopen(fx);
	js = kept_for_a_week(fx);
	assert_int_equal(first_after(fx, js, 7 * DAY + MINUTE), 2);
}

static void time_without_a_daemon_counts(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = kept_for_a_week(fx);

	fx_settle(fx, fx_append(fx, js, "old"));
	assert_int_equal(first_after(fx, js, 6 * DAY), 1);
	fx_settle(fx, fx_append(fx, js, "young"));
	fx_close(fx);
	fx->wall_ms += DAY - MINUTE;
	fx_open(fx);
	js = kept_for_a_week(fx);
	assert_int_equal(first_after(fx, js, 0), 1);
	assert_int_equal(first_after(fx, js, 2 * MINUTE), 2);
}

/* What core/account.c keeps: states alone, no records. */
static void the_clock_goes_on_over_a_restart_for_states_too(void **state)
{
	struct fx *fx = *state;
	uint64_t start = journal_now_ms(fx->j), lsn;

	assert_int_equal(journal_put(fx->j, STR("session/x"), STR("1"), &lsn), 0);
	fx_settle(fx, lsn);
	fx->wall_ms += MINUTE;
	fx_reopen(fx);
	assert_int_equal(journal_now_ms(fx->j), start + MINUTE);
	fx->wall_set_ms = 0 - (uint64_t)(10 * MINUTE);
	fx_reopen(fx);
	assert_true(journal_now_ms(fx->j) >= start);
	fx->wall_set_ms = year;
	fx_reopen(fx);
	assert_true(journal_now_ms(fx->j) <= start + DAY + MINUTE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_is_bounded_by_the_newest_record),
		cmocka_unit_test(drift_is_followed_and_jumps_are_not),
		cmocka_unit_test(many_small_steps_are_no_way_around),
		cmocka_unit_test(real_clocks_go_together),
		FX_TEST(a_clock_set_ahead_expires_nothing),
		FX_TEST(a_clock_set_back_keeps_nothing_for_ever),
		FX_TEST(restarts_with_a_wrong_clock_cost_one_day_together),
		FX_TEST(time_without_a_daemon_counts),
		FX_TEST(the_clock_goes_on_over_a_restart_for_states_too),
	};

	log_setup(LOG_WARN, LOG_LOGFMT, fopen("/dev/null", "w")); /* counted, not shown */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
