/* SPDX-License-Identifier: MIT */
/* Calls by call.xml: held, answered, told to come again. */
#include "calls_test.h"

static void a_call_waits_and_gets_what_is_posted_for_it(void **state)
{
	struct world *w = *state;
	struct client c;

	wait_start(&c, w, CALL, CA7);
	assert_int_equal(world_stat(w, "calls_held"), 1);
	expect_poll(w, "call.xml", "",
		    "\"FormParams\":{\"AccountSid\":\"AC1\",\"CallSid\":\"CA7\"");
	expect(w, 200, "\r\nX-Delivered: 1\r\n", SAY, HELLO);
	expect_end(&c, HELLO);
	assert_non_null(strstr(c.text, "\r\nContent-Type: text/xml\r\n"));
	char length[64];
	(void)snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", strlen(HELLO));
	assert_non_null(strstr(c.text, length));
	client_close(&c);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "calls_held"), 0);
	assert_int_equal(world_stat(w, "calls_parked"), 1);
	assert_int_equal(world_stat(w, "calls_answered"), 1);
}

static void instructions_that_were_there_first_are_taken_one_a_request(void **state)
{
	struct world *w = *state;
	struct client c;

	expect(w, 200, "\r\nX-Delivered: 0\r\n", SAY, "<First/>");
	expect(w, 200, "\r\nX-Delivered: 0\r\n", SAY, "<Second/>");
	client_open(&c, w);
	client_ask(&c, CALL, CA7);
	expect_end(&c, "\r\n\r\n<First/>");
	client_ask(&c, CALL, CA7);
	expect_end(&c, "\r\n\r\n<Second/>");
	client_close(&c);
}

static void a_call_that_nobody_answers_is_told_to_come_again(void **state)
{
	struct world *w = *state;
	struct client c;

	wait_start(&c, w, CALL, CA7);
	loop_test_advance(w->loop, 9999);
	assert_false(client_has_answer(&c));
	loop_test_advance(w->loop, 2);
	expect_end(&c, REDIRECT);
	assert_non_null(strstr(c.text, "\r\nContent-Type: application/xml\r\n"));
	client_close(&c);
	wait_start(&c, w, AGAIN, CA7);
	/* Its event is there, once. */
	expect_poll(w, "call.xml", "", "\"CallSid\":\"CA7\"");
	expect_poll(w, "call.xml", "&timeout=0", NULL);
	expect(w, 200, "\r\nX-Delivered: 1\r\n", SAY, HELLO);
	expect_end(&c, HELLO);
	client_close(&c);
	assert_int_equal(world_stat(w, "calls_redirected"), 1);
	assert_int_equal(world_stat(w, "published"), 2);
}

static void the_url_says_how_long_a_call_is_held(void **state)
{
	struct world *w = *state;
	struct client c;

	wait_start(&c, w, POST_FORM("/AC1/call.xml?timeout=20s"), CA7);
	loop_test_advance(w->loop, 19000);
	assert_false(client_has_answer(&c));
	loop_test_advance(w->loop, 1001);
	expect_end(&c, REDIRECT);
	client_close(&c);
	/* Also when it comes again. */
	wait_start(&c, w, AGAIN, CA7);
	loop_test_advance(w->loop, 19000);
	assert_false(client_has_answer(&c));
	client_close(&c);
	run_some(w->loop);
	wait_start(&c, w, POST_FORM("/AC1/call.xml?timeout=1h"), CA7);
	loop_test_advance(w->loop, 60001);
	expect_end(&c, REDIRECT);
	client_close(&c);
	expect(w, 400, "timeout must be", POST_FORM("/AC1/call.xml?timeout=soon"), CA7);
}

