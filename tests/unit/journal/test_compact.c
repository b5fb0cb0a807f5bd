/* SPDX-License-Identifier: MIT */
/* Sparse segments are emptied, and nothing that lived in them is lost, twice, or out of order. */
#include "fixture.h"

#include <sys/stat.h>

#include "base/log.h"
#include "base/rand.h"

enum { SEGMENT = 16384, BODY = 500 };

static uint64_t draw(void *arg)
{
	return ++*(uint64_t *)arg;
}

static int setup(void **state)
{
	struct fx *fx = malloc(sizeof(*fx));

	fx_init(fx);
	fx->stepped = true;
	fx->random = draw;
	fx->o.segment_bytes = SEGMENT;
	fx->o.nosync = false;
	fx_open(fx);
	*state = fx;
	return 0;
}

/* One round of everything; `ms` go by. */
static void round_of(struct fx *fx, uint64_t ms)
{
	loop_test_advance(fx->loop, ms);
	(void)journal_step_write(fx->j);
	(void)journal_step_sync(fx->j);
	loop_turn(fx->loop);
	(void)sched_yield(); /* to the pool */
}

#define rounds_until(fx, cond)                                            \
	do {                                                              \
		uint64_t guard = loop_now_us() + GUARD_US;                \
		while (!(cond)) {                                         \
			round_of(fx, 50);                                 \
			if (loop_now_us() > guard)                        \
				fail_msg("waited in vain for %s", #cond); \
		}                                                         \
	} while (0)

static void body_of(char out[BODY + 1], const char *stream, uint64_t seq)
{
	memset(out, 'x', BODY);
	out[BODY] = 0;
	out[snprintf(out, BODY, "%s %ju", stream, (uintmax_t)seq)] = ' ';
}

static void append(struct fx *fx, const char *stream)
{
	struct jstream *js = fx_stream(fx, stream);
	char body[BODY + 1];

	body_of(body, stream, jstream_next(js));
	(void)fx_append(fx, js, body);
}

/* The quota is reached now and then; there is room as soon as something was emptied. */
static void append_when_there_is_room(struct fx *fx, const char *stream)
{
	struct jstream *js = fx_stream(fx, stream);
	char body[BODY + 1];
	struct str part = { body, BODY };
	uint64_t lsn;

	body_of(body, stream, jstream_next(js));
	rounds_until(fx, journal_append(fx->j, js, jstream_next(js), &part, 1, &lsn) == 0);
}

/* Every segment holds a record of `old` between those of `busy`, and then busy is read. */
static void make_sparse(struct fx *fx, int segments)
{
	for (int i = 0; i < segments; i++) {
		append(fx, "old");
		for (int k = 0; k < (SEGMENT - FILE_HEADER) / (BODY + 60); k++)
			append(fx, "busy");
		round_of(fx, 1);
	}
	append(fx, "busy");
	assert_int_equal(
		jstream_trim(fx->j, fx_stream(fx, "busy"), jstream_next(fx_stream(fx, "busy"))), 0);
}

/* Reads a stream from `first` to its end: nothing is missing, twice, out of order, or changed. */
static void check_stream(struct fx *fx, const char *name, uint64_t first, uint64_t next)
{
	struct jstream *js = fx_stream(fx, name);
	char body[BODY + 1];

	if (jstream_first(js) > first || jstream_next(js) != next)
		fail_msg("%s: %ju to %ju, not %ju to %ju", name, (uintmax_t)jstream_first(js),
			 (uintmax_t)jstream_next(js), (uintmax_t)first, (uintmax_t)next);
	while (first < next) {
		assert_int_equal(fx_read(fx, js, first, 1 << 20), 0);
		for (size_t i = 0; i < fx->read_n; i++, first++) {
			assert_int_equal(fx->read_seq[i], first);
			assert_int_equal(fx->read_len[i], BODY);
			body_of(body, name, first);
			assert_memory_equal(fx->read_body[i], body, 31);
		}
	}
}

static void an_old_unread_message_holds_no_segment(void **state)
{
	struct fx *fx = *state;
	uint64_t before;

	make_sparse(fx, 30);
	before = fx_stats(fx).segments;
	assert_true(before >= 30);
	rounds_until(fx, fx_stats(fx).segments <= 8);
	assert_true(fx_stats(fx).disk_bytes < before * SEGMENT / 3);
	assert_int_equal(fx_stats(fx).records, 30);
	check_stream(fx, "old", 1, 31);
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	assert_int_equal(fx_stats(fx).records, 30);
	check_stream(fx, "old", 1, 31);
	append(fx, "old");
	check_stream(fx, "busy", jstream_next(fx_stream(fx, "busy")),
		     jstream_next(fx_stream(fx, "busy")));
}

static void a_short_quota_is_helped_too(void **state)
{
	struct fx *fx = *state;
	struct str part = STR("x");
	uint64_t lsn;
	int rc = 0;

	fx->o.quota_bytes = 6 * SEGMENT;
	fx_reopen(fx);
	for (int i = 0; rc == 0; i++) {
		struct jstream *js = fx_stream(fx, i % 25 == 5 ? "old" : "busy");
		char body[BODY + 1];

		body_of(body, i % 25 == 5 ? "old" : "busy", jstream_next(js));
		part = str_from(body);
		rc = journal_append(fx->j, js, jstream_next(js), &part, 1, &lsn);
		round_of(fx, 1);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(
		jstream_trim(fx->j, fx_stream(fx, "busy"), jstream_next(fx_stream(fx, "busy"))), 0);
	rounds_until(fx, fx_stats(fx).segments <= 4);
	for (int i = 0; i < 20; i++)
		append(fx, "busy");
	check_stream(fx, "old", 1, jstream_next(fx_stream(fx, "old")));
}

static void what_is_dense_is_left_alone(void **state)
{
	struct fx *fx = *state;
	uint64_t segments;

	for (int i = 0; i < 400; i++)
		append(fx, i % 2 ? "a" : "b");
	assert_int_equal(jstream_trim(fx->j, fx_stream(fx, "a"), 200), 0);
	for (int i = 0; i < 200; i++)
		round_of(fx, 50);
	segments = fx_stats(fx).segments;
	assert_true(segments > 8);
	assert_null(fx->j->compaction);
	assert_int_equal(fx->j->lsn, fx->j->seen.written);
	check_stream(fx, "b", 1, 201);
}

/* A disk that has what was synced, and nothing else: what a power cut leaves at the worst. */
static struct fx *traced;
static char synced_dir[80];

static void copy_file(const char *from_dir, const char *to_dir, const char *name)
{
	char from[512], to[512], bytes[4096];
	ssize_t n;
	int in, out;

	(void)snprintf(from, sizeof(from), "%s/%s", from_dir, name);
	(void)snprintf(to, sizeof(to), "%s/%s", to_dir, name);
	in = open(from, O_RDONLY);
	if (in < 0)
		return; /* it is gone by now */
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(out >= 0);
	while ((n = read(in, bytes, sizeof(bytes))) > 0)
		assert_int_equal(write(out, bytes, (size_t)n), n);
	(void)close(in);
	(void)close(out);
}

static void copy_dir(const char *from, const char *to)
{
	DIR *dir = opendir(from);

	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));)
		if (d->d_name[0] != '.')
			copy_file(from, to, d->d_name);
	(void)closedir(dir);
}

