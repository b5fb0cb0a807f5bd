/* SPDX-License-Identifier: MIT */
/*
 * One round of writing: all that was submitted goes to its files, in order, with as few calls as
 * can be. New segments are made on the way, and the states' log is made anew when it is mostly dead.
 *
 * A full disk is met where room is reserved (fallocate, or a write that takes nothing or a part);
 * nothing was lost then: what is left stays in the batch, and the next round goes on with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "journal/record.h"
#include "journal/state.h"
#include "journal/writer_internal.h"

enum { IOV_MAX_ONCE = 64 };

static bool is_full(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT;
}

int write_step_reserve(struct writer *w, int fd, size_t from, size_t n)
{
	int rc = w->o.sys->fallocate(fd, 0, (off_t)from, (off_t)n) < 0 ? -errno : 0;

	if (rc == -EOPNOTSUPP)
		rc = w->o.sys->ftruncate(fd, (off_t)(from + n)) < 0 ? -errno : 0;
	return rc;
}

static ssize_t write_some(struct writer *w, int fd, struct iovec *iov, int n, size_t at)
{
	ssize_t did;

	do
		did = w->o.sys->pwritev(fd, iov, n, (off_t)at);
	while (did < 0 && errno == EINTR);
	return did < 0 ? -errno : did == 0 ? -EIO : did;
}

static int header_write(struct writer *w, const struct file *f, int fd, bool recycled)
{
	struct file_header h = { .kind = FILE_SEGMENT,
				 .version = FILE_VERSION,
				 .flags = FILE_MARKED | (recycled ? FILE_RECYCLED : 0),
				 .number = f->number,
				 .generation = f->generation,
				 .size = f->size,
				 .lsn = f->lsn,
				 .before = f->before };
	char bytes[FILE_HEADER];
	struct iovec iov = { bytes, sizeof(bytes) };
	ssize_t did;

	file_header_write(bytes, &h);
	did = write_some(w, fd, &iov, 1, 0);
	return did < 0 ? (int)did : did == FILE_HEADER ? 0 : -ENOSPC;
}

/* From a spare: its descriptor, or a negative errno. */
static int segment_reuse(struct writer *w, const struct file *f, const char *name)
{
	bool recycled;
	int fd, rc;
	size_t slot = spare_take(w, &fd, &recycled);

	if (slot == SPARES_MAX)
		return -ENOENT;
	rc = header_write(w, f, fd, recycled);
	if (rc == 0)
		rc = spare_rename(w, slot, name);
	if (rc == 0)
		return fd;
	spare_discard(w, slot);
	(void)close(fd);
	return rc;
}

/* From nothing: its descriptor, or a negative errno. */
static int segment_new(struct writer *w, const struct file *f, const char *name)
{
	int fd = w->o.sys->openat(w->o.dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0)
		return -errno;
	rc = write_step_reserve(w, fd, 0, f->size);
	if (rc == 0)
		rc = header_write(w, f, fd, false);
	if (rc == 0)
		return fd;
	(void)close(fd);
	(void)w->o.sys->unlinkat(w->o.dirfd, name, 0);
	return rc;
}

/* The directory is synced at once: no later segment may be there without this one. */
static int segment_make(struct writer *w, struct file *f)
{
	char name[FILE_NAME_SIZE];
	int fd = -ENOENT;

	file_name(name, f->number);
	if (f->from_spare)
		fd = segment_reuse(w, f, name);
	if (fd < 0)
		fd = segment_new(w, f, name);
	if (fd < 0)
		return fd;
	pthread_mutex_lock(&w->mutex);
	f->fd = fd;
	pthread_mutex_unlock(&w->mutex);
	return w->o.nosync || w->o.sys->fsync(w->o.dirfd) == 0 ? 0 : -EIO;
}

static void set_dirty(struct writer *w, struct file *f)
{
	pthread_mutex_lock(&w->mutex);
	w->report.writes++;
	if (list_empty(&f->dirty))
		list_add_tail(&w->dirty, &file_ref(f)->dirty);
	pthread_mutex_unlock(&w->mutex);
}

/* Room in the states' log up to `end`. */
static int states_room(struct writer *w, const struct file *f, size_t end)
{
	size_t missing, more;
	int rc;

	if (end <= w->states_room)
		return 0;
	missing = end - w->states_room;
	more = missing > STATE_GROW ? missing : STATE_GROW;
	rc = write_step_reserve(w, f->fd, w->states_room, more);
	if (rc == 0)
		w->states_room += more;
	return rc;
}

/* What is written of the batch's front, after so many bytes more. */
static void take_off(struct writer *w, struct list *batch, size_t n, uint64_t lsn)
{
	while (!list_empty(batch)) {
		struct chunk *c = container_of(batch->next, struct chunk, link);
		size_t part = c->len - c->done < n ? c->len - c->done : n;

		c->done += part;
		n -= part;
		if (c->done < c->len)
			break;
		list_del(&c->link);
		list_add_tail(&w->written, &c->link);
		if (c->segment)
			index_step_chunk(w, c, lsn);
	}
}

