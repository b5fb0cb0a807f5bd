/* SPDX-License-Identifier: MIT */
/*
 * Writes JSON into a buf, straight through: no tree, commas by themselves, compact.
 *
 * Errors (the buf is full) are kept and told once, by jout_end. A key is a C string of ours, or
 * NULL inside an array. Texts may hold any bytes: what is not UTF-8 becomes U+FFFD.
 */
#ifndef VOXBUS_API_JOUT_H
#define VOXBUS_API_JOUT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

struct jout {
	struct buf *buf;
	bool comma;
	int rc;
};

/* Appends to what the buf holds. */
void jout_init(struct jout *j, struct buf *buf);
/* bracket: '{' or '['; each is closed with jout_close and its partner. */
void jout_open(struct jout *j, const char *key, char bracket);
void jout_close(struct jout *j, char bracket);
void jout_str(struct jout *j, const char *key, struct str value);
void jout_u64(struct jout *j, const char *key, uint64_t value);
/* Milliseconds as seconds with three digits behind the point. */
void jout_seconds(struct jout *j, const char *key, uint64_t ms);
void jout_bool(struct jout *j, const char *key, bool value);
void jout_null(struct jout *j, const char *key);
/* The bytes as they are but for the whitespace between tokens, if they are JSON; else a string. */
void jout_json(struct jout *j, const char *key, struct str value);
/* 0, or -ENOBUFS, -ENOMEM: then the text is not whole. */
int jout_end(const struct jout *j);

#endif
