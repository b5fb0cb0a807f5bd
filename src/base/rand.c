/* SPDX-License-Identifier: MIT */
/* getrandom(2) behind a few shapes: bytes, a bounded number, hex, UUIDs. */
#include "base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void rand_bytes(void *p, size_t n)
{
	char *at = p;

	while (n) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno != EINTR)
			abort();
		if (got > 0) {
			at += got;
			n -= (size_t)got;
		}
	}
}

uint64_t rand_below(uint64_t below)
{
	uint64_t v;

	rand_bytes(&v, sizeof(v));
	return v % below;
}

static char *hex(char *out, const unsigned char *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
	return out;
}

void rand_hex(char *out, size_t n)
{
	while (n) {
		unsigned char b[32];
		size_t part = n < sizeof(b) ? n : sizeof(b);

		rand_bytes(b, part);
		out = hex(out, b, part);
		n -= part;
	}
	*out = '\0';
}

static void groups(char *out, const unsigned char b[16])
{
	static const unsigned char sizes[] = { 4, 2, 2, 2, 6 };

	for (size_t i = 0; i < sizeof(sizes); b += sizes[i++]) {
		if (i)
			*out++ = '-';
		out = hex(out, b, sizes[i]);
	}
}

void rand_dialog_id(char out[RAND_DIALOG_ID_SIZE])
{
	unsigned char b[16];

	rand_bytes(b, sizeof(b));
	groups(out, b);
}

void rand_uuid(char out[RAND_UUID_SIZE])
{
	unsigned char b[16];

	rand_bytes(b, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	groups(out, b);
}
