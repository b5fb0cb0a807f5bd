/* SPDX-License-Identifier: MIT */
/*
 * What the journal's files share. The loop's side is here; the threads' side is writer.h.
 *
 *   journal.c  open, append, put, progress, close    segment.c  segments: room, removal
 *   stream.c   names, marks, trim, drop, age         read.c     reads in the thread pool
 *   recover.c  what is on the disk at the start      state.c    the table of states
 *   age.c      the clock that ages are counted by    problem.c  what is wrong: log or checker
 *   check.c    recovery that changes nothing         compact.c  copies that empty a segment
 */
#ifndef VOXBUS_JOURNAL_INTERNAL_H
#define VOXBUS_JOURNAL_INTERNAL_H

#include "journal/age.h"
#include "journal/check.h"
#include "journal/index.h"
#include "journal/index_file.h"
#include "journal/journal.h"
#include "journal/marks.h"
#include "journal/record.h"
#include "journal/state.h"
#include "journal/writer.h"

enum {
	NAME_COPIES = 2, /* names are written twice: all records of a stream depend on one */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
	GAP_MAX = 1 << 18, /* lest inputs that are nothing but gaps take all of a fuzzer's time */
#else
	GAP_MAX = 1 << 24, /* records in a row that an index keeps places for without having them */
#endif
	STREAMS_MAX = 1 << 20,
	NAME_MAX_BYTES = 4096,
};

/* What room is asked for, and so what may be used up for it. */
enum room_for {
	ROOM_MARKS,  /* names, trims, drops: all there is, because they free some */
	ROOM_COPIES, /* they free some, too, but leave the rest of the last segment to the marks */
	ROOM_DATA,   /* the same, and obeys the quota */
};

/* A dropped stream whose records may still lie in segments from `since` on. */
struct tomb {
	uint64_t stream, since;
};

struct segment {
	uint64_t number;
	uint32_t slot;
	size_t size;
	size_t end;          /* the next record goes here */
	size_t written;      /* readable up to here */
	uint64_t last_lsn;   /* of the last record in it */
	uint64_t live;       /* records in the indexes, or copied here and not yet in them */
	uint64_t live_bytes; /* of these records */
	bool compacted;      /* all that could be moved away was */
	size_t name_bytes;   /* what the names of `streams` take */
	struct list streams; /* struct jstream.named_link */
	struct tomb *tombs;
	size_t n_tombs, tombs_cap;
	struct file *file;
	uint64_t remove_lsn; /* not 0: to be removed when that is durable */
	bool removing;       /* the writer has it */
};

/* What a recovery touches for each of millions of records lies side by side. */
struct jstream {
	struct map_node id_node; /* journal.ids */
	uint64_t id;
	uint64_t first, next; /* the index holds [first, next) */
	uint64_t mention;     /* the newest segment that has something */
	struct index index;
	struct segment *named; /* the newest segment that has its name; NULL: none */
	struct journal *journal;
	struct map_node name_node; /* journal.streams */
	unsigned refs;             /* the journal's and those of reads */
	struct list named_link;    /* segment.streams */
	uint64_t since;            /* the oldest segment that ever had something */
	struct list trim_link;     /* journal.trimmed */
	struct list aged_link;     /* journal.aged */
	uint64_t max_age_ms;
	uint64_t bytes;  /* of its records */
	uint64_t *meter; /* counts them, too; NULL: none */
	void (*expired)(void *arg, uint64_t first);
	void *expired_arg;
	bool dropped;
	char *name; /* NULL only in recovery */
	size_t name_n;
};

struct journal {
	struct loop *loop;
	const struct log *log;
	struct journal_options options;
	struct journal_events events;
	char *dir;
	int dirfd, lockfd;
	const struct journal_sys *sys;
	struct age_clock age;
	void (*problem)(void *arg, const struct journal_problem *p); /* NULL: to the log */
	void *problem_arg;
	uint64_t (*random)(void *arg);
	void *random_arg;
	bool stepped;
	uint64_t lsn;       /* the last given out */
	struct map streams; /* struct jstream.name_node */
	struct map ids;     /* struct jstream.id_node */
	uint64_t next_stream;
	struct list trimmed, aged; /* struct jstream.trim_link, .aged_link */
	size_t n_aged, aged_done;  /* of the round of age checks that is under way */
	struct segment **slots;    /* NULL where free */
	size_t n_slots;
	struct segment *current; /* NULL: the next record begins one */
	size_t n_spares;         /* segments that are there and not used yet */
	size_t n_recycling;      /* dead ones on their way to be such */
	uint64_t spares_seen;    /* of writer_report.spares_made */
	bool spare_asked;
	struct timer spare_timer;
	uint64_t next_number, disk_bytes, live_bytes;
	struct compaction *compaction; /* NULL: none is under way */
	struct states states;
	struct list chunks, state_chunks, spare; /* struct chunk.link */
	size_t n_spare, inflight;
	struct list reads; /* struct read.link */
	struct task flush;
	struct timer trim_timer, relaxed_timer, age_timer, compact_timer;
	struct writer *writer;
	struct writer_report seen;
	struct marks marks;
	size_t index_used, index_ignored; /* index files, at the start */
	bool sweep_due, failed;
	struct journal_stats stats; /* counters; what is "now" is filled in when asked */
};

/*
 * Opens with a clock, random numbers (of generations) and system calls of a test's own; NULL: the
 * real ones. A stepped journal has no threads: nothing is written or synced but by journal_step_*,
 * and by journal_close, which does what is left.
 */
