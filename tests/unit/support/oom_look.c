/* SPDX-License-Identifier: MIT */
/*
 * Which blocks of the run nobody knows of any more: what AddressSanitizer's look for lost memory does, in a
 * program that is built without it (some fifty times as fast for a small test, since nothing is started and
 * no shadow is forked).
 *
 * A block is known if its address, or one inside it, lies in a writable page that is not of the heap, in
 * a stack or a register of a thread that lives, or in a block that is known. The other threads are stopped by
 * a signal, which puts their registers on their stacks. It is the last thing that a run does: nothing goes on
 * afterwards.
 */
#include "oom_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 64, MAPS_SIZE = 1 << 18, PAGE = 4096, PAGES = 4096, STOP_TRIES = 4000 };

struct look {
	struct oom_block **blocks; /* those that were not freed, by address */
	size_t n;
	size_t *todo; /* found, but not yet looked into */
	size_t n_todo;
	void *memory; /* what these two lie in */
	size_t memory_size;
	uintptr_t heap_from, heap_to;
};

/* ---- the other threads */

static atomic_int n_stopping, n_stopped;
static uintptr_t stacks[THREADS]; /* how far each stack is used */

static void on_stop(int signo)
{
	int i = atomic_fetch_add(&n_stopping, 1);

	if (i < THREADS)
		stacks[i] = (uintptr_t)__builtin_frame_address(0);
	atomic_fetch_add(&n_stopped, 1);
	for (;;)
		(void)syscall(SYS_pause);
}

/* One that lets no signal through goes on: all of its stack counts. */
static void threads_stop(void)
{
	struct sigaction stop = { .sa_handler = on_stop };
	DIR *d = opendir("/proc/self/task");
	pid_t tids[THREADS];
	int n = 0;

	(void)sigfillset(&stop.sa_mask);
	(void)sigaction(SIGRTMAX - 1, &stop, NULL);
	for (struct dirent *e; d && n < THREADS && (e = readdir(d));) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

		if (tid > 0 && tid != (pid_t)syscall(SYS_gettid))
			tids[n++] = tid;
	}
	if (d)
		(void)closedir(d);
	oom_heap_lock();
	for (int i = 0; i < n; i++)
		if (syscall(SYS_tgkill, getpid(), tids[i], SIGRTMAX - 1) < 0)
			atomic_fetch_add(&n_stopped, 1);
	for (int i = 0; i < STOP_TRIES && atomic_load(&n_stopped) < n; i++)
		(void)nanosleep(&(struct timespec){ 0, 50000 }, NULL);
}

/* ---- who knows of what */

/* The block in which the address lies; n if there is none. */
static size_t look_find(const struct look *l, uintptr_t address)
{
	size_t from = 0, to = l->n;

	while (from < to) {
		size_t middle = (from + to) / 2;

		if ((uintptr_t)(l->blocks[middle] + 1) <= address)
			from = middle + 1;
		else
			to = middle;
	}
	if (from == 0)
		return l->n;
	const struct oom_block *b = l->blocks[from - 1];
	return address - (uintptr_t)(b + 1) <= b->size ? from - 1 : l->n;
}

static void look_at(struct look *l, const void *p, size_t n)
{
	const uintptr_t *word = p;

	for (; n >= sizeof(*word); n -= sizeof(*word), word++) {
		size_t i;

		if (*word - l->heap_from >= l->heap_to - l->heap_from)
			continue;
		i = look_find(l, *word);
		if (i == l->n || l->blocks[i]->known)
			continue;
		l->blocks[i]->known = true;
		l->todo[l->n_todo++] = i;
	}
}

