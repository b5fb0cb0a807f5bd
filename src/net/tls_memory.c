/* SPDX-License-Identifier: MIT */
/*
 * An idle connection holds no record buffers (SSL_MODE_RELEASE_BUFFERS), so each read and each write
 * gets one of 16 KiB and gives it back at once. From glibc's heap that is expensive: a block so large
 * comes from no bin of its own, and asking for it tidies up all small ones first. In a burst of answers a
 * quarter of the time went there. So the loop's thread keeps the last few that it gave back.
 *
 * OpenSSL wipes what was secret before it frees a block, and writes before it reads, as with any heap.
 */
#include "net/tls_memory.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
	BUFFER_MIN = 16 * 1024, /* of the blocks that are kept: a record and what is around it */
	BUFFER_MAX = 18 * 1024,
	KEPT_MAX = 8,
};

static struct {
	pthread_t thread;
	void *at[KEPT_MAX];
	size_t n;
} kept;

static bool is_ours(void)
{
	return pthread_equal(kept.thread, pthread_self());
}

static void *get(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	if (n >= BUFFER_MIN && n <= BUFFER_MAX && is_ours() && kept.n)
		return kept.at[--kept.n];
	return malloc(n >= BUFFER_MIN && n < BUFFER_MAX ? BUFFER_MAX : n);
}

static void put(void *at, const char *file, int line)
{
	size_t n = at ? malloc_usable_size(at) : 0;

	(void)file;
	(void)line;
	if (n >= BUFFER_MAX && n < BUFFER_MAX + BUFFER_MIN && is_ours() && kept.n < KEPT_MAX)
		kept.at[kept.n++] = at;
	else
		free(at);
}

static void *resize(void *at, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return realloc(at, n);
}

void tls_memory_init(void)
{
	kept.thread = pthread_self();
	(void)CRYPTO_set_mem_functions(get, resize, put);
}
