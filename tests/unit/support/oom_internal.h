/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the replay share: oom_alloc.c, through which every allocation of a unit program goes, and
 * oom_run.c, which forks a child for each one that shall fail. Both see one page of memory; the child writes,
 * the parent reads when it has ended. oom_pick.c chooses which shall fail, oom_say.c tells of what was found.
 * Without sanitizers oom_heap.c and oom_look.c watch in their place.
 */
#ifndef VOXBUS_TESTS_OOM_INTERNAL_H
#define VOXBUS_TESTS_OOM_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { OOM_IDLES = 100 };
enum { OOM_DEPTH = 24, OOM_DIRS = 8, OOM_SITES = 1 << 20, OOM_NEVER = -1, OOM_LOST = 4 };

/* How a child ended by itself: its exit status. */
enum oom_end {
	OOM_PASSED = 60, /* the test passed */
	OOM_REFUSED, /* an assertion of the test failed: it was told of the failure, or noticed it */
	OOM_WAITED,  /* the test waits for what does not come */
	OOM_LEAKED,  /* one of these, but memory is lost */
	OOM_LEFT_OPEN, /* passed, but descriptors are open */
	OOM_DAMAGED,   /* wrote to memory that was freed, or behind a block's end */
};

/* A block that nobody knows of any more. */
struct oom_lost {
	const void *caller; /* who allocated it */
	size_t size;
};

struct oom_page {
	pid_t child;       /* a fork of it, made by the test, judges nothing */
	atomic_long count; /* allocations until now */
	atomic_bool armed; /* they are counted, and may fail */
	atomic_bool injected;
	long fail_at; /* this one fails, OOM_NEVER: none */
	bool from;    /* and each that follows */
	bool record;  /* say in sites where each comes from */
	atomic_long idles, idles_max;
	/* The patience with a test that waits and allocates nothing: as many idles and as long. */
	uint64_t idle_us, idle_until_us;
	long idle_since;
	long fds_left;
	int depth; /* the stack of the first that failed */
	void *stack[OOM_DEPTH];
	int crash_depth; /* the stack when it died, if no sanitizer tells */
	void *crash[OOM_DEPTH];
	int n_lost; /* of these the first OOM_LOST: */
	struct oom_lost lost[OOM_LOST];
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
/* In the child, before the test: whether AddressSanitizer is here; if not our own watch begins. */
bool oom_is_sanitized(void);
/* On the signal of a crash: writes down where, and dies of it. */
void oom_crash_begin(void);

/* ---- oom_heap.c: the blocks of a child without AddressSanitizer */

struct oom_block {
	struct oom_block *before; /* in memory and in time */
	const void *caller;
	size_t size;
	uint32_t state;
	bool known; /* oom_look.c has found who knows of it */
};

/* Takes the addresses; from now on oom_heap_alloc gives some. */
void oom_heap_init(void);
/* NULL: it is not there, or used up. */
void *oom_heap_alloc(size_t align, size_t n, const void *caller);
/* So that nobody takes it for zeroed: what calloc doesn't get. */
void oom_heap_fill(void *p);
void oom_heap_free(void *p);
bool oom_heap_has(const void *p);
size_t oom_heap_size(const void *p);
void oom_heap_range(uintptr_t *from, uintptr_t *to);
struct oom_block *oom_heap_newest(void);
bool oom_block_is_live(const struct oom_block *b);
/* A block that was written to when it was freed, or behind its end; NULL if there is none. */
const struct oom_block *oom_heap_damaged(void);
/* For the rest of the process. */
void oom_heap_lock(void);

/* ---- oom_look.c */

/* Stops all other threads for good; whether there are lost blocks: page->lost. */
bool oom_look(struct oom_page *page);

/* ---- oom_pick.c */

enum oom_choice {
	OOM_FEW,  /* a few of each test: for a build in which a run takes its time */
	OOM_MOST, /* by the rule: see oom_pick.c */
	OOM_ALL,
};

/*
 * Which of a test's allocations shall fail: a byte for each, to be freed. sites: a hash of the stack that each
 * comes from. The same ones for the same sites, on every machine.
 */
unsigned char *oom_pick(enum oom_choice choice, const uint32_t *sites, long total);

/* ---- oom_say.c */

/* What a child printed, or an assertion of it said. */
void oom_print_output(const char *text);
/* Who wanted the memory, where it died, what was lost. */
void oom_print_page(const struct oom_page *page);

#endif
