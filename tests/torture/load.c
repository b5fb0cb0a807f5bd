/* SPDX-License-Identifier: MIT */
/*
 * A run: one journal without threads on the simulated disk, and what its owner does to it. All that
 * happens, and when a write or a sync happens between it, is drawn by the seed; while a write or a
 * sync is under way the other threads may do something, too (on_meanwhile).
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "torture.h"

enum { START_MS = 1700000000, READ_MOST = 20000, SETTLE_ROUNDS = 10000 };

/* Room is not reserved: that takes more time than all the rest. */
static int no_fallocate(int fd, int mode, off_t at, off_t n)
{
	return 0;
}

static struct journal_sys bare_sys;

static uint64_t wall(void *arg)
{
	const struct run *run = arg;

	return run->wall_ms;
}

static uint64_t steady(void *arg)
{
	const struct run *run = arg;

	return run->steady_ms;
}

static uint64_t draw(void *arg)
{
	return rnd_next(&wrap_rnd);
}

static void on_progress(void *arg, uint64_t written, uint64_t durable)
{
	struct run *run = arg;

	if (disk.dead)
		return; /* nobody hears it */
	if (durable > written || written < run->written || durable < run->durable)
		(void)complain("the watermarks go from %" PRIu64 "/%" PRIu64 " to %" PRIu64
			       "/%" PRIu64,
			       run->written, run->durable, written, durable);
	run->written = written;
	run->durable = durable;
	if (!run->bare)
		(void)proof_check(durable);
	model_durable(durable);
}

static void on_failed(void *arg, const struct err *e)
{
	struct run *run = arg;

	run->failure = *e;
	run->n_failed++;
	if (!disk.dead && !run->failure_allowed)
		(void)complain("the journal failed: %s", e->text);
}

static void on_stalled(void *arg, bool on)
{
	struct run *run = arg;

	run->full_disks += on;
}

/* What the loop, the writer and the syncer may do while one of them is in a system call. */
static void on_meanwhile(void *arg, enum disk_call call)
{
	struct run *run = arg;

	if (!run->j || !run->w_append || !(run->stepping_write || run->stepping_sync) ||
	    !rnd_percent(&run->rnd, 20))
		return;
	for (size_t i = rnd_below(&run->rnd, 4); i > 0; i--) {
		run_step(run);
		if (!run->stepping_write && rnd_percent(&run->rnd, 50))
			run_write(run);
		if (!run->stepping_sync && rnd_percent(&run->rnd, 30))
			run_sync(run);
	}
}

void run_init(struct run *run, uint64_t seed)
{
	*run = (struct run){ .seed = seed,
			     .rnd = { seed },
			     .wall_ms = UINT64_C(1000) * START_MS,
			     .steady_ms = 1000 };
	wrap_rnd = (struct rnd){ seed ^ 0x5eed };
	disk.rnd = (struct rnd){ seed ^ 0xd15c };
	disk.meanwhile = on_meanwhile;
	disk.meanwhile_arg = run;
	disk_wipe();
	model_init();
	run->options = (struct journal_options){ .dir = disk.dir, .segment_bytes = 8192 };
	bare_sys = journal_sys_real;
	bare_sys.fallocate = no_fallocate;
	if (loop_create_manual(&run->loop) < 0)
		abort();
}

void run_fini(struct run *run)
{
	run_close(run);
	run->loop = loop_destroy(run->loop);
	disk.meanwhile = NULL;
	proof_fini();
	disk_wipe();
}

void run_profile(struct run *run)
{
	static const size_t sizes[] = { 8192, 8192, 16384, 32768, 65536 };
	struct rnd *r = &run->rnd;

	run->options.segment_bytes = sizes[rnd_below(r, 5)];
	run->options.quota_bytes = run->options.segment_bytes * (6 + rnd_scale(r, 6));
	run->options.inflight_max = rnd_percent(r, 20) ? 65536 : 0;
	run->w_append = 20 + (unsigned)rnd_below(r, 60);
	run->w_put = 2 + (unsigned)rnd_below(r, rnd_percent(r, 30) ? 60 : 10);
	run->w_trim = 4 + (unsigned)rnd_below(r, 30);
	run->w_drop = 1 + (unsigned)rnd_below(r, 6);
	run->w_turn = 5 + (unsigned)rnd_below(r, 30);
	run->w_step = 5 + (unsigned)rnd_below(r, 40);
	run->hot = 1 + (unsigned)rnd_below(r, NAMES);
	run->slow = (unsigned)rnd_below(r, NAMES);
	run->big_percent = rnd_percent(r, 30) ? 5 : 0;
}

