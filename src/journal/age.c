/* SPDX-License-Identifier: MIT */
/*
 * The journal's clock. Ages must not trust the wall clock: one that is set a year ahead would
 * expire a week of messages at once, one that is set back would keep them for ever.
 *
 * So records bear the time of a clock that the journal keeps by itself. It follows the wall clock
 * as long as that goes like the steady one (the kernel's count of seconds since the boot, sleep
 * included, which nobody can set). When the two part by over a minute within an hour the wall
 * clock was set; from then on the steady clock alone counts, and the log says so once.
 *
 *   wall     ──────────────────────────┐
 *                                      └──────────  set back
 *   journal  ─────────────────────────────────────  goes on
 *
 * While the daemon is off only the wall clock counts, and so it is believed within limits: the
 * journal's clock begins where the newest record ends or later, but at most one day later. How far
 * the wall clock was ahead then is kept in the header of state.log, else each restart with a wrong
 * clock would cost another day.
 */
#include "journal/age.h"

#include <inttypes.h>
#include <time.h>

#include "base/clock.h"

enum { ANCHOR_MS = 3600 * 1000 };

static uint64_t real_wall(void *arg)
{
	return clock_wall_ms();
}

static uint64_t real_steady(void *arg)
{
	struct timespec ts;

	/* Not the monotonic clock: a machine that slept a night has messages that are older. */
	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void anchor(struct age_clock *c, uint64_t ms, uint64_t wall_ms, uint64_t steady_ms)
{
	c->base_ms = ms;
	c->base_wall_ms = wall_ms;
	c->base_steady_ms = steady_ms;
}

void age_begin(struct age_clock *c, uint64_t newest_ms, int64_t ahead_ms)
{
	uint64_t wall, ms;

	if (!c->wall_ms)
		c->wall_ms = real_wall;
	if (!c->steady_ms)
		c->steady_ms = real_steady;
	wall = c->wall_ms(c->arg);
	ms = newest_ms ? wall - (uint64_t)ahead_ms : wall;
	if (newest_ms && (int64_t)(ms - newest_ms) < 0) {
		if (newest_ms - ms > AGE_JUMP_MS)
			log_warn(c->log, "clock behind the journal",
				 "dir=%s by_s=%" PRIu64 " then=%s", c->dir, (newest_ms - ms) / 1000,
				 "ages go on from the newest record");
		ms = newest_ms;
	} else if (newest_ms && ms - newest_ms > AGE_OFF_MS) {
		log_warn(c->log, "clock ahead of the journal", "dir=%s by_s=%" PRIu64 " then=%s",
			 c->dir, (ms - newest_ms) / 1000,
			 "one day of it counts: messages are kept longer");
		ms = newest_ms + AGE_OFF_MS;
	}
	anchor(c, ms, wall, c->steady_ms(c->arg));
	c->last_ms = ms;
	c->alone = false;
}

/* The wall clock parted from the steady one by so much. */
static bool is_jump(int64_t drift)
{
	return drift > AGE_JUMP_MS || drift < -AGE_JUMP_MS;
}

uint64_t age_now(struct age_clock *c)
{
	uint64_t steady = c->steady_ms(c->arg), went = steady - c->base_steady_ms;
	uint64_t wall = c->alone ? 0 : c->wall_ms(c->arg);
	int64_t drift = c->alone ? 0 : (int64_t)(wall - c->base_wall_ms - went);
	bool jump = is_jump(drift);

	if (jump) {
		c->alone = true;
		log_warn(c->log, "clock was set", "dir=%s by_s=%" PRId64 " then=%s", c->dir,
			 drift / 1000, "ages of messages go on without it until the next start");
		drift = 0;
	}
	if (c->base_ms + went + (uint64_t)drift > c->last_ms)
		c->last_ms = c->base_ms + went + (uint64_t)drift;
	if (jump || (!c->alone && went > ANCHOR_MS))
		anchor(c, c->last_ms, wall, steady);
	return c->last_ms;
}

int64_t age_ahead(const struct age_clock *c)
{
	return (int64_t)(c->wall_ms(c->arg) - c->last_ms);
}
