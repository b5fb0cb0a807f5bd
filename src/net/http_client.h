/* SPDX-License-Identifier: MIT */
/*
 * An HTTP/1.1 client for one origin: a bounded pool of kept-alive connections and a bounded queue.
 *
 * Each request has a deadline that covers everything (queue, look-up, connect, answer). A request
 * whose connection had been kept alive and closes before any byte of the answer is sent again once
 * on a fresh one if its method is idempotent (RFC 9110 section 9.2.2), else it fails with
 * -ECONNRESET: nobody can know whether it was done. Redirects are not followed.
 */
#ifndef VOXBUS_NET_HTTP_CLIENT_H
#define VOXBUS_NET_HTTP_CLIENT_H

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"
#include "net/http_server.h" /* struct http_header */

struct tls_context;
struct http_client;
struct http_call;

struct http_client_options {
	size_t conns_max;         /* 0 = 8 */
	size_t queue_max;         /* requests that wait for a connection; 0 = 1024 */
	size_t response_max;      /* body bytes; 0 = 16 MiB: -EMSGSIZE */
	uint64_t idle_timeout_ms; /* an unused connection is closed after this; 0 = 10 s */
	struct tls_context *tls;  /* for https: a client's, which outlives it */
};

struct http_response {
	int status;
	const struct http_header *headers;
	size_t n_headers;
	struct str body; /* whole; with on_data empty */
};

struct http_call_init {
	struct str method;
	struct str target; /* "/ari/channels?x=y": goes out as it is, must be printable ASCII */
	const struct http_header *headers; /* Host, Content-Length, Connection are ours */
	size_t n_headers;
	struct str body;
	uint64_t timeout_ms; /* 0 = 10 s */
	/*
	 * Exactly once, unless cancelled: rc 0 and the response (valid inside), or -ETIMEDOUT,
	 * -ECONNREFUSED, -ECONNRESET, -EBADMSG (not HTTP), -EMSGSIZE, -ENOENT (name unknown),
	 * -EKEYREJECTED (its certificate is not believed), -EPROTO (not TLS), ...
	 */
	void (*done)(void *arg, int rc, const struct http_response *response);
	/* Optional: the body in pieces as it comes, only for 2xx; then no time-out after headers. */
	void (*on_data)(void *arg, struct str piece);
	void *arg;
};

/*
 * origin: "http://127.0.0.1:8088", "https://pbx:8089" (needs options->tls) or "unix:/path"; a path
 * behind the authority is ignored here. The origin is copied.
 */
int http_client_create(struct loop *loop, struct str origin,
		       const struct http_client_options *options, struct http_client **ret,
		       struct err *e);
/* Unfinished calls end without `done`. */
struct http_client *http_client_destroy(struct http_client *client);
/* Copies what it needs. 0 and *ret (may be NULL), or -EAGAIN (queue full), -EINVAL, -ENOMEM. */
int http_client_call(struct http_client *client, const struct http_call_init *init,
		     struct http_call **ret);
/* `done` is not called any more; a connection in use is closed. */
void http_call_cancel(struct http_call *call);
/* Calls that run or wait. */
size_t http_client_busy(const struct http_client *client);

#endif
