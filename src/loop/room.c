/* SPDX-License-Identifier: MIT */
/*
 * Room in libuv's table of watched descriptors.
 *
 * libuv (1.44, maybe_resize) ends the process when the table must grow and there is no memory: a busy
 * server would die of one connection more. So before a descriptor beyond the table's end is watched, we
 * get a block large enough ourselves, and can say -ENOMEM; libuv, which asks us for memory
 * (uv_replace_allocator), is given that block. All else it asks for comes from malloc, and may fail.
 *
 * The block is this thread's: libuv's own threads ask for memory, too, but have no table.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loop/loop_uv.h"

/* A new loop watches a handful of descriptors, low ones unless the process has many open already. */
enum { FIRST = 256, MARGIN = 2 };

static _Thread_local struct {
	char *block;        /* once used the table of the loop that was the last to grow */
	size_t size;        /* of block */
	const void *before; /* the table that it will take the place of */
	size_t before_size;
	bool used;
} room;

static void *uv_malloc(size_t n)
{
	return malloc(n);
}

static void *uv_calloc(size_t n, size_t size)
{
	return calloc(n, size);
}

static void *uv_realloc(void *p, size_t n)
{
	if (room.used && p == room.block && n <= room.size)
		return p;
	if (room.block && !room.used && p == room.before && n <= room.size) {
		if (room.before_size)
			memcpy(room.block, p, room.before_size);
		free(p);
		room.used = true;
		return room.block;
	}
	return realloc(p, n);
}

static void uv_free(void *p)
{
	if (p && room.used && p == room.block) {
		room.used = false;
		room.block = NULL;
	}
	free(p);
}

static void replace_allocator(void)
{
	(void)uv_replace_allocator(uv_malloc, uv_realloc, uv_calloc, uv_free);
}

static int reserve(const void *before, size_t before_size, size_t n)
{
	size_t size = sizeof(void *);
	char *block;

	while (size < (n + MARGIN) * sizeof(void *))
		size *= 2;
	block = malloc(size);
	if (!block)
		return -ENOMEM;
	room.block = block;
	room.size = size;
	room.before = before;
	room.before_size = before_size;
	room.used = false;
	return 0;
}

/* What libuv had no use for. */
static void release(void)
{
	if (room.used)
		return;
	free(room.block);
	room.block = NULL;
}

int loop_uv_init(uv_loop_t *uv)
{
	static uv_once_t once = UV_ONCE_INIT;
	int rc;

	uv_once(&once, replace_allocator);
	rc = reserve(NULL, 0, FIRST);
	if (rc < 0)
		return rc;
	rc = uv_loop_init(uv);
	release();
	return rc;
}

static void on_nothing(uv_poll_t *poll, int status, int events)
{
}

int loop_poll_init(struct loop *loop, uv_poll_t *poll, int fd)
{
	uv_loop_t *uv = loop_uv(loop);
	size_t had = uv->nwatchers;
	int rc;

	if ((size_t)fd < had)
		return uv_poll_init(uv, poll, fd);
	rc = reserve(uv->watchers, uv->watchers ? (had + MARGIN) * sizeof(void *) : 0,
		     (size_t)fd + 1);
	if (rc < 0)
		return rc;
	rc = uv_poll_init(uv, poll, fd);
	/* The table grows when a handle is started, and never shrinks. */
	if (rc == 0 && uv_poll_start(poll, UV_READABLE, on_nothing) == 0)
		(void)uv_poll_stop(poll);
	release();
	return rc;
}
