/* SPDX-License-Identifier: MIT */
/*
 * One round of syncing: each file that was written since the last, once; then what is to be
 * removed is unlinked. While it runs the writer goes on, and all that it wrote meanwhile is covered
 * by the next round: that is the group commit.
 */
#include <errno.h>
#include <string.h>

#include "journal/writer_internal.h"

static int sync_files(struct writer *w, struct list *files)
{
	int rc = 0;

	while (!list_empty(files)) {
		struct file *f = container_of(files->next, struct file, dirty);

		/* Off the list first: what is written from now on makes it dirty again. */
		pthread_mutex_lock(&w->mutex);
		list_del(&f->dirty);
		pthread_mutex_unlock(&w->mutex);
		if (rc == 0 && !w->o.nosync && w->o.sys->fdatasync(f->fd) < 0) {
			rc = -errno;
			writer_fail(w, rc, "a sync", f->number);
		}
		(void)file_unref(f);
	}
	return rc;
}

static void unlink_file(struct writer *w, const struct file *f)
{
	char name[FILE_NAME_SIZE], index[FILE_NAME_SIZE];

	file_name(name, f->number);
	index_file_name(index, f->number);
	(void)w->o.sys->unlinkat(w->o.dirfd, index, 0); /* there may be none */
	if (f->recycle && spare_keep(w, f))
		return;
	if (w->o.sys->unlinkat(w->o.dirfd, name, 0) < 0)
		log_warn(w->o.log, "segment not removed", "dir=%s file=%s error=%s", w->o.dir, name,
			 strerror(errno));
}

static void unlink_files(struct writer *w, struct list *files)
{
	list_for_each (it, files)
		unlink_file(w, container_of(it, struct file, remove));
	if (!list_empty(files) && !w->o.nosync)
		(void)w->o.sys->fsync(w->o.dirfd);
}

bool writer_step_sync(struct writer *w)
{
	struct list files, removals;
	uint64_t target;
	int rc;

	list_init(&files);
	list_init(&removals);
	pthread_mutex_lock(&w->mutex);
	if (writer_sync_idle(w)) {
		pthread_mutex_unlock(&w->mutex);
		return false;
	}
	list_splice_tail(&removals, &w->removals);
	target = w->report.written;
	rc = w->report.failed;
	if (rc == 0)
		list_splice_tail(&files, &w->dirty);
	pthread_mutex_unlock(&w->mutex);
	if (rc == 0)
		rc = sync_files(w, &files);
	if (rc == 0)
		unlink_files(w, &removals);
	pthread_mutex_lock(&w->mutex);
	if (rc == 0 && target != w->report.durable) {
		w->report.durable = target;
		w->report.syncs++;
	}
	if (!list_empty(&removals))
		pthread_cond_signal(&w->room);
	list_splice_tail(&w->removed, &removals);
	writer_post(w);
	pthread_mutex_unlock(&w->mutex);
	return true;
}
