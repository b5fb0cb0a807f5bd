/* SPDX-License-Identifier: MIT */
/* Streams and cursors, as stream.c, stream_append.c and cursor.c see each other. */
#ifndef VOXBUS_CORE_CORE_INTERNAL_H
#define VOXBUS_CORE_CORE_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "core/cursor.h"
#include "core/stream.h"
#include "core/stream_view.h"

struct jstream;

/* A double-ended queue of messages whose numbers follow each other, from `first` on. */
struct ring {
	struct msg **at;
	size_t head, n, cap; /* cap is 0 or a power of two */
	uint64_t first;      /* number of the oldest, when n > 0 */
};

void ring_fini(struct ring *ring);
/* Takes a reference; msg->seq follows the newest (any number, if empty). 0 or -ENOMEM. */
int ring_push(struct ring *ring, struct msg *msg);
/* Drops the oldest. */
void ring_shift(struct ring *ring);
/* Borrowed; NULL when it is not there. */
struct msg *ring_get(const struct ring *ring, uint64_t seq);

struct waiting {
	uint64_t lsn;
	struct stream *stream; /* writing: a reference */
	stream_done_fn done;   /* syncing */
	void *arg;
	int rc;
};

/* First in, first out; the array starts over whenever it is empty. */
struct waitings {
	struct waiting *at;
	size_t head, n, cap;
};

/* Room for one more: 0 or -ENOMEM. */
int waitings_reserve(struct waitings *w);
/* After waitings_reserve. */
void waitings_push(struct waitings *w, const struct waiting *entry);
/* The first, if the log has come so far. */
bool waitings_pop(struct waitings *w, uint64_t lsn, struct waiting *ret);

/* Those who wait for a stream's durability: asked, then on their way, in the order of their lsn. */
struct syncs {
	struct list asked, waiting; /* struct stream_sync.link */
	struct task *tidy;
};
/* Gives those that have asked their lsn; those that need none are done. */
void syncs_start(struct syncs *syncs, struct journal *journal);
void syncs_finish(struct syncs *syncs, uint64_t durable, int rc);
struct syncs *streams_syncs(struct streams *set);

/* Leases that cursors have passed, by number, in the order in which they came: stream_lease.c. */
struct lease_queue {
	uint32_t first, last;
};

struct passed_lease;
struct lease_book {
	struct leases *table; /* NULL: nothing is leased */
	struct passed_lease *passed;
	struct lease_queue marking, writing;
};

struct streams {
	struct loop *loop;
	const struct log *log;
	struct journal *journal;
	struct stream_limits limits;
	struct map by_name;   /* struct stream.node */
	struct list dirty;    /* struct stream.dirty */
	struct list loads;    /* struct cursor_load.link */
	struct list resident; /* struct stream.resident: recorded ones, longest ago first */
	size_t loaded;        /* bytes that cursors have read and not taken */
	struct list watches;  /* struct streams_watch.link */
	struct list meters;   /* struct stream_meter.link */
	struct task task;
	struct task finish; /* tells those in `finished`, after readers were told */
	struct waitings writing, syncing, finished;
	struct syncs syncs;
	struct lease_book leases;
	struct buf head;
	uint64_t last_lsn;
	uint64_t started_ms, started_wall_ns; /* the same moment by both clocks */
	struct stream_stats stats;
	bool failed, stalled;
};

struct stream {
	struct map_node node; /* streams.by_name */
	struct streams *set;
	struct list cursors;  /* struct cursor.link */
	struct list dirty;    /* streams.dirty: visible moved or to be trimmed */
	struct list resident; /* streams.resident, while its ring has something */
	struct jstream *js;   /* NULL: in memory alone */
	struct ring ring;
	uint64_t first, visible, next;
	uint64_t written;    /* the journal has what is below; visible may be more, see stream.h */
	uint64_t fresh_from; /* numbers below are of an earlier run */
	uint64_t aged;       /* numbers below are older than messages get */
	unsigned refs;
	bool record;   /* wanted in the journal */
	bool detached; /* the journal refused once: the rest is in memory alone */
	bool wake;     /* readers are to be told */
	bool discard;  /* nothing that was appended is needed */
	char name[];
};

