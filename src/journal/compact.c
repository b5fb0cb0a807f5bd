/* SPDX-License-Identifier: MIT */
/*
 * Compaction: one old unread message shall not hold a whole segment for a week.
 *
 * When most of the bytes in the segments are dead, or the quota gets short, the sealed segment with
 * the least alive is emptied: what lives in it is copied to the end of the log, and then it is dead
 * and goes the way of all dead segments (segment.c): unlinked when what replaces it is durable.
 *
 *   read a piece (pool) ─► copies appended ─► written: indexes point to the copies ─► next piece
 *          ▲                                                                            │
 *          └────────────────────────────────────────────────────────────────────────────┘
 *
 * An index is moved only when the copy is written, so that readers never wait for one; until then
 * the copy is held in its new segment, so that this is not swept. Whatever became of the record
 * meanwhile (trimmed, dropped, expired), the copy shares it. A crash leaves originals, copies, or
 * both; recovery takes the copy where there is one. One piece is under way at a time, and none
 * while the disk is full.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "journal/journal_internal.h"

enum {
	PIECE = 256 << 10,   /* read and looked through in one turn, unless one record is longer */
	SEGMENTS_MANY = 8,   /* up to so many dead bytes don't matter */
	LIVE_PART = 4,       /* a segment is sparse when less than a 4th of it lives */
	CHECK_MS = 1000,     /* how often it is looked for one at most */
	CHECK_TIGHT_MS = 50, /* the same when the quota gets short, and after one was emptied */
};

/* A record whose copy is being written; until it is, the index points to the original. */
struct move {
	struct jstream *js; /* a reference */
	uint64_t seq;
	struct index_entry to;
};

struct compaction {
	struct journal *journal; /* NULL: closed, while a piece is being read */
	struct segment *victim;  /* NULL: gone meanwhile */
	struct file *file;       /* the victim's, a reference */
	const struct journal_sys *sys;
	size_t at, end; /* the next piece begins here */
	size_t want;    /* its size */
	char *buffer;
	size_t cap, got;
	int rc;
	bool reading;
	struct move *moves;
	size_t n_moves, moves_cap;
	uint64_t lsn; /* of the last copy */
	size_t copied, copied_bytes;
};

static bool is_tight(const struct journal *j)
{
	return segments_bytes(j) > j->options.quota_bytes / 4 * 3;
}

static bool is_sparse(const struct journal *j)
{
	return j->stats.segments > SEGMENTS_MANY && j->live_bytes < j->disk_bytes / 2;
}

static bool is_candidate(const struct journal *j, const struct segment *s)
{
	return s != j->current && s->live && !s->remove_lsn && !s->compacted &&
	       s->written == s->end && s->live_bytes < s->size / LIVE_PART &&
	       s->name_bytes <= s->size / LIVE_PART;
}

static struct segment *find_victim(const struct journal *j)
{
	struct segment *least = NULL;

	for (size_t i = 0; i < j->n_slots; i++) {
		struct segment *s = j->slots[i];

		if (s && is_candidate(j, s) && (!least || s->live_bytes < least->live_bytes))
			least = s;
	}
	return least;
}

void compact_wake(struct journal *j)
{
	if (j->compaction || j->failed || timer_running(&j->compact_timer))
		return;
	if (is_tight(j) || is_sparse(j))
		(void)timer_start(&j->compact_timer, is_tight(j) ? CHECK_TIGHT_MS : CHECK_MS);
}

static struct compaction *compaction_free(struct compaction *c)
{
	for (size_t i = 0; i < c->n_moves; i++)
		(void)jstream_unref(c->moves[i].js);
	(void)file_unref(c->file);
	free(c->moves);
	free(c->buffer);
	free(c);
	return NULL;
}

