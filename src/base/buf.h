/* SPDX-License-Identifier: MIT */
/*
 * A growing run of bytes with a maximum.
 *
 * It is born with its limit and never passes it: an append that would is refused whole with
 * -ENOBUFS and leaves the buffer as it was. Consuming from the front is cheap (an offset).
 */
#ifndef VOXBUS_BASE_BUF_H
#define VOXBUS_BASE_BUF_H

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
/* Room for n more bytes at the end: 0, -ENOBUFS (over max) or -ENOMEM. */
int buf_reserve(struct buf *b, size_t n);
/* After buf_reserve: where to write, and buf_grew tells how many bytes were written. */
char *buf_tail(struct buf *b);
void buf_grew(struct buf *b, size_t n);
/* All append whole or not at all: 0, -ENOBUFS or -ENOMEM. */
int buf_add(struct buf *b, struct str s);
int buf_addc(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vaddf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Drops n bytes from the front; n <= buf_len. Gives the memory back once a large one is empty. */
void buf_consume(struct buf *b, size_t n);

#define auto_buf __attribute__((cleanup(buf_fini)))

#endif
