/* SPDX-License-Identifier: MIT */
/*
 * A client's connection to 127.0.0.1 in a benchmark, plain or TLS: non-blocking, for epoll, and as
 * cheap as it can be, since the daemon under measurement runs on the same machine. What fails ends
 * the program with a line.
 */
#ifndef VOXBUS_BENCH_PEER_H
#define VOXBUS_BENCH_PEER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ssl_ctx_st;
struct ssl_st;

struct peer {
	int fd;
	struct ssl_st *ssl; /* NULL: plain */
};

/* What clients by TLS share: they believe that certificate alone. */
struct ssl_ctx_st *peer_tls_create(const char *certificate);
/* Begins to connect; tls NULL: plain. Look with peer_open once the socket is writable. */
void peer_dial(struct peer *peer, int port, struct ssl_ctx_st *tls);
/* Goes on opening: 0 = it is open, else the events of epoll to wait for before the next call. */
uint32_t peer_open(struct peer *peer);
/* All of it at once: requests are small, and one is under way at a time. */
void peer_send(struct peer *peer, const char *text, size_t n);
/* What is there, at most n bytes; 0: nothing yet. */
size_t peer_recv(struct peer *peer, char *text, size_t n);
/* At once; the peer may be dialled again. */
void peer_close(struct peer *peer);

#endif
