/* SPDX-License-Identifier: MIT */
/*
 * What the files of recovery share: recover.c finds and reads what is on the disk, apply.c knows
 * what each record means, problem.c tells what is wrong.
 */
#ifndef VOXBUS_JOURNAL_RECOVER_INTERNAL_H
#define VOXBUS_JOURNAL_RECOVER_INTERNAL_H

#include "journal/journal_internal.h"

struct recovery {
	struct journal *j;
	struct segment *s;   /* the one under way */
	struct tomb *ghosts; /* streams whose drop was lost: another has their name */
	size_t n_ghosts;
	uint64_t lsn;
	uint64_t newest_ms;     /* time of the newest record */
	int64_t clock_ahead_ms; /* as the states' log says */
	uint64_t generation;    /* of the file under way */
	char *bytes;
	size_t n, mapped;
	int rc;
};

/* apply.c: one record of segment rv->s; arg is the recovery. Failures stay in rv->rc. */
void recover_apply(void *arg, size_t offset, const struct record *r);

/* problem.c. Bytes of file `number` (0: the states), and what a start does: "skips it". */
void recover_report(struct recovery *rv, uint64_t number, size_t offset, size_t n, const char *what,
		    const char *then);
/* Bytes of rv->bytes that are no record and are skipped: it says whose they were, if that can still be read. */
void recover_report_range(struct recovery *rv, uint64_t number, size_t offset, size_t n);
/* The end of the log, cut off while it was written; n may be 0: nothing. */
void recover_report_torn(struct recovery *rv, uint64_t number, size_t offset, size_t n);

#endif
