/* SPDX-License-Identifier: MIT */
/*
 * The signature of a CPaaS webhook: base64(HMAC-SHA1(token, URL + parameters)).
 *
 * The parameters are those of a form that was POSTed, sorted bytewise by name: each name, then each
 * of its distinct values, sorted, without anything between them. Other bodies are not in it; where
 * the query has bodySHA256 that must be the hex SHA-256 of the body. Since nobody agrees whether a
 * URL's default port belongs to it, both spellings are tried.
 */
#ifndef VOXBUS_ENGINES_WEBHOOK_SIGNATURE_H
#define VOXBUS_ENGINES_WEBHOOK_SIGNATURE_H

#include <stddef.h>

#include "base/str.h"
#include "codec/http.h"

enum { SIGNATURE_URL_MAX = 16384 };

struct signature_param {
	struct str name, value; /* decoded */
};

struct signature_input {
	struct str url;                 /* as the sender had it configured, query and all */
	struct signature_param *params; /* of a form, else NULL; they are sorted in place */
	size_t n_params;
	struct str body; /* for bodySHA256; not looked at for a form */
	bool is_form;
};

/*
 * The signature that the request shows: X-Twilio-Signature, X-Zang-Signature,
 * X-SignalWire-Signature, or else the first X-...-Signature with 28 characters of base64.
 * p = NULL: none.
 */
struct str signature_of(const struct http_header *headers, size_t n);
/*
 * 0: it is the token's over this input. -EACCES: it is not. -EBADMSG: it may be, but the body is
 * not the one that bodySHA256 says. -ENOMEM, -EINVAL (a URL over SIGNATURE_URL_MAX).
 * Comparing takes the same time wherever they differ.
 */
int signature_check(struct str token, struct str signature, const struct signature_input *input);

#endif
