/* SPDX-License-Identifier: MIT */
/*
 * The append-only log on disk: named streams of records, and a small table of states.
 *
 * Appends are collected in memory during a turn, written by a writer thread in one write, and
 * synced by a sync thread with one fdatasync a batch (group commit). Each append has a log
 * sequence number (lsn); two watermarks tell how far the log is *written* (survives kill -9) and
 * how far it is *durable* (survives a power cut). Whoever acknowledges waits for durable; whoever
 * delivers waits for written.
 *
 *   append -> [batch in memory] -> pwrite -> written -> fdatasync -> durable
 *
 * Streams: the caller numbers the records of a stream without gaps from 1; trimming says that
 * everything below a number is no longer needed. Space comes back in whole segments.
 * States: key -> value, the last write wins; for what is small and changed in place (sessions,
 * dialogs). Both share the watermarks.
 *
 * Nothing here blocks the loop. Reading goes through the thread pool.
 */
#ifndef VOXBUS_JOURNAL_JOURNAL_H
#define VOXBUS_JOURNAL_JOURNAL_H

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "loop/loop.h"

struct journal;
struct jstream;

struct journal_options {
	const char *dir;      /* made if missing, mode 0700; locked against a second daemon */
	size_t segment_bytes; /* 0 = 64 MiB */
	uint64_t quota_bytes; /* all segments together; 0 = 8 GiB: appends get -ENOSPC */
	size_t inflight_max;  /* bytes appended and not written; 0 = 64 MiB: -EAGAIN */
	bool nosync;          /* benchmarks only: durable follows written */
};

struct journal_record {
	uint64_t seq;
	uint64_t wall_ms; /* when it was appended, by the journal's clock: see age.c */
	struct str body;
};

/* Called on the loop when a watermark moved; at most once a turn. */
typedef void (*journal_progress_fn)(void *arg, uint64_t written, uint64_t durable);
/* The log can't go on (EIO, a full disk on sync): all appends fail from now on. Called once. */
typedef void (*journal_failed_fn)(void *arg, const struct err *e);
/*
 * The disk is full (on), or has room again. While it is full appends get -ENOSPC, and what was
 * appended before waits in memory: the watermarks stand still.
 */
typedef void (*journal_stalled_fn)(void *arg, bool on);

struct journal_events {
	journal_progress_fn progress;
	journal_failed_fn failed;
	journal_stalled_fn stalled;
	void *arg;
};

/*
 * Opens or makes the log and recovers it by a scan: a torn tail is cut and reported, a record
 * with a bad checksum followed by good ones is reported and skipped (never served). Blocks: it is
 * called before the loop runs. A refusal's sentence names the directory and the fix.
 */
int journal_open(struct loop *loop, const struct journal_options *options, const struct log *log,
		 const struct journal_events *events, struct journal **ret, struct err *e);
/*
 * Writes and syncs what was appended, joins the threads, frees. Blocks for at most that sync.
 * Reads on their way are forgotten: their fn isn't called. Not to be called from a callback of it.
 */
struct journal *journal_close(struct journal *journal);

/* The stream of that name, made if it is new; it lives as long as the journal. NULL: no memory. */
struct jstream *journal_stream(struct journal *journal, struct str name);
struct str jstream_name(const struct jstream *js);
/* The oldest record kept, and the number that the next append must have (first == next: empty). */
uint64_t jstream_first(const struct jstream *js);
uint64_t jstream_next(const struct jstream *js);
/*
 * From now on *meter also counts the bytes that the stream's records take in the log, heads and all;
 * NULL ends it, and takes back what was counted. One meter may count many streams.
 */
void jstream_set_meter(struct jstream *js, uint64_t *meter);
/* Walks the streams that hold records, e.g. after recovery. */
void journal_each_stream(struct journal *journal, void (*fn)(void *arg, struct jstream *js),
			 void *arg);
/* Records older than this are dropped from the front, checked now and then; 0 = never. */
void jstream_set_max_age(struct jstream *js, uint64_t max_age_ms);
/* Called on the loop when records were dropped for age: first is the oldest left. Set once. */
void jstream_on_expired(struct jstream *js, void (*fn)(void *arg, uint64_t first), void *arg);

/*
 * Appends the parts as one record (at most 16 MiB) with number seq == jstream_next: 0 and
 * *ret_lsn, or -EAGAIN (inflight_max), -ENOSPC (quota or disk full), -EIO (failed), -EMSGSIZE,
 * -EINVAL (seq), -ENOMEM. Copies the bytes.
 */
int journal_append(struct journal *journal, struct jstream *js, uint64_t seq,
		   const struct str *parts, size_t n, uint64_t *ret_lsn);
/* The same for what nobody waits for: it may be written some milliseconds later, with what comes until then. */
int journal_append_relaxed(struct journal *journal, struct jstream *js, uint64_t seq,
			   const struct str *parts, size_t n, uint64_t *ret_lsn);
/* Everything below seq is no longer needed. Recorded, so that a restart knows it. */
int jstream_trim(struct journal *journal, struct jstream *js, uint64_t seq);
/* *ret_lsn covers all that was said of the stream so far, trims too. 0, -EIO (failed), or -ENOSPC. */
int jstream_sync(struct journal *journal, struct jstream *js, uint64_t *ret_lsn);
/* Whether the log says by now, at the latest in *ret_lsn, that record seq is not needed any more. */
bool jstream_is_trimmed(const struct jstream *js, uint64_t seq, uint64_t *ret_lsn);
/* Lets a stream that holds nothing go on with seq, which is not below jstream_next: 0 or -EINVAL. */
int jstream_skip(struct jstream *js, uint64_t seq);
/* Trims everything and forgets the stream once it is written; js is invalid from now on. */
int jstream_drop(struct journal *journal, struct jstream *js);

/*
 * Reads records from seq on (those written so far), up to max_bytes or 256 of them, at least one:
 * fn(arg, rc, records, n) in a later turn, records valid inside. Damaged records are left out (the
 * numbers show the gap). rc: 0, -ENOENT (nothing there), -EIO. 0 or -ENOMEM.
 */
int journal_read(struct journal *journal, struct jstream *js, uint64_t seq, size_t max_bytes,
		 void (*fn)(void *arg, int rc, const struct journal_record *records, size_t n),
		 void *arg);

/* Sets or removes (value.p == NULL) a state: as journal_append. Keys up to 1 KiB, values 64 KiB. */
int journal_put(struct journal *journal, struct str key, struct str value, uint64_t *ret_lsn);
/* All states whose key starts with prefix, any order; the slices live inside the call. */
void journal_each_state(struct journal *journal, struct str prefix,
			void (*fn)(void *arg, struct str key, struct str value), void *arg);

/*
 * Milliseconds since 1970 by the journal's clock, for what must have an age: it goes on over restarts, and one
 * that sets the wall clock ends nothing and keeps nothing (age.c). Never less than the call before.
 */
uint64_t journal_now_ms(struct journal *journal);

uint64_t journal_written(const struct journal *journal);
uint64_t journal_durable(const struct journal *journal);

struct journal_stats {
	uint64_t appends, bytes, writes, syncs, refused;         /* since the start */
	uint64_t segments, disk_bytes, streams, records, states; /* now */
	uint64_t recovered, torn_bytes, damaged;                 /* found at the start */
	bool failed;
};
void journal_stats(const struct journal *journal, struct journal_stats *ret);

#endif
