/* SPDX-License-Identifier: MIT */
/* Base64, RFC 4648 section 4, with padding. */
#ifndef VOXBUS_CODEC_BASE64_H
#define VOXBUS_CODEC_BASE64_H

#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

/* Appends the encoded bytes, whole or not at all: as buf_add. */
int base64_add(struct buf *b, struct str bytes);
/*
 * Decodes into out, which has room for text.n / 4 * 3 + 3 bytes: how many were written, or
 * -EBADMSG. Padding may be absent but not wrong; no white space, no stray bits.
 */
long base64_decode(char *out, struct str text);

#endif
