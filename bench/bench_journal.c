/* SPDX-License-Identifier: MIT */
/*
 * Durable records of 400 bytes a second, with 1, 16 and 256 of them in flight, next to a bare loop
 * of pwrite and fdatasync in the same directory and run: what the disk gives without us.
 *
 *     bench_journal [DIR] [SECONDS]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "journal/journal.h"

enum { BODY = 400, FLIGHT_MAX = 256, APPEND_BLOCK = 65536 };

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
	struct journal_events events = { on_progress, NULL, &b };
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

int main(int argc, char **argv)
{
	static const size_t flights[] = { 1, 16, 256 };
	const char *base = argc > 1 ? argv[1] : ".";
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 2;
	char dir[512], path[512];

	(void)snprintf(dir, sizeof(dir), "%s/bench-journal.tmp", base);
	(void)snprintf(path, sizeof(path), "%s/bench-bare.tmp", base);
	(void)printf("%-10s %14s %14s %8s %14s\n", "in flight", "journal rec/s", "bare rec/s",
		     "ratio", "append us");
	for (size_t i = 0; i < sizeof(flights) / sizeof(*flights); i++) {
		double rate, append_us, bare = run_bare(path, flights[i], seconds);

		if (run_journal(dir, flights[i], seconds, &rate, &append_us) < 0)
			return 1;
		(void)printf("%-10zu %14.0f %14.0f %8.2f %14.3f\n", flights[i], rate, bare,
			     rate / bare, append_us);
	}
	return 0;
}
