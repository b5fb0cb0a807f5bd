/* SPDX-License-Identifier: MIT */
/*
 * What TLS connections of one kind share: whose certificate is shown, whom we believe, which
 * sessions can be taken up again.
 *
 * A context is given to conn_connect or to a listener (conn.h, struct conn_options) and does the
 * rest there: TLS 1.2 and 1.3, OpenSSL's ciphers at security level 2 (112 bits: RSA from 2048),
 * no renegotiation, no compression. Server and client alike look every TLS_LOOK_MS whether their
 * files have changed and take the new ones for new connections; tls_context_reload does so at once.
 * A context is counted: connections hold it, so its owner may let go at any time.
 */
#ifndef VOXBUS_NET_TLS_H
#define VOXBUS_NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "loop/loop.h"

enum { TLS_LOOK_MS = 60000, TLS_WARN_DAYS = 14 };

struct tls_context;

/* Paths of PEM files, copied. */
struct tls_server_options {
	const char *certificate; /* ours first, then those between it and the root */
	const char *key;         /* without a passphrase */
	const char *client_ca;   /* NULL: clients need no certificate, else one signed by these */
};

struct tls_client_options {
	const char *ca;          /* whom we believe; NULL: the system's store */
	const char *certificate; /* shown to servers that ask; NULL: none */
	const char *key;         /* goes with certificate */
	const char *server_name; /* asked for and checked; NULL: the host that is dialled */
	bool verify_off;         /* believes everybody: only for tests and closed networks */
};

/* The certificate that is shown. */
struct tls_certificate {
	bool known;         /* false: a client without one */
	int64_t not_before; /* seconds since 1970 */
	int64_t not_after;
	bool key_exposed; /* everybody on this machine may read the key */
	char subject[128];
};

struct tls_stats {
	uint64_t handshakes; /* that came to their end, resumed ones included */
	uint64_t resumed;
	uint64_t failed; /* refused, timed out, not TLS */
	uint64_t reloads, reload_failures;
};

/*
 * Reads the files: 0, or a sentence that names the file, what is wrong and what to do: -ENOENT,
 * -EACCES and the like, -EBADMSG (not PEM, a passphrase), -EINVAL (key and certificate differ, a
 * key that is too weak), -ENOMEM. An expired certificate is taken (tls_certificate_problem tells).
 * log may be NULL; loop NULL: for checking only, the files are never looked at again.
 */
int tls_server_create(struct loop *loop, const struct tls_server_options *options,
		      const struct log *log, struct tls_context **ret, struct err *e);
int tls_client_create(struct loop *loop, const struct tls_client_options *options,
		      const struct log *log, struct tls_context **ret, struct err *e);
/* NULL is fine. What watches the files ends here, connections that are open go on. */
struct tls_context *tls_context_destroy(struct tls_context *context);
/*
 * Reads the files anew on the thread pool, whether they have changed or not, and logs what came of it:
 * new connections get what is new; when it is broken, everything stays as it was.
 */
void tls_context_reload(struct tls_context *context);
/* The same for all contexts of this thread. */
void tls_reload_all(void);
void tls_context_certificate(const struct tls_context *context, struct tls_certificate *ret);
void tls_context_stats(const struct tls_context *context, struct tls_stats *ret);
/*
 * What a person should know about the certificate at this time (seconds since 1970): -EKEYEXPIRED
 * with a sentence (expired, or not valid yet), 1 with a sentence (it expires within TLS_WARN_DAYS,
 * or its key is open to everybody), or 0.
 */
int tls_certificate_problem(const struct tls_context *context, int64_t now_s, struct err *e);

#endif
