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
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ari_source.h"
#include "loop/loop.h"

enum { ANSWER_MAX = 65536, CALLS_MAX = 10000, SETTLE_US = 1000 };

#define SID   "ACbench"
#define TOKEN "bench-token"
#define BASIC "QUNiZW5jaDpiZW5jaC10b2tlbg==" /* SID:TOKEN */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		die("bind");
	(void)close(fd);
	return ntohs(a.sin_port);
}

static int dial(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

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

static bool is_ready(const char *socket_path)
{
	static const char request[] = "GET /readyz HTTP/1.0\r\n\r\n";
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[64] = "";
	bool ready;

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", socket_path);
	ready = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
		send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0 &&
		recv(fd, text, sizeof(text) - 1, 0) > 12 && memcmp(text + 9, "200", 3) == 0;
	(void)close(fd);
	return ready;
}

static void write_config(const char *path, const char *dir, int ari, int http)
{
	FILE *f = fopen(path, "we");

	if (!f)
		die(path);
	(void)fprintf(f,
		      "node: bench\ndata_dir: %s\nhttp: {listen: ['127.0.0.1:%d']}\n"
		      "log: {level: warn}\naccounts: [{sid: " SID ", token: " TOKEN "}]\n"
		      "engines:\n  - {type: asterisk, name: ari, url: 'http://127.0.0.1:%d/ari',\n"
		      "     username: ari, password: secret, applications: [fx]}\n"
		      "buses: [{type: longpoll, name: http}]\n",
		      dir, http, ari);
	(void)fclose(f);
}

static pid_t start(const char *voxbusd, const char *config)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		(void)execl(voxbusd, voxbusd, "-c", config, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static long rss_kib(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (memcmp(line, "VmRSS:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	if (f)
		(void)fclose(f);
	return kib;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

struct times {
	uint64_t announced[CALLS_MAX], first[CALLS_MAX];
};

/* One call after the other: the polls wait before the call comes, as an application's do. */
static void place_calls(struct ari_source *source, int http, unsigned calls, struct times *t)
{
	static char text[ANSWER_MAX];
	int queue = dial(http), events = dial(http);

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
	qsort(t->announced, calls, sizeof(uint64_t), by_size);
	qsort(t->first, calls, sizeof(uint64_t), by_size);
}

int main(int argc, char **argv)
{
	static struct times t;
	char dir[] = "/tmp/voxbus-bench-XXXXXX", config[64], admin[64];
	unsigned calls = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	uint64_t began, ready;
	struct ari_source *source;
	long rss;
	pid_t pid;
	int http;

	if (!calls || calls > CALLS_MAX || !mkdtemp(dir))
		return 2;
	(void)snprintf(config, sizeof(config), "%s/voxbus.yaml", dir);
	(void)snprintf(admin, sizeof(admin), "%s/admin.sock", dir);
	source = ari_source_start(argv[2]);
	http = free_port();
	write_config(config, dir, ari_source_port(source), http);
	began = loop_now_us();
	pid = start(argv[1], config);
	while (!is_ready(admin)) {
		if (loop_now_us() - began > 10000000)
			die("voxbusd does not get ready");
		(void)usleep(200);
	}
	ready = loop_now_us() - began;
	(void)usleep(200000);
	rss = rss_kib(pid);
	place_calls(source, http, calls, &t);
	(void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %.1f %ld %ld\n",
		     t.announced[calls / 2], t.announced[calls * 99 / 100], t.first[calls / 2],
		     t.first[calls * 99 / 100], (double)ready / 1000, rss, rss_kib(pid));
	(void)kill(pid, SIGTERM);
	(void)waitpid(pid, NULL, 0);
	return 0;
}
