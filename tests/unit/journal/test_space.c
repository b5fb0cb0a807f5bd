/* SPDX-License-Identifier: MIT */
/* Where segments come from: spares, made ahead or recycled; a full disk, and how it gets room. */
#include "fixture.h"

#include <sys/stat.h>

static bool disk_full;
static size_t allocations;

static int counting_fallocate(int fd, int mode, off_t at, off_t n)
{
	allocations++;
	if (disk_full) {
		errno = ENOSPC;
		return -1;
	}
	return fallocate(fd, mode, at, n);
}

static int space_setup(void **state)
{
	struct fx *fx = malloc(sizeof(*fx));

	fx_init(fx);
	disk_full = false;
	fx->stepped = true;
	fx->o.nosync = false;
	fx->o.segment_bytes = 65536;
	fx->sys.fallocate = counting_fallocate;
	fx_open(fx);
	*state = fx;
	return 0;
}

/* Lets everything happen that is due. */
static void work(struct fx *fx)
{
	for (int i = 0; i < 4; i++) {
		loop_test_advance(fx->loop, 300);
		loop_turn(fx->loop);
		(void)journal_step_write(fx->j);
		(void)journal_step_sync(fx->j);
		loop_turn(fx->loop);
	}
}

static int try_append(struct fx *fx)
{
	struct jstream *js = fx_stream(fx, "s");
	char body[1000];
	struct str part = { body, sizeof(body) };
	uint64_t lsn;

	memset(body, 'a' + (int)(jstream_next(js) % 26), sizeof(body));
	return journal_append(fx->j, js, jstream_next(js), &part, 1, &lsn);
}

static void append_some(struct fx *fx, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(try_append(fx), 0);
		if (i % 10 == 0)
			work(fx);
	}
	work(fx);
}

static void trim_all(struct fx *fx)
{
	struct jstream *js = fx_stream(fx, "s");

	assert_int_equal(jstream_trim(fx->j, js, jstream_next(js)), 0);
	work(fx);
}

static ino_t inode(const struct fx *fx, const char *name)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", fx->dir, name);
	return stat(path, &st) < 0 ? 0 : st.st_ino;
}

static void a_dead_segment_is_used_again(void **state)
{
	struct fx *fx = *state;
	ino_t first;

	append_some(fx, 70);
	first = inode(fx, "00000001.vbj");
	trim_all(fx);
	assert_int_equal(inode(fx, "00000001.vbj"), 0);
	assert_true(inode(fx, "spare-1.vbj") == first || inode(fx, "spare-2.vbj") == first);
	append_some(fx, 120);
	assert_int_equal(fx_stats(fx).segments, 3);
	assert_true(inode(fx, "00000003.vbj") == first || inode(fx, "00000004.vbj") == first);
	for (int i = 0; i < 2; i++) {
		fx_reopen(fx);
		assert_int_equal(fx_stats(fx).records, 120);
		assert_int_equal(fx_stats(fx).damaged + fx_stats(fx).torn_bytes, 0);
		assert_int_equal(jstream_first(fx_stream(fx, "s")), 71);
	}
}

static void the_next_segment_is_there_before_it_is_needed(void **state)
{
	struct fx *fx = *state;
	size_t before;

	append_some(fx, 40); /* over half of the first */
	assert_int_not_equal(inode(fx, "spare-1.vbj"), 0);
	before = allocations;
	while (fx->j->current->number == 1)
		assert_int_equal(try_append(fx), 0);
	work(fx);
	assert_int_equal(allocations, before);
	assert_int_equal(inode(fx, "spare-1.vbj"), 0);
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).damaged + fx_stats(fx).torn_bytes, 0);
}

static void a_restart_keeps_the_spares(void **state)
{
	struct fx *fx = *state;
	ino_t spare;

	append_some(fx, 40);
	spare = inode(fx, "spare-1.vbj");
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).disk_bytes / 65536, 2);
	append_some(fx, 40);
	assert_int_equal(inode(fx, "00000002.vbj"), spare);
	append_some(fx, 10);
	fx->o.segment_bytes = 131072; /* of another size it is of no use */
	append_some(fx, 20);
	fx_reopen(fx);
	assert_int_equal(inode(fx, "spare-1.vbj"), 0);
}

