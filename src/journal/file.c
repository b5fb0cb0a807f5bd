/* SPDX-License-Identifier: MIT */
/*
 * Open files with a count of those who use them.
 *
 * A segment may be removed while a read of it is on its way in the thread pool: the reader holds
 * a reference and thereby the descriptor, and the kernel keeps the bytes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal/writer.h"

struct file *file_create_take(int fd, uint64_t number, uint64_t generation)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f) {
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	atomic_init(&f->refs, 1);
	f->fd = fd;
	f->number = number;
	f->generation = generation;
	list_init(&f->dirty);
	list_init(&f->remove);
	return f;
}

struct file *file_ref(struct file *f)
{
	(void)atomic_fetch_add(&f->refs, 1);
	return f;
}

struct file *file_unref(struct file *f)
{
	if (f && atomic_fetch_sub(&f->refs, 1) == 1) {
		if (f->fd >= 0)
			(void)close(f->fd);
		free(f);
	}
	return NULL;
}

void file_name(char out[FILE_NAME_SIZE], uint64_t number)
{
	if (number)
		(void)snprintf(out, FILE_NAME_SIZE, "%08" PRIu64 ".vbj", number);
	else
		(void)snprintf(out, FILE_NAME_SIZE, "state.log");
}

void index_file_name(char out[FILE_NAME_SIZE], uint64_t number)
{
	(void)snprintf(out, FILE_NAME_SIZE, "%08" PRIu64 ".vbi", number);
}
