/* SPDX-License-Identifier: MIT */
/* The doctor's findings as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "doctor_text.h"

static void findings_have_their_level_and_fix(void **state)
{
	cJSON *list = cJSON_Parse(
		"[{\"id\":\"daemon\",\"level\":\"ok\",\"what\":\"runs\",\"fix\":\"\"},"
		"{\"id\":\"clock\",\"level\":\"warn\",\"what\":\"jumped\",\"fix\":\"ntp\"},"
		"{\"id\":\"links\",\"level\":\"fail\",\"what\":\"gone\\u001b\",\"fix\":\"look\"},"
		"{\"id\":\"new\",\"level\":\"dire\",\"what\":\"x\"}, 7]");
	auto_buf struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(doctor_text(list, false, &out), 1);
	assert_int_equal(buf_addc(&out, 0), 0);
	assert_string_equal(buf_str(&out).p, "ok    daemon                runs\n"
					     "WARN  clock                 jumped\n"
					     "      fix: ntp\n"
					     "FAIL  links                 gone?\n"
					     "      fix: look\n"
					     "WARN  new                   x\n"
					     "WARN                        \n"
					     "1 ok, 3 warnings, 1 failed\n");
	cJSON_Delete(list);
}

static void listen_addresses_are_read_from_the_print(void **state)
{
	static const struct {
		const char *print, *addresses;
	} cases[] = {
		{ "node: x\nhttp:\n  listen:\n    - 127.0.0.1:1\n    - \"[::1]:2\"\n  max: 1\n",
		  "127.0.0.1:1 [::1]:2 " },
		{ "node: x\nhttp:\n  listen:\n    - 127.0.0.1:1", "127.0.0.1:1 " },
		{ "node: x\nhttp:\n  listen: []\nadmin:\n  listen: unix:/x\n", "" },
		{ "node: x\n", "" },
		{ "", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str rest = str_from(cases[i].print), address;
		auto_buf struct buf out;

		buf_init(&out, 4096);
		while (doctor_next_listen(&rest, &address))
			assert_int_equal(buf_addf(&out, "%.*s ", STR_ARG(address)), 0);
		assert_true(str_eq(buf_str(&out), str_from(cases[i].addresses)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(findings_have_their_level_and_fix),
		cmocka_unit_test(listen_addresses_are_read_from_the_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
