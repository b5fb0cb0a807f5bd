/* SPDX-License-Identifier: MIT */
/* Queues over real sockets: framing, waiting, competing, going away; and the topics of calls. */
#include "longpoll_test.h"

enum { WAIT_MAX = 15000 };

/* The answer behind its head. */
static const char *body_of(const struct client *c)
{
	return strstr(c->text, "\r\n\r\n") + 4;
}

static void publish(struct world *w, const char *queue, const char *text)
{
	char head[128];

	(void)snprintf(head, sizeof(head), "POST %s", queue);
	expect(w, 200, "X-Message-Id: ", head, text);
}

static void poll_start(struct client *c, struct world *w, const char *target)
{
	char head[256];

	client_open(c, w);
	(void)snprintf(head, sizeof(head), "GET %s%csession=%s", target,
		       strchr(target, '?') ? '&' : '?', w->session);
	client_ask(c, head, NULL);
}

/* One poll, whose answer holds these pieces in this order (NULL ends them). */
static void poll_expect(struct world *w, const char *target, const char *const *pieces)
{
	struct client c;

	poll_start(&c, w, target);
	assert_int_equal(client_answer(&c), 200);
	const char *at = body_of(&c);
	for (; *pieces; pieces++) {
		const char *found = strstr(at, *pieces);

		if (!found)
			fail_msg("%s: no \"%s\" in %s", target, *pieces, at);
		at = found + strlen(*pieces);
	}
	client_close(&c);
}
#define POLL(w, target, ...) poll_expect(w, target, (const char *const[]){ __VA_ARGS__, NULL })

static void chunk_is(const char **at, const char *before, const char *piece, const char *after)
{
	char *end;
	size_t n = strtoul(*at, &end, 16);

	assert_memory_equal(end, "\r\n", 2);
	const char *chunk = end + 2;
	assert_memory_equal(chunk, before, strlen(before));
	assert_memory_equal(chunk + n - strlen(after), after, strlen(after));
	char *text = strndup(chunk, n);
	assert_non_null(strstr(text, piece));
	free(text);
	assert_memory_equal(chunk + n, "\r\n", 2);
	*at = chunk + n + 2;
}

static void every_message_is_a_chunk_of_its_own(void **state)
{
	struct world *w = *state;
	struct client c;

	publish(w, "/AC1/q", "one");
	publish(w, "/AC1/q", "two");
	publish(w, "/AC1/q", "three");
	poll_start(&c, w, "/AC1/q");
	assert_int_equal(client_answer(&c), 200);
	assert_non_null(strstr(c.text, "\r\nConnection: keep-alive\r\n"));
	assert_non_null(strstr(c.text, "\r\nTransfer-Encoding: chunked\r\n"));
	assert_non_null(strstr(c.text, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(c.text, "\r\nCache-Control: no-cache\r\n"));
	const char *at = body_of(&c);
	chunk_is(&at, "[\n{\"Hostname\":\"vb.test\",", "\"Body\":\"one\"", "\"}");
	chunk_is(&at, ",\n{", "\"Body\":\"two\"", "\"}");
	chunk_is(&at, ",\n{", "\"Body\":\"three\"", "\"}");
	assert_string_equal(at, "3\r\n\n]\n\r\n0\r\n\r\n");
	client_close(&c);
	POLL(w, "/AC1/q?timeout=0", "3\r\n[]\n\r\n0\r\n\r\n");
	assert_int_equal(world_stat(w, "published"), 3);
	assert_int_equal(world_stat(w, "delivered"), 3);
}

static void ten_messages_unless_asked_otherwise(void **state)
{
	struct world *w = *state;
	char text[8];

	for (int i = 0; i < 13; i++) {
		(void)snprintf(text, sizeof(text), "m%02d", i);
		publish(w, "/AC1/q", text);
	}
	POLL(w, "/AC1/q?max=2", "m00", "m01", "\n]\n");
	POLL(w, "/AC1/q", "m02", "m11", "\n]\n");
	POLL(w, "/AC1/q?max=100", "m12", "\n]\n");
	POLL(w, "/AC1/q?timeout=0", "[]");
}

static void parameters_that_make_no_sense_are_refused(void **state)
{
	static const char *const bad[] = { "timeout=x",
					   "timeout=-1",
					   "timeout=",
					   "max=0",
					   "max=101",
					   "max=x",
					   "empty=1",
					   "ack=auto",
					   "stream=2",
					   "linger=x",
					   "ack=manual&visibility=999ms",
					   "visibility=13h" };
	struct world *w = *state;
	char head[128];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("%s\n", bad[i]);
		(void)snprintf(head, sizeof(head), "GET /AC1/q?session=%s&%s", w->session, bad[i]);
		expect(w, 400, "\"detail\":\"", head, NULL);
	}
	(void)snprintf(head, sizeof(head), "GET /AC1/q?session=%s&timeout=0&empty=204", w->session);
	expect(w, 204, NULL, head, NULL);
}

