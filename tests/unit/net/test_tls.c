/* SPDX-License-Identifier: MIT */
/*
 * TLS on connections: handshakes that are cut, slow, refused or resumed, and how streams end. The
 * other side is a conn, too, or a raw peer: OpenSSL over buffers, whose bytes the test passes on.
 */
#include "tls_test.h"

#include <openssl/err.h>

#include "net/conn.h"

struct side {
	struct conn *conn;
	struct buf got;
	int opens, drains, ends, reason;
	char why[256];
	bool hold; /* pauses after each piece */
};

struct fixture {
	struct loop *loop;
	struct tls_context *server, *client;
	struct listener *listener;
	struct side near, far;
	int accepted;
	struct conn **kept; /* instead of letting the one before go */
	char address[64];
};

static void on_open(void *arg)
{
	((struct side *)arg)->opens++;
}

static void on_data(void *arg, struct str data)
{
	struct side *s = arg;

	assert_int_equal(buf_add(&s->got, data), 0);
	if (s->hold)
		conn_pause(s->conn, true);
}

static void on_drain(void *arg)
{
	((struct side *)arg)->drains++;
}

static void on_end(void *arg, int reason)
{
	struct side *s = arg;
	const char *why = conn_why(s->conn);

	s->ends++;
	s->reason = reason;
	(void)snprintf(s->why, sizeof(s->why), "%s", why ? why : "");
	/* Nobody's errors are left to the next one. */
	assert_int_equal(ERR_peek_error(), 0);
}

static const struct conn_events events = { on_open, on_data, on_drain, on_end };

static void forget(struct side *s)
{
	s->conn = conn_destroy(s->conn);
	buf_clear(&s->got);
	s->opens = s->drains = s->ends = s->reason = 0;
}

static void on_conn(void *arg, struct conn *conn)
{
	struct fixture *f = arg;

	f->accepted++;
	if (f->kept) {
		f->kept[f->accepted - 1] = conn;
		return;
	}
	forget(&f->far);
	f->far.conn = conn;
	conn_set_events(conn, &events, &f->far);
}

static void serve(struct fixture *f)
{
	struct conn_options options = { .tls = f->server };

	assert_int_equal(listener_create(f->loop, STR("127.0.0.1:0"), &options, on_conn, f,
					 &f->listener, NULL),
			 0);
	(void)snprintf(f->address, sizeof(f->address), "127.0.0.1:%d", listener_port(f->listener));
}

/* Takes the contexts over. */
static void setup_with(struct fixture *f, struct loop *loop, struct tls_context *server,
		       struct tls_context *client)
{
	*f = (struct fixture){ .loop = loop, .server = server, .client = client };
	buf_init(&f->near.got, 1 << 26);
	buf_init(&f->far.got, 1 << 26);
	serve(f);
}

static void setup(struct fixture *f)
{
	struct loop *loop;

	assert_int_equal(loop_create_manual(&loop), 0);
	setup_with(f, loop, tls_test_server(loop, &pems, "server", NULL),
		   tls_test_client(loop, &pems, "ca", NULL));
}

static void teardown(struct fixture *f)
{
	forget(&f->near);
	forget(&f->far);
	f->listener = listener_destroy(f->listener);
	f->server = tls_context_destroy(f->server);
	f->client = tls_context_destroy(f->client);
	buf_fini(&f->near.got);
	buf_fini(&f->far.got);
	f->loop = loop_destroy(f->loop);
}

static void dial_to(struct fixture *f, const char *address)
{
	struct conn_options options = { .tls = f->client };

	forget(&f->near);
	assert_int_equal(conn_connect(f->loop, str_from(address), &options, &events, &f->near,
				      &f->near.conn, NULL),
			 0);
}

static void dial(struct fixture *f)
{
	dial_to(f, f->address);
}

static struct tls_stats stats_of(const struct tls_context *context)
{
	struct tls_stats stats;

	tls_context_stats(context, &stats);
	return stats;
}

static int put(struct side *s, struct str a)
{
	return conn_write(s->conn, &a, 1);
}

/* ---- raw peers ---- */

struct raw_tls {
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out;
	int fd;
	size_t budget; /* bytes that it may still send */
	size_t piece;  /* sends so many at once; 0 = all */
};

