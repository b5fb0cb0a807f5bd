/* SPDX-License-Identifier: MIT */
/* The metrics emitter: what it writes is Prometheus text format, whatever it is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "api/metrics.h"

static const struct metric up = { METRIC_GAUGE, "voxbus_up", "Whether it works." };
static const struct metric events = { METRIC_COUNTER, "voxbus_events", "Events." };

static void assert_written(struct metrics *m, const char *text)
{
	auto_buf struct buf out;

	buf_init(&out, 65536);
	assert_int_equal(metrics_write(m, &out), 0);
	assert_int_equal(buf_addc(&out, 0), 0);
	assert_string_equal(buf_str(&out).p, text);
}

static void nothing_added_is_nothing_written(void **state)
{
	auto_buf struct buf out;
	struct metrics *m;

	buf_init(&out, 100);
	assert_int_equal(metrics_create(&m), 0);
	assert_int_equal(metrics_write(m, &out), 0);
	assert_int_equal(buf_len(&out), 0);
	assert_null(metrics_destroy(m));
	assert_null(metrics_destroy(NULL));
}

static void samples_of_a_family_come_together(void **state)
{
	struct metric_label a = { "port", STR("a") }, b = { "port", STR("b") };
	struct metrics *m;

	assert_int_equal(metrics_create(&m), 0);
	metrics_add(m, &up, &a, 1, 1);
	metrics_add(m, &events, &a, 1, 10);
	metrics_add(m, &up, &b, 1, 0);
	metrics_add(m, &events, &b, 1, 0.5);
	assert_written(m, "# HELP voxbus_up Whether it works.\n# TYPE voxbus_up gauge\n"
			  "voxbus_up{port=\"a\"} 1\nvoxbus_up{port=\"b\"} 0\n"
			  "# HELP voxbus_events_total Events.\n# TYPE voxbus_events_total counter\n"
			  "voxbus_events_total{port=\"a\"} 10\n"
			  "voxbus_events_total{port=\"b\"} 0.500000\n");
	metrics_destroy(m);
}

static void labels_and_help_are_escaped(void **state)
{
	struct metric odd = { METRIC_GAUGE, "voxbus_9 lives-é", "a \\ b\nc \"d\"" };
	struct metric_label labels[] = { { "the label", STR("a\"b\\c\nd") }, { "9", STR("\xff") } };
	struct metrics *m;

	assert_int_equal(metrics_create(&m), 0);
	metrics_add(m, &odd, labels, 2, 1);
	assert_written(m, "# HELP voxbus_9_lives___ a \\\\ b\\nc \"d\"\n"
			  "# TYPE voxbus_9_lives___ gauge\n"
			  "voxbus_9_lives___{the_label=\"a\\\"b\\\\c\\nd\",_=\"?\"} 1\n");
	metrics_destroy(m);
}

static void a_second_sample_of_a_series_is_dropped(void **state)
{
	struct metrics *m;

	assert_int_equal(metrics_create(&m), 0);
	metrics_add(m, &up, NULL, 0, 1);
	metrics_add(m, &up, NULL, 0, 2);
	assert_written(m,
		       "# HELP voxbus_up Whether it works.\n# TYPE voxbus_up gauge\nvoxbus_up 1\n");
	metrics_destroy(m);
}

static void a_counter_that_has_its_suffix_keeps_it(void **state)
{
	struct metric total = { METRIC_COUNTER, "voxbus_x_total", "X." };
	struct metrics *m;

	assert_int_equal(metrics_create(&m), 0);
	metrics_add(m, &total, NULL, 0, 9007199254740992.0);
	metrics_add(m, &up, NULL, 0, 1e18);
	assert_written(m, "# HELP voxbus_x_total X.\n# TYPE voxbus_x_total counter\n"
			  "voxbus_x_total 9007199254740992\n"
			  "# HELP voxbus_up Whether it works.\n# TYPE voxbus_up gauge\n"
			  "voxbus_up 1000000000000000000.000000\n");
	metrics_destroy(m);
}

static void too_many_samples_are_an_error(void **state)
{
	auto_buf struct buf out;
	struct metrics *m;
	char name[16];

	buf_init(&out, 4 << 20);
	assert_int_equal(metrics_create(&m), 0);
	for (int i = 0; i <= METRICS_SAMPLES_MAX; i++) {
		struct metric_label label = { "i", { name, 0 } };

		(void)snprintf(name, sizeof(name), "%d", i);
		label.value.n = strlen(name);
		metrics_add(m, &up, &label, 1, i);
	}
	assert_true(metrics_write(m, &out) < 0);
	metrics_destroy(m);
}

static void a_full_buffer_is_an_error(void **state)
{
	struct metrics *m;

	assert_int_equal(metrics_create(&m), 0);
	metrics_add(m, &up, NULL, 0, 1);
	for (size_t max = 0; max < 70; max++) {
		auto_buf struct buf out;

		buf_init(&out, max);
		assert_true(metrics_write(m, &out) < 0);
	}
	metrics_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_added_is_nothing_written),
		cmocka_unit_test(samples_of_a_family_come_together),
		cmocka_unit_test(labels_and_help_are_escaped),
		cmocka_unit_test(a_second_sample_of_a_series_is_dropped),
		cmocka_unit_test(a_counter_that_has_its_suffix_keeps_it),
		cmocka_unit_test(too_many_samples_are_an_error),
		cmocka_unit_test(a_full_buffer_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
