/* SPDX-License-Identifier: MIT */
/*
 * Queues on the simulated disk: streams, leased cursors and the file of leases above a journal whose
 * power is cut, or whose process is killed, again and again.
 *
 * Each message carries the number of its item, so that what comes can be held against what was said
 * of it. In each life everything that there is is taken first, and then:
 *
 *   acknowledged to its publisher and not settled   it is there
 *   handed out, or seen, and not settled, no cut since   it is there
 *   settled, no cut since                           it does not come again
 *   settled, and the trim above it synced           it does not come again, whatever was cut
 *   returns                                         how often it had been handed out before; since
 *                                                   a cut: at most
 *
 * The file of leases is a real one, and mapped. Now and then a page of it is written back; a cut
 * leaves of each sector what it says now or what was written back last.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/core_internal.h"
#include "core/lease.h"
#include "torture.h"

enum {
	QUEUES = 3,
	LIVES = 20,
	STEPS = 500,
	WINDOW = 4096,
	IDLE_ROUNDS = 6,
	PAGE = 4096,
	PAGES = 24, /* of the file's, in which all leases of these loads lie */
};

struct item {
	uint64_t seq, trim_lsn; /* that of the mark above it; 0 = none yet */
	struct stream *stream;
	unsigned queue, taken; /* how often it was handed out */
	unsigned cuts;         /* when it was settled, or first handed out */
	bool acked, held, settled, sure, gone;
};

static struct {
	struct run run;
	struct streams *streams;
	struct leases *leases;
	struct stream *stream[QUEUES];
	struct cursor *cursor[QUEUES];
	struct journal_events inner;
	char path[64];
	int fd; /* the file of leases, as the disk writes it back */
	char back[PAGES * PAGE];
	struct item *items;
	size_t n, cap;
	size_t *held, n_held, cap_held;          /* handed out in this life */
	size_t *settled, n_settled, cap_settled; /* and not yet sure */
	unsigned cuts;
} q;

static struct {
	unsigned cuts, kills, closes, runs;
	uint64_t published, acked, refused, taken, marked, settled, returned, again, lost, stale;
} sum;

static void push(size_t **at, size_t *n, size_t *cap, size_t item)
{
	if (*n == *cap) {
		*cap = *cap ? *cap * 2 : 64;
		*at = realloc(*at, *cap * sizeof(**at));
		if (!*at)
			abort();
	}
	(*at)[(*n)++] = item;
}

/* ---- what the queues' owner does */

static void on_acked(void *arg, int rc)
{
	struct item *item = &q.items[(uintptr_t)arg];

	if (rc < 0 || disk.dead)
		return;
	item->acked = true;
	sum.acked++;
}

static size_t item_create(unsigned queue, uint64_t seq)
{
	if (q.n == q.cap) {
		q.cap = q.cap ? q.cap * 2 : 256;
		q.items = realloc(q.items, q.cap * sizeof(*q.items));
		if (!q.items)
			abort();
	}
	q.items[q.n] = (struct item){ .queue = queue, .seq = seq };
	return q.n++;
}

static void publish(unsigned queue)
{
	struct stream *s = q.stream[queue];
	size_t number = item_create(queue, stream_next(s));
	struct msg init = { .kind = MSG_DOCUMENT,
			    .seq = stream_next(s),
			    .wall_ns = 1000 + number,
			    .payload = blob_create(str_make((char *)&number, sizeof(number))) };
	struct msg *m = msg_create(&init);
	int rc;

	(void)blob_unref(init.payload);
	rc = m ? stream_append(s, m, on_acked, (void *)(uintptr_t)number) : -ENOMEM;
	(void)msg_unref(m);
	q.items[number].gone = rc < 0;
	if (rc == 0)
		sum.published++;
	else if (rc != -ENOSPC && rc != -EAGAIN && !(rc == -EIO && disk.dead))
		(void)complain("a publish is refused with %d", rc);
	else
		sum.refused++;
}

/* What may be wrong with a message that comes; NULL: nothing. */
static const char *find_fault(const struct item *item, unsigned queue, unsigned returns)
{
	bool cut = item->cuts < q.cuts;

	if (item->queue != queue)
		return "comes in another queue";
	if (item->held)
		return "comes twice in one life";
	if (item->gone)
		return "comes, though it was refused, or had gone";
	if (item->settled && item->sure)
		return "comes again, though its trim was synced";
	if (item->settled && !cut)
		return "comes again, though it was settled";
	if (item->taken && !cut && returns != item->taken)
		return "does not say how often it was handed out";
	if (returns > item->taken)
		return "says that it was handed out more often than it was";
	return NULL;
}

