/* SPDX-License-Identifier: MIT */
/*
 * TLS on one connection: bytes in and out of OpenSSL, straight from and to the socket.
 *
 * Reading asks OpenSSL for no less than a whole record's room, and OpenSSL reads no byte ahead of
 * a record: so nothing ever waits inside it that epoll does not know of, and with
 * SSL_MODE_RELEASE_BUFFERS an idle connection holds no record buffer.
 * Writing makes records of at most 16 KiB. One that the socket did not take whole is OpenSSL's;
 * its bytes still count as not taken, and are offered again in the same number (`offer`).
 * OpenSSL's error queue belongs to the thread: it is emptied before each call and read at once
 * after one that failed, so that no connection ever sees another's errors.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "net/tls_internal.h"

/* Parts are put together here: many small records would cost the peer more than the copy. */
static _Thread_local char record[TLS_RECORD_MAX];

static void set_why(struct tls *t, const char *text)
{
	free(t->why);
	t->why = text ? strdup(text) : NULL;
}

/* OpenSSL's reason, and for certificates what is wrong with them. */
static int protocol_failure(struct tls *t)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);
	long verdict = SSL_get_verify_result(t->ssl);
	char text[256];

	if (ERR_GET_REASON(code) != SSL_R_CERTIFICATE_VERIFY_FAILED) {
		set_why(t, reason ? reason : "the peer does not speak TLS as it should");
		return -EPROTO;
	}
	(void)snprintf(text, sizeof(text), "the certificate is not believed: %s",
		       X509_verify_cert_error_string(verdict));
	set_why(t, text);
	return -EKEYREJECTED;
}

/* What a call that gave rc <= 0 came to: 0 = the orderly end, -EAGAIN, or what broke. */
static int explain(struct tls *t, int rc)
{
	int kind = SSL_get_error(t->ssl, rc);

	if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	if (kind == SSL_ERROR_ZERO_RETURN)
		return 0;
	t->failed = true;
	/* What the peer said wrong comes before what became of our answer to it. */
	if (kind == SSL_ERROR_SSL && !t->eof)
		rc = protocol_failure(t);
	else if (t->io_error)
		rc = t->io_error == EPIPE ? -ECONNRESET : -t->io_error;
	else
		rc = t->eof ? -ECONNABORTED : -EPROTO;
	ERR_clear_error();
	return rc;
}

static void begin(struct tls *t)
{
	ERR_clear_error();
	t->io_error = 0;
}

/* Whom a client dials: asked for by name (names only, RFC 6066 section 3), and checked. */
static int set_name(struct tls *t, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, name))
		return 0;
	ERR_clear_error();
	if (!SSL_set_tlsext_host_name(t->ssl, name) || !SSL_set1_host(t->ssl, name))
		return -EINVAL;
	return 0;
}

static int set_client(struct tls *t, const char *name, const char *peer)
{
	const char *own = t->context->paths.server_name;
	char endpoint[512];
	SSL_SESSION *session;
	int rc = set_name(t, own ? own : name);

	if (rc < 0)
		return rc;
	(void)snprintf(endpoint, sizeof(endpoint), "%s@%s", own ? own : name, peer);
	t->endpoint = strdup(endpoint);
	if (!t->endpoint)
		return -ENOMEM;
	session = tls_context_session(t->context, endpoint);
	if (session)
		(void)SSL_set_session(t->ssl, session);
	SSL_set_connect_state(t->ssl);
	return 0;
}

int tls_create(struct tls_context *context, int fd, const char *name, const char *peer,
	       struct tls **ret)
{
	struct tls *t = calloc(1, sizeof(*t));
	BIO *bio;
	int rc = 0;

	if (!t)
		return -ENOMEM;
	ERR_clear_error();
	t->context = tls_context_ref(context);
	t->fd = fd;
	t->ssl = SSL_new(context->ssl);
	bio = t->ssl ? tls_bio_create(t) : NULL;
	if (!bio) {
		(void)tls_destroy(t, false);
		return -ENOMEM;
	}
	SSL_set_bio(t->ssl, bio, bio);
	(void)SSL_set_app_data(t->ssl, t);
	if (context->paths.server)
		SSL_set_accept_state(t->ssl);
	else
		rc = set_client(t, name, peer);
	if (rc < 0)
		(void)tls_destroy(t, false);
	else
		*ret = t;
	return rc;
}