static void raw_tls_begin(struct raw_tls *r, const struct fixture *f, int max_version)
{
	*r = (struct raw_tls){ .ctx = SSL_CTX_new(TLS_client_method()), .budget = SIZE_MAX };
	assert_non_null(r->ctx);
	SSL_CTX_set_security_level(r->ctx, max_version && max_version < TLS1_2_VERSION ? 0 : 2);
	assert_int_equal(SSL_CTX_set_min_proto_version(r->ctx, TLS1_VERSION), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(r->ctx, max_version), 1);
	r->ssl = SSL_new(r->ctx);
	r->in = BIO_new(BIO_s_mem());
	r->out = BIO_new(BIO_s_mem());
	assert_true(r->ssl && r->in && r->out);
	SSL_set_bio(r->ssl, r->in, r->out);
	SSL_set_connect_state(r->ssl);
	r->fd = raw_connect(listener_port(f->listener));
}

static void raw_tls_end(struct raw_tls *r)
{
	if (r->fd >= 0)
		(void)close(r->fd);
	SSL_free(r->ssl);
	SSL_CTX_free(r->ctx);
	ERR_clear_error();
}

/* What OpenSSL wants to say goes out as far as the budget lets it, what came goes in. */
static void raw_tls_pass(struct raw_tls *r)
{
	char bytes[4096];
	ssize_t n = recv(r->fd, bytes, sizeof(bytes), 0);
	size_t piece = r->piece ? r->piece : sizeof(bytes);
	int have;

	if (n > 0)
		assert_int_equal(BIO_write(r->in, bytes, (int)n), n);
	piece = piece < r->budget ? piece : r->budget;
	have = piece ? BIO_read(r->out, bytes, (int)piece) : 0;
	if (have > 0) {
		assert_int_equal(send(r->fd, bytes, (size_t)have, MSG_NOSIGNAL), have);
		r->budget -= (size_t)have;
	}
}

/* Goes on until it is through the handshake, the budget is used up, or it failed. */
static bool raw_tls_shake(struct raw_tls *r, struct loop *loop)
{
	uint64_t guard_us = loop_now_us() + GUARD_US;
	int rc;

	do {
		rc = SSL_do_handshake(r->ssl);
		if (rc != 1 && SSL_get_error(r->ssl, rc) != SSL_ERROR_WANT_READ)
			return false;
		raw_tls_pass(r);
		loop_turn(loop);
		(void)sched_yield();
		assert_true(loop_now_us() < guard_us);
	} while (r->budget && (rc != 1 || BIO_ctrl_pending(r->out)));
	return rc == 1;
}

static ssize_t raw_tls_read(struct raw_tls *r, char *p, int n)
{
	raw_tls_pass(r);
	return SSL_read(r->ssl, p, n);
}

/* ---- handshakes ---- */

static void a_slow_peer_may_send_each_byte_alone(void **state)
{
	struct fixture f;
	struct raw_tls r;

	setup(&f);
	raw_tls_begin(&r, &f, 0);
	r.piece = 1;
	assert_true(raw_tls_shake(&r, f.loop));
	assert_int_equal(SSL_write(r.ssl, "hello", 5), 5);
	RUN_UNTIL(f.loop, (raw_tls_pass(&r), buf_len(&f.far.got) != 0));
	assert_true(str_eq(buf_str(&f.far.got), STR("hello")));
	assert_int_equal(stats_of(f.server).handshakes, 1);
	raw_tls_end(&r);
	teardown(&f);
}

static void a_handshake_that_is_cut_anywhere_ends_and_harms_nobody(void **state)
{
	struct fixture f;
	size_t cut = 0;
	bool through = false;

	setup(&f);
	for (; !through; cut++) {
		struct raw_tls r;
		int before = f.accepted;

		raw_tls_begin(&r, &f, 0);
		r.budget = cut;
		through = raw_tls_shake(&r, f.loop) && !BIO_ctrl_pending(r.out);
		RUN_UNTIL(f.loop, f.accepted == before + 1);
		/* Closing with a ticket unread would be a reset. */
		(void)shutdown(r.fd, SHUT_WR);
		RUN_UNTIL(f.loop, f.far.ends);
		raw_tls_end(&r);
		if (!through && f.far.reason != -ECONNRESET)
			fail_msg("cut at %zu: %d", cut, f.far.reason);
	}
	/* The last one was open, and then cut off without a goodbye. */
	assert_int_equal(f.far.reason, -ECONNABORTED);
	assert_true(cut > 300);
	assert_int_equal(stats_of(f.server).handshakes, 1);
	assert_int_equal(stats_of(f.server).failed, cut - 1);
	dial(&f);
	RUN_UNTIL(f.loop, f.near.opens);
	teardown(&f);
}

