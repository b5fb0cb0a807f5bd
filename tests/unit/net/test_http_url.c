/* SPDX-License-Identifier: MIT */
/* The URL that a client used: what the operator says, what a proxy says, what the request says. */
#include "net_test.h"

#include "net/http_url.h"

#define FORWARDED "X-Forwarded-Proto: https\r\nX-Forwarded-Host: out.test, inner\r\n"

static const char *const local[] = { "10.0.0.0/8", "127.0.0.1" };

static const struct {
	const char *what;
	struct http_origin origin;
	const char *request, *expected;
} cases[] = {
	{ "the request's own",
	  { 0 },
	  "GET /a%20b?c=%64 HTTP/1.1\r\nHost: h:1\r\n",
	  "http://h:1/a%20b?c=%64" },
	{ "an empty query", { 0 }, "GET /a? HTTP/1.1\r\nHost: h\r\n", "http://h/a?" },
	{ "a whole URL as target",
	  { 0 },
	  "GET http://x/a?b HTTP/1.1\r\nHost: h\r\n",
	  "http://h/a?b" },
	{ "what anybody says about a proxy",
	  { 0 },
	  "GET /a HTTP/1.1\r\nHost: h\r\n" FORWARDED,
	  "http://h/a" },
	{ "what another proxy says",
	  { .trusted_proxies = local, .n_trusted_proxies = 1 },
	  "GET /a HTTP/1.1\r\nHost: h\r\n" FORWARDED,
	  "http://h/a" },
	{ "what a trusted proxy says",
	  { .trusted_proxies = local, .n_trusted_proxies = 2 },
	  "GET /a HTTP/1.1\r\nHost: h\r\n" FORWARDED,
	  "https://out.test/a" },
	{ "a trusted proxy that says nothing",
	  { .trusted_proxies = local, .n_trusted_proxies = 2 },
	  "GET /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: gopher\r\n",
	  "http://h/a" },
	{ "the operator before all",
	  { .public_url = "https://vb.test", .trusted_proxies = local, .n_trusted_proxies = 2 },
	  "GET /a?b HTTP/1.1\r\nHost: h\r\n" FORWARDED,
	  "https://vb.test/a?b" },
	{ "with a path of his own",
	  { .public_url = "https://vb.test/pubsub/" },
	  "GET /a HTTP/1.1\r\nHost: h\r\n",
	  "https://vb.test/pubsub/a" },
};

static void reply_url(void *arg, struct http_request *request)
{
	auto_buf struct buf url = { .max = 1000 };

	assert_int_equal(http_request_url(request, &url), 0);
	http_reply(request, &(struct http_reply){ .status = 200, .body = buf_str(&url) });
}

static bool has_answer(int fd, struct buf *got, const char *expected)
{
	auto_buf struct buf end = { .max = 1000 };

	(void)raw_read(fd, got);
	(void)buf_addf(&end, "\r\n\r\n%s", expected);
	return str_ends(buf_str(got), buf_str(&end));
}

static void urls_are_what_the_client_used(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct http_server_options options = { .origin = &cases[i].origin };
		const struct http_mount mount = { .prefix = STR("/"), .handle = reply_url };
		struct http_server *server;
		struct loop *loop;
		struct buf got;
		struct err e;

		print_message("%s\n", cases[i].what);
		buf_init(&got, 65536);
		assert_int_equal(loop_create_manual(&loop), 0);
		assert_int_equal(http_server_create(loop, &options, NULL, &server), 0);
		assert_int_equal(http_server_mount(server, &mount), 0);
		assert_int_equal(http_server_listen(server, STR("127.0.0.1:0"), &e), 0);
		int fd = raw_connect(http_server_port(server, 0));
		assert_true(send(fd, cases[i].request, strlen(cases[i].request), 0) > 0);
		assert_int_equal(send(fd, "\r\n", 2, 0), 2);
		RUN_UNTIL(loop, has_answer(fd, &got, cases[i].expected));
		(void)close(fd);
		(void)http_server_destroy(server);
		run_some(loop);
		(void)loop_destroy(loop);
		buf_fini(&got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(urls_are_what_the_client_used) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
