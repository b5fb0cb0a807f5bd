/* SPDX-License-Identifier: MIT */
/* Growth doubles, moves the content to the front first, and stops at the maximum. */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST = 256, KEEP_EMPTY = 65536 };

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_fini(struct buf *b)
{
	free(b->base);
	*b = (struct buf){ .max = b->max };
}

void buf_clear(struct buf *b)
{
	b->start = b->end = 0;
}

int buf_grow(struct buf *b, size_t n)
{
	size_t len = buf_len(b), cap = b->cap ? b->cap : FIRST;
	char *base;

	if (n > b->max || len > b->max - n)
		return -ENOBUFS;
	if (b->cap - b->end >= n && b->base)
		return 0;
	if (b->base && b->start) {
		memmove(b->base, b->base + b->start, len);
		b->start = 0;
		b->end = len;
		if (b->cap - b->end >= n)
			return 0;
	}
	while (cap < len + n)
		cap *= 2;
	base = realloc(b->base, cap);
	if (!base)
		return -ENOMEM;
	b->base = base;
	b->cap = cap;
	return 0;
}

int buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n, rc;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	rc = n < 0 ? -EINVAL : buf_reserve(b, (size_t)n + 1);
	if (rc == 0) {
		(void)vsnprintf(buf_tail(b), (size_t)n + 1, fmt, again);
		b->end += (size_t)n;
	}
	va_end(again);
	return rc;
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = buf_vaddf(b, fmt, ap);
	va_end(ap);
	return rc;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->start += n;
	if (b->start < b->end)
		return;
	if (b->cap > KEEP_EMPTY)
		buf_fini(b);
	else
		buf_clear(b);
}
