/* SPDX-License-Identifier: MIT */
/*
 * Connections and listeners over real sockets: both ways, slow, broken, refused. What holds for any
 * connection runs twice, in the clear and through TLS.
 */
#include "net_test.h"
#include "tls_test.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "net/address.h"
#include "net/conn.h"

struct side {
	struct conn *conn;
	struct buf got;
	size_t biggest_turn, turn_bytes;
	int opens, drains, ends, reason;
	bool destroy_on_data, destroy_on_end, inside;
};

/* While the tests run through TLS: where its files are. */
static bool through_tls;

struct fixture {
	struct loop *loop;
	struct tls_context *server_tls, *client_tls; /* NULL: in the clear */
	struct listener *listener;
	struct side near, far; /* connected, accepted */
	int accepted;
	char address[200];
};

static void on_open(void *arg)
{
	struct side *s = arg;

	assert_false(s->inside);
	s->opens++;
}

static void on_data(void *arg, struct str data)
{
	struct side *s = arg;

	assert_false(s->inside);
	assert_int_equal(s->ends, 0);
	assert_int_equal(buf_add(&s->got, data), 0);
	s->turn_bytes += data.n;
	if (s->destroy_on_data)
		s->conn = conn_destroy(s->conn);
}

static void on_drain(void *arg)
{
	struct side *s = arg;

	assert_false(s->inside);
	s->drains++;
}

static void on_end(void *arg, int reason)
{
	struct side *s = arg;

	assert_false(s->inside);
	s->ends++;
	s->reason = reason;
	if (s->destroy_on_end)
		s->conn = conn_destroy(s->conn);
}

static const struct conn_events events = { on_open, on_data, on_drain, on_end };

static void on_conn(void *arg, struct conn *conn)
{
	struct fixture *f = arg;

	f->accepted++;
	(void)conn_destroy(f->far.conn);
	f->far.conn = conn;
	conn_set_events(conn, &events, &f->far);
}

static void setup_on(struct fixture *f, struct loop *loop)
{
	*f = (struct fixture){ .loop = loop };
	if (through_tls) {
		f->server_tls = tls_test_server(loop, &pems, "server", NULL);
		f->client_tls = tls_test_client(loop, &pems, "ca", NULL);
	}
	buf_init(&f->near.got, 1 << 26);
	buf_init(&f->far.got, 1 << 26);
}

static void setup(struct fixture *f)
{
	struct loop *loop;

	assert_int_equal(loop_create(&loop), 0);
	setup_on(f, loop);
}

static void teardown(struct fixture *f)
{
	f->near.conn = conn_destroy(f->near.conn);
	f->far.conn = conn_destroy(f->far.conn);
	f->listener = listener_destroy(f->listener);
	f->server_tls = tls_context_destroy(f->server_tls);
	f->client_tls = tls_context_destroy(f->client_tls);
	buf_fini(&f->near.got);
	buf_fini(&f->far.got);
	f->loop = loop_destroy(f->loop);
}

static void serve(struct fixture *f, const char *address)
{
	struct conn_options options = { .tls = f->server_tls };
	struct err e = { 0 };
	int rc =
		listener_create(f->loop, str_from(address), &options, on_conn, f, &f->listener, &e);

	if (rc < 0)
		fail_msg("%s", e.text);
	if (listener_port(f->listener) && address[0] == '[')
		(void)snprintf(f->address, sizeof(f->address), "[::1]:%d",
			       listener_port(f->listener));
	else if (listener_port(f->listener))
		(void)snprintf(f->address, sizeof(f->address), "127.0.0.1:%d",
			       listener_port(f->listener));
	else
		(void)snprintf(f->address, sizeof(f->address), "%s", address);
}

static void dial(struct fixture *f, const char *address, const struct conn_options *options)
{
	struct conn_options all = options ? *options : (struct conn_options){ 0 };

	all.tls = f->client_tls;
	f->near.inside = true;
	assert_int_equal(conn_connect(f->loop, str_from(address), &all, &events, &f->near,
				      &f->near.conn, NULL),
			 0);
	f->near.inside = false;
}

