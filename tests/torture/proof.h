/* SPDX-License-Identifier: MIT */
/*
 * The proof that no acknowledgement comes too early: each record that is written is found in the
 * bytes (which lsn, which file, where), and when the journal says that all up to an lsn is durable,
 * every single one up to there must lie in bytes, in a file and under a name that no power cut can
 * take away. Nothing is asked of the journal for that: only its files' format and its word count.
 */
#ifndef VOXBUS_TESTS_TORTURE_PROOF_H
#define VOXBUS_TESTS_TORTURE_PROOF_H

#include "disk.h"

struct proof_stats {
	uint64_t records, copies, acks, segments, snapshots;
};
extern struct proof_stats proof_stats;
extern bool proof_off; /* to see what the cuts notice without it */

/* A journal has been opened: all up to base was found there. */
void proof_begin(uint64_t base);
void proof_fini(void);
/* All up to lsn was acknowledged: false after a complaint. */
bool proof_check(uint64_t lsn);

#endif
