/* SPDX-License-Identifier: MIT */
/*
 * What conn.c, conn_dial.c and listener.c share.
 *
 *                 conn_dial.c                 conn.c
 *   conn_connect ── look-up, connect ──► open ── read, write ──► ended ──► conn_destroy
 *   listener     ── accept ───────────►
 */
#ifndef VOXBUS_NET_CONN_INTERNAL_H
#define VOXBUS_NET_CONN_INTERNAL_H

#include "base/buf.h"
#include "loop/loop_uv.h"
#include "net/address.h"
#include "net/conn.h"

struct dial;

struct conn {
	uv_poll_t poll; /* when fd >= 0 */
	struct loop *loop;
	struct conn_events events;
	void *arg;
	struct buf out;    /* what the kernel has not taken */
	struct task later; /* events that were found out inside a call */
	struct dial *dial; /* while connecting, else NULL */
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
/* It is connected: reads and writes from now on. */
void conn_opened(struct conn *conn);
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

#endif
