/* SPDX-License-Identifier: MIT */
/* The journal while it runs: order, group commit, space, age, states, failures. */
#include "fixture.h"

static void append_read_trim_and_reopen(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "calls");
	uint64_t lsn = 0;

	assert_int_equal(jstream_first(js), 1);
	assert_int_equal(jstream_next(js), 1);
	assert_int_equal(fx_read(fx, js, 1, 1000), -ENOENT);
	for (int i = 0; i < 5; i++)
		lsn = fx_append(fx, js, (const char *[]){ "a", "bb", "", "dddd", "eeeee" }[i]);
	fx_settle(fx, lsn);
	assert_int_equal(fx_read(fx, js, 2, 1000), 0);
	assert_int_equal(fx->read_n, 4);
	assert_int_equal(fx->read_seq[0], 2);
	assert_string_equal(fx->read_body[0], "bb");
	assert_string_equal(fx->read_body[1], "");
	assert_int_equal(fx_read(fx, js, 1, 1), 0);
	assert_int_equal(fx->read_n, 1);
	assert_int_equal(jstream_trim(fx->j, js, 7), -EINVAL);
	assert_int_equal(jstream_trim(fx->j, js, 4), 0);
	assert_int_equal(jstream_first(js), 4);
	fx_reopen(fx);
	js = fx_stream(fx, "calls");
	assert_int_equal(jstream_first(js), 4);
	assert_int_equal(jstream_next(js), 6);
	assert_int_equal(fx_read(fx, js, 1, 1000), 0);
	assert_int_equal(fx->read_n, 2);
	assert_string_equal(fx->read_body[1], "eeeee");
	assert_int_equal(fx_stats(fx).damaged, 0);
	assert_int_equal(fx_stats(fx).torn_bytes, 0);
	(void)fx_append(fx, js, "six");
	assert_int_equal(jstream_trim(fx->j, js, 7), 0);
	fx_reopen(fx);
	js = fx_stream(fx, "calls");
	assert_int_equal(jstream_first(js), 7);
	assert_int_equal(jstream_next(js), 7);
}

static void refusals_name_their_reason(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "s");
	struct str big = { calloc(1, RECORD_BODY_MAX), RECORD_BODY_MAX }, two[] = { big, STR("x") };
	uint64_t lsn;

	assert_int_equal(journal_append(fx->j, js, 2, NULL, 0, &lsn), -EINVAL);
	assert_int_equal(journal_append(fx->j, js, 1, two, 2, &lsn), -EMSGSIZE);
	assert_int_equal(journal_append(fx->j, js, 1, two, 1, &lsn), 0);
	assert_int_equal(journal_put(fx->j, str_make(big.p, 1025), big, &lsn), -EMSGSIZE);
	assert_int_equal(journal_put(fx->j, STR("k"), str_make(big.p, 65537), &lsn), -EMSGSIZE);
	fx_settle(fx, 1);
	assert_int_equal(fx_read(fx, js, 1, 10), 0);
	assert_int_equal(fx->read_len[0], RECORD_BODY_MAX);
	free((char *)big.p);
}

static void too_much_in_flight_is_refused_for_now(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;
	struct str part = STR("0123456789");
	uint64_t lsn = 0;
	int rc = 0, n = 0;

	fx->o.inflight_max = 4096;
	fx_reopen(fx);
	js = fx_stream(fx, "s");
	for (; rc == 0; n++)
		rc = journal_append(fx->j, js, jstream_next(js), &part, 1, &lsn);
	assert_int_equal(rc, -EAGAIN);
	assert_in_range(n, 20, 70);
	fx_settle(fx, lsn);
	(void)fx_append(fx, js, "again");
}

static void many_appends_share_few_syncs(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;
	uint64_t lsn = 0;

	fx->o.nosync = false;
	fx_reopen(fx);
	js = fx_stream(fx, "s");
	for (int i = 0; i < 500; i++)
		lsn = fx_append(fx, js, "group commit");
	assert_int_equal(journal_written(fx->j), 0);
	fx_settle(fx, lsn);
	assert_true(fx_stats(fx).syncs <= 3);
	assert_true(fx_stats(fx).writes <= 6);
	assert_int_equal(fx->written, lsn);
	assert_int_equal(fx->durable, lsn);
}

static atomic_int held, syncs_to_hold;

static int slow_sync(int fd)
{
	(void)atomic_fetch_add(&held, 1);
	while (atomic_load(&held) > 0 && syncs_to_hold)
		(void)sched_yield();
	return fdatasync(fd);
}