static void finish(struct compaction *c)
{
	struct journal *j = c->journal;

	if (c->victim) {
		/* What lives in it still can't be found by its header: readers will report it. */
		c->victim->compacted = true;
		log_info(j->log, "segment compacted",
			 "dir=%s segment=%" PRIu64 " records=%zu bytes=%zu left=%" PRIu64, j->dir,
			 c->victim->number, c->copied, c->copied_bytes, c->victim->live);
	}
	j->compaction = compaction_free(c);
	if (is_tight(j) || is_sparse(j))
		(void)timer_start(&j->compact_timer, CHECK_TIGHT_MS);
}

/* The copies are written: what is still wanted lives there from now on. */
static void apply_moves(struct compaction *c)
{
	struct journal *j = c->journal;

	for (size_t i = 0; i < c->n_moves; i++) {
		struct move *m = &c->moves[i];
		struct jstream *js = m->js;

		if (!js->dropped && m->seq >= js->first)
			jstream_move(j, js, m->seq, m->to);
		else
			segment_release(j, j->slots[m->to.slot], record_size(m->to.length));
		(void)jstream_unref(js);
	}
	c->n_moves = 0;
}

static int moves_reserve(struct compaction *c)
{
	size_t cap = c->moves_cap ? c->moves_cap * 2 : 64;
	struct move *moves;

	if (c->n_moves < c->moves_cap)
		return 0;
	moves = realloc(c->moves, cap * sizeof(*moves));
	if (!moves)
		return -ENOMEM;
	c->moves = moves;
	c->moves_cap = cap;
	return 0;
}

static int put_copy(struct compaction *c, struct jstream *js, const struct record *r)
{
	struct journal *j = c->journal;
	struct record copy = { .type = RECORD_COPY,
			       .stream = r->stream,
			       .seq = r->seq,
			       .wall_ms = r->wall_ms,
			       .body = r->body };
	size_t size = record_size(r->body.n), offset;
	int rc = moves_reserve(c);

	if (rc == 0)
		rc = jstream_reserve(j, js, size, ROOM_COPIES);
	if (rc < 0)
		return rc;
	offset = j->current->end;
	rc = journal_put_record(j, j->current, &copy, &r->body, 1);
	if (rc < 0)
		return rc;
	segment_hold(j, j->current, size);
	js->refs++;
	c->moves[c->n_moves++] = (struct move){ js, r->seq, jstream_entry(j->current, offset, r) };
	c->lsn = copy.lsn;
	c->copied++;
	c->copied_bytes += size;
	return 0;
}

/* Copies the record at that place of the victim if the index points to it: 0 or what failed. */
static int copy_if_alive(struct compaction *c, size_t offset, struct str bytes,
			 const struct record *header)
{
	struct journal *j = c->journal;
	struct jstream *js = record_is_data(header) ? jstream_by_id(j, header->stream) : NULL;
	const struct index_entry *entry;
	struct record r;

	if (!js || header->seq < js->first || header->seq >= js->next)
		return 0;
	entry = index_at(&js->index, (uint32_t)(header->seq - js->first));
	if (index_missing(entry) || entry->slot != c->victim->slot ||
	    (size_t)entry->offset * RECORD_ALIGN != offset)
		return 0;
	if (record_read(bytes, c->file->generation, &r) > 0)
		return put_copy(c, js, &r);
	log_warn(j->log, "journal damaged",
		 "dir=%s segment=%" PRIu64 " offset=%zu seq=%" PRIu64 " then=%s", j->dir,
		 c->victim->number, offset, header->seq, "record left out");
	jstream_lose_record(j, js, header->seq);
	jstream_cut(j, js, js->first);
	return 0;
}

/*
 * How far to go on from what lies there: 0 when the piece ends inside a record or a header, and
 * then the next piece begins there. rc is what copying has come to.
 */
static size_t take_record(struct compaction *c, struct str rest, int *rc)
{
	struct record r;
	int found = record_header(rest, c->file->generation, &r);
	size_t size = found > 0 ? record_size(r.body.n) : RECORD_ALIGN;

	if (found == 0)
		return 0;
	if (found < 0 || size > c->end - c->at) /* no record, or never a whole one */
		return RECORD_ALIGN;
	if (size <= rest.n) {
		*rc = copy_if_alive(c, c->at, rest, &r);
		return *rc < 0 ? 0 : size;
	}
	if (size > PIECE)
		c->want = size;
	return 0;
}

