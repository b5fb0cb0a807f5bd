/* SPDX-License-Identifier: MIT */
/* Percent-decoding and form pairs. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "codec/base64.h"
#include "codec/form.h"

static const struct {
	const char *what, *in;
	const char *url; /* NULL: refused */
	const char *form;
} escapes[] = {
	{ "plain", "abc", "abc", "abc" },
	{ "a plus", "a+b", "a+b", "a b" },
	{ "an escape", "%41%7e", "A~", "A~" },
	{ "both cases of hex", "%c3%A4", "\xc3\xa4", "\xc3\xa4" },
	{ "a percent alone", "%", NULL, "%" },
	{ "a cut escape", "a%4", NULL, "a%4" },
	{ "no hex", "%zz%41", NULL, "%zzA" },
	{ "a percent and an escape", "%%41", NULL, "%A" },
	{ "nothing", "", "", "" },
};

static void escapes_are_decoded(void **state)
{
	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		char out[32];
		struct str in = str_from(escapes[i].in);
		long n = url_decode(out, in);

		print_message("%s\n", escapes[i].what);
		if (!escapes[i].url)
			assert_int_equal(n, -EBADMSG);
		else
			assert_true(str_eq(str_make(out, (size_t)n), str_from(escapes[i].url)));
		assert_true(str_eq(str_make(out, form_decode(out, in)), str_from(escapes[i].form)));
		/* Cut anywhere it neither grows nor reads on. */
		for (size_t k = 0; k <= in.n; k++)
			assert_true(form_decode(out, str_make(in.p, k)) <= k);
	}
}

static void pairs_come_in_order(void **state)
{
	struct str rest = STR("&a=1&&b&=c&d=e=f&");
	static const char *const expected[][2] = {
		{ "a", "1" }, { "b", "" }, { "", "c" }, { "d", "e=f" }
	};
	struct form_pair pair;
	size_t n = 0;

	for (; form_next(&rest, &pair); n++) {
		assert_true(n < 4);
		assert_true(str_eq(pair.name, str_from(expected[n][0])));
		assert_true(str_eq(pair.value, str_from(expected[n][1])));
	}
	assert_int_equal(n, 4);
}

static void a_value_is_found_by_its_decoded_name(void **state)
{
	char out[8];
	struct str value;

	assert_true(form_find(STR("x=1&%74tl=%31+h&ttl=2"), STR("ttl"), out, 8, &value));
	assert_true(str_eq(value, STR("1 h")));
	assert_false(form_find(STR("ttlx=1&tt=2"), STR("ttl"), out, 8, &value));
	assert_null(value.p);
	assert_false(form_find(STR("ttl=123456789"), STR("ttl"), out, 8, &value));
	assert_false(form_find(str_make(NULL, 0), STR("ttl"), out, 8, &value));
}

static const struct {
	const char *plain, *text;
} vectors[] = { { "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfd", "//79" } };

static void base64_goes_both_ways(void **state)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct str text = str_from(vectors[i].text), plain = str_from(vectors[i].plain);
		char out[32];
		struct buf b;

		buf_init(&b, 64);
		assert_int_equal(base64_add(&b, plain), 0);
		assert_true(str_eq(buf_str(&b), text));
		buf_fini(&b);
		assert_int_equal(base64_decode(out, text), plain.n);
		assert_memory_equal(out, plain.p, plain.n);
		while (text.n && text.p[text.n - 1] == '=')
			text.n--;
		assert_int_equal(base64_decode(out, text), plain.n);
		for (size_t k = 0; k < text.n; k++)
			assert_true(base64_decode(out, str_make(text.p, k)) <= (long)k);
	}
}

static void base64_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = { "=",    "====",   "Z",    "Zg=",      "Zh==", "Zm9=",
					   "Zm 9", "Zm9v\n", "Zm-_", "Zg==Zg==", "Zg===" };
	char out[32];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("%s\n", bad[i]);
		assert_int_equal(base64_decode(out, str_from(bad[i])), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_are_decoded),
		cmocka_unit_test(pairs_come_in_order),
		cmocka_unit_test(a_value_is_found_by_its_decoded_name),
		cmocka_unit_test(base64_goes_both_ways),
		cmocka_unit_test(base64_that_is_none_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
