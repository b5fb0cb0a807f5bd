/* SPDX-License-Identifier: MIT */
/*
 * A growing run of bytes with a maximum.
 *
 * It is born with its limit and never passes it: an append that would is refused whole with
 * -ENOBUFS and leaves the buffer as it was. Consuming from the front is cheap (an offset).
 */
#ifndef VOXBUS_BASE_BUF_H
#define VOXBUS_BASE_BUF_H

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>

#include "base/str.h"

struct buf {
	char *base;
	size_t start, end, cap, max;
};

/* No allocation yet. max is the most bytes it ever holds. */
void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *b);
/* The content, valid until the next change. */
static inline struct str buf_str(const struct buf *b)
{
	return str_make(b->base ? b->base + b->start : NULL, b->end - b->start);
}
static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}
/* What buf_reserve does when the room is not there yet. */
int buf_grow(struct buf *b, size_t n);
/* Room for n more bytes at the end: 0, -ENOBUFS (over max) or -ENOMEM. */
static inline int buf_reserve(struct buf *b, size_t n)
{
	return b->base && n <= b->cap - b->end && n <= b->max - buf_len(b) ? 0 : buf_grow(b, n);
}
/* After buf_reserve: where to write, and buf_grew tells how many bytes were written. */
static inline char *buf_tail(struct buf *b)
{
	return b->base + b->end;
}
static inline void buf_grew(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->end);
	b->end += n;
}
/* All append whole or not at all: 0, -ENOBUFS or -ENOMEM. */
static inline int buf_add(struct buf *b, struct str s)
{
	int rc = buf_reserve(b, s.n);

	if (rc == 0 && s.n) {
		assert(s.p);
		memcpy(buf_tail(b), s.p, s.n);
		b->end += s.n;
	}
	return rc;
}
static inline int buf_addc(struct buf *b, char c)
{
	return buf_add(b, str_make(&c, 1));
}
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vaddf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Drops n bytes from the front; n <= buf_len. Gives the memory back once a large one is empty. */
void buf_consume(struct buf *b, size_t n);

#define auto_buf __attribute__((cleanup(buf_fini)))

#endif