static void taken(unsigned queue, const struct msg *m)
{
	unsigned returns = cursor_returns(q.cursor[queue], m->seq);
	size_t number = SIZE_MAX;
	struct item *item;
	const char *fault;

	if (blob_str(m->payload).n == sizeof(number))
		memcpy(&number, blob_str(m->payload).p, sizeof(number));
	if (number >= q.n) {
		(void)complain("queue %u gives a message that nobody published", queue);
		return;
	}
	item = &q.items[number];
	fault = find_fault(item, queue, returns);
	if (fault)
		(void)complain("message %zu of queue %u %s: returns %u, taken %u, cuts %u of %u",
			       number, queue, fault, returns, item->taken, item->cuts, q.cuts);
	sum.taken++;
	sum.marked += returns > 0;
	sum.again += item->settled;
	if (!item->taken)
		item->cuts = q.cuts;
	item->taken++;
	item->held = true;
	item->settled = false;
	item->stream = q.stream[queue];
	push(&q.held, &q.n_held, &q.cap_held, number);
}

static bool take(unsigned queue)
{
	struct msg *m;

	if (!cursor_take(q.cursor[queue], &m))
		return false;
	taken(queue, m);
	(void)msg_unref(m);
	return true;
}

static void settle(bool done)
{
	size_t i, number;
	struct item *item;

	if (!q.n_held)
		return;
	i = rnd_below(&q.run.rnd, q.n_held);
	number = q.held[i];
	item = &q.items[number];
	q.held[i] = q.held[--q.n_held];
	item->held = false;
	cursor_settle(q.cursor[item->queue], item->seq, done);
	sum.returned += !done;
	if (!done)
		return;
	sum.settled++;
	item->settled = true;
	item->cuts = q.cuts;
	item->trim_lsn = 0;
	push(&q.settled, &q.n_settled, &q.cap_settled, number);
}

/* Trims that are in the log by now, and those that are synced. */
static void look_at_trims(uint64_t durable)
{
	for (size_t i = 0; i < q.n_settled;) {
		struct item *item = &q.items[q.settled[i]];

		if (!item->trim_lsn && item->stream->js)
			(void)jstream_is_trimmed(item->stream->js, item->seq, &item->trim_lsn);
		item->sure = item->trim_lsn && item->trim_lsn <= durable;
		if (item->sure)
			q.settled[i] = q.settled[--q.n_settled];
		else
			i++;
	}
}

static void turn(void)
{
	loop_turn(q.run.loop);
	loop_turn(q.run.loop);
	look_at_trims(q.run.durable);
}

static void write_back(void)
{
	size_t at = rnd_below(&q.run.rnd, PAGES) * PAGE;

	if (pread(q.fd, q.back + at, PAGE, (off_t)at) != PAGE)
		abort();
}

static void step(void)
{
	struct rnd *r = &q.run.rnd;
	size_t what = rnd_below(r, 100);

	if (what < 25)
		publish((unsigned)rnd_below(r, QUEUES));
	else if (what < 40)
		(void)take((unsigned)rnd_below(r, QUEUES));
	else if (what < 55)
		settle(rnd_percent(r, 85));
	else if (what < 68)
		turn();
	else if (what < 80 && !q.run.stepping_write)
		run_write(&q.run);
	else if (what < 90 && !q.run.stepping_sync)
		run_sync(&q.run);
	else if (what < 93)
		(void)works_step(r);
	else if (what < 96)
		write_back();
	else if (what == 96 && !q.run.stepping_write && !q.run.stepping_sync)
		loop_test_advance(q.run.loop, 20);
}

/* The loop's thread goes on while the writer or the syncer is in a call. */
static void on_meanwhile(void *arg, enum disk_call call)
{
	if (!(q.run.stepping_write || q.run.stepping_sync) || !q.streams ||
	    !rnd_percent(&q.run.rnd, 20))
		return;
	for (size_t i = rnd_below(&q.run.rnd, 4); i > 0; i--)
		step();
}

/* ---- lives */

static void on_progress(void *arg, uint64_t written, uint64_t durable)
{
	if (disk.dead)
		return; /* nobody hears it */
	q.run.durable = durable;
	(void)proof_check(durable);
	look_at_trims(durable);
	q.inner.progress(q.inner.arg, written, durable);
}

