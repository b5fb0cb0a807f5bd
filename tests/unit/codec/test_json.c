/* SPDX-License-Identifier: MIT */
/* The scanner and the writers: tables, every prefix of every input, and cJSON as the oracle. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/json.h"
#include "codec/json_fault.h"

static const struct {
	const char *what, *text;
	enum json_type type; /* JSON_NONE: malformed */
} documents[] = {
	{ "empty", "", JSON_NONE },
	{ "spaces", " \t\r\n", JSON_NONE },
	{ "null", "null", JSON_NULL },
	{ "true in spaces", " true\n", JSON_TRUE },
	{ "false", "false", JSON_FALSE },
	{ "a word with a tail", "nullx", JSON_NONE },
	{ "capitals", "True", JSON_NONE },
	{ "zero", "0", JSON_NUMBER },
	{ "minus zero", "-0", JSON_NUMBER },
	{ "leading zero", "01", JSON_NONE },
	{ "plus", "+1", JSON_NONE },
	{ "fraction", "-12.50e+3", JSON_NUMBER },
	{ "a point without digits", "1.", JSON_NONE },
	{ "a point first", ".5", JSON_NONE },
	{ "exponent without digits", "1e", JSON_NONE },
	{ "minus alone", "-", JSON_NONE },
	{ "NaN", "NaN", JSON_NONE },
	{ "a string", "\"a\"", JSON_STRING },
	{ "every escape", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"", JSON_STRING },
	{ "a bad escape", "\"\\x\"", JSON_NONE },
	{ "a short \\u", "\"\\u12\"", JSON_NONE },
	{ "no hex in \\u", "\"\\u12g4\"", JSON_NONE },
	{ "a control character", "\"a\nb\"", JSON_NONE },
	{ "an open string", "\"abc", JSON_NONE },
	{ "single quotes", "'a'", JSON_NONE },
	{ "an empty object", "{}", JSON_OBJECT },
	{ "an empty object with a space", "{ }", JSON_OBJECT },
	{ "an empty array", "[ ]", JSON_ARRAY },
	{ "nested", "{\"a\":{\"b\":[1,{},[],\"x\"]},\"c\" : null }", JSON_OBJECT },
	{ "crossed brackets", "{\"a\":[}]", JSON_NONE },
	{ "a comma at the end", "[1,]", JSON_NONE },
	{ "a comma at the end of an object", "{\"a\":1,}", JSON_NONE },
	{ "a comma at the beginning", "[,1]", JSON_NONE },
	{ "two commas", "[1,,2]", JSON_NONE },
	{ "no comma", "[1 2]", JSON_NONE },
	{ "no colon", "{\"a\" 1}", JSON_NONE },
	{ "no value", "{\"a\":}", JSON_NONE },
	{ "no value, deeper", "[{\"a\":}]", JSON_NONE },
	{ "no key", "{:1}", JSON_NONE },
	{ "a key without quotes", "{a:1}", JSON_NONE },
	{ "a number as key", "{1:1}", JSON_NONE },
	{ "two values", "{}{}", JSON_NONE },
	{ "a closing bracket too many", "[1]]", JSON_NONE },
	{ "a closing bracket alone", "]", JSON_NONE },
	{ "a comment", "{}/* */", JSON_NONE },
};

/* Walks a container by the iterator, all levels: the second way through the same grammar. */
static int walk(struct json value)
{
	struct json_iter it;
	struct json_item item;
	int rc;

	json_iter_init(&it, value);
	while ((rc = json_next(&it, &item)) > 0)
		if (item.value.type >= JSON_ARRAY && walk(item.value) < 0)
			return -EBADMSG;
	assert_int_equal(json_next(&it, &item), rc);
	return rc;
}

/* In memory of its exact size, so that a read past the end is seen. */
static int parse_exact(struct str text, struct json *ret, char **ret_copy)
{
	char *copy = malloc(text.n ? text.n : 1);

	assert_non_null(copy);
	if (text.n)
		memcpy(copy, text.p, text.n);
	*ret_copy = copy;
	return json_parse(str_make(copy, text.n), ret);
}

/* The third way: it knows where and why. */
static void fault_agrees(const char *what, struct str text, int rc)
{
	const char *at, *must = json_fault(text, &at);

	if ((must != NULL) != (rc < 0) || at < text.p || at > str_end(text))
		fail_msg("%s: %s, must be %s", what, at, must);
}

