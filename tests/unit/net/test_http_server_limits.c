/* SPDX-License-Identifier: MIT */
/* The HTTP server under clients that are slow, too many, malformed, hostile or suddenly gone. */
#include "http_server_test.h"

#include "net/http_server_internal.h"

static struct http_server_stats stats_now(struct fixture *f)
{
	struct http_server_stats stats;

	http_server_stats(f->server, &stats);
	return stats;
}

static void malformed_requests_are_answered_and_cut(void **state)
{
	static const struct {
		const char *what;
		struct str wire;
		const char *want;
	} cases[] = {
		{ "CL.TE",
		  STR_INIT("POST /now HTTP/1.1\r\n" HOST "Content-Length: 6\r\nTransfer-Encoding: "
			   "chunked\r\n\r\n0\r\n\r\nG"),
		  "400 Bad Request" },
		{ "TE.CL",
		  STR_INIT("POST /now HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n"
			   "Content-Length: 3\r\n\r\n0\r\n\r\n"),
		  "400 Bad Request" },
		{ "TE.TE",
		  STR_INIT("POST /now HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n"
			   "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
		  "400 Bad Request" },
		{ "TE other",
		  STR_INIT("POST /now HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"),
		  "501 Not Implemented" },
		{ "obs-fold", STR_INIT("GET /now HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"),
		  "folded lines" },
		{ "CL twice",
		  STR_INIT("POST /now HTTP/1.1\r\n" HOST "Content-Length: 0\r\n"
			   "Content-Length: 0\r\n\r\n"),
		  "Content-Length stands twice" },
		{ "bare LF", STR_INIT("GET /now HTTP/1.1\n" HOST "\n"), "a LF stands without CR" },
		{ "bare CR", STR_INIT("GET /now HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n"),
		  "a CR stands without LF" },
		{ "NUL", STR_INIT("GET /now HTTP/1.1\r\n" HOST "X: \0\r\n\r\n"),
		  "control character" },
		{ "space before the colon", STR_INIT("GET /now HTTP/1.1\r\nHost : a\r\n\r\n"),
		  "colon" },
		{ "no Host", STR_INIT("GET /now HTTP/1.1\r\n\r\n"), "needs a Host header" },
		{ "version", STR_INIT("GET /now HTTP/2.0\r\n" HOST "\r\n"),
		  "505 HTTP Version Not Supported" },
		{ "method", STR_INIT("BREW /now HTTP/1.1\r\n" HOST "\r\n"), "501 Not Implemented" },
		{ "chunk",
		  STR_INIT("POST /now HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nx\r\n"),
		  "400 Bad Request" },
		{ "behind a good one", STR_INIT("GET /now HTTP/1.1\r\n" HOST "\r\n\x16\x03\x01"),
		  "400 Bad Request" },
	};
	size_t n = sizeof(cases) / sizeof(cases[0]);
	struct fixture f;

	begin(&f, NULL);
	for (size_t i = 0; i < n; i++) {
		ask(&f, cases[i].wire);
		if (!has(&f.got, cases[i].want) || !has(&f.got, "Connection: close\r\n"))
			fail_msg("%s: got %.*s", cases[i].what, STR_ARG(buf_str(&f.got)));
	}
	assert_int_equal(f.handled, 1);
	assert_int_equal(stats_now(&f).malformed, n);
	assert_int_equal(stats_now(&f).open, 0);
	finish(&f);
}

static void sizes_are_limited(void **state)
{
	struct http_server_options options = { .header_max = 512, .target_max = 128 };
	struct buf wire auto_buf;
	struct fixture f;

	begin(&f, &options);
	buf_init(&wire, 65536);
	(void)buf_addf(&wire, "GET /%0200d HTTP/1.1\r\n" HOST "\r\n", 0);
	ask(&f, buf_str(&wire));
	assert_got(&f, "414 URI Too Long");
	buf_clear(&wire);
	(void)buf_addf(&wire, "GET / HTTP/1.1\r\n" HOST "X: %0600d\r\n\r\n", 0);
	ask(&f, buf_str(&wire));
	assert_got(&f, "431 Request Header Fields Too Large");
	ask(&f, STR("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4097\r\n\r\n"));
	assert_got(&f, "413 Content Too Large");
	buf_clear(&wire);
	(void)buf_addf(&wire,
		       "POST /echo HTTP/1.1\r\n" HOST
		       "Transfer-Encoding: chunked\r\n\r\n1001\r\n%04097d\r\n0\r\n\r\n",
		       0);
	ask(&f, buf_str(&wire));
	assert_got(&f, "413 Content Too Large");
	assert_int_equal(f.handled, 0);
	buf_clear(&wire);
	(void)buf_addf(&wire,
		       "POST /echo HTTP/1.1\r\n" HOST
		       "Connection: close\r\nContent-Length: 4096\r\n\r\n%04096d",
		       0);
	ask(&f, buf_str(&wire));
	assert_got(&f, "200 OK");
	finish(&f);
}

static void a_head_must_come_in_time(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = raw_connect(f.port);
	exchange(&f, fd, STR("GET /now HTTP/1.1\r\n" HOST "\r\nG"), "/now");
	loop_test_advance(f.loop, 9000);
	raw_write(fd, STR("ET / HT"));
	run_some(f.loop);
	loop_test_advance(f.loop, 999);
	assert_int_equal(stats_now(&f).timeouts, 0);
	loop_test_advance(f.loop, 1);
	read_to_end(&f, fd);
	assert_got(&f, "408 Request Timeout");
	assert_int_equal(stats_now(&f).timeouts, 1);
	(void)close(fd);
	RUN_UNTIL(f.loop, open_now(&f) == 0);
	finish(&f);
}

static void an_idle_connection_is_closed(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = raw_connect(f.port);
	RUN_UNTIL(f.loop, open_now(&f) == 1);
	loop_test_advance(f.loop, 74000);
	exchange(&f, fd, STR("GET /now HTTP/1.1\r\n" HOST "\r\n"), "/now");
	loop_test_advance(f.loop, 74999);
	run_some(f.loop);
	assert_int_equal(open_now(&f), 1);
	loop_test_advance(f.loop, 1);
	buf_clear(&f.got);
	read_to_end(&f, fd);
	assert_int_equal(buf_len(&f.got), 0);
	RUN_UNTIL(f.loop, open_now(&f) == 0);
	assert_int_equal(stats_now(&f).timeouts, 0);
	(void)close(fd);
	finish(&f);
}

static void a_body_must_come_fast_enough(void **state)
{
	struct buf piece auto_buf;
	struct fixture f;
	int fd;

	begin(&f, NULL);
	buf_init(&piece, 4096);
	(void)buf_addf(&piece, "%01280d", 0);
	fd = raw_connect(f.port);
	raw_write(fd, STR("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4000\r\n\r\n"));
	run_some(f.loop);
	for (int i = 0; i < 2; i++) {
		raw_write(fd, buf_str(&piece));
		run_some(f.loop);
		loop_test_advance(f.loop, 5000);
		assert_int_equal(stats_now(&f).timeouts, 0);
	}
	raw_write(fd, str_make(buf_str(&piece).p, 1279));
	run_some(f.loop);
	loop_test_advance(f.loop, 5000);
	read_to_end(&f, fd);
	assert_got(&f, "408 Request Timeout");
	assert_int_equal(stats_now(&f).timeouts, 1);
	assert_int_equal(f.handled, 0);
	(void)close(fd);
	finish(&f);
}

static void a_parked_request_has_no_time_limit(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));
	loop_test_advance(f.loop, 3600000);
	assert_int_equal(f.gone, 0);
	reply_text(f.parked[0], 200, STR("late"));
	RUN_UNTIL(f.loop, got(&f, fd, "late"));
	(void)close(fd);
	finish(&f);
}