static void a_handshake_has_its_time_limit(void **state)
{
	struct fixture f;
	struct raw_tls r;
	int fd;

	setup(&f);
	fd = raw_connect(listener_port(f.listener));
	RUN_UNTIL(f.loop, f.accepted == 1);
	raw_write(fd, STR("\x16\x03\x01"));
	loop_test_advance(f.loop, 9999);
	assert_int_equal(f.far.ends, 0);
	loop_test_advance(f.loop, 1);
	assert_int_equal(f.far.ends, 1);
	assert_int_equal(f.far.reason, -ETIMEDOUT);
	assert_int_equal(stats_of(f.server).failed, 1);
	(void)close(fd);
	/* Once through it there is none. */
	raw_tls_begin(&r, &f, 0);
	assert_true(raw_tls_shake(&r, f.loop));
	loop_test_advance(f.loop, 100000);
	assert_int_equal(f.far.ends, 0);
	raw_tls_end(&r);
	teardown(&f);
}

/* A client's limit for everything holds for a server that accepts and says nothing. */
static void a_silent_server_is_given_up(void **state)
{
	struct conn_options options = { .connect_timeout_ms = 700 };
	struct fixture f;
	char address[64];
	int port, fd = raw_listen(&port), accepted;

	setup(&f);
	options.tls = f.client;
	(void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	assert_int_equal(conn_connect(f.loop, str_from(address), &options, &events, &f.near,
				      &f.near.conn, NULL),
			 0);
	accepted = raw_accept(f.loop, fd);
	run_some(f.loop);
	loop_test_advance(f.loop, 699);
	assert_int_equal(f.near.ends, 0);
	loop_test_advance(f.loop, 1);
	assert_int_equal(f.near.ends, 1);
	assert_int_equal(f.near.reason, -ETIMEDOUT);
	(void)close(accepted);
	(void)close(fd);
	teardown(&f);
}

static void many_handshakes_take_bounded_turns(void **state)
{
	enum { PEERS = 150, STEPS = 32 };
	struct raw_tls r[PEERS];
	struct fixture f;
	struct conn *conns[PEERS];
	size_t answered = 0, turns = 0;

	setup(&f);
	f.kept = conns;
	for (size_t i = 0; i < PEERS; i++) {
		raw_tls_begin(&r[i], &f, 0);
		assert_int_equal(SSL_do_handshake(r[i].ssl), -1);
		raw_tls_pass(&r[i]);
	}
	while (answered < PEERS) {
		size_t now = 0;

		loop_turn(f.loop);
		for (size_t i = 0; i < PEERS; i++)
			now += (size_t)(recv(r[i].fd, (char[1]){ 0 }, 1, MSG_PEEK) > 0);
		assert_true(now - answered <= STEPS);
		answered = now;
		assert_true(++turns < 10000);
	}
	for (size_t i = 0; i < PEERS; i++) {
		(void)conn_destroy(conns[i]);
		raw_tls_end(&r[i]);
	}
	teardown(&f);
}

/* ---- who is believed ---- */

static void certificates_that_must_not_be_believed_are_not(void **state)
{
	static const struct {
		const char *what;
		struct pem server;
		const char *ca; /* of the client */
		int rc;
		const char *why;
	} cases[] = {
		{ "good", { "s", "ca", PEM_HOSTS }, "ca", 0, "" },
		{ "a wildcard",
		  { "s", "ca", "DNS:*.example.com,DNS:127.0.0.1" },
		  "ca",
		  -EKEYREJECTED,
		  "IP address mismatch" },
		{ "another host",
		  { "s", "ca", "DNS:pbx.example.com,IP:10.0.0.1" },
		  "ca",
		  -EKEYREJECTED,
		  "IP address mismatch" },
		{ "another authority",
		  { "s", "other", PEM_HOSTS },
		  "ca",
		  -EKEYREJECTED,
		  "unable to get local issuer certificate" },
		{ "self-signed", { "s", NULL, PEM_HOSTS }, "ca", -EKEYREJECTED, "self-signed" },
		{ "self-signed and known", { "s", NULL, PEM_HOSTS }, "s", 0, "" },
		{ "expired",
		  { "s", "ca", PEM_HOSTS, .from_s = -2 * PEM_DAY, .to_s = -PEM_HOUR },
		  "ca",
		  -EKEYREJECTED,
		  "expired" },
		{ "not yet valid",
		  { "s", "ca", PEM_HOSTS, .from_s = PEM_HOUR, .to_s = PEM_DAY },
		  "ca",
		  -EKEYREJECTED,
		  "not yet valid" },
	};

	pem_make(&pems, &(struct pem){ "other", .ca = true });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		struct loop *loop;

		pem_make(&pems, &cases[i].server);
		assert_int_equal(loop_create(&loop), 0);
		setup_with(&f, loop, tls_test_server(NULL, &pems, "s", NULL),
			   tls_test_client(NULL, &pems, cases[i].ca, NULL));
		dial(&f);
		RUN_UNTIL(f.loop, f.near.ends || f.near.opens);
		if (f.near.reason != cases[i].rc || !strstr(f.near.why, cases[i].why))
			fail_msg("%s: %d %s", cases[i].what, f.near.reason, f.near.why);
		if (cases[i].rc) {
			RUN_UNTIL(f.loop, f.far.ends);
			assert_int_equal(f.far.reason, -EPROTO);
			assert_non_null(strstr(f.far.why, "alert"));
		}
		teardown(&f);
	}
}

