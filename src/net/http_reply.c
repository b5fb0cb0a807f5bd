/* SPDX-License-Identifier: MIT */
/*
 * Answers: whole, in pieces, as a problem, or the connection itself (an upgrade).
 *
 * A head is put together in the server's one buffer and goes out with the body's first bytes in
 * one write. What a handler gives is checked on the way (http_write_*); an answer that can't be
 * sent as it is becomes a 500, because the client waits for one.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/conn.h"
#include "net/http_server_internal.h"
#include "net/http_stream.h"

enum { PROBLEM_MAX = 128 * 1024, PARTS = 14 };

enum framing { FRAMED_LENGTH, FRAMED_CHUNKS, FRAMED_CLOSE, FRAMED_UPGRADE };

static bool is_ours(struct str name)
{
	return str_eq_nocase(name, STR("Content-Length")) || str_eq_nocase(name, STR("Date")) ||
	       str_eq_nocase(name, STR("Connection")) ||
	       str_eq_nocase(name, STR("Transfer-Encoding"));
}

/* The digits of n up to `end`. Each answer has such a number, and printf costs as much as a header. */
static struct str digits(size_t n, unsigned base, char *end)
{
	char *p = end;

	do
		*--p = "0123456789abcdef"[n % base];
	while (n /= base);
	return str_make(p, (size_t)(end - p));
}

static int write_length(struct buf *b, size_t n)
{
	char text[24];

	return http_write_header(b, STR("Content-Length"), digits(n, 10, text + sizeof(text)));
}

/* How the client knows where the answer ends, and whether another may follow. */
static int write_framing(struct http_request *r, const struct http_reply *reply, enum framing how)
{
	struct link *l = r->link;
	struct buf *b = &l->server->out;
	bool empty = reply->status < 200 || reply->status == 204 || reply->status == 304;
	int rc = 0;

	if (how == FRAMED_UPGRADE)
		return http_write_header(b, STR("Connection"), STR("Upgrade"));
	if (how == FRAMED_CHUNKS)
		rc = http_write_header(b, STR("Transfer-Encoding"), STR("chunked"));
	else if (how == FRAMED_LENGTH && !empty)
		rc = write_length(b, reply->body.n);
	if (rc < 0)
		return rc;
	l->close = how == FRAMED_CLOSE || !r->keep_alive || l->server->stopping;
	if (l->close)
		return http_write_header(b, STR("Connection"), STR("close"));
	/* It is the rule with 1.1; clients of a long poll look for it all the same. */
	if (r->minor == 0 || how == FRAMED_CHUNKS)
		return http_write_header(b, STR("Connection"), STR("keep-alive"));
	return 0;
}

static int write_head(struct http_request *r, const struct http_reply *reply, enum framing how)
{
	struct buf *b = &r->link->server->out;
	int rc;

	buf_clear(b);
	rc = http_write_status(b, reply->status);
	if (rc == 0)
		rc = http_write_header(b, STR("Date"), server_date(r->link->server));
	if (rc == 0 && reply->content_type.n)
		rc = http_write_header(b, STR("Content-Type"), reply->content_type);
	for (size_t i = 0; i < reply->n_headers && rc == 0; i++)
		if (!is_ours(reply->headers[i].name))
			rc = http_write_header(b, reply->headers[i].name, reply->headers[i].value);
	if (rc == 0)
		rc = write_framing(r, reply, how);
	return rc < 0 ? rc : http_write_end(b);
}

/* Bytes of an answer's body, within the limit for slow readers. */
static int send_parts(struct http_request *r, const struct str *parts, size_t n, size_t bytes)
{
	struct conn *conn = r->link->conn;
	size_t pending = conn_pending(conn), max = r->link->server->options.write_max;

	if (pending > max || bytes > max - pending)
		return -ENOBUFS;
	return conn_write(conn, parts, n);
}

/* What a corked answer has gathered goes out now: 0, or as conn_write, and it is still there. */
static int send_held(struct http_request *r)
{
	struct buf *held = &r->link->server->held;
	struct str all = buf_str(held);
	int rc = all.n ? send_parts(r, &all, 1, all.n) : 0;

	if (rc == 0)
		buf_clear(held);
	return rc;
}

