/* SPDX-License-Identifier: MIT */
/* The HTTP client against scripted servers: every kind of body, and every way to fail. */
#include "net_test.h"

#include "net/conn.h"
#include "net/http_client.h"

struct fixture {
	struct loop *loop;
	struct http_client *client;
	int server, port;
	/* What the last call came to. */
	int dones, rc, status, pieces;
	struct buf body, seen;
	struct http_call *call;
	bool cancel_on_data, destroy_on_data, destroy_on_done, again_on_done;
};

static void on_done(void *arg, int rc, const struct http_response *response)
{
	struct fixture *f = arg;

	f->dones++;
	f->rc = rc;
	f->status = response ? response->status : 0;
	if (response && response->body.n)
		assert_int_equal(buf_add(&f->body, response->body), 0);
	if (f->destroy_on_done)
		f->client = http_client_destroy(f->client);
	if (f->again_on_done) {
		struct http_call_init init = {
			.method = STR("GET"), .target = STR("/again"), .done = on_done, .arg = f
		};

		f->again_on_done = false;
		assert_int_equal(http_client_call(f->client, &init, NULL), 0);
	}
}

static void on_piece(void *arg, struct str piece)
{
	struct fixture *f = arg;

	f->pieces++;
	assert_int_equal(buf_add(&f->body, piece), 0);
	if (f->cancel_on_data)
		http_call_cancel(f->call);
	if (f->destroy_on_data)
		f->client = http_client_destroy(f->client);
}

static void setup(struct fixture *f, bool manual, const struct http_client_options *options)
{
	char origin[64];

	*f = (struct fixture){ 0 };
	assert_int_equal(manual ? loop_create_manual(&f->loop) : loop_create(&f->loop), 0);
	f->server = raw_listen(&f->port);
	(void)snprintf(origin, sizeof(origin), "http://127.0.0.1:%d/ignored", f->port);
	assert_int_equal(http_client_create(f->loop, str_from(origin), options, &f->client, NULL),
			 0);
	buf_init(&f->body, 1 << 24);
	buf_init(&f->seen, 1 << 24);
}

static void teardown(struct fixture *f)
{
	f->client = http_client_destroy(f->client);
	(void)close(f->server);
	buf_fini(&f->body);
	buf_fini(&f->seen);
	f->loop = loop_destroy(f->loop);
}

static int call_with(struct fixture *f, const char *method, bool streaming)
{
	struct http_call_init init = {
		.method = str_from(method),
		.target = STR("/x?y=z"),
		.done = on_done,
		.on_data = streaming ? on_piece : NULL,
		.arg = f,
	};

	if (str_eq(init.method, STR("POST")))
		init.body = STR("{}");
	return http_client_call(f->client, &init, &f->call);
}

static void call(struct fixture *f, const char *method)
{
	assert_int_equal(call_with(f, method, false), 0);
}

/* Reads one request's head (and the two bytes of POST's body). */
static void read_request(struct fixture *f, int fd)
{
	buf_clear(&f->seen);
	RUN_UNTIL(f->loop, (raw_read(fd, &f->seen),
			    str_find_str(buf_str(&f->seen), STR("\r\n\r\n")) < buf_len(&f->seen)));
}

