/* SPDX-License-Identifier: MIT */
/*
 * The replay: each test of a unit program again and again, and each time another allocation fails.
 *
 * With VOXBUS_OOM set, cmocka's runner is not called but this one. For each test a first child counts the
 * allocations and says from where each comes; then there is a child for the n-th that fails, n = 0, 1, 2...,
 * and some in which all from the n-th on fail. A child is a fork from before the test: no exec, no start.
 *
 *   the test passes            nothing may be lost, no descriptor be left
 *   an assertion fails         fine: an operation said -ENOMEM, or something wasn't done. It is looked
 *                              for lost memory on the spot, while the test's own variables still hold theirs
 *   it waits for what is lost  the same
 *   anything else              a finding: a signal, an abort, a sanitizer's report, a hang, an exit
 *
 * A test with more allocations than PAIRS_MAX, or slow ones, is not replayed in whole: first comes one
 * allocation of each stack it is made from, then the first SMALL, then a spread. What was left out is said.
 *
 *   VOXBUS_OOM=1          replay
 *   VOXBUS_OOM_TEST=name  that test alone
 *   VOXBUS_OOM_N=17       that run alone, its output shown; 17+: all from the 17th on
 *   VOXBUS_OOM_MS=1000    about how long a test may take
 *   VOXBUS_OOM_LIMIT_MS=20000  a run that takes longer hangs
 *   VOXBUS_OOM_VERBOSE=1  a line for each run that didn't pass: what the test said, and where memory was out
 */
#include "oom_internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <ftw.h>
#include <netdb.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

enum {
	SMALL = 400,
	PAIRS_MAX = 1500,
	FROM_MAX = 12,
	FEW = 8,
	MS = 1000,
	SHOWN = 4,
	OUTPUT_LINES = 45
};
enum { LIMIT_MS = 20000, PATIENCE_US = 30000, PATIENCE_IDLES = 300, FDS = 1024 };

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
void __sanitizer_symbolize_pc(void *pc, const char *format, char *out, size_t n)
	__attribute__((weak));

/* One test, and what came of its runs. */
struct replay {
	const struct CMUnitTest *test;
	struct oom_page *page;
	void *group_state;
	int output; /* what the child prints */
	long total; /* allocations of a run in which none fails */
	long fds_left;
	uint64_t us;      /* of such a run */
	uint64_t cpu_us;  /* of the last run */
	uint64_t cost_us; /* of such a run, on a machine that has nothing else to do */
	long idles;
	long passed, refused, waited, unreached, bad, left_out, from_runs;
};

static struct rlimit fds_limit;
static const char *only_n;
static bool verbose;
static long limit_ms;
static long all_pairs, all_left_out;

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static long number_of(const char *name, long fallback)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 10) : fallback;
}

/* ---- in the child */

static long open_fds(void)
{
	long n = 0;

	for (int fd = 0; fd < FDS; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

void oom_child_end(enum oom_end end)
{
	atomic_store(&oom_page->armed, false);
	(void)setrlimit(RLIMIT_NOFILE, &fds_limit);
	(void)fflush(stdout);
	if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
		end = OOM_LEAKED;
	_exit(end);
}

static _Noreturn void child(struct replay *r)
{
	const struct CMUnitTest *t = r->test;
	struct oom_page *page = r->page;
	void *state = t->initial_state ? t->initial_state : r->group_state;
	long fds;

	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	(void)dup2(r->output, STDOUT_FILENO);
	(void)dup2(r->output, STDERR_FILENO);
	fds = open_fds();
	oom_page = page;
	atomic_store(&page->armed, true);
	if (t->setup_func && t->setup_func(&state))
		oom_child_end(OOM_REFUSED);
	t->test_func(&state);
	if (t->teardown_func && t->teardown_func(&state))
		oom_child_end(OOM_REFUSED);
	atomic_store(&page->armed, false);
	page->fds_left = open_fds() - fds;
	oom_child_end(page->fds_left > r->fds_left ? OOM_LEFT_OPEN : OOM_PASSED);
}

/* ---- in the parent */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)remove(path);
	return 0;
}

