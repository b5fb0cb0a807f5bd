/* SPDX-License-Identifier: MIT */
/* The check of a journal: it says what a start would find, and changes nothing. */
#include "fixture.h"

#include <sys/stat.h>

#include "base/log.h"
#include "journal/check.h"
#include "journal/crc32c.h"

static const char segment_one[] = "00000001.vbj";

struct told {
	size_t problems, torn;
	char text[2048]; /* of all that was told */
};

static void on_problem(void *arg, const struct journal_problem *p)
{
	struct told *told = arg;
	size_t n = strlen(told->text);

	told->problems++;
	told->torn += p->torn;
	(void)snprintf(told->text + n, sizeof(told->text) - n, "%s@%ju+%ju %s (%.*s %ju): %s\n",
		       p->file, (uintmax_t)p->offset, (uintmax_t)p->bytes, p->what,
		       STR_ARG(p->name), (uintmax_t)p->seq, p->then);
}

/* Names, bytes and times of all files, in one number. */
static uint32_t fingerprint(const struct fx *fx)
{
	DIR *dir = opendir(fx->dir);
	uint32_t sum = 0;

	for (struct dirent *d; (d = readdir(dir));) {
		struct stat st;
		uint32_t crc;
		size_t n;
		char *bytes;

		if (d->d_name[0] == '.')
			continue;
		assert_int_equal(fstatat(dirfd(dir), d->d_name, &st, 0), 0);
		bytes = fx_slurp(fx, d->d_name, &n);
		crc = crc32c(0, d->d_name, strlen(d->d_name));
		crc = crc32c(crc, bytes, n);
		crc = crc32c(crc, &st.st_mtim, sizeof(st.st_mtim));
		crc = crc32c(crc, &st.st_ctim, sizeof(st.st_ctim));
		sum += crc; /* in whatever order they come */
		free(bytes);
	}
	(void)closedir(dir);
	return sum;
}

static int check(const struct fx *fx, struct told *told, struct journal_checked *ret, struct err *e)
{
	uint32_t before = fingerprint(fx);
	int rc;

	*told = (struct told){ 0 };
	rc = journal_check(fx->dir, on_problem, told, ret, e);
	if (fingerprint(fx) != before)
		fail_msg("the check has changed something");
	return rc;
}

static void fill(struct fx *fx)
{
	uint64_t lsn;
	char text[32];

	for (int i = 1; i <= 3; i++) {
		(void)snprintf(text, sizeof(text), "alpha %d", i);
		(void)fx_append(fx, fx_stream(fx, "alpha"), text);
		(void)snprintf(text, sizeof(text), "beta %d", i);
		(void)fx_append(fx, fx_stream(fx, "beta"), text);
		assert_int_equal(journal_put(fx->j, str_from(text), STR("value"), &lsn), 0);
	}
}

static void a_sound_journal_is_counted_and_left_alone(void **state)
{
	struct fx *fx = *state;
	struct journal_checked c;
	struct told told;
	struct err e = { "" };

	fill(fx);
	for (int i = 0; i < 2000; i++)
		(void)fx_append(fx, fx_stream(fx, "long"), "to fill some segments with it");
	fx_close(fx);
	assert_int_equal(check(fx, &told, &c, &e), 0);
	assert_int_equal(told.problems, 0);
	assert_int_equal(c.stats.records, 2006);
	assert_int_equal(c.stats.streams, 3);
	assert_int_equal(c.stats.states, 3);
	assert_true(c.stats.segments > 2);
	fx_open(fx);
	assert_int_equal(fx_stats(fx).records, 2006);
}

/* What the check says is what a start finds. */
static void compare_with_a_start(struct fx *fx, size_t at)
{
	struct journal_checked c;
	struct told told;
	struct err e = { "" };
	struct journal_stats st;
	int rc = check(fx, &told, &c, &e);

	if (fx_try_open(fx, &fx->j, &e) < 0) {
		assert_true(rc < 0);
		return;
	}
	st = fx_stats(fx);
	if (rc < 0 || c.stats.records != st.records || c.stats.streams != st.streams ||
	    c.stats.states != st.states || c.stats.torn_bytes != st.torn_bytes ||
	    !c.stats.damaged != !st.damaged || told.problems - told.torn != c.stats.damaged)
		fail_msg("byte %zu: rc %d, %ju records of %ju, damaged %ju of %ju\n%s", at, rc,
			 (uintmax_t)c.stats.records, (uintmax_t)st.records,
			 (uintmax_t)c.stats.damaged, (uintmax_t)st.damaged, told.text);
	fx_close(fx);
}

