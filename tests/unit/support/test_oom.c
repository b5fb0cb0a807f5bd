/* SPDX-License-Identifier: MIT */
/* The replay of allocation failures finds what it shall find: a program with known faults is replayed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char said[1 << 17];

/* What the victim's replay prints; run once. */
static const char *replayed(void)
{
	FILE *f;
	size_t n;

	if (said[0])
		return said;
	oom_pause();
	f = popen(
		"VOXBUS_OOM=most VOXBUS_OOM_LIMIT_MS=1500 ASAN_OPTIONS=detect_leaks=1 " OOM_VICTIM,
		"r");
	assert_non_null(f);
	n = fread(said, 1, sizeof(said) - 1, f);
	assert_int_not_equal(pclose(f), 0);
	oom_resume();
	assert_true(n > 0);
	return said;
}

static void assert_found(const char *test, const char *what)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "[  FAILED  ] %s\n", test);
	if (!strstr(replayed(), line))
		fail_msg("%s is not found in: %s", test, said);
	(void)snprintf(line, sizeof(line), "%s: allocation %s", test, what);
	if (!strstr(said, line))
		fail_msg("'%s' is not found in: %s", line, said);
}

static void each_fault_of_the_victim_is_found(void **state)
{
	assert_found("memory_is_used_unchecked", "0 fails: ");
	assert_found("it_gives_up_in_the_middle", "0 fails: dies of signal 6");
	assert_found("it_waits_for_ever", "0 fails: hangs");
	assert_found("a_descriptor_stays_open", "0 fails: leaves a descriptor open");
	assert_found("two_in_a_row_are_fatal", "0 and all after it fails: ");
	assert_null(strstr(said, "two_in_a_row_are_fatal: allocation 0 fails"));
	assert_found("what_is_gone_is_written_to", "1 fails: ");
	assert_found("it_is_freed_twice", "1 fails: ");
	assert_found("what_was_made_before_is_lost", "1 fails: loses memory");
	assert_found("a_lost_thing_hides_behind_a_passed_test", "1 fails: loses memory");
}

static void what_has_no_fault_is_said_to_be_well(void **state)
{
	assert_non_null(strstr(replayed(), "[       OK ] all_is_well\n"));
	assert_null(strstr(said, "all_is_well: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_fault_of_the_victim_is_found),
		cmocka_unit_test(what_has_no_fault_is_said_to_be_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
