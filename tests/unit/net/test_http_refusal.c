/* SPDX-License-Identifier: MIT */
/* What the server answers by itself: status, detail, and the headers of the mount that it belongs to. */
#include "http_server_test.h"

#define ROOT     "X-Root: r\r\n"
#define API      "X-Api: a\r\n"
#define LONG_64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONG_256 LONG_64 LONG_64 LONG_64 LONG_64

static const struct http_header root_headers[] = { { STR_INIT("X-Root"), STR_INIT("r") } };
static const struct http_header api_headers[] = { { STR_INIT("X-Api"), STR_INIT("a") } };

/* "/", "/api" and, without headers of its own, "/plain". */
static void begin_mounts(struct fixture *f, const struct http_server_options *options)
{
	struct http_mount mounts[] = {
		{ STR("/"), 10, handle, f, root_headers, 1 },
		{ STR("/api"), 20, handle, f, api_headers, 1 },
		{ STR("/plain"), 20, handle, f, NULL, 0 },
	};
	struct err e;

	begin(f, NULL);
	f->server = http_server_destroy(f->server);
	assert_int_equal(http_server_create(f->loop, options, NULL, &f->server), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(http_server_mount(f->server, &mounts[i]), 0);
	assert_int_equal(http_server_listen(f->server, STR("127.0.0.1:0"), &e), 0);
	f->port = http_server_port(f->server, 0);
}

static void refusals_say_why_and_carry_the_headers_of_their_mount(void **state)
{
	static const struct {
		const char *what;
		struct str wire;
		const char *status, *header, *text;
	} cases[] = {
		{ "no path was read", STR_INIT("GET nothing\r\n\r\n"), "400 Bad Request", ROOT,
		  "the first line is not \\\"METHOD TARGET HTTP/1.1\\\"" },
		{ "a path was there, but the head is wrong", STR_INIT("GET /api HTTP/1.1\r\n\r\n"),
		  "400 Bad Request", ROOT, "needs a Host header" },
		{ "the target is too long", STR_INIT("GET /" LONG_256 " HTTP/1.1\r\n" HOST "\r\n"),
		  "414 URI Too Long", ROOT,
		  "longer than 128 bytes; what is long belongs into the body of a POST" },
		{ "the headers are too large",
		  STR_INIT("GET / HTTP/1.1\r\n" HOST "X: " LONG_256 LONG_256 "\r\n\r\n"),
		  "431 Request Header Fields Too Large", ROOT,
		  "at most 512 bytes and 100 lines are taken" },
		{ "the body is too large",
		  STR_INIT("POST /api/x HTTP/1.1\r\n" HOST "Content-Length: 21\r\n\r\n"),
		  "413 Content Too Large", API,
		  "this path takes at most 20 bytes\",\"instance\":\"/api/x\"" },
		{ "a chunked body is",
		  STR_INIT("POST /q HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nb\r\n"
			   "hello world\r\n"),
		  "413 Content Too Large", ROOT,
		  "this path takes at most 10 bytes\",\"instance\":\"/q\"" },
		{ "a chunk is malformed",
		  STR_INIT("POST /api HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz"),
		  "400 Bad Request", API,
		  "a chunk's size is not a hexadecimal number\",\"instance\":\"/api\"" },
		{ "trailers are too large",
		  STR_INIT("POST /api HTTP/1.1\r\n" HOST
			   "Transfer-Encoding: chunked\r\n\r\n0\r\nX: " LONG_256 LONG_256),
		  "431 Request Header Fields Too Large", API, "the trailers are too large in all" },
		{ "an expectation is unknown",
		  STR_INIT("POST /api HTTP/1.1\r\n" HOST
			   "Expect: tea\r\nContent-Length: 1\r\n\r\n"),
		  "417 Expectation Failed", API, "100-continue" },
		{ "a body of type, but no length",
		  STR_INIT("POST /api HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\n\r\nhello"),
		  "411 Length Required", API,
		  "Content-Length (0 for none), or Transfer-Encoding: chunked" },
		{ "the same by PUT",
		  STR_INIT("PUT /q HTTP/1.1\r\n" HOST "Content-Encoding: gzip\r\n\r\nx"),
		  "411 Length Required", ROOT, "" },
		{ "an announced body without a length",
		  STR_INIT("POST /q HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n"),
		  "411 Length Required", ROOT, "" },
		{ "a POST of HTTP/1.0", STR_INIT("POST /api HTTP/1.0\r\n\r\nname=value"),
		  "411 Length Required", API, "" },
		{ "a method of nobody", STR_INIT("BREW /q HTTP/1.1\r\n" HOST "\r\n"),
		  "501 Not Implemented", ROOT, "the method is none that HTTP has" },
		{ "a mount without headers",
		  STR_INIT("POST /plain HTTP/1.1\r\n" HOST "Content-Length: 21\r\n\r\n"),
		  "413 Content Too Large", "Content-Type: application/problem+json\r\n", "" },
	};
	struct http_server_options options = { .header_max = 512, .target_max = 128 };
	struct fixture f;

	begin_mounts(&f, &options);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(&f, cases[i].wire);
		if (!has(&f.got, cases[i].status) || !has(&f.got, cases[i].header) ||
		    !has(&f.got, cases[i].text) || !has(&f.got, "Connection: close\r\n") ||
		    !has(&f.got, "Content-Type: application/problem+json\r\n"))
			fail_msg("%s: got %.*s", cases[i].what, STR_ARG(buf_str(&f.got)));
		assert_int_equal(has(&f.got, ROOT), strcmp(cases[i].header, ROOT) == 0);
		assert_int_equal(has(&f.got, API), strcmp(cases[i].header, API) == 0);
	}
	assert_int_equal(f.handled, 0);
	assert_int_equal(open_now(&f), 0);
	finish(&f);
}

