/* SPDX-License-Identifier: MIT */
/* Borrowed bytes: comparing, cutting, numbers, durations, UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "base/str.h"

static void durations_are_read_as_people_write_them(void **state)
{
	static const struct {
		const char *what, *text;
		int rc;
		uint64_t ms;
	} cases[] = {
		{ "seconds", "15s", 0, 15000 },
		{ "milliseconds", "500ms", 0, 500 },
		{ "two units", "1h30m", 0, 5400000 },
		{ "days", "7d", 0, 604800000 },
		{ "a bare number is in seconds", "90", 0, 90000 },
		{ "zero", "0", 0, 0 },
		{ "empty", "", -EINVAL, 0 },
		{ "no unit behind the second", "1h30", -EINVAL, 0 },
		{ "no number", "s", -EINVAL, 0 },
		{ "unknown unit", "5w", -EINVAL, 0 },
		{ "a sign", "-5s", -EINVAL, 0 },
		{ "a fraction", "1.5s", -EINVAL, 0 },
		{ "a space", "5 s", -EINVAL, 0 },
		{ "too long", "40000d", -ERANGE, 0 },
		{ "over 64 bits", "99999999999999999999s", -ERANGE, 0 },
		{ "over 64 bits by its unit", "18446744073709551615d", -ERANGE, 0 },
		{ "too long in sum", "36525d36525d", -ERANGE, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t ms = 0;
		int rc = str_duration_ms(str_from(cases[i].text), &ms);

		if (rc != cases[i].rc || (rc == 0 && ms != cases[i].ms))
			fail_msg("%s: %d, %lu", cases[i].what, rc, (unsigned long)ms);
	}
}

static void numbers_stop_at_64_bits(void **state)
{
	uint64_t v;

	assert_int_equal(str_u64(STR("18446744073709551615"), &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(str_u64(STR("18446744073709551616"), &v), -ERANGE);
	assert_int_equal(str_u64(STR(""), &v), -EINVAL);
	assert_int_equal(str_u64(STR("+1"), &v), -EINVAL);
	assert_int_equal(str_u64(STR("1 "), &v), -EINVAL);
}

static void cut_takes_what_is_before_the_separator(void **state)
{
	struct str rest = STR("a,,b");

	assert_true(str_eq(str_cut(&rest, ','), STR("a")));
	assert_true(str_eq(str_cut(&rest, ','), STR("")));
	assert_true(str_eq(str_cut(&rest, ','), STR("b")));
	assert_null(rest.p);
}

static void parts_are_compared_and_found(void **state)
{
	assert_true(str_starts(STR("commands_x"), STR("commands_")));
	assert_false(str_starts(STR("com"), STR("commands_")));
	assert_true(str_ends(STR("call.xml"), STR(".xml")));
	assert_false(str_ends(STR("l"), STR(".xml")));
	assert_true(str_eq_nocase(STR("Content-TYPE"), STR("content-type")));
	assert_false(str_eq_nocase(STR("a"), STR("ab")));
	assert_true(str_cmp(STR("CallSid"), STR("CallStatus")) < 0);
	assert_true(str_cmp(STR("a"), STR("ab")) < 0);
	assert_int_equal(str_find(STR("abc"), 'c'), 2);
	assert_int_equal(str_find(STR("abc"), 'x'), 3);
	assert_int_equal(str_find_str(STR("abcabd"), STR("abd")), 3);
	assert_int_equal(str_find_str(STR(""), STR("")), 0);
	assert_true(str_eq(str_trim(STR(" \t a b\r\n")), STR("a b")));
	assert_true(str_eq(str_skip(STR("abc"), 9), STR("")));
}

static void utf8_is_told_from_what_is_not(void **state)
{
	static const struct {
		const char *what, *text;
		bool ok;
	} cases[] = {
		{ "ASCII", "abc", true },
		{ "two bytes", "\xc3\xa4", true },
		{ "three bytes", "\xe2\x82\xac", true },
		{ "four bytes", "\xf0\x9f\x93\x9e", true },
		{ "last code point", "\xf4\x8f\xbf\xbf", true },
		{ "over the last", "\xf4\x90\x80\x80", false },
		{ "overlong two", "\xc0\xaf", false },
		{ "overlong three", "\xe0\x80\xaf", false },
		{ "overlong four", "\xf0\x80\x80\xaf", false },
		{ "surrogate", "\xed\xa0\x80", false },
		{ "lone continuation", "\x80", false },
		{ "cut", "\xe2\x82", false },
		{ "0xff", "\xff", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (str_is_utf8(str_from(cases[i].text)) != cases[i].ok)
			fail_msg("%s", cases[i].what);
}

static void copy_ends_in_nul_and_hash_follows_the_bytes(void **state)
{
	char *c = str_dup(str_make("abcdef", 3));

	assert_string_equal(c, "abc");
	assert_true(str_hash(str_from(c)) == str_hash(STR("abc")));
	assert_true(str_hash(STR("abc")) != str_hash(STR("abd")));
	assert_true(str_hash(STR("")) != str_hash(str_make("\0", 1)));
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read_as_people_write_them),
		cmocka_unit_test(numbers_stop_at_64_bits),
		cmocka_unit_test(cut_takes_what_is_before_the_separator),
		cmocka_unit_test(parts_are_compared_and_found),
		cmocka_unit_test(utf8_is_told_from_what_is_not),
		cmocka_unit_test(copy_ends_in_nul_and_hash_follows_the_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
