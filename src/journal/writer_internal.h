/* SPDX-License-Identifier: MIT */
/*
 * The writer's inside, shared by its threads (writer.c) and by what they do in one round
 * (write_step.c, sync_step.c).
 */
#ifndef VOXBUS_JOURNAL_WRITER_INTERNAL_H
#define VOXBUS_JOURNAL_WRITER_INTERNAL_H

#include <pthread.h>

#include "journal/index_file.h"
#include "journal/writer.h"

struct mail;
struct indexing;

enum { WRITER_THREADS = 2 };

enum spare_state { SPARE_NONE, SPARE_BUSY, SPARE_READY };

struct spare {
	enum spare_state state;
	bool recycled;
};

struct writer {
	struct writer_options o;
	struct mail *mail;
	pthread_t threads[WRITER_THREADS];
	size_t n_threads;
	pthread_mutex_t mutex;
	pthread_cond_t work, room, moved; /* moved: the report did */

	/* under the mutex */
	struct list chunks, state_chunks, done; /* struct chunk.link */
	struct list dirty;                      /* struct file.dirty */
	struct list removals, removed;          /* struct file.remove */
	uint64_t queued_lsn;
	size_t states_live;
	bool stop, writing, syncing, posted, want_spare;
	struct spare spares[SPARES_MAX];
	struct writer_report report;

	/* the write step's own */
	struct list batch, state_batch, written; /* struct chunk.link: taken; in the file */
	struct file *states;
	size_t states_end, states_room, states_rewrite_at;
	struct indexing *indexing; /* of the segment that is written; NULL: it gets no index file */
	struct list sealed;        /* struct indexing.link: not known to be synced yet */
};

/* writer.c. Tells the loop; the mutex is held, and let go for a moment when memory is short. */
void writer_post(struct writer *w);
/* Nothing is written any more; what, e.g. "a write", of file `number` went wrong with rc. */
void writer_fail(struct writer *w, int rc, const char *what, uint64_t number);
/* Is there nothing to sync or to remove? The mutex is held. */
bool writer_sync_idle(const struct writer *w);

/* write_step.c: 1 = all that was submitted is written, 0 = nothing was there, -ENOSPC = disk full. */
int write_step(struct writer *w);
/* Reserves room, or at least the size where the file system can't: 0 or a negative errno. */
int write_step_reserve(struct writer *w, int fd, size_t from, size_t n);
/* Gives up what can't be written: the journal is being closed. */
void write_step_abandon(struct writer *w);

/* spare.c. A spare to be made a segment: its slot, or SPARES_MAX; then rename or discard it. */
size_t spare_take(struct writer *w, int *ret_fd, bool *ret_recycled);
int spare_rename(struct writer *w, size_t slot, const char *to);
void spare_discard(struct writer *w, size_t slot);
void spare_make(struct writer *w);
/* The sync step's: a dead segment becomes a spare. False: it is still there. */
bool spare_keep(struct writer *w, const struct file *f);

/* index_step.c, all called where the write step is. */
/* Goes on with the items of a segment that is written on; takes them. 0 or -ENOMEM. */
int index_step_resume(struct writer *w, struct index_file *x);
/* The chunk is in its segment; lsn: that of the batch. */
void index_step_chunk(struct writer *w, const struct chunk *c, uint64_t lsn);
/* Ends the files of the segments that are synced. */
void index_step_finish(struct writer *w, uint64_t durable);
/* Ends them all, or forgets them. */
void index_step_close(struct writer *w, bool all_durable);

#endif
