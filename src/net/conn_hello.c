/* SPDX-License-Identifier: MIT */
/*
 * TLS's handshake, between a connection's socket and its opening.
 *
 *   hello_start ──► waits for bytes ──► in the queue ──► a step ──► done: conn_opened
 *                        ^                                 │ │ broken: conn_end
 *                        └─────────────────────────────────┘ └────► LINGER ──► conn_end
 *
 * A step costs up to some milliseconds of arithmetic (RSA), and after a restart thousands of peers
 * come at once. So a connection whose socket is ready goes into a queue, one for all connections of
 * the thread, and each turn of the loop takes STEPS of it or as many as TURN_US allow: everybody
 * else has a turn in between. One time limit covers it all, so that half-open peers go.
 *
 * LINGER: a server that refuses has said why (an alert, or a plain 400 to who speaks plain HTTP
 * here); closing with unread bytes would send a reset, which can overtake that.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/conn_internal.h"
#include "net/tls_internal.h"

enum { STEPS = 32, TURN_US = 4000, LINGER_MS = 1000 };

struct hello {
	struct conn *conn;
	struct list place; /* hellos.ready */
	struct timer limit;
	bool dialled;
	bool begun;     /* the first step has been made: it is TLS */
	bool lingering; /* broken, with conn.failure */
};

/* Handshakes that can go on, of this thread's loop. */
static _Thread_local struct {
	struct list ready; /* struct hello.place */
	struct task turn;
	size_t users;
} hellos;

static const char plain_http[] = "HTTP/1.1 400 Bad Request\r\n"
				 "Content-Type: application/problem+json\r\n"
				 "Connection: close\r\n"
				 "\r\n"
				 "{\"type\":\"about:blank\",\"title\":\"Bad Request\","
				 "\"status\":400,\"detail\":\"this port speaks TLS: say "
				 "https:// instead of http://\"}\n";

static void on_turn(void *arg);

static void enter(struct hello *h)
{
	if (hellos.users++ == 0) {
		list_init(&hellos.ready);
		task_init(&hellos.turn, h->conn->loop, on_turn, NULL);
	}
}

static void leave(void)
{
	if (--hellos.users == 0)
		task_cancel(&hellos.turn);
}

void hello_drop(struct hello *h)
{
	h->conn->hello = NULL;
	timer_stop(&h->limit);
	list_del(&h->place);
	free(h);
	leave();
}

static void end(struct hello *h, int reason)
{
	struct conn *c = h->conn;

	hello_drop(h);
	conn_watch(c, 0);
	conn_end(c, reason);
}

/* Told, then either at once the end or what the peer still sends is dropped for a while. */
static void refuse(struct hello *h, int reason, const char *why)
{
	struct conn *c = h->conn;

	tls_context_failed(c->tls->context, conn_peer(c), why ? why : strerror(-reason));
	if (h->dialled || (reason != -EPROTO && reason != -EKEYREJECTED) ||
	    timer_start(&h->limit, LINGER_MS) < 0) {
		end(h, reason);
		return;
	}
	c->failure = reason;
	h->lingering = true;
	(void)shutdown(c->fd, SHUT_WR);
	conn_watch(c, UV_READABLE);
}

static void on_limit(void *arg)
{
	struct hello *h = arg;
	struct conn *c = h->conn;

	if (!h->lingering)
		tls_context_failed(c->tls->context, conn_peer(c),
				   "the handshake was not done in time");
	end(h, -ETIMEDOUT);
}

static void linger(struct hello *h)
{
	char dropped[4096];
	ssize_t got = recv(h->conn->fd, dropped, sizeof(dropped), 0);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		end(h, h->conn->failure);
	else
		conn_watch(h->conn, UV_READABLE);
}

/* A server's first look: 1 = it may be TLS, 0 = nothing is there yet, -EPROTO = plain HTTP. */
static int look_at_first(const struct hello *h)
{
	char first = 0;
	ssize_t n = recv(h->conn->fd, &first, 1, MSG_PEEK);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* A method's first letter is no type of record. */
	if (n <= 0 || first < 'A' || first > 'Z')
		return 1;
	(void)send(h->conn->fd, plain_http, sizeof(plain_http) - 1, MSG_NOSIGNAL);
	return -EPROTO;
}

static void opened(struct hello *h)
{
	struct conn *c = h->conn;
	bool dialled = h->dialled;

	hello_drop(h);
	conn_opened(c);
	if (dialled && c->events.on_open)
		c->events.on_open(c->arg);
}

static void step(struct hello *h)
{
	struct conn *c = h->conn;
	int rc = 1;

	if (h->lingering) {
		linger(h);
		return;
	}
	if (!h->begun && !h->dialled)
		rc = look_at_first(h);
	if (rc < 0) {
		refuse(h, rc, "plain HTTP on a port that speaks TLS");
		return;
	}
	h->begun = rc == 1;
	if (rc == 1)
		rc = tls_handshake(c->tls);
	if (rc < 0)
		refuse(h, rc, c->tls->why);
	else if (rc == 1)
		opened(h);
	else
		conn_watch(c, h->begun && tls_handshake_writes(c->tls) ? UV_WRITABLE : UV_READABLE);
}

static void on_turn(void *arg)
{
	uint64_t until_us = loop_now_us() + TURN_US;

	for (int n = 0; n < STEPS && hellos.users && !list_empty(&hellos.ready); n++) {
		struct hello *h = container_of(hellos.ready.next, struct hello, place);

		list_del(&h->place);
		step(h);
		if (loop_now_us() >= until_us)
			break;
	}
	if (hellos.users && !list_empty(&hellos.ready))
		task_defer(&hellos.turn);
}

void hello_ready(struct hello *h)
{
	/* Not told again until its step has been made. */
	conn_watch(h->conn, 0);
	if (list_empty(&h->place))
		list_add_tail(&hellos.ready, &h->place);
	task_defer(&hellos.turn);
}

int hello_start(struct conn *c, struct tls_context *tls, const char *name, uint64_t limit_ms)
{
	struct hello *h = calloc(1, sizeof(*h));
	int rc;

	if (!h)
		return -ENOMEM;
	h->conn = c;
	h->dialled = name != NULL;
	list_init(&h->place);
	timer_init(&h->limit, c->loop, on_limit, h);
	rc = tls_create(tls, c->fd, name, conn_peer(c), &c->tls);
	if (rc == 0)
		rc = timer_start(&h->limit, limit_ms);
	if (rc < 0) {
		free(h);
		return rc;
	}
	enter(h);
	c->hello = h;
	if (h->dialled)
		hello_ready(h);
	else
		conn_watch(c, UV_READABLE);
	return 0;
}
