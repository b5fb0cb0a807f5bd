/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 for whoever mounts a handler: strict parsing, limits and time-outs on everything.
 *
 * A request reaches its handler whole (body included, up to the mount's limit). The handler may
 * answer at once or any time later; requests of one connection are answered in their order
 * (pipelining is read ahead of, never answered ahead of). What no handler should see the server
 * answers by itself: 400, 408, 411, 413, 414, 417, 431, 501, 503, and 404 where no mount is.
 * Sources: RFC 9110, RFC 9112 (what has served request smuggling is refused), RFC 9457 (errors).
 */
#ifndef VOXBUS_NET_HTTP_SERVER_H
#define VOXBUS_NET_HTTP_SERVER_H

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "codec/http.h" /* struct http_header */
#include "loop/loop.h"

struct conn;
struct tls_context;
struct http_request;
struct http_server;

struct http_server_options {
	size_t header_max;          /* request line and headers, bytes; 0 = 16 KiB: else 431 */
	size_t target_max;          /* 0 = 8 KiB: else 414 */
	size_t write_max;           /* bytes kept for a slow reader of an answer; 0 = 4 MiB */
	uint64_t header_timeout_ms; /* from the first byte of a request; 0 = 10 s: 408 and close */
	uint64_t idle_timeout_ms;   /* between requests; 0 = 75 s: close */
	size_t body_rate_min;       /* bytes/s over 5 s windows while a body comes; 0 = 256: 408 */
	size_t conns_max;           /* 0 = 20,000: further ones get 503 and are closed */
	size_t conns_per_address;   /* 0 = 256; loopback and Unix sockets are not counted: 503 */
	const struct http_origin *origin; /* borrowed; NULL: not known. See http_url.h */
};

/* What a handler sees; all slices live until the request is finished (answered or gone). */
struct http_request_info {
	struct str method; /* "GET", upper case as sent */
	struct str target; /* as received: "/a%20b?x=1" */
	struct str path;   /* the part before '?', still percent-encoded */
	struct str query;  /* the part behind '?', without it; p = NULL when there was no '?' */
	struct str body;
	const struct http_header *headers;
	size_t n_headers;
	int minor;        /* HTTP/1.minor: 0 or 1 */
	const char *peer; /* "127.0.0.1:5000": for logs */
	struct str peer_address;
};

/* Answers with exactly one of http_reply, http_stream_begin..end or http_upgrade. */
typedef void (*http_handler)(void *arg, struct http_request *request);

struct http_mount {
	struct str prefix; /* "/auth" serves /auth and /auth/...; "/" all; the longest wins */
	size_t body_max;   /* bytes; a larger body gets 413 */
	http_handler handle;
	void *arg;
	const struct http_header *headers; /* of the server's own answers (CORS); static */
	size_t n_headers; /* up to 8; a request without a readable path counts as one for "/" */
};

/* Never fails but for -ENOMEM. options NULL = all defaults. The loop and log outlive it. */
int http_server_create(struct loop *loop, const struct http_server_options *options,
		       const struct log *log, struct http_server **ret);
/* The mount is copied, its prefix too. 0, -EEXIST, -EINVAL (too many headers), -ENOMEM. */
int http_server_mount(struct http_server *server, const struct http_mount *mount);
/* Addresses as for listener_create; may be called several times. tls: a context that outlives it. */
int http_server_listen(struct http_server *server, struct str address, struct err *e);
int http_server_listen_tls(struct http_server *server, struct str address, struct tls_context *tls,
			   struct err *e);
int http_server_port(const struct http_server *server, size_t i); /* of the i-th listener */
/*
 * Graceful stop: closes the listeners and idle connections, answers what runs with
 * "Connection: close", cuts what is left after timeout_ms, then calls done once.
 */
void http_server_stop(struct http_server *server, uint64_t timeout_ms, void (*done)(void *arg),
		      void *arg);
/* At once; on_gone is called for what is unanswered. Not from inside a handler, on_gone, on_sent. */
struct http_server *http_server_destroy(struct http_server *server);

const struct http_request_info *http_request_info(const struct http_request *request);
/* The first header of that name (any case), or {NULL, 0}. */
struct str http_request_header(const struct http_request *request, struct str name);
/* Gives back all that the client sent: info and headers are empty from now on. For long waits. */
void http_request_forget(struct http_request *request);
/*
 * Called once if the client goes before the answer is complete (a FIN counts); the request is then
 * invalid and must not be answered, nor looked at after fn. NULL takes it back, as http_reply and
 * http_stream_end do unless on_sent or on_acked is set. The handler of a request that waits sets it.
 */
void http_request_on_gone(struct http_request *request, void (*fn)(void *arg), void *arg);
/*
 * Called once when the last byte of the answer has been taken by the kernel (on_sent), or
 * acknowledged by the peer's TCP (on_acked; of a Unix socket: read by the peer; after 30 s without
 * it the connection is cut); the request is gone after it. If the connection ends or breaks before,
 * on_gone is called instead. One of both, set before the answer begins; NULL takes it back.
 */
void http_request_on_sent(struct http_request *request, void (*fn)(void *arg), void *arg);
void http_request_on_acked(struct http_request *request, void (*fn)(void *arg), void *arg);

struct http_reply {
	int status;                        /* 100..599 */
	struct str content_type;           /* empty: no Content-Type header */
	const struct http_header *headers; /* Content-Length, Date, Connection are ours */
	size_t n_headers;
	struct str body;
};

/* A whole answer; the request is finished. HEAD gets the headers alone. */
void http_reply(struct http_request *request, const struct http_reply *reply);
/*
 * An RFC 9457 problem: {"type":"about:blank","title":...,"status":...,"detail":...,"instance":path}
 * with application/problem+json, and the extra headers given (may be NULL, 0).
 */
void http_problem(struct http_request *request, int status, struct str detail,
		  const struct http_header *headers, size_t n_headers);
/*
 * An answer in pieces: chunked for HTTP/1.1, until close for 1.0. reply->body is the first piece (may be
 * empty). Each http_stream_write is one chunk: 0, -ENOMEM, -ENOBUFS when the client reads too slowly
 * (nothing was taken), or -EPIPE. _end finishes; _cut lets the client see that it is not whole: on_gone comes.
 * _begin: 0, -EPIPE (begun as far as the caller is concerned: on_gone follows), or -EINVAL, -ENOBUFS,
 * -ENOMEM: nothing went out and the request is still to be answered.
 */
int http_stream_begin(struct http_request *request, const struct http_reply *reply);
/* Before it, by who ends the answer in the same call: small pieces go out together. */
void http_stream_cork(struct http_request *request);
int http_stream_write(struct http_request *request, const struct str *parts, size_t n);
void http_stream_end(struct http_request *request);
void http_stream_cut(struct http_request *request);
size_t http_stream_pending(const struct http_request *request); /* bytes not taken by the kernel */
/*
 * Hands the connection over after writing a 101 with these headers: the request is finished, the
 * caller owns *ret_conn (and what had come behind the request in *ret_rest, valid in this turn)
 * and sets its events at once; the request's slices also live to the end of this turn.
 * "Connection: Upgrade" is ours. 0, -EPIPE (on_gone follows), or -EINVAL, -ENOBUFS, -ENOMEM: nothing
 * went out and the request is still to be answered.
 */
int http_upgrade(struct http_request *request, const struct http_header *headers, size_t n_headers,
		 struct conn **ret_conn, struct str *ret_rest);

struct http_server_stats {
	uint64_t connections, requests, malformed, timeouts, refused; /* since the start */
	uint64_t accept_failures, open, limit; /* since the start; now; at most */
};
void http_server_stats(const struct http_server *server, struct http_server_stats *ret);

#endif
