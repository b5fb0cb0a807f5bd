/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets, TCP and Unix.
 *
 * Accepting is paced over all listeners (acceptor.h). When it fails for want of descriptors or
 * memory it rests for PAUSE_MS instead of spinning: the kernel's backlog holds the callers
 * meanwhile, and who listens is told, once when it begins to fail and once when it works again.
 * A Unix socket's file is ours alone (0600, set before listen, so that nobody gets in between);
 * one that nobody listens on any more is a leftover of a crash and is replaced.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/acceptor.h"
#include "net/conn_internal.h"

/* The kernel cuts the backlog to net.core.somaxconn; beyond it clients try again after a second. */
enum { BACKLOG = 16384, PAUSE_MS = 100 };

struct listener {
	uv_poll_t poll;
	struct loop *loop;
	struct conn_options options;
	void (*on_conn)(void *arg, struct conn *conn);
	void (*on_trouble)(void *arg, int rc);
	void *arg;
	struct acceptor *acceptor;
	struct accepting accepting;
	struct timer rest;
	uint64_t failures;
	bool failing;
	int fd;
	int port;
	char *path; /* of a Unix socket, with what it was when we made it */
	dev_t dev;
	ino_t ino;
	bool destroyed;
};

static void on_ready(uv_poll_t *poll, int status, int events);

static void resume(void *arg)
{
	struct listener *l = arg;

	(void)uv_poll_start(&l->poll, UV_READABLE, on_ready);
}

static void tell(struct listener *l, int rc)
{
	bool was = l->failing;

	l->failing = rc < 0;
	if (was != l->failing && l->on_trouble)
		l->on_trouble(l->arg, rc);
}

static void rest(struct listener *l, int rc)
{
	l->failures++;
	(void)uv_poll_stop(&l->poll);
	if (timer_start(&l->rest, PAUSE_MS) < 0)
		resume(l);
	tell(l, rc);
}

static int take(struct listener *l, int fd, const struct sockaddr *sa)
{
	struct conn *c = conn_new(l->loop, &l->options);
	int rc = c ? conn_attach(c, fd) : -ENOMEM;

	if (rc < 0) {
		free(c);
		(void)close(fd);
		return rc;
	}
	address_describe(sa, &c->peer);
	rc = conn_accepted(c, l->options.tls);
	if (rc < 0) {
		(void)conn_destroy(c);
		return rc;
	}
	l->on_conn(l->arg, c);
	return 0;
}

/* One connection: true when there may be more. */
static bool accept_one(struct accepting *accepting)
{
	struct listener *l = container_of(accepting, struct listener, accepting);
	union address_socket from = { 0 };
	socklen_t len = sizeof(from);
	int fd = accept4(l->fd, &from.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int rc = fd < 0 ? -errno : 0;

	if (rc == -EINTR || rc == -ECONNABORTED)
		return true;
	if (rc == -EAGAIN)
		return false;
	if (rc == 0)
		rc = take(l, fd, &from.any);
	if (l->destroyed)
		return false;
	if (rc < 0)
		rest(l, rc);
	else
		tell(l, 0);
	return rc == 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct listener *l = container_of(poll, struct listener, poll);

	/* libuv has stopped the handle. */
	if (status < 0)
		rest(l, status);
	else
		acceptor_enter(l->acceptor, &l->accepting);
}

/* Whether somebody answers on a Unix socket's file. */
static bool is_live(const struct address *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool live;

	if (fd < 0)
		return true;
	live = connect(fd, &a->socket.any, a->len) == 0 || errno == EAGAIN;
	(void)close(fd);
	return live;
}

/* Makes room for the socket's file, or says why there is none. */
static int clear_path(const struct address *a, struct str text, struct err *e)
{
	const char *path = a->socket.un.sun_path;
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0; /* bind tells what is wrong, if it is */
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST,
			       "%.*s: the file exists and is no socket: remove it or listen on "
			       "another path",
			       STR_ARG(text));
	if (is_live(a))
		return err_set(e, -EADDRINUSE,
			       "%.*s: another program listens on this socket: stop it or listen on "
			       "another path",
			       STR_ARG(text));
	if (unlink(path) < 0)
		return err_set(e, -errno,
			       "%.*s: the socket is a dead program's and can't be removed (%s): "
			       "remove it",
			       STR_ARG(text), strerror(errno));
	return 0;
}

