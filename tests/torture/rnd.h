/* SPDX-License-Identifier: MIT */
/* Numbers that a seed decides (splitmix64): the same seed is the same run, on every machine. */
#ifndef VOXBUS_TESTS_TORTURE_RND_H
#define VOXBUS_TESTS_TORTURE_RND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rnd {
	uint64_t state;
};

static inline uint64_t rnd_next(struct rnd *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 <= result < below; below is at least 1. */
static inline size_t rnd_below(struct rnd *r, size_t below)
{
	return (size_t)(rnd_next(r) % below);
}

static inline bool rnd_percent(struct rnd *r, unsigned percent)
{
	return rnd_below(r, 100) < percent;
}

/* 1 to 2^bits, small ones as often as large ones. */
static inline size_t rnd_scale(struct rnd *r, unsigned bits)
{
	return 1 + rnd_below(r, (size_t)1 << (1 + rnd_below(r, bits)));
}

#endif
