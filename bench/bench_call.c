/* SPDX-License-Identifier: MIT */
/*
 * What a user feels of a running voxbusd: first event of a call at a polling application, time
 * from start to ready, memory when idle.
 *
 * It starts the daemon as a child on a made-up Asterisk (ari_source) with the journal on. An
 * application polls its queue on one kept-alive connection, and each call's events on another.
 *
 *   bench_call VOXBUSD FIXTURES_DIR CALLS
 *
 * Prints: p50 and p99 of StasisStart written -> AppStart read, and -> first event read (us), start
 * to ready (ms), RSS when idle before and after the calls (KiB).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ari_source.h"
#include "bench.h"
#include "child.h"
#include "loop/loop.h"

enum { ANSWER_MAX = 65536, CALLS_MAX = 10000, SETTLE_US = 1000, IDLE_US = 200000 };

#define SID   "ACbench"
#define TOKEN "bench-token"
#define BASIC "QUNiZW5jaDpiZW5jaC10b2tlbg==" /* SID:TOKEN */

static void ask(int fd, const char *queue)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
			 "GET /" SID "/%s?timeout=60s HTTP/1.1\r\nHost: bench\r\n"
			 "Authorization: Basic " BASIC "\r\n\r\n",
			 queue);

	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		die("send");
}

/* One chunked answer, whole; its bytes are left in `out`. */
static void answer(int fd, char out[ANSWER_MAX])
{
	size_t n = 0;

	for (;;) {
		ssize_t got = recv(fd, out + n, ANSWER_MAX - 1 - n, 0);

		if (got <= 0)
			die("recv");
		n += (size_t)got;
		out[n] = '\0';
		if (n >= 5 && memcmp(out + n - 5, "0\r\n\r\n", 5) == 0)
			return;
	}
}

/* On the made-up Asterisk, with the journal on. */
static void start(struct child *child, const char *voxbusd, int ari)
{
	FILE *config = child_prepare(child);

	(void)fprintf(
		config,
		"http: {listen: ['127.0.0.1:%d']}\naccounts: [{sid: " SID ", token: " TOKEN
		"}]\nengines:\n  - {type: asterisk, name: ari, url: 'http://127.0.0.1:%d/ari',\n"
		"     username: ari, password: secret, applications: [fx]}\n"
		"buses: [{type: longpoll, name: http}]\n",
		child->http, ari);
	child_start(child, config, voxbusd, NULL);
}

struct times {
	uint64_t announced[CALLS_MAX], first[CALLS_MAX];
};

/* One call after the other: the polls wait before the call comes, as an application's do. */
static void place_calls(struct ari_source *source, const struct child *child, unsigned calls,
			struct times *t)
{
	static char text[ANSWER_MAX];
	int queue = child_dial(child), events = child_dial(child);

	for (unsigned i = 0; i < calls; i++) {
		static const char key[] = "\"dialog_id\":\"";
		char topic[64], *id;
		uint64_t sent;

		ask(queue, "fx");
		(void)usleep(SETTLE_US);
		sent = ari_source_call(source, i);
		answer(queue, text);
		t->announced[i] = loop_now_us() - sent;
		id = strstr(text, key);
		if (!id)
			die("no dialog_id");
		(void)snprintf(topic, sizeof(topic), "events_%.36s", id + sizeof(key) - 1);
		ask(events, topic);
		answer(events, text);
		t->first[i] = loop_now_us() - sent;
		if (!strstr(text, "StasisStart"))
			die("no StasisStart");
	}
	spread_sort(t->announced, calls);
	spread_sort(t->first, calls);
}

int main(int argc, char **argv)
{
	static struct times t;
	unsigned calls = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	struct ari_source *source;
	struct child child;
	uint64_t ready;
	long rss;

	if (!calls || calls > CALLS_MAX)
		return 2;
	source = ari_source_start(argv[2]);
	start(&child, argv[1], ari_source_port(source));
	ready = child_wait_ready(&child);
	(void)usleep(IDLE_US);
	rss = child_rss_kib(&child);
	place_calls(source, &child, calls, &t);
	(void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %.1f %ld %ld\n",
		     spread_at(t.announced, calls, 50), spread_at(t.announced, calls, 99),
		     spread_at(t.first, calls, 50), spread_at(t.first, calls, 99),
		     (double)ready / 1000, rss, child_rss_kib(&child));
	child_stop(&child);
	return 0;
}
