/* SPDX-License-Identifier: MIT */
/*
 * PEM files to an SSL_CTX.
 *
 * Each step says for itself which file is wrong and what to do: OpenSSL's own words ("no start
 * line") name neither. It runs on the thread pool, too, when files have changed: it touches
 * nothing but what it is given.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "net/tls_internal.h"

/* Whether it can be read at all, which OpenSSL would not tell in words. */
static int check_readable(const char *what, const char *path, struct err *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = fd < 0 ? -errno : 0;
	const char *todo =
		rc == -EACCES ? "let the user of voxbusd read it" : "give the path of a PEM file";

	if (rc == 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		rc = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (fd >= 0)
		(void)close(fd);
	return rc < 0 ? err_set(e, rc, "%s %s can't be read: %s: %s", what, path, strerror(-rc),
				todo)
		      : 0;
}

/* What OpenSSL says, for sentences that have no better words. */
static const char *openssl_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason ? reason : "out of memory";
}

static bool is_code(unsigned long code, int library, int reason)
{
	return ERR_GET_LIB(code) == library && ERR_GET_REASON(code) == reason;
}

/* The cause is what was queued first or last, as it comes. */
static bool failed_for(int library, int reason)
{
	return is_code(ERR_peek_error(), library, reason) ||
	       is_code(ERR_peek_last_error(), library, reason);
}

static int load_chain(SSL_CTX *ctx, const char *path, struct err *e)
{
	int rc = check_readable("certificate", path, e);

	if (rc < 0)
		return rc;
	if (SSL_CTX_use_certificate_chain_file(ctx, path) == 1)
		return 0;
	if (failed_for(ERR_LIB_PEM, PEM_R_NO_START_LINE))
		return err_set(e, -EBADMSG,
			       "certificate %s holds no certificate: it must be in PEM form, "
			       "-----BEGIN CERTIFICATE-----",
			       path);
	if (failed_for(ERR_LIB_SSL, SSL_R_EE_KEY_TOO_SMALL) ||
	    failed_for(ERR_LIB_SSL, SSL_R_CA_KEY_TOO_SMALL) ||
	    failed_for(ERR_LIB_SSL, SSL_R_CA_MD_TOO_WEAK))
		return err_set(e, -EINVAL,
			       "certificate %s is too weak (%s): have one made with RSA of 2048 "
			       "bits or more, or ECDSA, signed with SHA-256",
			       path, openssl_reason());
	return err_set(e, -EBADMSG, "certificate %s is damaged (%s): get it anew", path,
		       openssl_reason());
}

/* A passphrase would have to stand beside the key: no gain. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	*(bool *)arg = true;
	return -1;
}

static int load_key(SSL_CTX *ctx, const struct tls_paths *paths, struct err *e)
{
	const char *path = paths->key;
	bool asked = false;
	int rc = check_readable("key", path, e);

	if (rc < 0)
		return rc;
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, &asked);
	rc = SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
	if (rc == 1 && SSL_CTX_check_private_key(ctx) == 1)
		return 0;
	if (asked)
		return err_set(e, -EBADMSG,
			       "key %s has a passphrase: write it without one (openssl pkey) and "
			       "let only the user of voxbusd read it",
			       path);
	if (rc == 1 || failed_for(ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH) ||
	    failed_for(ERR_LIB_X509, X509_R_KEY_TYPE_MISMATCH))
		return err_set(e, -EINVAL,
			       "key %s does not belong to certificate %s: give the two that were "
			       "made together",
			       path, paths->certificate);
	return err_set(e, -EBADMSG,
		       "key %s holds no private key in PEM form (%s): it must have "
		       "-----BEGIN PRIVATE KEY----- or the like",
		       path, openssl_reason());
}

/* Whom we believe, and for a server the names that it tells its clients. */
static int load_ca(SSL_CTX *ctx, const struct tls_paths *paths, struct err *e)
{
	const char *what = paths->server ? "client_ca" : "ca";
	STACK_OF(X509_NAME) * names;
	int rc = check_readable(what, paths->ca, e);

	if (rc < 0)
		return rc;
	if (SSL_CTX_load_verify_file(ctx, paths->ca) != 1)
		return err_set(e, -EBADMSG,
			       "%s %s holds no certificate (%s): it must be in PEM form, "
			       "-----BEGIN CERTIFICATE-----",
			       what, paths->ca, openssl_reason());
	if (!paths->server)
		return 0;
	names = SSL_load_client_CA_file(paths->ca);
	if (!names)
		return err_set(e, -ENOMEM, "out of memory");
	SSL_CTX_set_client_CA_list(ctx, names);
	return 0;
}