static void written_comes_while_a_sync_is_running(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;
	uint64_t one, two;

	fx->o.nosync = false;
	fx->sys.fdatasync = slow_sync;
	fx_reopen(fx);
	js = fx_stream(fx, "s");
	atomic_store(&held, 0);
	syncs_to_hold = 1;
	one = fx_append(fx, js, "one");
	fx_until(fx, atomic_load(&held) == 1);
	two = fx_append(fx, js, "two");
	fx_until(fx, fx->written == two);
	assert_true(fx->durable < one);
	assert_int_equal(fx_read(fx, js, 1, 100), 0);
	assert_int_equal(fx->read_n, 2);
	syncs_to_hold = 0;
	atomic_store(&held, 0);
	fx_settle(fx, two);
}

static void reading_while_appending_sees_a_prefix(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "s"), *other = fx_stream(fx, "other");
	uint64_t seen = 0, lsn = 0;

	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 20; i++) {
			lsn = fx_append(fx, js, "body of a record");
			(void)fx_append(fx, other, "of another stream");
		}
		if (fx_read(fx, js, seen + 1, 65536) == -ENOENT)
			continue;
		for (size_t i = 0; i < fx->read_n; i++)
			assert_int_equal(fx->read_seq[i], ++seen);
	}
	fx_settle(fx, lsn);
	while (fx_read(fx, js, seen + 1, 65536) == 0)
		seen = fx->read_seq[fx->read_n - 1];
	assert_int_equal(seen, 4000);
	assert_true(fx_stats(fx).segments > 5);
	fx_reopen(fx);
	assert_int_equal(fx_stats(fx).records, 8000);
	assert_int_equal(fx_stats(fx).damaged, 0);
}

static void trimmed_segments_go_and_names_stay(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "busy"), *idle = fx_stream(fx, "idle");
	char body[1000];

	memset(body, 'x', sizeof(body));
	body[999] = 0;
	(void)fx_append(fx, idle, "1");
	(void)fx_append(fx, idle, "2");
	assert_int_equal(jstream_trim(fx->j, idle, 3), 0);
	for (int i = 0; i < 400; i++)
		(void)fx_append(fx, js, body);
	assert_true(fx_stats(fx).segments >= 6);
	fx_settle(fx, fx_append(fx, js, "last"));
	assert_int_equal(jstream_trim(fx->j, js, 400), 0);
	loop_test_advance(fx->loop, 100);
	fx_until(fx, fx_stats(fx).segments <= 2);
	fx_reopen(fx);
	js = fx_stream(fx, "busy");
	assert_int_equal(jstream_first(js), 400);
	assert_int_equal(jstream_next(js), 402);
	assert_int_equal(jstream_next(fx_stream(fx, "idle")), 3);
	assert_int_equal(fx_stats(fx).damaged, 0);
}

static void quota_refuses_and_recovers_after_a_trim(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;
	char body[1000] = { 0 };
	struct str part = { body, sizeof(body) };
	uint64_t lsn = 0;
	int rc = 0;

	fx->o.quota_bytes = 4 * 65536;
	fx_reopen(fx);
	js = fx_stream(fx, "s");
	while (rc == 0)
		rc = journal_append(fx->j, js, jstream_next(js), &part, 1, &lsn);
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(fx_stats(fx).refused, 1);
	assert_true(fx_stats(fx).disk_bytes <= 4 * 65536 + 8192);
	fx_settle(fx, lsn);
	assert_int_equal(jstream_trim(fx->j, js, jstream_next(js) - 10), 0);
	loop_test_advance(fx->loop, 100);
	fx_until(fx, journal_append(fx->j, js, jstream_next(js), &part, 1, &lsn) == 0);
	fx_settle(fx, lsn);
	assert_int_equal(fx_read(fx, js, 1, 100000), 0);
	assert_int_equal(fx->read_n, 11);
	assert_int_equal(fx->failed, 0);
}

static uint64_t expired_first;

static void on_expired(void *arg, uint64_t first)
{
	expired_first = first;
}

static void old_records_expire_by_the_wall_clock(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "s");

	jstream_set_max_age(js, 60000);
	jstream_on_expired(js, on_expired, NULL);
	expired_first = 0;
	(void)fx_append(fx, js, "old");
	(void)fx_append(fx, js, "old too");
	fx->wall_ms += 50000;
	fx_settle(fx, fx_append(fx, js, "young"));
	loop_test_advance(fx->loop, 20000);
	assert_int_equal(jstream_first(js), 1);
	fx->wall_ms += 12000;
	loop_test_advance(fx->loop, 20000);
	assert_int_equal(jstream_first(js), 3);
	assert_int_equal(expired_first, 3);
	fx->wall_ms += 100000;
	fx_reopen(fx);
	js = fx_stream(fx, "s");
	assert_int_equal(jstream_first(js), 3);
	jstream_set_max_age(js, 60000);
	loop_test_advance(fx->loop, 10);
	assert_int_equal(jstream_first(js), 4);
	assert_int_equal(jstream_next(js), 4);
}

