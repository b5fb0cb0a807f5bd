/* SPDX-License-Identifier: MIT */
/* The HTTP server: one exchange after the other, in all the shapes that HTTP/1.x knows. */
#include "http_server_test.h"

static void a_request_is_answered(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = raw_connect(f.port);
	exchange(&f, fd, STR("GET /now?x=1 HTTP/1.1\r\n" HOST "\r\n"), "\r\n\r\n/now");
	assert_got(&f, "HTTP/1.1 200 OK\r\nDate: ");
	assert_got(&f, " GMT\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n/now");
	(void)close(fd);
	RUN_UNTIL(f.loop, open_now(&f) == 0);
	finish(&f);
}

static void a_connection_serves_many_requests(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = raw_connect(f.port);
	for (int i = 0; i < 50; i++)
		exchange(&f, fd, STR("GET /now HTTP/1.1\r\n" HOST "\r\n"), "\r\n\r\n/now");
	assert_int_equal(f.handled, 50);
	(void)close(fd);
	finish(&f);
}

static void a_request_may_come_byte_by_byte(void **state)
{
	struct str wire = STR("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
			      "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: v\r\n\r\n");
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = raw_connect(f.port);
	for (size_t i = 0; i < wire.n; i++) {
		raw_write(fd, str_make(wire.p + i, 1));
		run_some(f.loop);
	}
	RUN_UNTIL(f.loop, got(&f, fd, "Content-Length: 7\r\n\r\nabcdefg"));
	for (size_t i = 1; i < wire.n; i++) {
		raw_write(fd, str_make(wire.p, i));
		run_some(f.loop);
		exchange(&f, fd, str_skip(wire, i), "Content-Length: 7\r\n\r\nabcdefg");
	}
	(void)close(fd);
	finish(&f);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	struct buf want auto_buf, wire auto_buf;
	struct fixture f;
	int fd;

	begin(&f, NULL);
	buf_init(&want, 4096);
	buf_init(&wire, 65536);
	for (int i = 0; i < 200; i++)
		(void)buf_addf(&wire, "GET /n%d HTTP/1.1\r\n" HOST "\r\n", i);
	fd = raw_connect(f.port);
	exchange(&f, fd, buf_str(&wire), "\r\n\r\n/n199");
	for (int i = 0, at = 0; i < 200; i++) {
		struct str rest = str_skip(buf_str(&f.got), (size_t)at);

		buf_clear(&want);
		(void)buf_addf(&want, "\r\n\r\n/n%d", i);
		assert_true(str_find_str(rest, buf_str(&want)) < rest.n);
		at += (int)str_find_str(rest, buf_str(&want));
	}
	(void)close(fd);
	finish(&f);
}

static void a_pipelined_request_waits_for_the_answer_before_it(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\nPOST /echo HTTP/1.1\r\n" HOST
			  "Content-Length: 2\r\n\r\nhiGET /now HTTP/1.1\r\n" HOST "\r\n"));
	run_some(f.loop);
	assert_int_equal(f.handled, 1);
	assert_int_equal(f.gone, 0);
	reply_text(f.parked[0], 200, STR("first"));
	assert_int_equal(f.handled, 1);
	RUN_UNTIL(f.loop, got(&f, fd, "/now"));
	assert_int_equal(f.handled, 3);
	assert_true(str_find_str(buf_str(&f.got), STR("first")) <
		    str_find_str(buf_str(&f.got), STR("\r\n\r\nhi")));
	(void)close(fd);
	finish(&f);
}

static void more_than_the_read_ahead_is_held_back_not_lost(void **state)
{
	struct buf wire auto_buf;
	struct fixture f;
	int fd;

	begin(&f, NULL);
	buf_init(&wire, 1 << 20);
	(void)buf_add(&wire, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));
	for (int i = 0; i < 5000; i++)
		(void)buf_addf(&wire, "GET /n%d HTTP/1.1\r\n" HOST "\r\n", i);
	fd = park(&f, buf_str(&wire));
	run_some(f.loop);
	assert_int_equal(f.gone, 0);
	reply_text(f.parked[0], 200, STR("first"));
	RUN_UNTIL(f.loop, got(&f, fd, "\r\n\r\n/n4999"));
	assert_int_equal(f.handled, 5001);
	(void)close(fd);
	finish(&f);
}

