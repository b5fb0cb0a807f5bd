/* SPDX-License-Identifier: MIT */
/* Capped, jittered, exponential delays; see the header for why. */
#include "net/backoff.h"

#include "base/rand.h"

void backoff_init(struct backoff *b, uint64_t first_ms, uint64_t max_ms)
{
	b->first_ms = first_ms ? first_ms : 1;
	b->max_ms = max_ms > b->first_ms ? max_ms : b->first_ms;
	b->next_ms = b->first_ms;
}

uint64_t backoff_next_ms(struct backoff *b)
{
	uint64_t d = b->next_ms, half = d / 2;

	b->next_ms = d > b->max_ms / 2 ? b->max_ms : d * 2;
	return half + rand_below(d - half + 1);
}

void backoff_reset(struct backoff *b)
{
	b->next_ms = b->first_ms;
}