static void without_verification_everybody_is_believed(void **state)
{
	struct tls_client_options options = { .verify_off = true };
	struct tls_context *client;
	struct fixture f;
	struct loop *loop;

	pem_make(&pems, &(struct pem){ "s", NULL, "DNS:elsewhere.example.com" });
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(tls_client_create(loop, &options, NULL, &client, NULL), 0);
	setup_with(&f, loop, tls_test_server(loop, &pems, "s", NULL), client);
	dial(&f);
	RUN_UNTIL(f.loop, f.near.opens);
	teardown(&f);
}

static void a_server_name_of_its_own_is_asked_for_and_checked(void **state)
{
	static const struct {
		const char *name;
		int rc;
	} cases[] = { { "pbx.example.com", 0 }, { "pbx.example.org", -EKEYREJECTED } };

	pem_make(&pems, &(struct pem){ "s", "ca", "DNS:pbx.example.com" });
	for (size_t i = 0; i < 2; i++) {
		struct tls_client_options options = { .ca = pem_path(&pems, "ca", ".crt"),
						      .server_name = cases[i].name };
		struct tls_context *client;
		struct fixture f;
		struct loop *loop;

		assert_int_equal(loop_create(&loop), 0);
		assert_int_equal(tls_client_create(loop, &options, NULL, &client, NULL), 0);
		setup_with(&f, loop, tls_test_server(loop, &pems, "s", NULL), client);
		dial(&f);
		RUN_UNTIL(f.loop, f.near.opens || f.near.ends);
		assert_int_equal(f.near.reason, cases[i].rc);
		teardown(&f);
	}
}

static void names_are_checked_after_the_look_up(void **state)
{
	struct fixture f;
	char address[64];

	setup(&f);
	(void)snprintf(address, sizeof(address), "localhost:%d", listener_port(f.listener));
	dial_to(&f, address);
	RUN_UNTIL(f.loop, f.near.opens);
	teardown(&f);
}