static void a_stream_goes_out_in_chunks(void **state)
{
	struct str parts[20];
	struct http_reply reply = { .status = 200, .body = STR("first") };
	struct fixture f;
	int fd;

	begin(&f, NULL);
	for (size_t i = 0; i < 20; i++)
		parts[i] = STR("x");
	fd = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(http_stream_begin(f.parked[0], &reply), 0);
	assert_int_equal(http_stream_write(f.parked[0], parts, 2), 0);
	assert_int_equal(http_stream_write(f.parked[0], parts, 0), 0);
	assert_int_equal(http_stream_write(f.parked[0], parts, 20), 0);
	assert_int_equal(http_stream_pending(f.parked[0]), 0);
	http_stream_end(f.parked[0]);
	RUN_UNTIL(f.loop, got(&f, fd, "\r\n0\r\n\r\n"));
	assert_got(&f, "Transfer-Encoding: chunked\r\nConnection: "
		       "keep-alive\r\n\r\n5\r\nfirst\r\n2\r\nxx\r\n14\r\nxxxxxxxxxx"
		       "xxxxxxxxxx\r\n0\r\n\r\n");
	exchange(&f, fd, STR("GET /now HTTP/1.1\r\n" HOST "\r\n"), "/now");
	(void)close(fd);
	run_some(f.loop);
	assert_int_equal(f.gone, 0);
	finish(&f);
}

