/* SPDX-License-Identifier: MIT */
/* What comes back after something went wrong: torn tails, flipped bits, kill -9. */
#include "fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/log.h"
#include "journal/le.h"

static const char segment_one[] = "00000001.vbj", index_one[] = "00000001.vbi";

static void remove_index(const struct fx *fx)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", fx->dir, index_one);
	(void)unlink(path);
}

static void open_small(struct fx *fx)
{
	fx_close(fx);
	fx_wipe(fx->dir);
	fx->o.segment_bytes = 8192;
	fx_open(fx);
}

static void torn_tail_is_cut_at_every_byte(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;
	size_t n, start, size;
	char *bytes;

	open_small(fx);
	js = fx_stream(fx, "s");
	(void)fx_append(fx, js, "first");
	(void)fx_append(fx, js, "second");
	start = fx->j->current->end;
	(void)fx_append(fx, js, "the last, of 24 bytes...");
	size = fx->j->current->end - start;
	fx_close(fx);
	bytes = fx_slurp(fx, segment_one, &n);
	for (size_t cut = 0; cut < 2 * size; cut++) {
		bool whole = cut / 2 == size;
		char *torn = malloc(n);

		/* Once the file ends there, once zeros follow. */
		memcpy(torn, bytes, n);
		memset(torn + start + cut / 2, 0, n - start - cut / 2);
		fx_spill(fx, segment_one, torn, cut % 2 ? n : start + cut / 2);
		remove_index(fx);
		free(torn);
		fx_open(fx);
		js = fx_stream(fx, "s");
		assert_int_equal(jstream_next(js), whole ? 4 : 3);
		assert_int_equal(fx_stats(fx).damaged, 0);
		assert_true(cut / 2 == 0 || fx_stats(fx).torn_bytes > 0);
		fx_settle(fx, fx_append(fx, js, "new"));
		fx_reopen(fx);
		assert_int_equal(fx_stats(fx).torn_bytes, 0);
		js = fx_stream(fx, "s");
		assert_int_equal(fx_read(fx, js, 1, 1000), 0);
		assert_int_equal(fx->read_n, 3);
		assert_string_equal(fx->read_body[1], "second");
		assert_string_equal(fx->read_body[2], "new");
		fx_close(fx);
	}
	free(bytes);
	fx_open(fx);
}

/* All that is served of a stream is as it was; returns how many of 1..n are missing. */
static size_t check_stream(struct fx *fx, const char *name, size_t n)
{
	struct jstream *js = fx_stream(fx, name);
	char want[32];
	size_t found;

	if (fx_read(fx, js, 1, 100000) == -ENOENT)
		return n;
	assert_int_equal(fx->read_rc, 0);
	found = fx->read_n;
	assert_true(found <= n);
	for (size_t i = 0; i < found; i++) {
		(void)snprintf(want, sizeof(want), "%s %d", name, (int)fx->read_seq[i]);
		assert_string_equal(fx->read_body[i], want);
	}
	return n - found;
}

/* index: of the sound segment, NULL = there is none. */
static void one_flip(struct fx *fx, char *bytes, size_t n, size_t bit, struct str index)
{
	struct journal_stats st;
	size_t missing;

	bytes[bit / 8] ^= (char)(1 << bit % 8);
	fx_spill(fx, segment_one, bytes, n);
	bytes[bit / 8] ^= (char)(1 << bit % 8);
	remove_index(fx);
	if (index.p)
		fx_spill(fx, index_one, index.p, index.n);
	fx_open(fx);
	missing = check_stream(fx, "alpha", 3) + check_stream(fx, "beta", 2);
	st = fx_stats(fx);
	if (missing > 1)
		fail_msg("bit %zu of byte %zu: %zu records lost", bit % 8, bit / 8, missing);
	if (missing && !st.damaged && !st.torn_bytes)
		fail_msg("bit %zu of byte %zu: a loss without a report", bit % 8, bit / 8);
	fx_close(fx);
}

