/* SPDX-License-Identifier: MIT */
/*
 * The contract's row of the NATS bus: its outside is a server of one listener that reads lines and,
 * when it has got messages, holds its PONG until the test answers the first of them. One PONG
 * confirms all messages before it, so the others count as answered from then on.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "buses/nats/nats.h"
#include "buses/nats/nats_conf.h"
#include "contract.h"
#include "net/conn.h"

enum { READ_MAX = 16 * 1024 * 1024 };

struct outside {
	struct listener *listener;
	struct conn *conn;
	struct nats_conf conf;
	char url[64];
	struct buf in;
	bool away, pinged;
	size_t got;      /* messages since the last PONG */
	size_t answered; /* messages that a PONG covers and the test has not asked for */
};

static void say(struct outside *o, struct str text)
{
	if (o->conn)
		(void)conn_write(o->conn, &text, 1);
}

static void forget(struct outside *o)
{
	o->conn = conn_destroy(o->conn);
	buf_clear(&o->in);
	o->pinged = false;
	o->got = o->answered = 0;
}

/* The bytes that follow the line, with their CRLF. */
static size_t payload_of(struct str line)
{
	uint64_t n = 0;
	size_t at = line.n;

	while (at && line.p[at - 1] != ' ')
		at--;
	assert_int_equal(str_u64(str_skip(line, at), &n), 0);
	return (size_t)n + 2;
}

static void on_line(struct outside *o, struct str line)
{
	if (str_starts(line, STR("PUB ")))
		o->got++;
	else if (!str_starts(line, STR("PING")))
		return;
	else if (o->got)
		o->pinged = true;
	else
		say(o, STR("PONG\r\n"));
}

static void on_data(void *arg, struct str data)
{
	struct outside *o = arg;

	assert_int_equal(buf_add(&o->in, data), 0);
	for (;;) {
		struct str in = buf_str(&o->in), line = str_make(in.p, str_find(in, '\n'));
		size_t used = line.n + 1;

		if (line.n == in.n)
			return;
		line = str_trim(line);
		if (str_starts(line, STR("PUB ")))
			used += payload_of(line);
		if (used > in.n)
			return;
		on_line(o, line);
		buf_consume(&o->in, used);
	}
}

static void on_end(void *arg, int reason)
{
	forget(arg);
}

static void on_conn(void *arg, struct conn *conn)
{
	static const struct conn_events events = { .on_data = on_data, .on_end = on_end };
	struct outside *o = arg;

	if (o->away) {
		(void)conn_destroy(conn);
		return;
	}
	forget(o);
	o->conn = conn;
	conn_set_events(conn, &events, o);
	say(o, STR("INFO {\"server_id\":\"S\",\"version\":\"2.9.0\",\"proto\":1,\"headers\":true,"
		   "\"max_payload\":1048576}\r\n"));
}

static void setup(struct contract *c, const void **conf)
{
	struct outside *o = calloc(1, sizeof(*o));
	struct err e;

	assert_non_null(o);
	buf_init(&o->in, READ_MAX);
	assert_int_equal(
		listener_create(c->loop, STR("127.0.0.1:0"), NULL, on_conn, o, &o->listener, &e),
		0);
	(void)snprintf(o->url, sizeof(o->url), "nats://127.0.0.1:%d", listener_port(o->listener));
	o->conf = (struct nats_conf){ .name = (char *)"main",
				      .url = o->url,
				      .tls = { .verify = true },
				      .connect_timeout_ms = 300,
				      .ping_ms = 1000000,
				      .stale_ms = 2000000,
				      .dead_ms = 3000000,
				      .hold_ms = 1000000 };
	c->outside = o;
	*conf = &o->conf;
}

static void teardown(struct contract *c)
{
	struct outside *o = c->outside;

	forget(o);
	(void)listener_destroy(o->listener);
	buf_fini(&o->in);
	free(o);
}

static bool answer(struct contract *c, bool good)
{
	struct outside *o = c->outside;

	assert_true(good);
	if (!o->answered && o->pinged) {
		o->answered = o->got;
		o->got = 0;
		o->pinged = false;
		say(o, STR("PONG\r\n"));
	}
	if (!o->answered)
		return false;
	o->answered--;
	return true;
}

static void lose(struct contract *c)
{
	struct outside *o = c->outside;

	o->away = true;
	forget(o);
}

static void restore(struct contract *c)
{
	((struct outside *)c->outside)->away = false;
}

const struct contract_row contract_nats = {
	.what = "the NATS bus",
	.ops = &nats_bus_ops,
	.setup = setup,
	.teardown = teardown,
	.answer = answer,
	.lose = lose,
	.restore = restore,
	.takes_all = true,
	.back_ms = 60000,
};
