/* SPDX-License-Identifier: MIT */
/* What `voxbus poll` shows of each kind of message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "message_text.h"

#define HEAD "{\"Hostname\":\"h\",\"AccountSid\":\"\",\"Url\":\"/AC/q\",\"FormParams\":"
#define TIME ",\"Created\":\"2026-11-21T00:03:13.114436515Z\""

static const struct {
	const char *what, *json, *text;
} cases[] = {
	{ "a form", HEAD "{\"a\":\"1\",\"name\":\"v w\"}" TIME ",\"Id\":\"x\"}",
	  "00:03:13.114 a=1 name=v w\n" },
	{ "nothing", HEAD "{}" TIME "}", "00:03:13.114\n" },
	{ "text on several lines", HEAD "{}" TIME ",\"ContentType\":\"a/b\",\"Body\":\"x\\ny\"}",
	  "00:03:13.114 x?y\n" },
	{ "an escape for the terminal", HEAD "{\"a\":\"\\u001b[2J\"}" TIME "}",
	  "00:03:13.114 a=?[2J\n" },
	{ "JSON", HEAD "{}" TIME ",\"ContentType\":\"application/json\",\"Json\":{\"a\":[1,null]}}",
	  "00:03:13.114 {\"a\":[1,null]}\n" },
	{ "bytes", HEAD "{}" TIME ",\"ContentType\":\"a/b\",\"BodyBase64\":\"AAECAwQF\"}",
	  "00:03:13.114 (6 bytes of a/b)\n" },
	{ "bytes and padding", HEAD "{}" TIME ",\"BodyBase64\":\"AA==\"}",
	  "00:03:13.114 (1 bytes of something)\n" },
	{ "a file",
	  HEAD "{\"a\":\"1\"}" TIME ",\"Files\":[{\"Name\":\"f\",\"Filename\":\"x.wav\","
	       "\"ContentType\":\"audio/wav\",\"Base64\":\"AA==\"}]}",
	  "00:03:13.114 a=1 [f: file x.wav]\n" },
	{ "again", HEAD "{\"a\":\"1\"}" TIME ",\"Id\":\"x\",\"Redelivered\":2}",
	  "00:03:13.114 a=1 (redelivered 2)\n" },
	{ "an envelope", "{\"type\":\"StasisStart\",\"seq\":1}",
	  "{\"type\":\"StasisStart\",\"seq\":1}\n" },
	{ "a time that is cut", HEAD "{\"a\":\"1\"},\"Created\":\"2026\"}",
	  HEAD "{\"a\":\"1\"},\"Created\":\"2026\"}\n" },
	{ "not an object", "[1]", "[1]\n" },
};

static void each_kind_has_its_line(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cJSON *json = cJSON_Parse(cases[i].json);
		struct buf out auto_buf;

		buf_init(&out, 4096);
		assert_non_null(json);
		assert_int_equal(message_text_add(json, &out), 0);
		if (!str_eq(buf_str(&out), str_from(cases[i].text)))
			fail_msg("%s: got %.*s", cases[i].what, STR_ARG(buf_str(&out)));
		cJSON_Delete(json);
	}
}

static void a_full_buffer_is_said(void **state)
{
	cJSON *json = cJSON_Parse(cases[0].json);
	struct buf out auto_buf;

	buf_init(&out, 20);
	assert_non_null(json);
	assert_true(message_text_add(json, &out) < 0);
	cJSON_Delete(json);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_has_its_line),
		cmocka_unit_test(a_full_buffer_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
