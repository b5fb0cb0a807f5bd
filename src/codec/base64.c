/* SPDX-License-Identifier: MIT */
/*
 * Base64 both ways. Decoding is strict, since it reads credentials: one text has one meaning, and
 * only the padding at the end, which some clients leave out, is not insisted on.
 */
#include "codec/base64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_add(struct buf *b, struct str bytes)
{
	size_t full = (bytes.n + 2) / 3 * 4;
	int rc = buf_reserve(b, full);

	if (rc < 0 || full == 0)
		return rc;
	char *out = buf_tail(b);
	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t left = bytes.n - i;
		unsigned v = (unsigned)(unsigned char)bytes.p[i] << 16;

		if (left > 1)
			v |= (unsigned)(unsigned char)bytes.p[i + 1] << 8;
		if (left > 2)
			v |= (unsigned char)bytes.p[i + 2];
		*out++ = alphabet[v >> 18];
		*out++ = alphabet[v >> 12 & 63];
		*out++ = left > 1 ? alphabet[v >> 6 & 63] : '=';
		*out++ = left > 2 ? alphabet[v & 63] : '=';
	}
	buf_grew(b, full);
	return 0;
}

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

long base64_decode(char *out, struct str text)
{
	size_t n = 0;
	unsigned v = 0;

	if (text.n % 4 == 0)
		for (int i = 0; i < 2 && text.n > 0 && text.p[text.n - 1] == '='; i++)
			text.n--;
	if (text.n % 4 == 1)
		return -EBADMSG;
	for (size_t i = 0; i < text.n; i++) {
		int d = digit(text.p[i]);

		if (d < 0)
			return -EBADMSG;
		v = (v << 6 | (unsigned)d) & 0xffffff;
		if (i % 4 == 1)
			out[n++] = (char)(v >> 4);
		else if (i % 4 == 2)
			out[n++] = (char)(v >> 2);
		else if (i % 4 == 3)
			out[n++] = (char)v;
	}
	if ((text.n % 4 == 2 && (v & 15)) || (text.n % 4 == 3 && (v & 3)))
		return -EBADMSG;
	return (long)n;
}
