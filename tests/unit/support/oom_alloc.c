/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of a unit program goes through here: our own, and those of libuv, libyaml, OpenSSL and
 * libc on our behalf, since the program's own malloc comes before any library's. It is the sanitizer's
 * that is called in the end, where there is one, so that its eyes stay open.
 *
 * Where there is none the blocks of a child lie in oom_heap.c; those of the parent in libc.
 *
 * In a child of the replay the n-th fails. Not counted are those of the dynamic linker and of cmocka, and
 * those of the test's own code (fixture_alloc.h).
 *
 * Here is also what tells how a test ended early: cmocka calls exit when an assertion fails, and what waits
 * for something in vain gives its processor away again and again. And nobody waits for a disk: what a run
 * writes needs no power cut to be forgotten.
 *
 * Built without sanitizers: the first calls come before they are up.
 */
#include "oom_internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define VOXBUS_OOM_ITSELF
#include "fixture_alloc.h"

#define WEAK __attribute__((weak))
void __lsan_disable(void) WEAK;
void __lsan_enable(void) WEAK;
void *__interceptor_malloc(size_t n) WEAK;
void *__interceptor_calloc(size_t n, size_t size) WEAK;
void *__interceptor_realloc(void *p, size_t n) WEAK;
void *__interceptor_memalign(size_t align, size_t n) WEAK;
void __interceptor_free(void *p) WEAK;
void *__libc_malloc(size_t n) WEAK;
void *__libc_calloc(size_t n, size_t size) WEAK;
void *__libc_realloc(void *p, size_t n) WEAK;
void *__libc_memalign(size_t align, size_t n) WEAK;
void __libc_free(void *p) WEAK;

#define REAL(fn) (__interceptor_##fn ? __interceptor_##fn : __libc_##fn)
#define CALLER   __builtin_return_address(0)

struct oom_page *oom_page;
/* Volatile: libc promises the compiler that setenv calls none of ours, and it does. */
static _Thread_local volatile int exempt;
static _Thread_local bool begun; /* this thread runs what it was made for */

/* Address ranges whose allocations don't count. */
enum { RANGES = 8 };
static struct range {
	uintptr_t from, to;
	bool cmocka;
} ranges[RANGES];
static size_t n_ranges;
static struct range crypto;