static void clients_show_their_certificate_where_it_is_asked_for(void **state)
{
	static const struct {
		const char *what, *shown;
		int server;
		const char *why;
	} cases[] = {
		{ "one of the authority", "client", 0, "" },
		{ "none", NULL, -EPROTO, "peer did not return a certificate" },
		{ "one of another", "stranger", -EKEYREJECTED, "not believed" },
	};

	pem_make(&pems, &(struct pem){ "stranger", NULL });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		struct loop *loop;

		assert_int_equal(loop_create(&loop), 0);
		setup_with(&f, loop, tls_test_server(loop, &pems, "server", "ca"),
			   tls_test_client(loop, &pems, "ca", cases[i].shown));
		dial(&f);
		assert_int_equal(put(&f.near, STR("hello")), 0);
		RUN_UNTIL(f.loop, f.far.ends || buf_len(&f.far.got));
		if (f.far.reason != cases[i].server || !strstr(f.far.why, cases[i].why))
			fail_msg("%s: %d %s", cases[i].what, f.far.reason, f.far.why);
		if (cases[i].server) {
			/* The alert comes through, not a reset. */
			RUN_UNTIL(f.loop, f.near.ends);
			assert_int_equal(f.near.reason, -EPROTO);
			assert_non_null(strstr(f.near.why, "alert"));
		}
		teardown(&f);
	}
}

static void old_versions_are_refused(void **state)
{
	static const struct {
		int version;
		bool good;
	} cases[] = { { TLS1_VERSION, false },
		      { TLS1_1_VERSION, false },
		      { TLS1_2_VERSION, true },
		      { TLS1_3_VERSION, true } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		struct raw_tls r;

		setup(&f);
		raw_tls_begin(&r, &f, cases[i].version);
		assert_int_equal(raw_tls_shake(&r, f.loop), cases[i].good);
		if (!cases[i].good) {
			RUN_UNTIL(f.loop, f.far.conn);
			raw_tls_end(&r);
			RUN_UNTIL(f.loop, f.far.ends);
			assert_int_equal(f.far.reason, -EPROTO);
			assert_string_equal(f.far.why, "unsupported protocol");
		} else {
			assert_int_equal(SSL_version(r.ssl), cases[i].version);
			raw_tls_end(&r);
		}
		teardown(&f);
	}
}

static void what_is_not_tls_is_refused(void **state)
{
	struct fixture f;
	struct buf got;
	int fd;

	setup(&f);
	buf_init(&got, 1 << 20);
	fd = raw_connect(listener_port(f.listener));
	raw_write(fd, STR("\x05\x01\x02rubbish that is no record at all"));
	RUN_UNTIL(f.loop, f.far.conn);
	for (ssize_t n = -1; n != 0; loop_turn(f.loop))
		n = raw_read(fd, &got);
	(void)close(fd);
	RUN_UNTIL(f.loop, f.far.ends);
	assert_int_equal(f.far.reason, -EPROTO);
	buf_fini(&got);
	teardown(&f);
}

