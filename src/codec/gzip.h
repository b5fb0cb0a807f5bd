/* SPDX-License-Identifier: MIT */
/* Bodies that were sent with Content-Encoding: gzip (RFC 1952), by zlib. */
#ifndef VOXBUS_CODEC_GZIP_H
#define VOXBUS_CODEC_GZIP_H

#include "base/buf.h"
#include "base/str.h"

/*
 * Appends what the whole of gz says, members one behind the other: 0, -EBADMSG (no gzip, damaged,
 * cut off, or more behind it), -ENOBUFS (it grows over the buffer's maximum; no more than that was
 * ever unpacked), -ENOMEM. On failure the buffer's content is undefined.
 */
int gzip_add_unpacked(struct buf *out, struct str gz);

#endif