/* Pages that were never touched hold nothing; there are many behind the end of a stack. */
static void look_at_pages(struct look *l, uintptr_t from, uintptr_t to)
{
	static unsigned char there[PAGES];

	for (uintptr_t at = from & ~(uintptr_t)(PAGE - 1); at < to; at += (size_t)PAGES * PAGE) {
		size_t n = to - at < (size_t)PAGES * PAGE ? to - at : (size_t)PAGES * PAGE;

		if (mincore((void *)at, n, there) < 0)
			return;
		for (size_t i = 0; i * PAGE < n; i++) {
			uintptr_t start = at + i * PAGE < from ? from : at + i * PAGE;

			if (there[i] & 1)
				look_at(l, (void *)start, at + (i + 1) * PAGE - start);
		}
	}
}

static void look_at_mapping(struct look *l, uintptr_t from, uintptr_t to)
{
	uintptr_t memory = (uintptr_t)l->memory, lowest = UINTPTR_MAX;
	int n = atomic_load(&n_stopping);

	if (from < l->heap_to && to > l->heap_from) {
		/* Neighbours may have become one with the heap. */
		if (from < l->heap_from)
			look_at_pages(l, from, l->heap_from);
		if (to > l->heap_to)
			look_at_mapping(l, l->heap_to, to);
		return;
	}
	if (from < memory + l->memory_size && to > memory) {
		if (from < memory)
			look_at_pages(l, from, memory);
		if (to > memory + l->memory_size)
			look_at_mapping(l, memory + l->memory_size, to);
		return;
	}
	/* Below the end of a stack lies what its thread left behind. */
	for (int i = 0; i < n && i < THREADS; i++)
		if (stacks[i] >= from && stacks[i] < to && stacks[i] < lowest)
			lowest = stacks[i];
	look_at_pages(l, lowest == UINTPTR_MAX ? from : lowest & ~(uintptr_t)7, to);
}

static void look_at_mappings(struct look *l)
{
	static char maps[MAPS_SIZE];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t n;

	while (fd >= 0 && size < sizeof(maps) - 1 &&
	       (n = read(fd, maps + size, sizeof(maps) - 1 - size)) > 0)
		size += (size_t)n;
	(void)close(fd);
	maps[size] = '\0';
	for (char *line = maps; *line;) {
		uintptr_t from = strtoull(line, &line, 16), to;

		to = strtoull(line + (*line == '-'), &line, 16);
		if (strncmp(line, " rw", 3) == 0 && line[4] == 'p')
			look_at_mapping(l, from, to);
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
}

/* ---- the look */

static bool look_begin(struct look *l)
{
	size_t i;

	for (struct oom_block *b = oom_heap_newest(); b; b = b->before)
		l->n += oom_block_is_live(b);
	if (l->n == 0)
		return false;
	l->memory_size =
		(l->n * (sizeof(*l->blocks) + sizeof(*l->todo)) + PAGE - 1) & ~(size_t)(PAGE - 1);
	l->memory = mmap(NULL, l->memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	if (l->memory == MAP_FAILED)
		abort();
	l->blocks = l->memory;
	l->todo = (size_t *)(l->blocks + l->n);
	i = l->n;
	for (struct oom_block *b = oom_heap_newest(); b; b = b->before)
		if (oom_block_is_live(b))
			l->blocks[--i] = b;
	oom_heap_range(&l->heap_from, &l->heap_to);
	return true;
}

bool oom_look(struct oom_page *page)
{
	struct look l = { 0 };

	/* This thread's own stack counts from here on: what this function leaves there lies below. */
	stacks[n_stopping++] = (uintptr_t)__builtin_frame_address(0);
	threads_stop();
	if (!look_begin(&l))
		return false;
	look_at_mappings(&l);
	while (l.n_todo) {
		const struct oom_block *b = l.blocks[l.todo[--l.n_todo]];

		look_at(&l, b + 1, b->size);
	}
	for (size_t i = 0; i < l.n; i++)
		if (!l.blocks[i]->known && page->n_lost++ < OOM_LOST)
			page->lost[page->n_lost - 1] =
				(struct oom_lost){ l.blocks[i]->caller, l.blocks[i]->size };
	return page->n_lost > 0;
}
