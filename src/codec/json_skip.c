/* SPDX-License-Identifier: MIT */
/*
 * Brackets counted sixteen bytes at a time.
 *
 * In a block the quotes say which bytes lie inside a string: the running exclusive-or of the quote
 * bits, carried on from block to block. Only the brackets outside strings are looked at one by one.
 * A block with a backslash is rare and is walked byte by byte, as are the last bytes; without SSE2
 * everything is.
 */
#include "codec/json_skip.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BLOCK = 16 };

struct walk {
	unsigned depth;
	bool string, escape;
};

/* Returns what is behind the closing bracket, or NULL: not in these bytes. */
static const char *walk_bytes(struct walk *w, const char *p, const char *end)
{
	for (; p < end; p++) {
		char c = *p;

		if (w->escape)
			w->escape = false;
		else if (w->string && c == '\\')
			w->escape = true;
		else if (c == '"')
			w->string = !w->string;
		else if (!w->string && (c == '{' || c == '['))
			w->depth++;
		else if (!w->string && (c == '}' || c == ']') && --w->depth == 0)
			return p + 1;
	}
	return NULL;
}

#ifdef __SSE2__
static inline unsigned bytes_equal(__m128i block, char c)
{
	return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8(c)));
}

/* What is outside strings, bracket by bracket. Returns what is behind the last one, or NULL. */
static inline const char *walk_brackets(struct walk *w, const char *p, unsigned opens,
					unsigned closes)
{
	for (unsigned all = opens | closes; all; all &= all - 1) {
		unsigned lowest = all & -all;

		if (opens & lowest)
			w->depth++;
		else if (--w->depth == 0)
			return p + __builtin_ctz(lowest) + 1;
	}
	return NULL;
}

static inline const char *walk_block(struct walk *w, const char *p)
{
	__m128i block = _mm_loadu_si128((const __m128i *)p);
	/* '{' and '[' differ in bit 5 alone, and so do '}' and ']'. */
	__m128i folded = _mm_or_si128(block, _mm_set1_epi8(0x20));
	unsigned inside = bytes_equal(block, '"');
	bool flips;

	if (w->escape || bytes_equal(block, '\\'))
		return walk_bytes(w, p, p + BLOCK);
	inside ^= inside << 1;
	inside ^= inside << 2;
	inside ^= inside << 4;
	inside ^= inside << 8;
	flips = inside & 0x8000;
	if (w->string)
		inside = ~inside;
	w->string ^= flips;
	return walk_brackets(w, p, bytes_equal(folded, '{') & ~inside,
			     bytes_equal(folded, '}') & ~inside);
}
#endif

const char *json_skip_container(const char *p, const char *end)
{
	struct walk w = { .depth = 1 };

	p++;
#ifdef __SSE2__
	while (end - p >= BLOCK) {
		const char *behind = walk_block(&w, p);

		if (behind)
			return behind;
		p += BLOCK;
	}
#endif
	return walk_bytes(&w, p, end);
}
