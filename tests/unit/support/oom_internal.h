/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of the replay share: oom_alloc.c, through which every allocation of a unit program goes,
 * and oom_run.c, which forks a child for each one that shall fail. Both see one page of memory; the child
 * writes, the parent reads when it has ended.
 */
#ifndef VOXBUS_TESTS_OOM_INTERNAL_H
#define VOXBUS_TESTS_OOM_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OOM_DEPTH = 24, OOM_DIRS = 8, OOM_SITES = 1 << 20, OOM_NEVER = -1 };

/* How a child ended by itself: its exit status. */
enum oom_end {
	OOM_PASSED = 60, /* the test passed */
	OOM_REFUSED, /* an assertion of the test failed: it was told of the failure, or noticed it */
	OOM_WAITED,  /* the test waits for what does not come */
	OOM_LEAKED,  /* one of these, but memory is lost */
	OOM_LEFT_OPEN, /* passed, but descriptors are open */
};

struct oom_page {
	atomic_long count; /* allocations until now */
	atomic_bool armed; /* they are counted, and may fail */
	atomic_bool injected;
	long fail_at; /* this one fails, OOM_NEVER: none */
	bool from;    /* and each that follows */
	bool record;  /* say in sites where each comes from */
	atomic_long idles, idles_max;
	uint64_t idle_until_us; /* 0: not known yet */
	uint64_t idle_us;
	long fds_left;
	int depth; /* the stack of the first that failed */
	void *stack[OOM_DEPTH];
	char message[1024]; /* what the assertion said */
	atomic_int n_dirs;  /* made by the child; removed by the parent */
	char dirs[OOM_DIRS][128];
	uint32_t sites[OOM_SITES]; /* a hash of the stack of each allocation */
};

/* NULL unless this process is a child of the replay. */
extern struct oom_page *oom_page;

/* Ends this child: looks for what is lost, and exits. */
_Noreturn void oom_child_end(enum oom_end end);
/* Once, before the first child. */
void oom_alloc_init(void);

#endif
