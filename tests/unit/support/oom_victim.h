/* SPDX-License-Identifier: MIT */
/* What the victim of the replay's own test takes for the daemon's code: its allocations may fail. */
#ifndef VOXBUS_TESTS_OOM_VICTIM_H
#define VOXBUS_TESTS_OOM_VICTIM_H

#include <stddef.h>

void *careless_alloc(size_t n);
/* 0 and two blocks, or -ENOMEM: then the first is lost if only the second was refused. */
int careless_pair(void *ret[2]);

#endif
