/* SPDX-License-Identifier: MIT */
/*
 * What ws.c (the link), ws_client.c and ws_server.c (its two beginnings) share.
 *
 *   HELLO ──────► OPEN ──────► LEAVING ──────► DONE
 *   (client)       ^ close sent   said all,     on_end was called
 *   server ────────┘ or not       FIN is out
 */
#ifndef VOXBUS_NET_WS_INTERNAL_H
#define VOXBUS_NET_WS_INTERNAL_H

#include "base/buf.h"
#include "net/conn.h"
#include "net/ws.h"
#include "net/ws_frames.h"

enum {
	WS_TEXT_MAX = 256, /* the text of on_end */
	/* Room for control frames where messages find none; the handshake must fit too. */
	WS_WRITE_SPARE = 16384,
};

enum ws_state { WS_HELLO, WS_OPEN, WS_LEAVING, WS_DONE };

struct ws_hello;

struct ws {
	struct loop *loop;
	struct conn *conn;
	struct ws_frames *frames;
	struct ws_hello *hello; /* while a client's handshake runs */
	struct ws_events events;
	void *arg;
	struct ws_options options; /* the numbers alone, none of them 0 */
	struct timer watch, pinger;
	struct task opening; /* of a server */
	struct buf out;      /* one frame on its way to conn_write */
	struct buf rest;     /* of a server: what came behind the request */
	enum ws_state state;
	uint64_t heard_ms;
	uint64_t deadline_ms; /* of the handshake or the close; 0 = silence counts */
	bool stale, last_chance, close_sent, destroyed;
	int inside; /* calls that still use it */
	int reason, code;
	char text[WS_TEXT_MAX];
	size_t text_n;
};

/* Half of it: no connection yet. */
int ws_create(struct loop *loop, bool server, const struct ws_options *options,
	      const struct ws_events *events, void *arg, struct ws **ret);
/* Around everything that may call the owner, who may destroy it there. False: it is gone. */
void ws_enter(struct ws *ws);
bool ws_leave(struct ws *ws);
/* The handshake is done. */
void ws_opened(struct ws *ws);
void ws_bytes(struct ws *ws, struct str data);
/* on_end with what is in code and text; only in a turn of its own. */
void ws_finish(struct ws *ws, int reason);
void ws_say(struct ws *ws, int code, struct str text);
/* Watches silence, or the deadline when there is one. */
void ws_watch(struct ws *ws);

/* The client's handshake. */
void ws_hello_data(struct ws *ws, struct str data);
void ws_hello_end(struct ws *ws, int reason);
struct ws_hello *ws_hello_destroy(struct ws_hello *hello);

extern const struct conn_events ws_conn_events;

#endif