/* ---- stream_memory.c: what is kept in memory, and who gives way */
/* The newest message of the ring is counted, and the stream is the last to give way. */
void stream_keep(struct stream *stream, const struct msg *msg);
/* Drops the oldest of the ring. */
void stream_shift(struct stream *stream);
/* After an append: makes room where the limits are passed. */
void stream_evict(struct stream *stream);
/* How much a cursor that is behind may read at once; what it then holds until it is taken. */
size_t streams_load_bytes(const struct streams *set);
void streams_loaded(struct streams *set, const struct msg *msg, bool on);

/* ---- stream.c */
void stream_drop_below(struct stream *stream, uint64_t seq);
/* Readers may see what is below `visible`. */
void stream_show(struct stream *stream, uint64_t visible);
/* A stream that has come to the journal is counted from now on. */
void meters_count(struct stream *stream);
/* Messages of the stream can be seen, and nobody is required to read it. */
void watches_tell(struct stream *stream);
/* Something may be there for readers of this stream: they hear of it in a later turn. */
void stream_mark(struct stream *stream, bool wake);
/* Below this number the cursor needs nothing any more. */
uint64_t cursor_needs(const struct cursor *cursor);
bool cursor_is_required(const struct cursor *cursor);
/* The stream has more, or has lost what was below `first`. */
void cursor_notify(struct cursor *cursor);

struct cursor_slot {
	struct msg *msg; /* NULL once settled */
	unsigned char state, returns;
	uint32_t lease; /* 0 = none */
};

/* A message that is out and far behind the others, by its number. */
struct cursor_stray {
	uint64_t seq;
	struct cursor_slot slot;
};

struct cursor {
	struct list link; /* stream.cursors */
	struct stream *stream;
	unsigned flags;
	uint64_t floor, next;      /* settled (but for strays) below floor; taken below next */
	struct cursor_slot *slots; /* window of them, by number modulo window */
	size_t window, cap;        /* window as asked for; cap = slots allocated */
	struct cursor_stray *strays;
	size_t n_strays, cap_strays;
	uint64_t lease_stream; /* CURSOR_LEASED: the stream's name in leases */
	size_t in_flight, given_back;
	size_t held;              /* bytes of messages in slots */
	struct ring loaded;       /* read from the disk, not yet taken */
	struct cursor_load *load; /* a read under way */
	struct timer retry;       /* after a failed read */
	bool hungry;              /* cursor_take gave nothing: on_ready is owed */
	struct task task;
	void (*on_ready)(void *arg);
	void *arg;
};

/* ---- stream_lease.c: what is under way, in the table of leases */
/* The slot's message goes out now: false when it was settled before, by an earlier run. */
bool cursor_lease(struct cursor *cursor, struct cursor_slot *slot);
void cursor_lease_settled(struct cursor *cursor, const struct cursor_slot *slot);
/* The slot's message is set aside: it is not under way, and a restart counts it as it was before. */
void cursor_lease_aside(struct cursor *cursor, struct cursor_slot *slot);
/* The floor has risen over the slot. */
void cursor_lease_passed(struct cursor *cursor, struct cursor_slot *slot);
/* The cursor goes. */
void cursor_lease_left(struct cursor *cursor, const struct cursor_slot *slot);
/* Leases are freed of which no restart finds the message any more. */
void streams_leases_written(struct streams *set, uint64_t written);
void streams_leases_stats(const struct streams *set, struct stream_stats *ret);

struct loop *streams_loop(const struct streams *set);
/* A read under way; those that a closed journal forgot are freed with the streams. */
struct cursor_load {
	struct list link;      /* streams.loads */
	struct cursor *cursor; /* NULL: nobody wants it any more */
	uint64_t from;
};

/* A required reader passed a message because it had expired. */
void streams_count_expired(struct streams *set);
/* Of an earlier run: when it expires by this run's clock. */
uint64_t streams_expiry(const struct streams *set, const struct msg *msg);
/* Counted as a read of the disk. */
void streams_add_load(struct streams *set, struct cursor_load *load);

#endif
