/* SPDX-License-Identifier: MIT */
/* A journal in a directory of its own, on a manual loop, with a wall clock that a test moves. */
#ifndef VOXBUS_TESTS_JOURNAL_FIXTURE_H
#define VOXBUS_TESTS_JOURNAL_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal/journal_internal.h"

enum { GUARD_US = 20000000 };

struct fx {
	char dir[64];
	struct loop *loop;
	struct journal *j;
	struct journal_options o;
	struct journal_sys sys;
	bool stepped;
	uint64_t (*random)(void *arg); /* NULL: the kernel's */
	uint64_t drawn;
	uint64_t wall_ms, written, durable, progress;
	uint64_t wall_set_ms; /* how far somebody has set the wall clock away from true time */
	int failed;
	bool order_broken; /* durable before written */
	/* the last read */
	bool read_done;
	int read_rc;
	size_t read_n;
	uint64_t read_seq[256];
	char read_body[256][32];
	size_t read_len[256];
};

static inline uint64_t fx_wall(void *arg)
{
	const struct fx *fx = arg;

	return fx->wall_ms + fx->wall_set_ms;
}

static inline uint64_t fx_steady(void *arg)
{
	return ((struct fx *)arg)->wall_ms;
}

static inline void fx_progress(void *arg, uint64_t written, uint64_t durable)
{
	struct fx *fx = arg;

	if (durable > written || written < fx->written || durable < fx->durable)
		fx->order_broken = true;
	fx->written = written;
	fx->durable = durable;
	fx->progress++;
}

static inline void fx_failed(void *arg, const struct err *e)
{
	((struct fx *)arg)->failed++;
}

static inline int fx_try_open(struct fx *fx, struct journal **ret, struct err *e)
{
	struct journal_events events = { fx_progress, fx_failed, NULL, fx };
	struct journal_inject in = { .loop = fx->loop,
				     .options = &fx->o,
				     .events = &events,
				     .sys = &fx->sys,
				     .random = fx->random,
				     .random_arg = &fx->drawn,
				     .stepped = fx->stepped,
				     .wall_ms = fx_wall,
				     .steady_ms = fx_steady,
				     .clock_arg = fx };

	fx->written = fx->durable = 0;
	return journal_open_injected(&in, ret, e);
}

static inline void fx_open(struct fx *fx)
{
	struct err e = { "" };
	int rc = fx_try_open(fx, &fx->j, &e);

	if (rc < 0)
		fail_msg("open: %s", e.text);
}

static inline void fx_close(struct fx *fx)
{
	fx->j = journal_close(fx->j);
	assert_false(fx->order_broken);
}

static inline void fx_reopen(struct fx *fx)
{
	fx_close(fx);
	fx_open(fx);
}

static inline void fx_init(struct fx *fx)
{
	*fx = (struct fx){ .wall_ms = 1000000000,
			   .sys = journal_sys_real,
			   .o = { .segment_bytes = 65536, .nosync = true } };
	/* In memory where possible: thousands of reopenings wait for no disk. */
	(void)snprintf(fx->dir, sizeof(fx->dir), "%s/voxbus-journal-XXXXXX",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(fx->dir));
	fx->o.dir = fx->dir;
	assert_int_equal(loop_create_manual(&fx->loop), 0);
}

static inline void fx_wipe(const char *path)
{
	DIR *dir = opendir(path);

	for (struct dirent *d; (d = readdir(dir));)
		(void)unlinkat(dirfd(dir), d->d_name, 0);
	(void)closedir(dir);
	(void)rmdir(path);
}

static inline void fx_fini(struct fx *fx)
{
	fx_close(fx);
	fx->loop = loop_destroy(fx->loop);
	fx_wipe(fx->dir);
}

/* Turns until cond, for at most GUARD_US. */
#define fx_until(fx, cond)                                                \
	do {                                                              \
		uint64_t guard = loop_now_us() + GUARD_US;                \
		while (!(cond)) {                                         \
			loop_turn((fx)->loop);                            \
			(void)sched_yield();                              \
			if (loop_now_us() > guard)                        \
				fail_msg("waited in vain for %s", #cond); \
		}                                                         \
	} while (0)

static inline uint64_t fx_append(struct fx *fx, struct jstream *js, const char *body)
{
	struct str part = str_from(body);
	uint64_t lsn = 0;

	assert_int_equal(journal_append(fx->j, js, jstream_next(js), &part, 1, &lsn), 0);
	return lsn;
}

static inline void fx_settle(struct fx *fx, uint64_t lsn)
{
	fx_until(fx, journal_durable(fx->j) >= lsn);
}

static inline void fx_on_read(void *arg, int rc, const struct journal_record *records, size_t n)
{
	struct fx *fx = arg;

	fx->read_done = true;
	fx->read_rc = rc;
	fx->read_n = n;
	for (size_t i = 0; i < n; i++) {
		size_t len = records[i].body.n < 31 ? records[i].body.n : 31;

		fx->read_seq[i] = records[i].seq;
		fx->read_len[i] = records[i].body.n;
		if (len)
			memcpy(fx->read_body[i], records[i].body.p, len);
		fx->read_body[i][len] = 0;
	}
}

static inline int fx_read(struct fx *fx, struct jstream *js, uint64_t seq, size_t max)
{
	fx->read_done = false;
	assert_int_equal(journal_read(fx->j, js, seq, max, fx_on_read, fx), 0);
	assert_false(fx->read_done);
	fx_until(fx, fx->read_done);
	return fx->read_rc;
}

static inline struct journal_stats fx_stats(const struct fx *fx)
{
	struct journal_stats st;

	journal_stats(fx->j, &st);
	return st;
}

/* A file of the journal in memory. */
static inline char *fx_slurp(const struct fx *fx, const char *name, size_t *ret_n)
{
	char path[512], *p;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", fx->dir, name);
	f = fopen(path, "rb");
	assert_non_null(f);
	(void)fseek(f, 0, SEEK_END);
	*ret_n = (size_t)ftell(f);
	rewind(f);
	p = malloc(*ret_n + 1);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, *ret_n, f), *ret_n);
	(void)fclose(f);
	return p;
}

static inline void fx_spill(const struct fx *fx, const char *name, const char *p, size_t n)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", fx->dir, name);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	(void)fclose(f);
}

static inline struct jstream *fx_stream(struct fx *fx, const char *name)
{
	struct jstream *js = journal_stream(fx->j, str_from(name));

	assert_non_null(js);
	return js;
}

static inline int fx_setup(void **state)
{
	struct fx *fx = malloc(sizeof(*fx));

	fx_init(fx);
	fx_open(fx);
	*state = fx;
	return 0;
}

static inline int fx_teardown(void **state)
{
	fx_fini(*state);
	free(*state);
	return 0;
}

#define FX_TEST(fn) cmocka_unit_test_setup_teardown(fn, fx_setup, fx_teardown)

#endif