static void a_call_may_come_by_get(void **state)
{
	struct world *w = *state;
	struct client c, again;

	wait_start(&c, w, "GET /AC1/call.xml?CallSid=CA7&AccountSid=AC1", NULL);
	expect_poll(w, "call.xml", "",
		    "\"FormParams\":{\"AccountSid\":\"AC1\",\"CallSid\":\"CA7\"}");
	wait_start(&again, w, "GET /AC1/call.xml/CA7/?CallSid=CA7", NULL);
	expect(w, 200, "X-Delivered: 1", SAY, HELLO);
	expect_end(&again, HELLO);
	client_close(&again);
	client_close(&c);
	/* Who shows credentials, right or wrong, reads. */
	expect(w, 401, NULL, "GET /AC1/call.xml?CallSid=CA7&session=wrong", NULL);
	expect(w, 401, NULL, "GET /AC1/call.xml?CallSid=", NULL);
	expect(w, 401, NULL, "GET /AC1/call.xml/CA8?CallSid=CA7", NULL);
}

static void a_call_may_come_as_json(void **state)
{
	struct world *w = *state;
	struct client c;

	wait_start(&c, w, POST_JSON("/AC1/call.xml"),
		   "{\"a\":{\"CallSid\":\"CA1\"},\"CallSid\":\"CA7\"}");
	expect(w, 200, "X-Delivered: 1", POST_JSON("/AC1/call.xml/CA7"),
	       "[{\"verb\":\"say\", \"text\":\"1 / 2\"}]");
	expect_end(&c, "\r\n\r\n[{\"verb\":\"say\",\"text\":\"1 / 2\"}]");
	assert_non_null(strstr(c.text, "\r\nContent-Type: application/json\r\n"));
	client_close(&c);
}

static void a_call_may_come_again_without_the_account(void **state)
{
	struct world *w = *state;
	struct client c;

	wait_start(&c, w, POST_FORM("/call.xml/CA7/"), CA7);
	expect(w, 200, "X-Delivered: 1", SAY, HELLO);
	expect_end(&c, HELLO);
	client_close(&c);
	/* Another account's is sent to where it is served. */
	expect(w, 200, "<Redirect>/AC2/call.xml/CA7/</Redirect>", POST_FORM("/call.xml/CA7/"),
	       "AccountSid=AC2&CallSid=CA7");
	expect(w, 404, NULL, POST_FORM("/call.xml/CA7/"), "AccountSid=AC3&CallSid=CA7");
	expect(w, 404, NULL, POST_FORM("/call.xml/CA7/"), "AccountSid=AC1&CallSid=CA8");
	expect(w, 404, NULL, POST_FORM("/call.xml/CA7/"), "CallSid=CA7");
	expect(w, 404, NULL, POST_FORM("/call.xml"), CA7);
	expect(w, 404, NULL, POST_XML("/call.xml/CA7/"), HELLO);
}

static void what_is_no_call_is_a_document(void **state)
{
	struct world *w = *state;

	expect(w, 200, "X-Message-Id", POST_FORM("/AC1/call.xml"), "CallSid=&From=1");
	expect(w, 200, "X-Message-Id", POST_FORM("/AC1/call.xml"), "From=2");
	expect(w, 200, "X-Message-Id", POST_FORM("/AC1/calls"), CA7);
	expect(w, 200, "X-Delivered: 0", POST_FORM("/AC1/call.xml/CA8"), CA7);
	expect_poll(w, "call.xml", "", "\"From\":\"2\"");
	expect_poll(w, "calls", "", "\"CallSid\":\"CA7\"");
	expect(w, 400, "CallSid must be", POST_FORM("/AC1/call.xml"), "CallSid=a%2Fb");
	expect(w, 400, "CallSid must be", POST_FORM("/AC1/call.xml"), "CallSid=missed");
}

static const struct {
	const char *what, *type, *body, *want_type, *want;
} answers[] = {
	{ "curl -d", "application/x-www-form-urlencoded", "<A b=\"1&2\"/>", "application/xml",
	  "<A b=\"1&2\"/>" },
	{ "a parameter", "text/xml; charset=utf-8", "<A/>", "text/xml; charset=utf-8", "<A/>" },
	{ "its own kind", "application/ccxml+xml", "<A/>", "application/ccxml+xml", "<A/>" },
	{ "text", "text/plain", "<A/>", "application/xml", "<A/>" },
	{ "no type", "", "<A/>", "application/xml", "<A/>" },
	{ "line ends and quotes", "text/xml", "\xef\xbb\xbf<A>\r\n\t\"\\u0041\\\x7f\x01</A>\n",
	  "text/xml", "\xef\xbb\xbf<A>\r\n\t\"\\u0041\\\x7f\x01</A>\n" },
	{ "Latin-1", "text/xml", "<A>caf\xe9</A>", "text/xml", "<A>caf\xe9</A>" },
	{ "broken JSON", "application/json", "[1,", "application/json", "[1," },
	{ "nothing", "text/xml", "", "application/xml", "<Response/>" },
	{ "a form", "application/x-www-form-urlencoded", "a=1", "application/xml", "<Response/>" },
};

