/* SPDX-License-Identifier: MIT */
/*
 * The test of the test: disks that lie and journals that are broken on purpose. Each must be
 * noticed, by the proof, and by the cuts alone where the proof is left out.
 */
#include <stdio.h>

#include "torture.h"

enum { CUTS_AT_MOST = 400 };

struct spoiled {
	enum sabotage sabotage;
	const char *what;
	bool cuts_alone; /* the cuts notice it without the proof, too */
	bool queues;     /* it is the queues that must notice it, without the proof */
};

static const struct spoiled all[] = {
	{ SABOTAGE_SYNC, "every eighth fdatasync does nothing", true },
	{ SABOTAGE_DIR, "fsync of the directory does nothing", true },
	{ SABOTAGE_FSYNC, "fsync of a file does nothing", true },
	{ SABOTAGE_SECTOR, "a sync loses the last sector of a write", true },
	{ SABOTAGE_ACK, "acknowledged when written, before the sync", true },
	{ SABOTAGE_TRUNCATE, "the torn end is not cut", true },
	{ SABOTAGE_CRC, "every checksum is taken for right", true },
	{ SABOTAGE_ACK, "queues: acknowledged when written, before the sync", .queues = true },
	{ SABOTAGE_LEASE, "queues: every eighth lease is not settled", .queues = true },
};

static bool noticed(uint64_t seed, const struct spoiled *s, bool proof)
{
	struct tally tally = { 0 };
	bool lied;

	disk.sabotage = s->sabotage;
	disk.lies = 0;
	proof_off = !proof;
	if (s->queues)
		torture_queues(seed, CUTS_AT_MOST, &tally);
	else
		torture_cuts(seed, CUTS_AT_MOST, &tally);
	lied = disk.lies > 0;
	disk.sabotage = SABOTAGE_NONE;
	proof_off = false;
	printf("sabotage: %s%s: %s after %u cuts\n", s->what, proof ? "" : " (no proof)",
	       tally.failed ? "noticed"
	       : lied       ? "NOT NOTICED"
			    : "it never came to it",
	       tally.passed);
	return tally.failed > 0;
}

void torture_sabotage(uint64_t seed, struct tally *tally)
{
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		int first = all[i].queues ? 0 : 1,
		    last = all[i].queues || all[i].cuts_alone ? 0 : 1;

		for (int proof = first; proof >= last; proof--) {
			bool found = noticed(seed, &all[i], proof);

			tally->passed += found;
			tally->failed += !found;
		}
	}
}