static void what_has_no_body_needs_no_length(void **state)
{
	static const char *const wires[] = {
		"POST /echo HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
		"POST /echo HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
		"PUT /echo HTTP/1.1\r\n" HOST
		"Connection: close\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n",
		"GET /now HTTP/1.1\r\n" HOST "Connection: close\r\nContent-Type: a/b\r\n\r\n",
		"DELETE /now HTTP/1.0\r\n\r\n",
	};
	struct fixture f;

	begin_mounts(&f, NULL);
	for (size_t i = 0; i < sizeof(wires) / sizeof(wires[0]); i++) {
		ask(&f, str_from(wires[i]));
		assert_got(&f, "HTTP/1.1 200 OK\r\n");
	}
	finish(&f);
}

static void late_requests_are_told_how_late(void **state)
{
	static const struct {
		const char *wire, *header, *text;
	} cases[] = {
		{ "GET /api HTT", ROOT, "did not come within 10 s" },
		{ "POST /api HTTP/1.1\r\n" HOST "Content-Length: 20\r\n\r\n1", API,
		  "less than 256 bytes/s over 5 s, or is shorter than was said; nothing was "
		  "stored" },
	};
	struct fixture f;

	begin_mounts(&f, NULL);
	for (size_t i = 0; i < 2; i++) {
		int fd = raw_connect(f.port);

		buf_clear(&f.got);
		raw_write(fd, str_from(cases[i].wire));
		run_some(f.loop);
		loop_test_advance(f.loop, 10001);
		read_to_end(&f, fd);
		assert_got(&f, "HTTP/1.1 408 Request Timeout\r\n");
		assert_got(&f, cases[i].header);
		assert_got(&f, cases[i].text);
		(void)close(fd);
		run_some(f.loop);
	}
	finish(&f);
}