static void a_poll_ends_with_its_time(void **state)
{
	static const struct {
		const char *target;
		uint64_t ms;
	} cases[] = { { "/AC1/q", 15000 },
		      { "/AC1/q?timeout=500ms", 500 },
		      { "/AC1/q?timeout=90", 90000 },
		      { "/AC1/q?timeout=24h", 600000 } };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client c;

		poll_start(&c, w, cases[i].target);
		assert_false(client_has_answer(&c));
		assert_int_equal(world_stat(w, "waiters"), 1);
		loop_test_advance(w->loop, cases[i].ms - 1);
		assert_false(client_has_answer(&c));
		loop_test_advance(w->loop, 1);
		assert_int_equal(client_answer(&c), 200);
		assert_string_equal(body_of(&c), "3\r\n[]\n\r\n0\r\n\r\n");
		client_close(&c);
		assert_int_equal(world_stat(w, "waiters"), 0);
	}
}

static void who_waits_longest_is_served_first(void **state)
{
	struct world *w = *state;
	struct client c[4];
	char text[8];

	for (int i = 0; i < 4; i++) {
		poll_start(&c[i], w, "/AC1/q");
		assert_false(client_has_answer(&c[i]));
	}
	/* The second one goes away before anything is there for it. */
	client_close(&c[1]);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "waiters"), 3);
	for (int i = 0; i < 3; i++) {
		(void)snprintf(text, sizeof(text), "m%d", i);
		publish(w, "/AC1/q", text);
	}
	assert_int_equal(client_answer(&c[0]), 200);
	assert_non_null(strstr(c[0].text, "\"m0\""));
	assert_int_equal(client_answer(&c[2]), 200);
	assert_non_null(strstr(c[2].text, "\"m1\""));
	assert_int_equal(client_answer(&c[3]), 200);
	assert_non_null(strstr(c[3].text, "\"m2\""));
	for (int i = 0; i < 4; i++)
		if (i != 1)
			client_close(&c[i]);
	assert_int_equal(world_stat(w, "redelivered"), 0);
}

