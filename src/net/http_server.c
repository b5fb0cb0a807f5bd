/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server itself: its mounts, its listeners, how many may come, and its end.
 *
 * What happens on a connection is in http_link.c; here is what connections share. A connection
 * over a limit is not just dropped: it gets a 503 that says so, unless so many are being told
 * already that telling would be a load of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "net/conn.h"
#include "net/http_server_internal.h"

enum {
	HEAD_MAX = 64 * 1024, /* of an answer */
	HELD_MAX = 16 * 1024, /* of a corked one, before it goes out */
	REFUSED_MAX = 64,     /* connections over conns_max that are told */
	WARN_EVERY_MS = 10000,
};

static size_t or_default(size_t value, size_t otherwise)
{
	return value ? value : otherwise;
}

static void set_defaults(struct http_server_options *o)
{
	o->header_max = or_default(o->header_max, 16 * 1024);
	o->target_max = or_default(o->target_max, 8 * 1024);
	o->write_max = or_default(o->write_max, 4 * 1024 * 1024);
	o->header_timeout_ms = or_default(o->header_timeout_ms, 10000);
	o->idle_timeout_ms = or_default(o->idle_timeout_ms, 75000);
	o->body_rate_min = or_default(o->body_rate_min, 256);
	o->conns_max = or_default(o->conns_max, 20000);
	o->conns_per_address = or_default(o->conns_per_address, 256);
}

static void on_stop_timer(void *arg)
{
	struct http_server *s = arg;

	list_for_each (it, &s->links)
		link_cut(container_of(it, struct link, node));
}

static void on_stop_task(void *arg)
{
	struct http_server *s = arg;

	timer_stop(&s->stop_timer);
	if (s->stopped)
		s->stopped(s->stopped_arg);
}

int http_server_create(struct loop *loop, const struct http_server_options *options,
		       const struct log *log, struct http_server **ret)
{
	struct http_server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->log = log;
	if (options)
		s->options = *options;
	set_defaults(&s->options);
	list_init(&s->links);
	map_init(&s->addresses);
	buf_init(&s->out, HEAD_MAX);
	buf_init(&s->held, HELD_MAX);
	timer_init(&s->stop_timer, loop, on_stop_timer, s);
	task_init(&s->stop_task, loop, on_stop_task, s);
	*ret = s;
	return 0;
}

static struct str without_slash(struct str prefix)
{
	while (prefix.n && prefix.p[prefix.n - 1] == '/')
		prefix.n--;
	return prefix;
}

int http_server_mount(struct http_server *s, const struct http_mount *mount)
{
	struct str prefix = without_slash(mount->prefix);
	struct http_mount *mounts;
	size_t at = 0;
	char *copy;

	if (mount->n_headers > MOUNT_HEADERS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < s->n_mounts; i++) {
		if (str_eq(s->mounts[i].prefix, prefix))
			return -EEXIST;
		if (s->mounts[i].prefix.n >= prefix.n)
			at = i + 1;
	}
	mounts = realloc(s->mounts, (s->n_mounts + 1) * sizeof(*mounts));
	if (!mounts)
		return -ENOMEM;
	s->mounts = mounts;
	copy = str_dup(prefix);
	if (!copy)
		return -ENOMEM;
	memmove(mounts + at + 1, mounts + at, (s->n_mounts - at) * sizeof(*mounts));
	mounts[at] = *mount;
	mounts[at].prefix = str_make(copy, prefix.n);
	s->n_mounts++;
	return 0;
}