static void fault_is_told_where_it_is(void **state)
{
	static const struct {
		const char *text;
		size_t at;
		const char *must;
	} cases[] = {
		{ "", 0, "a value" },
		{ "  ", 2, "a value" },
		{ "{\"a\": tru}", 6, "a value" },
		{ "{\"a\": 1 \"b\": 2}", 8, "a comma or }" },
		{ "[1 2]", 3, "a comma or ]" },
		{ "[1, ]", 4, "a value" },
		{ "{\"a\": 1,}", 8, "a key in double quotes" },
		{ "{a: 1}", 1, "a key in double quotes" },
		{ "{\"a\", 1}", 4, "a colon" },
		{ "[1.]", 3, "a digit" },
		{ "[-]", 2, "a digit" },
		{ "[1e+]", 4, "a digit" },
		{ "[01]", 2, "a comma or ]" },
		{ "[\"a", 3, "the quote that closes the text" },
		{ "[\"a\n\"]", 3,
		  "no control character in a text (a quote may be missing before it)" },
		{ "[\"\\x\"]", 3, "one of \" \\ / b f n r t u behind a backslash" },
		{ "[\"\\u12x\"]", 6, "four hexadecimal digits behind \\u" },
		{ "{} {}", 3, "nothing more" },
		{ "[{}", 3, "a comma or ]" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *at, *must = json_fault(str_from(cases[i].text), &at);

		assert_non_null(must);
		assert_string_equal(must, cases[i].must);
		assert_int_equal(at - cases[i].text, cases[i].at);
	}
}

static void document_is_judged_as_the_rfc_says(void **state)
{
	for (size_t i = 0; i < sizeof(documents) / sizeof(*documents); i++) {
		struct json v = { 0 };
		char *copy;
		int rc = parse_exact(str_from(documents[i].text), &v, &copy);

		if ((rc == 0) != (documents[i].type != JSON_NONE) || v.type != documents[i].type)
			fail_msg("%s: rc %d, type %d", documents[i].what, rc, (int)v.type);
		v = json_peek(str_from(documents[i].text));
		if (v.type >= JSON_ARRAY && (walk(v) == 0) != (rc == 0))
			fail_msg("%s: the iterator judges otherwise", documents[i].what);
		fault_agrees(documents[i].what, str_from(documents[i].text), rc);
		free(copy);
	}
}

static void document_cut_anywhere_is_never_read_beyond(void **state)
{
	for (size_t i = 0; i < sizeof(documents) / sizeof(*documents); i++) {
		struct str whole = str_from(documents[i].text);

		for (size_t n = 0; n < whole.n; n++) {
			struct json v;
			char *copy;
			int rc = parse_exact(str_make(whole.p, n), &v, &copy);

			if (rc == 0 && v.type >= JSON_ARRAY && n + 1 < whole.n &&
			    documents[i].type != JSON_NONE)
				fail_msg("%s: cut at %zu it is whole", documents[i].what, n);
			v = json_peek(str_make(copy, n));
			if (v.type >= JSON_ARRAY && (walk(v) == 0) != (rc == 0))
				fail_msg("%s: cut at %zu", documents[i].what, n);
			fault_agrees(documents[i].what, str_make(copy, n), rc);
			free(copy);
		}
	}
}

static void depth_is_limited(void **state)
{
	char text[2 * (JSON_DEPTH_MAX + 1) + 1];
	struct json v;

	for (size_t depth = 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		assert_int_equal(json_parse(str_make(text, 2 * depth), &v),
				 depth <= JSON_DEPTH_MAX ? 0 : -EBADMSG);
		fault_agrees("depth", str_make(text, 2 * depth),
			     depth <= JSON_DEPTH_MAX ? 0 : -EBADMSG);
	}
}

static void members_are_found_by_key_and_path(void **state)
{
	static const struct {
		const char *what, *path, *raw;
	} cases[] = {
		{ "first", "type", "\"x\"" },
		{ "nested", "a.b.c", "[1, 2]" },
		{ "an object", "a.b", "{\"c\":[1, 2],\"d\":-1}" },
		{ "the first of two", "dup", "1" },
		{ "a key with an escape", "k\xc3\xa4y", "true" },
		{ "the empty key", "", "null" },
		{ "not there", "b", NULL },
		{ "below a string", "type.x", NULL },
		{ "a prefix of a key", "typ", NULL },
	};
	struct json doc;

	assert_int_equal(
		json_parse(STR("{\"type\":\"x\", \"a\" :{\"z\":\"}\",\"b\":{\"c\":[1, 2],"
			       "\"d\":-1}},\"dup\":1,\"dup\":2,\"k\\u00e4y\":true,\"\":null}"),
			   &doc),
		0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct json v = json_path(doc, str_make(cases[i].path, strlen(cases[i].path)));

		if (cases[i].raw ? !str_eq(v.raw, str_from(cases[i].raw)) : v.type != JSON_NONE)
			fail_msg("%s: %.*s", cases[i].what, STR_ARG(v.raw));
	}
}

static void keys_compare_unescaped_and_as_go_does(void **state)
{
	struct json_item item = { STR("Unique\\u005fid"), { 0 } };

	assert_true(json_key_is(&item, STR("Unique_id")));
	assert_false(json_key_is(&item, STR("unique_id")));
	assert_true(json_key_is_nocase(&item, STR("unique_ID")));
	assert_false(json_key_is_nocase(&item, STR("unique_i")));
	assert_false(json_key_is(&item, STR("Unique_id2")));
}

static void strings_lose_their_escapes(void **state)
{
	static const struct {
		const char *what, *json, *text;
	} cases[] = {
		{ "plain", "\"abc\"", "abc" },
		{ "empty", "\"\"", "" },
		{ "letters", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "one byte", "\"\\u0041\"", "A" },
		{ "two bytes", "\"\\u00e4\"", "\xc3\xa4" },
		{ "three bytes", "\"\\u20AC!\"", "\xe2\x82\xac!" },
		{ "a pair", "\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80" },
		{ "a lone high half", "\"\\ud83dx\"", "\xef\xbf\xbdx" },
		{ "a lone low half", "\"\\ude00\"", "\xef\xbf\xbd" },
		{ "a high half and a letter", "\"\\ud83d\\n\"", "\xef\xbf\xbd\n" },
		{ "two high halves", "\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct json v;
		struct str s = { 0 };
		char out[64];
		struct buf b;

		assert_int_equal(json_parse(str_from(cases[i].json), &v), 0);
		if (json_string(v, out, v.raw.n, &s) < 0 || !str_eq(s, str_from(cases[i].text)) ||
		    !json_is(v, s) || json_is(v, STR("other")))
			fail_msg("%s: %.*s", cases[i].what, STR_ARG(s));
		if (memchr(cases[i].json, '\\', v.raw.n))
			for (size_t size = 0; size < s.n; size++)
				assert_int_equal(json_string(v, out, size, &s), -ENOBUFS);
		buf_init(&b, 256);
		assert_int_equal(json_add_unescaped(&b, v), 0);
		assert_true(str_eq(buf_str(&b), str_from(cases[i].text)));
		buf_fini(&b);
	}
}

static void writers_escape_what_they_must(void **state)
{
	static const struct {
		const char *what, *text, *plain, *go;
	} cases[] = {
		{ "plain", "abc", "\"abc\"", "\"abc\"" },
		{ "quotes", "\"\\/", "\"\\\"\\\\/\"", "\"\\\"\\\\/\"" },
		{ "letters", "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"", "\"\\u0008\\u000c\\n\\r\\t\"" },
		{ "controls", "\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\"", "\"\\u0001\\u001f\x7f\"" },
		{ "html", "<a&b>", "\"<a&b>\"", "\"\\u003ca\\u0026b\\u003e\"" },
		{ "UTF-8", "\xc3\xa4\xf0\x9f\x98\x80", "\"\xc3\xa4\xf0\x9f\x98\x80\"",
		  "\"\xc3\xa4\xf0\x9f\x98\x80\"" },
		{ "line separators", "\xe2\x80\xa8\xe2\x80\xa9", "\"\xe2\x80\xa8\xe2\x80\xa9\"",
		  "\"\\u2028\\u2029\"" },
		{ "no UTF-8", "a\xff\xc3z\xe2\x80",
		  "\"a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\"",
		  "\"a\\ufffd\\ufffdz\\ufffd\\ufffd\"" },
		{ "a surrogate", "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"",
		  "\"\\ufffd\\ufffd\\ufffd\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b;

		buf_init(&b, 256);
		assert_int_equal(json_add_string(&b, str_from(cases[i].text)), 0);
		assert_int_equal(json_add_string_go(&b, str_from(cases[i].text)), 0);
		if (!str_starts(buf_str(&b), str_from(cases[i].plain)) ||
		    !str_eq(str_skip(buf_str(&b), strlen(cases[i].plain)), str_from(cases[i].go)))
			fail_msg("%s: %.*s", cases[i].what, STR_ARG(buf_str(&b)));
		buf_fini(&b);
	}
}

static void string_without_room_leaves_the_buffer_as_it_was(void **state)
{
	for (size_t max = 3; max < 12; max++) {
		struct buf b;
		int rc;

		buf_init(&b, max);
		assert_int_equal(buf_add(&b, STR("xyz")), 0);
		rc = json_add_string(&b, STR("ab\n\x01"));
		assert_int_equal(rc, -ENOBUFS);
		assert_true(str_eq(buf_str(&b), STR("xyz")));
		buf_fini(&b);
	}
}

static void string_that_fits_to_the_byte_is_written(void **state)
{
	static const char *const texts[] = {
		"", "a", "\"", "ab\n\x01", "{\"a\":\"b\"}", "<\"\xc3\xa4>"
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct buf wide, exact;

		buf_init(&wide, 256);
		assert_int_equal(json_add_string_go(&wide, str_from(texts[i])), 0);
		buf_init(&exact, buf_len(&wide));
		assert_int_equal(json_add_string_go(&exact, str_from(texts[i])), 0);
		assert_true(str_eq(buf_str(&wide), buf_str(&exact)));
		buf_fini(&exact);
		buf_init(&exact, buf_len(&wide) - 1);
		assert_int_equal(json_add_string_go(&exact, str_from(texts[i])), -ENOBUFS);
		assert_int_equal(buf_len(&exact), 0);
		buf_fini(&exact);
		buf_fini(&wide);
	}
}

static void compare(struct json v, const cJSON *oracle);

static void compare_items(struct json v, const cJSON *oracle)
{
	struct json_iter it;
	struct json_item item;
	const cJSON *child = oracle->child;
	int rc;

	json_iter_init(&it, v);
	while ((rc = json_next(&it, &item)) > 0) {
		assert_non_null(child);
		if (v.type == JSON_OBJECT)
			assert_true(json_key_is(&item, str_from(child->string)));
		compare(item.value, child);
		child = child->next;
	}
	assert_int_equal(rc, 0);
	assert_null(child);
}

static void compare(struct json v, const cJSON *oracle)
{
	switch (v.type) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		assert_true(v.type == JSON_OBJECT ? cJSON_IsObject(oracle) : cJSON_IsArray(oracle));
		compare_items(v, oracle);
		break;
	case JSON_STRING:
		assert_true(cJSON_IsString(oracle));
		assert_true(json_is(v, str_from(oracle->valuestring)));
		break;
	case JSON_NUMBER:
		assert_true(cJSON_IsNumber(oracle));
		break;
	case JSON_NULL:
		assert_true(cJSON_IsNull(oracle));
		break;
	default:
		assert_true(v.type == JSON_TRUE ? cJSON_IsTrue(oracle) : cJSON_IsFalse(oracle));
	}
}

typedef void frame_fn(struct str frame, void *arg);

static size_t each_frame(frame_fn *fn, void *arg)
{
	DIR *dir = opendir(FIXTURES "/ari");
	size_t n = 0;

	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));) {
		char path[4096], *line = NULL;
		size_t size = 0;
		ssize_t got;
		FILE *f;

		if (!str_ends(str_from(d->d_name), STR(".jsonl")))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", FIXTURES "/ari", d->d_name);
		f = fopen(path, "r");
		assert_non_null(f);
		while ((got = getline(&line, &size, f)) > 0) {
			fn(str_trim(str_make(line, (size_t)got)), arg);
			n++;
		}
		free(line);
		(void)fclose(f);
	}
	(void)closedir(dir);
	return n;
}

