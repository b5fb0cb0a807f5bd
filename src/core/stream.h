/* SPDX-License-Identifier: MIT */
/*
 * Streams: the one buffer of voxbus. A message is appended once; every reader is a cursor.
 *
 *            first        cursor        visible       next
 *              v             v             v            v
 *   trimmed    [ kept ...    | waiting ... | being      )
 *              |                           | written    |
 *
 * A recorded stream lives in the journal; the newest messages also in memory, so that readers who
 * keep up never touch the disk. A message becomes visible to readers when it is written, so that a
 * number never means two different messages, whatever is killed when (but for relaxed appends). A stream that is not
 * recorded lives in memory alone and drops its oldest message when it is full (counted).
 * When all required cursors have passed a message it is trimmed. Readers pass over one that has
 * expired: by the loop's clock if it is of this run, else by its age when the run began.
 */
#ifndef VOXBUS_CORE_STREAM_H
#define VOXBUS_CORE_STREAM_H

#include <stdbool.h>

#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "core/msg.h"
#include "loop/loop.h"

struct journal;
struct stream;
struct streams;

struct stream_limits {
	size_t ring_max;   /* messages a recorded stream keeps in memory; 0 = 1024 */
	size_t memory_max; /* messages of a stream without a record; 0 = 10,000 */
	/* Bytes of all streams' messages in memory; 0 = 32 MiB. Beyond it recorded streams go on on
	 * the disk, those written to longest ago first, and the others keep their newest 16. */
	size_t memory_bytes;
	uint64_t max_age_ms; /* of a recorded message; 0 = 7 days */
};

/* journal may be NULL: nothing is recorded. 0 or -ENOMEM. */
int streams_create(struct loop *loop, const struct log *log, const struct stream_limits *limits,
		   struct streams **ret);
struct streams *streams_destroy(struct streams *streams);
/*
 * The journal was opened with streams_progress and streams_failed as its events and `streams` as
 * their argument; this adopts what it recovered.
 */
int streams_set_journal(struct streams *streams, struct journal *journal);
struct journal *streams_journal(const struct streams *streams); /* NULL: none */
struct journal_events;
void streams_journal_events(struct streams *streams, struct journal_events *ret);

/*
 * Hears of messages that nobody waits for: fn is called, in a turn of its own, whenever messages of
 * a stream without a required cursor have become visible. It may make a cursor; it may not append.
 * So who waits for the first message of thousands of names needs neither a stream nor a cursor for
 * each. It lies in its user, who fills in fn and arg.
 */
struct streams_watch {
	struct list link; /* streams.watches */
	void (*fn)(void *arg, struct stream *stream);
	void *arg;
};
void streams_watch(struct streams *streams, struct streams_watch *watch);
/* Also of a watch whose link was only initialised. */
void streams_unwatch(struct streams_watch *watch);

enum { STREAM_RECORD = 1 }; /* keep it in the journal, if there is one */

/*
 * The stream of that name with a reference, made if it is new. An empty stream without references
 * is forgotten. NULL: no memory.
 */
struct stream *stream_open(struct streams *streams, struct str name, unsigned flags);
/* The same, but NULL also when there is none: nothing is made. */
struct stream *stream_find(struct streams *streams, struct str name);
struct stream *stream_ref(struct stream *stream);
struct stream *stream_unref(struct stream *stream);
struct str stream_name(const struct stream *stream);

/* Numbers: the oldest kept, the first that readers don't see yet, the next to be given out. */
uint64_t stream_first(const struct stream *stream);
uint64_t stream_visible(const struct stream *stream);
uint64_t stream_next(const struct stream *stream);
/* When the oldest message kept in memory came (clock_wall_ns), 0 if there is none. */
uint64_t stream_oldest_ns(const struct stream *stream);

/* Called once in a later turn: rc 0 = as durable as the stream can make it, else a negative errno. */
typedef void (*stream_done_fn)(void *arg, int rc);
/*
 * Appends a message whose seq is stream_next(). With `done` the caller acknowledges somebody:
 * when the journal refuses, so does this (-EAGAIN full for now, -ENOSPC, -EIO; -EIO also when the
 * stream has stopped recording before) and nothing was taken. Without it the message is kept in
 * memory then, and the stream stops recording (counted) until it has been read. -EMSGSIZE, -ENOMEM:
 * nothing was taken.
 */
int stream_append(struct stream *stream, struct msg *msg, stream_done_fn done, void *arg);
/*
 * The same for what must go on when the disk is full or broken: 1 = it should be in the journal and
 * is in memory alone; done is not called. -EAGAIN and -EMSGSIZE are refusals here, too.
 */
int stream_append_anyway(struct stream *stream, struct msg *msg, stream_done_fn done, void *arg);

/*
 * The same for who does without the disk's word: refusals are those of stream_append, but done comes
 * in the next turn, and readers see the message at once, unless one before it is still being written.
 * After a kill its number may be given out again: for messages that are known by their id alone.
 */
int stream_append_relaxed(struct stream *stream, struct msg *msg, stream_done_fn done, void *arg);

/*
 * Waits for the disk: done comes in a later turn when what was said of the stream so far, what its
 * required readers settled included, is durable (0), or when it won't be (-EIO, -ENOSPC). The struct is
 * the caller's and stays in place until then, or until it is cancelled (also when nothing is asked).
 */
struct stream_sync {
	struct list link;
	struct stream *stream; /* a reference, while waiting; NULL: for the lsn alone */
	uint64_t lsn;
	stream_done_fn done;
	void *arg;
};
void stream_sync_init(struct stream_sync *sync, stream_done_fn done, void *arg);
void stream_sync(struct stream *stream, struct stream_sync *sync);
/* The same for what journal_put gave that lsn; 0 = nothing to wait for. */
void streams_sync(struct streams *streams, uint64_t lsn, struct stream_sync *sync);
void stream_sync_cancel(struct stream_sync *sync);

/* Everything below seq is no longer needed by anybody (a drop by hand, or of age). */
void stream_trim(struct stream *stream, uint64_t seq);
/* Nothing in it is needed by anybody, not even what is still being written: how many messages. */
uint64_t stream_discard(struct stream *stream);
/* Keeps in memory nothing that the journal has: nobody is expected to read it soon. */
void stream_spill(struct stream *stream);

struct stream_stats {
	uint64_t streams, messages_in_memory, bytes_in_memory; /* now */
	uint64_t appended, dropped, unrecorded, disk_reads;    /* since the start */
	uint64_t expired;  /* nobody had read them in their time (msg.ttl_ms) */
	uint64_t leases;   /* now: messages of leased cursors that a restart must know of */
	uint64_t unleased; /* taken without, because the table was full */
};
void streams_stats(const struct streams *streams, struct stream_stats *ret);

#endif