static int synced(int fd)
{
	char link[64], path[256] = "";

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	assert_true(readlink(link, path, sizeof(path) - 1) > 0);
	if (strcmp(path, traced->dir) != 0)
		copy_file(traced->dir, synced_dir, strrchr(path, '/') + 1);
	return 0;
}

static int traced_unlinkat(int dirfd, const char *name, int flags)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", synced_dir, name);
	(void)unlink(path);
	return unlinkat(dirfd, name, flags);
}

static int traced_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	char a[512], b[512];

	(void)snprintf(a, sizeof(a), "%s/%s", synced_dir, from);
	(void)snprintf(b, sizeof(b), "%s/%s", synced_dir, to);
	(void)rename(a, b);
	return renameat(from_dirfd, from, to_dirfd, to);
}

static uint64_t busy_next;

/* A start from a copy of what is there. */
static void check_start(const char *dir, uint64_t first, uint64_t next)
{
	struct fx fx;

	fx_init(&fx);
	fx.o.segment_bytes = SEGMENT;
	copy_dir(dir, fx.dir);
	fx_open(&fx);
	assert_int_equal(fx_stats(&fx).damaged, 0);
	check_stream(&fx, "old", first, next);
	check_stream(&fx, "other", jstream_first(fx_stream(&fx, "other")), 6);
	assert_int_equal(jstream_next(fx_stream(&fx, "busy")), busy_next);
	assert_int_equal(jstream_next(fx_stream(&fx, "dropped")), 1);
	fx_fini(&fx);
}