static void no_flipped_bit_is_served_and_neighbours_stay(void **state)
{
	struct fx *fx = *state;
	char text[32];
	struct str index;
	size_t n, end;
	char *bytes;

	open_small(fx);
	for (int i = 1; i <= 3; i++) {
		(void)snprintf(text, sizeof(text), "alpha %d", i);
		(void)fx_append(fx, fx_stream(fx, "alpha"), text);
		(void)snprintf(text, sizeof(text), "beta %d", i);
		if (i < 3)
			(void)fx_append(fx, fx_stream(fx, "beta"), text);
	}
	end = fx->j->current->end;
	fx_close(fx);
	bytes = fx_slurp(fx, segment_one, &n);
	index.p = fx_slurp(fx, index_one, &index.n);
	for (size_t at = 0; at < end; at++) {
		/* Between the headers there are only zeros: one bit in 64 bytes is enough. */
		bool zeros = at < FILE_HEADER && at % FILE_HEADER_COPY >= 64;

		for (size_t bit = 0; bit < 8 && !(zeros && (at % 64 || bit)); bit++) {
			one_flip(fx, bytes, n, at * 8 + bit, str_make(NULL, 0));
			one_flip(fx, bytes, n, at * 8 + bit, index);
		}
	}
	free(bytes);
	free((char *)index.p);
	fx_open(fx);
}

static void a_state_with_a_flipped_bit_is_not_served(void **state)
{
	struct fx *fx = *state;
	uint64_t lsn;
	size_t n;
	char *bytes;

	assert_int_equal(journal_put(fx->j, STR("key"), STR("value"), &lsn), 0);
	assert_int_equal(journal_put(fx->j, STR("other"), STR("value"), &lsn), 0);
	fx_close(fx);
	bytes = fx_slurp(fx, "state.log", &n);
	for (size_t at = FILE_HEADER; at < FILE_HEADER + 2 * record_size(2 + 8); at++) {
		bytes[at] ^= 16;
		fx_spill(fx, "state.log", bytes, n);
		bytes[at] ^= 16;
		fx_open(fx);
		assert_true(fx_stats(fx).states >= 1);
		assert_true(fx_stats(fx).states == 2 || fx_stats(fx).damaged ||
			    fx_stats(fx).torn_bytes);
		fx_close(fx);
	}
	free(bytes);
	fx_open(fx);
}

static void damage_found_by_a_read_is_left_out(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "s");
	char path[128];
	size_t at;
	int fd;

	(void)fx_append(fx, js, "one");
	at = fx->j->current->end;
	(void)fx_append(fx, js, "two");
	fx_settle(fx, fx_append(fx, js, "three"));
	(void)snprintf(path, sizeof(path), "%s/%s", fx->dir, segment_one);
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)at + RECORD_HEADER), 1);
	(void)close(fd);
	assert_int_equal(fx_read(fx, js, 2, 1), 0);
	assert_int_equal(fx->read_n, 1);
	assert_int_equal(fx->read_seq[0], 3);
	assert_int_equal(fx_stats(fx).damaged, 1);
	assert_int_equal(fx_read(fx, js, 1, 1000), 0);
	assert_int_equal(fx->read_n, 2);
}

static void recycled_segment_shows_nothing_of_its_past(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;
	struct file_header h;
	size_t n, m, end;
	char *old, *now;
	bool damaged;

	open_small(fx);
	js = fx_stream(fx, "old");
	for (int i = 0; i < 20; i++)
		(void)fx_append(fx, js, "a record of the former use of these bytes");
	fx_close(fx);
	old = fx_slurp(fx, segment_one, &n);
	fx_wipe(fx->dir);
	fx_open(fx);
	js = fx_stream(fx, "new");
	(void)fx_append(fx, js, "one");
	end = fx->j->current->end;
	fx_close(fx);
	now = fx_slurp(fx, segment_one, &m);
	assert_int_equal(n, m);
	assert_int_equal(file_header_read(str_make(now, m), &h, &damaged), 1);
	memcpy(old, now, end);
	fx_spill(fx, segment_one, old, n);
	free(old);
	free(now);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).records, 1);
	assert_int_equal(fx_stats(fx).streams, 1);
	assert_int_equal(fx_stats(fx).damaged, 0);
	assert_true(fx_stats(fx).torn_bytes > 0);
}