static void further_connections_are_told_to_wait(void **state)
{
	struct http_server_options options = { .conns_max = 2 };
	int fds[100];
	struct fixture f;

	begin(&f, &options);
	log_setup(LOG_ERROR, LOG_LOGFMT, stderr);
	for (size_t i = 0; i < 100; i++)
		fds[i] = raw_connect(f.port);
	RUN_UNTIL(f.loop, stats_now(&f).connections == 100);
	read_to_end(&f, fds[2]);
	assert_got(&f, "503 Service Unavailable");
	assert_int_equal(stats_now(&f).refused, 98);
	/* Only so many are told; the others are closed. */
	assert_int_equal(open_now(&f), 2 + 64);
	for (size_t i = 2; i < 100; i++)
		(void)close(fds[i]);
	RUN_UNTIL(f.loop, open_now(&f) == 2);
	exchange(&f, fds[1], STR("GET /now HTTP/1.1\r\n" HOST "\r\n"), "/now");
	(void)close(fds[0]);
	RUN_UNTIL(f.loop, open_now(&f) == 1);
	fds[0] = raw_connect(f.port);
	exchange(&f, fds[0], STR("GET /now HTTP/1.1\r\n" HOST "\r\n"), "/now");
	(void)close(fds[0]);
	(void)close(fds[1]);
	log_setup(LOG_INFO, LOG_LOGFMT, stderr);
	finish(&f);
}

