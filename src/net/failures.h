/* SPDX-License-Identifier: MIT */
/* How often an address may give a wrong password: whoever checks passwords of peers asks here. */
#ifndef VOXBUS_NET_FAILURES_H
#define VOXBUS_NET_FAILURES_H

#include "base/str.h"
#include "loop/loop.h"

struct failures;

/* 0 or -ENOMEM. The loop outlives it. */
int failures_create(struct loop *loop, struct failures **ret);
struct failures *failures_destroy(struct failures *failures);
/* Seconds until the address may try again, with whatever password; 0: now. */
unsigned failures_wait(struct failures *failures, struct str address);
/* One more wrong password from there. */
void failures_add(struct failures *failures, struct str address);

#endif
