/* SPDX-License-Identifier: MIT */
/*
 * How jemalloc, the daemon's heap, is set (docs/decisions/0022); it reads this before main, and MALLOC_CONF
 * of the environment after it.
 */
extern const char *malloc_conf;

/*
 * One arena: the loop's thread does nearly all, and what one thread gave back another can use.
 * What is free goes back to the kernel after a tenth of a second.
 */
const char *malloc_conf = "narenas:1,dirty_decay_ms:100,muzzy_decay_ms:0";
