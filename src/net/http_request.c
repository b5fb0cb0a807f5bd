/* SPDX-License-Identifier: MIT */
/*
 * One request: what its handler sees, and whom to tell when it ends.
 *
 * What the client sent lies apart from the request itself, because a request that waits for long
 * (a parked poll) rarely needs it any more: http_request_forget gives it back, and what is left is
 * 64 bytes.
 */
#include <stdlib.h>

#include "net/conn.h"
#include "net/http_server_internal.h"

/* What trimming must win to be worth a realloc. */
enum { TRIM_MIN = 256 };

/* The path of "/a?b" and, as a server must take it (RFC 9112 section 3.2.2), of "http://h/a?b". */
static void split_target(struct http_request_info *info)
{
	struct str rest = info->target;
	size_t at;

	if (rest.n && rest.p[0] != '/' && rest.p[0] != '*') {
		rest = str_skip(rest, str_find_str(rest, STR("://")) + 3);
		at = str_find(rest, '/');
		if (str_find(rest, '?') < at)
			at = str_find(rest, '?');
		rest = str_skip(rest, at);
	}
	info->path = str_cut(&rest, '?');
	info->query = rest;
	if (info->path.n == 0)
		info->path = STR("/");
}

static struct request_content *content_create(const struct conn *conn, struct http_head *head)
{
	struct str peer = str_from(conn_peer(conn)), address = conn_peer_address(conn);
	struct request_content *c = calloc(1, sizeof(*c) + peer.n + 1 + address.n);

	if (!c)
		return NULL;
	c->head = head;
	buf_init(&c->body, 0);
	memcpy(c->peer, peer.p, peer.n);
	if (address.n)
		memcpy(c->peer + peer.n + 1, address.p, address.n);
	c->info = (struct http_request_info){
		.method = head->method,
		.target = head->target,
		.headers = head->headers,
		.n_headers = head->n_headers,
		.minor = head->minor,
		.peer = c->peer,
		.peer_address = str_make(c->peer + peer.n + 1, address.n),
	};
	split_target(&c->info);
	return c;
}

struct http_request *request_create(struct link *link, struct http_head *head)
{
	struct http_request *r = calloc(1, sizeof(*r));

	if (r)
		r->content = content_create(link->conn, head);
	if (!r || !r->content) {
		free(r);
		free(head);
		return NULL;
	}
	r->link = link;
	r->is_head = str_eq(head->method, STR("HEAD"));
	r->keep_alive = head->keep_alive;
	r->minor = (unsigned char)head->minor;
	return r;
}

void http_request_forget(struct http_request *r)
{
	struct request_content *c = r->content;

	if (!c)
		return;
	r->content = NULL;
	buf_fini(&c->body);
	free(c->head);
	free(c);
}

struct http_request *request_destroy(struct http_request *r)
{
	if (!r)
		return NULL;
	http_request_forget(r);
	free(r);
	return NULL;
}

bool request_lacks_length(const struct http_request *r)
{
	const struct http_head *head = r->content->head;
	const struct http_request_info *info = &r->content->info;

	if (head->chunked || head->has_length ||
	    !(str_eq(info->method, STR("POST")) || str_eq(info->method, STR("PUT")) ||
	      str_eq(info->method, STR("PATCH"))))
		return false;
	return head->minor == 0 || head->expect_continue ||
	       http_request_header(r, STR("Content-Type")).n ||
	       http_request_header(r, STR("Content-Encoding")).n;
}

bool request_has_body(const struct http_request *r)
{
	const struct http_head *head = r->content->head;

	return head->chunked || (head->has_length && head->length > 0);
}

void request_trim(struct http_request *r)
{
	struct buf *body = &r->content->body;
	size_t n = buf_len(body);
	char *base;

	if (n == 0) {
		buf_fini(body);
	} else if (body->cap - n > TRIM_MIN && body->start == 0) {
		base = realloc(body->base, n);
		if (base) {
			body->base = base;
			body->cap = n;
		}
	}
	r->content->info.body = buf_str(body);
}

const struct http_request_info *http_request_info(const struct http_request *request)
{
	static const struct http_request_info nothing = { .peer = "" };

	return request->content ? &request->content->info : &nothing;
}

struct str http_request_header(const struct http_request *request, struct str name)
{
	const struct http_request_info *info = http_request_info(request);

	return http_find_header(info->headers, info->n_headers, name);
}

void http_request_on_gone(struct http_request *request, void (*fn)(void *arg), void *arg)
{
	request->on_gone = fn;
	request->gone_arg = arg;
}

void http_request_on_sent(struct http_request *request, void (*fn)(void *arg), void *arg)
{
	request->on_sent = fn;
	request->sent_arg = arg;
	request->until_acked = false;
}

void http_request_on_acked(struct http_request *request, void (*fn)(void *arg), void *arg)
{
	http_request_on_sent(request, fn, arg);
	request->until_acked = fn;
}
