/* SPDX-License-Identifier: MIT */
/* WebSocket links: our client against a scripted server, and against our own server. */
#include "net_test.h"
#include "tls_test.h"

#include "codec/websocket.h"
#include "net/http_server.h"
#include "net/ws.h"

struct side {
	struct fixture *f;
	struct ws *ws;
	struct buf log; /* "t:hello;" per message */
	int opens, messages, stales, unstales, ends, reason, code;
	char text[300];
	bool destroy_on_open, destroy_on_message, destroy_on_stale, echo, inside;
};

struct fixture {
	struct tls_context *server_tls; /* NULL: in the clear */
	struct loop *loop;
	int listener, port, fd; /* the scripted server */
	struct buf seen;        /* what it has read */
	struct http_server *server;
	struct side near, far;
	struct ws_options options;
	int refused;
};

static void on_open(void *arg)
{
	struct side *s = arg;

	assert_false(s->inside);
	assert_int_equal(s->messages, 0);
	s->opens++;
	if (s->destroy_on_open)
		s->ws = ws_destroy(s->ws);
}

static void on_message(void *arg, struct str data, bool text)
{
	struct side *s = arg;

	assert_int_equal(s->opens, 1);
	assert_int_equal(s->ends, 0);
	s->messages++;
	assert_int_equal(buf_add(&s->log, text ? STR("t:") : STR("b:")), 0);
	assert_int_equal(buf_add(&s->log, data), 0);
	assert_int_equal(buf_addc(&s->log, ';'), 0);
	if (s->echo)
		assert_int_equal(ws_send(s->ws, data, text), 0);
	if (s->destroy_on_message)
		s->ws = ws_destroy(s->ws);
}

static void on_stale(void *arg, bool stale)
{
	struct side *s = arg;

	if (stale)
		s->stales++;
	else
		s->unstales++;
	if (s->destroy_on_stale)
		s->ws = ws_destroy(s->ws);
}

static void on_end(void *arg, int reason, int code, struct str text)
{
	struct side *s = arg;

	assert_false(s->inside);
	s->ends++;
	s->reason = reason;
	s->code = code;
	(void)snprintf(s->text, sizeof(s->text), "%.*s", STR_ARG(text));
	s->ws = ws_destroy(s->ws);
}

static const struct ws_events events = { on_open, on_message, on_stale, on_end };

/* While links of both our ends go through TLS: where its files are. */
static bool through_tls;

static void setup(struct fixture *f)
{
	*f = (struct fixture){ .fd = -1 };
	f->near.f = f->far.f = f;
	assert_int_equal(loop_create_manual(&f->loop), 0);
	buf_init(&f->seen, 1 << 26);
	buf_init(&f->near.log, 1 << 26);
	buf_init(&f->far.log, 1 << 26);
	f->listener = raw_listen(&f->port);
	if (!through_tls)
		return;
	f->server_tls = tls_test_server(f->loop, &pems, "server", NULL);
	f->options.tls = tls_test_client(f->loop, &pems, "ca", NULL);
}

static void teardown(struct fixture *f)
{
	f->near.ws = ws_destroy(f->near.ws);
	f->far.ws = ws_destroy(f->far.ws);
	f->server = http_server_destroy(f->server);
	f->server_tls = tls_context_destroy(f->server_tls);
	f->options.tls = tls_context_destroy(f->options.tls);
	(void)close(f->listener);
	if (f->fd >= 0)
		(void)close(f->fd);
	buf_fini(&f->seen);
	buf_fini(&f->near.log);
	buf_fini(&f->far.log);
	f->loop = loop_destroy(f->loop);
}

static void dial(struct fixture *f)
{
	char url[100];
	struct err e = { 0 };

	(void)snprintf(url, sizeof(url), "%s://127.0.0.1:%d/ari/events?app=x",
		       f->options.tls ? "wss" : "ws", f->port);
	f->near.inside = true;
	if (ws_connect(f->loop, str_from(url), &f->options, &events, &f->near, &f->near.ws, &e) < 0)
		fail_msg("%s", e.text);
	f->near.inside = false;
}

