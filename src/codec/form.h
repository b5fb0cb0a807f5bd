/* SPDX-License-Identifier: MIT */
/*
 * What URLs and forms are made of: percent-encoding and `name=value` pairs.
 *
 * Sources: RFC 3986 section 2.1; the URL standard's application/x-www-form-urlencoded parser.
 */
#ifndef VOXBUS_CODEC_FORM_H
#define VOXBUS_CODEC_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/*
 * Decodes into out, which has room for in.n bytes: how many were written, or -EBADMSG for a `%`
 * without two hex digits. `+` stays a plus.
 */
long url_decode(char *out, struct str in);
/* As forms are decoded: `+` is a space, and a stray `%` stays as it is. Returns the length. */
size_t form_decode(char *out, struct str in);

struct form_pair {
	struct str name, value; /* still encoded; value is empty when there was no `=` */
};

/* The next pair, empty ones skipped; *rest shrinks. False at the end. */
bool form_next(struct str *rest, struct form_pair *ret);
/*
 * The same, decoded on the way: name and value lie from *out on, which has room for rest->n bytes and
 * moves behind them.
 */
bool form_next_decoded(struct str *rest, char **out, struct form_pair *ret);
/* The pair's decoded name is `name`. */
bool form_name_is(const struct form_pair *pair, struct str name);
/*
 * The first value of that name, decoded into out: true and *ret, or false when there is no such
 * name, or no room for its value (*ret then has p = NULL).
 */
bool form_find(struct str form, struct str name, char *out, size_t size, struct str *ret);

#endif
