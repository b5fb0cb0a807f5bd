/* SPDX-License-Identifier: MIT */
/*
 * Many idle long polls: what each costs while it waits, and how soon all of them are released.
 *
 * It starts the daemon as a child and holds all clients in one process: POLLS connections that
 * come in one burst and each ask for a message, PUBLISHERS that then post one message for each
 * poll, as fast as they are acknowledged, and beside them one client in a thread of its own that
 * asks for the length of another queue all the time: what it waits is what a bystander feels.
 *
 *   bench_polls VOXBUSD one|own POLLS PUBLISHERS [HEAP_COUNT_SO|- [CERTIFICATE KEY]]
 *
 * one: all polls wait on one queue, for one message each (max=1); own: each on a queue of its own.
 * With a certificate the polls come by TLS, at most HANDSHAKES of them on the way at a time: a
 * handshake costs both sides more than all the rest, and the daemon gives each ten seconds.
 * Publishers and the bystander stay plain.
 * Prints: RSS and heap bytes a poll, heap blocks a poll, all polls waiting after the first connect
 * (ms), bystander's p50, p99 and max then (us), first publish to last release (ms), p50, p99 and max of
 * publish to release (us), bystander's p50, p99 and max then (us), daemon's CPU for the burst and
 * for the release (ms), polls of one queue that were served out of turn. Without HEAP_COUNT_SO
 * heap figures are 0.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "child.h"
#include "loop/loop.h"
#include "peer.h"

enum {
	POLLS_MAX = 30000,
	PUBLISHERS_MAX = 1000,
	HANDSHAKES = 128,
	PROBES_MAX = 1000000,
	PROBE_PAUSE_US = 500,
	READ_MAX = 65536,
	EVENTS_MAX = 256,
	PATIENCE_US = 120000000,
	SETTLE_US = 500000,
};

/* As long as a real account's. */
#define SID   "AC00000000000000000000000000bench0"
#define TOKEN "bench-token"
#define BASIC "QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMGJlbmNoMDpiZW5jaC10b2tlbg=="

struct client {
	struct peer peer;
	unsigned poll;  /* of a publisher: for whom its message under way is */
	unsigned place; /* of a poll: among those that have asked, from 1 */
};

struct probe {
	const struct child *child;
	const char *session;
	pthread_t thread;
	atomic_bool stop;
	uint64_t us[PROBES_MAX];
	size_t n;
};

struct bench {
	struct child child;
	bool own;
	unsigned n_polls, n_publishers;
	struct client polls[POLLS_MAX], publishers[PUBLISHERS_MAX];
	struct ssl_ctx_st *tls; /* of the polls; NULL: plain */
	char session[64];
	int epoll;
	unsigned asked, next, acked, released, inverted;
	unsigned last; /* the poll of the one queue that was served last, from 1 */
	uint64_t published_us[POLLS_MAX], latency_us[POLLS_MAX];
	uint64_t first_us, last_us;
	struct probe probe;
};

static void send_all(int fd, const char *text, size_t n)
{
	if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
		die("send");
}

static void *probe_run(void *arg)
{
	struct probe *p = arg;
	char request[256], text[1024];
	int fd = child_dial(p->child);
	int n = snprintf(request, sizeof(request),
			 "HEAD /" SID
			 "/bystander HTTP/1.1\r\nHost: bench\r\nAuthorization: %s\r\n\r\n",
			 p->session);

	for (p->n = 0; p->n < PROBES_MAX && !atomic_load(&p->stop); p->n++) {
		uint64_t began = loop_now_us();

		send_all(fd, request, (size_t)n);
		if (recv(fd, text, sizeof(text), 0) < 12 || memcmp(text + 9, "200", 3) != 0)
			die("bystander");
		p->us[p->n] = loop_now_us() - began;
		(void)usleep(PROBE_PAUSE_US);
	}
	(void)close(fd);
	return NULL;
}

static void probe_start(struct bench *b)
{
	struct probe *p = &b->probe;

	p->child = &b->child;
	p->session = b->session;
	atomic_store(&p->stop, false);
	if (pthread_create(&p->thread, NULL, probe_run, p) != 0)
		die("pthread_create");
}

/* p50, p99, max */
static void print_spread(uint64_t *us, size_t n)
{
	spread_sort(us, n);
	(void)printf(" %" PRIu64 " %" PRIu64 " %" PRIu64, spread_at(us, n, 50),
		     spread_at(us, n, 99), spread_at(us, n, 100));
}