struct journal_inject {
	struct loop *loop;
	const struct journal_options *options;
	const struct log *log;
	const struct journal_events *events;
	const struct journal_sys *sys;
	uint64_t (*wall_ms)(void *arg);   /* struct age_clock */
	uint64_t (*steady_ms)(void *arg); /* struct age_clock */
	void *clock_arg;
	uint64_t (*random)(void *arg);
	void *random_arg;
	bool stepped;
	/* Told what recovery finds wrong, instead of the log. */
	void (*problem)(void *arg, const struct journal_problem *p);
	void *problem_arg;
};
int journal_open_injected(const struct journal_inject *inject, struct journal **ret, struct err *e);
/*
 * One round of the writer thread's work, or of the sync thread's: false when there was nothing to
 * do, or the disk is full. They see what the flush task submitted (loop_turn runs it), and what
 * they did is heard of in a later turn, by a post.
 */
bool journal_step_write(struct journal *j);
bool journal_step_sync(struct journal *j);

/* journal.c: one that is neither opened nor recovered yet (NULL: no memory), and its end. */
struct journal *journal_create(const struct journal_inject *inject);
struct journal *journal_destroy(struct journal *j);

/* problem.c: counts a problem, and tells it to the log or to who checks. */
void problem_tell(struct journal *j, const struct journal_problem *p);

/* batch.c: puts a record (body.n is the sum of the parts) behind the others; gives it its lsn. */
int journal_put_record(struct journal *j, struct segment *s, struct record *r,
		       const struct str *parts, size_t n);
/* The same for one that nobody waits for: what comes within 5 ms goes with it. */
int journal_put_relaxed(struct journal *j, struct segment *s, struct record *r,
			const struct str *parts, size_t n);
/* The chunk that takes size more bytes at the end of the segment, or of the states; NULL: no memory. */
struct chunk *batch_reserve(struct journal *j, struct segment *s, size_t size);
/* A chunk that is written. */
void batch_give_back(struct journal *j, struct chunk *c);
void batch_free(struct list *chunks);

/* journal.c */
void journal_writer_options(struct journal *j, struct writer_options *ret);

/* segment.c. The descriptor is taken over, -1 = yet to be made. 0 or -ENOMEM. */
int segment_create_take(struct journal *j, int fd, const struct file_header *h,
			struct segment **ret);
struct segment *segment_destroy(struct journal *j, struct segment *s);
/* A current segment with `need` bytes free, or a new one with `fresh`. 0, -ENOSPC or -ENOMEM. */
int segment_room(struct journal *j, size_t need, size_t fresh, enum room_for what);
/* What the writer reported moved: spares that are there, a disk that is full. */
void segments_progress(struct journal *j);
void segments_init(struct journal *j);
/* Bytes on the disk, spares included. */
uint64_t segments_bytes(const struct journal *j);
/* Counts a record of that size in it as alive; dead again. */
void segment_hold(struct journal *j, struct segment *s, size_t size);
void segment_release(struct journal *j, struct segment *s, size_t size);
int segment_bury(struct segment *s, struct tomb tomb);
/* Retires dead segments; hands those to the writer whose successors' names are durable. */
void segments_sweep(struct journal *j);
void segments_remove(struct journal *j);
void segment_removed(struct journal *j, struct file *f);

/* stream.c */
struct jstream *jstream_create(struct journal *j, uint64_t id);
struct jstream *jstream_by_id(const struct journal *j, uint64_t id);
int jstream_set_name(struct journal *j, struct jstream *js, struct str name);
struct jstream *jstream_unref(struct jstream *js);
/* Takes it out of the journal and gives up the journal's reference. */
void jstream_forget(struct journal *j, struct jstream *js);
void jstream_set_named(struct jstream *js, struct segment *s);
/* Room for a record of that stream in the current segment, and its name before it. */
int jstream_reserve(struct journal *j, struct jstream *js, size_t size, enum room_for what);
/* The place of that record. */
struct index_entry jstream_entry(const struct segment *s, size_t offset, const struct record *r);
int jstream_push(struct journal *j, struct jstream *js, struct segment *s, size_t offset,
		 const struct record *r);
/* Moves the place of a record, which may be missing, to where it is held already. */
void jstream_move(struct journal *j, struct jstream *js, uint64_t seq, struct index_entry to);
/* Leaves a record without a place: it is damaged. */
void jstream_lose_record(struct journal *j, struct jstream *js, uint64_t seq);
void jstream_cut(struct journal *j, struct jstream *js, uint64_t seq);
int jstream_put_drop(struct journal *j, uint64_t id, uint64_t since);
void jstreams_put_marks(struct journal *j);
void jstreams_check_age(void *journal);

/* compact.c. Looks for a segment to empty, in a while, if that may be worth it. Cheap. */
void compact_wake(struct journal *j);
/* Goes on if it can: something was written, or there is room again. */
void compact_progress(struct journal *j);
/* The segment goes away; the journal does. */
void compact_forget(struct journal *j, const struct segment *s);
void compact_abandon(struct journal *j);
void compact_on_timer(void *journal);

/* read.c: reads on their way are forgotten. */
void reads_abandon(struct journal *j);
/* recover.c: fills a journal that has only its directory. */
struct recovered {
	struct file *states;
	size_t states_end;
	bool spares[SPARES_MAX];
	struct index_file index; /* of the current segment, if its number is not 0 */
};
int journal_recover(struct journal *j, struct recovered *ret, struct err *e);

#endif
