/* SPDX-License-Identifier: MIT */
/*
 * The two threads that touch the disk.
 *
 *   loop:  submit ──► [chunks]                                      take ◄── one post at a time
 *   write:            all of it in one pwritev a file ─► written ──► dirty files
 *   sync:                                                  fdatasync each, once ─► durable
 *
 * What is done in one round is in write_step.c and sync_step.c; here is who does it. Either thread
 * does either, but no two the same at a time. Who has written goes on to sync: with one message in
 * flight nobody else need be woken. What comes while one syncs is written by the other, and is
 * covered by the next sync, which the first goes on to: that is the group commit.
 * A test that wants to decide all that itself has no threads, and calls the rounds (`stepped`).
 *
 * Trouble: while the disk is full the writing waits and is tried again, and the loop refuses more.
 * Any other failed write or sync is final, because nobody knows what the kernel did with the pages.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "journal/state.h"
#include "journal/writer_internal.h"

enum { STALL_RETRY_MS = 100 };

/* What a post carries: it may arrive when the writer is gone. */
struct mail {
	void (*notify)(void *arg); /* NULL: nobody is there any more */
	void *arg;
	struct writer *writer;
	struct post post;
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

void writer_post(struct writer *w)
{
	pthread_cond_broadcast(&w->moved);
	if (w->posted)
		return;
	w->posted = true;
	loop_post(w->o.loop, &w->mail->post, on_post, w->mail);
}

void writer_fail(struct writer *w, int rc, const char *what, uint64_t number)
{
	char name[FILE_NAME_SIZE];

	file_name(name, number);
	pthread_mutex_lock(&w->mutex);
	if (!w->report.failed)
		w->report.failed = err_set(&w->report.failure, rc,
					   "journal %s: %s of %s failed: %s; nothing more is "
					   "accepted: check the disk, then restart",
					   w->o.dir, what, name, strerror(-rc));
	writer_post(w);
	pthread_mutex_unlock(&w->mutex);
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
	if (!w->stop)
		(void)pthread_cond_timedwait(&w->room, &w->mutex, &until);
	stop = w->stop;
	pthread_mutex_unlock(&w->mutex);
	return !stop;
}

bool writer_sync_idle(const struct writer *w)
{
	return (w->report.failed || w->report.written == w->report.durable) &&
	       list_empty(&w->removals);
}

/* These two with the mutex held. */
static bool write_due(const struct writer *w)
{
	return !w->writing &&
	       (!list_empty(&w->chunks) || !list_empty(&w->state_chunks) || w->want_spare);
}

static bool sync_due(const struct writer *w)
{
	return !w->syncing && !writer_sync_idle(w);
}

/* One round; the mutex is held before and after. */
static void do_write(struct writer *w)
{
	w->writing = true;
	pthread_mutex_unlock(&w->mutex);
	while (write_step(w) < 0)
		if (!wait_for_room(w))
			write_step_abandon(w);
	pthread_mutex_lock(&w->mutex);
	w->writing = false;
}

static void do_sync(struct writer *w)
{
	w->syncing = true;
	if (write_due(w))
		pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->mutex);
	(void)writer_step_sync(w);
	pthread_mutex_lock(&w->mutex);
	w->syncing = false;
}

/* What is due and not being done is never left: who does it looks again before it waits. */
static void *work_thread(void *arg)
{
	struct writer *w = arg;

	pthread_mutex_lock(&w->mutex);
	for (;;) {
		if (sync_due(w))
			do_sync(w);
		else if (write_due(w))
			do_write(w);
		else if (w->stop)
			break;
		else
			pthread_cond_wait(&w->work, &w->mutex);
	}
	pthread_mutex_unlock(&w->mutex);
	return NULL;
}

bool writer_step_write(struct writer *w)
{
	return write_step(w) > 0;
}

static int start_threads(struct writer *w)
{
	int rc = 0;

	for (; w->n_threads < WRITER_THREADS && rc == 0; w->n_threads += rc == 0)
		rc = -pthread_create(&w->threads[w->n_threads], NULL, work_thread, w);
	return rc;
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
	*w->mail = (struct mail){ .notify = options->notify, .arg = options->arg, .writer = w };
	for (struct list *l[] = { &w->chunks, &w->state_chunks, &w->done, &w->dirty, &w->removals,
				  &w->removed, &w->batch, &w->state_batch, &w->written, &w->sealed,
				  NULL },
			 **it = l;
	     *it; it++)
		list_init(*it);
	w->report.written = w->report.durable = w->queued_lsn = options->lsn;
	w->states = file_ref(options->states);
	w->states_end = w->states_room = w->report.states_bytes = options->states_end;
	w->states_rewrite_at = STATE_GROW;
	(void)pthread_mutex_init(&w->mutex, NULL);
	(void)pthread_cond_init(&w->work, NULL);
	(void)pthread_cond_init(&w->room, NULL);
	(void)pthread_cond_init(&w->moved, NULL);
	for (size_t i = 0; i < SPARES_MAX; i++)
		if (options->spares[i])
			w->spares[i] = (struct spare){ SPARE_READY, .recycled = true };
	rc = options->index ? index_step_resume(w, options->index) : 0;
	if (rc == 0 && !w->o.stepped)
		rc = start_threads(w);
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
	pthread_mutex_unlock(&w->mutex);
	pthread_cond_signal(&w->work); /* who wakes finds the mutex free */
}

void writer_want_spare(struct writer *w)
{
	pthread_mutex_lock(&w->mutex);
	w->want_spare = true;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->mutex);
}

void writer_remove(struct writer *w, struct file *f)
{
	pthread_mutex_lock(&w->mutex);
	list_add_tail(&w->removals, &file_ref(f)->remove);
	pthread_cond_signal(&w->work);
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

void writer_drain(struct writer *w)
{
	if (w->o.stepped) {
		while (write_step(w) > 0)
			;
		while (writer_step_sync(w))
			;
		return;
	}
	pthread_mutex_lock(&w->mutex);
	while (!w->report.failed && !w->report.stalled && w->report.durable != w->queued_lsn)
		pthread_cond_wait(&w->moved, &w->mutex);
	pthread_mutex_unlock(&w->mutex);
}

void writer_stop(struct writer *w)
{
	if (w->o.stepped) {
		writer_drain(w);
		if (w->report.stalled)
			write_step_abandon(w);
	}
	pthread_mutex_lock(&w->mutex);
	w->stop = true;
	pthread_cond_broadcast(&w->work);
	pthread_cond_broadcast(&w->room);
	pthread_mutex_unlock(&w->mutex);
	while (w->n_threads)
		(void)pthread_join(w->threads[--w->n_threads], NULL);
	index_step_close(w, !w->report.failed && w->report.durable == w->queued_lsn);
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
	pthread_cond_destroy(&w->moved);
	pthread_cond_destroy(&w->room);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->mutex);
	free(w);
	return NULL;
}