static void probe_end(struct bench *b)
{
	atomic_store(&b->probe.stop, true);
	(void)pthread_join(b->probe.thread, NULL);
}

static void watch(struct bench *b, struct client *client, uint32_t events, int op)
{
	struct epoll_event e = { .events = events, .data.ptr = client };

	if (epoll_ctl(b->epoll, op, client->peer.fd, &e) < 0)
		die("epoll_ctl");
}

static void poll_ask(struct bench *b, struct client *client)
{
	char text[512], queue[32] = "all";
	int n;

	if (b->own)
		(void)snprintf(queue, sizeof(queue), "worker-%05u", (unsigned)(client - b->polls));
	n = snprintf(text, sizeof(text),
		     "GET /" SID "/%s?timeout=600s%s HTTP/1.1\r\nHost: 127.0.0.1:8090\r\n"
		     "User-Agent: curl/7.88.1\r\nAccept: */*\r\nAuthorization: %s\r\n\r\n",
		     queue, b->own ? "" : "&max=1", b->session);
	peer_send(&client->peer, text, (size_t)n);
	client->place = ++b->asked;
	watch(b, client, EPOLLIN, EPOLL_CTL_MOD);
}

/* A poll on its way in. What comes between its question and its message is TLS's own. */
static void poll_go_on(struct bench *b, struct client *client)
{
	char text[READ_MAX];
	uint32_t events;

	if (client->place) {
		if (peer_recv(&client->peer, text, sizeof(text)) > 0)
			die("a poll was answered before its time");
		return;
	}
	events = peer_open(&client->peer);
	if (events)
		watch(b, client, events, EPOLL_CTL_MOD);
	else
		poll_ask(b, client);
}

/* All connect at once, or as handshakes get done; then ask as they are connected. */
static void burst(struct bench *b)
{
	struct epoll_event events[EVENTS_MAX];
	unsigned begun = 0, most = b->tls ? HANDSHAKES : b->n_polls;

	b->first_us = loop_now_us();
	while (b->asked < b->n_polls) {
		for (; begun < b->n_polls && begun - b->asked < most; begun++) {
			peer_dial(&b->polls[begun].peer, b->tls ? b->child.https : b->child.http,
				  b->tls);
			watch(b, &b->polls[begun], EPOLLOUT, EPOLL_CTL_ADD);
		}
		int n = epoll_wait(b->epoll, events, EVENTS_MAX, 1000);

		for (int i = 0; i < n; i++)
			poll_go_on(b, events[i].data.ptr);
		if (loop_now_us() - b->first_us > PATIENCE_US)
			die("the burst is not taken in");
	}
	while (child_status(&b->child, "waiters") < b->n_polls) {
		if (loop_now_us() - b->first_us > PATIENCE_US)
			die("the polls do not wait");
		(void)usleep(2000);
	}
	b->last_us = loop_now_us();
}

static void publish_next(struct bench *b, struct client *client)
{
	char text[512], queue[32] = "all", body[32];
	int n;

	if (b->next == b->n_polls)
		return;
	client->poll = b->next++;
	n = snprintf(body, sizeof(body), "number=%u", client->poll);
	if (b->own)
		(void)snprintf(queue, sizeof(queue), "worker-%05u", client->poll);
	n = snprintf(
		text, sizeof(text),
		"POST /" SID "/%s HTTP/1.1\r\nHost: 127.0.0.1:8090\r\n"
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		queue, n, body);
	b->published_us[client->poll] = loop_now_us();
	peer_send(&client->peer, text, (size_t)n);
}

static void take_ack(struct bench *b, struct client *client)
{
	char text[READ_MAX];

	if (peer_recv(&client->peer, text, sizeof(text)) < 12 || memcmp(text + 9, "200", 3) != 0)
		die("a publish was not acknowledged");
	b->acked++;
	publish_next(b, client);
}

static void take_message(struct bench *b, struct client *client)
{
	static const char key[] = "\"number\":\"";
	unsigned index = (unsigned)(client - b->polls);
	char text[READ_MAX + 1], *at;
	unsigned long number;

	text[peer_recv(&client->peer, text, READ_MAX)] = '\0';
	at = strstr(text, key);
	if (!at) /* the end of an answer that came in pieces, or TLS's own */
		return;
	number = strtoul(at + sizeof(key) - 1, NULL, 10);
	if (number >= b->n_polls || (b->own && number != index))
		die("a wrong message");
	b->last_us = loop_now_us();
	b->latency_us[b->released++] = b->last_us - b->published_us[number];
	b->inverted += !b->own && client->place < b->last;
	b->last = client->place;
}