static void restarts_at_any_moment_serve_each_record_once(void **state)
{
	struct fx *fx = *state;
	uint64_t give_up = loop_now_us() + 3 * GUARD_US;
	int moments = 0;

	fx_close(fx);
	(void)snprintf(synced_dir, sizeof(synced_dir), "%s.synced", fx->dir);
	assert_int_equal(mkdir(synced_dir, 0700), 0);
	traced = fx;
	fx->sys.fdatasync = fx->sys.fsync = synced;
	fx->sys.unlinkat = traced_unlinkat;
	fx->sys.renameat = traced_renameat;
	fx_open(fx);
	append(fx, "dropped");
	for (int i = 0; i < 5; i++)
		append(fx, "other");
	assert_int_equal(jstream_drop(fx->j, fx_stream(fx, "dropped")), 0);
	make_sparse(fx, 14);
	assert_int_equal(jstream_trim(fx->j, fx_stream(fx, "old"), 3), 0);
	fx_until(fx, (journal_step_write(fx->j), journal_step_sync(fx->j),
		      journal_durable(fx->j) == fx->j->lsn));
	busy_next = jstream_next(fx_stream(fx, "busy"));
	while (fx_stats(fx).segments > 8 && loop_now_us() < give_up) {
		bool wrote, did;

		loop_test_advance(fx->loop, 50);
		(void)sched_yield();
		if (moments / 3 % 2 && journal_step_sync(fx->j)) /* before the writer came to it */
			check_start(synced_dir, 3, 15);
		wrote = journal_step_write(fx->j);
		if (wrote) {
			check_start(fx->dir, 3, 15); /* kill -9 */
			check_start(synced_dir, 3, 15);
			loop_turn(fx->loop);
			check_start(fx->dir, 3, 15);
		}
		did = journal_step_sync(fx->j);
		if (did) {
			check_start(fx->dir, 3, 15);
			check_start(synced_dir, 3, 15);
		}
		moments += 3 * wrote + 2 * did;
		loop_turn(fx->loop);
	}
	assert_true(fx_stats(fx).segments <= 8);
	assert_true(moments > 30);
	check_stream(fx, "old", 3, 15);
	fx->sys = journal_sys_real;
	fx_reopen(fx);
	check_stream(fx, "old", 3, 15);
	fx_wipe(synced_dir);
}

/* Until copies are appended and not yet written. */
static void until_copies_are_under_way(struct fx *fx)
{
	/* All else is written before it is even looked for a victim. */
	for (int i = 0; i < 50; i++)
		round_of(fx, 1);
	for (uint64_t end = loop_now_us() + GUARD_US; loop_now_us() < end;) {
		if (fx->j->compaction && fx->j->lsn > journal_written(fx->j))
			return;
		loop_test_advance(fx->loop, 50);
		(void)sched_yield();
	}
	fail_msg("no copies came");
}

static void settle_all(struct fx *fx)
{
	rounds_until(fx, fx_stats(fx).segments <= 8 && !fx->j->compaction &&
				 journal_durable(fx->j) == fx->j->lsn);
}

static void what_is_trimmed_while_its_copy_is_under_way_stays_trimmed(void **state)
{
	struct fx *fx = *state;

	make_sparse(fx, 14);
	until_copies_are_under_way(fx);
	assert_int_equal(jstream_trim(fx->j, fx_stream(fx, "old"), 13), 0);
	settle_all(fx);
	assert_int_equal(fx_stats(fx).records, 2);
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).records, 2);
	assert_int_equal(jstream_first(fx_stream(fx, "old")), 13);
	check_stream(fx, "old", 13, 15);
}

static void what_is_dropped_while_its_copy_is_under_way_stays_dropped(void **state)
{
	struct fx *fx = *state;

	make_sparse(fx, 14);
	until_copies_are_under_way(fx);
	assert_int_equal(jstream_drop(fx->j, fx_stream(fx, "old")), 0);
	append(fx, "old");
	settle_all(fx);
	assert_int_equal(fx_stats(fx).records, 1);
	check_stream(fx, "old", 1, 2);
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).records, 1);
	check_stream(fx, "old", 1, 2);
}

static void what_expires_while_its_copy_is_under_way_is_gone(void **state)
{
	struct fx *fx = *state;

	jstream_set_max_age(fx_stream(fx, "old"), 60000);
	make_sparse(fx, 14);
	until_copies_are_under_way(fx);
	fx->wall_ms += 61000 + 1000;
	settle_all(fx);
	rounds_until(fx, fx_stats(fx).records == 0);
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).records, 0);
	assert_int_equal(jstream_first(fx_stream(fx, "old")), 15);
}

