/* SPDX-License-Identifier: MIT */
/*
 * What a program has on its heap, for benchmarks: a library for LD_PRELOAD that counts bytes and
 * blocks in use in a file (HEAP_COUNT_FILE) that somebody else reads meanwhile.
 *
 * A block counts as its heap counts it: what it may use (jemalloc's size class, nothing is before it). The
 * figures are two uint64_t: bytes, blocks; SIZES further ones are the blocks of
 * each size in units of 16 bytes.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { UNIT = 16, SIZES = 256 };

struct counts {
	_Atomic uint64_t bytes, blocks, sizes[SIZES];
};

static struct counts before; /* until the file is there */
static struct counts *counts = &before;

/* The heap that the program would have without us. */
static void *(*next_malloc)(size_t n);
static void *(*next_calloc)(size_t n, size_t size);
static void *(*next_realloc)(void *p, size_t n);
static void (*next_free)(void *p);

/* Whoever allocates first may be ahead of all constructors; there is one thread then. */
static void find_next(void)
{
	if (next_malloc)
		return;
	*(void **)&next_calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&next_realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&next_free = dlsym(RTLD_NEXT, "free");
	*(void **)&next_malloc = dlsym(RTLD_NEXT, "malloc");
}

__attribute__((constructor)) static void open_counts(void)
{
	const char *path = getenv("HEAP_COUNT_FILE");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	struct counts *shared;

	if (fd < 0)
		return;
	shared = ftruncate(fd, sizeof(*shared)) == 0
			 ? mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			 : MAP_FAILED;
	(void)close(fd);
	if (shared == MAP_FAILED)
		return;
	shared->bytes = before.bytes;
	shared->blocks = before.blocks;
	for (size_t i = 0; i < SIZES; i++)
		shared->sizes[i] = before.sizes[i];
	counts = shared;
}

static void count(void *p, int sign)
{
	size_t n = p ? malloc_usable_size(p) : 0, size = n / UNIT;

	if (!p)
		return;
	counts->bytes += (uint64_t)sign * n;
	counts->blocks += (uint64_t)sign;
	counts->sizes[size < SIZES ? size : SIZES - 1] += (uint64_t)sign;
}

void *malloc(size_t n)
{
	void *p;

	find_next();
	p = next_malloc(n);
	count(p, 1);
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p;

	find_next();
	p = next_calloc(n, size);
	count(p, 1);
	return p;
}

void *realloc(void *p, size_t n)
{
	void *q;

	find_next();
	count(p, -1);
	q = next_realloc(p, n);
	if (q)
		count(q, 1);
	else if (n)
		count(p, 1);
	return q;
}

void free(void *p)
{
	find_next();
	count(p, -1);
	next_free(p);
}