/* The loopback is not counted, so the table is asked itself. */
static void connections_of_one_address_are_counted(void **state)
{
	struct http_server_options options = { .conns_per_address = 2 };
	struct client_address *a[4];
	struct fixture f;

	begin(&f, &options);
	assert_int_equal(server_take_address(f.server, STR("192.0.2.1"), &a[0]), 0);
	assert_int_equal(server_take_address(f.server, STR("192.0.2.1"), &a[1]), 0);
	assert_int_equal(server_take_address(f.server, STR("192.0.2.1"), &a[2]), -EAGAIN);
	assert_int_equal(server_take_address(f.server, STR("192.0.2.10"), &a[2]), 0);
	server_drop_address(f.server, a[0]);
	assert_int_equal(server_take_address(f.server, STR("192.0.2.1"), &a[3]), 0);
	server_drop_address(f.server, a[1]);
	server_drop_address(f.server, a[2]);
	server_drop_address(f.server, a[3]);
	server_drop_address(f.server, NULL);
	assert_int_equal(f.server->addresses.count, 0);
	finish(&f);
}

static void a_client_that_goes_while_it_waits_is_told_of(void **state)
{
	static const struct str wires[] = {
		STR_INIT("GET /park HTTP/1.1\r\n" HOST "\r\n"),
		STR_INIT("GET /park HTTP/1.1\r\n" HOST "\r\nGET /park2 HTTP/1.1\r\n" HOST "\r\n"),
		STR_INIT("GET /park HTTP/1.1\r\n" HOST "\r\nGET /pa"),
		STR_INIT("POST /park HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"),
	};
	struct fixture f;

	begin(&f, NULL);
	for (size_t i = 0; i < 12; i++) {
		int fd = park(&f, wires[i % 4]);

		run_some(f.loop);
		assert_int_equal(f.gone, (int)i);
		if (i < 4)
			(void)close(fd);
		else if (i < 8)
			raw_reset(fd);
		else
			(void)shutdown(fd, SHUT_WR);
		RUN_UNTIL(f.loop, f.gone == (int)i + 1);
		RUN_UNTIL(f.loop, open_now(&f) == 0);
		if (i >= 8)
			(void)close(fd);
	}
	assert_int_equal(f.handled, 12);
	finish(&f);
}

static void an_answer_for_one_who_has_gone_harms_nobody(void **state)
{
	struct str part = STR("x");
	struct http_reply reply = { .status = 200 };
	struct fixture f;

	begin(&f, NULL);
	for (size_t i = 0; i < 3; i++) {
		int fd = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));

		/* The reset is here, but the server has not seen it. */
		raw_reset(fd);
		if (i == 0) {
			reply_text(f.parked[i], 200, STR("ok"));
		} else {
			(void)http_stream_begin(f.parked[i], &reply);
			for (int k = 0; k < 3; k++)
				assert_int_equal(http_stream_write(f.parked[i], &part, 1), -EPIPE);
			if (i == 1)
				http_stream_end(f.parked[i]);
		}
		RUN_UNTIL(f.loop, open_now(&f) == 0);
	}
	/* Only the last one was not done with. */
	assert_int_equal(f.gone, 1);
	finish(&f);
}

static void a_slow_reader_is_bounded(void **state)
{
	struct http_server_options options = { .write_max = 100000 };
	struct http_reply reply = { .status = 200 };
	struct buf piece auto_buf;
	struct str part;
	struct fixture f;
	int fd, rc, n = 0;

	begin(&f, &options);
	f.want_sent = true;
	buf_init(&piece, 65536);
	assert_int_equal(buf_addf(&piece, "%050000d", 0), 0);
	part = buf_str(&piece);
	fd = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(http_stream_begin(f.parked[0], &reply), 0);
	do {
		rc = http_stream_write(f.parked[0], &part, 1);
		n += rc == 0;
	} while (rc == 0);
	assert_int_equal(rc, -ENOBUFS);
	assert_true(http_stream_pending(f.parked[0]) <= 100000 + 100);
	http_stream_end(f.parked[0]);
	run_some(f.loop);
	assert_int_equal(f.sent, 0);
	RUN_UNTIL(f.loop, got(&f, fd, "\r\n0\r\n\r\n"));
	RUN_UNTIL(f.loop, f.sent == 1);
	assert_true(buf_len(&f.got) > (size_t)n * 50000);
	(void)close(fd);
	run_some(f.loop);
	assert_int_equal(f.gone, 0);
	finish(&f);
}

