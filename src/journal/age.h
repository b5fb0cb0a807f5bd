/* SPDX-License-Identifier: MIT */
/* The journal's own clock, by which ages are counted: see age.c. */
#ifndef VOXBUS_JOURNAL_AGE_H
#define VOXBUS_JOURNAL_AGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

enum {
	AGE_JUMP_MS = 60 * 1000,       /* more within an hour is no drift: the clock was set */
	AGE_OFF_MS = 24 * 3600 * 1000, /* what the time without a daemon counts at most */
};

struct age_clock {
	/* The real ones unless a test sets them before age_begin. Milliseconds. */
	uint64_t (*wall_ms)(void *arg);   /* since 1970; may be set at any time */
	uint64_t (*steady_ms)(void *arg); /* since some time; nobody can set it */
	void *arg;
	const struct log *log;
	const char *dir; /* for the log; borrowed */
	/* All three clocks at the last moment that was agreed on. */
	uint64_t base_ms, base_wall_ms, base_steady_ms;
	uint64_t last_ms; /* given out; it never goes back */
	bool alone;       /* the wall clock was set: by the steady clock alone */
};

/*
 * Starts it. newest_ms: the time of the newest record, 0 if there is none; ahead_ms: what
 * age_ahead told when the journal was in use before.
 */
void age_begin(struct age_clock *c, uint64_t newest_ms, int64_t ahead_ms);
/* Milliseconds since 1970, more or less; never less than the call before. */
uint64_t age_now(struct age_clock *c);
/* How far the wall clock is ahead of it. */
int64_t age_ahead(const struct age_clock *c);

static inline uint64_t age_later(uint64_t a_ms, uint64_t b_ms)
{
	return a_ms > b_ms ? a_ms : b_ms;
}

#endif
