/* SPDX-License-Identifier: MIT */
/*
 * What conn.c, conn_dial.c, conn_hello.c and listener.c share.
 *
 *                 conn_dial.c         conn_hello.c           conn.c
 *   conn_connect ── look-up, connect ─┬─► TLS ──► open ── read, write ──► ended ──► conn_destroy
 *   listener     ── accept ───────────┘  or none
 */
#ifndef VOXBUS_NET_CONN_INTERNAL_H
#define VOXBUS_NET_CONN_INTERNAL_H

#include "base/buf.h"
#include "loop/loop_uv.h"
#include "net/address.h"
#include "net/conn.h"

struct dial;
struct hello;
struct tls;

struct conn {
	uv_poll_t poll; /* when fd >= 0 */
	struct loop *loop;
	struct conn_events events;
	void *arg;
	struct buf out;      /* what the kernel has not taken */
	struct task later;   /* events that were found out inside a call */
	struct dial *dial;   /* while connecting, else NULL */
	struct hello *hello; /* while TLS shakes hands, else NULL */
	struct tls *tls;     /* from the handshake on; NULL = in the clear */
	int fd;
	int mask;    /* what the poll handle watches */
	int failure; /* why writing broke: the reason when reading ends too */
	bool open, paused, drain_due, end_due, shut, ended, destroyed;
	struct address_text peer;
};

/* Without a socket yet; NULL when memory is out. */
struct conn *conn_new(struct loop *loop, const struct conn_options *options);
/* Gives it its socket, which it owns from now on: 0 or a negative errno (the fd is not closed). */
int conn_attach(struct conn *conn, int fd);
/* It is connected, with TLS if there is to be any: reads and writes from now on. */
void conn_opened(struct conn *conn);
/* Accepted, conn->peer is set: open, or begins TLS. 0 or -ENOMEM. */
int conn_accepted(struct conn *conn, struct tls_context *tls);
/* Watches UV_READABLE, UV_WRITABLE, both or nothing (0). */
void conn_watch(struct conn *conn, int mask);
/* on_end now: for those who run in a turn of their own. */
void conn_end(struct conn *conn, int reason);
/* on_end in a later turn. */
void conn_end_later(struct conn *conn, int reason);

/* The socket is writable or has failed. */
void dial_ready(struct dial *dial);
/* Its conn is gone or open; a running look-up frees it later. */
void dial_drop(struct dial *dial);

/*
 * Begins the handshake of a connection that has its socket: 0, -ENOMEM or -EINVAL. name: of the
 * server that was dialled, NULL = we are the server. Then conn_opened and on_open, or conn_end.
 */
int hello_start(struct conn *conn, struct tls_context *tls, const char *name, uint64_t limit_ms);
/* The socket is ready for the next step or has failed. */
void hello_ready(struct hello *hello);
/* Its conn goes. */
void hello_drop(struct hello *hello);

#endif
