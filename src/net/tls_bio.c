/* SPDX-License-Identifier: MIT */
/*
 * A socket as OpenSSL wants it: a BIO.
 *
 * OpenSSL has one for sockets. Ours differs where it matters to a daemon: writing to a peer that
 * has gone is no SIGPIPE, and the errno of a failure and the peer's FIN are kept where tls_link.c
 * finds them, whatever OpenSSL makes of them.
 */
#include <errno.h>
#include <openssl/bio.h>
#include <sys/socket.h>

#include "net/tls_internal.h"

static int failed(BIO *bio, struct tls *t, void (*retry)(BIO *bio))
{
	if (errno == EAGAIN)
		retry(bio);
	else
		t->io_error = errno;
	return -1;
}

static void retry_read(BIO *bio)
{
	BIO_set_retry_read(bio);
}

static void retry_write(BIO *bio)
{
	BIO_set_retry_write(bio);
}

static int bio_read(BIO *bio, char *p, int n)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t got;

	BIO_clear_retry_flags(bio);
	do {
		got = recv(t->fd, p, (size_t)n, 0);
	} while (got < 0 && errno == EINTR);
	if (got == 0)
		t->eof = true;
	return got < 0 ? failed(bio, t, retry_read) : (int)got;
}

static int bio_write(BIO *bio, const char *p, int n)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t put;

	BIO_clear_retry_flags(bio);
	do {
		put = send(t->fd, p, (size_t)n, MSG_NOSIGNAL);
	} while (put < 0 && errno == EINTR);
	return put < 0 ? failed(bio, t, retry_write) : (int)put;
}

static long bio_ctrl(BIO *bio, int what, long number, void *arg)
{
	const struct tls *t = BIO_get_data(bio);

	if (what == BIO_CTRL_EOF)
		return t->eof;
	return what == BIO_CTRL_FLUSH;
}

/* Made once for all threads; never freed, as OpenSSL's own. */
static BIO_METHOD *make_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "voxbus socket");

	if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
	    BIO_meth_set_ctrl(m, bio_ctrl))
		return m;
	BIO_meth_free(m);
	return NULL;
}

BIO *tls_bio_create(struct tls *t)
{
	static BIO_METHOD *method;
	BIO *bio;

	if (!method)
		method = make_method();
	bio = method ? BIO_new(method) : NULL;
	if (!bio)
		return NULL;
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	return bio;
}
