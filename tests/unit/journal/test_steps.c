/* SPDX-License-Identifier: MIT */
/* The journal without threads: the test says when something is written and when it is synced. */
#include "fixture.h"

static uint64_t draw(void *arg)
{
	return ++*(uint64_t *)arg;
}

static int stepped_setup(void **state)
{
	struct fx *fx = malloc(sizeof(*fx));

	fx_init(fx);
	fx->stepped = true;
	fx->random = draw;
	fx_open(fx);
	*state = fx;
	return 0;
}

static void turn(struct fx *fx)
{
	for (int i = 0; i < 5; i++)
		loop_turn(fx->loop);
}

static void nothing_moves_without_a_step(void **state)
{
	struct fx *fx = *state;
	uint64_t lsn = fx_append(fx, fx_stream(fx, "s"), "one");

	assert_false(journal_step_write(fx->j)); /* it was not handed over yet */
	turn(fx);
	assert_int_equal(journal_written(fx->j), 0);
	assert_false(journal_step_sync(fx->j));
	assert_true(journal_step_write(fx->j));
	assert_false(journal_step_write(fx->j));
	assert_int_equal(journal_written(fx->j), 0); /* the post was not delivered yet */
	turn(fx);
	assert_int_equal(journal_written(fx->j), lsn);
	assert_int_equal(journal_durable(fx->j), 0);
	assert_true(journal_step_sync(fx->j));
	assert_false(journal_step_sync(fx->j));
	turn(fx);
	assert_int_equal(journal_durable(fx->j), lsn);
}

static void closing_does_the_steps_that_are_left(void **state)
{
	struct fx *fx = *state;

	(void)fx_append(fx, fx_stream(fx, "s"), "one");
	fx_reopen(fx);
	assert_int_equal(jstream_next(fx_stream(fx, "s")), 2);
}

static char *one_run(struct fx *fx, size_t *ret_n)
{
	uint64_t lsn;

	fx_close(fx);
	fx_wipe(fx->dir);
	fx->drawn = 7;
	fx_open(fx);
	for (int i = 0; i < 10; i++) {
		(void)fx_append(fx, fx_stream(fx, i % 3 ? "a" : "b"), "body");
		assert_int_equal(journal_put(fx->j, STR("k"), STR("v"), &lsn), 0);
		turn(fx);
		if (i % 2)
			(void)journal_step_write(fx->j);
		if (i % 3)
			(void)journal_step_sync(fx->j);
	}
	fx_close(fx);
	return fx_slurp(fx, "00000001.vbj", ret_n);
}

static void two_runs_write_the_same_bytes(void **state)
{
	struct fx *fx = *state;
	size_t n, m;
	char *a = one_run(fx, &n), *b = one_run(fx, &m);

	assert_int_equal(n, m);
	assert_memory_equal(a, b, n);
	free(a);
	free(b);
	fx_open(fx);
}

static size_t room;

/* A disk with so many bytes left, that takes a part of a write before it is full. */
static ssize_t narrow_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	ssize_t did;

	if (room == 0) {
		errno = ENOSPC;
		return -1;
	}
	did = pwrite(fd, iov->iov_base, iov->iov_len < room ? iov->iov_len : room, at);
	if (did > 0)
		room -= (size_t)did;
	return did;
}

static void a_full_disk_returns_and_the_rest_is_written_later(void **state)
{
	struct fx *fx = *state;
	struct jstream *js;
	uint64_t lsn = 0;

	fx->sys.pwritev = narrow_pwritev;
	room = SIZE_MAX;
	fx_reopen(fx);
	js = fx_stream(fx, "s");
	for (int i = 0; i < 20; i++)
		lsn = fx_append(fx, js, "a body that is torn by the full disk");
	assert_int_equal(journal_put(fx->j, STR("k"), STR("v"), &lsn), 0);
	turn(fx);
	room = FILE_HEADER + 333;
	assert_false(journal_step_write(fx->j));
	turn(fx);
	assert_int_equal(journal_written(fx->j), 0);
	assert_int_equal(journal_append(fx->j, js, 21, NULL, 0, &lsn), -ENOSPC);
	for (int i = 0; i < 200; i++) {
		room = 9; /* small steps, at odd places */
		(void)journal_step_write(fx->j);
	}
	room = SIZE_MAX;
	(void)journal_step_write(fx->j);
	turn(fx);
	assert_int_equal(journal_written(fx->j), 23);
	assert_int_equal(fx->failed, 0);
	fx->sys = journal_sys_real;
	fx_reopen(fx);
	js = fx_stream(fx, "s");
	assert_int_equal(fx_read(fx, js, 1, 100000), 0);
	assert_int_equal(fx->read_n, 20);
	assert_int_equal(fx_stats(fx).states, 1);
	assert_int_equal(fx_stats(fx).damaged + fx_stats(fx).torn_bytes, 0);
}

static void closing_on_a_full_disk_says_so_and_ends(void **state)
{
	struct fx *fx = *state;

	fx->sys.pwritev = narrow_pwritev;
	room = SIZE_MAX;
	fx_reopen(fx);
	(void)fx_append(fx, fx_stream(fx, "s"), "never written");
	room = 0;
	fx_close(fx);
	fx->sys = journal_sys_real;
	fx_open(fx);
	assert_int_equal(jstream_next(fx_stream(fx, "s")), 1);
}

#define STEPPED_TEST(fn) cmocka_unit_test_setup_teardown(fn, stepped_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STEPPED_TEST(nothing_moves_without_a_step),
		STEPPED_TEST(closing_does_the_steps_that_are_left),
		STEPPED_TEST(two_runs_write_the_same_bytes),
		STEPPED_TEST(a_full_disk_returns_and_the_rest_is_written_later),
		STEPPED_TEST(closing_on_a_full_disk_says_so_and_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
