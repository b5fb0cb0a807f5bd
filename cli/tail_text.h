/* SPDX-License-Identifier: MIT */
/* A line of /api/tail as a line for people. */
#ifndef VOXBUS_CLI_TAIL_TEXT_H
#define VOXBUS_CLI_TAIL_TEXT_H

#include "base/buf.h"
#include "base/str.h"

struct tail_text;

/* Remembers the last commands, so that a reply can show what it answers. NULL: no memory. */
struct tail_text *tail_text_create(void);
struct tail_text *tail_text_destroy(struct tail_text *text);
/*
 * Appends the line with a line feed; one that is not what a daemon writes is appended as it is,
 * cleaned. 0 or as buf_add.
 */
int tail_text_add(struct tail_text *t, struct str text, struct buf *out);

#endif
