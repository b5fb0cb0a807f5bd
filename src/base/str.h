/* SPDX-License-Identifier: MIT */
/*
 * Bytes that somebody else owns: a pointer and a length, never a NUL.
 *
 * Everything that comes from outside travels as a `struct str`. It is passed by value, it borrows
 * its bytes, and it may contain any byte. Who wants to keep one copies it (str_dup) or takes a
 * reference to whatever owns the bytes.
 */
#ifndef VOXBUS_BASE_STR_H
#define VOXBUS_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t n;
};

/* A string literal as a str, usable in initialisers of automatic variables. */
#define STR(lit) ((struct str){ "" lit, sizeof(lit) - 1 })
/* The same for static initialisers. */
#define STR_INIT(lit)                   \
	{                               \
		"" lit, sizeof(lit) - 1 \
	}
/* printf("%.*s", STR_ARG(s)): lengths over INT_MAX never occur, every buffer has a maximum.
 * s is evaluated more than once. */
#define STR_ARG(s) (int)(s).n, (s).n ? (s).p : ""

static inline struct str str_make(const char *p, size_t n)
{
	return (struct str){ p, n };
}

/* Borrows a C string; NULL is the empty string. */
static inline struct str str_from(const char *c)
{
	return (struct str){ c, c ? strlen(c) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Behind the last byte. (In C, not even 0 may be added to NULL.) */
static inline const char *str_end(struct str s)
{
	return s.n ? s.p + s.n : s.p;
}

static inline struct str str_skip(struct str s, size_t n)
{
	return n >= s.n ? (struct str){ str_end(s), 0 } : (struct str){ s.p + n, s.n - n };
}

/* Of two of the same length. */
bool str_same_nocase(const char *a, const char *b, size_t n);
/* ASCII case is ignored; other bytes compare as they are. */
static inline bool str_eq_nocase(struct str a, struct str b)
{
	return a.n == b.n && str_same_nocase(a.p, b.p, a.n);
}
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* memcmp order, a prefix before what it is a prefix of: <0, 0, >0. */
int str_cmp(struct str a, struct str b);
/* Offset of the first c, or s.n when there is none. */
size_t str_find(struct str s, char c);
/* Offset of the first needle, or s.n when there is none; the empty needle is at 0. */
size_t str_find_str(struct str s, struct str needle);
/* Without spaces, tabs, CR and LF at both ends. */
struct str str_trim(struct str s);
/*
 * Cuts *rest at the first sep: returns what is before it and leaves in *rest what is after it.
 * Without a sep it returns everything and leaves *rest with p = NULL.
 */
struct str str_cut(struct str *rest, char sep);
/*
 * Decimal digits only, no sign, no spaces: 0 and *ret, or -EINVAL (empty, other bytes) or
 * -ERANGE (over UINT64_MAX).
 */
int str_u64(struct str s, uint64_t *ret);
/* A malloc'ed copy with a NUL added, or NULL when memory is out. */
char *str_dup(struct str s);
/*
 * A duration as people write it: "15s", "500ms", "5m", "1h30m", "2h", "7d"; a bare number is in
 * seconds. 0 and *ret_ms, or -EINVAL, or -ERANGE when it is over a hundred years.
 */
int str_duration_ms(struct str s, uint64_t *ret_ms);
/* SipHash-1-3 under a key drawn at the first call: safe against collisions made by a peer. */
uint64_t str_hash(struct str s);
/* Valid UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF). */
bool str_is_utf8(struct str s);

#endif
