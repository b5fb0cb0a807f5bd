/* SPDX-License-Identifier: MIT */
/*
 * Many idle long polls: what each costs while it waits, and how soon all of them are released.
 *
 * It starts the daemon as a child and holds all clients in one process: POLLS connections that
 * come in one burst and each ask for a message, PUBLISHERS that then post one message for each
 * poll, as fast as they are acknowledged, and beside them one client in a thread of its own that
 * asks for the length of another queue all the time: what it waits is what a bystander feels.
 *
 *   bench_polls VOXBUSD one|own POLLS PUBLISHERS [HEAP_COUNT_SO]
 *
 * one: all polls wait on one queue, for one message each (max=1); own: each on a queue of its own.
 * Prints: RSS and heap bytes a poll, heap blocks a poll, all polls waiting after the first connect
 * (ms), bystander's p50, p99 and max then (us), first publish to last release (ms), p50, p99 and max of
 * publish to release (us), bystander's p50, p99 and max then (us), daemon's CPU for the burst and
 * for the release (ms), polls of one queue that were served out of turn. Without HEAP_COUNT_SO
 * heap figures are 0.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "loop/loop.h"

enum {
	POLLS_MAX = 30000,
	PUBLISHERS_MAX = 1000,
	PROBES_MAX = 1000000,
	PROBE_PAUSE_US = 500,
	READ_MAX = 65536,
	EVENTS_MAX = 256,
	PATIENCE_US = 60000000,
	SETTLE_US = 500000,
};

/* As long as a real account's. */
#define SID   "AC00000000000000000000000000bench0"
#define TOKEN "bench-token"
#define BASIC "QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMGJlbmNoMDpiZW5jaC10b2tlbg=="

struct peer {
	int fd;
	unsigned poll; /* of a publisher: for whom its message under way is */
	bool asked;
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
	struct peer polls[POLLS_MAX], publishers[PUBLISHERS_MAX];
	char session[64];
	int epoll;
	unsigned next, acked, released, inverted;
	unsigned last; /* the poll of the one queue that was served last, from 1 */
	uint64_t published_us[POLLS_MAX], latency_us[POLLS_MAX];
	uint64_t first_us, last_us;
	struct probe probe;
};

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void send_all(int fd, const char *text, size_t n)
{
	if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
		die("send");
}