static void compare_frame(struct str frame, void *arg)
{
	cJSON *oracle = cJSON_ParseWithLength(frame.p, frame.n);
	struct json v;

	assert_non_null(oracle);
	assert_int_equal(json_parse(frame, &v), 0);
	compare(v, oracle);
	cJSON_Delete(oracle);
	for (size_t n = 0; n < frame.n; n++)
		assert_int_equal(json_parse(str_make(frame.p, n), &v), -EBADMSG);
}

static void scanner_sees_in_recorded_frames_what_cjson_sees(void **state)
{
	assert_true(each_frame(compare_frame, NULL) > 600);
}

struct speed {
	uint64_t ns, bytes, frames, found;
};

static void time_frame(struct str frame, void *arg)
{
	struct speed *speed = arg;
	struct timespec a, b;
	enum { ROUNDS = 200 };

	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < ROUNDS; i++) {
		struct json_iter it;
		struct json_item item;

		json_iter_init(&it, json_peek(frame));
		while (json_next(&it, &item) > 0)
			if (json_key_is(&item, STR("type")) ||
			    (json_key_is(&item, STR("channel")) &&
			     json_get(item.value, STR("id")).type == JSON_STRING))
				speed->found++;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	speed->ns += (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000 + (uint64_t)b.tv_nsec -
		     (uint64_t)a.tv_nsec;
	speed->frames += ROUNDS;
	speed->bytes += ROUNDS * frame.n;
}

/* No limit is asserted: the figure is for people, on a machine that others use too. */
static void speed_is_shown(void **state)
{
	struct speed speed = { 0 };

	each_frame(time_frame, &speed);
	assert_true(speed.found > 0);
	print_message("%.0f ns a frame of %.0f bytes\n", (double)speed.ns / (double)speed.frames,
		      (double)speed.bytes / (double)speed.frames);
}

/* Each case at every offset within a block, so that a bracket stands at each place of it. */
static void shallow_walk_steps_over_what_is_inside(void **state)
{
	static const struct {
		const char *what, *inside;
	} cases[] = {
		{ "empty", "{}" },
		{ "nested", "{\"a\":[{\"b\":{}},[]],\"c\":{\"d\":1}}" },
		{ "brackets in strings", "{\"a\":\"}]{[\",\"b\":\"{\"}" },
		{ "escaped quotes", "{\"a\":\"\\\"}\\\\\",\"b\":[\"\\\\\"]}" },
		{ "long string", "{\"a\":\"0123456789012345678901234567890123456789}\"}" },
		{ "list", "[1,\"]\",[2,{}]]" },
		{ "not even JSON inside", "{nonsense,,[}}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int pad = 0; pad < 40; pad++) {
			char text[256];
			int n = snprintf(text, sizeof(text), "{\"p\":\"%.*s\",\"x\":%s,\"y\":7}",
					 pad, "........................................",
					 cases[i].inside);
			char *copy = str_dup(str_make(text, (size_t)n));
			struct json_item item;
			struct json_iter it;

			json_iter_init_shallow(&it, json_peek(str_make(copy, (size_t)n)));
			assert_int_equal(json_next(&it, &item), 1);
			if (json_next(&it, &item) != 1 ||
			    !str_eq(item.value.raw, str_from(cases[i].inside)))
				fail_msg("%s, %d before it", cases[i].what, pad);
			assert_int_equal(json_next(&it, &item), 1);
			assert_int_equal(json_next(&it, &item), 0);
			free(copy);
		}
	}
}

static void shallow_walk_never_passes_the_end(void **state)
{
	struct str text =
		STR("{\"a\":{\"b\":\"\\\"x{\",\"c\":[1,2,{\"d\":\"0123456789abcdef\"}]}}");

	for (size_t n = 0; n < text.n; n++) {
		char *cut = malloc(n + 1); /* so that ASan sees a read past it */
		struct json_iter it;
		struct json_item item;
		int rc;

		memcpy(cut, text.p, n);
		json_iter_init_shallow(&it, json_peek(str_make(cut, n)));
		while ((rc = json_next(&it, &item)) > 0)
			;
		assert_int_equal(rc, -EBADMSG);
		free(cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(document_is_judged_as_the_rfc_says),
		cmocka_unit_test(document_cut_anywhere_is_never_read_beyond),
		cmocka_unit_test(fault_is_told_where_it_is),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(members_are_found_by_key_and_path),
		cmocka_unit_test(keys_compare_unescaped_and_as_go_does),
		cmocka_unit_test(strings_lose_their_escapes),
		cmocka_unit_test(writers_escape_what_they_must),
		cmocka_unit_test(string_without_room_leaves_the_buffer_as_it_was),
		cmocka_unit_test(string_that_fits_to_the_byte_is_written),
		cmocka_unit_test(scanner_sees_in_recorded_frames_what_cjson_sees),
		cmocka_unit_test(speed_is_shown),
		cmocka_unit_test(shallow_walk_steps_over_what_is_inside),
		cmocka_unit_test(shallow_walk_never_passes_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
