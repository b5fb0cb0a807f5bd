/* SPDX-License-Identifier: MIT */
/*
 * A connection: a socket under a uv_poll handle, a buffer for what the kernel did not take, and
 * one task for events that a call must not deliver itself.
 *
 * uv_poll and not uv_tcp, because everything then goes through three functions (transport_*):
 * TCP, Unix sockets, accepted or dialled, and TLS differ there alone; and because an idle
 * connection then holds no read buffer and no write request, only struct conn. All connections
 * of a thread read into one buffer, since bytes are gone when on_data returns.
 *
 * Fairness: at most ROUNDS reads a turn; epoll is level-triggered and reports the rest again.
 * When writing fails, what the peer sent before is still read; the end comes with the failure's
 * reason once reading ends too.
 */
#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/conn_internal.h"
#include "net/tls_internal.h"

enum { READ_SIZE = 65536, ROUNDS = 4, PARTS = 16, WRITE_MAX = 1 << 20, HELLO_MS = 10000 };

/* Ten thousand idle long polls are to cost what they must and no more. */
_Static_assert(sizeof(struct conn) <= 512, "a connection has grown");

/* One for all connections of a thread: nothing in it outlives on_data. */
static _Thread_local char read_buffer[READ_SIZE];

/* Bytes read, 0 at the end of the stream, -EAGAIN or what broke. */
static ssize_t transport_read(struct conn *c, char *p, size_t n)
{
	ssize_t got;

	if (c->tls)
		return tls_read(c->tls, p, n);
	do {
		got = recv(c->fd, p, n, 0);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

/* Bytes taken (0 when the socket is full), or what broke. */
static ssize_t transport_write(struct conn *c, const struct iovec *iov, size_t n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n };
	ssize_t put;

	if (c->tls)
		return tls_write(c->tls, iov, n);
	do {
		put = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
	} while (put < 0 && errno == EINTR);
	if (put >= 0)
		return put;
	return errno == EAGAIN ? 0 : -errno;
}

/* Our end of the stream, once all is written. TLS ends its own first, if need be in a later turn. */
static void transport_shutdown(struct conn *c, int how)
{
	if (c->tls && how == SHUT_WR && !tls_say_goodbye(c->tls))
		return;
	(void)shutdown(c->fd, how);
}

/* Whether there may be more to read that epoll does not tell. */
static bool transport_has_more(const struct conn *c, ssize_t got)
{
	return c->tls ? c->tls->has_more : got == READ_SIZE;
}

static bool is_saying_goodbye(const struct conn *c)
{
	return c->tls && c->tls->saying_goodbye;
}

static void update_watch(struct conn *c)
{
	int mask = 0;

	if (!c->open)
		return;
	if (!c->ended && !c->paused && c->events.on_data)
		mask |= UV_READABLE;
	if (!c->ended && (buf_len(&c->out) || is_saying_goodbye(c)))
		mask |= UV_WRITABLE;
	conn_watch(c, mask);
}

void conn_end(struct conn *c, int reason)
{
	if (c->ended)
		return;
	c->ended = true;
	buf_fini(&c->out);
	task_cancel(&c->later);
	update_watch(c);
	if (c->failure)
		reason = c->failure;
	if (c->events.on_end)
		c->events.on_end(c->arg, reason);
}

void conn_end_later(struct conn *c, int reason)
{
	c->failure = reason;
	c->end_due = true;
	task_defer(&c->later);
}

/* What was found out inside a call is told here. */
static void on_later(void *arg)
{
	struct conn *c = arg;

	if (c->drain_due) {
		c->drain_due = false;
		if (buf_len(&c->out) == 0 && c->events.on_drain)
			c->events.on_drain(c->arg);
		if (c->destroyed)
			return;
	}
	if (c->end_due)
		conn_end(c, c->failure);
}

/* The reader is left to find the end behind what the peer still sent; a paused one can't. */
static void write_failed(struct conn *c, int rc)
{
	c->failure = rc == -EPIPE ? -ECONNRESET : rc;
	buf_fini(&c->out);
	transport_shutdown(c, SHUT_RDWR);
	if (c->paused || !c->events.on_data)
		conn_end_later(c, c->failure);
	update_watch(c);
}

static void flush(struct conn *c)
{
	struct str s = buf_str(&c->out);
	struct iovec iov = { (char *)s.p, s.n };
	ssize_t put = transport_write(c, &iov, 1);

	if (put < 0) {
		write_failed(c, (int)put);
		return;
	}
	buf_consume(&c->out, (size_t)put);
	if (buf_len(&c->out))
		return;
	buf_fini(&c->out);
	if (c->shut)
		transport_shutdown(c, SHUT_WR);
	update_watch(c);
	if (c->events.on_drain)
		c->events.on_drain(c->arg);
}

static void read_rounds(struct conn *c)
{
	for (int i = 0; i < ROUNDS; i++) {
		ssize_t got;

		if (c->destroyed || c->ended || c->paused || !c->events.on_data)
			return;
		got = transport_read(c, read_buffer, sizeof(read_buffer));
		if (got == -EAGAIN)
			return;
		if (got <= 0) {
			conn_end(c, (int)got);
			return;
		}
		c->events.on_data(c->arg, str_make(read_buffer, (size_t)got));
		if (c->destroyed || !transport_has_more(c, got))
			return;
	}
}

/* status < 0 is libuv's word for POLLERR: it has stopped the handle, and the socket knows why. */
static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct conn *c = container_of(poll, struct conn, poll);

	if (status < 0) {
		c->mask = 0;
		events = UV_READABLE | UV_WRITABLE;
	}
	if (c->dial) {
		dial_ready(c->dial);
		return;
	}
	if (c->hello) {
		hello_ready(c->hello);
		return;
	}
	if ((events & UV_WRITABLE) && is_saying_goodbye(c))
		transport_shutdown(c, SHUT_WR);
	if ((events & UV_WRITABLE) && buf_len(&c->out))
		flush(c);
	if ((events & UV_READABLE) && !c->destroyed)
		read_rounds(c);
	if (!c->destroyed)
		update_watch(c);
}

