/* SPDX-License-Identifier: MIT */
/*
 * Percent-decoding and form pairs, each in one pass, into memory of the caller.
 *
 * Two kinds of strictness live here on purpose: a path names a thing, so that a malformed one is
 * refused; a form was filled in by somebody else's software, so that what is malformed is text.
 */
#include "codec/form.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>

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
	size_t n = str_find(in, '%');

	if (n)
		memcpy(out, in.p, n);
	for (size_t i = n; i < in.n; i++) {
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

/* The bytes of a word of eight that are c have their highest bit set; others before the first may not. */
static uint64_t bytes_that_are(uint64_t word, unsigned char c)
{
	uint64_t x = word ^ (UINT64_C(0x0101010101010101) * c);

	return (x - UINT64_C(0x0101010101010101)) & ~x & UINT64_C(0x8080808080808080);
}

/* Copies what stands for itself, eight bytes at a time: how many. out has room for all of in. */
static size_t copy_plain(char *out, struct str in)
{
	size_t n = 0;
	uint64_t word;

	for (; in.n - n >= sizeof(word); n += sizeof(word)) {
		memcpy(&word, in.p + n, sizeof(word));
		if (bytes_that_are(word, '%') | bytes_that_are(word, '+'))
			break;
		memcpy(out + n, &word, sizeof(word));
	}
	for (; n < in.n && in.p[n] != '%' && in.p[n] != '+'; n++)
		out[n] = in.p[n];
	return n;
}

size_t form_decode(char *out, struct str in)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n;) {
		size_t plain = copy_plain(out + n, str_skip(in, i));

		i += plain;
		n += plain;
		if (i < in.n)
			out[n++] = form_byte(in, &i);
	}
	return n;
}

/* Names and values are short: one walk to the pair's end costs less than two searches. */
static struct form_pair split(struct str rest, size_t *ret_n)
{
	size_t n = 0, equals;

	while (n < rest.n && rest.p[n] != '&' && rest.p[n] != '=')
		n++;
	equals = n;
	if (n < rest.n && rest.p[n] == '=')
		n += 1 + str_find(str_skip(rest, n + 1), '&');
	*ret_n = n;
	return (struct form_pair){ str_make(rest.p, equals),
				   n > equals ? str_make(rest.p + equals + 1, n - equals - 1)
					      : str_make(NULL, 0) };
}

bool form_next(struct str *rest, struct form_pair *ret)
{
	while (rest->n > 0) {
		size_t n;

		*ret = split(*rest, &n);
		*rest = n < rest->n ? str_skip(*rest, n + 1) : str_make(NULL, 0);
		if (n)
			return true;
	}
	return false;
}

static const bool marks[256] = { ['&'] = true, ['='] = true, ['%'] = true, ['+'] = true };

/* One pair, and how many bytes of rest it took, without the & behind it. */
static size_t decode_pair(struct str rest, char **out, struct form_pair *ret)
{
	char *to = *out, *begin = to;
	bool valued = false;
	size_t i = 0;

	assert(rest.p);
	*ret = (struct form_pair){ .name = { begin, 0 } };
	while (i < rest.n && rest.p[i] != '&') {
		char c = rest.p[i];

		if (!marks[(unsigned char)c]) {
			*to++ = c;
			i++;
		} else if (c == '=' && !valued) {
			valued = true;
			ret->name.n = (size_t)(to - begin);
			ret->value.p = to;
			i++;
		} else {
			*to++ = form_byte(rest, &i);
		}
	}
	if (valued)
		ret->value.n = (size_t)(to - ret->value.p);
	else
		ret->name.n = (size_t)(to - begin);
	*out = to;
	return i;
}

bool form_next_decoded(struct str *rest, char **out, struct form_pair *ret)
{
	while (rest->n > 0) {
		size_t n = decode_pair(*rest, out, ret);

		*rest = n < rest->n ? str_skip(*rest, n + 1) : str_make(NULL, 0);
		if (n)
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
