/* SPDX-License-Identifier: MIT */
/*
 * What TLS is made of.
 *
 *   tls.c ──────── the context: counted, looks at its files, keeps a client's sessions
 *   tls_files.c ── PEM files to an SSL_CTX, or a sentence
 *   tls_link.c ─── one connection: reads, writes, ends; over a BIO of our own (tls_bio.c)
 *   conn_hello.c ─ its handshake, in bounded rounds, with a time limit
 */
#ifndef VOXBUS_NET_TLS_INTERNAL_H
#define VOXBUS_NET_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/list.h"
#include "net/tls.h"

enum {
	TLS_SESSIONS = 16,      /* endpoints of a client whose last session is kept */
	TLS_RECORD_MAX = 16384, /* RFC 8446 section 5.1 */
};

/* What a context is made from; all ours. */
struct tls_paths {
	char *certificate, *key, *ca, *server_name;
	bool server, verify;
};

/* By which a changed file is known. */
struct tls_stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct tls_session {
	char *endpoint; /* "name@address" */
	SSL_SESSION *session;
};

struct tls_load;

struct tls_context {
	struct list link; /* of those that tls_reload_all finds */
	size_t refs;
	struct loop *loop;
	const struct log *log;
	struct tls_paths paths;
	SSL_CTX *ssl;
	struct tls_certificate certificate;
	struct tls_stats stats;
	struct tls_stamp stamps[3]; /* of certificate, key, ca as they were last read */
	struct tls_session sessions[TLS_SESSIONS];
	size_t next_session;
	struct timer look;
	struct tls_load *load; /* a reload that runs */
	bool again;            /* one more is wanted after it */
	uint64_t made_ms;      /* when ssl was: keys of tickets live for a day */
	uint64_t warn_due_ms;  /* when to look at the certificate's dates again */
	uint64_t quiet_til_ms; /* failures of peers are debug lines until then */
};

/* One connection. */
struct tls {
	SSL *ssl;
	struct tls_context *context;
	char *endpoint; /* of a client: under which its session is kept */
	char *why;      /* what a person should know about its failure, or NULL */
	int fd;
	int io_error;  /* of the last system call that failed, positive */
	ssize_t end;   /* how reading ended, once has_end is set */
	size_t offer;  /* the write that was left half done must be offered so many bytes again */
	bool has_end;  /* a read found the end behind bytes: the next one tells */
	bool has_more; /* reading stopped for want of room */
	bool eof;      /* the peer's FIN was seen */
	bool failed;   /* nothing may be said any more, not even goodbye */
	bool saying_goodbye, said_goodbye;
};

/* ---- tls.c ---- */
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);
/* Takes the session over. */
void tls_context_keep(struct tls_context *context, const char *endpoint, SSL_SESSION *session);
SSL_SESSION *tls_context_session(const struct tls_context *context, const char *endpoint);
/* A failure by a peer: an info line, but only a debug line when there was one shortly before. */
void tls_context_failed(struct tls_context *context, const char *peer, const char *why);

/* ---- tls_files.c ---- */
/* Safe on any thread: 0, *ret and *ret_certificate, or a sentence as tls_server_create. */
int tls_files_load(const struct tls_paths *paths, SSL_CTX **ret,
		   struct tls_certificate *ret_certificate, struct err *e);
/* Of certificate, key and ca; zeros for one that is not given or can't be looked at. */
void tls_files_stamp(const struct tls_paths *paths, struct tls_stamp ret[3]);

/* ---- tls_bio.c ---- */
/* The socket of t->fd as OpenSSL wants it; NULL when memory is out. */
BIO *tls_bio_create(struct tls *t);

/* ---- tls_link.c ---- */
/* name: of the server that a client dials, peer: where. 0, -ENOMEM or -EINVAL. */
int tls_create(struct tls_context *context, int fd, const char *name, const char *peer,
	       struct tls **ret);
/* Says goodbye if it can be said at once and `politely`. */
struct tls *tls_destroy(struct tls *t, bool politely);
/* 1 = done, 0 = it waits (tls_wants), or what broke: as tls_read, also -EKEYREJECTED. */
int tls_handshake(struct tls *t);
/* Whether the handshake waits for room to write, else for bytes. */
bool tls_handshake_writes(const struct tls *t);
/*
 * Bytes, -EAGAIN, 0 = the peer's close_notify, -ECONNABORTED = its FIN without one (somebody may
 * have cut the stream), -EPROTO (t->why), -ECONNRESET and the like.
 */
ssize_t tls_read(struct tls *t, char *p, size_t n);
/* Bytes taken, all of the parts or as many as the socket has room for; or what broke. */
ssize_t tls_write(struct tls *t, const struct iovec *iov, size_t n);
/* Sends close_notify: false = the socket is full, call again when it is writable. */
bool tls_say_goodbye(struct tls *t);

#endif