const struct http_mount *server_find_mount(const struct http_server *s, struct str path)
{
	if (str_eq(path, STR("*")))
		path = STR("/");
	for (size_t i = 0; i < s->n_mounts; i++) {
		struct str prefix = s->mounts[i].prefix;

		if (str_starts(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/'))
			return &s->mounts[i];
	}
	return NULL;
}

struct str server_date(struct http_server *s)
{
	uint64_t now_ns = clock_wall_ns(), now_s = now_ns / 1000000000;

	if (now_s != s->date_s)
		clock_http_date(s->date, now_ns);
	s->date_s = now_s;
	return str_from(s->date);
}

int server_take_address(struct http_server *s, struct str text, struct client_address **ret)
{
	struct map_node *node = map_find(&s->addresses, text);
	struct client_address *a = node ? container_of(node, struct client_address, node) : NULL;

	if (!a) {
		a = calloc(1, sizeof(*a) + text.n + 1);
		if (!a)
			return -ENOMEM;
		memcpy(a->text, text.p, text.n);
		if (map_add(&s->addresses, &a->node, str_make(a->text, text.n)) < 0) {
			free(a);
			return -ENOMEM;
		}
	}
	if (a->count >= s->options.conns_per_address)
		return -EAGAIN;
	a->count++;
	*ret = a;
	return 0;
}

void server_drop_address(struct http_server *s, struct client_address *a)
{
	if (!a || --a->count)
		return;
	map_del(&s->addresses, &a->node);
	free(a);
}

static uint64_t accept_failures(const struct http_server *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->n_listeners; i++)
		n += listener_failures(s->listeners[i]);
	return n;
}

static void refuse(struct link *l, const char *event, const char *detail)
{
	struct http_server *s = l->server;
	uint64_t now = loop_now(s->loop);
	struct refusal refusal;

	refusal_set(&refusal, 503, "%s", detail);
	s->stats.refused++;
	if (s->warned_ms == 0 || now - s->warned_ms >= WARN_EVERY_MS) {
		log_warn(s->log, event, "peer=%s open=%" PRIu64 " refused=%" PRIu64 " then=%s",
			 conn_peer(l->conn), s->stats.open, s->stats.refused, "status 503");
		s->warned_ms = now;
	}
	link_refuse(l, &refusal);
}

static void on_conn(void *arg, struct conn *conn)
{
	struct http_server *s = arg;
	bool full = s->stats.open >= s->options.conns_max;
	struct str address = conn_peer_address(conn);
	struct link *l;

	s->stats.connections++;
	if (s->stats.open >= s->options.conns_max + REFUSED_MAX) {
		s->stats.refused++;
		(void)conn_destroy(conn);
		return;
	}
	l = link_create(s, conn);
	if (!l)
		(void)conn_destroy(conn);
	else if (l->state == LINK_DEAD)
		return; /* no memory for its timer */
	else if (full)
		refuse(l, "too many connections", "too many connections are open: try again later");
	else if (address.n && !conn_peer_is_loopback(conn) &&
		 server_take_address(s, address, &l->address) < 0)
		refuse(l, "too many connections of one address",
		       "too many connections of this address are open: close some");
}

/* A connection here and there may get through meanwhile: said once in WARN_EVERY_MS. */
static void on_trouble(void *arg, int rc)
{
	struct http_server *s = arg;
	uint64_t now = loop_now(s->loop);

	if (rc == 0) {
		if (s->in_trouble)
			log_info(s->log, "accepting again", "open=%" PRIu64 " failures=%" PRIu64,
				 s->stats.open, accept_failures(s));
		s->in_trouble = false;
		return;
	}
	if (s->trouble_ms && now - s->trouble_ms < WARN_EVERY_MS)
		return;
	s->trouble_ms = now;
	s->in_trouble = true;
	log_warn(s->log, "connections can't be accepted", "reason=%s open=%" PRIu64 " then=%s",
		 strerror(-rc), s->stats.open,
		 "those that are open go on, new ones wait in the kernel and are tried 10 times a "
		 "second; raise the limit of open files if this comes again");
}

int http_server_listen(struct http_server *s, struct str address, struct err *e)
{
	return http_server_listen_tls(s, address, NULL, e);
}

int http_server_listen_tls(struct http_server *s, struct str address, struct tls_context *tls,
			   struct err *e)
{
	/* Beyond write_max there is room for heads, for refusals and for the end of a stream. */
	struct conn_options options = { .write_max = s->options.write_max + 2 * HEAD_MAX,
					.tls = tls };
	struct listener **listeners =
		realloc(s->listeners, (s->n_listeners + 1) * sizeof(*listeners));
	int rc;

	if (!listeners)
		return err_set(e, -ENOMEM, "no memory to listen on %.*s", STR_ARG(address));
	s->listeners = listeners;
	rc = listener_create(s->loop, address, &options, on_conn, s, &listeners[s->n_listeners], e);
	if (rc == 0)
		listener_on_trouble(s->listeners[s->n_listeners++], on_trouble);
	return rc;
}

int http_server_port(const struct http_server *s, size_t i)
{
	return i < s->n_listeners ? listener_port(s->listeners[i]) : -EINVAL;
}

static void close_listeners(struct http_server *s)
{
	while (s->n_listeners)
		(void)listener_destroy(s->listeners[--s->n_listeners]);
}

void server_link_freed(struct http_server *s)
{
	if (s->stopping && list_empty(&s->links))
		task_defer(&s->stop_task);
}

void http_server_stop(struct http_server *s, uint64_t timeout_ms, void (*done)(void *arg),
		      void *arg)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->stopped = done;
	s->stopped_arg = arg;
	close_listeners(s);
	list_for_each (it, &s->links) {
		struct link *l = container_of(it, struct link, node);

		if (l->state == LINK_IDLE && !l->ahead)
			link_cut(l);
		l->close = true;
	}
	/* Without memory for a timer nothing would end the wait. */
	if (timer_start(&s->stop_timer, timeout_ms) < 0)
		on_stop_timer(s);
	server_link_freed(s);
}

struct http_server *http_server_destroy(struct http_server *s)
{
	if (!s)
		return NULL;
	close_listeners(s);
	while (!list_empty(&s->links))
		link_free(container_of(s->links.next, struct link, node));
	timer_stop(&s->stop_timer);
	task_cancel(&s->stop_task);
	for (size_t i = 0; i < s->n_mounts; i++)
		free((char *)s->mounts[i].prefix.p);
	free(s->mounts);
	free(s->listeners);
	map_fini(&s->addresses);
	buf_fini(&s->out);
	buf_fini(&s->held);
	free(s);
	return NULL;
}

void http_server_stats(const struct http_server *s, struct http_server_stats *ret)
{
	*ret = s->stats;
	ret->limit = s->options.conns_max;
	ret->accept_failures = accept_failures(s);
}