static bool head_is_there(struct fixture *f)
{
	(void)raw_read(f->fd, &f->seen);
	return str_find_str(buf_str(&f->seen), STR("\r\n\r\n")) < buf_len(&f->seen);
}

/* Accepts and reads the request; leaves the answer to its key. */
static void take_request(struct fixture *f, char accept[WEBSOCKET_ACCEPT_SIZE])
{
	struct str s;

	f->fd = raw_accept(f->loop, f->listener);
	RUN_UNTIL(f->loop, head_is_there(f));
	s = buf_str(&f->seen);
	s = str_skip(s, str_find_str(s, STR("Sec-WebSocket-Key: ")) + 19);
	assert_int_equal(websocket_accept(str_make(s.p, 24), accept), 0);
}

static void answer(struct fixture *f, const char *accept, struct str behind)
{
	char text[300];

	(void)snprintf(text, sizeof(text),
		       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		       "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%.*s",
		       accept, STR_ARG(behind));
	raw_write(f->fd, str_from(text));
}

/* Our client on a link with the scripted server. */
static void link_up(struct fixture *f)
{
	char accept[WEBSOCKET_ACCEPT_SIZE];

	dial(f);
	take_request(f, accept);
	answer(f, accept, STR(""));
	RUN_UNTIL(f->loop, f->near.opens);
	buf_clear(&f->seen);
}

static void on_request(void *arg, struct http_request *request)
{
	struct fixture *f = arg;

	if (ws_accept(f->loop, request, &f->options, &events, &f->far, &f->far.ws) < 0)
		f->refused++;
}

static void serve(struct fixture *f)
{
	struct http_mount mount = { STR("/"), 1000, on_request, f };

	assert_int_equal(http_server_create(f->loop, NULL, NULL, &f->server), 0);
	assert_int_equal(http_server_mount(f->server, &mount), 0);
	assert_int_equal(http_server_listen_tls(f->server, STR("127.0.0.1:0"), f->server_tls, NULL),
			 0);
	f->port = http_server_port(f->server, 0);
}

/* Our client on a link with our server. */
static void link_both(struct fixture *f)
{
	serve(f);
	dial(f);
	RUN_UNTIL(f->loop, f->near.opens && f->far.opens);
}

static void client_and_server_talk(void **state)
{
	struct fixture f;

	setup(&f);
	f.options.protocol = STR("ari");
	link_both(&f);
	f.far.echo = true;
	assert_int_equal(ws_send(f.near.ws, STR("hello"), true), 0);
	assert_int_equal(ws_send(f.near.ws, STR("\xff"), false), 0);
	assert_int_equal(ws_send(f.near.ws, STR(""), true), 0);
	RUN_UNTIL(f.loop, f.near.messages == 3);
	assert_true(str_eq(buf_str(&f.near.log), STR("t:hello;b:\xff;t:;")));
	/* Pings keep both from being stale for an hour. */
	for (int i = 0; i < 3600; i++) {
		loop_test_advance(f.loop, 1000);
		run_some(f.loop);
	}
	assert_int_equal(f.near.stales + f.far.stales, 0);
	f.near.inside = true;
	ws_close(f.near.ws, 4000, STR("enough"));
	f.near.inside = false;
	assert_int_equal(ws_send(f.near.ws, STR("x"), true), -EPIPE);
	RUN_UNTIL(f.loop, f.near.ends && f.far.ends);
	assert_int_equal(f.far.reason, 0);
	assert_int_equal(f.far.code, 4000);
	assert_string_equal(f.far.text, "enough");
	assert_int_equal(f.near.reason, 0);
	assert_int_equal(f.near.code, 4000);
	teardown(&f);
}

static void the_server_closes_too(void **state)
{
	struct fixture f;

	setup(&f);
	link_both(&f);
	ws_close(f.far.ws, 1001, STR(""));
	RUN_UNTIL(f.loop, f.near.ends && f.far.ends);
	assert_int_equal(f.near.code, 1001);
	assert_int_equal(f.near.reason, 0);
	assert_int_equal(f.far.reason, 0);
	teardown(&f);
}

