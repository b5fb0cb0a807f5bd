/* SPDX-License-Identifier: MIT */
/*
 * One byte stream to a peer: TCP or a Unix socket, in the clear or through TLS.
 *
 * A connection is made by conn_connect or comes from a listener. Its owner sets the events and
 * gets bytes, room and the end; each comes in a turn of its own, never from inside a call.
 * Writing tries the socket at once and keeps the rest in a buffer that was born with its maximum.
 */
#ifndef VOXBUS_NET_CONN_H
#define VOXBUS_NET_CONN_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

struct conn;
struct listener;
struct tls_context;

struct conn_events {
	/* Only for conn_connect: it is open. */
	void (*on_open)(void *arg);
	/* Bytes came; they are gone when it returns. */
	void (*on_data)(void *arg, struct str data);
	/* All that was written has been taken by the kernel: after each write, later. Optional. */
	void (*on_drain)(void *arg);
	/*
	 * The end: 0 = the peer closed in order, -ETIMEDOUT, -ECONNRESET, -ECONNREFUSED, ...; with
	 * TLS also -ECONNABORTED = a FIN without the close_notify that belongs before it (what came
	 * may have been cut), -EPROTO and -EKEYREJECTED (conn_why has words for them).
	 * Nothing comes after it, and the connection is to be destroyed by its owner (here or
	 * later). Never called after conn_destroy.
	 */
	void (*on_end)(void *arg, int reason);
};

struct conn_options {
	size_t write_max;            /* bytes kept for a slow reader; 0 = 1 MiB */
	uint64_t connect_timeout_ms; /* conn_connect: all until on_open together; 0 = 5 s */
	/*
	 * Speaks TLS: a client's context for conn_connect, a server's for a listener, which it must
	 * outlive. What is written before the handshake is done waits for it.
	 */
	struct tls_context *tls;
};

/*
 * address: "127.0.0.1:8090", "[::1]:8090", "host:8090" (looked up on the thread pool) or
 * "unix:/path". 0 and *ret, or -EINVAL with a sentence for an address that is none; all later
 * failures come by on_end.
 */
int conn_connect(struct loop *loop, struct str address, const struct conn_options *options,
		 const struct conn_events *events, void *arg, struct conn **ret, struct err *e);
/* What is written goes out encrypted. */
bool conn_is_tls(const struct conn *conn);
/* Who takes a connection from a listener (or passes it on, as an upgrade does) sets its events. */
void conn_set_events(struct conn *conn, const struct conn_events *events, void *arg);
/*
 * Writes all parts, in order: 0, or -ENOBUFS (over write_max: nothing was taken), or -EPIPE
 * (ended). The bytes are the caller's again when it returns.
 */
int conn_write(struct conn *conn, const struct str *parts, size_t n);
/* Bytes that the kernel has not taken yet. */
size_t conn_pending(const struct conn *conn);
/*
 * The peer's TCP has acknowledged all that was written (our FIN, too), and nothing is known to be
 * wrong: a peer that closed in order then has got everything. Of a Unix socket: the peer has read
 * it. Two system calls. Also inside on_end.
 */
bool conn_is_acked(const struct conn *conn);
/* How far the peer's TCP has come. */
struct conn_progress {
	uint64_t written, acked; /* bytes that the kernel has got, and that the peer acknowledged */
	size_t pending;          /* bytes that the kernel has not got */
	bool all;                /* nothing is pending, nothing unacknowledged */
};
/* False: nothing is known, since the connection is broken; its end is on the way. */
bool conn_progress(const struct conn *conn, struct conn_progress *ret);
/* Stops or resumes reading: the peer is held back by TCP. A new connection reads. */
void conn_pause(struct conn *conn, bool on);
/* No more writes; what is pending goes out, then FIN. on_end comes when the peer closes too. */
void conn_shutdown(struct conn *conn);
/* Closes at once, drops what is pending; no event comes any more. NULL is fine. */
struct conn *conn_destroy(struct conn *conn);
/* What TLS has to say about on_end's reason, in words, or NULL. Lives as long as the connection. */
const char *conn_why(const struct conn *conn);
/* "127.0.0.1:53124" or "unix": for logs. Lives as long as the connection. */
const char *conn_peer(const struct conn *conn);
/* The peer's address without its port, for limits per address; empty for a Unix socket. */
struct str conn_peer_address(const struct conn *conn);
bool conn_peer_is_loopback(const struct conn *conn);

/*
 * Listens on "127.0.0.1:8090", "[::]:8090", "unix:/path" (mode 0600; a dead socket file is
 * replaced, a live one refused). on_conn owns each new connection. The port 0 draws one;
 * listener_port tells which. With TLS the handshake comes after on_conn: a peer that does not get
 * through it ends the connection. A refusal's sentence names the address and what to do.
 */
int listener_create(struct loop *loop, struct str address, const struct conn_options *options,
		    void (*on_conn)(void *arg, struct conn *conn), void *arg, struct listener **ret,
		    struct err *e);
int listener_port(const struct listener *listener);
/* How often accepting failed (no descriptors, no memory); it rests a moment after each. */
uint64_t listener_failures(const struct listener *listener);
/*
 * fn(arg of listener_create, rc) when accepting begins to fail (-EMFILE, -ENOMEM, ...) and, with 0,
 * when it works again.
 */
void listener_on_trouble(struct listener *listener, void (*fn)(void *arg, int rc));
/* Also removes a Unix socket's file. */
struct listener *listener_destroy(struct listener *listener);

#endif
