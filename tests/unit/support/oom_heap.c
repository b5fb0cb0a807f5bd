/* SPDX-License-Identifier: MIT */
/*
 * Where the blocks of a run lie when the program is built without sanitizers: one stretch of addresses, from
 * its start to its end, of which nothing is used twice. That costs next to nothing, and much comes of it:
 *
 *   ┌────────┬──────────────┬──────┬────────┬─────────┬──────┬─ ─ ─
 *   │ header │ the caller's │ tail │ header │ freed   │ tail │
 *   └────────┴──────────────┴──────┴────────┴─────────┴──────┴─ ─ ─
 *
 * What was freed is filled with a pattern that is no address: who follows a pointer from there dies on the
 * spot, and who writes there is found out at the end of the run, as is who writes behind a block's end. What
 * was never freed is listed for oom_look.c, which asks who still knows of it.
 *
 * A run that wants more than the stretch holds gets the rest from libc, unwatched.
 */
#include "oom_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LIVE = 0x11fe11fe, FREED = 0x0dead0de };
enum { FRESH = 0xa5, GONE = 0xdd, TAIL = 0x7a, TAIL_SIZE = 16, ALIGN = 16 };

/* Addresses alone: a page costs memory once it is used. */
static const size_t HEAP_SIZE = (size_t)512 << 20;

static unsigned char *heap;
static size_t used;
static struct oom_block *newest;
static atomic_flag locked = ATOMIC_FLAG_INIT;

void oom_heap_init(void)
{
	heap = mmap(NULL, HEAP_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (heap == MAP_FAILED)
		abort();
}

void oom_heap_range(uintptr_t *from, uintptr_t *to)
{
	*from = (uintptr_t)heap;
	*to = *from + HEAP_SIZE;
}

/* No mutex: those of libc may be the sanitized program's, and a look must be able to keep it for good. */
void oom_heap_lock(void)
{
	while (atomic_flag_test_and_set(&locked))
		(void)syscall(SYS_sched_yield);
}

static void unlock(void)
{
	atomic_flag_clear(&locked);
}

static unsigned char *payload(const struct oom_block *b)
{
	return (unsigned char *)(b + 1);
}

static struct oom_block *block_of(const void *p)
{
	return (struct oom_block *)p - 1;
}

bool oom_heap_has(const void *p)
{
	return heap && (uintptr_t)p - (uintptr_t)heap < HEAP_SIZE;
}

size_t oom_heap_size(const void *p)
{
	return block_of(p)->size;
}

/* The room that n bytes take, header and tail and all. */
static size_t span_of(size_t n)
{
	return (sizeof(struct oom_block) + n + TAIL_SIZE + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static struct oom_block *block_place(size_t align, size_t n)
{
	uintptr_t at = (uintptr_t)heap + used + sizeof(struct oom_block);
	size_t gap = ((at + align - 1) & ~(uintptr_t)(align - 1)) - at;
	struct oom_block *b;

	if (n > HEAP_SIZE || gap + span_of(n) > HEAP_SIZE - used)
		return NULL;
	b = (struct oom_block *)(heap + used + gap);
	*b = (struct oom_block){ .before = newest, .size = n, .state = LIVE };
	memset(payload(b) + n, TAIL, TAIL_SIZE);
	newest = b;
	used += gap + span_of(n);
	return b;
}

void *oom_heap_alloc(size_t align, size_t n, const void *caller)
{
	struct oom_block *b;

	if (!heap)
		return NULL;
	oom_heap_lock();
	b = block_place(align > ALIGN ? align : ALIGN, n);
	if (b)
		b->caller = caller;
	unlock();
	return b ? payload(b) : NULL;
}

void oom_heap_fill(void *p)
{
	memset(p, FRESH, oom_heap_size(p));
}

void oom_heap_free(void *p)
{
	struct oom_block *b = block_of(p);

	if (b->state != LIVE) {
		(void)fprintf(stderr, "voxbus test: runtime error: freed twice, or never given\n");
		abort();
	}
	memset(p, GONE, b->size);
	/* Not before: this thread may be stopped for good at any time. */
	atomic_thread_fence(memory_order_release);
	b->state = FREED;
}

static bool all_are(const unsigned char *p, size_t n, unsigned char what)
{
	return n == 0 || (p[0] == what && memcmp(p, p + 1, n - 1) == 0);
}

bool oom_block_is_live(const struct oom_block *b)
{
	return b->state == LIVE;
}

struct oom_block *oom_heap_newest(void)
{
	return newest;
}

const struct oom_block *oom_heap_damaged(void)
{
	for (const struct oom_block *b = newest; b; b = b->before)
		if (!all_are(payload(b) + b->size, TAIL_SIZE, TAIL) ||
		    (b->state == FREED && !all_are(payload(b), b->size, GONE)))
			return b;
	return NULL;
}