void conn_watch(struct conn *c, int mask)
{
	if (mask == c->mask || c->fd < 0 || c->destroyed)
		return;
	c->mask = mask;
	if (mask)
		(void)uv_poll_start(&c->poll, mask, on_poll);
	else
		(void)uv_poll_stop(&c->poll);
}

struct conn *conn_new(struct loop *loop, const struct conn_options *options)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->loop = loop;
	c->fd = -1;
	buf_init(&c->out, options && options->write_max ? options->write_max : WRITE_MAX);
	task_init(&c->later, loop, on_later, c);
	return c;
}

int conn_attach(struct conn *c, int fd)
{
	int rc = loop_poll_init(c->loop, &c->poll, fd);

	if (rc == 0)
		c->fd = fd;
	return rc;
}

void conn_opened(struct conn *c)
{
	int one = 1;

	c->open = true;
	/* Fails on a Unix socket, where there is nothing to delay. */
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (c->shut && buf_len(&c->out) == 0)
		transport_shutdown(c, SHUT_WR);
	update_watch(c);
}

int conn_accepted(struct conn *c, struct tls_context *tls)
{
	if (tls)
		return hello_start(c, tls, NULL, HELLO_MS);
	conn_opened(c);
	return 0;
}

void conn_set_events(struct conn *c, const struct conn_events *events, void *arg)
{
	c->events = *events;
	c->arg = arg;
	update_watch(c);
}

