/* SPDX-License-Identifier: MIT */
/* One message as one line of /api/tail. */
#ifndef VOXBUS_API_TAIL_LINE_H
#define VOXBUS_API_TAIL_LINE_H

#include "base/buf.h"
#include "core/msg.h"

/* A larger payload is left out, and "truncated":true says so. */
enum { TAIL_PAYLOAD_MAX = 256 * 1024, TAIL_LINE_MAX = 2 * 1024 * 1024 };

/* Appends the JSON object and a line feed: 0 or as buf_add. */
int tail_line(const struct msg *msg, struct buf *out);

#endif
