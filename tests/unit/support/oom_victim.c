/* SPDX-License-Identifier: MIT */
/*
 * Not a test of the daemon but of the replay (test_oom.c): each test but the last is good as long as there
 * is memory, and has one of the faults that the replay must find.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "oom_victim.h"

static void memory_is_used_unchecked(void **state)
{
	volatile char *p = careless_alloc(10);

	p[0] = 'x';
	free((void *)p);
}

static void what_was_made_before_is_lost(void **state)
{
	void *pair[2];

	assert_int_equal(careless_pair(pair), 0);
	free(pair[0]);
	free(pair[1]);
}

static void a_lost_thing_hides_behind_a_passed_test(void **state)
{
	void *pair[2];

	if (careless_pair(pair) < 0)
		return;
	free(pair[0]);
	free(pair[1]);
}

static void a_descriptor_stays_open(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	void *p = careless_alloc(10);

	if (!p)
		return;
	free(p);
	(void)close(fd);
}

static void it_gives_up_in_the_middle(void **state)
{
	void *p = careless_alloc(10);

	if (!p)
		abort();
	free(p);
}

static void it_waits_for_ever(void **state)
{
	void *p = careless_alloc(10);

	while (!p)
		(void)pause();
	free(p);
}

static void two_in_a_row_are_fatal(void **state)
{
	char *p = careless_alloc(10);

	if (!p) {
		p = careless_alloc(5);
		p[0] = 'x';
	}
	free(p);
}

static void what_is_gone_is_written_to(void **state)
{
	char *volatile first = careless_alloc(10), *second = careless_alloc(10);

	free(first);
	if (!second)
		first[0] = 'x';
	free(second);
}

static void it_is_freed_twice(void **state)
{
	char *volatile first = careless_alloc(10), *second = careless_alloc(10);

	free(first);
	if (!second)
		free(first);
	free(second);
}

static void all_is_well(void **state)
{
	struct buf b;

	buf_init(&b, 100);
	assert_int_equal(buf_add(&b, STR("all is well")), 0);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_used_unchecked),
		cmocka_unit_test(what_was_made_before_is_lost),
		cmocka_unit_test(a_lost_thing_hides_behind_a_passed_test),
		cmocka_unit_test(a_descriptor_stays_open),
		cmocka_unit_test(it_gives_up_in_the_middle),
		cmocka_unit_test(it_waits_for_ever),
		cmocka_unit_test(two_in_a_row_are_fatal),
		cmocka_unit_test(what_is_gone_is_written_to),
		cmocka_unit_test(it_is_freed_twice),
		cmocka_unit_test(all_is_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