static void dropped_name_can_be_used_again(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "dialog"), *keeper = fx_stream(fx, "keeper");
	char body[1000];

	memset(body, 'x', sizeof(body));
	body[999] = 0;
	(void)fx_append(fx, keeper, "holds the first segment");
	(void)fx_append(fx, js, "first life");
	assert_int_equal(jstream_drop(fx->j, js), 0);
	js = fx_stream(fx, "dialog");
	assert_int_equal(jstream_next(js), 1);
	(void)fx_append(fx, js, "second life");
	fx_reopen(fx);
	js = fx_stream(fx, "dialog");
	assert_int_equal(jstream_next(js), 2);
	assert_int_equal(fx_read(fx, js, 1, 100), 0);
	assert_string_equal(fx->read_body[0], "second life");
	assert_int_equal(jstream_drop(fx->j, js), 0);
	/* The segment with the word of the drop goes, the one with the records stays. */
	js = fx_stream(fx, "filler");
	for (int i = 0; i < 200; i++)
		(void)fx_append(fx, js, body);
	fx_settle(fx, fx_append(fx, js, "end"));
	assert_int_equal(jstream_trim(fx->j, js, jstream_next(js)), 0);
	loop_test_advance(fx->loop, 100);
	fx_until(fx, fx_stats(fx).segments <= 2);
	fx_reopen(fx);
	assert_int_equal(jstream_next(fx_stream(fx, "dialog")), 1);
	assert_int_equal(jstream_next(fx_stream(fx, "keeper")), 2);
	assert_int_equal(jstream_next(fx_stream(fx, "filler")), 202);
}

static size_t states_n;
static char states_seen[4][32];

static void on_state(void *arg, struct str key, struct str value)
{
	(void)snprintf(states_seen[states_n++ & 3], 32, "%.*s=%.*s", STR_ARG(key), STR_ARG(value));
}

static size_t count_states(struct fx *fx, const char *prefix)
{
	states_n = 0;
	journal_each_state(fx->j, str_from(prefix), on_state, NULL);
	return states_n;
}

static void states_are_put_deleted_and_kept(void **state)
{
	struct fx *fx = *state;
	uint64_t lsn;

	assert_int_equal(journal_put(fx->j, STR("a/1"), STR("x"), &lsn), 0);
	assert_int_equal(journal_put(fx->j, STR("a/2"), STR("y"), &lsn), 0);
	assert_int_equal(journal_put(fx->j, STR("b/1"), STR("z"), &lsn), 0);
	assert_int_equal(journal_put(fx->j, STR("a/1"), STR("new"), &lsn), 0);
	assert_int_equal(journal_put(fx->j, STR("a/2"), str_make(NULL, 0), &lsn), 0);
	fx_settle(fx, lsn);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(count_states(fx, "a/"), 1);
		assert_string_equal(states_seen[0], "a/1=new");
		assert_int_equal(count_states(fx, ""), 2);
		fx_reopen(fx);
	}
	assert_int_equal(journal_put(fx->j, STR("after"), STR(""), &lsn), 0);
	fx_settle(fx, lsn);
	fx_reopen(fx);
	assert_int_equal(count_states(fx, ""), 3);
}

static void state_log_is_rewritten_when_it_is_mostly_dead(void **state)
{
	struct fx *fx = *state;
	static char value[60000];
	uint64_t lsn = 0;

	for (int i = 0; i < 100; i++) {
		value[0] = (char)('a' + i % 26);
		assert_int_equal(
			journal_put(fx->j, STR("big"), str_make(value, sizeof(value)), &lsn), 0);
		assert_int_equal(journal_put(fx->j, STR("small"), str_make(value, 1), &lsn), 0);
		fx_settle(fx, lsn);
	}
	assert_true(fx_stats(fx).disk_bytes < 2 << 20);
	fx_reopen(fx);
	assert_int_equal(count_states(fx, ""), 2);
	assert_int_equal(count_states(fx, "small"), 1);
	assert_string_equal(states_seen[0], "small=v");
	assert_int_equal(fx_stats(fx).damaged, 0);
}

static void second_opener_is_refused(void **state)
{
	struct fx *fx = *state;
	struct journal *other;
	struct err e;
	char pid[32];

	assert_int_equal(fx_try_open(fx, &other, &e), -EBUSY);
	(void)snprintf(pid, sizeof(pid), "process %d", getpid());
	assert_non_null(strstr(e.text, pid));
	assert_non_null(strstr(e.text, fx->dir));
}

static atomic_int sync_errors, full;