static void what_a_client_did_not_get_comes_first_again(void **state)
{
	struct world *w = *state;
	struct client c;
	int small = 2048;
	char *large = malloc(590000), head[256];

	/* Six times as large as JSON: more than the kernel takes from us for one slow reader. */
	memset(large, 1, 589999);
	large[589999] = '\0';
	client_open(&c, w);
	client_close(&c);
	c = (struct client){ .world = w, .fd = socket(AF_INET, SOCK_STREAM, 0) };
	buf_init(&c.in, 16 << 20);
	assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	struct sockaddr_in in = raw_address(w->port);
	assert_int_equal(connect(c.fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(fcntl(c.fd, F_SETFL, O_NONBLOCK), 0);
	(void)snprintf(head, sizeof(head), "GET /AC1/q?session=%s", w->session);
	client_ask(&c, head, NULL);
	run_some(w->loop);
	int status;
	for (int i = 0; i < 3; i++)
		free(ask(w, &status, "POST /AC1/q", large));
	publish(w, "/AC1/q", "last");
	run_some(w->loop);
	assert_int_equal(world_stat(w, "delivered"), 0);
	raw_reset(c.fd);
	c.fd = -1;
	client_close(&c);
	run_some(w->loop);
	POLL(w, "/AC1/q?max=1", "\\u0001\"", "\"Redelivered\":1}", "\n]\n");
	POLL(w, "/AC1/q?max=100", "\\u0001\"", "\n]\n");
	POLL(w, "/AC1/q?max=100", "\\u0001\"", "\n]\n");
	POLL(w, "/AC1/q?max=100", "\"last\"", "\n]\n");
	assert_true(world_stat(w, "redelivered") >= 1);
	free(large);
}

static void who_reads_and_goes_at_once_has_got_it(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 50; i++) {
		struct client c;

		poll_start(&c, w, "/AC1/q");
		assert_false(client_has_answer(&c));
		publish(w, "/AC1/q", "m");
		while (!str_ends(buf_str(&c.in), STR("0\r\n\r\n"))) {
			if (raw_read(c.fd, &c.in) <= 0) {
				loop_turn(w->loop);
				(void)sched_yield();
			}
		}
		client_close(&c);
		POLL(w, "/AC1/q?timeout=0", "[]");
	}
	assert_int_equal(world_stat(w, "delivered"), 50);
}

static void the_length_of_a_queue_can_be_asked(void **state)
{
	struct world *w = *state;
	char head[256];

	publish(w, "/AC1/q", "a");
	publish(w, "/AC1/q", "b");
	/* whole() reads a body's length, so the answer to HEAD is looked at by hand. */
	(void)snprintf(head, sizeof(head), "HEAD /AC1/q?session=%s", w->session);
	for (int i = 0; i < 2; i++) {
		struct client c;

		client_open(&c, w);
		client_ask(&c, head, NULL);
		RUN_UNTIL(w->loop,
			  raw_read(c.fd, &c.in) > 0 && str_ends(buf_str(&c.in), STR("\r\n\r\n")));
		assert_true(str_find_str(buf_str(&c.in), i ? STR("X-Queue-Length: 1\r\n")
							   : STR("X-Queue-Length: 2\r\n")) <
			    buf_len(&c.in));
		client_close(&c);
		if (i == 0)
			POLL(w, "/AC1/q?max=1", "\"a\"");
	}
}

static void a_publisher_that_wants_xml_gets_an_empty_document(void **state)
{
	struct world *w = *state;

	expect(w, 200, "<Response/>",
	       "POST /AC1/q HTTP/1.1\r\nAccept: text/html, application/xml;q=0.9\r\nX-End:", "a=1");
	expect(w, 200, "Content-Length: 0\r\n",
	       "POST /AC1/q HTTP/1.1\r\nAccept: */*\r\nX-End:", "a=1");
	expect(w, 415, "Accept-Encoding: gzip, identity\r\n",
	       "POST /AC1/q HTTP/1.1\r\nContent-Encoding: br\r\nX-End:", "a=1");
	expect(w, 400, "is not the gzip",
	       "POST /AC1/q HTTP/1.1\r\nContent-Encoding: gzip\r\nX-End:", "a=1");
}

static void a_session_is_never_stored(void **state)
{
	struct world *w = *state;
	struct client c;
	char head[256];

	(void)snprintf(head, sizeof(head), "POST /AC1/q?a=1&session=%s", w->session);
	expect(w, 200, NULL, head, "x");
	poll_start(&c, w, "/AC1/q");
	assert_int_equal(client_answer(&c), 200);
	assert_non_null(strstr(c.text, "\"Url\":\"/AC1/q?a=1\""));
	assert_null(strstr(c.text, w->session));
	client_close(&c);
}

static void names_that_never_were_have_no_stream(void **state)
{
	struct world *w = *state;
	struct stream_stats before, after;
	struct client c[100];
	char target[64];

	run_some(w->loop);
	streams_stats(w->streams, &before);
	for (int i = 0; i < 100; i++) {
		(void)snprintf(target, sizeof(target), "/AC1/events_%d", i);
		poll_start(&c[i], w, target);
	}
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 100);
	streams_stats(w->streams, &after);
	assert_int_equal(after.streams, before.streams);
	for (int i = 0; i < 50; i++)
		client_close(&c[i]);
	loop_test_advance(w->loop, WAIT_MAX);
	for (int i = 50; i < 100; i++) {
		assert_int_equal(client_answer(&c[i]), 200);
		client_close(&c[i]);
	}
	run_some(w->loop);
	streams_stats(w->streams, &after);
	assert_int_equal(after.streams, before.streams);
	POLL(w, "/AC1/responses_x?timeout=0", "[]");
	run_some(w->loop);
	streams_stats(w->streams, &after);
	assert_int_equal(after.streams, before.streams);
}

static void command(struct world *w, int status, const char *piece, const char *body)
{
	char head[256];

	(void)snprintf(head, sizeof(head), "POST /AC1/commands_%s?session=%s", w->dialog,
		       w->session);
	expect(w, status, piece, head, body);
}

