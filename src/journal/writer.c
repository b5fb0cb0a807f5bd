/* SPDX-License-Identifier: MIT */
/*
 * The writer thread and the sync thread.
 *
 *   loop:    submit ──► [chunks]                                    take ◄── one post at a time
 *   writer:             all of it in one pwritev a file ─► written ──► dirty files
 *   sync:                                                   fdatasync each, once ─► durable
 *
 * While one sync runs the writer goes on, and all that it wrote meanwhile is covered by the next:
 * that is the group commit. The writer makes new segments and rewrites the states' log; the sync
 * thread also unlinks.
 *
 * Trouble: a full disk is met where room is reserved (fallocate, or a write that takes nothing);
 * nothing was lost then, the writer waits and tries again while the loop refuses more. Any other
 * failed write or sync is final, because nobody knows what the kernel did with the pages.
 */
#include "journal/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "journal/record.h"
#include "journal/state.h"

enum { IOV_MAX_ONCE = 64, STALL_RETRY_MS = 100 };

/* What a post carries: it may arrive when the writer is gone. */
struct mail {
	void (*notify)(void *arg); /* NULL: nobody is there any more */
	void *arg;
	struct writer *writer;
};

struct writer {
	struct writer_options o;
	struct mail *mail;
	pthread_t writing, syncing;
	bool started_writing, started_syncing;
	pthread_mutex_t mutex;
	pthread_cond_t submitted, wrote;

	/* under the mutex */
	struct list chunks, state_chunks, done; /* struct chunk.link */
	struct list dirty;                      /* struct file.dirty */
	struct list removals, removed;          /* struct file.remove */
	uint64_t queued_lsn;
	size_t states_live;
	bool stop_writing, stop_syncing, posted, dir_dirty;
	struct writer_report report;

	/* the writer thread's own */
	struct file *states;
	size_t states_end, states_room, states_rewrite_at;
};

static void on_post(void *arg)
{
	struct mail *mail = arg;

	if (!mail->notify) {
		free(mail);
		return;
	}
	pthread_mutex_lock(&mail->writer->mutex);
	mail->writer->posted = false;
	pthread_mutex_unlock(&mail->writer->mutex);
	mail->notify(mail->arg);
}

/* The mutex is held; it is let go between tries when there is no memory for a post. */
static void post(struct writer *w)
{
	const struct timespec pause = { 0, 1000000 };

	while (!w->posted) {
		if (loop_post(w->o.loop, on_post, w->mail) == 0) {
			w->posted = true;
			return;
		}
		pthread_mutex_unlock(&w->mutex);
		(void)nanosleep(&pause, NULL);
		pthread_mutex_lock(&w->mutex);
	}
}

static void fail(struct writer *w, int rc, const char *what, uint64_t number)
{
	char name[FILE_NAME_SIZE];

	file_name(name, number);
	pthread_mutex_lock(&w->mutex);
	if (!w->report.failed)
		w->report.failed = err_set(&w->report.failure, rc,
					   "journal %s: %s of %s failed: %s; nothing more is "
					   "accepted: check the disk, then restart",
					   w->o.dir, what, name, strerror(-rc));
	post(w);
	pthread_mutex_unlock(&w->mutex);
}

static bool is_full(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT;
}

/* Waits for room on the disk. False: the journal is being closed, give up. */
static bool wait_for_room(struct writer *w)
{
	struct timespec until;
	bool stop;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += STALL_RETRY_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pthread_mutex_lock(&w->mutex);
	w->report.stalled = true;
	post(w);
	if (!w->stop_writing)
		(void)pthread_cond_timedwait(&w->submitted, &w->mutex, &until);
	stop = w->stop_writing;
	pthread_mutex_unlock(&w->mutex);
	return !stop;
}

