/* SPDX-License-Identifier: MIT */
/* Our HTTP client and our HTTP server with each other, in the clear and through TLS. */
#include "tls_test.h"

#include "net/http_client.h"
#include "net/http_server.h"

enum { BODY_MAX = 4 << 20 };

struct fixture {
	struct loop *loop;
	struct tls_context *server_tls, *client_tls;
	struct http_server *server;
	struct http_client *client;
	struct http_request *parked;
	int dones, gones, rc, status;
	struct buf body;
};

static void on_gone(void *arg)
{
	((struct fixture *)arg)->gones++;
}

/* /echo answers with the body, /park waits. */
static void handle(void *arg, struct http_request *request)
{
	struct fixture *f = arg;
	const struct http_request_info *info = http_request_info(request);
	struct http_reply reply = { .status = 200, .body = info->body };

	if (str_eq(info->path, STR("/park"))) {
		f->parked = request;
		http_request_on_gone(request, on_gone, f);
		return;
	}
	http_reply(request, &reply);
}

static void setup(struct fixture *f, bool tls)
{
	struct http_mount mount = { STR("/"), BODY_MAX, handle, f };
	struct http_client_options options = { .conns_max = 1 };
	char origin[64];

	*f = (struct fixture){ .rc = 1 };
	buf_init(&f->body, BODY_MAX);
	assert_int_equal(loop_create(&f->loop), 0);
	if (tls) {
		f->server_tls = tls_test_server(f->loop, &pems, "server", NULL);
		options.tls = f->client_tls = tls_test_client(f->loop, &pems, "ca", NULL);
	}
	assert_int_equal(http_server_create(f->loop, NULL, NULL, &f->server), 0);
	assert_int_equal(http_server_mount(f->server, &mount), 0);
	assert_int_equal(http_server_listen_tls(f->server, STR("127.0.0.1:0"), f->server_tls, NULL),
			 0);
	(void)snprintf(origin, sizeof(origin), "http%s://127.0.0.1:%d", tls ? "s" : "",
		       http_server_port(f->server, 0));
	assert_int_equal(http_client_create(f->loop, str_from(origin), &options, &f->client, NULL),
			 0);
}

static void teardown(struct fixture *f)
{
	f->client = http_client_destroy(f->client);
	f->server = http_server_destroy(f->server);
	f->server_tls = tls_context_destroy(f->server_tls);
	f->client_tls = tls_context_destroy(f->client_tls);
	f->loop = loop_destroy(f->loop);
	buf_fini(&f->body);
}

static void on_done(void *arg, int rc, const struct http_response *response)
{
	struct fixture *f = arg;

	f->dones++;
	f->rc = rc;
	f->status = response ? response->status : 0;
	buf_clear(&f->body);
	if (response)
		assert_int_equal(buf_add(&f->body, response->body), 0);
}

static struct http_call *call(struct fixture *f, struct str method, struct str target,
			      struct str body)
{
	struct http_call_init init = {
		.method = method, .target = target, .body = body, .done = on_done, .arg = f
	};
	struct http_call *c;

	assert_int_equal(http_client_call(f->client, &init, &c), 0);
	return c;
}

static void bodies_of_all_sizes_go_there_and_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 16383, 16384, 16385, 100000, BODY_MAX };

	for (int tls = 0; tls < 2; tls++) {
		char *bytes = malloc(BODY_MAX);
		struct http_server_stats stats;
		struct fixture f;

		for (size_t i = 0; i < BODY_MAX; i++)
			bytes[i] = (char)(i % 251);
		setup(&f, tls);
		for (int i = 0; i < (int)(sizeof(sizes) / sizeof(sizes[0])); i++) {
			struct str body = str_make(bytes, sizes[i]);

			(void)call(&f, STR("POST"), STR("/echo"), body);
			RUN_UNTIL(f.loop, f.dones == i + 1);
			assert_int_equal(f.rc, 0);
			assert_int_equal(f.status, 200);
			assert_true(str_eq(buf_str(&f.body), body));
		}
		http_server_stats(f.server, &stats);
		assert_int_equal(stats.connections, 1);
		teardown(&f);
		free(bytes);
	}
}

static void a_parked_request_is_answered_and_a_client_that_goes_is_noticed(void **state)
{
	for (int tls = 0; tls < 2; tls++) {
		struct http_reply reply = { .status = 204 };
		struct http_call *gone;
		struct fixture f;

		setup(&f, tls);
		(void)call(&f, STR("GET"), STR("/park"), STR(""));
		RUN_UNTIL(f.loop, f.parked);
		run_some(f.loop);
		assert_int_equal(f.dones, 0);
		http_reply(f.parked, &reply);
		RUN_UNTIL(f.loop, f.dones == 1);
		assert_int_equal(f.status, 204);
		f.parked = NULL;
		gone = call(&f, STR("GET"), STR("/park"), STR(""));
		RUN_UNTIL(f.loop, f.parked);
		http_call_cancel(gone);
		RUN_UNTIL(f.loop, f.gones == 1);
		teardown(&f);
	}
}

static void a_refused_certificate_is_the_calls_result(void **state)
{
	struct fixture f;

	pem_make(&pems, &(struct pem){ "server", NULL, PEM_HOSTS });
	setup(&f, true);
	(void)call(&f, STR("GET"), STR("/echo"), STR(""));
	RUN_UNTIL(f.loop, f.dones == 1);
	assert_int_equal(f.rc, -EKEYREJECTED);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_of_all_sizes_go_there_and_back),
		cmocka_unit_test(a_parked_request_is_answered_and_a_client_that_goes_is_noticed),
		cmocka_unit_test(a_refused_certificate_is_the_calls_result),
	};

	return cmocka_run_group_tests(tests, pems_begin, pems_end);
}
