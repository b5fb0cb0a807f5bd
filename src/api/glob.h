/* SPDX-License-Identifier: MIT */
/* Globs over topics. */
#ifndef VOXBUS_API_GLOB_H
#define VOXBUS_API_GLOB_H

#include <stdbool.h>

#include "base/str.h"

/* '*' is any run of bytes, '?' any one; everything else is itself. */
bool glob_match(struct str glob, struct str text);

#endif
