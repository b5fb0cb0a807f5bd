/* SPDX-License-Identifier: MIT */
/*
 * How jemalloc, the daemon's heap, is set (docs/decisions/0022); it reads this before main, and MALLOC_CONF
 * of the environment after it.
 */
extern const char *malloc_conf;

/*
 * One arena: the loop's thread does nearly all, and what one thread gave back another can use.
 * What is free goes back to the kernel after a tenth of a second, by a thread of jemalloc, also when we
 * are idle; and no thread keeps much for itself.
 */
const char *malloc_conf = "narenas:1,background_thread:true,dirty_decay_ms:100,muzzy_decay_ms:0,"
			  "tcache_nslots_small_max:64,tcache_nslots_large:8";
