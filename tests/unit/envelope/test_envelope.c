/* SPDX-License-Identifier: MIT */
/* The envelopes byte for byte, and commands as clients write them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "envelope/envelope.h"

#define DIALOG "0a1b2c3d-0000-1111-2222-333344445555"

static struct blob *blob(const char *text, size_t n)
{
	struct blob *b = blob_create(str_make(text, n));

	assert_non_null(b);
	return b;
}

static void check(const struct msg *msg, unsigned redelivered, const char *expected)
{
	struct buf b;

	buf_init(&b, 65536);
	assert_int_equal(buf_add(&b, STR("x")), 0);
	assert_int_equal(envelope_add(&b, msg, STR("node1"), redelivered), 0);
	assert_int_equal(buf_addc(&b, '\0'), 0);
	assert_string_equal(buf_str(&b).p + 1, expected);
	buf_fini(&b);
}

static const struct msg event = {
	.kind = MSG_EVENT,
	.seq = 7,
	.wall_ns = 1795220700123456000ull,
	.node = STR_INIT("pbx1"),
	.application = STR_INIT("hello"),
	.dialog = STR_INIT(DIALOG),
	.type = STR_INIT("StasisStart"),
};

static void an_announcement_has_this_shape(void **state)
{
	struct msg m = { .kind = MSG_ANNOUNCE,
			 .seq = 3,
			 .application = STR("bench"),
			 .dialog = STR(DIALOG),
			 .node = STR("srv1") };

	check(&m, 0,
	      "{\"application\":\"bench\",\"dialog_id\":\"" DIALOG
	      "\",\"server_id\":\"srv1\",\"seq\":3}");
	m.node = STR("");
	check(&m, 2,
	      "{\"application\":\"bench\",\"dialog_id\":\"" DIALOG
	      "\",\"server_id\":\"node1\",\"seq\":3,\"redelivered\":2}");
}

static void an_event_has_this_shape(void **state)
{
	struct msg m = event;
	const char body[] = "{\"type\":\"StasisStart\",\"args\":[\"<a>&b\",\"\xe2\x80\xa8\"],"
			    "\"x\":\"a\\/\\u00e4\\n\"}\n";

	m.payload = blob(body, sizeof(body) - 1);
	check(&m, 0,
	      "{\"server_id\":\"pbx1\",\"timestamp\":\"2026-11-21T00:25:00.123456Z\","
	      "\"type\":\"StasisStart\",\"ari_body\":\"{\\\"type\\\":\\\"StasisStart\\\","
	      "\\\"args\\\":[\\\"\\u003ca\\u003e\\u0026b\\\",\\\"\\u2028\\\"],"
	      "\\\"x\\\":\\\"a\\\\/\\\\u00e4\\\\n\\\"}\\n\","
	      "\"dialog_id\":\"" DIALOG "\",\"application\":\"hello\",\"seq\":7}");
	(void)blob_unref(m.payload);
}

static void a_synthetic_event_says_so(void **state)
{
	struct msg m = event;

	m.flags = MSG_SYNTHETIC;
	m.wall_ns = 1795220700000000000ull;
	check(&m, 1,
	      "{\"server_id\":\"pbx1\",\"timestamp\":\"2026-11-21T00:25:00Z\","
	      "\"type\":\"StasisStart\",\"ari_body\":\"\",\"dialog_id\":\"" DIALOG
	      "\",\"application\":\"hello\",\"seq\":7,\"resync\":true,\"redelivered\":1}");
}

static void a_replayed_event_says_so_at_its_end(void **state)
{
	struct msg m = event;

	m.flags = MSG_REPLAYED | MSG_SYNTHETIC;
	m.answers = 17;
	m.wall_ns = 1795220700000000000ull;
	check(&m, 1,
	      "{\"server_id\":\"pbx1\",\"timestamp\":\"2026-11-21T00:25:00Z\","
	      "\"type\":\"StasisStart\",\"ari_body\":\"\",\"dialog_id\":\"" DIALOG
	      "\",\"application\":\"hello\",\"seq\":7,\"resync\":true,\"replay\":17,"
	      "\"redelivered\":1}");
}

static void an_event_of_no_dialog_has_an_empty_one(void **state)
{
	struct msg m = event;

	m.dialog = str_make(NULL, 0);
	m.wall_ns = 1795220700000000000ull;
	check(&m, 0,
	      "{\"server_id\":\"pbx1\",\"timestamp\":\"2026-11-21T00:25:00Z\","
	      "\"type\":\"StasisStart\",\"ari_body\":\"\",\"dialog_id\":\"\","
	      "\"application\":\"hello\",\"seq\":7}");
}

static void a_reply_has_this_shape(void **state)
{
	struct msg m = { .kind = MSG_REPLY,
			 .seq = 4,
			 .answers = 9,
			 .status = 204,
			 .dialog = STR(DIALOG),
			 .id = STR("u<1>") };

	check(&m, 0,
	      "{\"unique_id\":\"u\\u003c1\\u003e\",\"status_code\":204,\"response_body\":\"\","
	      "\"dialog_id\":\"" DIALOG "\",\"seq\":4,\"command_seq\":9}");
	m.status = 200;
	m.payload = blob("RIFF\xff\x00", 6);
	check(&m, 0,
	      "{\"unique_id\":\"u\\u003c1\\u003e\",\"status_code\":200,"
	      "\"response_body\":\"UklGRv8A\",\"dialog_id\":\"" DIALOG
	      "\",\"seq\":4,\"command_seq\":9,\"encoding\":\"base64\"}");
	(void)blob_unref(m.payload);
}

static void an_envelope_is_written_whole_or_not_at_all(void **state)
{
	struct msg m = event;
	struct buf b;

	for (size_t max = 0; max < 150; max++) {
		buf_init(&b, max);
		assert_int_equal(envelope_add(&b, &m, STR("n"), 0), -ENOBUFS);
		assert_int_equal(buf_len(&b), 0);
		buf_fini(&b);
	}
	buf_init(&b, 100);
	m.kind = MSG_DOCUMENT;
	assert_int_equal(envelope_add(&b, &m, STR("n"), 0), -EINVAL);
	buf_fini(&b);
}

static const struct {
	const char *what, *text;
	const char *method, *url, *body, *id; /* method NULL: refused, and body is the sentence */
} commands[] = {
	{ "as go-ari-library writes it",
	  "{\"unique_id\":\"\",\"url\":\"/channels/1.2/"
	  "answer\",\"method\":\"POST\",\"body\":\"{}\"}",
	  "POST", "/channels/1.2/answer", "{}", "" },
	{ "keys in any case",
	  "{\"Unique_ID\":\"7\",\"URL\":\"/x\",\"Method\":\"GET\",\"BODY\":\"\"}", "GET", "/x", "",
	  "7" },
	{ "a body as an object", "{\"url\":\"/x\",\"method\":\"PUT\",\"body\":{\"a\": [1,\"}\"]} }",
	  "PUT", "/x", "{\"a\": [1,\"}\"]}", "" },
	{ "no body", "{\"url\":\"/x\",\"method\":\"DELETE\"}", "DELETE", "/x", "", "" },
	{ "nulls", "{\"url\":\"/x\",\"method\":\"GET\",\"body\":null,\"unique_id\":null}", "GET",
	  "/x", "", "" },
	{ "escapes", "{\"url\":\"\\/\\u0078\",\"method\":\"GET\",\"body\":\"{\\\"a\\\":1}\"}",
	  "GET", "/x", "{\"a\":1}", "" },
	{ "unknown keys, spaces, and the last of two",
	  " {\"z\":[{}], \"url\":\"/a\", \"url\":\"/b\", \"method\":\"GET\"}\n", "GET", "/b", "",
	  "" },
	{ "no JSON", "{\"url\":", NULL, NULL, "the command is not valid JSON", NULL },
	{ "nothing", "", NULL, NULL, "the command is not valid JSON", NULL },
	{ "a list", "[]", NULL, NULL, "a command must be a JSON object", NULL },
	{ "not UTF-8", "{\"url\":\"/\xff\",\"method\":\"GET\"}", NULL, NULL,
	  "the command is not valid UTF-8", NULL },
	{ "no method", "{\"url\":\"/x\"}", NULL, NULL,
	  "method is missing: GET, POST, PUT or DELETE", NULL },
	{ "no url", "{\"method\":\"GET\"}", NULL, NULL,
	  "url is missing, such as \"/channels/ID/answer\"", NULL },
	{ "a url that the engine will not like", "{\"method\":\"GET\",\"url\":\"\"}", "GET", "", "",
	  "" },
	{ "a url that is null", "{\"method\":\"GET\",\"url\":null}", NULL, NULL,
	  "url is missing, such as \"/channels/ID/answer\"", NULL },
	{ "a number as url", "{\"method\":\"GET\",\"url\":1}", NULL, NULL, "url must be a string",
	  NULL },
	{ "a list as body", "{\"method\":\"GET\",\"url\":\"/\",\"body\":[]}", NULL, NULL,
	  "body must be a string or an object", NULL },
};

