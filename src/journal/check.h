/* SPDX-License-Identifier: MIT */
/* What is wrong with a journal, found without changing it. */
#ifndef VOXBUS_JOURNAL_CHECK_H
#define VOXBUS_JOURNAL_CHECK_H

#include "journal/journal.h"

/* Something in a journal's files that isn't as it was written. */
struct journal_problem {
	const char *file;        /* its name in the directory */
	uint64_t offset, bytes;  /* where in it; 0 bytes: not a matter of bytes */
	const char *what, *then; /* "a damaged record"; what a start does about it: "is left out" */
	struct str name;         /* of the stream that lost by it, empty: not known */
	uint64_t stream, seq;    /* its number and the record's, 0: not known */
	bool torn; /* the end of a log that was cut off while it was written: no damage */
};

struct journal_checked {
	struct journal_stats stats; /* as after a start */
	size_t used, ignored;       /* index files */
};

/*
 * Does what a start would do, and reads every record besides, but changes nothing: files are opened
 * for reading alone, the lock is only looked at. problem is called for each thing found, inside.
 * 0: all was read; something may be damaged (ret->stats.damaged). -EBADMSG: a start would refuse.
 * Else it can't be checked: -ENOENT no journal there, -EBUSY a daemon has it, -ENOTSUP a later
 * version, or what the system said. *ret is filled in unless nothing could be read.
 */
int journal_check(const char *dir, void (*problem)(void *arg, const struct journal_problem *p),
		  void *arg, struct journal_checked *ret, struct err *e);

#endif
