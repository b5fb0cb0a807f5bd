/* SPDX-License-Identifier: MIT */
/* One request: what its handler sees, and whom to tell when it ends. */
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

struct http_request *request_create(struct link *link, struct http_head *head)
{
	struct str peer = str_from(conn_peer(link->conn)), address = conn_peer_address(link->conn);
	struct http_request *r = calloc(1, sizeof(*r) + peer.n + 1 + address.n);

	if (!r) {
		free(head);
		return NULL;
	}
	r->link = link;
	r->head = head;
	buf_init(&r->body, 0);
	memcpy(r->peer, peer.p, peer.n);
	if (address.n)
		memcpy(r->peer + peer.n + 1, address.p, address.n);
	r->info = (struct http_request_info){
		.method = head->method,
		.target = head->target,
		.headers = head->headers,
		.n_headers = head->n_headers,
		.minor = head->minor,
		.peer = r->peer,
		.peer_address = str_make(r->peer + peer.n + 1, address.n),
	};
	split_target(&r->info);
	return r;
}

struct http_request *request_destroy(struct http_request *r)
{
	if (!r)
		return NULL;
	buf_fini(&r->body);
	free(r->head);
	free(r);
	return NULL;
}

bool request_has_body(const struct http_request *r)
{
	return r->head->chunked || (r->head->has_length && r->head->length > 0);
}

void request_trim(struct http_request *r)
{
	size_t n = buf_len(&r->body);
	char *base;

	if (n == 0) {
		buf_fini(&r->body);
	} else if (r->body.cap - n > TRIM_MIN && r->body.start == 0) {
		base = realloc(r->body.base, n);
		if (base) {
			r->body.base = base;
			r->body.cap = n;
		}
	}
	r->info.body = buf_str(&r->body);
}

const struct http_request_info *http_request_info(const struct http_request *request)
{
	return &request->info;
}

struct str http_request_header(const struct http_request *request, struct str name)
{
	return http_find_header(request->info.headers, request->info.n_headers, name);
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
}