int run_open(struct run *run, struct err *e)
{
	struct journal_events events = { on_progress, on_failed, on_stalled, run };
	struct journal_inject in = { .loop = run->loop,
				     .options = &run->options,
				     .events = &events,
				     .sys = run->bare ? &bare_sys : &disk_sys,
				     .wall_ms = wall,
				     .steady_ms = steady,
				     .clock_arg = run,
				     .random = draw,
				     .stepped = true };
	struct journal *j;
	int rc;

	run->written = run->durable = 0;
	run->n_failed = 0;
	disk.wrote = NULL;
	rc = journal_open_injected(&in, &j, e);
	if (rc < 0)
		return rc;
	run->j = j;
	run->written = journal_written(j);
	run->durable = journal_durable(j);
	if (!run->bare)
		proof_begin(run->durable);
	return 0;
}

void run_close(struct run *run)
{
	run->j = journal_close(run->j);
	while (works_step(NULL))
		;
	for (int i = 0; i < 3; i++)
		loop_turn(run->loop);
}

void run_turn(struct run *run)
{
	/* The second turn runs what was posted or deferred in the first. */
	for (int i = 0; i < 2; i++)
		loop_turn(run->loop);
	if (run->j)
		model_flushed(run->j->lsn);
}

void run_write(struct run *run)
{
	run->stepping_write = true;
	(void)journal_step_write(run->j);
	run->stepping_write = false;
}

void run_sync(struct run *run)
{
	run->stepping_sync = true;
	(void)journal_step_sync(run->j);
	run->stepping_sync = false;
}

bool run_settle(struct run *run)
{
	uint64_t last = model_last_lsn();

	for (int i = 0; i < SETTLE_ROUNDS && run->durable < last && !run->n_failed; i++) {
		run_turn(run);
		run_write(run);
		run_sync(run);
		run_turn(run);
	}
	return run->durable >= last;
}

static bool refused(struct run *run, int rc, const char *what)
{
	run->refused++;
	if (rc != -ENOSPC && rc != -EAGAIN && !(rc == -EIO && (disk.dead || run->n_failed)))
		(void)complain("%s: refused with %d", what, rc);
	return false;
}

bool run_append(struct run *run, unsigned name, size_t len)
{
	struct jstream *js = journal_stream(run->j, model_name(name));
	unsigned inc = model_inc(name);
	uint64_t seq = jstream_next(js), lsn = 0;
	struct str body = model_body(inc, seq, len);
	struct str parts[2] = { { body.p, len / 3 }, { body.p + len / 3, len - len / 3 } };
	int rc;

	if (seq != model_next(name))
		return complain("%s goes on with %" PRIu64 ", not %" PRIu64, model_name(name).p,
				seq, model_next(name));
	rc = journal_append(run->j, js, seq, parts, 2, &lsn);
	if (rc < 0)
		return refused(run, rc, "append");
	model_appended(name, seq, len, lsn);
	run->appends++;
	return true;
}

bool run_put(struct run *run, unsigned key, bool large)
{
	unsigned version = model_version(large);
	uint64_t lsn = 0;
	int rc = journal_put(run->j, model_key(key), model_value(version), &lsn);

	if (rc < 0)
		return refused(run, rc, "put");
	model_put(key, version, lsn);
	run->puts++;
	return true;
}

void run_delete(struct run *run, unsigned key)
{
	uint64_t lsn = 0;
	int rc = journal_put(run->j, model_key(key), str_make(NULL, 0), &lsn);

	if (rc < 0) {
		(void)refused(run, rc, "delete");
		return;
	}
	model_put(key, 0, lsn);
	run->puts++;
}

void run_trim(struct run *run, unsigned name, size_t keep)
{
	struct jstream *js = journal_stream(run->j, model_name(name));
	uint64_t next = jstream_next(js), first = jstream_first(js);
	uint64_t seq = next - first > keep ? next - keep : first;
	int rc;

	if (seq <= first)
		return;
	rc = jstream_trim(run->j, js, seq);
	if (rc < 0) {
		(void)refused(run, rc, "trim");
		return;
	}
	model_trimmed(name, js, seq);
	run->trims++;
}

static void run_skip(struct run *run, unsigned name)
{
	struct jstream *js = journal_stream(run->j, model_name(name));
	uint64_t seq = jstream_next(js) + rnd_scale(&run->rnd, 5);

	(void)model_inc(name);
	if (jstream_first(js) != jstream_next(js) || jstream_skip(js, seq) < 0)
		return;
	model_skipped(name, seq);
	run->skips++;
}

void run_drop(struct run *run, unsigned name)
{
	struct jstream *js = journal_stream(run->j, model_name(name));
	int rc = jstream_drop(run->j, js);

	if (rc < 0) {
		(void)refused(run, rc, "drop");
		return;
	}
	model_dropped(name, run->j->lsn);
	run->drops++;
}

/* ---- reading while it lives */

struct reading {
	struct run *run;
	unsigned name;
	uint64_t from, next;
	bool done;
	int rc;
};