static void check_command(const char *text, size_t n, size_t i)
{
	struct envelope_command c;
	struct err e;
	/* Its own allocation, so that reading on is found. */
	char *copy = malloc(n ? n : 1);

	memcpy(copy, text, n);
	int rc = envelope_command_parse(str_make(copy, n), &c, &e);
	free(copy);
	if (!commands[i].method) {
		assert_int_equal(rc, -EBADMSG);
		assert_string_equal(e.text, commands[i].body);
		return;
	}
	assert_int_equal(rc, 0);
	assert_false(c.dummy);
	assert_true(str_eq(c.method, str_from(commands[i].method)));
	assert_true(str_eq(c.url, str_from(commands[i].url)));
	assert_true(str_eq(c.body, str_from(commands[i].body)));
	assert_true(str_eq(c.unique_id, str_from(commands[i].id)));
	envelope_command_fini(&c);
}

static void commands_are_read_or_refused_with_a_sentence(void **state)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		print_message("%s\n", commands[i].what);
		check_command(commands[i].text, strlen(commands[i].text), i);
	}
}

static void a_cut_command_is_refused(void **state)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct str text = str_trim(str_from(commands[i].text));

		for (size_t n = 0; n < text.n; n++) {
			char *copy = malloc(n ? n : 1);
			struct envelope_command c;
			struct err e;

			memcpy(copy, text.p, n);
			assert_int_equal(envelope_command_parse(str_make(copy, n), &c, &e),
					 -EBADMSG);
			free(copy);
		}
	}
}

static void dummy_is_known(void **state)
{
	struct envelope_command c;
	struct err e;

	assert_int_equal(envelope_command_parse(STR("DUMMY"), &c, &e), 0);
	assert_true(c.dummy);
	envelope_command_fini(&c);
	assert_int_equal(envelope_command_parse(STR("DUMMY\n"), &c, &e), 0);
	assert_true(c.dummy);
	assert_int_equal(envelope_command_parse(STR("dummy"), &c, &e), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_announcement_has_this_shape),
		cmocka_unit_test(an_event_has_this_shape),
		cmocka_unit_test(a_synthetic_event_says_so),
		cmocka_unit_test(a_replayed_event_says_so_at_its_end),
		cmocka_unit_test(an_event_of_no_dialog_has_an_empty_one),
		cmocka_unit_test(a_reply_has_this_shape),
		cmocka_unit_test(an_envelope_is_written_whole_or_not_at_all),
		cmocka_unit_test(commands_are_read_or_refused_with_a_sentence),
		cmocka_unit_test(a_cut_command_is_refused),
		cmocka_unit_test(dummy_is_known),
	};
	(void)setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
