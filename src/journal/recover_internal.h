/* SPDX-License-Identifier: MIT */
/*
 * What recovery's files share.
 *
 *   list.c     which files are there
 *   recover.c  the order of things: segments, tails, states, repair
 *   load.c     files into memory: a segment becomes a list of items
 *   apply.c    items become streams and their indexes
 *   problem.c  what is wrong: to the log, or to who checks
 */
#ifndef VOXBUS_JOURNAL_RECOVER_INTERNAL_H
#define VOXBUS_JOURNAL_RECOVER_INTERNAL_H

#include "journal/index_file.h"
#include "journal/journal_internal.h"

/* A segment on the disk. */
struct found {
	uint64_t number;
	struct file_header h;
	bool usable;      /* one of its headers is good */
	bool half_header; /* and the other is bad */
	bool blank;       /* nothing but zeros: made, and never begun */
	bool indexed;     /* its index file was used */
	bool sealed;      /* the index file holds all of it */
	bool remove;      /* it lies behind the end of the log */
	uint64_t synced;  /* as the index file tells: up to here all is synced */
	int fd;           /* -1 when the segment has it */
	struct segment *s;
	size_t records, tail; /* tail: bytes behind the end that are not zero */
};

struct recovery {
	struct journal *j;
	struct found *found;
	size_t n_found, at;  /* at: the one under way */
	struct segment *s;   /* the same */
	struct tomb *ghosts; /* streams whose drop was lost: another has their name */
	size_t n_ghosts;
	uint64_t lsn;           /* the greatest of all */
	uint64_t last;          /* of the last segment record that was applied */
	uint64_t sync;          /* the greatest that is known to be synced, of segment records */
	bool looked_ahead;      /* `sync` takes all segments into account */
	bool marked;            /* who wrote this log writes sync marks */
	bool torn;              /* the log ended before its files did */
	bool quiet;             /* report nothing: it comes again */
	uint64_t newest_ms;     /* time of the newest record */
	int64_t clock_ahead_ms; /* as the states' log says */
	struct index_file image;
	struct jstream **streams; /* by ordinal; NULL: look it up */
	uint64_t *ordinal_ids;
	size_t n_ordinals, ordinals_cap;
	uint64_t state_sync, state_lsn; /* the greatest mark of the states; the record before */
	size_t state_cut;               /* where the states are torn; 0: nowhere */
	uint64_t generation;            /* of the file under way */
	char *bytes;
	size_t n, mapped;
	int rc;
};

/* list.c: fills rv->found, removes index files that belong to nothing. 0 or a negative errno. */
int recover_list(struct recovery *rv);
/* Spares of the right size are used again, as far as the quota goes. */
void recover_find_spares(struct journal *j, struct recovered *ret);

/* load.c */
void recover_unload(struct recovery *rv);
/* The whole file to rv->bytes: its descriptor, or a negative errno. */
int recover_load(struct recovery *rv, uint64_t number);
/* 1, *ret and whether one of its copies is bad, 0 when it can't be used, or -ENOTSUP. */
int recover_header(struct str bytes, uint64_t number, struct file_header *ret, bool *ret_half);
/*
 * What is in f, from its index file or by a scan: 0 or a negative errno. Opens f->fd. What was
 * scanned stays in rv->bytes.
 */
int recover_load_segment(struct recovery *rv, struct found *f, struct index_file *x);

/* apply.c: one item of segment rv->s. Failures stay in rv->rc. */
void recover_apply(struct recovery *rv, const struct index_item *item);
/* Looks at the items that will be applied soon; no more than a hint. */
void recover_ahead(const struct recovery *rv, struct str rest);

/* problem.c. Bytes of file `number` (0: the states), and what a start does: "skips it". */
void recover_report(struct recovery *rv, uint64_t number, size_t offset, size_t n, const char *what,
		    const char *then);
/* Bytes that are no record and are skipped: says whose they were, if rv->bytes still tells. */
void recover_report_range(struct recovery *rv, uint64_t number, size_t offset, size_t n);
/* The end of the log, cut off while it was written; n may be 0: nothing. */
void recover_report_torn(struct recovery *rv, uint64_t number, size_t offset, size_t n);

#endif
