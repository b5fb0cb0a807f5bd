/* SPDX-License-Identifier: MIT */
/*
 * One connection of an HTTP client: a call at a time, kept alive between them.
 *
 * No pipelining: an answer that is late would hold up what has nothing to do with it. Bytes that
 * nobody asked for (on an idle connection, or behind an answer) close the connection: what comes
 * next could be taken for somebody else's answer.
 * The owner may cancel or destroy everything in on_data: the reading loop notices by `dead`.
 */
#include <errno.h>
#include <stdlib.h>

#include "net/http_client_internal.h"

enum { HEAD_MAX = 65536 };

static void link_free(struct http_link *l)
{
	http_parser_fini(&l->parser);
	free(l);
}

struct http_link *http_link_destroy(struct http_link *l)
{
	if (!l)
		return NULL;
	if (l->call)
		l->call->link = NULL;
	l->call = NULL;
	l->client->n_links--;
	list_del(&l->place);
	timer_stop(&l->idle);
	l->conn = conn_destroy(l->conn);
	l->dead = true;
	if (!l->inside)
		link_free(l);
	return NULL;
}

static void on_idle_timeout(void *arg)
{
	(void)http_link_destroy(arg);
}

/* The answer is whole: the link serves the next call, if it can. */
static void release(struct http_link *l, bool reusable)
{
	struct http_client *client = l->client;

	l->call->link = NULL;
	l->call = NULL;
	if (reusable && timer_start(&l->idle, client->options.idle_timeout_ms) == 0) {
		l->used = true;
		list_del(&l->place);
		list_add_head(&client->idle, &l->place);
	} else {
		(void)http_link_destroy(l);
	}
	http_client_dispatch(client);
}

static void complete(struct http_link *l, bool reusable)
{
	struct http_call *call = l->call;

	/* An answer that came before the request was out says nothing about the rest of it. */
	release(l, reusable && l->keep_alive && conn_pending(l->conn) == 0);
	http_call_finish(call, 0);
}

static void fail(struct http_link *l, int rc)
{
	struct http_call *call = l->call;

	release(l, false);
	http_call_finish(call, rc);
}

static int take_head(struct http_link *l)
{
	struct http_call *call = l->call;
	const struct http_head *head = l->parser.head;

	if (head->status == 101)
		return -EBADMSG; /* we asked for no upgrade */
	if (head->status < 200)
		return 0;
	if (head->has_length && head->length > l->client->options.response_max && !call->is_head &&
	    !call->on_data)
		return -EMSGSIZE;
	l->keep_alive = head->keep_alive;
	call->streams = call->on_data && head->status < 300;
	if (call->streams)
		timer_stop(&call->deadline);
	call->head = http_parser_take_head(&l->parser);
	return call->head ? 0 : -ENOMEM;
}

static int take_body(struct http_link *l, struct str piece)
{
	struct http_call *call = l->call;
	int rc;

	if (call->streams) {
		call->on_data(call->arg, piece);
		return 0;
	}
	rc = buf_add(&call->body, piece);
	return rc == -ENOBUFS ? -EMSGSIZE : rc;
}

/* One event of the parser: 1 = go on, 0 = this was the last. */
static int step(struct http_link *l, struct str *data)
{
	struct str piece = { 0 };
	int rc = http_parse(&l->parser, data, &piece);

	switch (rc) {
	case HTTP_MORE:
		return 0;
	case HTTP_GOT_HEAD:
		rc = take_head(l);
		break;
	case HTTP_GOT_BODY:
		rc = take_body(l, piece);
		break;
	case HTTP_GOT_END:
		if (l->call->head) {
			complete(l, data->n == 0);
			return 0;
		}
		/* That was an interim answer (1xx). */
		if (l->call->is_head)
			http_parser_no_body(&l->parser);
		rc = 0;
		break;
	default:
		break;
	}
	if (l->dead)
		return 0;
	if (rc < 0) {
		fail(l, rc);
		return 0;
	}
	return 1;
}

static void on_data(void *arg, struct str data)
{
	struct http_link *l = arg;

	if (!l->call) {
		(void)http_link_destroy(l);
		return;
	}
	l->answering = true;
	l->inside = true;
	while (step(l, &data))
		;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): while inside is set nobody frees it. */
	l->inside = false;
	if (l->dead)
		link_free(l);
}

static void on_end(void *arg, int reason)
{
	struct http_link *l = arg;
	struct http_call *call = l->call;

	if (!call) {
		(void)http_link_destroy(l);
		return;
	}
	if (reason == 0 && call->head && http_parser_eof(&l->parser) == HTTP_GOT_END) {
		complete(l, false);
		return;
	}
	if (l->used && !l->answering && !call->repeated && call->idempotent) {
		(void)http_link_destroy(l);
		http_call_repeat(call);
		return;
	}
	fail(l, reason ? reason : -ECONNRESET);
}

static void begin(struct http_link *l, struct http_call *call)
{
	struct str request = buf_str(&call->request);

	l->call = call;
	call->link = l;
	l->answering = false;
	if (call->is_head)
		http_parser_no_body(&l->parser);
	/* A broken connection tells so by on_end. */
	(void)conn_write(l->conn, &request, 1);
}

void http_link_use(struct http_link *l, struct http_call *call)
{
	timer_stop(&l->idle);
	list_del(&l->place);
	list_add_tail(&l->client->busy, &l->place);
	begin(l, call);
}

int http_link_create(struct http_client *client, struct http_call *call)
{
	static const struct conn_events events = { .on_data = on_data, .on_end = on_end };
	struct http_limits limits = { HEAD_MAX, HEAD_MAX };
	/* The call's own deadline rules; this one only has to be no shorter. */
	struct conn_options options = {
		.write_max = HTTP_REQUEST_MAX,
		.connect_timeout_ms = call->timeout_ms,
		.tls = client->endpoint.tls ? client->options.tls : NULL,
	};
	struct http_link *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return -ENOMEM;
	l->client = client;
	http_parser_init(&l->parser, HTTP_RESPONSES, &limits);
	timer_init(&l->idle, client->loop, on_idle_timeout, l);
	rc = conn_connect(client->loop, str_from(client->endpoint.address), &options, &events, l,
			  &l->conn, NULL);
	if (rc < 0) {
		link_free(l);
		return rc;
	}
	client->n_links++;
	list_add_tail(&client->busy, &l->place);
	begin(l, call);
	return 0;
}
