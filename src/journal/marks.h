/* SPDX-License-Identifier: MIT */
/* How far the log is synced, as the log itself says it: see marks.c. */
#ifndef VOXBUS_JOURNAL_MARKS_H
#define VOXBUS_JOURNAL_MARKS_H

#include "loop/loop.h"

struct journal;

enum {
	MARK_SEGMENTS,
	MARK_STATES,
	MARK_KINDS,
	MARK_BATCHES = 64, /* on their way to the disk; more are taken as one */
};

/* What was handed over up to a moment. */
struct mark_batch {
	uint64_t lsn;              /* of the whole log */
	uint64_t last[MARK_KINDS]; /* the last record of each kind that is no mark */
	uint64_t marked;           /* what the last mark in the segments says */
};

struct marks {
	struct mark_batch batches[MARK_BATCHES];
	size_t first, n;
	uint64_t last[MARK_KINDS], durable[MARK_KINDS], marked[MARK_KINDS];
	uint64_t safe; /* a durable mark says that segment records up to here are durable */
	bool force;    /* mark with the next flush, also when nothing else is written */
	struct timer timer;
};

void marks_init(struct journal *j);
/* After recovery: all up to `last` is synced, and the segments' marks say `marked`. */
void marks_begin(struct journal *j, uint64_t last, uint64_t marked);
/* A record that is no mark was put. */
void marks_note(struct journal *j, bool state, uint64_t lsn);
/* At the end of a batch: marks for what has become durable since the last. */
void marks_put(struct journal *j);
/* The batch is handed over. */
void marks_submitted(struct journal *j);
/* The durable watermark moved. */
void marks_progress(struct journal *j);
/* Has a mark written soon. */
void marks_hurry(struct journal *j);

#endif
