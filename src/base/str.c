/* SPDX-License-Identifier: MIT */
/*
 * Comparing, cutting and reading borrowed bytes.
 *
 * Nothing here allocates except str_dup, and nothing trusts its input: numbers are checked for
 * overflow before they are added up. The hash is SipHash-1-3 (Aumasson and Bernstein), because
 * keys of our tables come from the network and a weak hash would let a peer make them slow.
 */
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "base/rand.h"

enum { MS_PER_DAY = 86400000 };
#define DURATION_MAX_MS (UINT64_C(36525) * MS_PER_DAY)

static unsigned char lower(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? u + 32 : u;
}

bool str_same_nocase(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_make(s.p, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq(str_skip(s, s.n - suffix.n), suffix);
}

int str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

size_t str_find(struct str s, char c)
{
	const char *p = s.n ? memchr(s.p, c, s.n) : NULL;

	return p ? (size_t)(p - s.p) : s.n;
}

size_t str_find_str(struct str s, struct str needle)
{
	const char *p;

	if (!needle.n)
		return 0;
	p = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return p ? (size_t)(p - s.p) : s.n;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.n && is_space(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct str str_cut(struct str *rest, char sep)
{
	size_t at = str_find(*rest, sep);
	struct str head = str_make(rest->p, at);

	*rest = at < rest->n ? str_make(rest->p + at + 1, rest->n - at - 1) : str_make(NULL, 0);
	return head;
}

int str_u64(struct str s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!s.n)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned char)s.p[i] - '0';

		if (d > 9)
			return -EINVAL;
		if (v > (UINT64_MAX - d) / 10)
			return -ERANGE;
		v = v * 10 + d;
	}
	*ret = v;
	return 0;
}

char *str_dup(struct str s)
{
	char *c = malloc(s.n + 1);

	if (!c)
		return NULL;
	if (s.n)
		memcpy(c, s.p, s.n);
	c[s.n] = '\0';
	return c;
}

static uint64_t unit_ms(struct str unit)
{
	static const struct {
		struct str name;
		uint64_t ms;
	} units[] = {
		{ STR_INIT("ms"), 1 },      { STR_INIT("s"), 1000 },       { STR_INIT("m"), 60000 },
		{ STR_INIT("h"), 3600000 }, { STR_INIT("d"), MS_PER_DAY },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (str_eq(unit, units[i].name))
			return units[i].ms;
	return 0;
}

static size_t span(struct str s, bool digits)
{
	size_t i = 0;

	while (i < s.n && (s.p[i] >= '0' && s.p[i] <= '9') == digits)
		i++;
	return i;
}

int str_duration_ms(struct str s, uint64_t *ret_ms)
{
	uint64_t total = 0, v;

	if (!s.n)
		return -EINVAL;
	if (span(s, true) == s.n) {
		int rc = str_u64(s, &v);

		if (rc < 0 || v > DURATION_MAX_MS / 1000)
			return rc < 0 ? rc : -ERANGE;
		*ret_ms = v * 1000;
		return 0;
	}
	while (s.n) {
		size_t digits = span(s, true), letters = span(str_skip(s, digits), false);
		uint64_t ms = unit_ms(str_make(s.p + digits, letters));
		int rc = str_u64(str_make(s.p, digits), &v);

		if (rc < 0 || !ms)
			return rc < 0 ? rc : -EINVAL;
		if (v > DURATION_MAX_MS / ms || v * ms > DURATION_MAX_MS - total)
			return -ERANGE;
		total += v * ms;
		s = str_skip(s, digits + letters);
	}
	*ret_ms = total;
	return 0;
}

static inline uint64_t rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

uint64_t str_hash(struct str s)
{
	static uint64_t key[2];
	static bool keyed;
	uint64_t v[4], m;
	size_t i;

	if (!keyed) {
		rand_bytes(key, sizeof(key));
		keyed = true;
	}
	v[0] = key[0] ^ UINT64_C(0x736f6d6570736575);
	v[1] = key[1] ^ UINT64_C(0x646f72616e646f6d);
	v[2] = key[0] ^ UINT64_C(0x6c7967656e657261);
	v[3] = key[1] ^ UINT64_C(0x7465646279746573);
	for (i = 0; i + 8 <= s.n; i += 8) {
		memcpy(&m, s.p + i, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	m = (uint64_t)s.n << 56;
	for (int shift = 0; i < s.n; i++, shift += 8)
		m |= (uint64_t)(unsigned char)s.p[i] << shift;
	v[3] ^= m;
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	for (int r = 0; r < 3; r++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* How many continuation bytes follow the lead byte c, and the range of the first; -1: no lead. */
static int utf8_lead(unsigned char c, unsigned char *lo, unsigned char *hi)
{
	*lo = 0x80;
	*hi = 0xbf;
	if (c < 0x80)
		return 0;
	if (c >= 0xc2 && c <= 0xdf)
		return 1;
	if (c >= 0xe0 && c <= 0xef) {
		if (c == 0xe0)
			*lo = 0xa0;
		if (c == 0xed)
			*hi = 0x9f;
		return 2;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		if (c == 0xf0)
			*lo = 0x90;
		if (c == 0xf4)
			*hi = 0x8f;
		return 3;
	}
	return -1;
}

/* From i on: the first byte that is not ASCII, eight at a time. */
static size_t skip_ascii(struct str s, size_t i)
{
	for (uint64_t w; s.n - i >= sizeof(w); i += sizeof(w)) {
		memcpy(&w, s.p + i, sizeof(w));
		if (w & UINT64_C(0x8080808080808080))
			break;
	}
	while (i < s.n && (unsigned char)s.p[i] < 0x80)
		i++;
	return i;
}

bool str_is_utf8(struct str s)
{
	for (size_t i = skip_ascii(s, 0); i < s.n; i = skip_ascii(s, i)) {
		unsigned char lo, hi;
		int more = utf8_lead((unsigned char)s.p[i++], &lo, &hi);

		if (more < 0 || (size_t)more > s.n - i)
			return false;
		for (; more > 0; more--, i++) {
			unsigned char c = (unsigned char)s.p[i];

			if (c < lo || c > hi)
				return false;
			lo = 0x80;
			hi = 0xbf;
		}
	}
	return true;
}