static void a_call_is_held_over_its_topics(void **state)
{
	struct world *w = *state;
	struct client c;
	char target[128], piece[128];

	poll_start(&c, w, "/AC1/hello");
	assert_false(client_has_answer(&c));
	world_call(w);
	assert_int_equal(client_answer(&c), 200);
	(void)snprintf(
		piece, sizeof(piece),
		"[\n{\"application\":\"hello\",\"dialog_id\":\"%s\",\"server_id\":", w->dialog);
	assert_non_null(strstr(c.text, piece));
	client_close(&c);
	(void)snprintf(target, sizeof(target), "/AC1/events_%s", w->dialog);
	POLL(w, target, "[\n{\"server_id\":\"pbx1\",\"timestamp\":\"",
	     "\"ari_body\":\"{\\\"type\\\":\\\"StasisStart\\\"}\",\"dialog_id\":\"", "\"seq\":1}");
	command(w, 200, NULL, "DUMMY");
	assert_null(w->command);
	command(w, 200, "X-Message-Id: ",
		"{\"unique_id\":\"u1\",\"url\":\"/channels/chan1/"
		"answer\",\"method\":\"POST\",\"body\":"
		"\"{}\"}");
	RUN_UNTIL(w->loop, w->command);
	assert_true(str_eq(w->command->type, STR("POST")));
	assert_true(str_eq(w->command->target, STR("/channels/chan1/answer")));
	assert_true(str_eq(w->command->id, STR("u1")));
	assert_true(str_eq(blob_str(w->command->payload), STR("{}")));
	memory_port_reply(w->engine, w->command, 204, STR(""));
	(void)snprintf(target, sizeof(target), "/AC1/responses_%s", w->dialog);
	POLL(w, target, "[\n{\"unique_id\":\"u1\",\"status_code\":204,\"response_body\":\"\",");
}

static void a_command_that_can_not_be_taken_is_refused_with_a_reason(void **state)
{
	static const char good[] = "{\"url\":\"/channels\",\"method\":\"GET\"}";
	struct world *w = *state;
	char head[256];

	(void)snprintf(head, sizeof(head), "POST /AC1/commands_none?session=%s", w->session);
	expect(w, 404, "no call has this dialog", head, good);
	world_call(w);
	command(w, 400, "the command is not valid JSON", "{");
	command(w, 400, "url is missing", "{\"method\":\"GET\"}");
	/* One is with the engine, three wait. */
	for (int i = 0; i < 3; i++)
		command(w, 200, NULL, good);
	int status = 0;
	for (int i = 0; i < 3 && status != 429; i++) {
		(void)snprintf(head, sizeof(head), "POST /AC1/commands_%s?session=%s", w->dialog,
			       w->session);
		char *text = ask(w, &status, head, good);
		if (status == 429)
			assert_non_null(strstr(text, "Retry-After: 1\r\n"));
		free(text);
	}
	assert_int_equal(status, 429);
}

static void stopped(void *arg)
{
}

static void who_waits_is_answered_when_the_port_stops(void **state)
{
	struct world *w = *state;
	struct client c[3];

	for (int i = 0; i < 3; i++) {
		poll_start(&c[i], w, i ? "/AC1/q" : "/AC1/p");
		assert_false(client_has_answer(&c[i]));
	}
	hub_stop(w->hub, 1000, stopped, NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(client_answer(&c[i]), 200);
		client_close(&c[i]);
	}
	expect(w, 503, "voxbus is stopping", "POST /AC1/q", "x");
	expect(w, 503, "voxbus is stopping", "GET /auth", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
		TEST(every_message_is_a_chunk_of_its_own),
		TEST(ten_messages_unless_asked_otherwise),
		TEST(parameters_that_make_no_sense_are_refused),
		TEST(a_poll_ends_with_its_time),
		TEST(who_waits_longest_is_served_first),
		TEST(what_a_client_did_not_get_comes_first_again),
		TEST(who_reads_and_goes_at_once_has_got_it),
		TEST(the_length_of_a_queue_can_be_asked),
		TEST(a_publisher_that_wants_xml_gets_an_empty_document),
		TEST(a_session_is_never_stored),
		TEST(names_that_never_were_have_no_stream),
		TEST(a_call_is_held_over_its_topics),
		TEST(a_command_that_can_not_be_taken_is_refused_with_a_reason),
		TEST(who_waits_is_answered_when_the_port_stops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
