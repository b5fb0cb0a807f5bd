/* SPDX-License-Identifier: MIT */
/*
 * Durable records of 400 bytes a second, with 1, 16 and 256 of them in flight, next to a bare loop
 * of pwrite and fdatasync in the same directory and run: what the disk gives without us. They take
 * turns, five times; the medians count.
 *
 *     bench_journal [DIR] [SECONDS]
 *
 * and how long a journal full of unread records takes to open, and what memory it needs then:
 *
 *     bench_journal DIR open RECORDS STREAMS
 */
#include <errno.h>
#include <malloc.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "journal/journal.h"

enum { BODY = 400, FLIGHT_MAX = 256, ROUNDS = 5 };

struct bench {
	struct loop *loop;
	struct journal *j;
	struct jstream *js;
	size_t flight;
	uint64_t acked, done, lsns[FLIGHT_MAX]; /* lsns: a ring by number of the record */
	uint64_t next, until_us, append_us;
	char body[BODY];
};

static void refill(struct bench *b)
{
	struct str part = { b->body, BODY };
	uint64_t before = loop_now_us();

	while (b->next - b->acked < b->flight) {
		if (journal_append(b->j, b->js, jstream_next(b->js), &part, 1,
				   &b->lsns[b->next % FLIGHT_MAX]) < 0)
			break;
		b->next++;
	}
	b->append_us += loop_now_us() - before;
}

static void on_progress(void *arg, uint64_t written, uint64_t durable)
{
	struct bench *b = arg;

	while (b->acked < b->next && b->lsns[b->acked % FLIGHT_MAX] <= durable)
		b->acked++;
	if (jstream_next(b->js) - jstream_first(b->js) > 100000)
		(void)jstream_trim(b->j, b->js, jstream_next(b->js) - 1000);
	if (loop_now_us() < b->until_us)
		refill(b);
	else
		loop_stop(b->loop);
}

static void wipe(const char *dir)
{
	char command[600];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command) != 0)
		(void)fprintf(stderr, "cannot remove %s\n", dir);
}

static int run_journal(const char *dir, size_t flight, double seconds, double *ret_rate,
		       double *ret_append_us)
{
	static struct bench b;
	struct journal_options o = { .dir = dir };
	struct journal_events events = { .progress = on_progress, .arg = &b };
	struct err e;
	uint64_t start;

	wipe(dir);
	b = (struct bench){ .flight = flight };
	if (loop_create(&b.loop) < 0)
		return -1;
	if (journal_open(b.loop, &o, NULL, &events, &b.j, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.text);
		return -1;
	}
	b.js = journal_stream(b.j, STR("bench"));
	start = loop_now_us();
	b.until_us = start + (uint64_t)(seconds * 1e6);
	refill(&b);
	loop_run(b.loop);
	*ret_rate = (double)b.acked * 1e6 / (double)(loop_now_us() - start);
	*ret_append_us = (double)b.append_us / (double)b.next;
	b.j = journal_close(b.j);
	b.loop = loop_destroy(b.loop);
	wipe(dir);
	return 0;
}

/* One pwritev and one fdatasync for `flight` records. */
static double run_bare(const char *path, size_t flight, double seconds)
{
	static char body[BODY];
	struct iovec iov[FLIGHT_MAX];
	uint64_t start = loop_now_us(), n = 0;
	off_t at = 0;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (size_t i = 0; i < flight; i++)
		iov[i] = (struct iovec){ body, BODY };
	while (fd >= 0 && loop_now_us() - start < (uint64_t)(seconds * 1e6)) {
		ssize_t did = pwritev(fd, iov, (int)flight, at);

		if (did < 0 || fdatasync(fd) < 0)
			break;
		at = at > (1 << 28) ? 0 : at + did;
		n += flight;
	}
	if (fd >= 0)
		(void)close(fd);
	(void)unlink(path);
	return (double)n * 1e6 / (double)(loop_now_us() - start);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *of)
{
	qsort(of, ROUNDS, sizeof(*of), compare);
	return of[ROUNDS / 2];
}

static struct journal *open_timed(struct loop *loop, const char *dir, double *ret_s)
{
	struct journal_options o = { .dir = dir };
	uint64_t start = loop_now_us();
	struct journal *j;
	struct err e;