static void a_reader_that_has_stopped_is_cut(void **state)
{
	struct http_server_options options = { .write_max = 32 << 20, .idle_timeout_ms = 60000 };
	struct http_reply reply = { .status = 200 };
	struct buf piece auto_buf;
	struct str part;
	struct fixture f;
	size_t pending;
	int fd, rc;

	begin(&f, &options);
	f.want_sent = true;
	buf_init(&piece, 65536);
	assert_int_equal(buf_addf(&piece, "%050000d", 0), 0);
	part = buf_str(&piece);
	fd = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(http_stream_begin(f.parked[0], &reply), 0);
	while ((rc = http_stream_write(f.parked[0], &part, 1)) == 0)
		;
	assert_int_equal(rc, -ENOBUFS);
	http_stream_end(f.parked[0]);
	/* So much that the kernel never takes it all at once. Who takes some is only slow. */
	loop_test_advance(f.loop, 59999);
	assert_int_equal(f.gone, 0);
	pending = http_stream_pending(f.parked[0]);
	RUN_UNTIL(f.loop,
		  (raw_read(fd, &f.got), f.gone || http_stream_pending(f.parked[0]) < pending));
	loop_test_advance(f.loop, 1);
	assert_int_equal(f.gone, 0);
	loop_test_advance(f.loop, 60000);
	RUN_UNTIL(f.loop, open_now(&f) == 0);
	assert_int_equal(f.gone, 1);
	assert_int_equal(f.sent, 0);
	assert_int_equal(stats_now(&f).timeouts, 1);
	(void)close(fd);
	finish(&f);
}

static void an_answer_over_the_limit_becomes_a_500(void **state)
{
	struct http_server_options options = { .write_max = 1000 };
	struct buf body auto_buf;
	struct fixture f;
	int fd;

	begin(&f, &options);
	log_setup(LOG_ERROR + 1, LOG_LOGFMT, stderr);
	buf_init(&body, 8192);
	(void)buf_addf(&body, "%01001d", 0);
	fd = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));
	reply_text(f.parked[0], 200, buf_str(&body));
	RUN_UNTIL(f.loop, got(&f, fd, "\r\n\r\n"));
	assert_got(&f, "500 Internal Server Error");
	(void)close(fd);
	log_setup(LOG_INFO, LOG_LOGFMT, stderr);
	finish(&f);
}

static void a_graceful_stop_answers_what_runs(void **state)
{
	struct fixture f;
	int idle, busy, reading, late;
	struct sockaddr_in in;

	begin(&f, NULL);
	in = raw_address(f.port);
	idle = raw_connect(f.port);
	busy = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\nGET /now HTTP/1.1\r\n" HOST "\r\n"));
	reading = raw_connect(f.port);
	raw_write(reading, STR("GET /now HTTP/1.1\r\nHo"));
	run_some(f.loop);
	assert_int_equal(open_now(&f), 3);
	http_server_stop(f.server, 5000, on_stopped, &f);
	assert_int_equal(f.stopped, 0);
	read_to_end(&f, idle);
	assert_int_equal(buf_len(&f.got), 0);
	late = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(late, (struct sockaddr *)&in, sizeof(in)), -1);
	raw_write(reading, STR("st: a\r\n\r\n"));
	read_to_end(&f, reading);
	assert_got(&f, "503 Service Unavailable");
	assert_int_equal(f.stopped, 0);
	reply_text(f.parked[0], 200, STR("done"));
	buf_clear(&f.got);
	read_to_end(&f, busy);
	assert_got(&f, "Connection: close\r\n\r\ndone");
	(void)close(idle);
	(void)close(busy);
	(void)close(reading);
	(void)close(late);
	RUN_UNTIL(f.loop, f.stopped == 1);
	assert_int_equal(f.gone, 0);
	assert_int_equal(f.handled, 1);
	run_some(f.loop);
	assert_int_equal(f.stopped, 1);
	finish(&f);
}