static void remove_dirs(const struct oom_page *page)
{
	for (int i = 0; i < atomic_load(&page->n_dirs) && i < OOM_DIRS; i++)
		if (strstr(page->dirs[i], "voxbus"))
			(void)nftw(page->dirs[i], remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Waits for the child; one that hangs is told to say where. */
static int wait_for(pid_t pid, long ms)
{
	struct pollfd pfd = { pidfd_open(pid, 0), POLLIN, 0 };
	int status = 0;

	if (poll(&pfd, 1, (int)ms) == 0) {
		(void)kill(pid, SIGSEGV);
		if (poll(&pfd, 1, 5000) == 0)
			(void)kill(pid, SIGKILL);
		status = -1;
	}
	(void)close(pfd.fd);
	if (status < 0)
		(void)waitpid(pid, NULL, 0);
	else
		(void)waitpid(pid, &status, 0);
	return status;
}

static uint64_t cpu_us(const struct rusage *u)
{
	return (uint64_t)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

/* The status of a child in which the n-th allocation fails, and all that follow if from. -1: it hung. */
static int run(struct replay *r, long n, bool from)
{
	/* Not as `fork()`: what counts the coverage would go along. */
	pid_t (*volatile forks)(void) = fork;
	struct oom_page *page = r->page;
	struct rusage before, after;
	pid_t pid;
	int status;

	(void)getrusage(RUSAGE_CHILDREN, &before);
	memset(page, 0, offsetof(struct oom_page, sites));
	page->fail_at = n;
	page->from = from;
	page->record = n == OOM_NEVER;
	page->idle_us = PATIENCE_US + r->us;
	atomic_store(&page->idles_max, PATIENCE_IDLES + 2 * r->idles);
	if (ftruncate(r->output, 0) < 0) {
		perror("ftruncate");
		abort();
	}
	(void)lseek(r->output, 0, SEEK_SET);
	(void)fflush(stdout);
	pid = forks();
	if (pid == 0)
		child(r);
	if (pid < 0) {
		perror("fork");
		abort();
	}
	/* A slow test gets longer. */
	status = wait_for(pid, limit_ms + 5 * (long)(r->us / 1000));
	remove_dirs(page);
	(void)getrusage(RUSAGE_CHILDREN, &after);
	r->cpu_us = cpu_us(&after) - cpu_us(&before);
	return status;
}

/* Whether the child printed a report of a sanitizer that let it go on. */
static const char *read_output(const struct replay *r, char *text, size_t size)
{
	ssize_t n = pread(r->output, text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "runtime error: ");
}

static bool has(const char *line, size_t n, const char *what)
{
	return memmem(line, n, what, strlen(what)) != NULL;
}

/* What the child printed, without the frames of this file. */
static void print_output(const char *text)
{
	for (int i = 0; i < OUTPUT_LINES && *text;) {
		size_t n = strcspn(text, "\n");

		if (!has(text, n, "support/oom_run.c") && !has(text, n, "libc_start")) {
			printf("    | %.*s\n", (int)n, text);
			i++;
		}
		text += n + (text[n] == '\n');
	}
}

static void name_frame(void *pc, char *out, size_t n)
{
	out[0] = '\0';
	if (__sanitizer_symbolize_pc)
		__sanitizer_symbolize_pc((char *)pc - 1, "%f %s:%l", out, n);
	else
		(void)snprintf(out, n, "%p", pc);
}

/* "conn_create < link_open < http_client_send": who wanted the memory. */
static void print_stack(const struct oom_page *page, int most)
{
	char name[512];

	for (int i = 3, shown = 0; i < page->depth && shown < most; i++, shown++) {
		const char *file;

		name_frame(page->stack[i], name, sizeof(name));
		if (strncmp(name, "main ", 5) == 0 || strncmp(name, "child ", 6) == 0)
			break;
		/* the file's last two names are enough */
		file = strrchr(name, '/');
		while (file && file > name && file[-1] != '/' && file[-1] != ' ')
			file--;
		printf("    %s %.*s %s\n", shown ? " " : "<", (int)strcspn(name, " "), name,
		       file                ? file
		       : strchr(name, ' ') ? strchr(name, ' ') + 1
					   : "");
	}
}

static const char *what_ended(int status)
{
	static char text[64];

	if (status == -1)
		return "hangs";
	if (WIFSIGNALED(status))
		(void)snprintf(text, sizeof(text), "dies of signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == OOM_LEAKED)
		return "loses memory";
	else if (WEXITSTATUS(status) == OOM_LEFT_OPEN)
		return "leaves a descriptor open";
	else
		(void)snprintf(text, sizeof(text), "exits with %d%s", WEXITSTATUS(status),
			       WEXITSTATUS(status) == 1 ? ": a sanitizer's report" : "");
	return text;
}

static void say(const struct replay *r, long n, bool from, const char *what, const char *output)
{
	printf("  %s: allocation %ld%s fails: %s\n", r->test->name, n,
	       from ? " and all after it" : "", what);
	if (n >= 0)
		print_stack(r->page, 14);
	if (r->page->message[0])
		print_output(r->page->message);
	if (output)
		print_output(output);
}

/* Runs one pair and counts it; false if it is a finding. */
static bool judge(struct replay *r, long n, bool from)
{
	static char output[1 << 16];
	int status = run(r, n, from);
	bool undefined = read_output(r, output, sizeof(output)) != NULL;
	int code = status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (!undefined && (code == OOM_PASSED || code == OOM_REFUSED || code == OOM_WAITED)) {
		r->passed += code == OOM_PASSED;
		r->refused += code == OOM_REFUSED;
		r->waited += code == OOM_WAITED;
		r->unreached += n >= 0 && !atomic_load(&r->page->injected);
		if (only_n || (verbose && code != OOM_PASSED))
			say(r, n, from,
			    code == OOM_PASSED   ? "passes"
			    : code == OOM_WAITED ? "waits"
						 : "refused",
			    only_n ? output : NULL);
		return true;
	}
	if (++r->bad <= SHOWN || only_n)
		say(r, n, from, undefined ? "undefined behaviour" : what_ended(status), output);
	return false;
}

/* ---- which of them */

/* Marks up to max of the candidates in `of` that are not yet picked, evenly; how many. */
static long pick_some(const unsigned char *of, unsigned char *picked, long total, long max)
{
	long n = 0, seen = 0, got = 0;

	for (long i = 0; i < total; i++)
		n += of[i] && !picked[i];
	for (long i = 0; i < total && max > 0; i++)
		if (of[i] && !picked[i] && (n <= max || (seen++ + 1) * max / n > got)) {
			picked[i] = 1;
			got++;
		}
	return got;
}

/* The first allocation of each stack. */
static void first_of_each(const struct replay *r, unsigned char *of)
{
	enum { SLOTS = 1 << 17 };
	uint32_t *seen = calloc(SLOTS, sizeof(*seen));

	for (long i = 0; i < r->total; i++) {
		uint32_t h = r->page->sites[i] | 1, slot = h % SLOTS, tries = 0;

		while (seen[slot] && seen[slot] != h && tries++ < 64)
			slot = (slot + 1) % SLOTS;
		of[i] = seen[slot] != h;
		seen[slot] = h;
	}
	free(seen);
}

/* picked[n] is set for the runs to be done. */
static unsigned char *pick(struct replay *r)
{
	size_t size = (size_t)r->total + 1;
	unsigned char *picked = calloc(1, size), *of = calloc(1, size);
	/* A child ends half way on average; the fork and the look for what is lost take their time. */
	long room = number_of("VOXBUS_OOM_MS", MS) * 1000 / (long)(r->cost_us / 2 + 6000);

	if (room < FEW)
		room = FEW;
	if (room > PAIRS_MAX)
		room = PAIRS_MAX;
	first_of_each(r, of);
	room -= pick_some(of, picked, r->total, room);
	memset(of, 0, size);
	memset(of, 1, r->total < SMALL ? (size_t)r->total : SMALL);
	room -= pick_some(of, picked, r->total, room);
	memset(of, 1, size);
	(void)pick_some(of, picked, r->total, room);
	free(of);
	return picked;
}

/* ---- a test, a group */

static void replay_picked(struct replay *r)
{
	unsigned char *picked = pick(r);
	long n_picked = 0, nth = 0, from_max;

	for (long n = 0; n < r->total; n++)
		n_picked += picked[n];
	r->left_out = r->total - n_picked;
	from_max = n_picked < 4 * FROM_MAX ? (n_picked + 3) / 4 : FROM_MAX;
	for (long n = 0; n < r->total; n++) {
		if (!picked[n])
			continue;
		(void)judge(r, n, false);
		if (nth++ * from_max / n_picked >= r->from_runs) {
			r->from_runs++;
			(void)judge(r, n, true);
		}
	}
	free(picked);
}

static void replay_only(struct replay *r)
{
	char *end;
	long n = strtol(only_n, &end, 10);

	(void)judge(r, n, *end == '+');
}

/* Whether the replay of a test is clean. */
static bool replay_test(struct replay *r)
{
	uint64_t since = now_us();

	r->us = LIMIT_MS * 1000;
	r->idles = LIMIT_MS;
	r->fds_left = FDS;
	if (!judge(r, OOM_NEVER, false) || r->passed != 1) {
		char output[4096];

		printf("  %s: fails although no allocation does\n", r->test->name);
		print_output(r->page->message);
		(void)read_output(r, output, sizeof(output));
		print_output(output);
		return false;
	}
	r->us = now_us() - since;
	r->cost_us = r->us < 3 * r->cpu_us ? r->us : 3 * r->cpu_us;
	r->passed = 0;
	r->total = atomic_load(&r->page->count);
	if (r->total > OOM_SITES)
		r->total = OOM_SITES;
	r->fds_left = r->page->fds_left;
	r->idles = atomic_load(&r->page->idles);
	if (only_n)
		replay_only(r);
	else
		replay_picked(r);
	printf("  %ld allocations, %ld runs and %ld with all failing: %ld passed, %ld refused, %ld "
	       "waited, "
	       "%ld not reached, %ld bad; %ld left out; %.1f s\n",
	       r->total, r->total - r->left_out, r->from_runs, r->passed, r->refused, r->waited,
	       r->unreached, r->bad, r->left_out, (double)(now_us() - since) / 1e6);
	all_pairs += r->total - r->left_out + r->from_runs;
	all_left_out += r->left_out;
	return r->bad == 0;
}

/* What is set up once in a process, by libraries that can't do it without memory: as the daemon's start. */
static void warm_up(void)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct addrinfo *address;
	struct tm tm;
	size_t n;

	(void)EVP_Q_digest(NULL, "SHA256", NULL, "", 0, digest, &n);
	(void)EVP_Q_digest(NULL, "SHA1", NULL, "", 0, digest, &n);
	SSL_CTX_free(SSL_CTX_new(TLS_method()));
	(void)localtime_r(&(time_t){ 0 }, &tm);
	if (getaddrinfo("localhost", "1", NULL, &address) == 0)
		freeaddrinfo(address);
}

static int replay_group(const struct CMUnitTest *tests, size_t n, void *group_state)
{
	const char *only = getenv("VOXBUS_OOM_TEST");
	struct replay r = { .output = memfd_create("replay", MFD_CLOEXEC) };
	int failed = 0;

	r.page = mmap(NULL, sizeof(*r.page), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r.page == MAP_FAILED || r.output < 0)
		abort();
	(void)getrlimit(RLIMIT_NOFILE, &fds_limit);
	limit_ms = number_of("VOXBUS_OOM_LIMIT_MS", LIMIT_MS);
	if (!__lsan_do_recoverable_leak_check)
		printf("no look for lost memory: that takes AddressSanitizer\n");
	only_n = getenv("VOXBUS_OOM_N");
	verbose = getenv("VOXBUS_OOM_VERBOSE") != NULL;
	oom_alloc_init();
	warm_up();
	for (size_t i = 0; i < n; i++) {
		struct replay one = { .test = &tests[i],
				      .page = r.page,
				      .group_state = group_state,
				      .output = r.output };
		bool good;

		if (only && strcmp(only, tests[i].name) != 0)
			continue;
		printf("[ RUN      ] %s\n", tests[i].name);
		good = replay_test(&one);
		failed += !good;
		printf("[ %s ] %s\n", good ? "      OK" : " FAILED ", tests[i].name);
		(void)fflush(stdout);
	}
	printf("oom: %ld pairs ran, %ld left out\n", all_pairs, all_left_out);
	(void)munmap(r.page, sizeof(*r.page));
	(void)close(r.output);
	return failed;
}

int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t n,
			    CMFixtureFunction setup, CMFixtureFunction teardown)
{
	int (*next)(const char *, const struct CMUnitTest *, size_t, CMFixtureFunction,
		    CMFixtureFunction);

	if (getenv("VOXBUS_OOM")) {
		void *state = NULL;
		int failed;

		if (setup && setup(&state) != 0)
			return 1;
		failed = replay_group(tests, n, state);
		return teardown && teardown(&state) != 0 ? failed + 1 : failed;
	}
	*(void **)&next = dlsym(RTLD_NEXT, "_cmocka_run_group_tests");
	return next(name, tests, n, setup, teardown);
}
