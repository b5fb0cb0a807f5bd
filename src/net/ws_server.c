/* SPDX-License-Identifier: MIT */
/*
 * The server's handshake: takes a request over from the HTTP server and answers it with 101.
 *
 * on_open comes in a later turn, so what came behind the request waits for it in a buffer.
 */
#include <errno.h>

#include "codec/http.h"
#include "codec/websocket.h"
#include "net/http_server.h"
#include "net/ws_internal.h"

static void on_opening(void *arg)
{
	struct ws *ws = arg;

	ws_enter(ws);
	ws_opened(ws);
	if (!ws->destroyed && buf_len(&ws->rest))
		ws_bytes(ws, buf_str(&ws->rest));
	buf_fini(&ws->rest);
	(void)ws_leave(ws);
}

static int refuse(struct http_request *request, int rc)
{
	struct http_header version = { STR("Sec-WebSocket-Version"), STR("13") };

	if (rc == -EPROTONOSUPPORT)
		http_problem(request, 426, STR("only version 13 of WebSocket is spoken here"),
			     &version, 1);
	else if (rc == -EBADMSG)
		http_problem(request, 400,
			     STR("this is not a WebSocket handshake (RFC 6455 4.2.1)"), &version,
			     1);
	else
		http_problem(request, 503, STR("no memory for another connection"), NULL, 0);
	return rc == -EPROTONOSUPPORT ? -EBADMSG : rc;
}

static int check(struct http_request *request, struct str *ret_offered,
		 char accept[WEBSOCKET_ACCEPT_SIZE])
{
	const struct http_request_info *info = http_request_info(request);
	struct websocket_head head = { 0 };

	for (size_t i = 0; i < info->n_headers; i++)
		websocket_head_add(&head, info->headers[i].name, info->headers[i].value);
	*ret_offered = head.protocol;
	return websocket_check_request(&head, info->method, info->minor, accept);
}

int ws_accept(struct loop *loop, struct http_request *request, const struct ws_options *options,
	      const struct ws_events *events, void *arg, struct ws **ret)
{
	char accept[WEBSOCKET_ACCEPT_SIZE];
	struct http_header headers[3] = { { STR("Upgrade"), STR("websocket") } };
	size_t n = 2;
	struct str offered = { 0 }, rest;
	struct ws *ws = NULL;
	int rc = check(request, &offered, accept);

	if (rc == 0)
		rc = ws_create(loop, true, options, events, arg, &ws);
	if (rc != 0)
		return refuse(request, rc);
	headers[1] = (struct http_header){ STR("Sec-WebSocket-Accept"), str_from(accept) };
	if (options && options->protocol.n && http_has_token(offered, options->protocol))
		headers[n++] =
			(struct http_header){ STR("Sec-WebSocket-Protocol"), options->protocol };
	rc = http_upgrade(request, headers, n, &ws->conn, &rest);
	if (rc < 0) {
		(void)ws_destroy(ws);
		return rc == -EPIPE ? rc : refuse(request, rc);
	}
	conn_set_events(ws->conn, &ws_conn_events, ws);
	rc = buf_add(&ws->rest, rest);
	if (rc < 0) {
		(void)ws_destroy(ws);
		return rc;
	}
	ws->opening.fn = on_opening;
	task_defer(&ws->opening);
	*ret = ws;
	return 0;
}