/* A client is done with TLS one message before its server. */
static bool server_is_open(const struct fixture *f)
{
	struct tls_stats stats = { .handshakes = 1 };

	if (f->server_tls)
		tls_context_stats(f->server_tls, &stats);
	return stats.handshakes != 0;
}

static void connect_both(struct fixture *f, const char *address)
{
	setup(f);
	serve(f, address);
	dial(f, f->address, NULL);
	RUN_UNTIL(f->loop, f->near.opens && f->accepted && server_is_open(f));
}

static int put(struct side *s, struct str a)
{
	int rc;

	s->inside = true;
	rc = conn_write(s->conn, &a, 1);
	s->inside = false;
	return rc;
}

static void addresses_are_read(void **state)
{
	static const struct {
		const char *what, *text;
		int rc;
		const char *host; /* of a name, or what describe makes of it */
		bool is_name;
	} cases[] = {
		{ "IPv4", "127.0.0.1:8090", 0, "127.0.0.1:8090", false },
		{ "any", "0.0.0.0:0", 0, "0.0.0.0:0", false },
		{ "IPv6", "[::1]:80", 0, "[::1]:80", false },
		{ "mapped", "[::ffff:10.1.2.3]:65535", 0, "10.1.2.3:65535", false },
		{ "name", "pbx-1.example.com:8088", 0, "pbx-1.example.com", true },
		{ "unix", "unix:/run/x.sock", 0, "unix", false },
		{ "empty", "", -EINVAL, NULL, false },
		{ "no port", "127.0.0.1", -EINVAL, NULL, false },
		{ "no host", ":80", -EINVAL, NULL, false },
		{ "empty port", "127.0.0.1:", -EINVAL, NULL, false },
		{ "large port", "127.0.0.1:65536", -EINVAL, NULL, false },
		{ "signed port", "127.0.0.1:-1", -EINVAL, NULL, false },
		{ "IPv6 without brackets", "::1:80", -EINVAL, NULL, false },
		{ "no v6 in brackets", "[127.0.0.1]:80", -EINVAL, NULL, false },
		{ "open bracket", "[::1:80", -EINVAL, NULL, false },
		{ "bracket without port", "[::1]", -EINVAL, NULL, false },
		{ "space in a name", "a b:80", -EINVAL, NULL, false },
		{ "relative path", "unix:x.sock", -EINVAL, NULL, false },
		{ "no path", "unix:", -EINVAL, NULL, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address a;
		struct address_text text;
		struct err e = { 0 };
		int rc = address_parse(str_from(cases[i].text), &a, &e);

		if (rc != cases[i].rc)
			fail_msg("%s: %d", cases[i].what, rc);
		if (rc < 0) {
			assert_non_null(strstr(e.text, cases[i].text));
			continue;
		}
		assert_int_equal(a.is_name, cases[i].is_name);
		if (a.is_name) {
			assert_string_equal(a.host, cases[i].host);
			continue;
		}
		address_describe(&a.socket.any, &text);
		assert_string_equal(text.text, cases[i].host);
	}
}

static void long_addresses_are_refused(void **state)
{
	char text[600];
	struct address a;

	memset(text, 'a', sizeof(text));
	memcpy(text, "unix:/", 6);
	assert_int_equal(address_parse(str_make(text, 400), &a, NULL), -EINVAL);
	memset(text, 'a', sizeof(text));
	memcpy(text + 596, ":80", 4);
	assert_int_equal(address_parse(str_from(text), &a, NULL), -EINVAL);
}

static void talk(const char *address)
{
	struct fixture f;
	struct str parts[40];

	connect_both(&f, address);
	assert_int_equal(put(&f.near, STR("hello")), 0);
	RUN_UNTIL(f.loop, buf_len(&f.far.got) == 5 && f.near.drains == 1);
	/* More parts than one system call takes. */
	for (size_t i = 0; i < 40; i++)
		parts[i] = str_make("0123456789", i % 11);
	assert_int_equal(conn_write(f.far.conn, parts, 40), 0);
	RUN_UNTIL(f.loop, buf_len(&f.near.got) == 3 * 55 + 0 + 1 + 2 + 3 + 4 + 5 + 6);
	assert_true(conn_peer_is_loopback(f.far.conn));
	assert_int_equal(conn_pending(f.near.conn), 0);
	f.near.conn = conn_destroy(f.near.conn);
	RUN_UNTIL(f.loop, f.far.ends);
	assert_int_equal(f.far.reason, 0);
	assert_int_equal(f.near.ends, 0);
	teardown(&f);
}

static void both_sides_talk_over_tcp(void **state)
{
	talk("127.0.0.1:0");
	talk("[::1]:0");
}

static void both_sides_talk_over_a_unix_socket(void **state)
{
	char dir[] = "/tmp/voxbus-conn-XXXXXX", address[100];
	struct stat st;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(address, sizeof(address), "unix:%s/s", dir);
	talk(address);
	assert_int_equal(lstat(address + 5, &st), -1);
	assert_int_equal(rmdir(dir), 0);
}

static void peers_are_named(void **state)
{
	struct fixture f;
	char mapped[64];

	setup(&f);
	serve(&f, "[::]:0");
	(void)snprintf(mapped, sizeof(mapped), "127.0.0.1:%d", listener_port(f.listener));
	dial(&f, mapped, NULL);
	RUN_UNTIL(f.loop, f.near.opens && f.accepted);
	assert_string_equal(conn_peer(f.near.conn), mapped);
	assert_true(str_eq(conn_peer_address(f.far.conn), STR("127.0.0.1")));
	assert_true(conn_peer_is_loopback(f.far.conn));
	teardown(&f);
}

static void unix_sockets_are_private_and_dead_ones_replaced(void **state)
{
	char dir[] = "/tmp/voxbus-conn-XXXXXX", address[100];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct listener *second = NULL;
	struct err e = { 0 };
	struct fixture f;
	struct stat st;
	int fd;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(address, sizeof(address), "unix:%s/s", dir);
	memcpy(un.sun_path, address + 5, strlen(address + 5));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	(void)close(fd);
	setup(&f);
	serve(&f, address);
	assert_int_equal(lstat(un.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(listener_create(f.loop, str_from(address), NULL, on_conn, &f, &second, &e),
			 -EADDRINUSE);
	assert_non_null(strstr(e.text, address));
	assert_non_null(strstr(e.text, "stop it"));
	dial(&f, address, NULL);
	RUN_UNTIL(f.loop, f.near.opens);
	assert_string_equal(conn_peer(f.near.conn), "unix");
	teardown(&f);
	assert_int_equal(lstat(un.sun_path, &st), -1);
	/* A file that is no socket stays. */
	fd = open(un.sun_path, O_CREAT | O_WRONLY, 0600);
	(void)close(fd);
	setup(&f);
	assert_int_equal(listener_create(f.loop, str_from(address), NULL, on_conn, &f, &second, &e),
			 -EEXIST);
	teardown(&f);
	assert_int_equal(unlink(un.sun_path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void refused_listeners_say_what_to_do(void **state)
{
	struct listener *second = NULL;
	struct err e = { 0 };
	struct fixture f;

	setup(&f);
	serve(&f, "127.0.0.1:0");
	assert_int_equal(
		listener_create(f.loop, str_from(f.address), NULL, on_conn, &f, &second, &e),
		-EADDRINUSE);
	assert_non_null(strstr(e.text, f.address));
	assert_non_null(strstr(e.text, "in use by another program: stop it"));
	assert_int_equal(
		listener_create(f.loop, STR("192.0.2.1:0"), NULL, on_conn, &f, &second, &e),
		-EADDRNOTAVAIL);
	assert_int_equal(
		listener_create(f.loop, STR("localhost:80"), NULL, on_conn, &f, &second, &e),
		-EINVAL);
	assert_non_null(strstr(e.text, "127.0.0.1:80"));
	assert_int_equal(
		listener_create(f.loop, STR("unix:/nosuch/dir/s"), NULL, on_conn, &f, &second, &e),
		-ENOENT);
	assert_non_null(strstr(e.text, "create it"));
	teardown(&f);
}

static void refused_connections_end_in_a_later_turn(void **state)
{
	struct fixture f;
	int port, fd = raw_listen(&port);
	char address[64];

	(void)close(fd);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	setup(&f);
	f.near.destroy_on_end = true;
	dial(&f, address, NULL);
	RUN_UNTIL(f.loop, f.near.ends);
	assert_int_equal(f.near.reason, -ECONNREFUSED);
	dial(&f, "unix:/nosuch/s", NULL);
	RUN_UNTIL(f.loop, f.near.ends == 2);
	assert_int_equal(f.near.reason, -ENOENT);
	assert_int_equal(f.near.opens, 0);
	teardown(&f);
}

static void names_are_looked_up(void **state)
{
	struct fixture f;
	char address[64];

	setup(&f);
	serve(&f, "127.0.0.1:0");
	/* ::1 comes first on most machines and refuses: the next address is tried. */
	(void)snprintf(address, sizeof(address), "localhost:%d", listener_port(f.listener));
	dial(&f, address, NULL);
	assert_int_equal(put(&f.near, STR("early")), 0);
	assert_int_equal(conn_pending(f.near.conn), 5);
	RUN_UNTIL(f.loop, f.near.opens && buf_len(&f.far.got) == 5);
	f.near.conn = conn_destroy(f.near.conn);
	dial(&f, "nosuch.invalid:80", NULL);
	RUN_UNTIL(f.loop, f.near.ends);
	assert_true(f.near.reason == -ENOENT || f.near.reason == -EAGAIN ||
		    f.near.reason == -ETIMEDOUT);
	f.near.conn = conn_destroy(f.near.conn);
	/* One that is given up in mid-look-up frees itself. */
	dial(&f, address, NULL);
	teardown(&f);
}

static void a_silent_connect_times_out(void **state)
{
	struct conn_options options = { .connect_timeout_ms = 700 };
	struct sockaddr_in in = raw_address(0);
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0), full[4];
	struct loop *loop;
	struct fixture f;
	char address[64];

	/* A full backlog answers nobody. */
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	for (int i = 0; i < 4; i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(full[i], (struct sockaddr *)&in, sizeof(in));
	}
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", ntohs(in.sin_port));
	assert_int_equal(loop_create_manual(&loop), 0);
	setup_on(&f, loop);
	dial(&f, address, &options);
	loop_test_advance(loop, 699);
	assert_int_equal(f.near.ends, 0);
	loop_test_advance(loop, 1);
	assert_int_equal(f.near.ends, 1);
	assert_int_equal(f.near.reason, -ETIMEDOUT);
	for (int i = 0; i < 4; i++)
		(void)close(full[i]);
	(void)close(fd);
	teardown(&f);
}

static void a_slow_reader_fills_the_buffer_and_loses_nothing(void **state)
{
	enum { PIECE = 10007 };
	struct fixture f;
	struct buf got;
	char piece[PIECE];
	size_t sent = 0;
	int fd, drains;

	setup(&f);
	serve(&f, "127.0.0.1:0");
	buf_init(&got, 1 << 26);
	fd = raw_connect(listener_port(f.listener));
	RUN_UNTIL(f.loop, f.accepted);
	for (;;) {
		for (size_t i = 0; i < PIECE; i++)
			piece[i] = (char)((sent + i) % 251);
		if (put(&f.far, str_make(piece, PIECE)) < 0)
			break;
		sent += PIECE;
	}
	assert_int_equal(put(&f.far, str_make(piece, PIECE)), -ENOBUFS);
	assert_true(conn_pending(f.far.conn) > (1 << 20) - PIECE);
	assert_true(conn_pending(f.far.conn) <= 1 << 20);
	run_some(f.loop);
	drains = f.far.drains;
	conn_shutdown(f.far.conn);
	assert_int_equal(put(&f.far, STR("x")), -EPIPE);
	for (ssize_t n = 1; n; loop_turn(f.loop))
		n = raw_read(fd, &got);
	assert_int_equal(buf_len(&got), sent);
	for (size_t i = 0; i < sent; i++)
		if (buf_str(&got).p[i] != (char)(i % 251))
			fail_msg("byte %zu differs", i);
	assert_int_equal(f.far.drains, drains + 1);
	assert_int_equal(f.far.ends, 0);
	(void)close(fd);
	RUN_UNTIL(f.loop, f.far.ends);
	assert_int_equal(f.far.reason, 0);
	buf_fini(&got);
	teardown(&f);
}

static void a_write_over_the_maximum_takes_nothing(void **state)
{
	struct fixture f;
	char *big = calloc(1, (1 << 20) + 1);
	struct str parts[] = { STR("head"), str_make(big, 1 << 20) };

	connect_both(&f, "127.0.0.1:0");
	assert_int_equal(conn_write(f.near.conn, parts, 2), -ENOBUFS);
	run_some(f.loop);
	assert_int_equal(buf_len(&f.far.got), 0);
	assert_int_equal(conn_write(f.near.conn, parts + 1, 1), 0);
	RUN_UNTIL(f.loop, buf_len(&f.far.got) == 1 << 20);
	free(big);
	teardown(&f);
}

static void a_paused_connection_does_not_read(void **state)
{
	struct fixture f;

	connect_both(&f, "127.0.0.1:0");
	conn_pause(f.far.conn, true);
	assert_int_equal(put(&f.near, STR("later")), 0);
	f.near.conn = conn_destroy(f.near.conn);
	run_some(f.loop);
	assert_int_equal(buf_len(&f.far.got), 0);
	assert_int_equal(f.far.ends, 0);
	conn_pause(f.far.conn, false);
	RUN_UNTIL(f.loop, f.far.ends);
	assert_true(str_eq(buf_str(&f.far.got), STR("later")));
	teardown(&f);
}

static void a_fast_peer_gets_its_turn_and_no_more(void **state)
{
	struct fixture f;
	char *big = calloc(1, 1 << 20);
	struct str s = str_make(big, 1 << 20);

	connect_both(&f, "127.0.0.1:0");
	while (put(&f.near, s) == 0)
		loop_turn(f.loop);
	for (int i = 0; i < 200; i++) {
		f.far.turn_bytes = 0;
		loop_turn(f.loop);
		assert_true(f.far.turn_bytes <= 4 * 65536);
	}
	free(big);
	teardown(&f);
}

static void a_connection_may_be_destroyed_in_its_own_events(void **state)
{
	struct fixture f;

	connect_both(&f, "127.0.0.1:0");
	f.far.destroy_on_data = true;
	assert_int_equal(put(&f.near, STR("bye")), 0);
	RUN_UNTIL(f.loop, f.near.ends);
	assert_null(f.far.conn);
	assert_int_equal(f.far.ends, 0);
	assert_int_equal(put(&f.near, STR("x")), -EPIPE);
	teardown(&f);
}

static void nothing_comes_after_destroy(void **state)
{
	struct fixture f;

	connect_both(&f, "127.0.0.1:0");
	assert_int_equal(put(&f.near, STR("lost")), 0);
	assert_int_equal(put(&f.far, STR("lost")), 0);
	f.far.conn = conn_destroy(f.far.conn);
	f.near.conn = conn_destroy(f.near.conn);
	run_some(f.loop);
	assert_int_equal(f.near.drains + f.near.ends + f.far.drains + f.far.ends, 0);
	assert_int_equal(buf_len(&f.near.got) + buf_len(&f.far.got), 0);
	teardown(&f);
}

static void a_reset_is_told(void **state)
{
	struct fixture f;
	int fd;

	setup(&f);
	serve(&f, "127.0.0.1:0");
	fd = raw_connect(listener_port(f.listener));
	RUN_UNTIL(f.loop, f.accepted);
	raw_reset(fd);
	RUN_UNTIL(f.loop, f.far.ends);
	assert_int_equal(f.far.reason, -ECONNRESET);
	teardown(&f);
}

static void what_a_leaving_peer_said_is_read_though_writing_fails(void **state)
{
	char dir[] = "/tmp/voxbus-conn-XXXXXX", address[100];
	struct fixture f;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(address, sizeof(address), "unix:%s/s", dir);
	connect_both(&f, address);
	assert_int_equal(put(&f.near, STR("goodbye")), 0);
	f.near.conn = conn_destroy(f.near.conn);
	assert_int_equal(put(&f.far, STR("too late")), -EPIPE);
	assert_int_equal(f.far.ends, 0);
	RUN_UNTIL(f.loop, f.far.ends);
	assert_true(str_eq(buf_str(&f.far.got), STR("goodbye")));
	assert_int_equal(f.far.reason, -ECONNRESET);
	teardown(&f);
	assert_int_equal(rmdir(dir), 0);
}

static void a_paused_writer_learns_that_the_peer_is_gone(void **state)
{
	struct fixture f;
	int fd;

	setup(&f);
	serve(&f, "127.0.0.1:0");
	fd = raw_connect(listener_port(f.listener));
	RUN_UNTIL(f.loop, f.accepted);
	conn_pause(f.far.conn, true);
	raw_reset(fd);
	run_some(f.loop);
	assert_int_equal(f.far.ends, 0);
	assert_int_equal(put(&f.far, STR("x")), -EPIPE);
	RUN_UNTIL(f.loop, f.far.ends);
	assert_int_equal(f.far.reason, -ECONNRESET);
	teardown(&f);
}

static void running_out_of_descriptors_rests_and_recovers(void **state)
{
	struct rlimit before, low;
	struct loop *loop;
	struct fixture f;
	int fd, spare;

	assert_int_equal(loop_create_manual(&loop), 0);
	setup_on(&f, loop);
	serve(&f, "127.0.0.1:0");
	fd = raw_connect(listener_port(f.listener));
	spare = dup(fd);
	(void)close(spare);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = (struct rlimit){ (rlim_t)spare, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	RUN_UNTIL(loop, listener_failures(f.listener) == 1);
	run_some(loop);
	assert_int_equal(listener_failures(f.listener), 1);
	loop_test_advance(loop, 100);
	run_some(loop);
	assert_int_equal(listener_failures(f.listener), 2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(f.accepted, 0);
	loop_test_advance(loop, 100);
	RUN_UNTIL(loop, f.accepted == 1);
	(void)close(fd);
	teardown(&f);
}

static int begin_tls(void **state)
{
	through_tls = true;
	return pems_begin(state);
}

static int end_tls(void **state)
{
	through_tls = false;
	return pems_end(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read),
		cmocka_unit_test(long_addresses_are_refused),
		cmocka_unit_test(unix_sockets_are_private_and_dead_ones_replaced),
		cmocka_unit_test(refused_listeners_say_what_to_do),
		cmocka_unit_test(a_slow_reader_fills_the_buffer_and_loses_nothing),
		cmocka_unit_test(a_reset_is_told),
		cmocka_unit_test(a_paused_writer_learns_that_the_peer_is_gone),
		cmocka_unit_test(running_out_of_descriptors_rests_and_recovers),
	};
	const struct CMUnitTest both[] = {
		cmocka_unit_test(both_sides_talk_over_tcp),
		cmocka_unit_test(both_sides_talk_over_a_unix_socket),
		cmocka_unit_test(peers_are_named),
		cmocka_unit_test(refused_connections_end_in_a_later_turn),
		cmocka_unit_test(names_are_looked_up),
		cmocka_unit_test(a_silent_connect_times_out),
		cmocka_unit_test(a_write_over_the_maximum_takes_nothing),
		cmocka_unit_test(a_paused_connection_does_not_read),
		cmocka_unit_test(a_fast_peer_gets_its_turn_and_no_more),
		cmocka_unit_test(a_connection_may_be_destroyed_in_its_own_events),
		cmocka_unit_test(nothing_comes_after_destroy),
		cmocka_unit_test(what_a_leaving_peer_said_is_read_though_writing_fails),
	};
	int failed = cmocka_run_group_tests_name("conn", tests, NULL, NULL);

	failed += cmocka_run_group_tests_name("conn in the clear", both, NULL, NULL);
	failed += cmocka_run_group_tests_name("conn through TLS", both, begin_tls, end_tls);
	return failed;
}