static int set_verify(SSL_CTX *ctx, const struct tls_paths *paths, struct err *e)
{
	int mode = SSL_VERIFY_NONE;

	if (paths->verify)
		mode = SSL_VERIFY_PEER | (paths->server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
	SSL_CTX_set_verify(ctx, mode, NULL);
	if (paths->ca)
		return load_ca(ctx, paths, e);
	if (paths->verify && SSL_CTX_set_default_verify_paths(ctx) != 1)
		return err_set(e, -ENOMEM, "the system's store of certificates can't be used: %s",
			       openssl_reason());
	return 0;
}

static int set_rules(SSL_CTX *ctx, bool server)
{
	static const unsigned char id[] = "voxbus";

	SSL_CTX_set_security_level(ctx, 2);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Server: tickets alone, nothing kept. Client: tls.c keeps what it is given. */
	(void)SSL_CTX_set_session_cache_mode(ctx, server ? SSL_SESS_CACHE_OFF
							 : SSL_SESS_CACHE_CLIENT |
								   SSL_SESS_CACHE_NO_INTERNAL);
	if (server)
		(void)SSL_CTX_set_num_tickets(ctx, 1);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
			       SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1) == 1
		       ? 0
		       : -ENOMEM;
}

static int64_t seconds(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void describe(SSL_CTX *ctx, const struct tls_paths *paths, struct tls_certificate *ret)
{
	const X509 *x = SSL_CTX_get0_certificate(ctx);
	struct stat st;

	*ret = (struct tls_certificate){ .known = x != NULL };
	if (!x)
		return;
	ret->not_before = seconds(X509_get0_notBefore(x));
	ret->not_after = seconds(X509_get0_notAfter(x));
	ret->key_exposed = paths->key && stat(paths->key, &st) == 0 && (st.st_mode & 0004);
	(void)X509_NAME_oneline(X509_get_subject_name(x), ret->subject, sizeof(ret->subject));
}

int tls_files_load(const struct tls_paths *paths, SSL_CTX **ret,
		   struct tls_certificate *ret_certificate, struct err *e)
{
	SSL_CTX *ctx;
	int rc = -ENOMEM;

	ERR_clear_error();
	ctx = SSL_CTX_new(paths->server ? TLS_server_method() : TLS_client_method());
	if (ctx)
		rc = set_rules(ctx, paths->server);
	if (rc < 0)
		rc = err_set(e, rc, "TLS can't be set up: %s", openssl_reason());
	if (rc == 0 && paths->certificate)
		rc = load_chain(ctx, paths->certificate, e);
	if (rc == 0 && paths->key)
		rc = load_key(ctx, paths, e);
	if (rc == 0)
		rc = set_verify(ctx, paths, e);
	ERR_clear_error();
	if (rc < 0) {
		SSL_CTX_free(ctx);
		return rc;
	}
	describe(ctx, paths, ret_certificate);
	*ret = ctx;
	return 0;
}

void tls_files_stamp(const struct tls_paths *paths, struct tls_stamp ret[3])
{
	const char *all[3] = { paths->certificate, paths->key, paths->ca };

	memset(ret, 0, 3 * sizeof(*ret));
	for (size_t i = 0; i < 3; i++) {
		struct stat st;

		if (all[i] && stat(all[i], &st) == 0)
			ret[i] = (struct tls_stamp){ st.st_dev, st.st_ino, st.st_size, st.st_mtim };
	}
}
