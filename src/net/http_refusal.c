/* SPDX-License-Identifier: MIT */
/*
 * What the HTTP server answers by itself, because no handler should see the request.
 *
 * A refusal is a problem document (RFC 9457) whose detail names what was found and what to do, with
 * the headers that its mount wants on all its answers: a browser's script can read why its request
 * was refused only if the refusal carries CORS headers, too. A request that could not be read as far
 * as its path is answered as one for "/", whoever serves that.
 */
#include <stdarg.h>
#include <stdio.h>

#include "net/conn.h"
#include "net/http_server_internal.h"

enum { BODY_MAX = 64 * 1024 }; /* a detail, and a path that was quoted */

/* After a 503. */
#define RETRY_S "5"

void refusal_set(struct refusal *ret, int status, const char *fmt, ...)
{
	va_list ap;

	ret->status = status;
	va_start(ap, fmt);
	(void)vsnprintf(ret->detail, sizeof(ret->detail), fmt, ap);
	va_end(ap);
}

static const struct http_mount *mount_of(const struct link *l)
{
	bool known = l->request && l->request->content;

	return server_find_mount(l->server, known ? l->request->content->info.path : STR("/"));
}

void refusal_of_size(const struct link *l, struct refusal *ret)
{
	refusal_set(ret, 413, "the body is too large: this path takes at most %zu bytes",
		    mount_of(l)->body_max);
}

bool refusal_find(const struct link *l, struct refusal *ret)
{
	const struct http_mount *mount = mount_of(l);
	const struct http_head *head = l->request->content->head;

	if (l->server->stopping)
		refusal_set(ret, 503, "the server is stopping: try another one, or later");
	else if (!mount)
		refusal_set(ret, 404, "nothing is served under this path");
	else if (head->expect_unknown)
		refusal_set(ret, 417, "the only expectation that is met here is 100-continue");
	else if (head->has_length && head->length > mount->body_max)
		refusal_of_size(l, ret);
	else
		return false;
	return true;
}

void refusal_of_parser(const struct http_server *s, const struct http_parser *p,
		       struct refusal *ret)
{
	if (p->status == 414)
		refusal_set(
			ret, 414,
			"the request target is longer than %zu bytes; what is long belongs into "
			"the body of a POST",
			s->options.target_max);
	else if (p->status == 431)
		refusal_set(ret, 431, "%s; at most %zu bytes and %d lines are taken", p->why,
			    s->options.header_max, HTTP_HEADERS_MAX);
	else
		refusal_set(ret, p->status, "%s", p->why);
}

size_t refusal_headers(const struct link *l, const struct refusal *refusal,
		       struct http_header out[REFUSAL_HEADERS_MAX])
{
	const struct http_mount *mount = mount_of(l);
	size_t n = 0;

	if (refusal->status == 503)
		out[n++] = (struct http_header){ STR("Retry-After"), STR(RETRY_S) };
	for (size_t i = 0; mount && i < mount->n_headers; i++)
		out[n++] = mount->headers[i];
	return n;
}

void refusal_reply(struct http_request *r, const struct refusal *refusal)
{
	struct http_header headers[REFUSAL_HEADERS_MAX];
	size_t n = refusal_headers(r->link, refusal, headers);

	http_problem(r, refusal->status, str_from(refusal->detail), headers, n);
}

static int write_head(struct link *l, const struct refusal *refusal, size_t length)
{
	struct http_header headers[REFUSAL_HEADERS_MAX];
	size_t n = refusal_headers(l, refusal, headers);
	struct buf *b = &l->server->out;
	char text[24];
	int rc;

	(void)snprintf(text, sizeof(text), "%zu", length);
	buf_clear(b);
	rc = http_write_status(b, refusal->status);
	if (rc == 0)
		rc = http_write_header(b, STR("Date"), server_date(l->server));
	if (rc == 0)
		rc = http_write_header(b, STR("Content-Type"), STR("application/problem+json"));
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = http_write_header(b, headers[i].name, headers[i].value);
	if (rc == 0)
		rc = http_write_header(b, STR("Content-Length"), str_from(text));
	if (rc == 0)
		rc = http_write_header(b, STR("Connection"), STR("close"));
	return rc < 0 ? rc : http_write_end(b);
}

int refusal_write(struct link *l, const struct refusal *refusal)
{
	bool known = l->request && l->request->content;
	struct buf body auto_buf;
	struct str parts[2];
	int rc;

	buf_init(&body, BODY_MAX);
	problem_write(&body, refusal->status, str_from(refusal->detail),
		      known ? l->request->content->info.path : str_make(NULL, 0));
	rc = write_head(l, refusal, buf_len(&body));
	if (rc < 0)
		return rc;
	parts[0] = buf_str(&l->server->out);
	parts[1] = buf_str(&body);
	return conn_write(l->conn, parts, l->request && l->request->is_head ? 1 : 2);
}
