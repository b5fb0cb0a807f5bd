/* SPDX-License-Identifier: MIT */
/*
 * The client's handshake: one GET, and a 101 with the right answer to our key.
 *
 * The request is written before the connection is open (conn keeps it), so there is nothing to
 * wait for but the answer. A refusal is read as far as its first bytes, which usually say why.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/rand.h"
#include "codec/http.h"
#include "codec/websocket.h"
#include "net/endpoint.h"
#include "net/ws_internal.h"

enum { HEAD_MAX = 16384, REQUEST_MAX = 8192 };

struct ws_hello {
	struct http_parser parser;
	char accept[WEBSOCKET_ACCEPT_SIZE];
	char *protocol;
	bool accepted;
	int refused; /* the status of a refusal */
	char body[WS_TEXT_MAX];
	size_t body_n;
};

struct ws_hello *ws_hello_destroy(struct ws_hello *h)
{
	if (!h)
		return NULL;
	http_parser_fini(&h->parser);
	free(h->protocol);
	free(h);
	return NULL;
}

static int refusal_errno(int status)
{
	if (status == 401 || status == 403)
		return -EACCES;
	return status == 404 ? -ENOENT : -EBADMSG;
}

static void refused(struct ws *ws)
{
	struct ws_hello *h = ws->hello;

	ws_say(ws, h->refused, str_make(h->body, h->body_n));
	ws_finish(ws, refusal_errno(h->refused));
}

void ws_hello_end(struct ws *ws, int reason)
{
	if (ws->hello->refused)
		refused(ws);
	else
		ws_finish(ws, reason ? reason : -ECONNRESET);
}

static int take_head(struct ws_hello *h)
{
	const struct http_head *head = h->parser.head;
	struct websocket_head ws = { 0 };

	if (head->status != 101) {
		/* An interim answer says nothing; another one is the end of it. */
		h->refused = head->status >= 200 ? head->status : 0;
		return 0;
	}
	for (size_t i = 0; i < head->n_headers; i++)
		websocket_head_add(&ws, head->headers[i].name, head->headers[i].value);
	h->accepted = true;
	return websocket_check_answer(&ws, str_from(h->accept), str_from(h->protocol));
}

static void take_body(struct ws_hello *h, struct str piece)
{
	size_t n = sizeof(h->body) - h->body_n;

	n = piece.n < n ? piece.n : n;
	memcpy(h->body + h->body_n, piece.p, n);
	h->body_n += n;
}

void ws_hello_data(struct ws *ws, struct str data)
{
	struct ws_hello *h = ws->hello;
	struct str piece;
	int rc;

	while (ws->state == WS_HELLO) {
		rc = http_parse(&h->parser, &data, &piece);
		if (rc == HTTP_MORE)
			return;
		if (rc == HTTP_GOT_HEAD)
			rc = take_head(h);
		else if (rc == HTTP_GOT_BODY)
			take_body(h, piece);
		if (rc < 0) {
			ws_say(ws, h->accepted ? 101 : 0, str_make(NULL, 0));
			ws_finish(ws, rc == -ENOMEM ? rc : -EBADMSG);
		} else if (rc == HTTP_GOT_END && h->accepted) {
			ws->hello = ws_hello_destroy(h);
			ws_opened(ws);
			if (!ws->destroyed && data.n)
				ws_bytes(ws, data);
			return;
		} else if (h->refused && (rc == HTTP_GOT_END || h->body_n == sizeof(h->body))) {
			refused(ws);
		}
	}
}

static int write_request(struct ws_hello *h, const struct endpoint *u, const struct ws_options *o,
			 struct buf *b)
{
	unsigned char nonce[WEBSOCKET_NONCE];
	char key[WEBSOCKET_KEY_SIZE];
	int rc;

	rand_bytes(nonce, sizeof(nonce));
	websocket_key(nonce, key);
	rc = websocket_accept(str_from(key), h->accept);
	if (rc < 0 || (rc = http_write_request(b, STR("GET"), u->target)) < 0 ||
	    (rc = http_write_header(b, STR("Host"), str_from(u->host))) < 0 ||
	    (rc = http_write_header(b, STR("Upgrade"), STR("websocket"))) < 0 ||
	    (rc = http_write_header(b, STR("Connection"), STR("Upgrade"))) < 0 ||
	    (rc = http_write_header(b, STR("Sec-WebSocket-Version"), STR("13"))) < 0 ||
	    (rc = http_write_header(b, STR("Sec-WebSocket-Key"), str_from(key))) < 0)
		return rc;
	if (o && o->protocol.n)
		rc = http_write_header(b, STR("Sec-WebSocket-Protocol"), o->protocol);
	if (rc == 0 && o && o->authorization.n)
		rc = http_write_header(b, STR("Authorization"), o->authorization);
	return rc < 0 ? rc : http_write_end(b);
}

static int hello_create(struct ws *ws, const struct endpoint *u, const struct ws_options *o,
			struct buf *request)
{
	struct http_limits limits = { HEAD_MAX, HEAD_MAX };
	struct ws_hello *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	http_parser_init(&h->parser, HTTP_RESPONSES, &limits);
	ws->hello = h;
	h->protocol = str_dup(o ? o->protocol : str_make(NULL, 0));
	return h->protocol ? write_request(h, u, o, request) : -ENOMEM;
}

/* Dials and leaves the request with the connection. */
static int start(struct ws *ws, const struct endpoint *u, struct str request, struct err *e)
{
	struct conn_options options = {
		.write_max = ws->options.write_max + WS_WRITE_SPARE,
		.connect_timeout_ms = ws->options.dead_ms,
		.tls = u->tls ? ws->options.tls : NULL,
	};
	int rc = conn_connect(ws->loop, str_from(u->address), &options, &ws_conn_events, ws,
			      &ws->conn, e);

	if (rc < 0)
		return rc;
	(void)conn_write(ws->conn, &request, 1);
	ws->deadline_ms = loop_now(ws->loop) + ws->options.dead_ms;
	ws_watch(ws);
	return 0;
}

int ws_connect(struct loop *loop, struct str url, const struct ws_options *options,
	       const struct ws_events *events, void *arg, struct ws **ret, struct err *e)
{
	auto_buf struct buf request = { 0 };
	struct ws *ws = NULL;
	struct endpoint u;
	int rc = endpoint_parse(url, STR("ws"), STR("http"), false, &u, e);

	if (rc < 0)
		return rc;
	if (u.tls && !(options && options->tls))
		return err_set(e, -EINVAL, "%.*s: there are no settings for TLS", STR_ARG(url));
	buf_init(&request, REQUEST_MAX);
	rc = ws_create(loop, false, options, events, arg, &ws);
	if (rc == 0)
		rc = hello_create(ws, &u, options, &request);
	if (rc < 0)
		err_set(e, rc, "%.*s: the handshake's request can't be made: %s", STR_ARG(url),
			rc == -EINVAL ? "a header has bytes that no header may have"
				      : strerror(-rc));
	else
		rc = start(ws, &u, buf_str(&request), e);
	if (rc < 0) {
		(void)ws_destroy(ws);
		return rc;
	}
	*ret = ws;
	return 0;
}
