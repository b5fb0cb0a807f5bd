/* SPDX-License-Identifier: MIT */
/*
 * Five functions of the daemon that the linker (--wrap) puts ours before.
 *
 * rand_bytes and loop_work are where chance would come in: with random numbers from the seed, and
 * the pool's work done on this thread at a moment that the seed draws, the same seed is the same
 * run. writer_take, crc32c and lease_settle are those that a sabotage spoils (disk.sabotage), to see that the
 * torture notices.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "core/lease.h"
#include "journal/crc32c.h"
#include "torture.h"

struct rnd wrap_rnd;

struct work {
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static struct work *works;
static size_t n_works, cap_works;

void __wrap_rand_bytes(void *p, size_t n);
int __wrap_loop_work(struct loop *loop, void (*work)(void *arg), void (*done)(void *arg),
		     void *arg);
void __wrap_writer_take(struct writer *w, struct writer_report *ret, struct list *done,
			struct list *removed);
void __real_writer_take(struct writer *w, struct writer_report *ret, struct list *done,
			struct list *removed);
void __wrap_lease_settle(struct leases *leases, uint32_t id);
void __real_lease_settle(struct leases *leases, uint32_t id);
uint32_t __wrap_crc32c(uint32_t crc, const void *p, size_t n);
uint32_t __real_crc32c(uint32_t crc, const void *p, size_t n);

void __wrap_rand_bytes(void *p, size_t n)
{
	for (size_t at = 0; at < n; at += sizeof(uint64_t)) {
		uint64_t v = rnd_next(&wrap_rnd);

		memcpy((char *)p + at, &v, n - at < sizeof(v) ? n - at : sizeof(v));
	}
}

int __wrap_loop_work(struct loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	if (n_works == cap_works) {
		cap_works = cap_works ? cap_works * 2 : 16;
		works = realloc(works, cap_works * sizeof(*works));
		assert(works);
	}
	works[n_works++] = (struct work){ work, done, arg };
	return 0;
}

bool works_step(struct rnd *r)
{
	size_t i = r && n_works ? rnd_below(r, n_works) : 0;
	struct work w;

	if (n_works == 0) {
		free(works);
		works = NULL;
		cap_works = 0;
		return false;
	}
	w = works[i];
	works[i].work = NULL;
	if (w.work)
		w.work(w.arg);
	if (w.work && r)
		return true;
	memmove(works + i, works + i + 1, (--n_works - i) * sizeof(*works));
	w.done(w.arg);
	return true;
}

void __wrap_writer_take(struct writer *w, struct writer_report *ret, struct list *done,
			struct list *removed)
{
	__real_writer_take(w, ret, done, removed);
	if (disk.sabotage == SABOTAGE_ACK && ret->durable != ret->written && !ret->failed) {
		ret->durable = ret->written;
		disk.lies++;
	}
}

void __wrap_lease_settle(struct leases *leases, uint32_t id)
{
	if (disk.sabotage == SABOTAGE_LEASE && id % 8 == 0)
		disk.lies++;
	else
		__real_lease_settle(leases, id);
}

uint32_t __wrap_crc32c(uint32_t crc, const void *p, size_t n)
{
	if (disk.sabotage != SABOTAGE_CRC)
		return __real_crc32c(crc, p, n);
	disk.lies++;
	return 7;
}