/* Writes as much as the kernel takes: bytes, or what broke. */
static ssize_t write_now(struct conn *c, const struct str *parts, size_t n)
{
	struct iovec iov[PARTS];
	size_t taken = 0;

	for (size_t done = 0; done < n;) {
		size_t group = n - done < PARTS ? n - done : PARTS, want = 0;
		ssize_t put;

		for (size_t i = 0; i < group; i++) {
			iov[i] = (struct iovec){ (char *)parts[done + i].p, parts[done + i].n };
			want += parts[done + i].n;
		}
		put = want ? transport_write(c, iov, group) : 0;
		if (put < 0)
			return put;
		taken += (size_t)put;
		if ((size_t)put < want)
			break;
		done += group;
	}
	return (ssize_t)taken;
}

/* Keeps all but the first `taken` bytes; there is room for them. */
static int keep_rest(struct conn *c, const struct str *parts, size_t n, size_t taken)
{
	for (size_t i = 0; i < n; i++) {
		size_t skip = taken < parts[i].n ? taken : parts[i].n;
		int rc = buf_add(&c->out, str_skip(parts[i], skip));

		if (rc < 0)
			return rc;
		taken -= skip;
	}
	return 0;
}

int conn_write(struct conn *c, const struct str *parts, size_t n)
{
	size_t room = c->out.max - buf_len(&c->out), total = 0;
	ssize_t taken = 0;

	if (c->ended || c->shut || c->failure)
		return -EPIPE;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n > room - total)
			return -ENOBUFS;
		total += parts[i].n;
	}
	if (c->open && buf_len(&c->out) == 0)
		taken = write_now(c, parts, n);
	if (taken < 0) {
		write_failed(c, (int)taken);
		return -EPIPE;
	}
	if ((size_t)taken < total && keep_rest(c, parts, n, (size_t)taken) < 0) {
		/* Half a message is out and there is no memory for the rest. */
		write_failed(c, -ENOMEM);
		return -EPIPE;
	}
	if (c->open && buf_len(&c->out) == 0 && c->events.on_drain) {
		c->drain_due = true;
		task_defer(&c->later);
	}
	update_watch(c);
	return 0;
}

size_t conn_pending(const struct conn *c)
{
	return buf_len(&c->out);
}

bool conn_is_acked(const struct conn *c)
{
	struct pollfd broken = { .fd = c->fd };
	int queued;

	if (c->failure || c->fd < 0 || buf_len(&c->out))
		return false;
	if (ioctl(c->fd, SIOCOUTQ, &queued) < 0 || queued)
		return false;
	/* What a reset threw away is not in the queue either; the error waits until it is read. */
	return poll(&broken, 1, 0) >= 0 && !(broken.revents & POLLERR);
}

void conn_pause(struct conn *c, bool on)
{
	c->paused = on;
	update_watch(c);
}

void conn_shutdown(struct conn *c)
{
	if (c->shut || c->ended)
		return;
	c->shut = true;
	if (c->open && buf_len(&c->out) == 0)
		transport_shutdown(c, SHUT_WR);
}

static void on_closed(uv_handle_t *handle)
{
	free(container_of((uv_poll_t *)handle, struct conn, poll));
}

struct conn *conn_destroy(struct conn *c)
{
	if (!c)
		return NULL;
	assert(!c->destroyed);
	c->destroyed = true;
	task_cancel(&c->later);
	c->tls = tls_destroy(c->tls, c->open && !c->failure && buf_len(&c->out) == 0);
	buf_fini(&c->out);
	if (c->dial)
		dial_drop(c->dial);
	if (c->hello)
		hello_drop(c->hello);
	if (c->fd < 0) {
		free(c);
		return NULL;
	}
	uv_close((uv_handle_t *)&c->poll, on_closed);
	(void)close(c->fd);
	return NULL;
}

const char *conn_why(const struct conn *c)
{
	return c->tls ? c->tls->why : NULL;
}

const char *conn_peer(const struct conn *c)
{
	return c->peer.text;
}

bool conn_is_tls(const struct conn *c)
{
	return c->tls;
}

struct str conn_peer_address(const struct conn *c)
{
	return str_make(c->peer.text + c->peer.host_at, c->peer.host_n);
}

bool conn_peer_is_loopback(const struct conn *c)
{
	return c->peer.is_loopback;
}
