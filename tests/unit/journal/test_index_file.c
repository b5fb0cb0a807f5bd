/* SPDX-License-Identifier: MIT */
/* Index files: what a restart reads instead of segments, and what it does when they are bad. */
#include "fixture.h"

#include <sys/stat.h>

#include "journal/index_file.h"

enum { STREAMS = 3, RECORDS = 300 };

static size_t bytes_read;

static ssize_t counting_pread(int fd, void *p, size_t n, off_t at)
{
	ssize_t got = pread(fd, p, n, at);

	bytes_read += got > 0 ? (size_t)got : 0;
	return got;
}

static int index_setup(void **state)
{
	struct fx *fx = malloc(sizeof(*fx));

	fx_init(fx);
	fx->sys.pread = counting_pread;
	fx_open(fx);
	*state = fx;
	return 0;
}

/* Three streams over some segments, one of them trimmed, one dropped and made anew. */
static void fill(struct fx *fx)
{
	char text[600], name[8];

	for (int i = 1; i <= RECORDS; i++) {
		(void)snprintf(name, sizeof(name), "s%d", i % STREAMS);
		(void)snprintf(text, sizeof(text), "%-500d", i);
		(void)fx_append(fx, fx_stream(fx, name), text);
	}
	assert_int_equal(jstream_trim(fx->j, fx_stream(fx, "s1"), 90), 0);
	assert_int_equal(jstream_drop(fx->j, fx_stream(fx, "s2")), 0);
	(void)fx_append(fx, fx_stream(fx, "s2"), "second life");
	assert_true(fx_stats(fx).segments >= 3);
}

static void check(struct fx *fx)
{
	assert_int_equal(fx_stats(fx).damaged + fx_stats(fx).torn_bytes, 0);
	assert_int_equal(jstream_first(fx_stream(fx, "s0")), 1);
	assert_int_equal(jstream_next(fx_stream(fx, "s0")), 101);
	assert_int_equal(jstream_first(fx_stream(fx, "s1")), 90);
	assert_int_equal(jstream_next(fx_stream(fx, "s1")), 101);
	assert_int_equal(jstream_next(fx_stream(fx, "s2")), 2);
	assert_int_equal(fx_read(fx, fx_stream(fx, "s2"), 1, 1000), 0);
	assert_string_equal(fx->read_body[0], "second life");
	for (uint64_t seq = 1; seq <= 100; seq = fx->read_seq[fx->read_n - 1] + 1) {
		assert_int_equal(fx_read(fx, fx_stream(fx, "s0"), seq, 100000), 0);
		for (size_t i = 0; i < fx->read_n; i++)
			assert_int_equal(strtoul(fx->read_body[i], NULL, 10), 3 * fx->read_seq[i]);
	}
}

static void a_clean_restart_reads_no_bodies(void **state)
{
	struct fx *fx = *state;

	fill(fx);
	for (int i = 0; i < 3; i++) {
		fx_close(fx);
		bytes_read = 0;
		fx_open(fx);
		assert_in_range(bytes_read, 10000, 60000); /* of 160,000 */
		check(fx);
	}
}

static void what_was_appended_after_a_restart_is_found(void **state)
{
	struct fx *fx = *state;

	fill(fx);
	fx_reopen(fx);
	for (int i = 0; i < 3; i++) {
		char text[16];

		check(fx);
		(void)snprintf(text, sizeof(text), "later %d", i);
		(void)fx_append(fx, fx_stream(fx, "later"), text);
		fx_reopen(fx);
	}
	assert_int_equal(fx_read(fx, fx_stream(fx, "later"), 1, 1000), 0);
	assert_int_equal(fx->read_n, 3);
	assert_string_equal(fx->read_body[2], "later 2");
}

/* As kill -9 leaves it: what was written is there, the index of the current segment is not. */
static void an_old_index_file_hides_nothing_behind_it(void **state)
{
	struct fx *fx = *state;
	char name[FILE_NAME_SIZE], *bytes;
	size_t n;

	fill(fx);
	fx_close(fx);
	fx_open(fx);
	index_file_name(name, fx->j->current->number);
	bytes = fx_slurp(fx, name, &n);
	(void)fx_append(fx, fx_stream(fx, "later"), "behind the index");
	fx_close(fx);
	fx_spill(fx, name, bytes, n);
	free(bytes);
	fx_open(fx);
	check(fx);
	assert_int_equal(fx_read(fx, fx_stream(fx, "later"), 1, 1000), 0);
	assert_string_equal(fx->read_body[0], "behind the index");
}