/* Looks through the piece; leaves c->at and c->want where the next one is to begin. */
static int take_piece(struct compaction *c)
{
	size_t wanted = c->want, at = 0, n = 1;
	int rc = 0;

	c->want = PIECE;
	while (n && rc == 0) {
		n = take_record(c, str_make(c->buffer + at, c->got - at), &rc);
		at += n;
		c->at += n;
	}
	/* The rest is less than a header, or the file less than it was. */
	if (rc == 0 && (c->at + (c->got - at) >= c->end || (at == 0 && c->want <= wanted)))
		c->at = c->end;
	return rc;
}

static void step(struct compaction *c);

static void on_pool(void *arg)
{
	struct compaction *c = arg;

	c->got = 0;
	c->rc = 0;
	while (c->got < c->want && c->at + c->got < c->end) {
		size_t left = c->end - c->at - c->got, more = c->want - c->got;
		ssize_t n = c->sys->pread(c->file->fd, c->buffer + c->got,
					  more < left ? more : left, (off_t)(c->at + c->got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			c->rc = -errno;
		if (n <= 0)
			break;
		c->got += (size_t)n;
	}
}

static void on_done(void *arg)
{
	struct compaction *c = arg;
	struct journal *j = c->journal;
	int rc = c->rc;

	c->reading = false;
	if (!j) {
		(void)compaction_free(c);
		return;
	}
	if (rc == 0 && c->victim && !j->failed)
		rc = take_piece(c);
	if (c->rc < 0) {
		log_warn(j->log, "segment not compacted", "dir=%s segment=%" PRIu64 " error=%s",
			 j->dir, c->file->number, strerror(-rc));
		c->at = c->end;
	} else if (rc < 0) {
		/* No room, no memory: the same place again, later. */
		(void)timer_start(&j->compact_timer, CHECK_MS);
	}
	step(c);
}

static void read_piece(struct compaction *c)
{
	char *buffer = c->cap < c->want ? realloc(c->buffer, c->want) : c->buffer;

	if (buffer) {
		c->buffer = buffer;
		c->cap = c->cap < c->want ? c->want : c->cap;
		c->reading = loop_work(c->journal->loop, on_pool, on_done, c) == 0;
	}
	if (!c->reading)
		(void)timer_start(&c->journal->compact_timer, CHECK_MS);
}

static void step(struct compaction *c)
{
	struct journal *j = c->journal;

	if (c->reading || j->failed)
		return;
	if (c->n_moves && j->seen.written < c->lsn)
		return;
	apply_moves(c);
	if (!c->victim || c->at >= c->end)
		finish(c);
	else if (!j->seen.stalled && !timer_running(&j->compact_timer))
		read_piece(c);
}

void compact_progress(struct journal *j)
{
	if (j->compaction)
		step(j->compaction);
}

void compact_on_timer(void *arg)
{
	struct journal *j = arg;
	struct segment *s;
	struct compaction *c;

	if (j->compaction) {
		step(j->compaction);
		return;
	}
	if (j->failed || j->seen.stalled || !(is_tight(j) || is_sparse(j)))
		return;
	s = find_victim(j);
	c = s ? calloc(1, sizeof(*c)) : NULL;
	if (!c)
		return;
	c->journal = j;
	c->victim = s;
	c->file = file_ref(s->file);
	c->sys = j->sys;
	c->at = FILE_HEADER;
	c->end = s->end;
	c->want = PIECE;
	j->compaction = c;
	step(c);
}

void compact_forget(struct journal *j, const struct segment *s)
{
	if (j->compaction && j->compaction->victim == s)
		j->compaction->victim = NULL;
}

void compact_abandon(struct journal *j)
{
	struct compaction *c = j->compaction;

	j->compaction = NULL;
	if (!c)
		return;
	c->journal = NULL;
	c->victim = NULL;
	if (!c->reading)
		(void)compaction_free(c);
}