static void a_stream_to_an_old_client_ends_with_the_connection(void **state)
{
	struct str part = STR("second");
	struct http_reply reply = { .status = 200, .body = STR("first ") };
	struct fixture f;
	int fd;

	begin(&f, NULL);
	f.want_sent = true;
	fd = park(&f, STR("GET /park HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
	assert_int_equal(http_stream_begin(f.parked[0], &reply), 0);
	assert_int_equal(http_stream_write(f.parked[0], &part, 1), 0);
	run_some(f.loop);
	http_stream_end(f.parked[0]);
	assert_int_equal(f.sent, 0);
	read_to_end(&f, fd);
	assert_got(&f, "Connection: close\r\n\r\nfirst second");
	assert_int_equal(f.sent, 1);
	(void)close(fd);
	finish(&f);
}

static void head_gets_the_headers_alone(void **state)
{
	struct str part = STR("more");
	struct http_reply reply = { .status = 200, .body = STR("first") };
	struct fixture f;
	int fd;

	begin(&f, NULL);
	ask(&f, STR("HEAD /now HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"));
	assert_got(&f, "Content-Length: 4\r\n");
	assert_true(str_ends(buf_str(&f.got), STR("\r\n\r\n")));
	buf_clear(&f.got);
	fd = park(&f, STR("HEAD /park HTTP/1.1\r\n" HOST "\r\nGET /now HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(http_stream_begin(f.parked[0], &reply), 0);
	assert_int_equal(http_stream_write(f.parked[0], &part, 1), 0);
	http_stream_end(f.parked[0]);
	RUN_UNTIL(f.loop, got(&f, fd, "/now"));
	assert_got(&f,
		   "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\nHTTP/1.1 200 OK");
	(void)close(fd);
	finish(&f);
}

static void old_clients_are_served_and_closed(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	ask(&f, STR("GET /now HTTP/1.0\r\n\r\n"));
	assert_got(&f, "Connection: close\r\n\r\n/now");
	fd = raw_connect(f.port);
	for (int i = 0; i < 2; i++) {
		exchange(&f, fd, STR("GET /now HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
			 "/now");
		assert_got(&f, "Connection: keep-alive\r\n\r\n/now");
	}
	(void)close(fd);
	ask(&f, STR("GET /now HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"));
	assert_got(&f, "Connection: close\r\n\r\n/now");
	finish(&f);
}

static void handle_named(void *arg, struct http_request *r)
{
	const struct http_request_info *info = http_request_info(r);
	struct buf b auto_buf;

	buf_init(&b, 4096);
	(void)buf_addf(&b, "%s path=%.*s query=%s%.*s minor=%d peer=%.*s a=%.*s", (const char *)arg,
		       STR_ARG(info->path), info->query.p ? "?" : "-", STR_ARG(info->query),
		       info->minor, STR_ARG(info->peer_address),
		       STR_ARG(http_request_header(r, STR("x-a"))));
	reply_text(r, 200, buf_str(&b));
}

static void the_longest_mount_wins(void **state)
{
	static const struct {
		const char *target, *want;
	} cases[] = {
		{ "/auth", "\r\n\r\nauth path=/auth query=- minor=1 peer=127.0.0.1 a=v" },
		{ "/auth?", "\r\n\r\nauth path=/auth query=? " },
		{ "/auth/x?y=%20", "\r\n\r\nauth path=/auth/x query=?y=%20 " },
		{ "/auth/deep/x", "\r\n\r\ndeep path=/auth/deep/x" },
		{ "/auth/deeper", "\r\n\r\nauth path=/auth/deeper" },
		{ "/authx", "\r\n\r\n/authx" },
		{ "http://h/auth/a?b", "\r\n\r\nauth path=/auth/a query=?b " },
		{ "http://h?b", "\r\n\r\n/" },
		{ "http://h", "\r\n\r\n/" },
	};
	struct http_mount mounts[] = {
		{ .prefix = STR("/auth/"), .handle = handle_named, .arg = (char *)"auth" },
		{ .prefix = STR("/auth/deep"), .handle = handle_named, .arg = (char *)"deep" },
	};
	struct fixture f;

	begin(&f, NULL);
	assert_int_equal(http_server_mount(f.server, &mounts[0]), 0);
	assert_int_equal(http_server_mount(f.server, &mounts[1]), 0);
	assert_int_equal(http_server_mount(f.server, &mounts[1]), -EEXIST);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf wire auto_buf;

		buf_init(&wire, 4096);
		(void)buf_addf(&wire,
			       "GET %s HTTP/1.1\r\n" HOST "X-A: v\r\nConnection: close\r\n\r\n",
			       cases[i].target);
		ask(&f, buf_str(&wire));
		assert_got(&f, cases[i].want);
	}
	finish(&f);
}

static void what_nobody_serves_is_a_problem(void **state)
{
	struct http_mount mount = { .prefix = STR("/a"),
				    .handle = handle_named,
				    .arg = (char *)"a" };
	struct http_server *bare;
	struct fixture f;
	struct err e;
	int fd;

	begin(&f, NULL);
	assert_int_equal(http_server_create(f.loop, NULL, NULL, &bare), 0);
	assert_int_equal(http_server_mount(bare, &mount), 0);
	assert_int_equal(http_server_listen(bare, STR("127.0.0.1:0"), &e), 0);
	fd = raw_connect(http_server_port(bare, 0));
	exchange(&f, fd, STR("GET /b%22\"?c HTTP/1.1\r\n" HOST "\r\n"), "}\n");
	assert_got(&f, "HTTP/1.1 404 Not Found\r\n");
	assert_got(&f, "Content-Type: application/problem+json\r\n");
	assert_got(&f,
		   "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":"
		   "\"nothing is served under this path\",\"instance\":\"/b%22\\\"\"}\n");
	exchange(&f, fd, STR("POST /b HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"), "}\n");
	assert_got(&f, "404 Not Found");
	read_to_end(&f, fd);
	(void)close(fd);
	bare = http_server_destroy(bare);
	finish(&f);
}

static void the_body_is_asked_for_when_it_may_come(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = raw_connect(f.port);
	exchange(&f, fd,
		 STR("POST /echo HTTP/1.1\r\n" HOST
		     "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
		 "HTTP/1.1 100 Continue\r\n\r\n");
	assert_int_equal(f.handled, 0);
	exchange(&f, fd, STR("hi"), "\r\n\r\nhi");
	assert_false(has(&f.got, "100"));
	exchange(&f, fd,
		 STR("POST /echo HTTP/1.1\r\n" HOST
		     "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nho"),
		 "\r\n\r\nho");
	assert_false(has(&f.got, "100 Continue"));
	exchange(&f, fd, STR("GET /now HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n"), "/now");
	assert_false(has(&f.got, "100 Continue"));
	exchange(&f, fd, STR("GET /now HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n"), "}\n");
	assert_got(&f, "417 Expectation Failed");
	exchange(&f, fd,
		 STR("POST /now HTTP/1.1\r\n" HOST "Expect: tea\r\nContent-Length: 1\r\n\r\n"),
		 "417 Expectation Failed");
	read_to_end(&f, fd);
	(void)close(fd);
	finish(&f);
}

static void a_body_too_large_is_not_asked_for(void **state)
{
	struct fixture f;

	begin(&f, NULL);
	ask(&f, STR("POST /echo HTTP/1.1\r\n" HOST
		    "Expect: 100-continue\r\nContent-Length: 4097\r\n\r\n"));
	assert_got(&f, "413 Content Too Large");
	assert_got(&f, "Connection: close\r\n");
	assert_false(has(&f.got, "100 Continue"));
	assert_int_equal(f.handled, 0);
	finish(&f);
}

static void an_upgrade_hands_the_connection_over(void **state)
{
	static const char *const paths[] = { "/up", "/park" };

	for (size_t i = 0; i < 2; i++) {
		struct buf wire auto_buf;
		struct fixture f;
		int fd;

		begin(&f, NULL);
		buf_init(&wire, 4096);
		(void)buf_addf(&wire,
			       "GET %s HTTP/1.1\r\n" HOST
			       "Connection: Upgrade\r\nUpgrade: test\r\n\r\nearly ",
			       paths[i]);
		fd = raw_connect(f.port);
		raw_write(fd, buf_str(&wire));
		RUN_UNTIL(f.loop, f.handled == 1);
		run_some(f.loop);
		assert_int_equal(f.gone, 0);
		if (f.n_parked)
			assert_int_equal(take_over(&f, f.parked[0]), 0);
		RUN_UNTIL(f.loop, got(&f, fd, "\r\n\r\n"));
		assert_got(&f, "HTTP/1.1 101 Switching Protocols\r\n");
		assert_got(&f, "Upgrade: test\r\nConnection: Upgrade\r\n\r\n");
		RUN_UNTIL(f.loop, open_now(&f) == 0);
		raw_write(fd, STR("late"));
		RUN_UNTIL(f.loop, has(&f.said, "early late"));
		(void)close(fd);
		RUN_UNTIL(f.loop, f.taken == NULL);
		assert_int_equal(f.gone, 0);
		finish(&f);
	}
}

static void headers_that_would_break_the_answer_are_not_sent(void **state)
{
	struct http_header evil = { STR("Location"), STR("/x\r\nSet-Cookie: a=b") },
			   ours[] = { { STR("content-length"), STR("99") },
				      { STR("X"), STR("y") } };
	struct http_reply reply = { .status = 302, .headers = &evil, .n_headers = 1 };
	struct fixture f;
	int fd;

	begin(&f, NULL);
	log_setup(LOG_ERROR + 1, LOG_LOGFMT, stderr);
	fd = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(http_stream_begin(f.parked[0], &reply), -EINVAL);
	http_reply(f.parked[0], &reply);
	RUN_UNTIL(f.loop, got(&f, fd, "\r\n\r\n"));
	assert_got(&f, "500 Internal Server Error");
	assert_false(has(&f.got, "Cookie"));
	raw_write(fd, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));
	RUN_UNTIL(f.loop, f.n_parked == 2);
	reply = (struct http_reply){ .status = 204, .headers = ours, .n_headers = 2 };
	http_reply(f.parked[1], &reply);
	RUN_UNTIL(f.loop, got(&f, fd, "X: y\r\n\r\n"));
	assert_false(has(&f.got, "99"));
	(void)close(fd);
	log_setup(LOG_INFO, LOG_LOGFMT, stderr);
	finish(&f);
}

static void sent_is_told_in_a_turn_of_its_own(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	f.want_sent = true;
	fd = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\nGET /now HTTP/1.1\r\n" HOST "\r\n"));
	reply_text(f.parked[0], 200, STR("ok"));
	assert_int_equal(f.sent, 0);
	RUN_UNTIL(f.loop, f.sent == 2);
	RUN_UNTIL(f.loop, got(&f, fd, "/now"));
	(void)close(fd);
	run_some(f.loop);
	assert_int_equal(f.gone, 0);
	finish(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_answered),
		cmocka_unit_test(a_connection_serves_many_requests),
		cmocka_unit_test(a_request_may_come_byte_by_byte),
		cmocka_unit_test(pipelined_requests_are_answered_in_order),
		cmocka_unit_test(a_pipelined_request_waits_for_the_answer_before_it),
		cmocka_unit_test(more_than_the_read_ahead_is_held_back_not_lost),
		cmocka_unit_test(a_stream_goes_out_in_chunks),
		cmocka_unit_test(a_stream_to_an_old_client_ends_with_the_connection),
		cmocka_unit_test(head_gets_the_headers_alone),
		cmocka_unit_test(old_clients_are_served_and_closed),
		cmocka_unit_test(the_longest_mount_wins),
		cmocka_unit_test(what_nobody_serves_is_a_problem),
		cmocka_unit_test(the_body_is_asked_for_when_it_may_come),
		cmocka_unit_test(a_body_too_large_is_not_asked_for),
		cmocka_unit_test(an_upgrade_hands_the_connection_over),
		cmocka_unit_test(headers_that_would_break_the_answer_are_not_sent),
		cmocka_unit_test(sent_is_told_in_a_turn_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
