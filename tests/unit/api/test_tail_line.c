/* SPDX-License-Identifier: MIT */
/* The JSON writer, a message as a line, and the globs that choose it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/glob.h"
#include "api/jout.h"
#include "api/tail_line.h"
#include "codec/json.h"

static void assert_text(struct buf *b, const char *text)
{
	assert_int_equal(buf_addc(b, 0), 0);
	assert_string_equal(buf_str(b).p, text);
}

static void commas_come_by_themselves(void **state)
{
	auto_buf struct buf b;
	struct jout j;

	buf_init(&b, 1000);
	jout_init(&j, &b);
	jout_open(&j, NULL, '{');
	jout_str(&j, "a", STR("x\"\n\xff"));
	jout_open(&j, "b", '[');
	jout_close(&j, ']');
	jout_open(&j, "c", '[');
	jout_u64(&j, NULL, 1);
	jout_seconds(&j, NULL, 1002);
	jout_bool(&j, NULL, true);
	jout_null(&j, NULL);
	jout_close(&j, ']');
	jout_json(&j, "d", STR(" {\"k\" : [ 1 ,\n\"a \\\" b\" ] } "));
	jout_json(&j, "e", STR("{no"));
	jout_close(&j, '}');
	assert_int_equal(jout_end(&j), 0);
	assert_text(&b, "{\"a\":\"x\\\"\\n\xef\xbf\xbd\",\"b\":[],\"c\":[1,1.002,true,null],"
			"\"d\":{\"k\":[1,\"a \\\" b\"]},\"e\":\"{no\"}");
}

static void a_full_buffer_is_told_at_the_end(void **state)
{
	for (size_t max = 0; max < 12; max++) {
		auto_buf struct buf b;
		struct jout j;

		buf_init(&b, max);
		jout_init(&j, &b);
		jout_open(&j, NULL, '{');
		jout_u64(&j, "ab", 12345);
		jout_close(&j, '}');
		assert_int_equal(jout_end(&j) < 0, max < 12);
	}
}

static struct msg *make(struct msg init, struct str payload)
{
	struct msg *msg;

	init.payload = blob_create(payload);
	assert_non_null(init.payload);
	msg = msg_create(&init);
	assert_non_null(msg);
	init.payload = blob_unref(init.payload);
	return msg;
}

/* The part of the line behind the time stamp, which depends on the zone. */
static void assert_line(const struct msg *msg, const char *text)
{
	auto_buf struct buf b;
	struct str line;
	struct json parsed;

	buf_init(&b, TAIL_LINE_MAX);
	assert_int_equal(tail_line(msg, &b), 0);
	line = buf_str(&b);
	assert_int_equal(json_parse(line, &parsed), 0);
	assert_int_equal(str_find(line, '\n'), line.n - 1);
	line = str_skip(line, str_find_str(line, STR("\"kind\"")));
	assert_true(str_eq(str_make(line.p, line.n - 1), str_from(text)));
}

static void an_event_keeps_its_body_as_an_object(void **state)
{
	auto_msg struct msg *msg = make((struct msg){ .kind = MSG_EVENT,
						      .flags = MSG_SYNTHETIC,
						      .seq = 3,
						      .topic = STR("events_d1"),
						      .node = STR("n"),
						      .application = STR("hello"),
						      .dialog = STR("d1"),
						      .type = STR("StasisStart") },
					STR("{\"a\":1,\r\n\"b\": \"x y\"}"));

	assert_line(msg, "\"kind\":\"event\",\"topic\":\"events_d1\",\"application\":\"hello\","
			 "\"dialog\":\"d1\",\"seq\":3,\"node\":\"n\",\"type\":\"StasisStart\","
			 "\"synthetic\":true,\"size\":20,\"payload\":{\"a\":1,\"b\":\"x y\"}}");
}

static void a_command_and_its_reply_have_their_members(void **state)
{
	auto_msg struct msg *command = make((struct msg){ .kind = MSG_COMMAND,
							  .seq = 1,
							  .topic = STR("commands_d"),
							  .dialog = STR("d"),
							  .type = STR("POST"),
							  .target = STR("/channels/1/answer"),
							  .id = STR("u1") },
					    STR(""));
	auto_msg struct msg *reply = make((struct msg){ .kind = MSG_REPLY,
							.seq = 1,
							.answers = 1,
							.status = 404,
							.topic = STR("responses_d"),
							.dialog = STR("d"),
							.id = STR("u1") },
					  STR("not json\n"));

	assert_line(command, "\"kind\":\"command\",\"topic\":\"commands_d\",\"dialog\":\"d\","
			     "\"seq\":1,\"method\":\"POST\",\"target\":\"/channels/1/answer\","
			     "\"id\":\"u1\",\"size\":0}");
	assert_line(reply, "\"kind\":\"reply\",\"topic\":\"responses_d\",\"dialog\":\"d\","
			   "\"seq\":1,\"id\":\"u1\",\"status\":404,\"answers\":1,\"size\":9,"
			   "\"payload\":\"not json\\n\"}");
}

static void a_huge_payload_is_left_out(void **state)
{
	static char huge[TAIL_PAYLOAD_MAX + 1];
	auto_msg struct msg *msg = make((struct msg){ .kind = MSG_DOCUMENT, .topic = STR("q") },
					str_make(huge, sizeof(huge)));

	assert_line(msg, "\"kind\":\"document\",\"topic\":\"q\",\"seq\":0,\"size\":262145,"
			 "\"truncated\":true}");
}

static void globs_match_as_people_expect(void **state)
{
	static const struct {
		const char *glob, *text;
		bool match;
	} cases[] = {
		{ "*", "", true },
		{ "", "", true },
		{ "", "a", false },
		{ "events_*", "events_d1", true },
		{ "events_*", "event", false },
		{ "*_d?", "commands_d1", true },
		{ "*_d?", "commands_d", false },
		{ "a*b*c", "aXbYbZc", true },
		{ "a*b*c", "aXbYbZ", false },
		{ "***", "x", true },
		{ "hello", "hello", true },
		{ "hello", "hello2", false },
		{ "*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (glob_match(str_from(cases[i].glob), str_from(cases[i].text)) != cases[i].match)
			fail_msg("\"%s\" on \"%s\"", cases[i].glob, cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_come_by_themselves),
		cmocka_unit_test(a_full_buffer_is_told_at_the_end),
		cmocka_unit_test(an_event_keeps_its_body_as_an_object),
		cmocka_unit_test(a_command_and_its_reply_have_their_members),
		cmocka_unit_test(a_huge_payload_is_left_out),
		cmocka_unit_test(globs_match_as_people_expect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