static void instructions_pass_byte_for_byte(void **state)
{
	struct world *w = *state;
	char head[256], end[256], type[128];

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct client c;

		print_message("%s\n", answers[i].what);
		wait_start(&c, w, CALL, CA7);
		(void)snprintf(head, sizeof(head),
			       "POST /AC1/call.xml/CA7 HTTP/1.1\r\n%s%s\r\nX-End:",
			       *answers[i].type ? "Content-Type: " : "X-None: 1", answers[i].type);
		expect(w, 200, "X-Delivered: 1", head, answers[i].body);
		(void)snprintf(end, sizeof(end), "\r\n\r\n%s", answers[i].want);
		expect_end(&c, end);
		(void)snprintf(type, sizeof(type), "\r\nContent-Type: %s\r\n",
			       answers[i].want_type);
		assert_non_null(strstr(c.text, type));
		client_close(&c);
	}
}

static void the_newest_request_of_a_call_is_answered(void **state)
{
	struct world *w = *state;
	struct client older, newer, poll;

	wait_start(&poll, w, poll_head(w, "call.xml/CA7", ""), NULL);
	wait_start(&older, w, CALL, CA7);
	loop_test_advance(w->loop, 4000);
	wait_start(&newer, w, CALL, CA7);
	expect(w, 200, "X-Delivered: 1", SAY, HELLO);
	expect_end(&newer, HELLO);
	assert_false(client_has_answer(&older));
	loop_test_advance(w->loop, 6001);
	expect_end(&older, REDIRECT);
	/* Who subscribes there competes, but not with calls. */
	expect(w, 200, "X-Delivered: 1", SAY, HELLO);
	assert_int_equal(client_answer(&poll), 200);
	client_close(&older);
	client_close(&newer);
	client_close(&poll);
}

static void instructions_that_did_not_arrive_are_the_next_request_s(void **state)
{
	struct world *w = *state;
	struct client c;

	wait_start(&c, w, CALL, CA7);
	raw_reset(c.fd);
	c.fd = -1;
	expect(w, 200, NULL, SAY, HELLO);
	client_close(&c);
	run_some(w->loop);
	wait_start(&c, w, poll_head(w, "other", ""), NULL);
	client_close(&c);
	client_open(&c, w);
	client_ask(&c, CALL, CA7);
	expect_end(&c, HELLO);
	client_close(&c);
}

static void instructions_that_nobody_fetches_expire(void **state)
{
	struct world *w = *state;
	struct client c;

	expect(w, 200, "X-Delivered: 0", SAY, "<Old/>");
	loop_test_advance(w->loop, 3599000);
	expect(w, 200, "X-Delivered: 0", SAY, "<New/>");
	loop_test_advance(w->loop, 2000);
	client_open(&c, w);
	client_ask(&c, CALL, CA7);
	expect_end(&c, "\r\n\r\n<New/>");
	client_close(&c);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_call_waits_and_gets_what_is_posted_for_it),
		TEST(instructions_that_were_there_first_are_taken_one_a_request),
		TEST(a_call_that_nobody_answers_is_told_to_come_again),
		TEST(the_url_says_how_long_a_call_is_held),
		TEST(a_call_may_come_by_get),
		TEST(a_call_may_come_as_json),
		TEST(a_call_may_come_again_without_the_account),
		TEST(what_is_no_call_is_a_document),
		TEST(instructions_pass_byte_for_byte),
		TEST(the_newest_request_of_a_call_is_answered),
		TEST(instructions_that_did_not_arrive_are_the_next_request_s),
		TEST(instructions_that_nobody_fetches_expire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
