/* SPDX-License-Identifier: MIT */
/* Parameters of a query string, and the globs that one of them may hold. */
#ifndef VOXBUS_API_QUERY_H
#define VOXBUS_API_QUERY_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

/*
 * Appends the decoded value of the first parameter of that name: 1; 0 if there is none; -EBADMSG
 * for a broken escape, -ENOBUFS or -ENOMEM of the buf.
 */
int query_get(struct str query, struct str name, struct buf *ret);
/* '*' is any run of bytes, '?' any one; everything else is itself. */
bool glob_match(struct str glob, struct str text);

#endif