	if (journal_open(loop, &o, NULL, NULL, &j, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	*ret_s = (double)(loop_now_us() - start) / 1e6;
	return j;
}

/* In a process of its own, which ends as kill -9 ends it unless it closes. */
static void fill(const char *dir, size_t records, size_t streams, bool close_it)
{
	struct jstream **js = calloc(streams, sizeof(struct jstream *));
	struct loop *loop;
	struct journal *j;
	char body[BODY] = { 0 }, name[32];
	struct str part = { body, BODY };
	uint64_t lsn = 0;
	double ignored;

	if (!js || loop_create(&loop) < 0)
		_exit(1);
	j = open_timed(loop, dir, &ignored);
	for (size_t i = 0; i < streams; i++) {
		(void)snprintf(name, sizeof(name), "events_of_call_%zu", i);
		js[i] = journal_stream(j, str_from(name));
	}
	for (size_t i = 0; i < records; i++) {
		struct jstream *one = js[i * 7919 % streams];

		while (journal_append(j, one, jstream_next(one), &part, 1, &lsn) < 0)
			loop_turn(loop);
		if (i % 1000 == 0)
			loop_turn(loop);
	}
	while (journal_durable(j) < lsn)
		loop_turn(loop);
	if (close_it)
		j = journal_close(j);
	_exit(0);
}

static size_t resident_kib(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f)
		(void)fclose(f);
	return pages * 4;
}

/* Opens what a child left, in another child: memory is told apart. */
static void open_once(const char *dir, const char *what)
{
	struct journal_stats st;
	struct loop *loop;
	struct journal *j;
	double s, cpu_s;
	size_t before;

	if (loop_create(&loop) < 0)
		_exit(1);
	before = resident_kib();
	j = open_timed(loop, dir, &s);
	cpu_s = (double)clock() / CLOCKS_PER_SEC;
	(void)malloc_trim(0);
	journal_stats(j, &st);
	(void)printf("%-18s %8.3f s (CPU %.3f s) %8.1f MB  records %ju streams %ju damaged %ju "
		     "torn %ju\n",
		     what, s, cpu_s, (double)(resident_kib() - before) / 1024,
		     (uintmax_t)st.records, (uintmax_t)st.streams, (uintmax_t)st.damaged,
		     (uintmax_t)st.torn_bytes);
	(void)fflush(stdout);
	j = journal_close(j);
	_exit(0);
}

static void wait_child(pid_t pid)
{
	int status = 0;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		exit(1);
}

static int run_open(const char *dir, size_t records, size_t streams)
{
	for (int clean = 1; clean >= 0; clean--) {
		pid_t pid;

		wipe(dir);
		pid = fork();
		if (pid == 0)
			fill(dir, records, streams, clean);
		wait_child(pid);
		for (int i = 0; i < 3; i++) {
			pid = fork();
			if (pid == 0)
				open_once(dir, !clean && i == 0 ? "open after kill"
								: "open after close");
			wait_child(pid);
		}
	}
	wipe(dir);
	return 0;
}

int main(int argc, char **argv)
{
	static const size_t flights[] = { 1, 16, 256 };
	const char *base = argc > 1 ? argv[1] : ".";
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 1;
	char dir[512], path[512];

	(void)snprintf(dir, sizeof(dir), "%s/bench-journal.tmp", base);
	(void)snprintf(path, sizeof(path), "%s/bench-bare.tmp", base);
	if (argc > 4 && strcmp(argv[2], "open") == 0)
		return run_open(dir, strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
	(void)printf("%-10s %14s %14s %8s %14s\n", "in flight", "journal rec/s", "bare rec/s",
		     "ratio", "append us");
	for (size_t i = 0; i < sizeof(flights) / sizeof(*flights); i++) {
		double rate[ROUNDS], append_us[ROUNDS], bare[ROUNDS], ratio[ROUNDS];

		for (int k = 0; k < ROUNDS; k++) {
			bare[k] = run_bare(path, flights[i], seconds);
			if (run_journal(dir, flights[i], seconds, &rate[k], &append_us[k]) < 0)
				return 1;
			ratio[k] = rate[k] / bare[k];
		}
		(void)printf("%-10zu %14.0f %14.0f %8.2f %14.3f\n", flights[i], median(rate),
			     median(bare), median(ratio), median(append_us));
	}
	return 0;
}
