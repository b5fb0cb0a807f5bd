/* SPDX-License-Identifier: MIT */
/* Runs one of our own programs to its end. */
#ifndef VOXBUS_CLI_CHILD_H
#define VOXBUS_CLI_CHILD_H

#include "base/buf.h"

/*
 * args[0] is looked for beside this program, then in the folder above (a build tree), then on
 * PATH; args end with NULL. Both its outputs are appended to out, as far as there is room.
 * Its exit code, 128 + n when signal n ended it, or a negative errno (-ENOENT: not found).
 */
int child_run(const char *const *args, struct buf *out);

#endif