static bool is_publisher(const struct bench *b, const struct client *client)
{
	return client >= b->publishers && client < b->publishers + b->n_publishers;
}

static void release(struct bench *b)
{
	struct epoll_event events[EVENTS_MAX];

	b->first_us = loop_now_us();
	for (unsigned i = 0; i < b->n_publishers; i++)
		publish_next(b, &b->publishers[i]);
	while (b->released < b->n_polls || b->acked < b->n_polls) {
		int n = epoll_wait(b->epoll, events, EVENTS_MAX, 1000);

		for (int i = 0; i < n; i++) {
			struct client *client = events[i].data.ptr;

			if (is_publisher(b, client))
				take_ack(b, client);
			else
				take_message(b, client);
		}
		if (loop_now_us() - b->first_us > PATIENCE_US)
			die("not all polls are released");
	}
}

/* After the burst, which may last longer than the daemon keeps an idle connection. */
static void dial_publishers(struct bench *b)
{
	for (unsigned i = 0; i < b->n_publishers; i++) {
		b->publishers[i].peer.fd = child_dial(&b->child);
		watch(b, &b->publishers[i], EPOLLIN, EPOLL_CTL_ADD);
	}
}

static void measure(struct bench *b)
{
	struct child_heap heap = child_heap(&b->child), full;
	long rss = child_rss_kib(&b->child);
	double cpu = child_cpu(&b->child), n = b->n_polls, burst_ms;

	probe_start(b);
	(void)usleep(SETTLE_US / 10);
	burst(b);
	burst_ms = (child_cpu(&b->child) - cpu) * 1000;
	probe_end(b);
	(void)usleep(SETTLE_US);
	full = child_heap(&b->child);
	(void)printf("%.0f %.0f %.2f %.1f", (double)(child_rss_kib(&b->child) - rss) * 1024 / n,
		     (double)(full.bytes - heap.bytes) / n, (double)(full.blocks - heap.blocks) / n,
		     (double)(b->last_us - b->first_us) / 1000);
	print_spread(b->probe.us, b->probe.n);
	dial_publishers(b);
	probe_start(b);
	(void)usleep(SETTLE_US / 10);
	cpu = child_cpu(&b->child);
	release(b);
	cpu = (child_cpu(&b->child) - cpu) * 1000;
	probe_end(b);
	(void)printf(" %.1f", (double)(b->last_us - b->first_us) / 1000);
	print_spread(b->latency_us, b->released);
	print_spread(b->probe.us, b->probe.n);
	(void)printf(" %.0f %.0f %u\n", burst_ms, cpu, b->inverted);
}

static void start(struct bench *b, char **argv, int argc)
{
	bool counted = argc > 5 && strcmp(argv[5], "-") != 0;
	FILE *config = child_prepare(&b->child);

	(void)fprintf(config, "http:\n  listen: ['http://127.0.0.1:%d'", b->child.http);
	if (argc > 7)
		(void)fprintf(config, ", '127.0.0.1:%d']\n  tls: {certificate: '%s', key: '%s'}\n",
			      b->child.https, argv[6], argv[7]);
	else
		(void)fprintf(config, "]\n");
	(void)fprintf(config, "accounts: [{sid: " SID ", token: " TOKEN "}]\n"
			      "buses: [{type: longpoll, name: http}]\n");
	child_start(&b->child, config, argv[1], counted ? argv[5] : NULL);
	(void)child_wait_ready(&b->child);
}

int main(int argc, char **argv)
{
	static struct bench b;

	b.n_polls = argc > 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	b.n_publishers = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
	if (!b.n_polls || b.n_polls > POLLS_MAX || !b.n_publishers ||
	    b.n_publishers > PUBLISHERS_MAX)
		return 2;
	b.own = strcmp(argv[2], "own") == 0;
	b.tls = argc > 7 ? peer_tls_create(argv[6]) : NULL;
	raise_files();
	b.epoll = epoll_create1(EPOLL_CLOEXEC);
	start(&b, argv, argc);
	child_log_in(&b.child, BASIC, b.session);
	(void)usleep(SETTLE_US);
	measure(&b);
	child_stop(&b.child);
	return 0;
}
