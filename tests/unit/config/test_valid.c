/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "config/valid.h"

struct value {
	const char *text;
	bool good;
};

static void check(bool (*valid)(struct str), const struct value *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (valid(str_from(values[i].text)) != values[i].good)
			fail_msg("\"%s\" must be %s", values[i].text,
				 values[i].good ? "accepted" : "refused");
	}
}

static void addresses_look_like_addresses(void **state)
{
	static const struct value values[] = {
		{ "127.0.0.1:8090", true },
		{ "[::1]:8090", true },
		{ "[::]:0", true },
		{ "localhost:80", true },
		{ "unix:/run/x", true },
		{ "a-b.example.com:1", true },
		{ "", false },
		{ ":80", false },
		{ "127.0.0.1", false },
		{ "127.0.0.1:", false },
		{ "127.0.0.1:x", false },
		{ "127.0.0.1:65536", false },
		{ "127.0.0:80", false },
		{ "[::1]", false },
		{ "[::1:80", false },
		{ "[]:80", false },
		{ "::1:80", false },
		{ "unix:", false },
		{ "unix:/", false },
		{ "unix:relative", false },
		{ "a b:80", false },
		{ "http://x:80", false },
		{ "-x:80", false },
		{ "x:000080", false },
	};

	check(valid_address, values, sizeof(values) / sizeof(*values));
}

static void listeners_may_have_a_scheme(void **state)
{
	static const struct value values[] = {
		{ "127.0.0.1:8090", true },
		{ "http://127.0.0.1:8090", true },
		{ "https://[::]:8443", true },
		{ "unix:/run/x", true },
		{ "https://unix:/run/x", false },
		{ "http://unix:/run/x", false },
		{ "https://", false },
		{ "https://127.0.0.1:8443/", false },
		{ "ftp://127.0.0.1:21", false },
		{ "HTTPS://127.0.0.1:8443", false },
	};

	check(valid_listen, values, sizeof(values) / sizeof(*values));
}

static void urls_are_http(void **state)
{
	static const struct value values[] = {
		{ "http://127.0.0.1:8088/ari", true },
		{ "http://pbx/ari", true },
		{ "http://[::1]:8088/ari/", true },
		{ "http://pbx", true },
		{ "https://pbx/ari", true },
		{ "https://pbx:8089/ari", true },
		{ "httpss://pbx/ari", false },
		{ "https:/pbx/ari", false },
		{ "pbx/ari", false },
		{ "http://", false },
		{ "http:///ari", false },
		{ "http://u:p@pbx/ari", false },
		{ "http://pbx/ari?x=1", false },
		{ "http://pbx:0/ari", false },
		{ "http://pbx/a b", false },
		{ "http://pbx/#f", false },
		{ "http://[::1", false },
	};

	check(valid_http_url, values, sizeof(values) / sizeof(*values));
}

static void names_and_sids_have_their_characters(void **state)
{
	static const struct value names[] = {
		{ "pbx1.example-2_a", true }, { "", false }, { "a b", false }, { "a/b", false },
		{ "\xc3\xa4", false },
	};
	static const struct value sids[] = {
		{ "AC948550ad81934a1a9bcd33b689c0c236", true },
		{ "a-b_C9", true },
		{ "", false },
		{ "a.b", false },
		{ "auth", false },
		{ "ari", false },
		{ "a123456789012345678901234567890123456789012345678901234567890123", true },
		{ "a1234567890123456789012345678901234567890123456789012345678901234", false },
	};

	check(valid_name, names, sizeof(names) / sizeof(*names));
	check(valid_sid, sids, sizeof(sids) / sizeof(*sids));
	assert_false(valid_name(str_make("a\0b", 3)));
	assert_false(valid_address(str_make("a\0b:80", 6)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_look_like_addresses),
		cmocka_unit_test(listeners_may_have_a_scheme),
		cmocka_unit_test(urls_are_http),
		cmocka_unit_test(names_and_sids_have_their_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