/* Reserves room, or at least the size where the file system can't: 0 or a negative errno. */
static int reserve(struct writer *w, int fd, size_t from, size_t n)
{
	int rc = w->o.sys->fallocate(fd, 0, (off_t)from, (off_t)n) < 0 ? -errno : 0;

	if (rc == -EOPNOTSUPP)
		rc = ftruncate(fd, (off_t)(from + n)) < 0 ? -errno : 0;
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

/* Writes it all, over short writes and full disks: 0, -ENOSPC (closing), or a failure. */
static int write_whole(struct writer *w, struct file *f, struct iovec *iov, int n, size_t at)
{
	while (n) {
		ssize_t did = write_some(w, f->fd, iov, n, at);

		if (is_full((int)did) && wait_for_room(w))
			continue;
		if (did < 0)
			return (int)did;
		at += (size_t)did;
		while (n && (size_t)did >= iov->iov_len) {
			did -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n) {
			iov->iov_base = (char *)iov->iov_base + did;
			iov->iov_len -= (size_t)did;
		}
	}
	return 0;
}

static int segment_fill(struct writer *w, const struct file *f, int fd)
{
	struct file_header h = { .kind = FILE_SEGMENT,
				 .version = FILE_VERSION,
				 .number = f->number,
				 .generation = f->generation,
				 .size = f->size,
				 .lsn = f->lsn };
	char bytes[FILE_HEADER];
	struct iovec iov = { bytes, sizeof(bytes) };
	int rc = reserve(w, fd, 0, f->size);
	ssize_t did;

	if (rc < 0)
		return rc;
	file_header_write(bytes, &h);
	did = write_some(w, fd, &iov, 1, 0);
	return did < 0 ? (int)did : did == FILE_HEADER ? 0 : -ENOSPC;
}

static int segment_make(struct writer *w, struct file *f)
{
	char name[FILE_NAME_SIZE];
	int fd, rc;

	file_name(name, f->number);
	do {
		fd = openat(w->o.dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		rc = fd < 0 ? -errno : segment_fill(w, f, fd);
		if (rc < 0 && fd >= 0) {
			(void)close(fd);
			(void)unlinkat(w->o.dirfd, name, 0);
		}
	} while (is_full(rc) && wait_for_room(w));
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&w->mutex);
	f->fd = fd;
	w->dir_dirty = true;
	pthread_mutex_unlock(&w->mutex);
	return 0;
}

static void set_dirty(struct writer *w, struct file *f)
{
	pthread_mutex_lock(&w->mutex);
	w->report.writes++;
	if (list_empty(&f->dirty))
		list_add_tail(&w->dirty, &file_ref(f)->dirty);
	pthread_mutex_unlock(&w->mutex);
}

/* Room in the states' log up to `end`; waits for it while the disk is full. */
static int states_room(struct writer *w, const struct file *f, size_t end)
{
	while (end > w->states_room) {
		size_t missing = end - w->states_room;
		size_t more = missing > STATE_GROW ? missing : STATE_GROW;
		int rc = reserve(w, f->fd, w->states_room, more);

		if (rc == 0)
			w->states_room += more;
		else if (!is_full(rc) || !wait_for_room(w))
			return rc;
	}
	return 0;
}

/* One write for the chunks from `it` on that lie in one file: 0, or what failed. */
static int write_run(struct writer *w, struct list **it, const struct list *end)
{
	struct chunk *first = container_of(*it, struct chunk, link);
	struct file *f = first->segment ? first->file : w->states;
	size_t at = first->segment ? first->offset : w->states_end, total = 0;
	struct iovec iov[IOV_MAX_ONCE];
	int n = 0, rc = 0;

	for (; *it != end && n < IOV_MAX_ONCE; *it = (*it)->next) {
		struct chunk *c = container_of(*it, struct chunk, link);

		if (c->segment != first->segment)
			break;
		for (size_t done = 0; !c->segment && done < c->len;)
			done += record_restamp(c->data + done, f->generation);
		iov[n++] = (struct iovec){ c->data, c->len };
		total += c->len;
	}
	if (total == 0)
		return 0;
	if (f->fd < 0)
		rc = segment_make(w, f);
	if (rc == 0 && !first->segment)
		rc = states_room(w, f, at + total);
	if (rc == 0)
		rc = write_whole(w, f, iov, n, at);
	if (rc < 0)
		fail(w, rc, "a write", f->number);
	if (rc == 0 && !first->segment)
		w->states_end += total;
	if (rc == 0)
		set_dirty(w, f);
	return rc;
}

static int write_list(struct writer *w, struct list *chunks)
{
	struct list *it = chunks->next;
	int rc = 0;

	while (it != chunks && rc == 0)
		rc = write_run(w, &it, chunks);
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
		fail(w, -EIO, "the sync of the directory", 0);
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

/* The mutex is held. */
static bool writer_idle(const struct writer *w)
{
	return list_empty(&w->chunks) && list_empty(&w->state_chunks);
}

static void *write_thread(void *arg)
{
	struct writer *w = arg;

	pthread_mutex_lock(&w->mutex);
	for (;;) {
		struct list chunks, state_chunks;
		size_t live;
		uint64_t lsn;
		int rc;

		while (writer_idle(w) && !w->stop_writing)
			pthread_cond_wait(&w->submitted, &w->mutex);
		if (writer_idle(w))
			break;
		list_init(&chunks);
		list_init(&state_chunks);
		list_splice_tail(&chunks, &w->chunks);
		list_splice_tail(&state_chunks, &w->state_chunks);
		lsn = w->queued_lsn;
		live = w->states_live;
		rc = w->report.failed;
		pthread_mutex_unlock(&w->mutex);
		if (rc == 0)
			rc = write_list(w, &chunks);
		if (rc == 0)
			rc = write_list(w, &state_chunks);
		if (rc == 0)
			states_shrink(w, live, lsn);
		pthread_mutex_lock(&w->mutex);
		if (rc == 0) {
			w->report.written = lsn;
			w->report.stalled = false;
			w->report.states_bytes = w->states_end;
		}
		list_splice_tail(&w->done, &chunks);
		list_splice_tail(&w->done, &state_chunks);
		pthread_cond_signal(&w->wrote);
		post(w);
	}
	pthread_mutex_unlock(&w->mutex);
	return NULL;
}

static int sync_files(struct writer *w, struct list *files, bool dir)
{
	int rc = dir && !w->o.nosync && fsync(w->o.dirfd) < 0 ? -errno : 0;

	if (rc < 0)
		fail(w, rc, "the sync of the directory", 0);
	while (!list_empty(files)) {
		struct file *f = container_of(files->next, struct file, dirty);

		/* Off the list first: what is written from now on makes it dirty again. */
		pthread_mutex_lock(&w->mutex);
		list_del(&f->dirty);
		pthread_mutex_unlock(&w->mutex);
		if (rc == 0 && !w->o.nosync && w->o.sys->fdatasync(f->fd) < 0) {
			rc = -errno;
			fail(w, rc, "a sync", f->number);
		}
		(void)file_unref(f);
	}
	return rc;
}

static void unlink_files(struct writer *w, struct list *files)
{
	char name[FILE_NAME_SIZE];

	if (list_empty(files))
		return;
	list_for_each (it, files) {
		file_name(name, container_of(it, struct file, remove)->number);
		if (unlinkat(w->o.dirfd, name, 0) < 0)
			log_warn(w->o.log, "segment not removed", "dir=%s file=%s error=%s",
				 w->o.dir, name, strerror(errno));
	}
	if (!w->o.nosync)
		(void)fsync(w->o.dirfd);
}

/* The mutex is held. */
static bool sync_idle(const struct writer *w)
{
	return (w->report.failed || w->report.written == w->report.durable) &&
	       list_empty(&w->removals);
}

static void *sync_thread(void *arg)
{
	struct writer *w = arg;

	pthread_mutex_lock(&w->mutex);
	for (;;) {
		struct list files, removals;
		uint64_t target;
		bool dir;
		int rc;

		while (sync_idle(w) && !w->stop_syncing)
			pthread_cond_wait(&w->wrote, &w->mutex);
		if (sync_idle(w))
			break;
		list_init(&files);
		list_init(&removals);
		list_splice_tail(&removals, &w->removals);
		target = w->report.written;
		dir = w->dir_dirty;
		rc = w->report.failed;
		w->dir_dirty = false;
		if (rc == 0)
			list_splice_tail(&files, &w->dirty);
		pthread_mutex_unlock(&w->mutex);
		if (rc == 0)
			rc = sync_files(w, &files, dir);
		if (rc == 0)
			unlink_files(w, &removals);
		pthread_mutex_lock(&w->mutex);
		if (rc == 0 && target != w->report.durable) {
			w->report.durable = target;
			w->report.syncs++;
		}
		list_splice_tail(&w->removed, &removals);
		post(w);
	}
	pthread_mutex_unlock(&w->mutex);
	return NULL;
}

int writer_create(const struct writer_options *options, struct writer **ret)
{
	struct writer *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return -ENOMEM;
	w->o = *options;
	w->mail = malloc(sizeof(*w->mail));
	if (!w->mail) {
		free(w);
		return -ENOMEM;
	}
	*w->mail = (struct mail){ options->notify, options->arg, w };
	for (struct list *l[] = { &w->chunks, &w->state_chunks, &w->done, &w->dirty, &w->removals,
				  &w->removed, NULL },
			 **it = l;
	     *it; it++)
		list_init(*it);
	w->report.written = w->report.durable = w->queued_lsn = options->lsn;
	w->states = file_ref(options->states);
	w->states_end = w->states_room = w->report.states_bytes = options->states_end;
	w->states_rewrite_at = STATE_GROW;
	(void)pthread_mutex_init(&w->mutex, NULL);
	(void)pthread_cond_init(&w->submitted, NULL);
	(void)pthread_cond_init(&w->wrote, NULL);
	rc = -pthread_create(&w->writing, NULL, write_thread, w);
	w->started_writing = rc == 0;
	if (rc == 0)
		rc = -pthread_create(&w->syncing, NULL, sync_thread, w);
	w->started_syncing = rc == 0;
	if (rc < 0)
		w = writer_destroy(w);
	*ret = w;
	return rc;
}

void writer_submit(struct writer *w, struct list *chunks, struct list *state_chunks, uint64_t lsn,
		   size_t states_live)
{
	pthread_mutex_lock(&w->mutex);
	list_splice_tail(&w->chunks, chunks);
	list_splice_tail(&w->state_chunks, state_chunks);
	w->queued_lsn = lsn;
	w->states_live = states_live;
	pthread_cond_signal(&w->submitted);
	pthread_mutex_unlock(&w->mutex);
}

void writer_remove(struct writer *w, struct file *f)
{
	pthread_mutex_lock(&w->mutex);
	list_add_tail(&w->removals, &file_ref(f)->remove);
	pthread_cond_signal(&w->wrote);
	pthread_mutex_unlock(&w->mutex);
}

void writer_take(struct writer *w, struct writer_report *ret, struct list *done,
		 struct list *removed)
{
	pthread_mutex_lock(&w->mutex);
	*ret = w->report;
	list_splice_tail(done, &w->done);
	list_splice_tail(removed, &w->removed);
	pthread_mutex_unlock(&w->mutex);
}

void writer_stop(struct writer *w)
{
	pthread_mutex_lock(&w->mutex);
	w->stop_writing = true;
	pthread_cond_signal(&w->submitted);
	pthread_mutex_unlock(&w->mutex);
	if (w->started_writing)
		(void)pthread_join(w->writing, NULL);
	w->started_writing = false;
	pthread_mutex_lock(&w->mutex);
	w->stop_syncing = true;
	pthread_cond_signal(&w->wrote);
	pthread_mutex_unlock(&w->mutex);
	if (w->started_syncing)
		(void)pthread_join(w->syncing, NULL);
	w->started_syncing = false;
}

struct writer *writer_destroy(struct writer *w)
{
	if (!w)
		return NULL;
	writer_stop(w);
	list_for_each_safe (it, &w->dirty) {
		list_del(it);
		(void)file_unref(container_of(it, struct file, dirty));
	}
	if (w->posted)
		w->mail->notify = NULL;
	else
		free(w->mail);
	(void)file_unref(w->states);
	pthread_cond_destroy(&w->wrote);
	pthread_cond_destroy(&w->submitted);
	pthread_mutex_destroy(&w->mutex);
	free(w);
	return NULL;
}