static void answer(struct fixture *f, int fd, struct str s, bool by_byte)
{
	for (size_t i = 0; by_byte && i < s.n && !f->dones; i++) {
		(void)send(fd, s.p + i, 1, MSG_NOSIGNAL);
		loop_turn(f->loop);
		loop_turn(f->loop);
	}
	if (!by_byte)
		raw_write(fd, s);
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static const struct {
	const char *what, *method, *answer;
	bool closes;
	int rc, status;
	const char *body;
} cases[] = {
	{ "length", "GET", OK, false, 0, 200, "ok" },
	{ "POST", "POST", OK, false, 0, 200, "ok" },
	{ "chunked", "GET",
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
	  false, 0, 200, "abc" },
	{ "until close", "GET", "HTTP/1.1 200 OK\r\n\r\nall of it", true, 0, 200, "all of it" },
	{ "HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\n\r\nold", true, 0, 200, "old" },
	{ "an error is an answer", "GET", "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\ngone", false,
	  0, 404, "gone" },
	{ "interim answers", "GET",
	  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" OK, false, 0, 200,
	  "ok" },
	{ "HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", false, 0, 200, "" },
	{ "HEAD with an interim answer", "HEAD",
	  "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", false, 0, 200,
	  "" },
	{ "204", "DELETE", "HTTP/1.1 204 No Content\r\n\r\n", false, 0, 204, "" },
	{ "304", "GET", "HTTP/1.1 304 Not Modified\r\n\r\n", false, 0, 304, "" },
	{ "length 0", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 0, 200, "" },
	{ "more than was asked for", "GET", OK "HTTP/1.1 200 OK\r\n", false, 0, 200, "ok" },
	{ "closed at once", "GET", "", true, -ECONNRESET, 0, "" },
	{ "cut in the head", "GET", "HTTP/1.1 200 OK\r\nContent-", true, -ECONNRESET, 0, "" },
	{ "cut in the body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", true,
	  -ECONNRESET, 0, "" },
	{ "cut in a chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
	  true, -ECONNRESET, 0, "" },
	{ "cut after 100", "GET", "HTTP/1.1 100 C\r\n\r\n", true, -ECONNRESET, 0, "" },
	{ "not HTTP", "GET", "SSH-2.0-OpenSSH_9.2\r\n\r\n", false, -EBADMSG, 0, "" },
	{ "two lengths", "GET",
	  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", false, -EBADMSG,
	  0, "" },
	{ "an upgrade that nobody asked for", "GET",
	  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", false,
	  -EBADMSG, 0, "" },
	{ "a body said to be too large", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\nx",
	  false, -EMSGSIZE, 0, "" },
	{ "a body that grows too large", "GET",
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n60\r\n"
	  "123456789012345678901234567890123456789012345678"
	  "123456789012345678901234567890123456789012345678\r\n10\r\n1234567890123456\r\n",
	  false, -EMSGSIZE, 0, "" },
};

static void answers_are_read_however_they_come(void **state)
{
	struct http_client_options options = { .response_max = 100 };

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		size_t n = i / 2;
		int fd;

		setup(&f, false, &options);
		call(&f, cases[n].method);
		assert_int_equal(http_client_busy(f.client), 1);
		assert_int_equal(f.dones, 0);
		fd = raw_accept(f.loop, f.server);
		read_request(&f, fd);
		answer(&f, fd, str_from(cases[n].answer), i % 2);
		if (cases[n].closes)
			(void)close(fd);
		RUN_UNTIL(f.loop, f.dones);
		if (f.rc != cases[n].rc || f.status != cases[n].status ||
		    !str_eq(buf_str(&f.body), str_from(cases[n].body)))
			fail_msg("%s: %d, status %d, body %.*s", cases[n].what, f.rc, f.status,
				 STR_ARG(buf_str(&f.body)));
		assert_int_equal(http_client_busy(f.client), 0);
		run_some(f.loop);
		assert_int_equal(f.dones, 1);
		if (!cases[n].closes)
			(void)close(fd);
		teardown(&f);
	}
}

static void requests_say_what_they_must(void **state)
{
	struct fixture f;
	struct http_header header = { STR("Authorization"), STR("Basic eA==") };
	struct http_call_init init = {
		.method = STR("POST"),
		.target = STR("/a%20b?c=d"),
		.headers = &header,
		.n_headers = 1,
		.body = STR("body"),
		.done = on_done,
		.arg = &f,
	};
	char expected[300];
	int fd;

	setup(&f, false, NULL);
	assert_int_equal(http_client_call(f.client, &init, NULL), 0);
	fd = raw_accept(f.loop, f.server);
	(void)snprintf(expected, sizeof(expected),
		       "POST /a%%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
		       "Authorization: Basic eA==\r\nContent-Length: 4\r\n\r\nbody",
		       f.port);
	RUN_UNTIL(f.loop, (raw_read(fd, &f.seen), buf_len(&f.seen) >= strlen(expected)));
	assert_true(str_eq(buf_str(&f.seen), str_from(expected)));
	(void)close(fd);
	teardown(&f);
}

static void requests_that_would_break_are_refused(void **state)
{
	static const struct {
		const char *method, *target, *name, *value;
	} bad[] = {
		{ "GET", "/a b", "X", "y" },
		{ "GET", "/a\r\nX: y", "X", "y" },
		{ "G T", "/", "X", "y" },
		{ "GET", "/", "X", "a\r\nEvil: b" },
		{ "GET", "/", "X y", "z" },
		{ "GET", "/", "Host", "evil" },
		{ "GET", "/", "content-length", "5" },
		{ "GET", "/", "Connection", "close" },
		{ "GET", "/", "transfer-encoding", "chunked" },
	};
	struct fixture f;

	setup(&f, false, NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct http_header h = { str_from(bad[i].name), str_from(bad[i].value) };
		struct http_call_init init = {
			.method = str_from(bad[i].method),
			.target = str_from(bad[i].target),
			.headers = &h,
			.n_headers = 1,
			.done = on_done,
			.arg = &f,
		};

		assert_int_equal(http_client_call(f.client, &init, NULL), -EINVAL);
	}
	assert_int_equal(http_client_busy(f.client), 0);
	teardown(&f);
}