static int bad_sync(int fd)
{
	if (atomic_load(&sync_errors)) {
		errno = EIO;
		return -1;
	}
	return 0;
}

static int full_fallocate(int fd, int mode, off_t at, off_t n)
{
	if (atomic_load(&full)) {
		errno = ENOSPC;
		return -1;
	}
	return fallocate(fd, mode, at, n);
}

static void use_bad_sys(struct fx *fx)
{
	fx->sys.fallocate = full_fallocate;
	fx->sys.fdatasync = bad_sync;
}

static void failed_sync_is_final(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;
	struct str part = STR("x");
	uint64_t lsn;

	fx->o.nosync = false;
	use_bad_sys(fx);
	fx_reopen(fx);
	js = fx_stream(fx, "s");
	fx_settle(fx, fx_append(fx, js, "good"));
	atomic_store(&sync_errors, 1);
	lsn = fx_append(fx, js, "never durable");
	fx_until(fx, fx->failed);
	atomic_store(&sync_errors, 0);
	assert_int_equal(journal_append(fx->j, js, jstream_next(js), &part, 1, &lsn), -EIO);
	assert_int_equal(journal_put(fx->j, STR("k"), part, &lsn), -EIO);
	assert_int_equal(jstream_trim(fx->j, js, 2), -EIO);
	assert_int_equal(jstream_drop(fx->j, js), -EIO);
	for (int i = 0; i < 100; i++)
		loop_turn(fx->loop);
	assert_int_equal(fx->failed, 1);
	assert_true(fx->durable < fx->written || fx->durable < lsn);
	assert_true(fx_stats(fx).failed);
	fx->failed = 0;
	fx->sys = journal_sys_real;
}

static void full_disk_refuses_and_goes_on_by_itself(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;
	struct str part = STR("0123456789");
	uint64_t lsn = 0;
	int rc = 0;

	use_bad_sys(fx);
	fx_reopen(fx);
	js = fx_stream(fx, "s");
	fx_settle(fx, fx_append(fx, js, "before"));
	atomic_store(&full, 1);
	while (rc == 0) {
		rc = journal_append(fx->j, js, jstream_next(js), &part, 1, &lsn);
		loop_turn(fx->loop);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(fx->failed, 0);
	fx_settle(fx, lsn); /* what was accepted has its room */
	atomic_store(&full, 0);
	loop_test_advance(fx->loop, 300);
	fx_until(fx, journal_append(fx->j, js, jstream_next(js), &part, 1, &lsn) == 0);
	fx_settle(fx, lsn);
	lsn = jstream_next(js);
	fx->sys = journal_sys_real;
	fx_reopen(fx);
	assert_int_equal(jstream_next(fx_stream(fx, "s")), lsn);
	assert_int_equal(fx_stats(fx).records, lsn - 1);
}

static void reads_of_removed_and_dropped_things_end_well(void **state)
{
	struct fx *fx = *state;
	struct jstream *js = fx_stream(fx, "s");

	fx_settle(fx, fx_append(fx, js, "one"));
	fx->read_done = false;
	assert_int_equal(journal_read(fx->j, js, 1, 100, fx_on_read, fx), 0);
	assert_int_equal(jstream_drop(fx->j, js), 0);
	fx_until(fx, fx->read_done);
	assert_int_equal(fx->read_rc, 0);
	js = fx_stream(fx, "s");
	fx_settle(fx, fx_append(fx, js, "two"));
	fx->read_done = false;
	assert_int_equal(journal_read(fx->j, js, 1, 100, fx_on_read, fx), 0);
	fx_reopen(fx);
	assert_int_equal(fx_read(fx, fx_stream(fx, "s"), 1, 100), 0);
	assert_string_equal(fx->read_body[0], "two");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(append_read_trim_and_reopen),
		FX_TEST(refusals_name_their_reason),
		FX_TEST(too_much_in_flight_is_refused_for_now),
		FX_TEST(many_appends_share_few_syncs),
		FX_TEST(written_comes_while_a_sync_is_running),
		FX_TEST(reading_while_appending_sees_a_prefix),
		FX_TEST(trimmed_segments_go_and_names_stay),
		FX_TEST(quota_refuses_and_recovers_after_a_trim),
		FX_TEST(old_records_expire_by_the_wall_clock),
		FX_TEST(dropped_name_can_be_used_again),
		FX_TEST(states_are_put_deleted_and_kept),
		FX_TEST(state_log_is_rewritten_when_it_is_mostly_dead),
		FX_TEST(second_opener_is_refused),
		FX_TEST(failed_sync_is_final),
		FX_TEST(full_disk_refuses_and_goes_on_by_itself),
		FX_TEST(reads_of_removed_and_dropped_things_end_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
