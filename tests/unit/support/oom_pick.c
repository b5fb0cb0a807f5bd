/* SPDX-License-Identifier: MIT */
/*
 * Which of a test's allocations shall fail. No clock has a say, so that every machine replays the same:
 *
 *   first   one of each stack that allocates: the first. What comes later by the same way is met by code that
 *           has seen it before, mostly
 *   then    the first HEAD of all, one by one
 *   then    a row in which each is a STEP-th further along than the one before
 *
 * as many as their work allows. A run is worth as many allocations as the whole test makes, and FORK for the
 * fork and the look for what is lost; all runs of a test together WORK, but at least FEW of them. A test of up
 * to 115 allocations is replayed in whole that way. What has to be left out is left out evenly, of the last
 * kind first.
 */
#include "oom_internal.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = 1000, STEP = 32, FORK = 2000, WORK = 250000, FEW = 8, SAMPLE = 4 };

/* Marks up to max of the candidates in `of` that are not yet picked, evenly; how many. */
static long pick_some(const unsigned char *of, unsigned char *picked, long total, long max)
{
	long n = 0, seen = 0, got = 0;

	for (long i = 0; i < total; i++)
		n += of[i] && !picked[i];
	for (long i = 0; i < total && max > 0; i++)
		if (of[i] && !picked[i] && (n <= max || (seen++ + 1) * max / n > got)) {
			picked[i] = 1;
			got++;
		}
	return got;
}

struct site {
	uint32_t hash;
	long n;
};

static int site_compare(const void *a, const void *b)
{
	const struct site *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->n < y->n ? -1 : 1;
}

/* The first allocation of each stack. */
static void first_of_each(const uint32_t *sites, long total, unsigned char *of)
{
	struct site *all = calloc((size_t)total + 1, sizeof(*all));

	for (long i = 0; i < total; i++)
		all[i] = (struct site){ sites[i], i };
	qsort(all, (size_t)total, sizeof(*all), site_compare);
	for (long i = 0; i < total; i++)
		of[all[i].n] = i == 0 || all[i].hash != all[i - 1].hash;
	free(all);
}

static long runs_max(enum oom_choice choice, long total)
{
	long n = WORK / (total + FORK);

	if (choice == OOM_ALL)
		return total;
	if (choice == OOM_FEW)
		return SAMPLE;
	return n < FEW ? FEW : n;
}

unsigned char *oom_pick(enum oom_choice choice, const uint32_t *sites, long total)
{
	size_t size = (size_t)total + 1;
	unsigned char *picked = calloc(1, size), *of = calloc(1, size);
	long room = runs_max(choice, total);

	first_of_each(sites, total, of);
	room -= pick_some(of, picked, total, room);
	memset(of, 0, size);
	memset(of, 1, total < HEAD ? (size_t)total : HEAD);
	room -= pick_some(of, picked, total, room);
	memset(of, choice == OOM_ALL, size);
	for (long n = HEAD; n < total; n += n / STEP)
		of[n] = 1;
	(void)pick_some(of, picked, total, room);
	free(of);
	return picked;
}