static void origins_are_checked(void **state)
{
	static const struct {
		const char *origin, *says;
	} bad[] = {
		{ "https://pbx:8089", "no settings for TLS" },
		{ "pbx:8088", "http://host:port" },
		{ "http://", "http://" },
		{ "http://u:p@pbx:80", "user" },
		{ "http://pbx:99999", "port" },
		{ "http://pb x", "URL" },
		{ "http://pbx/#f", "URL" },
		{ "http://pbx?x", "path" },
		{ "unix:relative", "absolute" },
	};
	struct http_client *client;
	struct loop *loop;

	assert_int_equal(loop_create(&loop), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err e = { 0 };

		assert_int_equal(
			http_client_create(loop, str_from(bad[i].origin), NULL, &client, &e),
			-EINVAL);
		if (!strstr(e.text, bad[i].says))
			fail_msg("%s: %s", bad[i].origin, e.text);
		assert_null(strstr(e.text, "u:p"));
	}
	assert_int_equal(http_client_create(loop, STR("HTTP://[::1]/ari"), NULL, &client, NULL), 0);
	client = http_client_destroy(client);
	loop = loop_destroy(loop);
}

static void one_connection_serves_call_after_call(void **state)
{
	struct fixture f;
	int fd, none;

	setup(&f, false, NULL);
	call(&f, "GET");
	fd = raw_accept(f.loop, f.server);
	for (int i = 1; i <= 3; i++) {
		read_request(&f, fd);
		answer(&f, fd, STR(OK), false);
		RUN_UNTIL(f.loop, f.dones == i);
		call(&f, i % 2 ? "POST" : "GET");
	}
	run_some(f.loop);
	none = accept4(f.server, NULL, NULL, SOCK_NONBLOCK);
	assert_int_equal(none, -1);
	(void)close(fd);
	teardown(&f);
}

/* A first answer, and then a second call whose connection closes without a byte. */
static int used_connection_closes(struct fixture *f, const char *method)
{
	int fd;

	setup(f, false, NULL);
	call(f, "GET");
	fd = raw_accept(f->loop, f->server);
	read_request(f, fd);
	answer(f, fd, STR(OK), false);
	RUN_UNTIL(f->loop, f->dones == 1);
	buf_clear(&f->body);
	call(f, method);
	read_request(f, fd);
	(void)close(fd);
	return fd;
}

static void an_idempotent_call_is_sent_again_once(void **state)
{
	struct fixture f;
	int fd;

	(void)used_connection_closes(&f, "GET");
	fd = raw_accept(f.loop, f.server);
	read_request(&f, fd);
	answer(&f, fd, STR(OK), false);
	RUN_UNTIL(f.loop, f.dones == 2);
	assert_int_equal(f.rc, 0);
	(void)close(fd);
	teardown(&f);

	(void)used_connection_closes(&f, "DELETE");
	fd = raw_accept(f.loop, f.server);
	read_request(&f, fd);
	(void)close(fd);
	RUN_UNTIL(f.loop, f.dones == 2);
	assert_int_equal(f.rc, -ECONNRESET);
	assert_int_equal(http_client_busy(f.client), 0);
	teardown(&f);
}

static void a_post_is_never_sent_again(void **state)
{
	struct fixture f;

	(void)used_connection_closes(&f, "POST");
	RUN_UNTIL(f.loop, f.dones == 2);
	assert_int_equal(f.rc, -ECONNRESET);
	run_some(f.loop);
	assert_int_equal(accept4(f.server, NULL, NULL, SOCK_NONBLOCK), -1);
	teardown(&f);
}

static void a_call_on_a_fresh_connection_is_not_sent_again(void **state)
{
	struct fixture f;
	int fd;

	setup(&f, false, NULL);
	call(&f, "GET");
	fd = raw_accept(f.loop, f.server);
	read_request(&f, fd);
	raw_reset(fd);
	RUN_UNTIL(f.loop, f.dones);
	assert_int_equal(f.rc, -ECONNRESET);
	assert_int_equal(accept4(f.server, NULL, NULL, SOCK_NONBLOCK), -1);
	teardown(&f);
}