static void on_failed(void *arg, const struct err *e)
{
	if (!disk.dead)
		(void)complain("the journal failed: %s", e->text);
}

static void on_stalled(void *arg, bool on)
{
	if (!disk.dead)
		q.inner.stalled(q.inner.arg, on);
}

static void on_ready(void *arg)
{
}

static uint64_t wall(void *arg)
{
	return q.run.wall_ms;
}

static uint64_t steady(void *arg)
{
	return q.run.steady_ms;
}

static uint64_t draw(void *arg)
{
	return rnd_next(&wrap_rnd);
}

static int open_journal(struct err *e)
{
	const struct journal_events events = { on_progress, on_failed, on_stalled, NULL };
	const struct journal_inject in = { .loop = q.run.loop,
					   .options = &q.run.options,
					   .events = &events,
					   .sys = &disk_sys,
					   .wall_ms = wall,
					   .steady_ms = steady,
					   .random = draw,
					   .stepped = true };
	int rc = streams_create(q.run.loop, NULL, NULL, &q.streams);

	if (rc < 0)
		abort();
	streams_journal_events(q.streams, &q.inner);
	disk.wrote = NULL;
	rc = journal_open_injected(&in, &q.run.j, e);
	if (rc < 0)
		return rc;
	q.run.durable = journal_durable(q.run.j);
	proof_begin(q.run.durable);
	return streams_set_journal(q.streams, q.run.j);
}

static int begin(struct err *e)
{
	static const char *const names[] = { "a/one", "a/two", "a/three" };
	int rc = open_journal(e);

	if (rc < 0)
		return rc;
	rc = leases_open(q.path, NULL, &q.leases, e);
	if (rc < 0 || streams_set_leases(q.streams, q.leases) < 0)
		abort();
	for (int i = 0; i < QUEUES; i++) {
		q.stream[i] = stream_open(q.streams, str_from(names[i]), STREAM_RECORD);
		if (!q.stream[i] || cursor_create(q.stream[i], CURSOR_REQUIRED | CURSOR_LEASED,
						  WINDOW, on_ready, NULL, &q.cursor[i]) < 0)
			abort();
	}
	return 0;
}

/* With a dead disk this is no end in order: nothing that it does counts. */
static void end(void)
{
	for (int i = 0; i < QUEUES; i++) {
		q.cursor[i] = cursor_destroy(q.cursor[i]);
		q.stream[i] = stream_unref(q.stream[i]);
	}
	q.run.j = journal_close(q.run.j);
	q.streams = streams_destroy(q.streams);
	q.leases = leases_close(q.leases);
	while (works_step(NULL))
		;
	for (int i = 0; i < 3; i++)
		loop_turn(q.run.loop);
	for (size_t i = 0; i < q.n_held; i++)
		q.items[q.held[i]].held = false;
	q.n_held = q.n_settled = 0;
}

/* Of each sector what it said last, or what was written back last. */
static void cut_leases(void)
{
	char now[PAGES * PAGE];

	if (pread(q.fd, now, sizeof(now), 0) != (ssize_t)sizeof(now))
		abort();
	for (size_t at = 0; at < sizeof(now); at += SECTOR) {
		if (memcmp(q.back + at, now + at, SECTOR) == 0)
			continue;
		if (rnd_percent(&q.run.rnd, 50)) {
			memcpy(q.back + at, now + at, SECTOR);
			continue;
		}
		sum.stale++;
		if (pwrite(q.fd, q.back + at, SECTOR, (off_t)at) != SECTOR)
			abort();
	}
}

static void power_cut(void)
{
	if (!disk.dead)
		disk_cut_now();
	sum.cuts++;
	end();
	q.cuts++;
	cut_leases();
	disk_power_up();
}

static void killed(void)
{
	sum.kills++;
	disk.dead = true;
	end();
	disk_restart();
}

static void close_cleanly(void)
{
	end();
	if (disk.dead) {
		sum.cuts++;
		q.cuts++;
		cut_leases();
		disk_power_up();
		return;
	}
	sum.closes++;
	disk_restart();
}

/* Takes all that there is; false: the power went first. */
static bool take_all(void)
{
	for (int idle = 0; idle < IDLE_ROUNDS && !disk.dead; idle++) {
		for (unsigned i = 0; i < QUEUES; i++)
			while (take(i))
				idle = 0;
		while (works_step(NULL) && !disk.dead)
			;
		turn();
	}
	return !disk.dead;
}

