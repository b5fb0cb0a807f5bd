/* SPDX-License-Identifier: MIT */
/*
 * What an idle TLS connection of a server costs: every allocation of OpenSSL is counted, and what is
 * ours is added. The clients are another process, so that none of theirs is counted.
 */
#include "tls_test.h"

#include <openssl/crypto.h>
#include <sys/wait.h>

#include "net/conn.h"
#include "net/conn_internal.h"
#include "net/tls_internal.h"

enum { PEERS = 60, ENOUGH = 20 * 1024, HEADER = 16 };

static size_t in_use;

/* As glibc counts: 8 bytes more, in steps of 16. */
static size_t cost(size_t n)
{
	return (n + 8 + 15) / 16 * 16;
}

static void *count_malloc(size_t n, const char *file, int line)
{
	size_t *p = malloc(n + HEADER);

	if (!p)
		return NULL;
	*p = n;
	in_use += cost(n);
	return (char *)p + HEADER;
}

static void count_free(void *at, const char *file, int line)
{
	size_t *p = at ? (size_t *)((char *)at - HEADER) : NULL;

	if (!p)
		return;
	in_use -= cost(*p);
	free(p);
}

static void *count_realloc(void *at, size_t n, const char *file, int line)
{
	size_t *p = at ? (size_t *)((char *)at - HEADER) : NULL, before = p ? *p : 0;

	if (!at)
		return count_malloc(n, file, line);
	p = realloc(p, n + HEADER);
	if (!p)
		return NULL;
	in_use += cost(n) - cost(before);
	*p = n;
	return (char *)p + HEADER;
}

struct fixture {
	struct conn *conns[PEERS];
	size_t n;
	size_t bytes;
};

static void on_data(void *arg, struct str data)
{
	((struct fixture *)arg)->bytes += data.n;
}

static void on_conn(void *arg, struct conn *conn)
{
	static const struct conn_events events = { .on_data = on_data };
	struct fixture *f = arg;

	f->conns[f->n++] = conn;
	conn_set_events(conn, &events, f);
}

/* Connects, says a request, waits for an answer that does not come; ends when the pipe does. */
static pid_t start_clients(int port, int version, const int fds[2])
{
	pid_t pid = fork();
	SSL_CTX *ctx;
	char c;

	if (pid)
		return pid;
	(void)close(fds[1]);
	ctx = SSL_CTX_new(TLS_client_method());
	(void)SSL_CTX_set_max_proto_version(ctx, version);
	for (int i = 0; i < PEERS; i++) {
		struct sockaddr_in in = raw_address(port);
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		SSL *ssl = SSL_new(ctx);

		if (connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0 || !SSL_set_fd(ssl, fd) ||
		    SSL_connect(ssl) != 1 || SSL_write(ssl, "GET / HTTP/1.1\r\n\r\n", 18) != 18)
			_exit(1);
	}
	(void)!read(fds[0], &c, 1);
	_exit(0);
}

static size_t measure(int version)
{
	struct fixture f = { .n = 0 };
	struct tls_context *context;
	struct conn_options options = { 0 };
	struct listener *listener;
	struct loop *loop;
	size_t before, each;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(loop_create(&loop), 0);
	context = tls_test_server(loop, &pems, "server", NULL);
	options.tls = context;
	assert_int_equal(
		listener_create(loop, STR("127.0.0.1:0"), &options, on_conn, &f, &listener, NULL),
		0);
	assert_int_equal(pipe(fds), 0);
	before = in_use;
	pid = start_clients(listener_port(listener), version, fds);
	assert_true(pid > 0);
	RUN_UNTIL(loop, f.bytes == 18 * PEERS);
	each = (in_use - before) / PEERS + cost(sizeof(struct conn)) + cost(sizeof(struct tls));
	(void)close(fds[1]);
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (size_t i = 0; i < f.n; i++)
		(void)conn_destroy(f.conns[i]);
	listener = listener_destroy(listener);
	context = tls_context_destroy(context);
	loop = loop_destroy(loop);
	return each;
}

static void an_idle_connection_is_small(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	for (size_t i = 0; i < 2; i++) {
		size_t each = measure(versions[i]);

		print_message("TLS 1.%d: %zu bytes\n", versions[i] - TLS1_VERSION, each);
		assert_true(each > 1000);
		assert_true(each <= ENOUGH);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_connection_is_small),
	};

	if (!CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free))
		return 1;
	return cmocka_run_group_tests(tests, pems_begin, pems_end);
}