static void plain_http_gets_an_answer_that_says_so(void **state)
{
	struct fixture f;
	struct buf got;
	int fd;

	setup(&f);
	buf_init(&got, 1 << 20);
	fd = raw_connect(listener_port(f.listener));
	raw_write(fd, STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
	for (ssize_t n = -1; n != 0; loop_turn(f.loop))
		n = raw_read(fd, &got);
	assert_true(str_starts(buf_str(&got), STR("HTTP/1.1 400 ")));
	assert_true(str_find_str(buf_str(&got), STR("TLS")) < buf_len(&got));
	assert_int_equal(f.far.ends, 0);
	(void)close(fd);
	RUN_UNTIL(f.loop, f.far.ends);
	assert_int_equal(f.far.reason, -EPROTO);
	/* Who stays is let go after a second. */
	fd = raw_connect(listener_port(f.listener));
	raw_write(fd, STR("POST / HTTP/1.1\r\n"));
	RUN_UNTIL(f.loop, f.accepted == 2);
	run_some(f.loop);
	loop_test_advance(f.loop, 1000);
	assert_int_equal(f.far.ends, 1);
	(void)close(fd);
	buf_fini(&got);
	teardown(&f);
}

/* ---- streams ---- */

static void big_writes_go_both_ways_past_slow_readers(void **state)
{
	enum { PIECE = 100003, TOTAL = 8 << 20 };
	struct fixture f;
	struct side *sides[2] = { &f.near, &f.far };
	size_t sent[2] = { 0, 0 };
	char *piece = malloc(PIECE);

	setup(&f);
	dial(&f);
	RUN_UNTIL(f.loop, f.near.opens && stats_of(f.server).handshakes);
	f.near.hold = f.far.hold = true;
	while (buf_len(&f.near.got) < sent[1] || buf_len(&f.far.got) < sent[0] || sent[0] < TOTAL ||
	       sent[1] < TOTAL) {
		for (size_t i = 0; i < 2; i++) {
			/* Lengths of all kinds, several parts, and a refusal takes nothing. */
			size_t n = sent[i] % 7 == 0 ? PIECE : sent[i] % 20011 + 1;
			struct str parts[3] = { { piece, n / 3 },
						{ piece + n / 3, n / 5 },
						{ piece + n / 3 + n / 5, n - n / 3 - n / 5 } };

			for (size_t k = 0; k < n; k++)
				piece[k] = (char)((sent[i] + k) % 251);
			if (sent[i] < TOTAL && conn_write(sides[i]->conn, parts, 3) == 0)
				sent[i] += n;
			conn_pause(sides[i]->conn, false);
		}
		loop_turn(f.loop);
		assert_int_equal(f.near.ends + f.far.ends, 0);
	}
	for (size_t i = 0; i < 2; i++) {
		struct str got = buf_str(&sides[i]->got);

		assert_int_equal(got.n, sent[1 - i]);
		for (size_t k = 0; k < got.n; k++)
			if (got.p[k] != (char)(k % 251))
				fail_msg("side %zu: byte %zu differs", i, k);
	}
	free(piece);
	teardown(&f);
}

static void data_in_the_same_segment_as_the_handshakes_end_comes(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	for (size_t i = 0; i < 2; i++) {
		struct fixture f;
		struct raw_tls r;
		char bytes[8192];
		int n;

		setup(&f);
		raw_tls_begin(&r, &f, versions[i]);
		/* TLS 1.2: the server has the last word, so that a client can't be early. */
		RUN_UNTIL(f.loop, (raw_tls_pass(&r), SSL_do_handshake(r.ssl) == 1));
		assert_int_equal(SSL_write(r.ssl, "early", 5), 5);
		assert_int_equal(SSL_shutdown(r.ssl), 0);
		n = BIO_read(r.out, bytes, sizeof(bytes));
		assert_true(n > 0);
		assert_int_equal(send(r.fd, bytes, (size_t)n, 0), n);
		RUN_UNTIL(f.loop, f.far.ends);
		assert_true(str_eq(buf_str(&f.far.got), STR("early")));
		assert_int_equal(f.far.reason, 0);
		raw_tls_end(&r);
		teardown(&f);
	}
}

static void an_end_is_told_from_a_cut(void **state)
{
	static const struct {
		const char *what;
		bool goodbye;
		int reason;
	} cases[] = { { "close_notify", true, 0 }, { "a FIN alone", false, -ECONNABORTED } };

	for (size_t i = 0; i < 2; i++) {
		struct fixture f;
		struct raw_tls r;

		setup(&f);
		raw_tls_begin(&r, &f, 0);
		assert_true(raw_tls_shake(&r, f.loop));
		assert_int_equal(SSL_write(r.ssl, "last words", 10), 10);
		if (cases[i].goodbye)
			assert_int_equal(SSL_shutdown(r.ssl), 0);
		raw_tls_pass(&r);
		(void)shutdown(r.fd, SHUT_WR);
		RUN_UNTIL(f.loop, f.far.ends);
		raw_tls_end(&r);
		assert_true(str_eq(buf_str(&f.far.got), STR("last words")));
		if (f.far.reason != cases[i].reason)
			fail_msg("%s: %d", cases[i].what, f.far.reason);
		teardown(&f);
	}
}

static void we_say_goodbye_ourselves(void **state)
{
	for (int destroyed = 0; destroyed < 2; destroyed++) {
		struct fixture f;
		struct raw_tls r;
		char got[64];

		setup(&f);
		raw_tls_begin(&r, &f, 0);
		assert_true(raw_tls_shake(&r, f.loop));
		RUN_UNTIL(f.loop, stats_of(f.server).handshakes);
		assert_int_equal(put(&f.far, STR("bye")), 0);
		if (destroyed)
			f.far.conn = conn_destroy(f.far.conn);
		else
			conn_shutdown(f.far.conn);
		RUN_UNTIL(f.loop, raw_tls_read(&r, got, sizeof(got)) == 3);
		RUN_UNTIL(f.loop, raw_tls_read(&r, got, sizeof(got)) == 0);
		assert_int_equal(SSL_get_shutdown(r.ssl), SSL_RECEIVED_SHUTDOWN);
		/* And behind it the FIN. */
		RUN_UNTIL(f.loop, recv(r.fd, got, sizeof(got), 0) == 0);
		raw_tls_end(&r);
		if (!destroyed)
			RUN_UNTIL(f.loop, f.far.ends);
		teardown(&f);
	}
}

static void a_goodbye_waits_behind_what_is_pending(void **state)
{
	struct fixture f;
	char *big = calloc(1, 1 << 20);
	size_t sent = 0;

	setup(&f);
	dial(&f);
	RUN_UNTIL(f.loop, f.near.opens && stats_of(f.server).handshakes);
	conn_pause(f.near.conn, true);
	while (put(&f.far, str_make(big, 1 << 18)) == 0) {
		sent += 1 << 18;
		loop_turn(f.loop);
	}
	conn_shutdown(f.far.conn);
	run_some(f.loop);
	conn_pause(f.near.conn, false);
	RUN_UNTIL(f.loop, f.near.ends);
	assert_int_equal(f.near.reason, 0);
	assert_int_equal(buf_len(&f.near.got), sent);
	free(big);
	teardown(&f);
}

static void a_damaged_record_ends_the_stream_at_once(void **state)
{
	struct fixture f;
	struct raw_tls r;
	char bytes[256];
	int n;

	setup(&f);
	raw_tls_begin(&r, &f, 0);
	assert_true(raw_tls_shake(&r, f.loop));
	assert_int_equal(SSL_write(r.ssl, "good", 4), 4);
	raw_tls_pass(&r);
	assert_int_equal(SSL_write(r.ssl, "bad", 3), 3);
	n = BIO_read(r.out, bytes, sizeof(bytes));
	bytes[n - 1] ^= 1;
	assert_int_equal(send(r.fd, bytes, (size_t)n, 0), n);
	RUN_UNTIL(f.loop, f.far.ends);
	assert_true(str_eq(buf_str(&f.far.got), STR("good")));
	assert_int_equal(f.far.reason, -EPROTO);
	assert_non_null(strstr(f.far.why, "bad record mac"));
	assert_int_equal(put(&f.far, STR("x")), -EPIPE);
	raw_tls_end(&r);
	teardown(&f);
}

static void renegotiation_is_refused(void **state)
{
	struct fixture f;
	struct raw_tls r;

	setup(&f);
	raw_tls_begin(&r, &f, TLS1_2_VERSION);
	assert_true(raw_tls_shake(&r, f.loop));
	assert_int_equal(SSL_renegotiate(r.ssl), 1);
	assert_false(raw_tls_shake(&r, f.loop));
	assert_int_equal(stats_of(f.server).handshakes, 1);
	raw_tls_end(&r);
	teardown(&f);
}

static void keys_may_be_changed_under_way(void **state)
{
	struct fixture f;
	struct raw_tls r;
	char got[16];

	setup(&f);
	raw_tls_begin(&r, &f, TLS1_3_VERSION);
	assert_true(raw_tls_shake(&r, f.loop));
	for (int i = 0; i < 5; i++) {
		assert_int_equal(SSL_key_update(r.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_write(r.ssl, "new", 3), 3);
		RUN_UNTIL(f.loop, (raw_tls_pass(&r), buf_len(&f.far.got) == 3));
		buf_clear(&f.far.got);
		assert_int_equal(put(&f.far, STR("yes")), 0);
		RUN_UNTIL(f.loop, raw_tls_read(&r, got, sizeof(got)) == 3);
	}
	raw_tls_end(&r);
	teardown(&f);
}

/* ---- sessions ---- */

static void a_second_connection_resumes_the_session_of_the_first(void **state)
{
	struct fixture f;

	setup(&f);
	for (uint64_t i = 0; i < 4; i++) {
		dial(&f);
		assert_int_equal(put(&f.near, STR("hello")), 0);
		RUN_UNTIL(f.loop, f.near.opens && buf_len(&f.far.got) == 5);
		/* With TLS 1.3 the session comes behind the handshake. */
		assert_int_equal(put(&f.far, STR("hello")), 0);
		RUN_UNTIL(f.loop, buf_len(&f.near.got) == 5);
		assert_int_equal(stats_of(f.client).handshakes, i + 1);
		assert_int_equal(stats_of(f.client).resumed, i);
		assert_int_equal(stats_of(f.server).resumed, i);
	}
	teardown(&f);
}

static void a_server_resumes_sessions_of_tls_1_2(void **state)
{
	struct fixture f;
	struct raw_tls r;
	SSL_SESSION *session;

	setup(&f);
	raw_tls_begin(&r, &f, TLS1_2_VERSION);
	assert_true(raw_tls_shake(&r, f.loop));
	session = SSL_get1_session(r.ssl);
	(void)SSL_shutdown(r.ssl);
	raw_tls_end(&r);
	raw_tls_begin(&r, &f, TLS1_2_VERSION);
	assert_int_equal(SSL_set_session(r.ssl, session), 1);
	assert_true(raw_tls_shake(&r, f.loop));
	assert_true(SSL_session_reused(r.ssl));
	RUN_UNTIL(f.loop, stats_of(f.server).handshakes == 2);
	assert_int_equal(stats_of(f.server).resumed, 1);
	SSL_SESSION_free(session);
	raw_tls_end(&r);
	teardown(&f);
}

static void a_session_is_not_offered_to_another_server(void **state)
{
	struct fixture f, g;

	setup(&f);
	dial(&f);
	assert_int_equal(put(&f.near, STR("hello")), 0);
	RUN_UNTIL(f.loop, buf_len(&f.far.got) == 5);
	assert_int_equal(put(&f.far, STR("hello")), 0);
	RUN_UNTIL(f.loop, buf_len(&f.near.got) == 5);
	setup_with(&g, f.loop, tls_test_server(f.loop, &pems, "server", NULL),
		   tls_test_client(f.loop, &pems, "ca", NULL));
	dial_to(&f, g.address);
	RUN_UNTIL(f.loop, f.near.opens);
	assert_int_equal(stats_of(f.client).resumed, 0);
	forget(&g.far);
	g.listener = listener_destroy(g.listener);
	g.server = tls_context_destroy(g.server);
	g.client = tls_context_destroy(g.client);
	buf_fini(&g.near.got);
	buf_fini(&g.far.got);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slow_peer_may_send_each_byte_alone),
		cmocka_unit_test(a_handshake_that_is_cut_anywhere_ends_and_harms_nobody),
		cmocka_unit_test(a_handshake_has_its_time_limit),
		cmocka_unit_test(a_silent_server_is_given_up),
		cmocka_unit_test(many_handshakes_take_bounded_turns),
		cmocka_unit_test(certificates_that_must_not_be_believed_are_not),
		cmocka_unit_test(without_verification_everybody_is_believed),
		cmocka_unit_test(a_server_name_of_its_own_is_asked_for_and_checked),
		cmocka_unit_test(names_are_checked_after_the_look_up),
		cmocka_unit_test(clients_show_their_certificate_where_it_is_asked_for),
		cmocka_unit_test(old_versions_are_refused),
		cmocka_unit_test(what_is_not_tls_is_refused),
		cmocka_unit_test(plain_http_gets_an_answer_that_says_so),
		cmocka_unit_test(big_writes_go_both_ways_past_slow_readers),
		cmocka_unit_test(data_in_the_same_segment_as_the_handshakes_end_comes),
		cmocka_unit_test(an_end_is_told_from_a_cut),
		cmocka_unit_test(we_say_goodbye_ourselves),
		cmocka_unit_test(a_goodbye_waits_behind_what_is_pending),
		cmocka_unit_test(a_damaged_record_ends_the_stream_at_once),
		cmocka_unit_test(renegotiation_is_refused),
		cmocka_unit_test(keys_may_be_changed_under_way),
		cmocka_unit_test(a_second_connection_resumes_the_session_of_the_first),
		cmocka_unit_test(a_server_resumes_sessions_of_tls_1_2),
		cmocka_unit_test(a_session_is_not_offered_to_another_server),
	};

	return cmocka_run_group_tests(tests, pems_begin, pems_end);
}
