/* SPDX-License-Identifier: MIT */
/*
 * The writer's part in index files: each record that is in a segment gets its item.
 *
 * A file is whole when it has its trailer, and that is written only when the segment is sealed and
 * all of it is synced (or at a clean close): so a good index file also says that its segment is.
 * It is never synced itself, and when it can't be written it is given up: then the segment is
 * scanned at the next start, nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal/writer_internal.h"

enum { FLUSH_BYTES = 65536 };

struct indexing {
	struct list link; /* writer.sealed */
	struct index_file x;
	int fd;           /* -1: not made yet */
	uint64_t covered; /* the segment is synced when this lsn is */
};

static struct indexing *indexing_destroy(struct indexing *ix)
{
	if (!ix)
		return NULL;
	list_del(&ix->link);
	if (ix->fd >= 0)
		(void)close(ix->fd);
	index_file_fini(&ix->x);
	free(ix);
	return NULL;
}

static struct indexing *indexing_create(uint64_t number, uint64_t generation)
{
	struct indexing *ix = calloc(1, sizeof(*ix));

	if (!ix)
		return NULL;
	list_init(&ix->link);
	ix->fd = -1;
	return index_file_begin(&ix->x, number, generation) < 0 ? indexing_destroy(ix) : ix;
}

static int indexing_write(struct writer *w, struct indexing *ix)
{
	char name[FILE_NAME_SIZE];

	if (ix->fd < 0) {
		index_file_name(name, ix->x.number);
		ix->fd = w->o.sys->openat(w->o.dirfd, name,
					  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	}
	if (ix->fd < 0)
		return -errno;
	for (size_t at = 0; at < ix->x.n;) {
		struct iovec iov = { ix->x.bytes + at, ix->x.n - at };
		ssize_t did = w->o.sys->pwritev(ix->fd, &iov, 1, (off_t)(ix->x.flushed + at));

		if (did < 0 && errno == EINTR)
			continue;
		if (did <= 0)
			return did < 0 ? -errno : -EIO;
		at += (size_t)did;
	}
	index_file_flush(&ix->x);
	return 0;
}

/* A half file is of no use. */
static struct indexing *give_up(struct writer *w, struct indexing *ix, int rc)
{
	char name[FILE_NAME_SIZE];

	index_file_name(name, ix->x.number);
	log_debug(w->o.log, "index file given up", "dir=%s file=%s error=%s", w->o.dir, name,
		  strerror(-rc));
	if (ix->fd >= 0)
		(void)w->o.sys->unlinkat(w->o.dirfd, name, 0);
	return indexing_destroy(ix);
}

/* The trailer; the bytes are done with then. */
static void finish(struct writer *w, struct indexing *ix, bool sealed)
{
	int rc = index_file_end(&ix->x, sealed);

	if (rc == 0)
		rc = indexing_write(w, ix);
	if (rc < 0)
		(void)give_up(w, ix, rc);
	else
		(void)indexing_destroy(ix);
}

int index_step_resume(struct writer *w, struct index_file *x)
{
	struct indexing *ix = calloc(1, sizeof(*ix));

	if (!ix)
		return -ENOMEM;
	list_init(&ix->link);
	ix->fd = -1;
	ix->x = *x;
	*x = (struct index_file){ 0 };
	w->indexing = ix;
	return 0;
}

/* What the items of this chunk go to; NULL: its segment has no index file. */
static struct indexing *indexing_for(struct writer *w, const struct chunk *c, uint64_t lsn)
{
	const struct file *f = c->file;

	if (w->indexing && w->indexing->x.number != f->number) {
		w->indexing->covered = lsn;
		list_add_tail(&w->sealed, &w->indexing->link);
		w->indexing = NULL;
	}
	if (!w->indexing && c->offset == FILE_HEADER)
		w->indexing = indexing_create(f->number, f->generation);
	if (w->indexing && w->indexing->x.facts.end != c->offset)
		w->indexing = give_up(w, w->indexing, -ERANGE);
	return w->indexing;
}

void index_step_chunk(struct writer *w, const struct chunk *c, uint64_t lsn)
{
	struct indexing *ix = c->len ? indexing_for(w, c, lsn) : NULL;
	struct str rest = str_make(c->data, c->len);
	struct record r;
	int rc = 0;

	while (ix && rc == 0 && record_header(rest, c->file->generation, &r) > 0) {
		rc = index_file_add(&ix->x, c->offset + c->len - rest.n, &r);
		rest = str_skip(rest, record_size(r.body.n));
	}
	if (ix && rc == 0 && ix->x.n >= FLUSH_BYTES)
		rc = indexing_write(w, ix);
	if (ix && rc < 0)
		w->indexing = give_up(w, ix, rc);
}

void index_step_finish(struct writer *w, uint64_t durable)
{
	list_for_each_safe (it, &w->sealed) {
		struct indexing *ix = container_of(it, struct indexing, link);

		if (ix->covered > durable)
			break;
		finish(w, ix, true);
	}
}

void index_step_close(struct writer *w, bool all_durable)
{
	struct list sealed;

	list_init(&sealed);
	list_splice_tail(&sealed, &w->sealed);
	list_for_each_safe (it, &sealed) {
		struct indexing *ix = container_of(it, struct indexing, link);

		if (all_durable)
			finish(w, ix, true);
		else
			(void)give_up(w, ix, -ECANCELED);
	}
	if (w->indexing && all_durable && w->indexing->x.facts.records)
		finish(w, w->indexing, false);
	else if (w->indexing)
		(void)indexing_destroy(w->indexing);
	w->indexing = NULL;
}
