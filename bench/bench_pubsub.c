/* SPDX-License-Identifier: MIT */
/*
 * Publish and subscribe over HTTP, the same clients against voxbusd or against nginx with nchan.
 *
 *   bench_pubsub KIND PROGRAM latency WAITERS one|own PUBLISHES
 *   bench_pubsub KIND PROGRAM rate PUBLISHERS CONSUMERS SECONDS [MAX]
 *   bench_pubsub KIND PROGRAM release WAITERS one|own PUBLISHES
 *   bench_pubsub KIND PROGRAM backlog MESSAGES POLLS
 *
 * KIND is voxbus, relaxed, nchan or raw (service.h), PROGRAM its path. one: all waiters on one queue;
 * own: each on a queue of its own; MAX: messages that a consumer asks for at a time (10). Each prints
 * one line of figures:
 *
 *   latency: RSS bytes a waiter, then publish to deliver (us) with one publish at a time: p50 and
 *            p99 of all deliveries, p50 and p99 of the first delivery of each publish
 *   rate:    published/s, delivered/s, the second by the first, CPU a published message (us)
 *   release: first publish to last release (ms), its CPU (ms); publishes come from 256 connections
 *   backlog: a poll of one message, p50 and p99 (us), of a queue that has one and of a queue
 *            that has MESSAGES, or as many as are published in a minute; how many a second, and
 *            how many there were
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "load.h"
#include "loop/loop.h"

enum {
	SAMPLES_MAX = 1000000,
	WAITERS_MAX = 15000,
	PUBLISHERS = 256,
	POLL_MESSAGES = 10, /* voxbus's own default */
	WARM_UP_US = 300000,
	SETTLE_US = 300000,
	FILL_US = 60000000,
};

static uint64_t samples[SAMPLES_MAX], firsts[SAMPLES_MAX];

/* How many deliveries a publish makes. */
static unsigned copies_of(const struct load *l)
{
	return service_is_voxbus(l->service) ? 1 : l->n_waiters / l->n_queues;
}

static void print_spread(uint64_t *us, size_t n)
{
	spread_sort(us, n);
	(void)printf(" %" PRIu64 " %" PRIu64, spread_at(us, n, 50), spread_at(us, n, 99));
}

static int run_latency(const struct service *s, unsigned waiters, bool own, size_t publishes)
{
	struct load l = { .service = s,
			  .n_waiters = waiters,
			  .n_publishers = 1,
			  .n_queues = own ? waiters : 1,
			  .max = 1,
			  .poll_again = true,
			  .us = samples,
			  .max_us = SAMPLES_MAX };
	long rss = child_rss_kib(&s->measured);
	unsigned copies = copies_of(&l);

	load_create(&l);
	load_ask(&l);
	(void)usleep(SETTLE_US);
	rss = child_rss_kib(&s->measured) - rss;
	for (size_t i = 0; i < publishes && l.n_us + copies <= SAMPLES_MAX; i++) {
		size_t at = l.n_us;

		load_publish(&l, 1);
		load_until(&l, &l.acked, l.begun);
		load_until(&l, &l.delivered, l.begun * copies);
		firsts[i] = l.n_us > at ? samples[at] : 0;
	}
	(void)printf("%.0f", (double)rss * 1024 / waiters);
	print_spread(samples, l.n_us);
	print_spread(firsts, publishes);
	(void)printf("\n");
	load_destroy(&l);
	return 0;
}

static int run_rate(const struct service *s, unsigned publishers, unsigned consumers,
		    double seconds, unsigned max)
{
	struct load l = { .service = s,
			  .n_waiters = consumers,
			  .n_publishers = publishers,
			  .n_queues = 1,
			  .max = max,
			  .poll_again = true };
	uint64_t began;
	double cpu;

	load_create(&l);
	load_ask(&l);
	load_publish(&l, UINT64_MAX);
	for (began = loop_now_us(); loop_now_us() - began < WARM_UP_US;)
		load_turn(&l, 10);
	l.acked = l.delivered = 0;
	began = loop_now_us();
	cpu = child_cpu(&s->measured);
	while (loop_now_us() - began < (uint64_t)(seconds * 1e6))
		load_turn(&l, 10);
	cpu = child_cpu(&s->measured) - cpu;
	seconds = (double)(loop_now_us() - began) / 1e6;
	(void)printf("%.0f %.0f %.3f %.1f\n", (double)l.acked / seconds,
		     (double)l.delivered / seconds, (double)l.delivered / (double)l.acked,
		     cpu * 1e6 / (double)l.acked);
	load_destroy(&l);
	return 0;
}

