/* SPDX-License-Identifier: MIT */
/*
 * How jemalloc is set: it reads `malloc_conf` before main, and MALLOC_CONF of the environment after it. A
 * sanitizer's build has another heap, without `mallctl`.
 */
#include "heap.h"

#include <stdbool.h>
#include <stddef.h>

extern const char *malloc_conf;
int mallctl(const char *name, void *old, size_t *old_n, void *set, size_t set_n)
	__attribute__((weak));

/*
 * One arena: the loop's thread does nearly all, and what one thread gave back another can use.
 * What is free goes back to the kernel after a tenth of a second, and no thread keeps much for itself.
 */
const char *malloc_conf = "narenas:1,dirty_decay_ms:100,muzzy_decay_ms:0,"
			  "tcache_nslots_small_max:64,tcache_nslots_large:8";

void heap_give_back(void)
{
	bool on = true;

	if (mallctl)
		(void)mallctl("background_thread", NULL, NULL, &on, sizeof(on));
}