static void a_kept_alive_connection_that_closes_is_forgotten(void **state)
{
	struct fixture f;
	int fd;

	setup(&f, false, NULL);
	call(&f, "GET");
	fd = raw_accept(f.loop, f.server);
	read_request(&f, fd);
	answer(&f, fd, STR(OK), false);
	RUN_UNTIL(f.loop, f.dones == 1);
	(void)close(fd);
	run_some(f.loop);
	call(&f, "POST");
	fd = raw_accept(f.loop, f.server);
	read_request(&f, fd);
	answer(&f, fd, STR("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
	       false);
	RUN_UNTIL(f.loop, f.dones == 2);
	assert_int_equal(f.rc, 0);
	/* It said close: the next call has a connection of its own. */
	call(&f, "POST");
	(void)close(fd);
	fd = raw_accept(f.loop, f.server);
	(void)close(fd);
	teardown(&f);
}

static void refused_and_unknown_origins_are_told(void **state)
{
	struct fixture f;

	setup(&f, false, NULL);
	(void)close(f.server);
	call(&f, "GET");
	assert_int_equal(f.dones, 0);
	RUN_UNTIL(f.loop, f.dones);
	assert_int_equal(f.rc, -ECONNREFUSED);
	f.client = http_client_destroy(f.client);
	assert_int_equal(http_client_create(f.loop, STR("unix:/nosuch/s"), NULL, &f.client, NULL),
			 0);
	call(&f, "GET");
	RUN_UNTIL(f.loop, f.dones == 2);
	assert_int_equal(f.rc, -ENOENT);
	f.server = -1;
	teardown(&f);
}

static void deadlines_cover_the_queue_and_the_answer(void **state)
{
	struct http_client_options options = { .conns_max = 1 };
	struct fixture f;
	int fd;

	setup(&f, true, &options);
	call(&f, "GET");
	call(&f, "GET");
	fd = raw_accept(f.loop, f.server);
	read_request(&f, fd);
	answer(&f, fd, STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), false);
	run_some(f.loop);
	loop_test_advance(f.loop, 9999);
	assert_int_equal(f.dones, 0);
	loop_test_advance(f.loop, 1);
	assert_int_equal(f.dones, 2);
	assert_int_equal(f.rc, -ETIMEDOUT);
	assert_int_equal(http_client_busy(f.client), 0);
	(void)close(fd);
	teardown(&f);
}

static void a_full_queue_refuses_and_moves_on(void **state)
{
	struct http_client_options options = { .conns_max = 2, .queue_max = 2 };
	struct fixture f;
	int fd;

	setup(&f, false, &options);
	for (int i = 0; i < 4; i++)
		call(&f, "GET");
	assert_int_equal(call_with(&f, "GET", false), -EAGAIN);
	assert_int_equal(http_client_busy(f.client), 4);
	fd = raw_accept(f.loop, f.server);
	for (int i = 1; i <= 3; i++) {
		read_request(&f, fd);
		answer(&f, fd, STR(OK), false);
		RUN_UNTIL(f.loop, f.dones == i);
	}
	assert_int_equal(http_client_busy(f.client), 1);
	assert_int_equal(call_with(&f, "GET", false), 0);
	(void)close(fd);
	teardown(&f);
}

static void cancelled_calls_say_nothing(void **state)
{
	struct http_client_options options = { .conns_max = 1 };
	struct fixture f;
	struct http_call *running;
	int fd;

	setup(&f, false, &options);
	call(&f, "GET");
	running = f.call;
	call(&f, "GET");
	http_call_cancel(f.call);
	call(&f, "GET");
	fd = raw_accept(f.loop, f.server);
	read_request(&f, fd);
	http_call_cancel(running);
	(void)close(fd);
	/* The one that waited gets a connection of its own. */
	fd = raw_accept(f.loop, f.server);
	read_request(&f, fd);
	answer(&f, fd, STR(OK), false);
	RUN_UNTIL(f.loop, f.dones);
	run_some(f.loop);
	assert_int_equal(f.dones, 1);
	assert_int_equal(http_client_busy(f.client), 0);
	(void)close(fd);
	teardown(&f);
}

