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
 * A test with many allocations is not replayed in whole: oom_pick.c chooses. What was left out is said.
 *
 *   VOXBUS_OOM=most       replay; few: a few runs of each test; all: each there is, however long it takes
 *   VOXBUS_OOM_TEST=name  that test alone
 *   VOXBUS_OOM_N=17       that run alone, its output shown; 17+: all from the 17th on
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

enum { FROM_MAX = 12, SHOWN = 4 };
enum { LIMIT_MS = 20000, PATIENCE_US = 25000, PATIENCE_IDLES = 3000, FDS = 1024 };

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* One test, and what came of its runs. */
struct replay {
	const struct CMUnitTest *test;
	struct oom_page *page;
	void *group_state;
	int output; /* what the child prints */
	long total; /* allocations of a run in which none fails */
	long fds_left;
	uint64_t us; /* of such a run */
	long idles;
	long passed, refused, waited, unreached, bad, left_out, from_runs;
};

static struct rlimit fds_limit;
static const char *only_n;
static enum oom_choice choice;
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
	/* What the test's variables in registers know of counts. */
	__builtin_unwind_init();
	if (getpid() != oom_page->child)
		_exit(EXIT_FAILURE);
	atomic_store(&oom_page->armed, false);
	(void)setrlimit(RLIMIT_NOFILE, &fds_limit);
	(void)fflush(stdout);
	if (!oom_is_sanitized()) {
		if (oom_look(oom_page))
			end = OOM_LEAKED;
		if (oom_heap_damaged())
			end = OOM_DAMAGED;
	} else if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check()) {
		end = OOM_LEAKED;
	}
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
	page->child = getpid();
	oom_page = page;
	if (!oom_is_sanitized())
		oom_crash_begin();
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

/* The status of a child in which the n-th allocation fails, and all that follow if from. -1: it hung. */
static int run(struct replay *r, long n, bool from)
{
	/* Not as `fork()`: what counts the coverage would go along. */
	pid_t (*volatile forks)(void) = fork;
	struct oom_page *page = r->page;
	pid_t pid;
	int status;

	memset(page, 0, offsetof(struct oom_page, sites));
	page->fail_at = n;
	page->from = from;
	page->record = n == OOM_NEVER;
	page->idle_us = PATIENCE_US + (r->us < 4 * PATIENCE_US ? r->us : 4 * PATIENCE_US) / 2;
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
	return status;
}

/* Whether the child printed a report of a sanitizer that let it go on. */
static const char *read_output(const struct replay *r, char *text, size_t size)
{
	ssize_t n = pread(r->output, text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "runtime error: ");
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
	else if (WEXITSTATUS(status) == OOM_DAMAGED)
		return "writes to memory that is not its own";
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
		oom_print_page(r->page);
	if (r->page->message[0])
		oom_print_output(r->page->message);
	if (output)
		oom_print_output(output);
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

/* ---- a test, a group */

static void replay_picked(struct replay *r)
{
	unsigned char *picked = oom_pick(choice, r->page->sites, r->total);
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
		oom_print_output(r->page->message);
		(void)read_output(r, output, sizeof(output));
		oom_print_output(output);
		return false;
	}
	r->us = now_us() - since;
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
	if (!oom_is_sanitized())
		oom_heap_init();
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

	const char *wish = getenv("VOXBUS_OOM");

	if (wish) {
		void *state = NULL;
		int failed;

		choice = strcmp(wish, "all") == 0   ? OOM_ALL
			 : strcmp(wish, "few") == 0 ? OOM_FEW
						    : OOM_MOST;
		if (setup && setup(&state) != 0)
			return 1;
		failed = replay_group(tests, n, state);
		return teardown && teardown(&state) != 0 ? failed + 1 : failed;
	}
	*(void **)&next = dlsym(RTLD_NEXT, "_cmocka_run_group_tests");
	return next(name, tests, n, setup, teardown);
}
