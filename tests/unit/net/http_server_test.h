/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the HTTP server share: a server whose handler does what the path says, and
 * clients that are plain sockets. The clock is the test's, the sockets are real.
 */
#ifndef VOXBUS_TESTS_HTTP_SERVER_TEST_H
#define VOXBUS_TESTS_HTTP_SERVER_TEST_H

#include "net_test.h"

#include "net/conn.h"
#include "net/http_server.h"

enum { PARKED_MAX = 64, BODY_MAX = 4096 };

#define HOST "Host: a\r\n"

struct fixture {
	struct loop *loop;
	struct http_server *server;
	int port;
	struct http_request *parked[PARKED_MAX];
	size_t n_parked;
	int handled, gone, sent, stopped;
	bool want_sent; /* requests get an on_sent */
	struct conn *taken;
	struct buf got;  /* what the client has read */
	struct buf said; /* what handlers saw */
};

static inline void on_gone(void *arg)
{
	struct fixture *f = arg;

	f->gone++;
}

static inline void on_sent(void *arg)
{
	struct fixture *f = arg;

	f->sent++;
}

static inline void on_stopped(void *arg)
{
	struct fixture *f = arg;

	f->stopped++;
}

static inline void reply_text(struct http_request *r, int status, struct str body)
{
	struct http_reply reply = { .status = status,
				    .content_type = STR("text/plain"),
				    .body = body };

	http_reply(r, &reply);
}

static inline void ignore_data(void *arg, struct str data)
{
	struct fixture *f = arg;

	(void)buf_add(&f->said, data);
}

static inline void ignore_end(void *arg, int reason)
{
	struct fixture *f = arg;

	f->taken = conn_destroy(f->taken);
}

static inline int take_over(struct fixture *f, struct http_request *r)
{
	static const struct conn_events events = { .on_data = ignore_data, .on_end = ignore_end };
	struct http_header upgrade = { STR("Upgrade"), STR("test") };
	struct str rest;
	int rc = http_upgrade(r, &upgrade, 1, &f->taken, &rest);

	if (rc == 0) {
		(void)buf_add(&f->said, rest);
		conn_set_events(f->taken, &events, f);
	}
	return rc;
}

/* /now answers, /echo answers with the body, /park waits, /up is upgraded. */
static inline void handle(void *arg, struct http_request *r)
{
	struct fixture *f = arg;
	const struct http_request_info *info = http_request_info(r);

	f->handled++;
	if (f->want_sent)
		http_request_on_sent(r, on_sent, f);
	if (str_starts(info->path, STR("/echo"))) {
		reply_text(r, 200, info->body);
	} else if (str_find_str(info->path, STR("/park")) < info->path.n) {
		assert_true(f->n_parked < PARKED_MAX);
		f->parked[f->n_parked++] = r;
		http_request_on_gone(r, on_gone, f);
	} else if (str_starts(info->path, STR("/up"))) {
		assert_int_equal(take_over(f, r), 0);
	} else {
		reply_text(r, 200, info->path);
	}
}

static inline void begin(struct fixture *f, const struct http_server_options *options)
{
	struct http_mount mount = {
		.prefix = STR("/"), .body_max = BODY_MAX, .handle = handle, .arg = f
	};
	struct err e;

	*f = (struct fixture){ .port = 0 };
	buf_init(&f->got, 64 << 20);
	buf_init(&f->said, 1 << 20);
	assert_int_equal(loop_create_manual(&f->loop), 0);
	assert_int_equal(http_server_create(f->loop, options, NULL, &f->server), 0);
	assert_int_equal(http_server_mount(f->server, &mount), 0);
	assert_int_equal(http_server_listen(f->server, STR("127.0.0.1:0"), &e), 0);
	f->port = http_server_port(f->server, 0);
}

static inline void finish(struct fixture *f)
{
	f->server = http_server_destroy(f->server);
	f->taken = conn_destroy(f->taken);
	f->loop = loop_destroy(f->loop);
	buf_fini(&f->got);
	buf_fini(&f->said);
}

static inline bool has(const struct buf *b, const char *text)
{
	struct str s = buf_str(b);

	return b->base && str_find_str(s, str_from(text)) < s.n;
}

static inline bool got(struct fixture *f, int fd, const char *text)
{
	(void)raw_read(fd, &f->got);
	return has(&f->got, text);
}

/* Sends and reads until the text is there; what was read before is forgotten. */
static inline void exchange(struct fixture *f, int fd, struct str wire, const char *until)
{
	buf_clear(&f->got);
	raw_write(fd, wire);
	RUN_UNTIL(f->loop, got(f, fd, until));
}

static inline void read_to_end(struct fixture *f, int fd)
{
	RUN_UNTIL(f->loop, raw_read(fd, &f->got) == 0);
}

static inline void assert_got(struct fixture *f, const char *text)
{
	if (!has(&f->got, text))
		fail_msg("got %.*s, want %s in it", STR_ARG(buf_str(&f->got)), text);
}

/* One request on a connection of its own that is closed by the server behind the answer. */
static inline void ask(struct fixture *f, struct str wire)
{
	int fd = raw_connect(f->port);

	buf_clear(&f->got);
	raw_write(fd, wire);
	read_to_end(f, fd);
	(void)close(fd);
	run_some(f->loop);
}

static inline int park(struct fixture *f, struct str wire)
{
	int fd = raw_connect(f->port);
	size_t n = f->n_parked;

	raw_write(fd, wire);
	RUN_UNTIL(f->loop, f->n_parked == n + 1);
	return fd;
}

static inline uint64_t open_now(struct fixture *f)
{
	struct http_server_stats stats;

	http_server_stats(f->server, &stats);
	return stats.open;
}

#endif
