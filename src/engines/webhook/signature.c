/* SPDX-License-Identifier: MIT */
/*
 * Signatures of webhooks, by OpenSSL's HMAC.
 *
 * The parameters are fed to the HMAC one after the other, so that a large form is not copied. The
 * URL comes first and differs between the two spellings; so all is fed twice, if need be.
 */
#include "engines/webhook/signature.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#include "base/buf.h"
#include "codec/base64.h"
#include "codec/form.h"

enum { SHA1_BASE64 = 28, SHA256_HEX = 2 * SHA256_DIGEST_LENGTH };

static bool is_base64(struct str s)
{
	char bytes[SHA1_BASE64 / 4 * 3 + 3];

	return s.n == SHA1_BASE64 && base64_decode(bytes, s) == SHA_DIGEST_LENGTH;
}

static bool ends_nocase(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq_nocase(str_skip(s, s.n - suffix.n), suffix);
}

struct str signature_of(const struct http_header *headers, size_t n)
{
	static const struct str known[] = { STR_INIT("X-Twilio-Signature"),
					    STR_INIT("X-Zang-Signature"),
					    STR_INIT("X-SignalWire-Signature") };

	for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
		for (size_t i = 0; i < n; i++)
			if (str_eq_nocase(headers[i].name, known[k]))
				return str_trim(headers[i].value);
	for (size_t i = 0; i < n; i++) {
		struct str prefix =
			str_make(headers[i].name.p, headers[i].name.n < 2 ? headers[i].name.n : 2);

		if (str_eq_nocase(prefix, STR("X-")) &&
		    ends_nocase(headers[i].name, STR("-Signature")) &&
		    is_base64(str_trim(headers[i].value)))
			return str_trim(headers[i].value);
	}
	return str_make(NULL, 0);
}

static int param_cmp(const void *a, const void *b)
{
	const struct signature_param *pa = a, *pb = b;
	int order = str_cmp(pa->name, pb->name);

	return order ? order : str_cmp(pa->value, pb->value);
}

static bool feed(EVP_MAC_CTX *mac, struct str s)
{
	return s.n == 0 || EVP_MAC_update(mac, (const unsigned char *)s.p, s.n) == 1;
}

/* A name once, its values each once. */
static bool feed_params(EVP_MAC_CTX *mac, const struct signature_input *in)
{
	for (size_t i = 0; i < in->n_params; i++) {
		const struct signature_param *p = &in->params[i];
		bool same = i > 0 && str_eq(p[-1].name, p->name);

		if (same && str_eq(p[-1].value, p->value))
			continue;
		if ((!same && !feed(mac, p->name)) || !feed(mac, p->value))
			return false;
	}
	return true;
}

static EVP_MAC_CTX *mac_begin(struct str token)
{
	char sha1[] = "SHA1";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha1, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;

	EVP_MAC_free(hmac);
	if (mac && EVP_MAC_init(mac, (const unsigned char *)token.p, token.n, params) == 1)
		return mac;
	EVP_MAC_CTX_free(mac);
	return NULL;
}

/* 0, -EACCES, -ENOMEM. */
static int check_url(struct str token, struct str signature, struct str url,
		     const struct signature_input *in)
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	auto_buf struct buf wanted = { .max = SHA1_BASE64 };
	EVP_MAC_CTX *mac = mac_begin(token);
	size_t n = 0;

	bool ok = mac && feed(mac, url) && feed_params(mac, in) &&
		  EVP_MAC_final(mac, digest, &n, sizeof(digest)) == 1;
	EVP_MAC_CTX_free(mac);
	if (!ok || base64_add(&wanted, str_make((const char *)digest, n)) < 0)
		return -ENOMEM;
	struct str text = buf_str(&wanted);
	bool right = signature.n == text.n && CRYPTO_memcmp(signature.p, text.p, text.n) == 0;
	return right ? 0 : -EACCES;
}

/* The same URL with its port left out, or with the default one if it has none. */
static int other_spelling(struct str url, struct buf *ret)
{
	bool tls = str_starts(url, STR("https:"));
	size_t at = str_find_str(url, STR("://"));
	size_t begin = at < url.n ? at + 3 : 0;
	struct str rest = str_skip(url, begin);
	struct str authority = str_make(rest.p, str_find(rest, '/'));
	/* An IPv6 address has colons of its own. */
	size_t host = str_find(authority, ']');
	host = host < authority.n ? host + 1 : 0;
	size_t colon = host + str_find(str_skip(authority, host), ':');

	int rc = buf_add(ret, str_make(url.p, begin + colon));
	if (rc == 0 && colon == authority.n)
		rc = buf_add(ret, tls ? STR(":443") : STR(":80"));
	return rc < 0 ? rc : buf_add(ret, str_skip(rest, authority.n));
}

static bool hex_is(struct str hex, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char text[SHA256_HEX];

	for (size_t i = 0; i < n; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	return str_eq_nocase(hex, str_make(text, 2 * n));
}

static int check_body(const struct signature_input *in)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	char text[SHA256_HEX];
	struct str query = in->url, hex;
	struct form_pair pair;

	(void)str_cut(&query, '?');
	for (struct str rest = query; form_next(&rest, &pair);) {
		if (!form_name_is(&pair, STR("bodySHA256")))
			continue;
		if (!form_find(query, STR("bodySHA256"), text, sizeof(text), &hex))
			return -EBADMSG;
		if (EVP_Digest(in->body.n ? in->body.p : "", in->body.n, digest, NULL, EVP_sha256(),
			       NULL) != 1)
			return -ENOMEM;
		return hex_is(hex, digest, sizeof(digest)) ? 0 : -EBADMSG;
	}
	return 0;
}

int signature_check(struct str token, struct str signature, const struct signature_input *in)
{
	auto_buf struct buf other = { .max = SIGNATURE_URL_MAX };

	if (in->url.n > SIGNATURE_URL_MAX - sizeof(":443"))
		return -EINVAL;
	if (in->n_params)
		qsort(in->params, in->n_params, sizeof(*in->params), param_cmp);
	int rc = check_url(token, signature, in->url, in);
	if (rc == -EACCES) {
		rc = other_spelling(in->url, &other);
		if (rc == 0)
			rc = check_url(token, signature, buf_str(&other), in);
	}
	return rc < 0 || in->is_form ? rc : check_body(in);
}