static void every_damaged_byte_is_told_as_a_start_finds_it(void **state)
{
	static const char *const files[] = { segment_one, "state.log" };
	struct fx *fx = *state;
	char *bytes[2];
	size_t n[2], end;

	fx_close(fx);
	fx_wipe(fx->dir);
	fx->o.segment_bytes = 8192;
	fx_open(fx);
	fill(fx);
	end = fx->j->current->end;
	fx_close(fx);
	bytes[0] = fx_slurp(fx, files[0], &n[0]);
	bytes[1] = fx_slurp(fx, files[1], &n[1]);
	for (int f = 0; f < 2; f++) {
		for (size_t at = 0; at < end; at++) {
			if (at < FILE_HEADER && at % FILE_HEADER_COPY >= 56)
				continue;
			fx_spill(fx, files[!f], bytes[!f], n[!f]);
			bytes[f][at] ^= 4;
			fx_spill(fx, files[f], bytes[f], n[f]);
			bytes[f][at] ^= 4;
			compare_with_a_start(fx, at);
			fx_wipe(fx->dir);
			assert_int_equal(mkdir(fx->dir, 0700), 0);
		}
	}
	free(bytes[0]);
	free(bytes[1]);
	fx_open(fx);
}

static void damage_is_told_with_its_place_and_its_stream(void **state)
{
	struct fx *fx = *state;
	struct journal_checked c;
	struct told told;
	struct err e = { "" };
	size_t n, at;
	char *bytes, want[160];

	(void)fx_append(fx, fx_stream(fx, "alpha"), "one");
	at = fx->j->current->end;
	(void)fx_append(fx, fx_stream(fx, "alpha"), "two");
	(void)fx_append(fx, fx_stream(fx, "alpha"), "three");
	(void)fx_append(fx, fx_stream(fx, "alpha"), "four");
	fx_close(fx);
	bytes = fx_slurp(fx, segment_one, &n);
	bytes[at + RECORD_HEADER] ^= 1;
	bytes[at + record_size(3) + RECORD_HEADER] ^= 1;
	fx_spill(fx, segment_one, bytes, n);
	free(bytes);
	assert_int_equal(check(fx, &told, &c, &e), 0);
	(void)snprintf(want, sizeof(want),
		       "00000001.vbj@%zu+56 a damaged record (alpha 2): skips it\n"
		       "00000001.vbj@%zu+56 a damaged record (alpha 3): skips it\n",
		       at, at + 56);
	assert_string_equal(told.text, want);
	assert_int_equal(c.stats.damaged, 2);
	fx_open(fx);
}

static void a_torn_end_is_no_damage(void **state)
{
	struct fx *fx = *state;
	struct journal_checked c;
	struct told told;
	struct err e = { "" };
	size_t n, end;
	char *bytes;

	fill(fx);
	end = fx->j->current->end + record_size(8); /* the last mark */
	fx_close(fx);
	bytes = fx_slurp(fx, segment_one, &n);
	memset(bytes + end, 0x55, 96);
	fx_spill(fx, segment_one, bytes, n);
	free(bytes);
	assert_int_equal(check(fx, &told, &c, &e), 0);
	assert_int_equal(c.stats.damaged, 0);
	assert_int_equal(c.stats.torn_bytes, 96);
	assert_int_equal(told.problems, 1);
	assert_int_equal(told.torn, 1);
	fx_open(fx);
}

static void lost_states_are_told(void **state)
{
	struct fx *fx = *state;
	struct journal_checked c;
	struct told told;
	struct err e = { "" };
	char path[128];

	fill(fx);
	fx_close(fx);
	(void)snprintf(path, sizeof(path), "%s/state.log", fx->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(check(fx, &told, &c, &e), 0);
	assert_int_equal(c.stats.damaged, 1);
	assert_non_null(strstr(told.text, "state.log@0+0 is missing"));
	fx_spill(fx, "state.log", "nonsense", 8);
	assert_int_equal(check(fx, &told, &c, &e), -EBADMSG);
	assert_int_equal(c.stats.records, 6);
	assert_non_null(strstr(told.text, "both its headers are damaged"));
	fx_wipe(fx->dir);
	fx_open(fx);
}

static void what_cant_be_checked_is_said(void **state)
{
	struct fx *fx = *state;
	struct file_header h = { FILE_SEGMENT, FILE_VERSION + 1, 0, 1, 7, 8192, 1 };
	char bytes[FILE_HEADER], pid[32];
	struct journal_checked c;
	struct told told;
	struct err e = { "" };

	fill(fx);
	assert_int_equal(check(fx, &told, &c, &e), -EBUSY);
	(void)snprintf(pid, sizeof(pid), "process %d", getpid());
	assert_non_null(strstr(e.text, pid));
	fx_close(fx);
	fx_wipe(fx->dir);
	assert_int_equal(journal_check(fx->dir, on_problem, &told, &c, &e), -ENOENT);
	assert_int_equal(mkdir(fx->dir, 0700), 0);
	assert_int_equal(check(fx, &told, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, "no journal"));
	file_header_write(bytes, &h);
	fx_spill(fx, segment_one, bytes, sizeof(bytes));
	assert_int_equal(check(fx, &told, &c, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "later version"));
	fx_wipe(fx->dir);
	fx_open(fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(a_sound_journal_is_counted_and_left_alone),
		FX_TEST(every_damaged_byte_is_told_as_a_start_finds_it),
		FX_TEST(damage_is_told_with_its_place_and_its_stream),
		FX_TEST(a_torn_end_is_no_damage),
		FX_TEST(lost_states_are_told),
		FX_TEST(what_cant_be_checked_is_said),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT, stderr);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
