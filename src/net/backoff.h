/* SPDX-License-Identifier: MIT */
/*
 * When to dial again: capped, jittered, exponential. Everything that dials out uses it.
 *
 * Delays are drawn evenly from [d/2, d], d doubling from first_ms to max_ms, so that a herd of
 * daemons does not come back in step. backoff_reset after a link has proved good (not merely
 * connected), so that a peer that accepts and drops does not see a storm.
 */
#ifndef VOXBUS_NET_BACKOFF_H
#define VOXBUS_NET_BACKOFF_H

#include <stdint.h>

struct backoff {
	uint64_t first_ms, max_ms, next_ms;
};

void backoff_init(struct backoff *b, uint64_t first_ms, uint64_t max_ms);
uint64_t backoff_next_ms(struct backoff *b);
void backoff_reset(struct backoff *b);

#endif
