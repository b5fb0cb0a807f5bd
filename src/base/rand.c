/* SPDX-License-Identifier: MIT */
/*
 * getrandom(2) behind a few shapes: bytes, a bounded number, hex, UUIDs.
 *
 * A message's id costs a copy instead of a system call: ids come out of a pool of each thread that is
 * filled for many. What has been drawn is wiped in it, so that nothing comes out twice and the past
 * can't be read there. voxbusd never forks and goes on in both processes (they would have the same pool).
 * Secrets are not taken from it: nobody is to find those of tomorrow in a memory dump.
 */
#include "base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { POOL = 1024 };

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

void rand_id_hex(char *out, size_t n)
{
	static _Thread_local struct {
		unsigned char bytes[POOL];
		size_t left;
	} pool;

	while (n) {
		if (pool.left == 0) {
			rand_bytes(pool.bytes, sizeof(pool.bytes));
			pool.left = sizeof(pool.bytes);
		}
		size_t part = n < pool.left ? n : pool.left;
		pool.left -= part;
		out = hex(out, pool.bytes + pool.left, part);
		explicit_bzero(pool.bytes + pool.left, part);
		n -= part;
	}
	*out = '\0';
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