static void a_later_version_is_refused(void **state)
{
	struct fx *fx = *state;
	struct file_header h = { FILE_SEGMENT, FILE_VERSION + 1, 0, 1, 7, 8192, 1 };
	char bytes[FILE_HEADER];
	struct journal *j;
	struct err e;

	fx_close(fx);
	file_header_write(bytes, &h);
	fx_spill(fx, segment_one, bytes, sizeof(bytes));
	assert_int_equal(fx_try_open(fx, &j, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "later version"));
	fx_wipe(fx->dir);
	fx_open(fx);
}

enum { KILL_AFTER = 3000, CHILD_MAX = 200000 };

/* Appends for ever and tells through the pipe up to which number all is written. */
static void child_appends(struct fx *fx, int out)
{
	static uint64_t lsns[CHILD_MAX];
	uint64_t told = 0, seq = 1, lsn;
	struct jstream *js;
	char text[8];

	if (loop_create(&fx->loop) < 0)
		_exit(1);
	fx_open(fx);
	js = fx_stream(fx, "s");
	while (seq < CHILD_MAX - 10) {
		struct str part = { text, sizeof(text) };

		for (int i = 0; i < 7; i++, seq++) {
			le64_put(text, seq);
			if (journal_append(fx->j, js, seq, &part, 1, &lsns[seq]) < 0)
				break;
		}
		if (journal_put(fx->j, STR("count"), part, &lsn) < 0)
			_exit(1);
		loop_turn(fx->loop);
		while (told + 1 < seq && lsns[told + 1] <= journal_written(fx->j))
			told++;
		if (write(out, &told, sizeof(told)) != sizeof(told))
			_exit(1);
	}
	_exit(0);
}

static void on_count(void *arg, struct str key, struct str value)
{
	*(uint64_t *)arg = le64_get(value.p);
}

static void what_was_written_survives_kill_9(void **state)
{
	struct fx *fx = *state;
	uint64_t told = 0, count = 0, seen = 0;
	int fds[2], status;
	pid_t pid;

	fx_close(fx);
	fx_wipe(fx->dir);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child_appends(fx, fds[1]);
	(void)close(fds[1]);
	while (told < KILL_AFTER && read(fds[0], &told, sizeof(told)) == sizeof(told))
		;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	while (read(fds[0], &seen, sizeof(seen)) == sizeof(seen))
		told = seen;
	(void)close(fds[0]);
	fx_open(fx);
	assert_true(jstream_next(fx_stream(fx, "s")) > told);
	for (seen = 0; seen < told; seen = fx->read_seq[fx->read_n - 1]) {
		assert_int_equal(fx_read(fx, fx_stream(fx, "s"), seen + 1, 65536), 0);
		for (size_t i = 0; i < fx->read_n; i++) {
			assert_int_equal(fx->read_seq[i], seen + 1 + i);
			assert_int_equal(le64_get(fx->read_body[i]), seen + 1 + i);
		}
	}
	journal_each_state(fx->j, STR("count"), on_count, &count);
	assert_true(count + 7 > told);
	assert_int_equal(fx_stats(fx).damaged, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(torn_tail_is_cut_at_every_byte),
		FX_TEST(no_flipped_bit_is_served_and_neighbours_stay),
		FX_TEST(a_state_with_a_flipped_bit_is_not_served),
		FX_TEST(damage_found_by_a_read_is_left_out),
		FX_TEST(recycled_segment_shows_nothing_of_its_past),
		FX_TEST(a_later_version_is_refused),
		FX_TEST(what_was_written_survives_kill_9),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT, stderr);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
