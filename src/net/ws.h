/* SPDX-License-Identifier: MIT */
/*
 * WebSocket (RFC 6455) over a conn, both directions: handshake, framing by wslay, pings, close.
 *
 * A peer that is silent is noticed in two steps: after stale_ms without a byte on_stale tells it
 * (and tells again when bytes come), after dead_ms the link is closed with -ETIMEDOUT. Pings go
 * out every ping_ms. Fragmented messages come whole; one over message_max closes with 1009,
 * text that is not UTF-8 with 1007, a broken frame with 1002.
 * Events come in turns of their own, never from inside a call; nothing comes after on_end, and
 * the owner then destroys the thing.
 */
#ifndef VOXBUS_NET_WS_H
#define VOXBUS_NET_WS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

struct conn_progress;
struct tls_context;
struct http_request;
struct ws;

struct ws_events {
	void (*on_open)(void *arg);
	/* A whole message; the bytes are gone when it returns. */
	void (*on_message)(void *arg, struct str data, bool text);
	/* Optional: stale = true after stale_ms of silence, false when the peer is heard again. */
	void (*on_stale)(void *arg, bool stale);
	/*
	 * reason: 0 = closed in order, -ECONNREFUSED, -ETIMEDOUT, -ECONNRESET, -EPROTO (a bad
	 * frame), -EACCES (handshake answered 401 or 403), -ENOENT (404), -EBADMSG (any other
	 * answer), -EKEYREJECTED (its certificate is not believed). code: the close code or the
	 * HTTP status, 0 if none. text: the close reason, the body's beginning, or what TLS says.
	 */
	void (*on_end)(void *arg, int reason, int code, struct str text);
};

struct ws_options {
	struct str protocol; /* Sec-WebSocket-Protocol; empty = none. A client insists on it. */
	struct str authorization; /* client: value of the Authorization header; empty = none */
	struct tls_context *tls;  /* client, for wss: a client's, which outlives the link */
	size_t message_max;       /* 0 = 1 MiB */
	size_t write_max;         /* 0 = 1 MiB */
	uint64_t ping_ms;         /* 0 = 1 s */
	uint64_t stale_ms;        /* 0 = 2.5 s */
	uint64_t dead_ms;         /* 0 = 10 s; also bounds the handshake and the close */
};

/* url: ws://host:port/path?query, or http:// alike; wss:// and https:// need options->tls. */
int ws_connect(struct loop *loop, struct str url, const struct ws_options *options,
	       const struct ws_events *events, void *arg, struct ws **ret, struct err *e);
/*
 * Takes over a request that asks for an upgrade and answers it with 101; a bad one is answered
 * with 400 or 426 here and gives -EBADMSG: the request is finished either way.
 */
int ws_accept(struct loop *loop, struct http_request *request, const struct ws_options *options,
	      const struct ws_events *events, void *arg, struct ws **ret);
/* One whole message: 0, -ENOBUFS (a slow reader), -EPIPE. */
int ws_send(struct ws *ws, struct str data, bool text);
/* Bytes that the kernel has not taken yet. */
size_t ws_pending(const struct ws *ws);
/* As conn_progress: how far the peer has come. */
bool ws_progress(const struct ws *ws, struct conn_progress *ret);
/* Sends a close frame; on_end follows. */
void ws_close(struct ws *ws, int code, struct str reason);
/* At once, without events. NULL is fine. */
struct ws *ws_destroy(struct ws *ws);

#endif
