/* SPDX-License-Identifier: MIT */
/* The daemon under measurement: all that is read of it is read from outside. */
#include "child.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "loop/loop.h"

enum { READY_US = 20000000, BODY_MAX = 65536 };

void child_make(struct child *child)
{
	const char *base = getenv("BENCH_DIR");
	int n;

	*child = (struct child){ .http = free_port(), .https = free_port() };
	n = snprintf(child->dir, sizeof(child->dir), "%s/voxbus-bench-XXXXXX",
		     base ? base : "/tmp");
	if ((size_t)n >= sizeof(child->dir) || !mkdtemp(child->dir))
		die("BENCH_DIR");
	(void)snprintf(child->config, sizeof(child->config), "%s/voxbus.yaml", child->dir);
	(void)snprintf(child->admin, sizeof(child->admin), "%s/admin.sock", child->dir);
	(void)snprintf(child->heap, sizeof(child->heap), "%s/heap", child->dir);
}

FILE *child_prepare(struct child *child)
{
	FILE *f;

	child_make(child);
	f = fopen(child->config, "we");
	if (!f)
		die(child->config);
	(void)fprintf(f, "node: bench\ndata_dir: %s\nlog: {level: warn}\n", child->dir);
	return f;
}

void child_exec(struct child *child, const char *const argv[], const char *preload)
{
	child->pid = fork();
	if (child->pid < 0)
		die("fork");
	if (child->pid > 0)
		return;
	/* A benchmark that dies takes it along. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (preload &&
	    (setenv("LD_PRELOAD", preload, 1) < 0 || setenv("HEAP_COUNT_FILE", child->heap, 1) < 0))
		_exit(127);
	(void)execv(argv[0], (char *const *)argv);
	_exit(127);
}

void child_start(struct child *child, FILE *config, const char *voxbusd, const char *preload)
{
	const char *const argv[] = { voxbusd, "-c", child->config, NULL };

	if (fclose(config) != 0)
		die(child->config);
	child_exec(child, argv, preload);
}

const char *child_get(const struct child *child, const char *path)
{
	static char text[BODY_MAX];
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char request[128];
	size_t n = 0;
	ssize_t got;

	text[0] = '\0';
	(void)snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", path);
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", child->admin);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	    send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)
		while ((got = recv(fd, text + n, sizeof(text) - 1 - n, 0)) > 0) {
			n += (size_t)got;
			text[n] = '\0';
		}
	(void)close(fd);
	return text;
}

uint64_t child_wait_ready(struct child *child)
{
	uint64_t began = loop_now_us();

	while (strncmp(child_get(child, "/readyz") + 9, "200", 3) != 0) {
		if (loop_now_us() - began > READY_US)
			die("voxbusd does not get ready");
		(void)usleep(200);
	}
	return loop_now_us() - began;
}

uint64_t child_status(const struct child *child, const char *name)
{
	char key[64];
	const char *at;

	(void)snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(child_get(child, "/api/status"), key);
	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

long child_rss_kib(const struct child *child)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)child->pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (memcmp(line, "VmRSS:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	if (f)
		(void)fclose(f);
	return kib;
}

double child_cpu(const struct child *child)
{
	struct timespec t = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(child->pid, &clock) == 0)
		(void)clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct child_heap child_heap(const struct child *child)
{
	struct child_heap heap = { 0 };
	int fd = open(child->heap, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && read(fd, &heap, sizeof(heap)) != sizeof(heap))
		heap = (struct child_heap){ 0 };
	if (fd >= 0)
		(void)close(fd);
	return heap;
}

int child_dial(const struct child *child)
{
	return dial(child->http);
}

void child_log_in(const struct child *child, const char *basic, char session[64])
{
	char text[2048];
	int fd = child_dial(child);
	size_t n = (size_t)snprintf(text, sizeof(text),
				    "GET /auth HTTP/1.0\r\nAuthorization: Basic %s\r\n\r\n", basic);
	ssize_t got;

	if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
		die("send");
	n = 0;
	while ((got = recv(fd, text + n, sizeof(text) - 1 - n, 0)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	(void)close(fd);
	if (n < 50 || memcmp(text + 9, "200", 3) != 0 || !strstr(text, "\r\n\r\n"))
		die("/auth");
	(void)snprintf(session, 64, "%.60s", strstr(text, "\r\n\r\n") + 4);
}

void child_stop(struct child *child)
{
	char command[100];

	(void)kill(child->pid, SIGTERM);
	(void)waitpid(child->pid, NULL, 0);
	(void)snprintf(command, sizeof(command), "rm -rf %s", child->dir);
	if (system(command) != 0)
		die(command);
}
