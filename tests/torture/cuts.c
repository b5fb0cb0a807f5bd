/* SPDX-License-Identifier: MIT */
/*
 * Simulated power cuts: a journal is opened, worked with and cut off, again and again, on the disk
 * that the last cut left; after so many lives another one begins. After each opening all that must
 * be there is there (model_verify), and while it lives each acknowledgement is proven (proof.c).
 *
 * A life ends by a cut in the n-th system call (of any kind, or of a rare one), by one between two
 * calls, by kill -9 (what was written stays, what was not synced may still go with a later cut), or
 * by a clean close. The count starts before the opening: so recovery is cut, too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "torture.h"

enum { LIVES = 24, STEPS_MOST = 700, RECOVERY_CALLS = 50 };

struct figures {
	unsigned cuts, kills, closes, journals, openings, in_recovery, in_close, between;
	unsigned in_call[CALLS + 1];
	uint64_t recovered, torn_bytes, most_segments;
	struct run sum;
};

static struct figures figures;

static void arm(struct run *run)
{
	static const enum disk_call rare[] = { CALL_RENAME,   CALL_UNLINK,   CALL_CREATE,
					       CALL_SYNC_DIR, CALL_TRUNCATE, CALL_ALLOCATE,
					       CALL_SYNC };

	if (rnd_percent(&run->rnd, 10))
		return;
	if (rnd_percent(&run->rnd, 35))
		disk_cut_in(rare[rnd_below(&run->rnd, sizeof(rare) / sizeof(*rare))],
			    rnd_scale(&run->rnd, 3));
	else
		disk_cut_in(CALL_ANY, rnd_scale(&run->rnd, 9) +
					      (rnd_percent(&run->rnd, 50) ? 0 : RECOVERY_CALLS));
}

static void power_cut(struct run *run, bool in_close)
{
	if (!disk.dead)
		disk_cut_now();
	figures.cuts++;
	figures.in_call[disk.died]++;
	figures.between += disk.died == CALL_ANY;
	figures.in_close += in_close;
	run_close(run);
	model_power_cut();
	disk_power_up();
}

static void killed(struct run *run)
{
	figures.kills++;
	model_written(run->written);
	disk.dead = true;
	run_close(run);
	disk_restart();
}

/* Closed with everything written and synced: what was accepted is there. */
static void close_cleanly(struct run *run)
{
	uint64_t last = model_last_lsn();

	disk.full = false;
	figures.closes++;
	run_close(run);
	if (disk.dead) {
		power_cut(run, true);
		return;
	}
	(void)proof_check(last);
	model_durable(last);
	if (rnd_percent(&run->rnd, 50))
		power_cut(run, false);
	else
		disk_restart();
}

static void sum_up(const struct run *run)
{
	struct journal_stats st;

	journal_stats(run->j, &st);
	figures.openings++;
	figures.recovered += st.recovered;
	figures.torn_bytes += st.torn_bytes;
	if (st.segments > figures.most_segments)
		figures.most_segments = st.segments;
}

static void live(struct run *run)
{
	unsigned before = complaints, way;
	struct err e = { "" };

	run_profile(run);
	arm(run);
	/* It may also open in the dark: a call that failed was one that it can do without. */
	if (run_open(run, &e) < 0 || disk.dead) {
		if (!disk.dead)
			(void)complain("it can't be opened: %s", e.text);
		figures.in_recovery++;
		power_cut(run, false);
		return;
	}
	sum_up(run);
	if (!model_verify(run, false)) {
		if (disk.dead)
			power_cut(run, false);
		return;
	}
	for (size_t i = rnd_scale(&run->rnd, 1) + rnd_below(&run->rnd, STEPS_MOST);
	     i > 0 && !disk.dead && complaints == before; i--)
		run_step(run);
	way = (unsigned)rnd_below(&run->rnd, 100);
	if (disk.dead || way < 50)
		power_cut(run, false);
	else if (way < 75)
		killed(run);
	else
		close_cleanly(run);
}

static void add_up(const struct run *run)
{
	struct run *sum = &figures.sum;

	sum->appends += run->appends;
	sum->puts += run->puts;
	sum->trims += run->trims;
	sum->drops += run->drops;
	sum->skips += run->skips;
	sum->reads += run->reads;
	sum->refused += run->refused;
	sum->full_disks += run->full_disks;
}

static void print(void)
{
	const struct run *sum = &figures.sum;

	printf("power cuts: %u on %u journals, %u openings; ", figures.cuts, figures.journals,
	       figures.openings);
	printf("besides %u kills, %u clean closes\n", figures.kills, figures.closes);
	printf("  cut in recovery %u, while closing %u, between calls %u; in the call:",
	       figures.in_recovery, figures.in_close, figures.between);
	for (int i = 0; i < CALLS; i++)
		if (figures.in_call[i])
			printf(" %s %u", disk_call_names[i], figures.in_call[i]);
	printf("\n  unsynced sectors kept %" PRIu64 ", dropped %" PRIu64
	       ", older than the last %" PRIu64,
	       disk.stats.sectors_kept, disk.stats.sectors_dropped, disk.stats.sectors_between);
	printf("; names kept %" PRIu64 ", dropped %" PRIu64 "\n", disk.stats.names_kept,
	       disk.stats.names_dropped);
	printf("  appends %" PRIu64 " puts %" PRIu64 " trims %" PRIu64 " drops %" PRIu64
	       " skips %" PRIu64 " reads %" PRIu64 " refused %" PRIu64 " full disks %" PRIu64 "\n",
	       sum->appends, sum->puts, sum->trims, sum->drops, sum->skips, sum->reads,
	       sum->refused, sum->full_disks);
	printf("  proof: %" PRIu64 " records written (%" PRIu64 " moved by compaction), %" PRIu64
	       " acknowledgements checked; %" PRIu64 " segments begun (most at once %" PRIu64
	       "), %" PRIu64 " state logs\n",
	       proof_stats.records, proof_stats.copies, proof_stats.acks, proof_stats.segments,
	       figures.most_segments, proof_stats.snapshots);
	printf("  recovered %" PRIu64 " records, cut %" PRIu64 " torn bytes; calls:",
	       figures.recovered, figures.torn_bytes);
	for (int i = 0; i < CALLS; i++)
		printf(" %s %" PRIu64, disk_call_names[i], disk.stats.calls[i]);
	printf("\n");
}

void torture_cuts(uint64_t seed, unsigned cuts, struct tally *tally)
{
	struct rnd seeds = { seed };

	figures = (struct figures){ 0 };
	disk.stats = (struct disk_stats){ 0 };
	proof_stats = (struct proof_stats){ 0 };
	while (figures.cuts < cuts && tally->failed < (disk.sabotage ? 1 : 10)) {
		unsigned before = complaints, cuts_before = figures.cuts;
		struct run run;
		int i = 0;

		run_init(&run, rnd_next(&seeds));
		figures.journals++;
		for (; i < LIVES && figures.cuts < cuts && complaints == before; i++) {
			(void)snprintf(where, sizeof(where),
				       "cuts, seed %" PRIu64 ", journal %u, life %d", seed,
				       figures.journals, i);
			live(&run);
		}
		add_up(&run);
		disk.dead = true;
		run_fini(&run);
		tally->passed += figures.cuts - cuts_before;
		if (complaints != before)
			tally->failed++;
	}
	if (!disk.sabotage)
		print();
}