static int add_range(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *name = info->dlpi_name ? info->dlpi_name : "";
	bool cmocka = strstr(name, "libcmocka") != NULL, is_crypto = strstr(name, "libcrypto");

	/* nats.c 3.4 touches half-made things when it is refused memory, and loses some. */
	if (!cmocka && !is_crypto && !strstr(name, "/ld-linux") && !strstr(name, "libnats"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + h->p_vaddr;

		if (h->p_type != PT_LOAD || !(h->p_flags & PF_X))
			continue;
		if (is_crypto)
			crypto = (struct range){ at, at + h->p_memsz, false };
		else if (n_ranges < RANGES)
			ranges[n_ranges++] = (struct range){ at, at + h->p_memsz, cmocka };
	}
	return 0;
}

void oom_alloc_init(void)
{
	void *stack[2];

	(void)dl_iterate_phdr(add_range, NULL);
	/* It loads what it needs; the sanitizer would miss what the linker keeps of that. */
	if (__lsan_disable)
		__lsan_disable();
	(void)backtrace(stack, 2);
	if (__lsan_enable)
		__lsan_enable();
}

static bool range_has(const struct range *r, const void *pc)
{
	return (uintptr_t)pc >= r->from && (uintptr_t)pc < r->to;
}

static const struct range *range_of(const void *caller)
{
	for (size_t i = 0; i < n_ranges; i++)
		if (range_has(&ranges[i], caller))
			return &ranges[i];
	return NULL;
}

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint32_t stack_hash(void)
{
	void *stack[OOM_DEPTH];
	int n = backtrace(stack, OOM_DEPTH);
	uint64_t h = 1469598103934665603u;

	for (int i = 3; i < n; i++)
		h = (h ^ (uintptr_t)stack[i]) * 1099511628211u;
	return (uint32_t)(h ^ h >> 32);
}

/* OpenSSL looks an algorithm up: refused memory there it loses some of its own (3.0, the names' parser). */
static bool is_fetch(void)
{
	void *stack[OOM_DEPTH];
	int n = backtrace(stack, OOM_DEPTH);
	Dl_info info;

	for (int i = 3; i < n; i++)
		if (range_has(&crypto, stack[i]) && dladdr(stack[i], &info) && info.dli_sname &&
		    strncmp(info.dli_sname, "EVP_", 4) == 0 && strstr(info.dli_sname, "_fetch"))
			return true;
	return false;
}

static bool fails_at(struct oom_page *o, long n)
{
	if (o->record && n < OOM_SITES)
		o->sites[n] = stack_hash();
	if (o->fail_at < 0 || n < o->fail_at || (n > o->fail_at && !o->from))
		return false;
	if (is_fetch()) {
		o->fail_at += !o->from; /* the next one, then */
		return false;
	}
	if (!atomic_exchange(&o->injected, true)) {
		atomic_store(&o->idles, 0);
		o->depth = backtrace(o->stack, OOM_DEPTH);
	}
	return true;
}

/* A thread that the sanitizer still prepares needs memory that is not ours to fail. */
static bool has_begun(void)
{
	return begun || syscall(SYS_gettid) == getpid();
}

static bool fails(const void *caller)
{
	struct oom_page *o = oom_page;
	bool failed;

	if (!o || exempt || !atomic_load(&o->armed) || range_of(caller) || !has_begun())
		return false;
	exempt = exempt + 1;
	failed = fails_at(o, atomic_fetch_add(&o->count, 1));
	exempt = exempt - 1;
	if (failed)
		errno = ENOMEM;
	return failed;
}

/* ---- where it comes from */

bool oom_is_sanitized(void)
{
	return __interceptor_malloc != NULL;
}

static void *get(size_t n, const void *caller)
{
	void *p = oom_page ? oom_heap_alloc(1, n, caller) : NULL;

	if (!p)
		return REAL(malloc)(n);
	oom_heap_fill(p);
	return p;
}

/* What comes from the heap was never used, and so is zero. */
static void *get_zeroed(size_t n, size_t size, const void *caller)
{
	size_t bytes;
	void *p = NULL;

	if (oom_page && !__builtin_mul_overflow(n, size, &bytes))
		p = oom_heap_alloc(1, bytes, caller);
	return p ? p : REAL(calloc)(n, size);
}

static void *get_aligned(size_t align, size_t n, const void *caller)
{
	void *p = oom_page ? oom_heap_alloc(align, n, caller) : NULL;

	return p ? p : REAL(memalign)(align, n);
}

static void *get_again(void *old, size_t n, const void *caller)
{
	void *p;

	if (!old)
		return get(n, caller);
	if (!oom_heap_has(old))
		return REAL(realloc)(old, n);
	p = get(n, caller);
	if (!p)
		return NULL;
	memcpy(p, old, oom_heap_size(old) < n ? oom_heap_size(old) : n);
	oom_heap_free(old);
	return p;
}

void *malloc(size_t n)
{
	return fails(CALLER) ? NULL : get(n, CALLER);
}

void *calloc(size_t n, size_t size)
{
	return fails(CALLER) ? NULL : get_zeroed(n, size, CALLER);
}

void *realloc(void *p, size_t n)
{
	return fails(CALLER) ? NULL : get_again(p, n, CALLER);
}

void *reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return fails(CALLER) ? NULL : get_again(p, bytes, CALLER);
}

void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n)
{
	return fails(CALLER) ? NULL : get_aligned(align, n, CALLER);
}

void *aligned_alloc(size_t align, size_t n)
{
	return fails(CALLER) ? NULL : get_aligned(align, n, CALLER);
}

int posix_memalign(void **ret, size_t align, size_t n)
{
	void *p = fails(CALLER) ? NULL : get_aligned(align, n, CALLER);

	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

void free(void *p)
{
	if (oom_heap_has(p))
		oom_heap_free(p);
	else
		REAL(free)(p);
}

static char *copy(const char *s, size_t n, const void *caller)
{
	char *p = fails(caller) ? NULL : get(n + 1, caller);

	if (!p)
		return NULL;
	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *strdup(const char *s)
{
	return copy(s, strlen(s), CALLER);
}

char *strndup(const char *s, size_t n)
{
	return copy(s, strnlen(s, n), CALLER);
}

struct thread {
	void *(*run)(void *arg);
	void *arg;
};

static void *thread_run(void *arg)
{
	struct thread t = *(struct thread *)arg;

	free(arg);
	begun = true;
	return t.run(t.arg);
}

int pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *arg), void *arg)
{
	static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	struct thread *t = get(sizeof(*t), CALLER);
	int rc;

	if (!t)
		return EAGAIN;
	*t = (struct thread){ run, arg };
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
	rc = next(ret, attr, thread_run, t);
	if (rc)
		free(t);
	return rc;
}