struct tls *tls_destroy(struct tls *t, bool politely)
{
	if (!t)
		return NULL;
	if (politely && t->ssl && SSL_is_init_finished(t->ssl))
		(void)tls_say_goodbye(t);
	SSL_free(t->ssl);
	ERR_clear_error();
	free(t->endpoint);
	free(t->why);
	tls_context_unref(t->context);
	free(t);
	return NULL;
}

int tls_handshake(struct tls *t)
{
	int rc;

	begin(t);
	rc = SSL_do_handshake(t->ssl);
	if (rc == 1) {
		t->context->stats.handshakes++;
		t->context->stats.resumed += (uint64_t)SSL_session_reused(t->ssl);
		return 1;
	}
	rc = explain(t, rc);
	if (rc == -EAGAIN)
		return 0;
	if (rc == 0 || rc == -ECONNABORTED) {
		t->failed = true;
		set_why(t, "the peer closed before the handshake was done");
		return -ECONNRESET;
	}
	return rc;
}

bool tls_handshake_writes(const struct tls *t)
{
	return SSL_want_write(t->ssl);
}

ssize_t tls_read(struct tls *t, char *p, size_t n)
{
	size_t got = 0, piece;
	int rc;

	t->has_more = t->has_end;
	if (t->has_end)
		return t->end;
	begin(t);
	while (n - got >= TLS_RECORD_MAX) {
		rc = SSL_read_ex(t->ssl, p + got, n - got, &piece);
		if (rc <= 0) {
			rc = explain(t, rc);
			t->has_end = rc != -EAGAIN;
			t->has_more = t->has_end && got;
			t->end = rc;
			return got ? (ssize_t)got : rc;
		}
		got += piece;
	}
	t->has_more = true;
	return (ssize_t)got;
}

/* At most max bytes of the parts behind the first `skip`, in one piece. */
static struct str next_record(const struct iovec *iov, size_t n, size_t skip, size_t max)
{
	size_t i = 0, have = 0;

	while (i < n && skip >= iov[i].iov_len)
		skip -= iov[i++].iov_len;
	if (i == n)
		return str_make(NULL, 0);
	if (i + 1 == n || iov[i].iov_len - skip >= max) {
		have = iov[i].iov_len - skip;
		return str_make((char *)iov[i].iov_base + skip, have < max ? have : max);
	}
	for (; i < n && have < max; i++, skip = 0) {
		size_t piece = iov[i].iov_len - skip;

		piece = piece < max - have ? piece : max - have;
		if (piece)
			memcpy(record + have, (char *)iov[i].iov_base + skip, piece);
		have += piece;
	}
	return str_make(record, have);
}

ssize_t tls_write(struct tls *t, const struct iovec *iov, size_t n)
{
	size_t taken = 0, put;

	begin(t);
	for (;;) {
		struct str s = next_record(iov, n, taken, t->offer ? t->offer : TLS_RECORD_MAX);
		int rc;

		if (s.n == 0)
			return (ssize_t)taken;
		rc = SSL_write_ex(t->ssl, s.p, s.n, &put);
		if (rc > 0) {
			t->offer = 0;
			taken += put;
			continue;
		}
		rc = explain(t, rc);
		if (rc != -EAGAIN)
			return rc ? rc : -EPIPE;
		t->offer = s.n;
		return (ssize_t)taken;
	}
}

bool tls_say_goodbye(struct tls *t)
{
	int rc;

	t->saying_goodbye = false;
	/* Half a record is out: the peer is to see that the stream was cut. */
	if (t->failed || t->offer || t->said_goodbye)
		return true;
	begin(t);
	rc = SSL_shutdown(t->ssl);
	t->said_goodbye = rc >= 0;
	t->saying_goodbye = rc < 0 && SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_WRITE;
	ERR_clear_error();
	return !t->saying_goodbye;
}