/* A piece of an answer: at once, or together with others. */
static int send_piece(struct http_request *r, const struct str *parts, size_t n)
{
	struct buf *held = &r->link->server->held;
	size_t bytes = 0;
	int rc;

	for (size_t i = 0; i < n; i++)
		bytes += parts[i].n;
	if (!r->corked)
		return send_parts(r, parts, n, bytes);
	rc = buf_reserve(held, bytes);
	if (rc == -ENOBUFS) {
		rc = send_held(r);
		if (rc < 0 || bytes > held->max)
			return rc < 0 ? rc : send_parts(r, parts, n, bytes);
		rc = buf_reserve(held, bytes);
	}
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = buf_add(held, parts[i]);
	return rc;
}

static int send_whole(struct http_request *r, const struct http_reply *reply)
{
	bool bare =
		r->is_head || reply->status < 200 || reply->status == 204 || reply->status == 304;
	struct str parts[2];
	int rc = write_head(r, reply, FRAMED_LENGTH);

	if (rc < 0)
		return rc;
	parts[0] = buf_str(&r->link->server->out);
	parts[1] = reply->body;
	return send_parts(r, parts, bare ? 1 : 2, bare ? 0 : reply->body.n);
}

/* In the place of an answer that can't be sent. */
static int send_failure(struct http_request *r)
{
	struct http_header headers[REFUSAL_HEADERS_MAX];
	struct refusal refusal;
	struct buf body auto_buf;
	struct http_reply reply = { .status = 500,
				    .content_type = STR("application/problem+json"),
				    .headers = headers };

	refusal_set(&refusal, 500,
		    "the answer could not be sent as it was; the server's log says why");
	buf_init(&body, PROBLEM_MAX);
	problem_write(&body, 500, str_from(refusal.detail), http_request_info(r)->path);
	reply.n_headers = refusal_headers(r->link, &refusal, headers);
	reply.body = buf_str(&body);
	return send_whole(r, &reply);
}

/* A dead link takes any answer; it is not called back for it. */
static bool begin_answer(struct http_request *r)
{
	assert(!r->gone);
	assert(!r->answered);
	r->answered = true;
	return r->link->state == LINK_ASKED;
}

void http_reply(struct http_request *r, const struct http_reply *reply)
{
	struct link *l = r->link;
	int rc = -EPIPE;

	if (begin_answer(r)) {
		rc = send_whole(r, reply);
		if (rc == -EINVAL || rc == -ENOBUFS) {
			struct str path = http_request_info(r)->path;

			log_error(l->server->log, "answer can't be sent",
				  "path=%.*s status=%d bytes=%zu reason=%s then=%s", STR_ARG(path),
				  reply->status, reply->body.n,
				  rc == -EINVAL ? "malformed header" : "over write_max",
				  "status 500");
			rc = send_failure(r);
		}
		if (rc < 0 && rc != -EPIPE)
			link_cut(l);
	}
	link_answered(l, rc == 0);
}

/* In quotes; what is not UTF-8 becomes question marks. */
static void write_json(struct buf *b, struct str s)
{
	bool utf8 = str_is_utf8(s);

	(void)buf_addc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char u = (unsigned char)s.p[i];

		if (u == '"' || u == '\\')
			(void)buf_addf(b, "\\%c", u);
		else if (u < 0x20)
			(void)buf_addf(b, "\\u%04x", u);
		else
			(void)buf_addc(b, u > 0x7f && !utf8 ? '?' : s.p[i]);
	}
	(void)buf_addc(b, '"');
}

void problem_write(struct buf *b, int status, struct str detail, struct str instance)
{
	(void)buf_addf(b, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":",
		       http_reason(status), status);
	write_json(b, detail);
	if (instance.n) {
		(void)buf_add(b, STR(",\"instance\":"));
		write_json(b, instance);
	}
	(void)buf_add(b, STR("}\n"));
}

void http_problem(struct http_request *r, int status, struct str detail,
		  const struct http_header *headers, size_t n_headers)
{
	struct buf body auto_buf;
	struct http_reply reply = {
		.status = status,
		.content_type = STR("application/problem+json"),
		.headers = headers,
		.n_headers = n_headers,
	};

	buf_init(&body, PROBLEM_MAX);
	problem_write(&body, status, detail, http_request_info(r)->path);
	reply.body = buf_str(&body);
	http_reply(r, &reply);
}