static void a_bad_index_file_is_not_used(void **state)
{
	struct fx *fx = *state;
	char *bytes;
	size_t n;

	fill(fx);
	fx_close(fx);
	bytes = fx_slurp(fx, "00000001.vbi", &n);
	for (size_t at = 0; at < n; at += at < 200 || at + 100 > n ? 1 : 97) {
		bytes[at] ^= 32;
		fx_spill(fx, "00000001.vbi", bytes, at % 2 ? n : at);
		bytes[at] ^= 32;
		fx_open(fx);
		check(fx);
		fx_close(fx);
	}
	free(bytes);
	/* One of another life of that number. */
	bytes = fx_slurp(fx, "00000002.vbi", &n);
	fx_spill(fx, "00000001.vbi", bytes, n);
	free(bytes);
	fx_open(fx);
	check(fx);
}

static void an_index_file_goes_with_its_segment(void **state)
{
	struct fx *fx = *state;
	uint64_t first;
	char path[128];

	fill(fx);
	fx_reopen(fx);
	for (int i = 0; i < STREAMS; i++) {
		struct jstream *js = fx_stream(fx, (const char *[]){ "s0", "s1", "s2" }[i]);

		assert_int_equal(jstream_trim(fx->j, js, jstream_next(js)), 0);
	}
	first = fx_stats(fx).segments;
	loop_test_advance(fx->loop, 100);
	fx_until(fx, fx_stats(fx).segments < first);
	fx_until(fx, fx_stats(fx).segments == 1);
	(void)snprintf(path, sizeof(path), "%s/00000001.vbi", fx->dir);
	assert_int_equal(access(path, F_OK), -1);
}

/* The segment behind is lost in a power cut, and the sealed one is written on. */
static void a_sealed_segment_that_is_written_on_loses_its_seal(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;
	char name[FILE_NAME_SIZE], path[128];
	uint64_t number;

	fill(fx);
	js = fx_stream(fx, "s0");
	number = fx->j->current->number;
	fx_settle(fx, fx_append(fx, js, "x"));
	fx_close(fx);
	file_name(name, number);
	(void)snprintf(path, sizeof(path), "%s/%s", fx->dir, name);
	assert_int_equal(unlink(path), 0);
	fx_open(fx);
	assert_int_equal(fx->j->current->number, number - 1);
	(void)fx_append(fx, fx_stream(fx, "after"), "y");
	index_file_name(name, number - 1);
	assert_int_equal(faccessat(fx->j->dirfd, name, F_OK, 0), -1);
	fx_reopen(fx);
	assert_int_equal(jstream_next(fx_stream(fx, "after")), 2);
}

static void an_index_file_without_a_segment_is_removed(void **state)
{
	struct fx *fx = *state;
	char path[128];

	fill(fx);
	fx_close(fx);
	fx_spill(fx, "00000777.vbi", "left over", 9);
	fx_open(fx);
	check(fx);
	(void)snprintf(path, sizeof(path), "%s/00000777.vbi", fx->dir);
	assert_int_equal(access(path, F_OK), -1);
	(void)snprintf(path, sizeof(path), "%s/00000001.vbi", fx->dir);
	assert_int_equal(access(path, F_OK), 0);
}

static ssize_t failing_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	char path[64], name[256];
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, name, sizeof(name) - 1);
	name[len > 0 ? len : 0] = 0;
	if (strstr(name, ".vbi")) {
		errno = ENOSPC;
		return -1;
	}
	return pwritev(fd, iov, n, at);
}

static void an_index_file_that_cannot_be_written_is_missed_by_nobody(void **state)
{
	struct fx *fx = *state;
	char path[128];

	fx->sys.pwritev = failing_pwritev;
	fx_reopen(fx);
	fill(fx);
	fx_reopen(fx);
	check(fx);
	assert_int_equal(fx->failed, 0);
	(void)snprintf(path, sizeof(path), "%s/00000001.vbi", fx->dir);
	assert_int_equal(access(path, F_OK), -1);
}

#define INDEX_TEST(fn) cmocka_unit_test_setup_teardown(fn, index_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		INDEX_TEST(a_clean_restart_reads_no_bodies),
		INDEX_TEST(what_was_appended_after_a_restart_is_found),
		INDEX_TEST(an_old_index_file_hides_nothing_behind_it),
		INDEX_TEST(a_bad_index_file_is_not_used),
		INDEX_TEST(an_index_file_goes_with_its_segment),
		INDEX_TEST(a_sealed_segment_that_is_written_on_loses_its_seal),
		INDEX_TEST(an_index_file_without_a_segment_is_removed),
		INDEX_TEST(an_index_file_that_cannot_be_written_is_missed_by_nobody),
	};

	log_setup(LOG_WARN, LOG_LOGFMT, stderr);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
