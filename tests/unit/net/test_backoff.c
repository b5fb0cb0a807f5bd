/* SPDX-License-Identifier: MIT */
/* Delays: their bounds, their growth, and that they differ. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "net/backoff.h"

static void delays_double_up_to_the_maximum(void **state)
{
	static const uint64_t full[] = { 100, 200, 400, 800, 1000, 1000, 1000 };
	struct backoff b;

	for (int round = 0; round < 100; round++) {
		backoff_init(&b, 100, 1000);
		for (size_t i = 0; i < sizeof(full) / sizeof(full[0]); i++)
			assert_in_range(backoff_next_ms(&b), full[i] / 2, full[i]);
		backoff_reset(&b);
		assert_in_range(backoff_next_ms(&b), 50, 100);
	}
}

static void delays_are_jittered(void **state)
{
	struct backoff b;
	uint64_t low = UINT64_MAX, high = 0;

	for (int i = 0; i < 1000; i++) {
		uint64_t ms;

		backoff_init(&b, 1000, 1000);
		ms = backoff_next_ms(&b);
		low = ms < low ? ms : low;
		high = ms > high ? ms : high;
	}
	assert_in_range(low, 500, 600);
	assert_in_range(high, 900, 1000);
}

static void odd_settings_still_give_delays(void **state)
{
	struct backoff b;

	backoff_init(&b, 0, 0);
	for (int i = 0; i < 5; i++)
		assert_in_range(backoff_next_ms(&b), 0, 1);
	backoff_init(&b, 500, 100);
	for (int i = 0; i < 5; i++)
		assert_in_range(backoff_next_ms(&b), 250, 500);
	backoff_init(&b, 1, UINT64_MAX);
	for (int i = 0; i < 200; i++)
		(void)backoff_next_ms(&b);
	assert_true(b.next_ms == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delays_double_up_to_the_maximum),
		cmocka_unit_test(delays_are_jittered),
		cmocka_unit_test(odd_settings_still_give_delays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