/* The front chunks that lie in one file: the number of pieces; *ret_total may be 0. */
static int gather(struct list *batch, const struct file *f, struct iovec *iov, size_t *ret_total)
{
	struct segment *segment = container_of(batch->next, struct chunk, link)->segment;
	int n = 0;

	*ret_total = 0;
	list_for_each (it, batch) {
		struct chunk *c = container_of(it, struct chunk, link);

		if (c->segment != segment || n == IOV_MAX_ONCE)
			break;
		for (size_t at = 0; !segment && at < c->len;)
			at += record_restamp(c->data + at, f->generation);
		iov[n++] = (struct iovec){ c->data + c->done, c->len - c->done };
		*ret_total += c->len - c->done;
	}
	return n;
}

/* One write at the front of the batch: 0, or what failed. */
static int write_run(struct writer *w, struct list *batch, uint64_t lsn)
{
	struct chunk *first = container_of(batch->next, struct chunk, link);
	struct file *f = first->segment ? first->file : w->states;
	size_t at = first->segment ? first->offset + first->done : w->states_end, total;
	struct iovec iov[IOV_MAX_ONCE];
	int n = gather(batch, f, iov, &total), rc = 0;
	const char *what = "a write";
	ssize_t did = 0;

	if (total && f->fd < 0) {
		rc = segment_make(w, f);
		what = rc < 0 ? "the making" : what;
	}
	if (rc == 0 && total && !first->segment)
		rc = states_room(w, f, at + total);
	if (rc == 0 && total)
		did = write_some(w, f->fd, iov, n, at);
	rc = rc < 0 ? rc : did < 0 ? (int)did : 0;
	if (rc < 0 && !is_full(rc))
		writer_fail(w, rc, what, f->number);
	if (rc < 0)
		return rc;
	if (!first->segment)
		w->states_end += (size_t)did;
	if (did)
		set_dirty(w, f);
	take_off(w, batch, (size_t)did, lsn);
	return 0;
}

static int write_batch(struct writer *w, struct list *batch, uint64_t lsn)
{
	int rc = 0;

	while (rc == 0 && !list_empty(batch))
		rc = write_run(w, batch, lsn);
	return rc;
}

/* Makes the states' log anew when it is more than half dead. A failure leaves it as it is. */
static void states_shrink(struct writer *w, size_t live, uint64_t lsn)
{
	struct file *f;
	size_t end;
	int rc;

	if (w->states_end <= w->states_rewrite_at || w->states_end <= 2 * (live + FILE_HEADER))
		return;
	rc = states_rewrite(w->states, w->states_end, &w->o, lsn, &f, &end);
	if (rc == -ESTALE) {
		writer_fail(w, -EIO, "the sync of the directory", 0);
		return;
	}
	if (rc < 0) {
		w->states_rewrite_at = 2 * w->states_end;
		log_warn(w->o.log, "state log not rewritten", "dir=%s error=%s then=%s", w->o.dir,
			 strerror(-rc), "it grows on");
		return;
	}
	w->states_rewrite_at = STATE_GROW;
	(void)file_unref(w->states);
	w->states = f;
	w->states_end = end;
	w->states_room = end;
}

/* The mutex is held: all of the batch is done with, written or not. */
static void give_back(struct writer *w)
{
	list_splice_tail(&w->done, &w->written);
	list_splice_tail(&w->done, &w->batch);
	list_splice_tail(&w->done, &w->state_batch);
	writer_post(w);
}

int write_step(struct writer *w)
{
	size_t live;
	uint64_t lsn, durable;
	bool idle, want_spare;
	int rc;

	pthread_mutex_lock(&w->mutex);
	list_splice_tail(&w->batch, &w->chunks);
	list_splice_tail(&w->state_batch, &w->state_chunks);
	lsn = w->queued_lsn;
	live = w->states_live;
	durable = w->report.durable;
	want_spare = w->want_spare;
	w->want_spare = false;
	rc = w->report.failed;
	pthread_mutex_unlock(&w->mutex);
	idle = list_empty(&w->batch) && list_empty(&w->state_batch) && list_empty(&w->written);
	index_step_finish(w, durable);
	if (idle && want_spare && rc == 0)
		spare_make(w);
	if (idle)
		return want_spare;
	if (rc == 0)
		rc = write_batch(w, &w->batch, lsn);
	if (rc == 0)
		rc = write_batch(w, &w->state_batch, lsn);
	if (rc == 0)
		states_shrink(w, live, lsn);
	if (rc == 0 && want_spare)
		spare_make(w);
	pthread_mutex_lock(&w->mutex);
	w->report.stalled = is_full(rc);
	if (rc == 0) {
		w->report.written = lsn;
		w->report.states_bytes = w->states_end;
	}
	if (is_full(rc))
		writer_post(w);
	else
		give_back(w);
	pthread_mutex_unlock(&w->mutex);
	return is_full(rc) ? -ENOSPC : 1;
}

void write_step_abandon(struct writer *w)
{
	const struct list *left = list_empty(&w->batch) ? &w->state_batch : &w->batch;
	const struct chunk *c = container_of(left->next, struct chunk, link);

	/* The states have no segment. */
	writer_fail(w, -ENOSPC, "a write", list_empty(left) || !c->segment ? 0 : c->file->number);
	pthread_mutex_lock(&w->mutex);
	list_splice_tail(&w->batch, &w->chunks);
	list_splice_tail(&w->state_batch, &w->state_chunks);
	give_back(w);
	pthread_mutex_unlock(&w->mutex);
}