static int refuse(struct str text, int rc, bool is_unix, struct err *e)
{
	const char *why;

	switch (rc) {
	case -EADDRINUSE:
		why = "is in use by another program: stop it or listen on another address";
		break;
	case -EADDRNOTAVAIL:
		why = "is not one of this machine's: listen on one that is, or on 0.0.0.0";
		break;
	case -EACCES:
	case -EPERM:
		why = is_unix ? "is in a directory where we may not write: allow it or listen on "
				"another path"
			      : "is not allowed: take a port over 1023 or give "
				"CAP_NET_BIND_SERVICE";
		break;
	case -ENOENT:
	case -ENOTDIR:
		why = "is in a directory that does not exist: create it";
		break;
	default:
		return err_set(e, rc, "%.*s: can't listen there: %s", STR_ARG(text), strerror(-rc));
	}
	return err_set(e, rc, "%.*s: the address %s", STR_ARG(text), why);
}

/* The Unix socket's file: ours alone, and known again when it is removed. */
static int own_path(struct listener *l, const char *path)
{
	struct stat st;

	l->path = str_dup(str_from(path));
	if (!l->path) {
		(void)unlink(path);
		return -ENOMEM;
	}
	if (chmod(path, 0600) < 0 || lstat(path, &st) < 0)
		return -errno;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

static int open_socket(struct listener *l, const struct address *a)
{
	bool is_unix = a->socket.any.sa_family == AF_UNIX;
	union address_socket bound = { 0 };
	socklen_t len = sizeof(bound);
	int one = 1, rc = 0;

	l->fd = socket(a->socket.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	if (!is_unix)
		(void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(l->fd, &a->socket.any, a->len) < 0)
		return -errno;
	if (is_unix)
		rc = own_path(l, a->socket.un.sun_path);
	if (rc < 0)
		return rc;
	if (listen(l->fd, BACKLOG) < 0 || getsockname(l->fd, &bound.any, &len) < 0)
		return -errno;
	if (!is_unix)
		l->port = ntohs(bound.any.sa_family == AF_INET6 ? bound.in6.sin6_port
								: bound.in.sin_port);
	return 0;
}

static void remove_path(struct listener *l)
{
	struct stat st;

	if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		(void)unlink(l->path);
	free(l->path);
	l->path = NULL;
}

static struct listener *discard(struct listener *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);
	remove_path(l);
	acceptor_put(l->acceptor);
	free(l);
	return NULL;
}

static int listener_open(struct listener *l, const struct address *a, struct str text,
			 struct err *e)
{
	bool is_unix = a->socket.any.sa_family == AF_UNIX;
	int rc = is_unix ? clear_path(a, text, e) : 0;

	if (rc < 0)
		return rc;
	rc = open_socket(l, a);
	if (rc == 0)
		rc = loop_poll_init(l->loop, &l->poll, l->fd);
	return rc < 0 ? refuse(text, rc, is_unix, e) : 0;
}

int listener_create(struct loop *loop, struct str address, const struct conn_options *options,
		    void (*on_conn)(void *arg, struct conn *conn), void *arg, struct listener **ret,
		    struct err *e)
{
	struct address a;
	struct listener *l;
	int rc = address_parse(address, &a, e);

	if (rc < 0)
		return rc;
	if (a.is_name)
		return err_set(e, -EINVAL,
			       "%.*s: listening needs an address in figures, such as "
			       "127.0.0.1:%u, [::1]:%u or 0.0.0.0:%u",
			       STR_ARG(address), (unsigned int)a.port, (unsigned int)a.port,
			       (unsigned int)a.port);
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(e, -ENOMEM, "%.*s: out of memory", STR_ARG(address));
	*l = (struct listener){ .loop = loop, .fd = -1, .on_conn = on_conn, .arg = arg };
	if (options)
		l->options = *options;
	timer_init(&l->rest, loop, resume, l);
	l->accepting.one = accept_one;
	list_init(&l->accepting.link);
	l->acceptor = acceptor_get(loop);
	rc = l->acceptor ? listener_open(l, &a, address, e)
			 : err_set(e, -ENOMEM, "%.*s: out of memory", STR_ARG(address));
	if (rc < 0) {
		(void)discard(l);
		return rc;
	}
	(void)uv_poll_start(&l->poll, UV_READABLE, on_ready);
	*ret = l;
	return 0;
}

int listener_port(const struct listener *l)
{
	return l->port;
}

uint64_t listener_failures(const struct listener *l)
{
	return l->failures;
}

void listener_on_trouble(struct listener *l, void (*fn)(void *arg, int rc))
{
	l->on_trouble = fn;
}

static void on_closed(uv_handle_t *handle)
{
	free(container_of((uv_poll_t *)handle, struct listener, poll));
}

struct listener *listener_destroy(struct listener *l)
{
	if (!l)
		return NULL;
	l->destroyed = true;
	timer_stop(&l->rest);
	acceptor_leave(&l->accepting);
	acceptor_put(l->acceptor);
	uv_close((uv_handle_t *)&l->poll, on_closed);
	(void)close(l->fd);
	remove_path(l);
	return NULL;
}
