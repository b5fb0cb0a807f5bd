/* SPDX-License-Identifier: MIT */
/*
 * Opening a connection: look the name up on the thread pool, try its addresses one after the
 * other, within one deadline.
 *
 * Every attempt uses the same descriptor number (dup3 puts the next socket in its place), so that
 * the poll handle of the connection stays the same. A look-up that runs when the connection goes
 * can't be stopped: the dial then outlives it and frees itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/conn_internal.h"

enum { CONNECT_TIMEOUT_MS = 5000 };

struct dial {
	struct conn *conn;       /* NULL: gone while the look-up runs */
	struct tls_context *tls; /* NULL: in the clear */
	uv_getaddrinfo_t lookup; /* while looking */
	struct addrinfo *found, *next;
	struct timer timer;
	bool looking;
	char host[]; /* as it was given: a server's certificate must be for it */
};

/* Starts connecting; whether it worked is known when the socket becomes writable. */
static int attempt(struct conn *c, const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return -errno;
	address_describe(sa, &c->peer);
	if (connect(fd, sa, len) < 0 && errno != EINPROGRESS && errno != EINTR) {
		rc = -errno;
		goto fail;
	}
	if (c->fd < 0) {
		rc = conn_attach(c, fd);
		if (rc < 0)
			goto fail;
	} else {
		conn_watch(c, 0);
		if (dup3(fd, c->fd, O_CLOEXEC) < 0) {
			rc = -errno;
			goto fail;
		}
		(void)close(fd);
	}
	conn_watch(c, UV_WRITABLE);
	return 0;

fail:
	(void)close(fd);
	return rc;
}

/* The next address of a name: 0, or why there is none that works. */
static int attempt_next(struct dial *d, int rc)
{
	while (d->next) {
		struct addrinfo *ai = d->next;

		d->next = ai->ai_next;
		rc = attempt(d->conn, ai->ai_addr, ai->ai_addrlen);
		if (rc == 0)
			break;
	}
	return rc;
}

void dial_drop(struct dial *d)
{
	d->conn->dial = NULL;
	timer_stop(&d->timer);
	if (d->looking) {
		d->conn = NULL;
		(void)uv_cancel((uv_req_t *)&d->lookup);
		return;
	}
	uv_freeaddrinfo(d->found);
	free(d);
}

static void dial_failed(struct dial *d, int rc)
{
	struct conn *c = d->conn;

	dial_drop(d);
	conn_watch(c, 0);
	conn_end(c, rc);
}

static void on_timeout(void *arg)
{
	dial_failed(arg, -ETIMEDOUT);
}

/* The socket is: what is left of the time is TLS's. */
static void connected(struct dial *d)
{
	struct conn *c = d->conn;
	uint64_t now = loop_now(c->loop);
	int rc = 0;

	if (d->tls)
		rc = hello_start(c, d->tls, d->host,
				 d->timer.due_ms > now ? d->timer.due_ms - now : 0);
	if (rc < 0) {
		dial_failed(d, rc);
		return;
	}
	dial_drop(d);
	if (c->hello)
		return;
	conn_opened(c);
	if (c->events.on_open)
		c->events.on_open(c->arg);
}

void dial_ready(struct dial *d)
{
	struct conn *c = d->conn;
	int rc = 0;
	socklen_t len = sizeof(rc);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &rc, &len) < 0)
		rc = errno;
	if (rc) {
		rc = attempt_next(d, -rc);
		if (rc < 0)
			dial_failed(d, rc);
		return;
	}
	connected(d);
}

static int lookup_errno(int rc)
{
	switch (rc) {
	case UV_EAI_AGAIN:
		return -EAGAIN;
	case UV_EAI_MEMORY:
		return -ENOMEM;
	default:
		return -ENOENT;
	}
}

static void on_looked_up(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct dial *d = req->data;
	int rc;

	d->looking = false;
	d->found = d->next = found;
	if (!d->conn) {
		uv_freeaddrinfo(found);
		free(d);
		return;
	}
	rc = status < 0 ? lookup_errno(status) : attempt_next(d, -ENOENT);
	if (rc < 0)
		dial_failed(d, rc);
}

static int look_up(struct dial *d, const struct address *a)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	char port[8];
	int rc;

	(void)snprintf(port, sizeof(port), "%u", (unsigned int)a->port);
	(void)snprintf(d->conn->peer.text, sizeof(d->conn->peer.text), "%.46s:%s", a->host, port);
	d->lookup.data = d;
	rc = uv_getaddrinfo(loop_uv(d->conn->loop), &d->lookup, on_looked_up, a->host, port,
			    &hints);
	d->looking = rc == 0;
	return rc;
}

/* The name that a certificate has to be for. */
static struct str host_of(const struct conn *c, const struct address *a)
{
	if (a->is_name)
		return str_from(a->host);
	return a->socket.any.sa_family == AF_UNIX ? STR("localhost") : conn_peer_address(c);
}

static int dial_create(struct conn *c, const struct address *a, const struct conn_options *options)
{
	uint64_t ms = options ? options->connect_timeout_ms : 0;
	struct str host;
	struct dial *d;
	int rc;

	if (!a->is_name)
		address_describe(&a->socket.any, &c->peer);
	host = host_of(c, a);
	d = calloc(1, sizeof(*d) + host.n + 1);
	if (!d)
		return -ENOMEM;
	memcpy(d->host, host.p, host.n);
	d->tls = options ? options->tls : NULL;
	d->conn = c;
	c->dial = d;
	timer_init(&d->timer, c->loop, on_timeout, d);
	rc = timer_start(&d->timer, ms ? ms : CONNECT_TIMEOUT_MS);
	if (rc < 0)
		dial_drop(d);
	return rc;
}

int conn_connect(struct loop *loop, struct str address, const struct conn_options *options,
		 const struct conn_events *events, void *arg, struct conn **ret, struct err *e)
{
	struct address a;
	struct conn *c;
	int rc = address_parse(address, &a, e);

	if (rc < 0)
		return rc;
	c = conn_new(loop, options);
	rc = c ? dial_create(c, &a, options) : -ENOMEM;
	if (rc < 0) {
		(void)conn_destroy(c);
		return err_set(e, rc, "%.*s: out of memory", STR_ARG(address));
	}
	conn_set_events(c, events, arg);
	rc = a.is_name ? look_up(c->dial, &a) : attempt(c, &a.socket.any, a.len);
	if (rc < 0) {
		dial_drop(c->dial);
		conn_end_later(c, rc);
	}
	*ret = c;
	return 0;
}