/* A session from /auth; the answer's body is its token. */
static void log_in(struct bench *b)
{
	static const char request[] =
		"GET /auth HTTP/1.0\r\nAuthorization: Basic " BASIC "\r\n\r\n";
	char text[2048];
	int fd = child_dial(&b->child);
	size_t n = 0;
	ssize_t got;

	send_all(fd, request, sizeof(request) - 1);
	while ((got = recv(fd, text + n, sizeof(text) - 1 - n, 0)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	(void)close(fd);
	if (n < 50 || memcmp(text + 9, "200", 3) != 0 || !strstr(text, "\r\n\r\n"))
		die("/auth");
	(void)snprintf(b->session, sizeof(b->session), "%.60s", strstr(text, "\r\n\r\n") + 4);
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
	qsort(us, n, sizeof(*us), by_size);
	(void)printf(" %" PRIu64 " %" PRIu64 " %" PRIu64, n ? us[n / 2] : 0,
		     n ? us[n * 99 / 100] : 0, n ? us[n - 1] : 0);
}

static void probe_end(struct bench *b)
{
	atomic_store(&b->probe.stop, true);
	(void)pthread_join(b->probe.thread, NULL);
}

static void watch(struct bench *b, struct peer *peer, uint32_t events, int op)
{
	struct epoll_event e = { .events = events, .data.ptr = peer };

	if (epoll_ctl(b->epoll, op, peer->fd, &e) < 0)
		die("epoll_ctl");
}

static void poll_ask(struct bench *b, struct peer *peer)
{
	char text[512], queue[32] = "all";
	int n;

	if (b->own)
		(void)snprintf(queue, sizeof(queue), "worker-%05u", (unsigned)(peer - b->polls));
	n = snprintf(text, sizeof(text),
		     "GET /" SID "/%s?timeout=600s%s HTTP/1.1\r\nHost: 127.0.0.1:8090\r\n"
		     "User-Agent: curl/7.88.1\r\nAccept: */*\r\nAuthorization: %s\r\n\r\n",
		     queue, b->own ? "" : "&max=1", b->session);
	send_all(peer->fd, text, (size_t)n);
	peer->asked = true;
	watch(b, peer, EPOLLIN, EPOLL_CTL_MOD);
}

static void poll_connect(struct bench *b, struct peer *peer)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)b->child.http),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (peer->fd < 0)
		die("socket");
	if (connect(peer->fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
		die("connect");
	watch(b, peer, EPOLLOUT, EPOLL_CTL_ADD);
}

/* All connect at once, then ask as they are connected. */
static void burst(struct bench *b)
{
	struct epoll_event events[EVENTS_MAX];
	unsigned asked = 0;

	b->first_us = loop_now_us();
	for (unsigned i = 0; i < b->n_polls; i++)
		poll_connect(b, &b->polls[i]);
	while (asked < b->n_polls) {
		int n = epoll_wait(b->epoll, events, EVENTS_MAX, 1000);

		for (int i = 0; i < n; i++, asked++) {
			if (!(events[i].events & EPOLLOUT) || (events[i].events & EPOLLERR))
				die("a poll's connection");
			poll_ask(b, events[i].data.ptr);
		}
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

static void publish_next(struct bench *b, struct peer *peer)
{
	char text[512], queue[32] = "all", body[32];
	int n;

	if (b->next == b->n_polls)
		return;
	peer->poll = b->next++;
	n = snprintf(body, sizeof(body), "number=%u", peer->poll);
	if (b->own)
		(void)snprintf(queue, sizeof(queue), "worker-%05u", peer->poll);
	n = snprintf(
		text, sizeof(text),
		"POST /" SID "/%s HTTP/1.1\r\nHost: 127.0.0.1:8090\r\n"
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		queue, n, body);
	b->published_us[peer->poll] = loop_now_us();
	send_all(peer->fd, text, (size_t)n);
}

static void take_ack(struct bench *b, struct peer *peer)
{
	char text[READ_MAX];

	if (recv(peer->fd, text, sizeof(text), 0) < 12 || memcmp(text + 9, "200", 3) != 0)
		die("a publish was not acknowledged");
	b->acked++;
	publish_next(b, peer);
}

static void take_message(struct bench *b, struct peer *peer)
{
	static const char key[] = "\"number\":\"";
	unsigned place = (unsigned)(peer - b->polls) + 1;
	char text[READ_MAX + 1], *at;
	ssize_t n = recv(peer->fd, text, READ_MAX, 0);
	unsigned long number;

	if (n <= 0)
		die("a poll was not answered");
	text[n] = '\0';
	at = strstr(text, key);
	if (!at) /* the end of an answer that came in pieces */
		return;
	number = strtoul(at + sizeof(key) - 1, NULL, 10);
	if (number >= b->n_polls || (b->own && number + 1 != place))
		die("a wrong message");
	b->last_us = loop_now_us();
	b->latency_us[b->released++] = b->last_us - b->published_us[number];
	b->inverted += !b->own && place < b->last;
	b->last = place;
}

static bool is_publisher(const struct bench *b, const struct peer *peer)
{
	return peer >= b->publishers && peer < b->publishers + b->n_publishers;
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
			struct peer *peer = events[i].data.ptr;

			if (is_publisher(b, peer))
				take_ack(b, peer);
			else
				take_message(b, peer);
		}
		if (loop_now_us() - b->first_us > PATIENCE_US)
			die("not all polls are released");
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

static void raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("setrlimit");
}

int main(int argc, char **argv)
{
	static struct bench b;
	FILE *config;

	b.n_polls = argc > 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	b.n_publishers = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
	if (!b.n_polls || b.n_polls > POLLS_MAX || !b.n_publishers ||
	    b.n_publishers > PUBLISHERS_MAX)
		return 2;
	b.own = strcmp(argv[2], "own") == 0;
	raise_files();
	b.epoll = epoll_create1(EPOLL_CLOEXEC);
	config = child_prepare(&b.child);
	(void)fprintf(config,
		      "http: {listen: ['127.0.0.1:%d']}\naccounts: [{sid: " SID ", token: " TOKEN
		      "}]\nbuses: [{type: longpoll, name: http}]\n",
		      b.child.http);
	child_start(&b.child, config, argv[1], argc > 5 ? argv[5] : NULL);
	(void)child_wait_ready(&b.child);
	log_in(&b);
	for (unsigned i = 0; i < b.n_publishers; i++) {
		b.publishers[i].fd = child_dial(&b.child);
		watch(&b, &b.publishers[i], EPOLLIN, EPOLL_CTL_ADD);
	}
	(void)usleep(SETTLE_US);
	measure(&b);
	child_stop(&b.child);
	return 0;
}
