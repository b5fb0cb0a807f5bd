/* SPDX-License-Identifier: MIT */
/*
 * The two threads that touch the disk: one writes what the loop hands over, one syncs what was
 * written. What is here is what the loop sees of them; all of it is called on the loop's thread.
 */
#ifndef VOXBUS_JOURNAL_WRITER_H
#define VOXBUS_JOURNAL_WRITER_H

#include <stdatomic.h>

#include "base/err.h"
#include "base/log.h"
#include "journal/sys.h"
#include "loop/loop.h"

enum { FILE_NAME_SIZE = 32, SPARES_MAX = 2 };

struct index_file;
struct segment;
struct writer;

/* An open file, shared with readers: unlinked or not, it stays readable until the last unref. */
struct file {
	atomic_uint refs;
	int fd;                      /* -1 until the writer has made it */
	struct list dirty;           /* writer.dirty, under its mutex */
	struct list remove;          /* writer.removals or writer.removed, under its mutex */
	uint64_t number, generation; /* number 0: the states */
	uint64_t lsn, before;        /* struct file_header */
	size_t size;
	bool from_spare; /* a spare was set aside for it */
	bool recycle;    /* to be kept as a spare when it is removed */
};

/* One reference, or NULL. Takes the descriptor over (also when it fails: then it is closed). */
struct file *file_create_take(int fd, uint64_t number, uint64_t generation);
struct file *file_ref(struct file *f);
struct file *file_unref(struct file *f);
void file_name(char out[FILE_NAME_SIZE], uint64_t number);
void spare_name(char out[FILE_NAME_SIZE], size_t slot);
void index_file_name(char out[FILE_NAME_SIZE], uint64_t number);

/* Bytes on their way to a file. */
struct chunk {
	struct list link;        /* journal.chunks or .state_chunks, then the writer's, then done */
	struct segment *segment; /* NULL: for the states, whose place the writer knows */
	struct file *file;       /* the segment's, which outlives the chunk */
	size_t offset, len, cap;
	size_t done; /* so many bytes are in the file */
	char data[];
};

struct writer_options {
	struct loop *loop;
	int dirfd; /* borrowed */
	const char *dir;
	const struct log *log;
	const struct journal_sys *sys;
	uint64_t (*random)(void *arg); /* generations; called by the write step */
	void *random_arg;
	bool nosync;
	bool stepped;        /* no threads: writer_step_write and writer_step_sync are called */
	struct file *states; /* a reference of its own is taken */
	size_t states_end;
	size_t segment_bytes;     /* of spares */
	bool spares[SPARES_MAX];  /* there already */
	struct index_file *index; /* what the current segment holds, NULL: not known; is taken */
	uint64_t lsn;             /* all up to here is durable */
	int64_t clock_ahead_ms;   /* for the header of the states' log: see age.h */
	/* On the loop, when there is something to take; at most one call is on its way. */
	void (*notify)(void *arg);
	void *arg;
};

struct writer_report {
	uint64_t written, durable, writes, syncs;
	size_t states_bytes;
	uint64_t spares_made; /* since the start */
	bool no_room;         /* the last spare that was asked for could not be made */
	bool stalled;         /* the disk is full: it waits for room and goes on */
	int failed;           /* negative errno: nothing is written any more */
	struct err failure;
};

int writer_create(const struct writer_options *options, struct writer **ret);
/* Takes all chunks off both lists; lsn is the last in them, states_live what a snapshot needs. */
void writer_submit(struct writer *w, struct list *chunks, struct list *state_chunks, uint64_t lsn,
		   size_t states_live);
/* Makes a spare segment, after what was submitted. */
void writer_want_spare(struct writer *w);
/* Takes a reference; unlinks the file (or keeps it as a spare) and comes back in writer_take's `removed`. */
void writer_remove(struct writer *w, struct file *f);
/* How things stand; moves written chunks and removed files (file.remove, with the reference). */
void writer_take(struct writer *w, struct writer_report *ret, struct list *done,
		 struct list *removed);
/*
 * One round of what the threads do, true = something was done: writing all that was submitted
 * (false also when the disk is full: what is left waits for the next call), or syncing all that
 * is written and unlinking what is to be removed. Both only post to the loop.
 */
bool writer_step_write(struct writer *w);
bool writer_step_sync(struct writer *w);
/* Blocks until all that was submitted is durable, or can't be: failed, or the disk is full. */
void writer_drain(struct writer *w);
/* Writes and syncs what was submitted, ends the threads; afterwards only take and destroy. */
void writer_stop(struct writer *w);
struct writer *writer_destroy(struct writer *w);

#endif