/* What was acknowledged, or handed out by a process that was only killed, must have come. */
static void check_all_there(void)
{
	for (size_t i = 0; i < q.n; i++) {
		struct item *item = &q.items[i];
		bool cut = item->cuts < q.cuts;

		if (item->held || item->settled || item->gone)
			continue;
		if (item->acked || (item->taken && !cut)) {
			sum.lost++;
			(void)complain("message %zu of queue %u was %s and is lost", i, item->queue,
				       item->acked ? "acknowledged" : "handed out");
		}
		item->gone = true;
	}
}

/* Much is settled shortly before the end, and its trims are on their way, or not yet. */
static void settle_late(void)
{
	struct rnd *r = &q.run.rnd;

	for (size_t rounds = rnd_below(r, 6); rounds > 0 && !disk.dead; rounds--) {
		for (size_t i = rnd_below(r, 20); i > 0; i--)
			settle(true);
		publish((unsigned)rnd_below(r, QUEUES));
		if (rnd_percent(r, 60))
			turn();
		if (rnd_percent(r, 60))
			run_write(&q.run);
		if (rnd_percent(r, 60))
			turn();
	}
}

static void live(void)
{
	unsigned before = complaints;
	struct rnd *r = &q.run.rnd;
	struct err e = { "" };
	size_t way;

	if (rnd_percent(r, 40))
		disk_cut_in(CALL_ANY, rnd_scale(r, 9));
	if (begin(&e) < 0 || !take_all()) {
		if (!disk.dead)
			(void)complain("it can't be opened: %s", e.text);
		power_cut();
		return;
	}
	check_all_there();
	for (size_t i = rnd_below(r, STEPS); i > 0 && !disk.dead && complaints == before; i--)
		step();
	settle_late();
	way = rnd_below(r, 100);
	if (disk.dead || way < 40)
		power_cut();
	else if (way < 85)
		killed();
	else
		close_cleanly();
}

static void run_begin(uint64_t seed)
{
	run_init(&q.run, seed);
	disk.meanwhile = on_meanwhile;
	q.run.options.segment_bytes = 32768;
	q.run.options.quota_bytes = UINT64_C(32768) * 64;
	q.n = q.cuts = 0;
	(void)unlink(q.path);
	if (leases_open(q.path, NULL, &q.leases, NULL) < 0)
		abort();
	q.leases = leases_close(q.leases);
	q.fd = open(q.path, O_RDWR | O_CLOEXEC);
	if (q.fd < 0 || pread(q.fd, q.back, sizeof(q.back), 0) != (ssize_t)sizeof(q.back))
		abort();
}

static void run_end(void)
{
	disk.dead = true;
	run_fini(&q.run);
	(void)close(q.fd);
}

static void print(void)
{
	printf("queues: %u power cuts, %u kills, %u clean closes on %u journals; published %" PRIu64
	       " (acknowledged %" PRIu64 ", refused %" PRIu64 ")\n",
	       sum.cuts, sum.kills, sum.closes, sum.runs, sum.published, sum.acked, sum.refused);
	printf("  handed out %" PRIu64 " (marked %" PRIu64 "), settled %" PRIu64
	       ", given back %" PRIu64 "; lost %" PRIu64
	       "; settled since the last sync and come again %" PRIu64
	       "; old sectors of leases %" PRIu64 "\n",
	       sum.taken, sum.marked, sum.settled, sum.returned, sum.lost, sum.again, sum.stale);
}

void torture_queues(uint64_t seed, unsigned cuts, struct tally *tally)
{
	struct rnd seeds = { seed ^ 0x9e0e5 };

	memset(&sum, 0, sizeof(sum));
	(void)snprintf(q.path, sizeof(q.path), "/tmp/voxbus-torture-%d.leases", (int)getpid());
	while (sum.cuts < cuts && tally->failed < (disk.sabotage ? 1 : 10)) {
		unsigned before = complaints, cuts_before = sum.cuts;

		run_begin(rnd_next(&seeds));
		sum.runs++;
		for (int i = 0; i < LIVES && sum.cuts < cuts && complaints == before; i++) {
			(void)snprintf(where, sizeof(where),
				       "queues, seed %" PRIu64 ", journal %u, life %d", seed,
				       sum.runs, i);
			live();
		}
		run_end();
		tally->passed += sum.cuts - cuts_before;
		if (complaints != before)
			tally->failed++;
	}
	(void)unlink(q.path);
	free(q.items);
	free(q.held);
	free(q.settled);
	memset(&q, 0, sizeof(q));
	if (!disk.sabotage)
		print();
}