/* On a full file system reading alone makes room: nothing else is done here but trims. */
static void reading_frees_room_on_a_full_disk(void **state)
{
	struct fx *fx = *state;
	int rc;

	append_some(fx, 130);
	disk_full = true;
	for (int round = 0; round < 20; round++) {
		struct jstream *js = fx_stream(fx, "s");
		size_t n = 0;

		while ((rc = try_append(fx)) == 0 && n++ < 1000)
			if (n % 5 == 0)
				work(fx);
		assert_int_equal(rc, -ENOSPC);
		work(fx);
		assert_int_equal(journal_written(fx->j), fx->j->lsn); /* nothing waits for room */
		assert_false(fx->j->seen.stalled);
		assert_true(n > 0 || round == 0);
		assert_int_equal(jstream_trim(fx->j, js, jstream_next(js) - 5), 0);
		work(fx);
		work(fx);
	}
	assert_int_equal(fx->failed, 0);
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).damaged + fx_stats(fx).torn_bytes, 0);
	assert_int_equal(fx_stats(fx).records, 5);
	disk_full = false;
	work(fx);
	append_some(fx, 100);
}

static void the_quota_counts_spares(void **state)
{
	struct fx *fx = *state;
	int rc = 0;

	fx->o.quota_bytes = 5 * 65536;
	fx_reopen(fx);
	for (int round = 0; round < 5; round++) {
		while ((rc = try_append(fx)) == 0) {
			work(fx);
			assert_true(fx_stats(fx).disk_bytes <= 5 * 65536 + (2 << 20));
			assert_true(segments_bytes(fx->j) <= 5 * 65536);
		}
		assert_int_equal(rc, -ENOSPC);
		trim_all(fx);
	}
}

/* Power is cut while a recycled segment is written: nothing of its former life comes back. */
static void a_recycled_segment_is_torn_like_any_other(void **state)
{
	struct fx *fx = *state;
	char name[FILE_NAME_SIZE], *old, *now;
	size_t n, m, k, at;
	uint64_t next, number;
	char *states;

	append_some(fx, 70);
	trim_all(fx);
	while (fx->j->current->number < 3)
		append_some(fx, 1);
	append_some(fx, 3);
	at = fx->j->current->end;
	number = fx->j->current->number;
	next = jstream_next(fx_stream(fx, "s"));
	file_name(name, number);
	old = fx_slurp(fx, name, &n);
	append_some(fx, 0);
	assert_int_equal(try_append(fx), 0);
	assert_int_equal(try_append(fx), 0);
	loop_turn(fx->loop);
	loop_turn(fx->loop);
	(void)journal_step_write(fx->j);
	now = fx_slurp(fx, name, &m);
	states = fx_slurp(fx, "state.log", &k);
	assert_int_equal(n, m);
	memcpy(now + at, old + at, 512); /* the first sector never came to the disk */
	fx_close(fx);
	index_file_name(name, number);
	(void)unlinkat(AT_FDCWD, name, 0);
	file_name(name, number);
	fx_spill(fx, name, now, m);
	fx_spill(fx, "state.log", states, k);
	(void)snprintf(name, sizeof(name), "%08d.vbi", (int)number);
	fx_spill(fx, name, "", 0);
	free(old);
	free(now);
	free(states);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).damaged, 0);
	assert_true(fx_stats(fx).torn_bytes > 0);
	assert_int_equal(jstream_next(fx_stream(fx, "s")), next);
	fx_reopen(fx);
	assert_int_equal(jstream_next(fx_stream(fx, "s")), next);
}

static void a_segment_that_is_being_read_is_not_recycled(void **state)
{
	struct fx *fx = *state;
	struct file *reading;
	ino_t first;

	append_some(fx, 70);
	first = inode(fx, "00000001.vbj");
	reading = file_ref(fx->j->slots[0]->file); /* as a read has one */
	trim_all(fx);
	assert_int_equal(inode(fx, "00000001.vbj"), 0);
	assert_int_not_equal(inode(fx, "spare-1.vbj"), first);
	assert_int_not_equal(inode(fx, "spare-2.vbj"), first);
	(void)file_unref(reading);
}

#define SPACE_TEST(fn) cmocka_unit_test_setup_teardown(fn, space_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPACE_TEST(a_dead_segment_is_used_again),
		SPACE_TEST(the_next_segment_is_there_before_it_is_needed),
		SPACE_TEST(a_restart_keeps_the_spares),
		SPACE_TEST(reading_frees_room_on_a_full_disk),
		SPACE_TEST(the_quota_counts_spares),
		SPACE_TEST(a_recycled_segment_is_torn_like_any_other),
		SPACE_TEST(a_segment_that_is_being_read_is_not_recycled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
