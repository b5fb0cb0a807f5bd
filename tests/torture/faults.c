/* SPDX-License-Identifier: MIT */
/*
 * Every system call of the journal failing in turn: the n-th call, for n = 1, 2, ... until there is
 * none, with each error, in a run that opens a journal with something in it, fills segments, trims,
 * drops, makes the states' log anew and closes. Whatever it is: no crash, no hang, no
 * acknowledgement of what is not durable (the proof goes on), a sentence that names the file where
 * the journal gives up, and with a good disk everything acknowledged is there; every other time
 * after a power cut.
 *
 * And short writes: a batch of which the disk takes 1, 2, ... bytes at first.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "torture.h"

enum { WORK = 36, BATCH = 12, NO_MORE = 2000 };

struct faults {
	unsigned runs, refused_opens, failures, borne;
	unsigned calls[CALLS];
};

/* The same each time, so that the n-th call is the same call. */
static void work(struct run *run)
{
	for (int i = 0; i < WORK && !run->n_failed; i++) {
		(void)run_append(run, i % 5, (size_t)(i * 131 % 997));
		if (i % 4 == 0)
			(void)run_put(run, i % 3, i % 8 == 0);
		if (i % 6 == 5)
			run_trim(run, i % 5, 1);
		if (i == 20)
			run_drop(run, 4);
		if (i % 3 == 2)
			(void)run_settle(run);
	}
	for (unsigned i = 0; i < 45 && !run->n_failed; i++) {
		(void)run_put(run, 5, true);
		if (i % 15 == 14)
			(void)run_settle(run);
	}
	for (unsigned i = 0; i < 5 && !run->n_failed; i++)
		run_trim(run, i, 0);
	run_delete(run, 5);
	(void)run_settle(run);
	run_turn(run);
	run_sync(run);
	run_turn(run);
}

/* The file, without what its name ends in: "segment 00000002" is as good. */
static bool names_file(const char *text, const char *name)
{
	char stem[DISK_NAME];
	size_t n = strcspn(name, ".");

	if (strcmp(name, "state.log.tmp") == 0)
		name = "state.log";
	if (strncmp(name, "state", 5) == 0 || strncmp(name, "the ", 4) == 0)
		n = strlen(name);
	(void)snprintf(stem, sizeof(stem), "%.*s", (int)n, name);
	return strstr(text, stem) != NULL;
}

static void judge_sentence(const char *text)
{
	/* The directory is synced for the sake of a file: it is as good to name that. */
	if (disk.failed == CALL_SYNC_DIR && strstr(text, ".vbj"))
		return;
	/* The states' log that has just been replaced was state.log, too. */
	if (strcmp(disk.failed_name, "(unlinked)") != 0 && !names_file(text, disk.failed_name))
		(void)complain("the sentence does not name %s (%s): %s", disk.failed_name,
			       disk_call_names[disk.failed], text);
}

/* With a good disk: all that was acknowledged is there. */
static void open_again(struct run *run, bool power_cut)
{
	struct err e = { "" };

	disk.dead = true;
	run_close(run);
	model_power_cut();
	if (power_cut)
		disk_power_up();
	else
		disk_restart();
	if (run_open(run, &e) < 0) {
		(void)complain("with a good disk it can't be opened: %s", e.text);
		return;
	}
	if (model_verify(run, false))
		(void)run_append(run, 0, 100);
	if (!run_settle(run))
		(void)complain("with a good disk an append is not acknowledged");
}

static bool one_fault(struct run *run, struct faults *f, uint64_t n, int error)
{
	struct err e = { "" };
	bool hit;

	run->options.quota_bytes = 1 << 20;
	if (run_open(run, &e) < 0)
		return complain("it can't be opened: %s", e.text);
	work(run);
	run_close(run);
	model_durable(UINT64_MAX);
	run->failure_allowed = true;
	disk.fail_kind = CALL_ANY;
	disk.fail_errno = error;
	disk.fail_in = n;
	if (run_open(run, &e) < 0) {
		f->refused_opens++;
		judge_sentence(e.text);
	} else {
		work(run);
		/* The close may be what fails: then what was not acknowledged may be gone. */
		if (!run->n_failed && n % 3 == 0)
			run_close(run);
	}
	hit = disk.fail_in == 0;
	disk.fail_in = 0;
	f->failures += run->n_failed;
	f->borne += hit && !run->n_failed;
	if (run->n_failed)
		judge_sentence(run->failure.text);
	if (hit)
		f->calls[disk.failed]++;
	run->n_failed = 0;
	open_again(run, n % 2);
	return hit;
}

void torture_faults(uint64_t seed, struct tally *tally)
{
	static const int errors[] = { EIO, ENOSPC, EINTR };
	struct faults f = { 0 };

	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		bool more = true;

		for (uint64_t n = 1; more && n < NO_MORE && tally->failed < 10; n++) {
			unsigned before = complaints;
			struct run run;

			(void)snprintf(where, sizeof(where), "%s in call %" PRIu64,
				       strerrorname_np(errors[i]), n);
			run_init(&run, seed);
			more = one_fault(&run, &f, n, errors[i]) || complaints != before;
			run_fini(&run);
			f.runs++;
			tally->passed += complaints == before;
			tally->failed += complaints != before;
		}
	}
	printf("failing calls: %u runs, %u openings refused, %u journals gave up, %u went on; "
	       "calls:",
	       f.runs, f.refused_opens, f.failures, f.borne - f.refused_opens);
	for (int i = 0; i < CALLS; i++)
		printf(" %s %u", disk_call_names[i], f.calls[i]);
	printf("\n");
}

static bool one_short_write(struct run *run, size_t take)
{
	struct err e = { "" };
	size_t total;

	if (run_open(run, &e) < 0)
		return complain("it can't be opened: %s", e.text);
	(void)run_append(run, 0, 10);
	(void)run_settle(run);
	for (unsigned i = 0; i < BATCH; i++)
		(void)run_append(run, i % 3, i * 7);
	(void)run_put(run, 0, false);
	total = run->j->inflight;
	disk.fail_kind = CALL_WRITE;
	disk.fail_errno = 0;
	disk.fail_n = take;
	disk.fail_in = 1;
	if (!run_settle(run))
		(void)complain("the rest of the batch is not acknowledged");
	open_again(run, true);
	return take < total;
}

void torture_short_writes(uint64_t seed, struct tally *tally)
{
	unsigned runs = 0;
	bool more = true;

	for (size_t take = 1; more && take < NO_MORE && tally->failed < 10; take++) {
		unsigned before = complaints;
		struct run run;

		(void)snprintf(where, sizeof(where), "a write takes %zu bytes", take);
		run_init(&run, seed);
		more = one_short_write(&run, take);
		run_fini(&run);
		runs++;
		tally->passed += complaints == before;
		tally->failed += complaints != before;
	}
	printf("short writes: a batch of which 1 to %u bytes are taken\n", runs);
}