static void on_read(void *arg, int rc, const struct journal_record *records, size_t n)
{
	struct reading *rd = arg;

	rd->done = true;
	rd->rc = rc;
	for (size_t i = 0; i < n; i++) {
		if (records[i].seq < rd->next)
			(void)complain("a read from %" PRIu64 " gives %" PRIu64, rd->next,
				       records[i].seq);
		(void)model_check_record(rd->name, records[i].seq, records[i].body);
		rd->next = records[i].seq + 1;
	}
}

static bool read_from(struct run *run, unsigned name, uint64_t seq, size_t max, uint64_t *ret_next)
{
	struct jstream *js = journal_stream(run->j, model_name(name));
	struct reading rd = { run, name, seq, seq, false, 0 };

	run->reads++;
	if (journal_read(run->j, js, seq, max, on_read, &rd) < 0)
		return complain("no memory");
	while (!rd.done && works_step(NULL))
		;
	*ret_next = rd.next;
	if (rd.done && (rd.rc == 0 || rd.rc == -ENOENT || disk.dead || run->failure_allowed))
		return rd.rc == 0;
	return complain("a read of %s from %" PRIu64 " gives %d", model_name(name).p, seq, rd.rc);
}

static void run_read(struct run *run, unsigned name)
{
	struct jstream *js = journal_stream(run->j, model_name(name));
	uint64_t first = jstream_first(js), next = jstream_next(js), seq, after;

	if (first == next || disk.inside)
		return;
	seq = first + rnd_below(&run->rnd, (size_t)(next - first));
	(void)read_from(run, name, seq, rnd_scale(&run->rnd, 14), &after);
}

bool run_read_all(struct run *run)
{
	unsigned before = complaints;

	for (unsigned i = 0; i < NAMES; i++) {
		const struct jstream *js = journal_stream(run->j, model_name(i));
		uint64_t seq = jstream_first(js);

		while (seq < jstream_next(js) && read_from(run, i, seq, READ_MOST, &seq))
			;
		if (seq < jstream_next(js))
			return complain("%s: %" PRIu64 " can't be read", model_name(i).p, seq);
	}
	return complaints == before;
}

/* ---- what happens next */

static unsigned draw_name(struct run *run)
{
	return (unsigned)rnd_below(&run->rnd, rnd_percent(&run->rnd, 80) ? run->hot : NAMES);
}

static size_t draw_len(struct run *run)
{
	if (rnd_below(&run->rnd, 100) < run->big_percent)
		return rnd_below(&run->rnd, BODY_MOST + 1);
	return rnd_scale(&run->rnd, 11) - 1;
}

static void draw_trim(struct run *run)
{
	unsigned name = draw_name(run);

	if (name == run->slow && rnd_percent(&run->rnd, 97))
		return;
	run_trim(run, name, rnd_percent(&run->rnd, 60) ? 0 : rnd_scale(&run->rnd, 5) - 1);
}

/* The quota is reached, or the disk is full: what an owner does then. */
static void make_room(struct run *run)
{
	for (unsigned i = 0; i < NAMES; i++)
		if (rnd_percent(&run->rnd, 60))
			run_trim(run, i, 0);
}

static void draw_time(struct run *run)
{
	size_t ms = rnd_percent(&run->rnd, 70) ? 20 : rnd_scale(&run->rnd, 12);

	run->wall_ms += ms;
	run->steady_ms += ms;
	loop_test_advance(run->loop, ms);
	model_flushed(run->j->lsn);
}

void run_step(struct run *run)
{
	unsigned sum = run->w_append + run->w_put + run->w_trim + run->w_drop + run->w_turn + 20;
	unsigned at = (unsigned)rnd_below(&run->rnd, sum + run->w_step);

	if (at < run->w_append) {
		if (!run_append(run, draw_name(run), draw_len(run)) && !run->n_failed)
			make_room(run);
	} else if ((at -= run->w_append) < run->w_put) {
		unsigned key = (unsigned)rnd_below(&run->rnd, KEYS);

		if (rnd_percent(&run->rnd, 15))
			run_delete(run, key);
		else
			(void)run_put(run, key, rnd_percent(&run->rnd, run->w_put > 12 ? 50 : 2));
	} else if ((at -= run->w_put) < run->w_trim) {
		draw_trim(run);
	} else if ((at -= run->w_trim) < run->w_drop) {
		if (rnd_percent(&run->rnd, 50))
			run_drop(run, draw_name(run));
		else
			run_skip(run, draw_name(run));
	} else if ((at -= run->w_drop) < run->w_turn) {
		run_turn(run);
	} else if ((at -= run->w_turn) < 20) {
		if (at < 6)
			run_read(run, draw_name(run));
		else if (at < 10)
			draw_time(run);
		else if (at < 18)
			(void)works_step(&run->rnd);
		else
			disk.full = !disk.full && rnd_percent(&run->rnd, 10);
	} else if (!run->stepping_write && !run->stepping_sync) {
		if (rnd_percent(&run->rnd, 60))
			run_write(run);
		else
			run_sync(run);
	}
}