static void a_copy_keeps_the_age_of_its_record(void **state)
{
	struct fx *fx = *state;

	jstream_set_max_age(fx_stream(fx, "old"), 600000);
	make_sparse(fx, 14);
	fx->wall_ms += 500000;
	settle_all(fx);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fx_stats(fx).records, 14);
		fx_reopen(fx);
		jstream_set_max_age(fx_stream(fx, "old"), 600000);
		round_of(fx, 20000);
	}
	fx->wall_ms += 101000;
	rounds_until(fx, fx_stats(fx).records == 0);
}

static void flip(const struct fx *fx, const char *name, size_t at)
{
	size_t n;
	char *bytes = fx_slurp(fx, name, &n);

	bytes[at] ^= 1;
	fx_spill(fx, name, bytes, n);
	free(bytes);
}

static void damage_in_the_victim_costs_only_what_is_damaged(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;
	size_t body, header;

	append(fx, "old");
	body = fx->j->current->end + RECORD_HEADER;
	append(fx, "old");
	append(fx, "old");
	header = fx->j->current->end + 16;
	append(fx, "old");
	append(fx, "old");
	make_sparse(fx, 14);
	fx_until(fx, (journal_step_write(fx->j), journal_step_sync(fx->j),
		      journal_durable(fx->j) == fx->j->lsn));
	flip(fx, "00000001.vbj", body);
	flip(fx, "00000001.vbj", header);
	/* The header of number 4 can't be found: its segment stays until a reader has noticed. */
	fx->j->options.quota_bytes = SEGMENT; /* short: all that can be emptied is */
	rounds_until(fx, fx->j->slots[0]->compacted);
	assert_int_equal(fx_stats(fx).damaged, 1);
	js = fx_stream(fx, "old");
	assert_int_equal(fx_read(fx, js, 1, 1 << 20), 0);
	assert_int_equal(fx_stats(fx).damaged, 2);
	assert_int_equal(fx->read_n, 17);
	assert_int_equal(fx->read_seq[0], 1);
	assert_int_equal(fx->read_seq[1], 3);
	assert_int_equal(fx->read_seq[2], 5);
	assert_int_equal(fx->read_seq[16], 19);
	rounds_until(fx, fx->j->slots[0] == NULL || fx->j->slots[0]->number != 1);
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).records, 17);
	assert_int_equal(fx_stats(fx).damaged, 0);
}

static bool disk_full;

static int full_fallocate(int fd, int mode, off_t at, off_t n)
{
	if (disk_full) {
		errno = ENOSPC;
		return -1;
	}
	return fallocate(fd, mode, at, n);
}

static ssize_t full_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	if (disk_full) {
		errno = ENOSPC;
		return -1;
	}
	return pwritev(fd, iov, n, at);
}

static void a_full_disk_only_delays_it(void **state)
{
	struct fx *fx = *state;

	fx->sys.fallocate = full_fallocate;
	fx->sys.pwritev = full_pwritev;
	disk_full = false;
	fx_reopen(fx);
	make_sparse(fx, 14);
	until_copies_are_under_way(fx);
	disk_full = true;
	for (int i = 0; i < 300; i++)
		round_of(fx, 50);
	assert_true(fx_stats(fx).segments > 8);
	disk_full = false;
	settle_all(fx);
	assert_int_equal(fx->failed, 0);
	check_stream(fx, "old", 1, 15);
	fx_reopen(fx);
	check_stream(fx, "old", 1, 15);
}

static atomic_int reads_held;

/* A reader that comes so late that its segment is something else by then. */
static ssize_t late_pread(int fd, void *p, size_t n, off_t at)
{
	if (n != record_size(BODY) || atomic_load(&reads_held) != 1)
		return pread(fd, p, n, at);
	while (atomic_load(&reads_held) == 1)
		(void)sched_yield();
	memset(p, 0x55, n);
	return (ssize_t)n;
}

static void a_reader_that_comes_late_reads_the_copy(void **state)
{
	struct fx *fx = *state;
	char body[BODY + 1];

	fx->sys.pread = late_pread;
	fx_reopen(fx);
	make_sparse(fx, 14);
	for (int i = 0; i < 10; i++)
		round_of(fx, 1);
	fx->read_done = false;
	atomic_store(&reads_held, 1);
	assert_int_equal(journal_read(fx->j, fx_stream(fx, "old"), 1, 1 << 20, fx_on_read, fx), 0);
	settle_all(fx);
	assert_true(fx->j->slots[0] == NULL || fx->j->slots[0]->number != 1);
	assert_false(fx->read_done);
	atomic_store(&reads_held, 0);
	fx_until(fx, fx->read_done);
	assert_int_equal(fx->read_n, 14);
	body_of(body, "old", 1);
	assert_memory_equal(fx->read_body[0], body, 31);
	assert_int_equal(fx_stats(fx).damaged, 0);
}

