/* SPDX-License-Identifier: MIT */
/*
 * Certificates for the tests of TLS, made when they run: a directory of their own under /tmp, in it
 * NAME.crt and NAME.key for each that a test asks for.
 */
#ifndef VOXBUS_TESTS_TLS_TEST_H
#define VOXBUS_TESTS_TLS_TEST_H

#include "net_test.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "net/tls.h"

enum { PEM_HOUR = 3600, PEM_DAY = 86400 };

struct pem {
	const char *name;   /* of the files */
	const char *issuer; /* the name of a former one; NULL: signs itself */
	const char *hosts;  /* subjectAltName: "DNS:localhost,IP:127.0.0.1"; NULL: none */
	bool ca;
	long from_s, to_s; /* from now; both 0: an hour ago, in 100 days */
	int rsa_bits;      /* 0: ECDSA P-256 */
};

struct pems {
	char dir[64];
};

static inline const char *pem_path(const struct pems *p, const char *name, const char *end)
{
	static char paths[8][128];
	static size_t at;
	char *path = paths[at++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s%s", p->dir, name, end);
	return path;
}

static inline FILE *pem_open(const struct pems *p, const char *name, const char *end,
			     const char *mode)
{
	FILE *f = fopen(pem_path(p, name, end), mode);

	assert_non_null(f);
	return f;
}

static inline EVP_PKEY *pem_read_key(const struct pems *p, const char *name)
{
	FILE *f = pem_open(p, name, ".key", "r");
	EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);

	(void)fclose(f);
	assert_non_null(key);
	return key;
}

static inline X509 *pem_read_cert(const struct pems *p, const char *name)
{
	FILE *f = pem_open(p, name, ".crt", "r");
	X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);

	(void)fclose(f);
	assert_non_null(cert);
	return cert;
}

static inline void pem_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(cert, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static inline void pem_write(const struct pems *p, const char *name, X509 *cert, EVP_PKEY *key)
{
	FILE *f = pem_open(p, name, ".crt", "w");

	assert_int_equal(PEM_write_X509(f, cert), 1);
	(void)fclose(f);
	f = pem_open(p, name, ".key", "w");
	assert_int_equal(fchmod(fileno(f), 0600), 0);
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	(void)fclose(f);
}

/* Makes NAME.crt and NAME.key, in the place of former ones of that name. */
static inline void pem_make_now(const struct pems *p, const struct pem *pem)
{
	static long serial = 1;
	EVP_PKEY *key =
		pem->rsa_bits ? EVP_RSA_gen((unsigned int)pem->rsa_bits) : EVP_EC_gen("P-256");
	EVP_PKEY *signer = pem->issuer ? pem_read_key(p, pem->issuer) : key;
	X509 *cert = X509_new(), *issuer = pem->issuer ? pem_read_cert(p, pem->issuer) : cert;
	bool usual = pem->from_s == 0 && pem->to_s == 0;
	X509_NAME *name;

	assert_non_null(key);
	assert_non_null(cert);
	name = X509_get_subject_name(cert);
	assert_int_equal(X509_set_version(cert, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++), 1);
	assert_non_null(
		X509_gmtime_adj(X509_getm_notBefore(cert), usual ? -PEM_HOUR : pem->from_s));
	assert_non_null(
		X509_gmtime_adj(X509_getm_notAfter(cert), usual ? 100L * PEM_DAY : pem->to_s));
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
						    (const unsigned char *)pem->name, -1, -1, 0),
			 1);
	assert_int_equal(X509_set_issuer_name(cert, X509_get_subject_name(issuer)), 1);
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	pem_extension(cert, issuer, NID_basic_constraints,
		      pem->ca ? "critical,CA:TRUE" : "CA:FALSE");
	if (pem->hosts)
		pem_extension(cert, issuer, NID_subject_alt_name, pem->hosts);
	assert_true(X509_sign(cert, signer, EVP_sha256()) > 0);
	pem_write(p, pem->name, cert, key);
	if (issuer != cert)
		X509_free(issuer);
	if (signer != key)
		EVP_PKEY_free(signer);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* The test's own: never out of memory. */
static inline void pem_make(const struct pems *p, const struct pem *pem)
{
	oom_pause();
	pem_make_now(p, pem);
	oom_resume();
}

#define PEM_HOSTS "DNS:localhost,IP:127.0.0.1,IP:::1"

/* "ca" and from it "server" (localhost) and "client". */
static inline void pems_setup(struct pems *p)
{
	const struct pem all[] = {
		{ "ca", .ca = true },
		{ "server", "ca", PEM_HOSTS },
		{ "client", "ca" },
	};

	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/voxbus-tls-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		pem_make(p, &all[i]);
}

static inline void pems_teardown(struct pems *p)
{
	DIR *dir = opendir(p->dir);
	const struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	(void)closedir(dir);
	assert_int_equal(rmdir(p->dir), 0);
}

/* Those of a program's tests, made and removed once: the fixtures of their group. */
static struct pems pems;

static inline int pems_begin(void **state)
{
	pems_setup(&pems);
	return 0;
}

static inline int pems_end(void **state)
{
	pems_teardown(&pems);
	return 0;
}

/* A server with the pair `name`; client_ca may be NULL. */
static inline struct tls_context *tls_test_server(struct loop *loop, const struct pems *p,
						  const char *name, const char *client_ca)
{
	struct tls_server_options options = {
		.certificate = pem_path(p, name, ".crt"),
		.key = pem_path(p, name, ".key"),
		.client_ca = client_ca ? pem_path(p, client_ca, ".crt") : NULL,
	};
	struct tls_context *context = NULL;
	struct err e = { "" };

	if (tls_server_create(loop, &options, NULL, &context, &e) < 0)
		fail_msg("%s", e.text);
	return context;
}

/* A client that believes `ca` and shows the pair `name`, which may be NULL. */
static inline struct tls_context *tls_test_client(struct loop *loop, const struct pems *p,
						  const char *ca, const char *name)
{
	struct tls_client_options options = {
		.ca = pem_path(p, ca, ".crt"),
		.certificate = name ? pem_path(p, name, ".crt") : NULL,
		.key = name ? pem_path(p, name, ".key") : NULL,
	};
	struct tls_context *context = NULL;
	struct err e = { "" };

	if (tls_client_create(loop, &options, NULL, &context, &e) < 0)
		fail_msg("%s", e.text);
	return context;
}

#endif
