/* SPDX-License-Identifier: MIT */
/*
 * What http_client.c (calls, queue, pool) and http_client_link.c (one connection) share.
 *
 *   http_client_call ──► waiting ──► on a link ──► done
 *                          ^             │ the kept-alive connection had closed
 *                          └─────────────┘ (once, idempotent methods, a fresh connection)
 */
#ifndef VOXBUS_NET_HTTP_CLIENT_INTERNAL_H
#define VOXBUS_NET_HTTP_CLIENT_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "codec/http.h"
#include "net/conn.h"
#include "net/http_client.h"
#include "net/endpoint.h"

enum { HTTP_REQUEST_MAX = 64 << 20 };

struct http_link;

struct http_client {
	struct loop *loop;
	struct endpoint endpoint;
	struct http_client_options options; /* none of them 0 */
	struct list waiting;                /* struct http_call.place */
	struct list running;                /* struct http_call.place */
	struct list idle;                   /* struct http_link.place, the last used first */
	struct list busy;                   /* struct http_link.place */
	size_t n_waiting, n_running, n_links;
};

struct http_call {
	struct list place; /* http_client.waiting or .running */
	struct http_client *client;
	struct http_link *link; /* NULL: waits */
	struct timer deadline;
	void (*done)(void *arg, int rc, const struct http_response *response);
	void (*on_data)(void *arg, struct str piece);
	void *arg;
	struct buf request; /* whole, until the answer begins: it may have to go out again */
	uint64_t timeout_ms;
	bool running, finished, idempotent, is_head, repeated, streams;
	struct http_head *head; /* of the answer */
	struct buf body;        /* of the answer */
};

struct http_link {
	struct list place; /* http_client.idle or .busy */
	struct http_client *client;
	struct http_call *call; /* NULL: idle */
	struct conn *conn;
	struct http_parser parser;
	struct timer idle;
	bool used;       /* it has answered a call before this one */
	bool answering;  /* a byte of this call's answer came */
	bool keep_alive; /* by the answer's head */
	bool inside, dead;
};

/* A new connection for the call: 0 or -ENOMEM. */
int http_link_create(struct http_client *client, struct http_call *call);
/* An idle one for the call. */
void http_link_use(struct http_link *link, struct http_call *call);
/* Closes it; its call is left without a link. */
struct http_link *http_link_destroy(struct http_link *link);

/* Gives waiting calls to free links and new ones. */
void http_client_dispatch(struct http_client *client);
/* Ends a call that has left its link, the last thing that its caller does with anything here. */
void http_call_finish(struct http_call *call, int rc);
/* Back to the head of the queue, for a fresh connection. */
void http_call_repeat(struct http_call *call);

#endif
