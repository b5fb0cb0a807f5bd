/* SPDX-License-Identifier: MIT */
/* The table printer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "table.h"

static const struct table_column columns[] = { { "NAME", false }, { "N", true }, { "WHY", false } };

static struct table *make(void)
{
	struct table *t = table_create(columns, 3);

	assert_non_null(t);
	return t;
}

static void assert_table(struct table *t, bool bold, const char *text)
{
	auto_buf struct buf out;

	buf_init(&out, 65536);
	assert_int_equal(table_write(t, bold, &out), 0);
	assert_int_equal(buf_addc(&out, 0), 0);
	assert_string_equal(buf_str(&out).p, text);
	assert_null(table_destroy(t));
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	struct table *t = make();

	table_add(t, STR("a"));
	table_addf(t, "%d", 1);
	table_add(t, STR("because"));
	table_add(t, STR("longer"));
	table_addf(t, "%d", 1234);
	table_add(t, STR(""));
	assert_table(t, false, "NAME       N  WHY\na          1  because\nlonger  1234\n");
}

static void an_empty_table_has_its_titles(void **state)
{
	assert_table(make(), true, "\x1b[1mNAME  N  WHY\x1b[0m\n");
}

static void characters_count_and_not_bytes(void **state)
{
	struct table *t = make();

	table_add(t, STR("J\xc3\xbcrgen"));
	table_add(t, STR("1"));
	table_add(t, STR("x"));
	table_add(t, STR("Peter"));
	table_add(t, STR("2"));
	table_add(t, STR("y"));
	assert_table(t, false, "NAME    N  WHY\nJ\xc3\xbcrgen  1  x\nPeter   2  y\n");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{ "a\x1b[31mb", "a?[31mb" },
		{ "a\nb\tc\x7f", "a?b?c?" },
		{ "\xc2\x9b"
		  "31m",
		  "?31m" },
		{ "\xc3\xbc", "\xc3\xbc" },
		{ "\xff\xfe", "??" },
		{ "\xc2", "?" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auto_buf struct buf out;

		buf_init(&out, 100);
		assert_int_equal(text_add_clean(&out, str_from(cases[i].text)), 0);
		assert_true(str_eq(buf_str(&out), str_from(cases[i].shown)));
	}
}

static void a_row_that_is_not_whole_is_not_shown(void **state)
{
	struct table *t = make();

	table_add(t, STR("a"));
	assert_table(t, false, "NAME  N  WHY\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
		cmocka_unit_test(an_empty_table_has_its_titles),
		cmocka_unit_test(characters_count_and_not_bytes),
		cmocka_unit_test(control_characters_do_not_reach_the_terminal),
		cmocka_unit_test(a_row_that_is_not_whole_is_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