static void a_stop_cuts_what_takes_too_long(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));
	http_server_stop(f.server, 5000, on_stopped, &f);
	loop_test_advance(f.loop, 4999);
	run_some(f.loop);
	assert_int_equal(f.gone + f.stopped, 0);
	loop_test_advance(f.loop, 1);
	RUN_UNTIL(f.loop, f.stopped == 1);
	assert_int_equal(f.gone, 1);
	(void)close(fd);
	finish(&f);
}

static void an_idle_server_stops_at_once(void **state)
{
	struct fixture f;

	begin(&f, NULL);
	http_server_stop(f.server, 5000, on_stopped, &f);
	assert_int_equal(f.stopped, 0);
	RUN_UNTIL(f.loop, f.stopped == 1);
	finish(&f);
}

static void destroying_tells_those_that_wait(void **state)
{
	struct fixture f;
	int fds[3];

	begin(&f, NULL);
	for (size_t i = 0; i < 3; i++)
		fds[i] = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));
	reply_text(f.parked[1], 200, STR("ok"));
	f.server = http_server_destroy(f.server);
	assert_int_equal(f.gone, 2);
	for (size_t i = 0; i < 3; i++)
		(void)close(fds[i]);
	finish(&f);
}

/* What ten thousand long polls cost ten thousand times: beside it lies the conn alone. */
static void a_parked_request_is_small(void **state)
{
	struct str wire = STR("POST /park HTTP/1.1\r\n" HOST "User-Agent: x\r\nAccept: */*\r\n"
			      "Content-Length: 600\r\n\r\n");
	struct buf body auto_buf;
	struct http_request *r;
	struct fixture f;
	int fd;

	begin(&f, NULL);
	buf_init(&body, 4096);
	(void)buf_addf(&body, "%0600d", 0);
	fd = raw_connect(f.port);
	raw_write(fd, str_make(wire.p, 30));
	run_some(f.loop);
	raw_write(fd, str_skip(wire, 30));
	run_some(f.loop);
	raw_write(fd, buf_str(&body));
	RUN_UNTIL(f.loop, f.n_parked == 1);
	r = f.parked[0];
	assert_true(sizeof(struct link) + sizeof(struct http_request) <= 256);
	assert_null(r->link->parser);
	assert_null(r->link->ahead);
	assert_int_equal(r->content->body.cap, 600);
	http_request_forget(r);
	assert_null(r->content);
	assert_int_equal(http_request_info(r)->body.n, 0);
	assert_null(http_request_header(r, STR("Host")).p);
	reply_text(r, 200, STR("still answered"));
	RUN_UNTIL(f.loop, got(&f, fd, "still answered"));
	(void)close(fd);
	finish(&f);
}

/* A HEAD that was forgotten is still answered without a body, and HTTP/1.0 by closing. */
static void what_an_answer_depends_on_is_not_forgotten(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = park(&f, STR("HEAD /park HTTP/1.0\r\n\r\n"));
	http_request_forget(f.parked[0]);
	reply_text(f.parked[0], 200, STR("no body"));
	read_to_end(&f, fd);
	assert_got(&f, "Content-Length: 7");
	assert_got(&f, "Connection: close");
	assert_false(has(&f.got, "no body"));
	(void)close(fd);
	finish(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_requests_are_answered_and_cut),
		cmocka_unit_test(sizes_are_limited),
		cmocka_unit_test(a_head_must_come_in_time),
		cmocka_unit_test(an_idle_connection_is_closed),
		cmocka_unit_test(a_body_must_come_fast_enough),
		cmocka_unit_test(a_parked_request_has_no_time_limit),
		cmocka_unit_test(further_connections_are_told_to_wait),
		cmocka_unit_test(connections_of_one_address_are_counted),
		cmocka_unit_test(a_client_that_goes_while_it_waits_is_told_of),
		cmocka_unit_test(an_answer_for_one_who_has_gone_harms_nobody),
		cmocka_unit_test(a_slow_reader_is_bounded),
		cmocka_unit_test(a_reader_that_has_stopped_is_cut),
		cmocka_unit_test(an_answer_over_the_limit_becomes_a_500),
		cmocka_unit_test(a_graceful_stop_answers_what_runs),
		cmocka_unit_test(a_stop_cuts_what_takes_too_long),
		cmocka_unit_test(an_idle_server_stops_at_once),
		cmocka_unit_test(destroying_tells_those_that_wait),
		cmocka_unit_test(a_parked_request_is_small),
		cmocka_unit_test(what_an_answer_depends_on_is_not_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