/* ---- a disk that takes no time */

int fsync(int fd)
{
	return oom_page ? 0 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return oom_page ? 0 : (int)syscall(SYS_fdatasync, fd);
}

/* ---- the test's own */

void oom_pause(void)
{
	exempt = exempt + 1;
}

void oom_resume(void)
{
	exempt = exempt - 1;
}

void *fixture_malloc(size_t n)
{
	return get(n, CALLER);
}

void *fixture_calloc(size_t n, size_t size)
{
	return get_zeroed(n, size, CALLER);
}

void *fixture_realloc(void *p, size_t n)
{
	return get_again(p, n, CALLER);
}

#define EXEMPT(type, call)           \
	do {                         \
		type ret_;           \
                                     \
		exempt = exempt + 1; \
		ret_ = call;         \
		exempt = exempt - 1; \
		return ret_;         \
	} while (0)

char *fixture_strndup(const char *s, size_t n)
{
	EXEMPT(char *, strndup(s, n));
}

FILE *fixture_fopen(const char *path, const char *mode)
{
	EXEMPT(FILE *, fopen(path, mode));
}

FILE *fixture_memstream(char **text, size_t *n)
{
	EXEMPT(FILE *, open_memstream(text, n));
}

ssize_t fixture_getline(char **line, size_t *size, FILE *f)
{
	EXEMPT(ssize_t, getline(line, size, f));
}

DIR *fixture_opendir(const char *path)
{
	EXEMPT(DIR *, opendir(path));
}

int fixture_setenv(const char *name, const char *value)
{
	EXEMPT(int, setenv(name, value, 1));
}

char *fixture_str_dup(struct str s)
{
	char *p = get(s.n + 1, CALLER);

	if (p && s.n)
		memcpy(p, s.p, s.n);
	if (p)
		p[s.n] = '\0';
	return p;
}

/* ---- how a test ends early */

/*
 * A test that turns its loop for something that never comes is ended long before its own guard: when nobody has
 * allocated for a while, or when it has turned for far longer than it needs with memory. It is clean then: this
 * needs to be quick more than sure.
 */
static void idle(void)
{
	static long count_before = -1;
	struct oom_page *o = oom_page;
	long count, idles;

	if (!o || !atomic_load(&o->armed) || syscall(SYS_gettid) != getpid())
		return;
	idles = atomic_fetch_add(&o->idles, 1) + 1;
	if (!atomic_load(&o->injected))
		return;
	count = atomic_load(&o->count);
	if (count != count_before) {
		count_before = count;
		o->idle_since = idles;
		o->idle_until_us = now_us() + o->idle_us;
	}
	if (idles > atomic_load(&o->idles_max) ||
	    (idles - o->idle_since > OOM_IDLES && now_us() > o->idle_until_us))
		oom_child_end(OOM_WAITED);
}

int sched_yield(void)
{
	idle();
	return (int)syscall(SYS_sched_yield);
}

int usleep(useconds_t us)
{
	struct timespec t = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };

	idle();
	return nanosleep(&t, NULL);
}

void cm_print_error(const char *format, ...);
void cm_print_error(const char *format, ...)
{
	static void (*next)(const char *format, ...);
	char text[1024];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (oom_page) {
		size_t n = strlen(oom_page->message);

		(void)snprintf(oom_page->message + n, sizeof(oom_page->message) - n, "%s", text);
		return;
	}
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "cm_print_error");
	next("%s", text);
}

void exit(int status)
{
	static void (*next)(int);
	const struct range *range = range_of(CALLER);

	if (oom_page && range && range->cmocka)
		oom_child_end(OOM_REFUSED);
	*(void **)&next = dlsym(RTLD_NEXT, "exit");
	next(status);
	abort();
}

/* Here no sanitizer tells where it died. */
static void on_crash(int signo)
{
	oom_page->crash_depth = backtrace(oom_page->crash, OOM_DEPTH);
	(void)signal(signo, SIG_DFL);
	(void)raise(signo);
}

void oom_crash_begin(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	static char stack[1 << 16];
	struct sigaction action = { .sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_NODEFER };

	(void)sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, NULL);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &action, NULL);
}

char *mkdtemp(char *template)
{
	static char *(*next)(char *);
	char *path;
	int i;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "mkdtemp");
	path = next(template);
	if (path && oom_page && (i = atomic_fetch_add(&oom_page->n_dirs, 1)) < OOM_DIRS)
		(void)snprintf(oom_page->dirs[i], sizeof(oom_page->dirs[i]), "%s", path);
	return path;
}
