/* SPDX-License-Identifier: MIT */
/*
 * Percent-decoding and form pairs, each in one pass, into memory of the caller.
 *
 * Two kinds of strictness live here on purpose: a path names a thing, so that a malformed one is
 * refused; a form was filled in by somebody else's software, so that what is malformed is text.
 */
#include "codec/form.h"

#include <errno.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that the escape at in[i] stands for, or -1. */
static int escaped_byte(struct str in, size_t i)
{
	if (in.n - i < 3)
		return -1;
	int high = hex_digit(in.p[i + 1]), low = hex_digit(in.p[i + 2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

long url_decode(char *out, struct str in)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] != '%') {
			out[n++] = in.p[i];
			continue;
		}
		int byte = escaped_byte(in, i);
		if (byte < 0)
			return -EBADMSG;
		out[n++] = (char)byte;
		i += 2;
	}
	return (long)n;
}

/* Decodes the byte at in[*i] and moves *i behind it. */
static char form_byte(struct str in, size_t *i)
{
	char c = in.p[*i];
	int byte = c == '%' ? escaped_byte(in, *i) : -1;

	*i += byte >= 0 ? 3 : 1;
	if (byte >= 0)
		return (char)byte;
	return c == '+' ? ' ' : c;
}

size_t form_decode(char *out, struct str in)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n;) {
		char c = in.p[i];

		if (c == '%' || c == '+')
			c = form_byte(in, &i);
		else
			i++;
		out[n++] = c;
	}
	return n;
}

bool form_next(struct str *rest, struct form_pair *ret)
{
	while (rest->n > 0) {
		struct str pair = str_cut(rest, '&');

		if (pair.n == 0)
			continue;
		ret->name = str_cut(&pair, '=');
		ret->value = pair;
		return true;
	}
	return false;
}

bool form_name_is(const struct form_pair *pair, struct str name)
{
	size_t n = 0;

	for (size_t i = 0; i < pair->name.n; n++)
		if (n >= name.n || form_byte(pair->name, &i) != name.p[n])
			return false;
	return n == name.n;
}

bool form_find(struct str form, struct str name, char *out, size_t size, struct str *ret)
{
	struct form_pair pair;

	*ret = str_make(NULL, 0);
	while (form_next(&form, &pair)) {
		if (!form_name_is(&pair, name))
			continue;
		if (pair.value.n > size)
			return false;
		*ret = str_make(out, form_decode(out, pair.value));
		return true;
	}
	return false;
}