static void requests_say_what_they_must(void **state)
{
	static const char *const parts[] = {
		"GET /ari/events?app=x HTTP/1.1\r\n",
		"\r\nUpgrade: websocket\r\n",
		"\r\nConnection: Upgrade\r\n",
		"\r\nSec-WebSocket-Version: 13\r\n",
		"\r\nSec-WebSocket-Protocol: ari\r\n",
		"\r\nAuthorization: Basic eDp5\r\n",
		"\r\nHost: 127.0.0.1:",
	};
	char accept[WEBSOCKET_ACCEPT_SIZE];
	struct fixture f;

	setup(&f);
	f.options.protocol = STR("ari");
	f.options.authorization = STR("Basic eDp5");
	dial(&f);
	take_request(&f, accept);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (str_find_str(buf_str(&f.seen), str_from(parts[i])) == buf_len(&f.seen))
			fail_msg("no %s", parts[i]);
	teardown(&f);
}

#define UP "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

static void refused_handshakes_are_told(void **state)
{
	static const struct {
		const char *what, *answer;
		bool closes;
		int reason, code;
		const char *text;
	} cases[] = {
		{ "401", "HTTP/1.1 401 No\r\nContent-Length: 5\r\n\r\nwrong", false, -EACCES, 401,
		  "wrong" },
		{ "403", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", false, -EACCES, 403, "" },
		{ "404", "HTTP/1.1 404 No\r\n\r\nnot here", true, -ENOENT, 404, "not here" },
		{ "404, cut", "HTTP/1.1 404 No\r\nContent-Length: 50\r\n\r\nnot", true, -ENOENT,
		  404, "not" },
		{ "503", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", false, -EBADMSG, 503, "" },
		{ "200", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		  false, -EBADMSG, 200, "x" },
		{ "another key's answer",
		  UP "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", false, -EBADMSG,
		  101, "" },
		{ "no answer", UP "\r\n", false, -EBADMSG, 101, "" },
		{ "garbage", "SIP/2.0 200 OK\r\n\r\n", false, -EBADMSG, 0, "" },
		{ "binary", "\x16\x03\x01\r\n\r\n", false, -EBADMSG, 0, "" },
		{ "nothing", "", true, -ECONNRESET, 0, "" },
		{ "cut in the head", "HTTP/1.1 101 Swit", true, -ECONNRESET, 0, "" },
	};

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		char accept[WEBSOCKET_ACCEPT_SIZE];
		struct str s = str_from(cases[i / 2].answer);
		struct fixture f;

		setup(&f);
		dial(&f);
		take_request(&f, accept);
		for (size_t n = 0; i % 2 && n < s.n; n++) {
			(void)send(f.fd, s.p + n, 1, MSG_NOSIGNAL);
			run_some(f.loop);
		}
		if (i % 2 == 0)
			raw_write(f.fd, s);
		if (cases[i / 2].closes)
			(void)shutdown(f.fd, SHUT_WR);
		RUN_UNTIL(f.loop, f.near.ends);
		if (f.near.reason != cases[i / 2].reason || f.near.code != cases[i / 2].code ||
		    strcmp(f.near.text, cases[i / 2].text) != 0)
			fail_msg("%s: %d, %d, \"%s\"", cases[i / 2].what, f.near.reason,
				 f.near.code, f.near.text);
		assert_int_equal(f.near.opens, 0);
		teardown(&f);
	}
}

static void a_long_refusal_is_cut(void **state)
{
	char accept[WEBSOCKET_ACCEPT_SIZE], page[1000];
	struct fixture f;

	setup(&f);
	dial(&f);
	take_request(&f, accept);
	memset(page, 'p', sizeof(page));
	raw_write(f.fd, STR("HTTP/1.1 500 No\r\n\r\n"));
	raw_write(f.fd, str_make(page, sizeof(page)));
	RUN_UNTIL(f.loop, f.near.ends);
	assert_int_equal(strlen(f.near.text), 256);
	teardown(&f);
}

static void stalled_handshakes_time_out(void **state)
{
	struct fixture f;
	char accept[WEBSOCKET_ACCEPT_SIZE];

	setup(&f);
	dial(&f);
	take_request(&f, accept);
	raw_write(f.fd, STR("HTTP/1.1 101 "));
	run_some(f.loop);
	loop_test_advance(f.loop, 9999);
	assert_int_equal(f.near.ends, 0);
	loop_test_advance(f.loop, 1);
	assert_int_equal(f.near.ends, 1);
	assert_int_equal(f.near.reason, -ETIMEDOUT);
	teardown(&f);
}

static void refused_connections_are_told(void **state)
{
	struct fixture f;

	setup(&f);
	(void)close(f.listener);
	f.listener = -1;
	dial(&f);
	RUN_UNTIL(f.loop, f.near.ends);
	assert_int_equal(f.near.reason, -ECONNREFUSED);
	teardown(&f);
}

static void bad_urls_and_headers_are_refused_at_once(void **state)
{
	static const struct {
		const char *url, *says;
	} bad[] = {
		{ "wss://pbx/ari", "no settings for TLS" },
		{ "https://pbx/ari", "no settings for TLS" },
		{ "pbx/ari", "ws://host:port" },
		{ "ws://", "ws://" },
		{ "ws://u:secret@pbx/", "a key" },
		{ "ws://pbx/a b", "URL" },
		{ "unix:/x", "ws://host:port" },
	};
	struct fixture f;
	struct err e = { 0 };

	setup(&f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(ws_connect(f.loop, str_from(bad[i].url), NULL, &events, &f.near,
					    &f.near.ws, &e),
				 -EINVAL);
		if (!strstr(e.text, bad[i].says))
			fail_msg("%s: %s", bad[i].url, e.text);
		assert_null(strstr(e.text, "secret"));
	}
	f.options.authorization = STR("Basic x\r\nEvil: y");
	assert_int_equal(ws_connect(f.loop, STR("ws://127.0.0.1:1/"), &f.options, &events, &f.near,
				    &f.near.ws, &e),
			 -EINVAL);
	assert_null(strstr(e.text, "Evil"));
	teardown(&f);
}

static void messages_may_come_with_the_handshake(void **state)
{
	char accept[WEBSOCKET_ACCEPT_SIZE];
	struct fixture f;

	setup(&f);
	dial(&f);
	take_request(&f, accept);
	answer(&f, accept, STR("\x81\x05hello\x81\x02hi"));
	RUN_UNTIL(f.loop, f.near.messages == 2);
	assert_true(str_eq(buf_str(&f.near.log), STR("t:hello;t:hi;")));
	teardown(&f);
}

/* Has the scripted server seen a close frame (masked) with this code? */
static int code_seen(struct fixture *f)
{
	struct str s;

	(void)raw_read(f->fd, &f->seen);
	s = buf_str(&f->seen);
	while (s.n >= 6) {
		const unsigned char *p = (const unsigned char *)s.p;
		size_t n = p[1] & 0x7f;

		assert_true(p[1] & 0x80);
		assert_true(n < 126);
		if (p[0] == 0x88)
			return n >= 2 && s.n >= 8 ? (p[6] ^ p[2]) << 8 | (p[7] ^ p[3]) : 1005;
		s = str_skip(s, 6 + n);
	}
	return 0;
}

static void violations_earn_their_close_codes(void **state)
{
	static const struct {
		const char *what, *bytes;
		size_t n;
		int code;
	} cases[] = {
		{ "masked by a server", "\x81\x81\x01\x02\x03\x04x", 7, 1002 },
		{ "reserved bit", "\xc1\x01x", 3, 1002 },
		{ "unknown opcode", "\x85\x01x", 3, 1002 },
		{ "too large", "\x82\x7e\x03\xe9....x", 9, 1009 },
		{ "no UTF-8", "\x81\x01\xff", 3, 1007 },
		{ "HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", 28, 1002 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;

		setup(&f);
		f.options.message_max = 1000;
		link_up(&f);
		raw_write(f.fd, STR("\x81\x02ok"));
		raw_write(f.fd, str_make(cases[i].bytes, cases[i].n));
		RUN_UNTIL(f.loop, code_seen(&f));
		if (code_seen(&f) != cases[i].code)
			fail_msg("%s: %d", cases[i].what, code_seen(&f));
		/* What comes behind is ignored. */
		raw_write(f.fd, STR("\x81\x02no"));
		run_some(f.loop);
		assert_int_equal(f.near.ends, 0);
		(void)shutdown(f.fd, SHUT_WR);
		RUN_UNTIL(f.loop, f.near.ends);
		assert_int_equal(f.near.reason, -EPROTO);
		assert_int_equal(f.near.code, cases[i].code);
		assert_int_equal(f.near.messages, 1);
		teardown(&f);
	}
}

static void a_link_cut_in_a_frame_is_a_reset(void **state)
{
	struct fixture f;

	setup(&f);
	link_up(&f);
	raw_write(f.fd, STR("\x81\x05hel"));
	(void)shutdown(f.fd, SHUT_WR);
	RUN_UNTIL(f.loop, f.near.ends);
	assert_int_equal(f.near.reason, -ECONNRESET);
	assert_int_equal(f.near.messages, 0);
	teardown(&f);
}

static void silence_is_stale_and_then_dead(void **state)
{
	struct fixture f;

	setup(&f);
	link_up(&f);
	loop_test_advance(f.loop, 2499);
	assert_int_equal(f.near.stales, 0);
	loop_test_advance(f.loop, 1);
	assert_int_equal(f.near.stales, 1);
	/* Half a frame is life, too. */
	raw_write(f.fd, STR("\x81"));
	RUN_UNTIL(f.loop, f.near.unstales == 1);
	loop_test_advance(f.loop, 2500);
	assert_int_equal(f.near.stales, 2);
	loop_test_advance(f.loop, 7499);
	assert_int_equal(f.near.ends, 0);
	loop_test_advance(f.loop, 1);
	assert_int_equal(f.near.ends, 1);
	assert_int_equal(f.near.reason, -ETIMEDOUT);
	/* A ping a second went out meanwhile: 6 bytes each. */
	while (raw_read(f.fd, &f.seen) > 0)
		;
	assert_in_range(buf_len(&f.seen), 6 * 11, 6 * 13);
	teardown(&f);
}

static void bytes_that_wait_save_a_link_from_death(void **state)
{
	struct fixture f;

	setup(&f);
	link_up(&f);
	loop_test_advance(f.loop, 9999);
	assert_int_equal(f.near.ends, 0);
	/* They are in the socket when the timer rings: the loop was late, not the peer. */
	raw_write(f.fd, STR("\x81\x01x"));
	loop_test_advance(f.loop, 1);
	run_some(f.loop);
	assert_int_equal(f.near.ends, 0);
	assert_int_equal(f.near.messages, 1);
	teardown(&f);
}

static void pings_are_answered(void **state)
{
	struct fixture f;
	const unsigned char *p;

	setup(&f);
	link_up(&f);
	raw_write(f.fd, STR("\x01\x02he\x89\x03pin\x80\x03llo"));
	RUN_UNTIL(f.loop, (raw_read(f.fd, &f.seen), buf_len(&f.seen) >= 9));
	p = (const unsigned char *)buf_str(&f.seen).p;
	assert_int_equal(p[0], 0x8a);
	assert_int_equal(p[1], 0x83);
	assert_int_equal(p[6] ^ p[2], 'p');
	assert_int_equal(p[8] ^ p[4], 'n');
	assert_true(str_eq(buf_str(&f.near.log), STR("t:hello;")));
	teardown(&f);
}

static void the_peers_close_is_answered(void **state)
{
	struct fixture f;

	setup(&f);
	link_up(&f);
	raw_write(f.fd, STR("\x88\x05\x0f\xa1"
			    "bye"));
	RUN_UNTIL(f.loop, code_seen(&f));
	assert_int_equal(code_seen(&f), 4001);
	RUN_UNTIL(f.loop, raw_read(f.fd, &f.seen) == 0);
	assert_int_equal(f.near.ends, 0);
	(void)shutdown(f.fd, SHUT_WR);
	RUN_UNTIL(f.loop, f.near.ends);
	assert_int_equal(f.near.reason, 0);
	assert_int_equal(f.near.code, 4001);
	assert_string_equal(f.near.text, "bye");
	teardown(&f);
}

static void a_close_that_nobody_answers_times_out(void **state)
{
	struct fixture f;

	setup(&f);
	link_up(&f);
	ws_close(f.near.ws, 1000, STR("bye"));
	RUN_UNTIL(f.loop, code_seen(&f) == 1000);
	/* Chatter does not put it off. */
	for (int i = 0; i < 10; i++) {
		raw_write(f.fd, STR("\x81\x01x"));
		loop_test_advance(f.loop, 999);
	}
	assert_int_equal(f.near.ends, 0);
	loop_test_advance(f.loop, 10);
	assert_int_equal(f.near.ends, 1);
	assert_int_equal(f.near.reason, -ETIMEDOUT);
	teardown(&f);
}

static void a_close_in_the_handshake_ends_it(void **state)
{
	struct fixture f;

	setup(&f);
	dial(&f);
	f.near.inside = true;
	ws_close(f.near.ws, 1000, STR(""));
	f.near.inside = false;
	RUN_UNTIL(f.loop, f.near.ends);
	assert_int_equal(f.near.reason, 0);
	assert_int_equal(f.near.opens, 0);
	teardown(&f);
}

static void a_slow_reader_is_refused_and_loses_nothing(void **state)
{
	char *data = malloc(65536);
	struct fixture f;
	size_t n = 0, at = 0;

	setup(&f);
	link_both(&f);
	memset(data, 'x', 65536);
	for (int rc = 0; rc == 0; n += rc == 0)
		rc = ws_send(f.near.ws, str_make(data, 65536 - n), true);
	assert_int_equal(ws_send(f.near.ws, str_make(data, 65536), true), -ENOBUFS);
	assert_true(n > 10);
	/* There is always room for a close frame. */
	ws_close(f.near.ws, 1000, STR("done"));
	RUN_UNTIL(f.loop, f.far.ends);
	assert_int_equal((size_t)f.far.messages, n);
	assert_int_equal(f.far.code, 1000);
	for (size_t i = 0; i < n; i++)
		at += 65536 - i + 3;
	assert_int_equal(buf_len(&f.far.log), at);
	free(data);
	teardown(&f);
}

static void thousands_of_small_events_come_in_order(void **state)
{
	enum { N = 20000 };
	struct fixture f;
	struct str s;
	char text[16];

	setup(&f);
	link_both(&f);
	for (int i = 0; i < N; i++) {
		int len = snprintf(text, sizeof(text), "%d", i);

		while (ws_send(f.far.ws, str_make(text, (size_t)len), true) == -ENOBUFS)
			loop_turn(f.loop);
	}
	RUN_UNTIL(f.loop, f.near.messages == N);
	s = buf_str(&f.near.log);
	for (int i = 0; i < N; i++) {
		int len = snprintf(text, sizeof(text), "t:%d;", i);

		assert_memory_equal(s.p, text, (size_t)len);
		s = str_skip(s, (size_t)len);
	}
	teardown(&f);
}

static void a_link_may_be_destroyed_in_its_events(void **state)
{
	for (int i = 0; i < 3; i++) {
		char accept[WEBSOCKET_ACCEPT_SIZE];
		struct fixture f;

		setup(&f);
		f.near.destroy_on_open = i == 0;
		f.near.destroy_on_message = i == 1;
		f.near.destroy_on_stale = i == 2;
		dial(&f);
		take_request(&f, accept);
		answer(&f, accept, i < 2 ? STR("\x81\x01x\x81\x01y") : STR(""));
		RUN_UNTIL(f.loop, f.near.opens);
		loop_test_advance(f.loop, 2500);
		assert_null(f.near.ws);
		assert_int_equal(f.near.messages, i == 1);
		assert_int_equal(f.near.ends, 0);
		teardown(&f);
	}
}

static void bad_upgrade_requests_are_answered(void **state)
{
	static const struct {
		const char *what, *request, *status;
	} cases[] = {
		{ "no upgrade", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 " },
		{ "old version",
		  "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
		  "HTTP/1.1 426 " },
		{ "bad key",
		  "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		  "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n",
		  "HTTP/1.1 400 " },
		{ "good",
		  "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
		  "\x81\x81\x01\x02\x03\x04\x79",
		  "HTTP/1.1 101 " },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		bool good = i == 3;

		setup(&f);
		serve(&f);
		f.fd = raw_connect(f.port);
		raw_write(f.fd, str_from(cases[i].request));
		RUN_UNTIL(f.loop, head_is_there(&f));
		if (!str_starts(buf_str(&f.seen), str_from(cases[i].status)))
			fail_msg("%s: %.*s", cases[i].what, STR_ARG(buf_str(&f.seen)));
		assert_int_equal(f.refused, !good);
		/* What came behind the request is the first message. */
		RUN_UNTIL(f.loop, f.far.messages == good);
		assert_true(str_eq(buf_str(&f.far.log), good ? STR("t:x;") : STR("")));
		teardown(&f);
	}
}

static void an_unmasked_client_is_closed(void **state)
{
	struct fixture f;
	struct str s;

	setup(&f);
	serve(&f);
	f.fd = raw_connect(f.port);
	raw_write(f.fd, STR("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
			    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
			    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x01x"));
	RUN_UNTIL(f.loop, raw_read(f.fd, &f.seen) == 0);
	s = buf_str(&f.seen);
	assert_true(str_ends(s, STR("\r\n\r\n\x88\x02\x03\xea")));
	(void)shutdown(f.fd, SHUT_WR);
	RUN_UNTIL(f.loop, f.far.ends);
	assert_int_equal(f.far.reason, -EPROTO);
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
		cmocka_unit_test(client_and_server_talk),
		cmocka_unit_test(the_server_closes_too),
		cmocka_unit_test(requests_say_what_they_must),
		cmocka_unit_test(refused_handshakes_are_told),
		cmocka_unit_test(a_long_refusal_is_cut),
		cmocka_unit_test(stalled_handshakes_time_out),
		cmocka_unit_test(refused_connections_are_told),
		cmocka_unit_test(bad_urls_and_headers_are_refused_at_once),
		cmocka_unit_test(messages_may_come_with_the_handshake),
		cmocka_unit_test(violations_earn_their_close_codes),
		cmocka_unit_test(a_link_cut_in_a_frame_is_a_reset),
		cmocka_unit_test(silence_is_stale_and_then_dead),
		cmocka_unit_test(bytes_that_wait_save_a_link_from_death),
		cmocka_unit_test(pings_are_answered),
		cmocka_unit_test(the_peers_close_is_answered),
		cmocka_unit_test(a_close_that_nobody_answers_times_out),
		cmocka_unit_test(a_close_in_the_handshake_ends_it),
		cmocka_unit_test(a_slow_reader_is_refused_and_loses_nothing),
		cmocka_unit_test(thousands_of_small_events_come_in_order),
		cmocka_unit_test(a_link_may_be_destroyed_in_its_events),
		cmocka_unit_test(bad_upgrade_requests_are_answered),
		cmocka_unit_test(an_unmasked_client_is_closed),
	};

	const struct CMUnitTest both[] = {
		cmocka_unit_test(client_and_server_talk),
		cmocka_unit_test(the_server_closes_too),
		cmocka_unit_test(a_slow_reader_is_refused_and_loses_nothing),
		cmocka_unit_test(thousands_of_small_events_come_in_order),
	};
	int failed = cmocka_run_group_tests_name("ws in the clear", tests, NULL, NULL);

	return failed + cmocka_run_group_tests_name("ws through TLS", both, begin_tls, end_tls);
}
