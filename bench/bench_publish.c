/* SPDX-License-Identifier: MIT */
/*
 * What a bus pays to publish and to fetch, through the path that a bus uses: stream_append with an
 * acknowledgement when durable, cursor_take and cursor_settle with one when the settling is durable.
 *
 *   bench_publish enqueue DIR FLIGHT SECONDS          rate, CPU a message (us)
 *   bench_publish dequeue DIR FLIGHT SECONDS          the same, of what enqueue left there
 *   bench_publish bare DIR FLIGHT SECONDS [ready]     pwritev and fdatasync alone, records of our size
 *   bench_publish fill DIR MESSAGES STREAMS clean|kill   rate, RSS (KiB); ends in order or by SIGKILL
 *   bench_publish open DIR                            ms to open, messages found, RSS (KiB)
 *
 * FLIGHT is how many messages wait for their acknowledgement at a time. One line of numbers each.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/cursor.h"
#include "core/stream.h"
#include "journal/journal.h"

enum {
	BODY = 400,
	FLIGHT_MAX = 256,
	HEAD = 104,
	NAME_SIZE = 32,
	FILL_FLIGHT = 1024,
	BARE_BYTES = 256 << 20
};

struct bench {
	struct loop *loop;
	struct journal *journal;
	struct streams *streams;
	struct stream **at; /* fill: all of them */
	size_t n_streams;
	struct blob *body;
	struct cursor *cursor;
	struct task more;
	uint64_t flight, sent, acked, limit;
	uint64_t until_us;
};

static int fail(const char *what)
{
	(void)fprintf(stderr, "bench_publish: %s\n", what);
	return 1;
}