/* parts between a size line and its CR LF; of one chunk, so that they fail together. */
static int send_chunk(struct http_request *r, struct str head, const struct str *parts, size_t n)
{
	struct str few[PARTS + 3], *all = few, size;
	char line[] = "0123456789abcdef\r\n"; /* room for the digits of any size */
	size_t bytes = 0, k = 0;
	int rc;

	for (size_t i = 0; i < n; i++)
		bytes += parts[i].n;
	if (r->is_head)
		bytes = n = 0;
	if (head.n + bytes == 0)
		return 0;
	if (n > PARTS)
		all = calloc(n + 3, sizeof(*all));
	if (!all)
		return -ENOMEM;
	size = digits(bytes, 16, line + sizeof(line) - 3);
	size.n += 2;
	all[k++] = head;
	if (r->chunked && bytes)
		all[k++] = size;
	for (size_t i = 0; i < n; i++)
		all[k++] = parts[i];
	if (r->chunked && bytes)
		all[k++] = STR("\r\n");
	rc = send_piece(r, all, k);
	if (all != few)
		free(all);
	return rc;
}

void http_stream_cork(struct http_request *r)
{
	r->corked = true;
	buf_clear(&r->link->server->held);
}

int http_stream_begin(struct http_request *r, const struct http_reply *reply)
{
	int rc;

	r->streaming = true;
	if (!begin_answer(r))
		return -EPIPE;
	r->chunked = r->minor > 0;
	rc = write_head(r, reply, r->chunked ? FRAMED_CHUNKS : FRAMED_CLOSE);
	if (rc == 0)
		rc = send_chunk(r, buf_str(&r->link->server->out), &reply->body, 1);
	/* Nothing is out: the caller may still answer otherwise. */
	r->answered = rc == 0 || rc == -EPIPE;
	r->streaming = r->answered;
	return rc;
}

int http_stream_write(struct http_request *r, const struct str *parts, size_t n)
{
	assert(!r->gone);
	assert(r->streaming);
	if (r->link->state != LINK_ASKED)
		return -EPIPE;
	return send_chunk(r, str_make(NULL, 0), parts, n);
}

/* The last chunk, behind what was held; the connection keeps room for it beyond write_max. */
static int end_stream(struct http_request *r)
{
	struct buf *held = &r->link->server->held;
	struct str parts[] = { { NULL, 0 }, STR_INIT("0\r\n\r\n") };
	size_t n = r->chunked && !r->is_head ? 2 : 1;
	int rc;

	if (r->corked)
		parts[0] = buf_str(held);
	if (n == 1 && parts[0].n == 0)
		return 0;
	rc = conn_write(r->link->conn, parts, n);
	buf_clear(held);
	return rc;
}

void http_stream_end(struct http_request *r)
{
	struct link *l = r->link;
	int rc = 0;

	assert(!r->gone);
	assert(r->streaming);
	r->streaming = false;
	if (l->state == LINK_ASKED)
		rc = end_stream(r);
	if (rc < 0 && rc != -EPIPE)
		link_cut(l);
	link_answered(l, rc == 0);
}

void http_stream_cut(struct http_request *r)
{
	assert(!r->gone);
	assert(r->streaming);
	link_cut(r->link);
}

size_t http_stream_pending(const struct http_request *r)
{
	return r->link->state == LINK_DEAD ? 0 : conn_pending(r->link->conn);
}

bool http_stream_progress(const struct http_request *r, struct conn_progress *ret)
{
	if (r->link->state != LINK_DEAD)
		return conn_progress(r->link->conn, ret);
	*ret = (struct conn_progress){ .all = r->had_all };
	return r->had_all;
}

int http_upgrade(struct http_request *r, const struct http_header *headers, size_t n_headers,
		 struct conn **ret_conn, struct str *ret_rest)
{
	struct http_reply reply = { .status = 101, .headers = headers, .n_headers = n_headers };
	struct link *l = r->link;
	struct str head;
	int rc;

	if (!begin_answer(r))
		return -EPIPE;
	rc = write_head(r, &reply, FRAMED_UPGRADE);
	head = buf_str(&l->server->out);
	if (rc == 0)
		rc = conn_write(l->conn, &head, 1);
	if (rc < 0) {
		r->answered = rc == -EPIPE;
		return rc;
	}
	conn_pause(l->conn, false);
	*ret_conn = l->conn;
	*ret_rest = link_rest(l);
	r->on_gone = NULL;
	l->conn = NULL;
	link_cut(l);
	return 0;
}