static void who_is_refused_for_now_is_told_when_to_come_back(void **state)
{
	struct http_server_options options = { .conns_max = 1 };
	struct fixture f;
	int fd;

	begin_mounts(&f, &options);
	log_setup(LOG_ERROR, LOG_LOGFMT, stderr);
	fd = park(&f, STR("GET /park HTTP/1.1\r\n" HOST "\r\n"));
	ask(&f, STR(""));
	assert_got(&f, "HTTP/1.1 503 Service Unavailable\r\n");
	assert_got(&f, "Retry-After: 5\r\n");
	assert_got(&f, ROOT);
	log_setup(LOG_INFO, LOG_LOGFMT, stderr);
	(void)close(fd);
	finish(&f);
}

static void what_comes_after_the_stop_is_refused_for_now(void **state)
{
	struct fixture f;
	int fd;

	begin_mounts(&f, NULL);
	fd = raw_connect(f.port);
	raw_write(fd, STR("POST /api HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\na"));
	run_some(f.loop);
	http_server_stop(f.server, 1000, on_stopped, &f);
	raw_write(fd, STR("b"));
	buf_clear(&f.got);
	read_to_end(&f, fd);
	assert_got(&f, "HTTP/1.1 503 Service Unavailable\r\n");
	assert_got(&f, "Retry-After: 5\r\n");
	assert_got(&f, API);
	assert_int_equal(f.handled, 0);
	(void)close(fd);
	finish(&f);
}

static void a_refused_head_has_no_body(void **state)
{
	struct fixture f;
	struct str got;

	begin_mounts(&f, NULL);
	ask(&f, STR("HEAD /api HTTP/1.1\r\n" HOST "Content-Length: 99\r\n\r\n"));
	got = buf_str(&f.got);
	assert_got(&f, "413 Content Too Large");
	assert_got(&f, API);
	assert_int_equal(str_find_str(got, STR("\r\n\r\n")), got.n - 4);
	finish(&f);
}

static void an_asterisk_is_the_root(void **state)
{
	struct fixture f;

	begin_mounts(&f, NULL);
	ask(&f, STR("OPTIONS * HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"));
	assert_got(&f, "HTTP/1.1 200 OK\r\n");
	assert_int_equal(f.handled, 1);
	finish(&f);
}

static void a_mount_has_only_so_many_headers(void **state)
{
	struct http_mount mount = { .prefix = STR("/b"), .handle = handle, .n_headers = 9 };
	struct fixture f;

	begin(&f, NULL);
	assert_int_equal(http_server_mount(f.server, &mount), -EINVAL);
	finish(&f);
}

static void an_answer_that_cannot_go_becomes_a_problem(void **state)
{
	struct http_header bad = { STR("X-Evil"), STR("a\r\nb") };
	struct http_reply reply = { .status = 200, .headers = &bad, .n_headers = 1 };
	struct fixture f;
	int fd;

	begin_mounts(&f, NULL);
	fd = park(&f, STR("GET /api/park HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"));
	http_reply(f.parked[0], &reply);
	read_to_end(&f, fd);
	assert_got(&f, "HTTP/1.1 500 Internal Server Error\r\n");
	assert_got(&f, "Content-Type: application/problem+json\r\n");
	assert_got(&f, API);
	assert_got(&f, "\"instance\":\"/api/park\"");
	(void)close(fd);
	finish(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals_say_why_and_carry_the_headers_of_their_mount),
		cmocka_unit_test(what_has_no_body_needs_no_length),
		cmocka_unit_test(late_requests_are_told_how_late),
		cmocka_unit_test(who_is_refused_for_now_is_told_when_to_come_back),
		cmocka_unit_test(what_comes_after_the_stop_is_refused_for_now),
		cmocka_unit_test(a_refused_head_has_no_body),
		cmocka_unit_test(an_asterisk_is_the_root),
		cmocka_unit_test(a_mount_has_only_so_many_headers),
		cmocka_unit_test(an_answer_that_cannot_go_becomes_a_problem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