static void a_record_longer_than_a_piece_is_copied(void **state)
{
	struct fx *fx = *state;
	struct str big = { calloc(1, 700000), 700000 };
	struct jstream *js;
	uint64_t lsn;
	int rc = 0;

	fx->o.segment_bytes = 4 << 20;
	fx->o.quota_bytes = 16 << 20;
	fx_reopen(fx);
	js = fx_stream(fx, "big");
	assert_int_equal(journal_append(fx->j, js, 1, &big, 1, &lsn), 0);
	for (int i = 0; rc == 0; i++) {
		rc = journal_append(fx->j, fx_stream(fx, "busy"),
				    jstream_next(fx_stream(fx, "busy")), &big, 1, &lsn);
		round_of(fx, 1);
	}
	assert_int_equal(
		jstream_trim(fx->j, fx_stream(fx, "busy"), jstream_next(fx_stream(fx, "busy"))), 0);
	rounds_until(fx, fx_stats(fx).segments <= 2 &&
				 (!fx->j->slots[0] || fx->j->slots[0]->number != 1));
	assert_int_equal(fx_read(fx, js, 1, 10), 0);
	assert_int_equal(fx->read_len[0], 700000);
	fx_reopen(fx);
	assert_int_equal(fx_read(fx, fx_stream(fx, "big"), 1, 10), 0);
	assert_int_equal(fx->read_len[0], 700000);
	free((char *)big.p);
}

enum { STREAMS = 12, TURNS = 6000 };

/* What a reader may expect of a stream. */
struct model {
	uint64_t first, next;
};

static void check_model(struct fx *fx, const struct model *model)
{
	char name[16];

	rounds_until(fx, journal_written(fx->j) == fx->j->lsn);
	for (int i = 0; i < STREAMS; i++) {
		(void)snprintf(name, sizeof(name), "s%d", i);
		check_stream(fx, name, model[i].first, model[i].next);
		assert_int_equal(jstream_first(fx_stream(fx, name)), model[i].first);
	}
}

static void act(struct fx *fx, struct model *m, int i, unsigned dice)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "s%d", i);
	if (dice == 0 && i > 1) {
		assert_int_equal(jstream_drop(fx->j, fx_stream(fx, name)), 0);
		*m = (struct model){ 1, 1 };
	} else if (dice < 6 && i > 1) {
		m->first += (m->next - m->first + 1) / 2;
		if (dice < 3)
			m->first = m->next;
		assert_int_equal(jstream_trim(fx->j, fx_stream(fx, name), m->first), 0);
	} else if (i > 1 || dice < 10) { /* the first two are rarely written and never read */
		append_when_there_is_room(fx, name);
		m->next++;
	}
}

static void anything_in_any_order_comes_to_the_same(void **state)
{
	struct fx *fx = *state;
	struct model model[STREAMS];
	uint64_t seed = 20261121;

	for (int i = 0; i < STREAMS; i++)
		model[i] = (struct model){ 1, 1 };
	fx->o.quota_bytes = 40 * SEGMENT;
	fx_reopen(fx);
	for (int t = 0; t < TURNS; t++) {
		unsigned r;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		r = (unsigned)(seed >> 33);
		act(fx, &model[r % STREAMS], (int)(r % STREAMS), r / STREAMS % 40);
		if (r / 512 % 4 == 0)
			round_of(fx, 30);
		if (r / 2048 % 512 == 0)
			fx_reopen(fx);
		if (r / 2048 % 256 == 1)
			check_model(fx, model);
	}
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	check_model(fx, model);
}

#define COMPACT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COMPACT_TEST(an_old_unread_message_holds_no_segment),
		COMPACT_TEST(a_short_quota_is_helped_too),
		COMPACT_TEST(what_is_dense_is_left_alone),
		COMPACT_TEST(restarts_at_any_moment_serve_each_record_once),
		COMPACT_TEST(what_is_trimmed_while_its_copy_is_under_way_stays_trimmed),
		COMPACT_TEST(what_is_dropped_while_its_copy_is_under_way_stays_dropped),
		COMPACT_TEST(what_expires_while_its_copy_is_under_way_is_gone),
		COMPACT_TEST(a_copy_keeps_the_age_of_its_record),
		COMPACT_TEST(damage_in_the_victim_costs_only_what_is_damaged),
		COMPACT_TEST(a_full_disk_only_delays_it),
		COMPACT_TEST(a_reader_that_comes_late_reads_the_copy),
		COMPACT_TEST(a_record_longer_than_a_piece_is_copied),
		COMPACT_TEST(anything_in_any_order_comes_to_the_same),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT, stderr);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