static int run_release(const struct service *s, unsigned waiters, bool own, uint64_t publishes)
{
	struct load l = { .service = s,
			  .n_waiters = waiters,
			  .n_publishers = publishes < PUBLISHERS ? (unsigned)publishes : PUBLISHERS,
			  .n_queues = own ? waiters : 1,
			  .max = 1 };
	uint64_t began;
	double cpu;

	load_create(&l);
	load_ask(&l);
	(void)usleep(SETTLE_US);
	cpu = child_cpu(&s->measured);
	began = loop_now_us();
	load_publish(&l, publishes);
	load_until(&l, &l.delivered, waiters);
	load_until(&l, &l.acked, publishes);
	(void)printf("%.1f %.0f\n", (double)(l.last_us - began) / 1000,
		     (child_cpu(&s->measured) - cpu) * 1000);
	load_destroy(&l);
	return 0;
}

/* Polls of one message each, one after the other, of a queue to which each is published before, or not. */
static void poll_one_by_one(struct load *l, size_t polls, bool publish)
{
	for (size_t i = 0; i < polls; i++) {
		uint64_t began;

		if (publish) {
			load_publish(l, 1);
			load_until(l, &l->acked, l->begun);
		}
		began = loop_now_us();
		load_ask_one(l, 0);
		load_until(l, &l->answers, l->answers + 1);
		samples[i] = loop_now_us() - began;
	}
	if (l->delivered != polls)
		die("polls without a message");
	l->delivered = 0;
	print_spread(samples, polls);
}

static int run_backlog(const struct service *s, uint64_t messages, size_t polls)
{
	struct load l = { .service = s, .n_waiters = 1, .n_publishers = PUBLISHERS, .n_queues = 1 };
	uint64_t began, took;

	load_create(&l);
	poll_one_by_one(&l, polls, true);
	l.acked = l.begun = 0;
	began = loop_now_us();
	load_publish(&l, messages);
	while (l.acked < messages && loop_now_us() - began < FILL_US)
		load_until(&l, &l.acked, l.acked + 1);
	l.to_publish = 0;
	load_until(&l, &l.acked, l.begun);
	took = loop_now_us() - began;
	messages = l.acked;
	poll_one_by_one(&l, polls, false);
	(void)printf(" %.0f %" PRIu64 "\n", (double)messages * 1e6 / (double)took, messages);
	load_destroy(&l);
	return 0;
}

static int run(const struct service *s, const char *what, char **args, int n)
{
	unsigned a = n > 1 ? (unsigned)strtoul(args[0], NULL, 10) : 0;
	bool own = n > 1 && strcmp(args[1], "own") == 0;
	double b = n > 1 ? strtod(args[1], NULL) : 0, c = n > 2 ? strtod(args[2], NULL) : 0;
	unsigned max = n > 3 ? (unsigned)strtoul(args[3], NULL, 10) : POLL_MESSAGES;

	if (!strcmp(what, "backlog") && a && b >= 1 && b <= SAMPLES_MAX)
		return run_backlog(s, a, (size_t)b);
	if (!a || a > WAITERS_MAX || c <= 0)
		return 2;
	if (!strcmp(what, "latency") && c <= SAMPLES_MAX)
		return run_latency(s, a, own, (size_t)c);
	if (!strcmp(what, "rate") && b >= 1 && b <= WAITERS_MAX)
		return run_rate(s, a, (unsigned)b, c, max);
	if (!strcmp(what, "release"))
		return run_release(s, a, own, (uint64_t)c);
	return 2;
}

int main(int argc, char **argv)
{
	struct service s;
	int rc;

	raise_files();
	if (argc < 6 || !service_start(&s, argv[1], argv[2]))
		return 2;
	rc = run(&s, argv[3], argv + 4, argc - 4);
	service_stop(&s);
	return rc;
}