#define STREAM "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static void streams_come_in_pieces_and_have_no_deadline(void **state)
{
	struct fixture f;
	int fd;

	setup(&f, true, NULL);
	assert_int_equal(call_with(&f, "GET", true), 0);
	fd = raw_accept(f.loop, f.server);
	read_request(&f, fd);
	answer(&f, fd, STR(STREAM "3\r\none\r\n"), false);
	RUN_UNTIL(f.loop, f.pieces == 1);
	loop_test_advance(f.loop, 3600 * 1000);
	answer(&f, fd, STR("3\r\ntwo\r\n0\r\n\r\n"), false);
	RUN_UNTIL(f.loop, f.dones);
	assert_int_equal(f.rc, 0);
	assert_true(str_eq(buf_str(&f.body), STR("onetwo")));
	/* A refusal comes whole. */
	buf_clear(&f.body);
	assert_int_equal(call_with(&f, "GET", true), 0);
	read_request(&f, fd);
	answer(&f, fd, STR("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"), false);
	RUN_UNTIL(f.loop, f.dones == 2);
	assert_int_equal(f.status, 403);
	assert_int_equal(f.pieces, 2);
	assert_true(str_eq(buf_str(&f.body), STR("no")));
	(void)close(fd);
	teardown(&f);
}

static void everything_may_be_destroyed_in_its_events(void **state)
{
	for (int i = 0; i < 3; i++) {
		struct fixture f;
		int fd;

		setup(&f, false, NULL);
		f.cancel_on_data = i == 0;
		f.destroy_on_data = i == 1;
		f.destroy_on_done = i == 2;
		assert_int_equal(call_with(&f, "GET", i < 2), 0);
		fd = raw_accept(f.loop, f.server);
		read_request(&f, fd);
		answer(&f, fd, STR(STREAM "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), false);
		RUN_UNTIL(f.loop, f.pieces || f.dones);
		run_some(f.loop);
		assert_int_equal(f.dones, i == 2);
		(void)close(fd);
		teardown(&f);
	}
}

static void a_call_may_follow_in_done(void **state)
{
	struct fixture f;
	int fd;

	setup(&f, false, NULL);
	f.again_on_done = true;
	call(&f, "GET");
	fd = raw_accept(f.loop, f.server);
	read_request(&f, fd);
	answer(&f, fd, STR(OK), false);
	RUN_UNTIL(f.loop, f.dones);
	read_request(&f, fd);
	assert_true(str_starts(buf_str(&f.seen), STR("GET /again ")));
	answer(&f, fd, STR(OK), false);
	RUN_UNTIL(f.loop, f.dones == 2);
	(void)close(fd);
	teardown(&f);
}

static void idle_connections_are_closed(void **state)
{
	struct fixture f;
	struct buf end;
	int fd;

	setup(&f, true, NULL);
	call(&f, "GET");
	fd = raw_accept(f.loop, f.server);
	read_request(&f, fd);
	answer(&f, fd, STR(OK), false);
	RUN_UNTIL(f.loop, f.dones);
	buf_init(&end, 1 << 20);
	loop_test_advance(f.loop, 9999);
	assert_int_equal(raw_read(fd, &end), -1);
	loop_test_advance(f.loop, 1);
	RUN_UNTIL(f.loop, raw_read(fd, &end) == 0);
	buf_fini(&end);
	(void)close(fd);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_however_they_come),
		cmocka_unit_test(requests_say_what_they_must),
		cmocka_unit_test(requests_that_would_break_are_refused),
		cmocka_unit_test(origins_are_checked),
		cmocka_unit_test(one_connection_serves_call_after_call),
		cmocka_unit_test(an_idempotent_call_is_sent_again_once),
		cmocka_unit_test(a_post_is_never_sent_again),
		cmocka_unit_test(a_call_on_a_fresh_connection_is_not_sent_again),
		cmocka_unit_test(a_kept_alive_connection_that_closes_is_forgotten),
		cmocka_unit_test(refused_and_unknown_origins_are_told),
		cmocka_unit_test(deadlines_cover_the_queue_and_the_answer),
		cmocka_unit_test(a_full_queue_refuses_and_moves_on),
		cmocka_unit_test(cancelled_calls_say_nothing),
		cmocka_unit_test(streams_come_in_pieces_and_have_no_deadline),
		cmocka_unit_test(everything_may_be_destroyed_in_its_events),
		cmocka_unit_test(a_call_may_follow_in_done),
		cmocka_unit_test(idle_connections_are_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