static uint64_t cpu_us(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static long rss_kib(void)
{
	char text[128];
	long total, resident = 0;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		(void)close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	total = strtol(text, NULL, 10);
	if (strchr(text, ' '))
		resident = strtol(strchr(text, ' '), NULL, 10);
	(void)total;
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int bench_open(struct bench *b, const char *dir)
{
	struct journal_options options = { .dir = dir };
	struct journal_events events;
	struct err e;
	char bytes[BODY];

	memset(bytes, 'x', sizeof(bytes));
	if (loop_create(&b->loop) < 0 || streams_create(b->loop, NULL, NULL, &b->streams) < 0)
		return fail("out of memory");
	streams_journal_events(b->streams, &events);
	if (journal_open(b->loop, &options, NULL, &events, &b->journal, &e) < 0)
		return fail(e.text);
	b->body = blob_create(str_make(bytes, BODY));
	return streams_set_journal(b->streams, b->journal);
}

static void bench_close(struct bench *b)
{
	b->journal = journal_close(b->journal);
	b->streams = streams_destroy(b->streams);
	b->loop = loop_destroy(b->loop);
	b->body = blob_unref(b->body);
}

static struct str name_of(size_t i, char name[NAME_SIZE])
{
	return str_make(name, (size_t)snprintf(name, NAME_SIZE, "AC0123/queue-%zu", i));
}

/* ---- in */

static void enqueue_more(struct bench *b);

static void on_durable(void *arg, int rc)
{
	struct bench *b = arg;

	if (rc < 0) {
		(void)fail("an append failed");
		_exit(1);
	}
	b->acked++;
	if (b->until_us ? loop_now_us() < b->until_us : b->sent < b->limit)
		enqueue_more(b);
	else if (b->acked == b->sent)
		loop_stop(b->loop);
}

static void enqueue_more(struct bench *b)
{
	while (b->sent - b->acked < b->flight && (b->until_us || b->sent < b->limit)) {
		struct stream *s = b->at[b->sent % b->n_streams];
		struct msg init = { .kind = MSG_DOCUMENT,
				    .seq = stream_next(s),
				    .content_type = STR("application/json"),
				    .payload = b->body };
		struct msg *m = msg_create(&init);
		int rc = m ? stream_append(s, m, on_durable, b) : -ENOMEM;

		(void)msg_unref(m);
		if (rc < 0) {
			(void)fail("an append was refused");
			_exit(1);
		}
		b->sent++;
	}
}

static int open_streams(struct bench *b, size_t n)
{
	char name[NAME_SIZE];

	b->n_streams = n;
	b->at = calloc(n, sizeof(struct stream *));
	for (size_t i = 0; b->at && i < n; i++) {
		b->at[i] = stream_open(b->streams, name_of(i, name), STREAM_RECORD);
		if (!b->at[i])
			return fail("out of memory");
	}
	return b->at ? 0 : fail("out of memory");
}

static void close_streams(struct bench *b)
{
	for (size_t i = 0; i < b->n_streams; i++)
		(void)stream_unref(b->at[i]);
	free(b->at);
}

static int run_enqueue(const char *dir, uint64_t flight, double seconds)
{
	struct bench b = { .flight = flight };
	uint64_t start, cpu, took;

	if (bench_open(&b, dir) || open_streams(&b, 1))
		return 1;
	start = loop_now_us();
	cpu = cpu_us();
	b.until_us = start + (uint64_t)(seconds * 1e6);
	enqueue_more(&b);
	loop_run(b.loop);
	took = loop_now_us() - start;
	(void)printf("%.0f %.3f\n", (double)b.acked * 1e6 / (double)took,
		     (double)(cpu_us() - cpu) / (double)b.acked);
	close_streams(&b);
	bench_close(&b);
	return 0;
}

static int run_fill(const char *dir, uint64_t messages, size_t n, bool kill_after)
{
	struct bench b = { .flight = FILL_FLIGHT, .limit = messages };
	uint64_t start;

	if (bench_open(&b, dir) || open_streams(&b, n))
		return 1;
	start = loop_now_us();
	enqueue_more(&b);
	loop_run(b.loop);
	(void)printf("%.0f %ld\n", (double)b.acked * 1e6 / (double)(loop_now_us() - start),
		     rss_kib());
	(void)fflush(stdout);
	if (kill_after)
		(void)raise(SIGKILL);
	close_streams(&b);
	bench_close(&b);
	return 0;
}

static int run_open(const char *dir)
{
	struct bench b = { .flight = 0 };
	struct journal_stats stats;
	uint64_t start = loop_now_us();

	if (bench_open(&b, dir))
		return 1;
	journal_stats(b.journal, &stats);
	(void)printf("%.1f %" PRIu64 " %ld\n", (double)(loop_now_us() - start) / 1e3, stats.records,
		     rss_kib());
	bench_close(&b);
	return 0;
}

/* ---- out */

/* A fetch under way: its message is settled and that is being made durable. */
struct fetch {
	struct stream_sync sync;
	struct bench *bench;
	bool busy;
};

static struct fetch fetches[FLIGHT_MAX];

static void fetch_more(void *arg)
{
	struct bench *b = arg;
	struct msg *m;

	for (size_t i = 0; i < b->flight; i++) {
		if (fetches[i].busy || cursor_take(b->cursor, &m) <= 0)
			continue;
		cursor_settle(b->cursor, m->seq, true);
		(void)msg_unref(m);
		fetches[i].busy = true;
		b->sent++;
		stream_sync(b->at[0], &fetches[i].sync);
	}
}

static void on_settled(void *arg, int rc)
{
	struct fetch *f = arg;
	struct bench *b = f->bench;

	f->busy = false;
	b->acked++;
	if (rc == 0 && loop_now_us() < b->until_us && cursor_lag(b->cursor))
		task_defer(&b->more);
	else if (b->acked == b->sent)
		loop_stop(b->loop);
}

static int run_dequeue(const char *dir, uint64_t flight, double seconds)
{
	struct bench b = { .flight = flight };
	uint64_t start, cpu, took;

	if (bench_open(&b, dir) || open_streams(&b, 1))
		return 1;
	for (size_t i = 0; i < FLIGHT_MAX; i++) {
		fetches[i].bench = &b;
		stream_sync_init(&fetches[i].sync, on_settled, &fetches[i]);
	}
	task_init(&b.more, b.loop, fetch_more, &b);
	start = loop_now_us();
	cpu = cpu_us();
	b.until_us = start + (uint64_t)(seconds * 1e6);
	if (cursor_create(b.at[0], CURSOR_REQUIRED, FLIGHT_MAX, fetch_more, &b, &b.cursor) < 0)
		return fail("out of memory");
	loop_run(b.loop);
	took = loop_now_us() - start;
	(void)printf("%.0f %.3f %" PRIu64 "\n", (double)b.acked * 1e6 / (double)took,
		     (double)(cpu_us() - cpu) / (double)b.acked, cursor_lag(b.cursor));
	task_cancel(&b.more);
	(void)cursor_destroy(b.cursor);
	close_streams(&b);
	bench_close(&b);
	return 0;
}

/* ---- the disk alone */

static int make_ready(int fd)
{
	static const char zeros[65536];

	for (off_t at = 0; at < BARE_BYTES; at += (off_t)sizeof(zeros))
		if (pwrite(fd, zeros, sizeof(zeros), at) != (ssize_t)sizeof(zeros))
			return -1;
	return fsync(fd);
}

/* Appends to a growing file, or, with `ready`, to one whose blocks are written already. */
static int run_bare(const char *dir, size_t flight, double seconds, bool ready)
{
	static char record[BODY + HEAD];
	struct iovec iov[FLIGHT_MAX];
	char path[512];
	uint64_t start, n = 0;
	off_t at = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s.bare", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	for (size_t i = 0; i < flight; i++)
		iov[i] = (struct iovec){ record, sizeof(record) };
	if (ready && make_ready(fd) < 0)
		return fail(strerror(errno));
	start = loop_now_us();
	while (fd >= 0 && loop_now_us() - start < (uint64_t)(seconds * 1e6)) {
		ssize_t did = pwritev(fd, iov, (int)flight, at);

		if (did < 0 || fdatasync(fd) < 0)
			return fail(strerror(errno));
		at = at + did < BARE_BYTES ? at + did : 0;
		n += flight;
	}
	(void)printf("%.0f\n", (double)n * 1e6 / (double)(loop_now_us() - start));
	(void)close(fd);
	(void)unlink(path);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "", *last = argc > 5 ? argv[5] : "";
	double a = argc > 3 ? strtod(argv[3], NULL) : 0, b = argc > 4 ? strtod(argv[4], NULL) : 0;

	if (!strcmp(what, "open"))
		return run_open(argv[2]);
	if (a < 1 || b <= 0)
		return fail("see the head of bench_publish.c for its arguments");
	if (!strcmp(what, "fill"))
		return run_fill(argv[2], (uint64_t)a, (size_t)b, !strcmp(last, "kill"));
	if (a > FLIGHT_MAX)
		return fail("at most 256 in flight");
	if (!strcmp(what, "enqueue"))
		return run_enqueue(argv[2], (uint64_t)a, b);
	if (!strcmp(what, "dequeue"))
		return run_dequeue(argv[2], (uint64_t)a, b);
	return run_bare(argv[2], (size_t)a, b, !strcmp(last, "ready"));
}
