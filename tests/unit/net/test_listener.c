/* SPDX-License-Identifier: MIT */
/* Accepting: how many a turn, whose, and what happens when descriptors run out. */
#include "net_test.h"

#include <sys/resource.h>

#include "net/acceptor.h"
#include "net/conn.h"

enum { BURST = 300, LISTENERS = 3 };

struct side {
	struct listener *listener;
	struct conn *conns[BURST];
	int n, troubles, last_trouble;
};

static void on_conn(void *arg, struct conn *conn)
{
	struct side *s = arg;

	assert_true(s->n < BURST);
	s->conns[s->n++] = conn;
}

static void on_trouble(void *arg, int rc)
{
	struct side *s = arg;

	s->troubles++;
	s->last_trouble = rc;
}

static void side_open(struct side *s, struct loop *loop)
{
	struct err e;

	*s = (struct side){ 0 };
	assert_int_equal(
		listener_create(loop, STR("127.0.0.1:0"), NULL, on_conn, s, &s->listener, &e), 0);
	listener_on_trouble(s->listener, on_trouble);
}

static void side_close(struct side *s)
{
	s->listener = listener_destroy(s->listener);
	while (s->n)
		(void)conn_destroy(s->conns[--s->n]);
}

static void connect_many(int *fds, int n, const struct side *s)
{
	for (int i = 0; i < n; i++)
		fds[i] = raw_connect(listener_port(s->listener));
}

static void close_many(const int *fds, int n)
{
	for (int i = 0; i < n; i++)
		(void)close(fds[i]);
}

static void a_burst_is_taken_in_over_several_turns(void **state)
{
	struct loop *loop;
	struct side s;
	int fds[BURST], before = 0, turns = 0;

	assert_int_equal(loop_create_manual(&loop), 0);
	side_open(&s, loop);
	connect_many(fds, BURST, &s);
	while (s.n < BURST) {
		assert_true(turns++ < 50);
		loop_turn(loop);
		assert_true(s.n - before <= ACCEPTS_A_TURN);
		before = s.n;
	}
	assert_true(turns >= BURST / ACCEPTS_A_TURN);
	side_close(&s);
	close_many(fds, BURST);
	(void)loop_destroy(loop);
}

/* The share is for all together, and none of those that have callers gets less than another. */
static void listeners_share_a_turn(void **state)
{
	struct loop *loop;
	struct side s[LISTENERS];
	int fds[LISTENERS][BURST], before = 0, now;

	assert_int_equal(loop_create_manual(&loop), 0);
	for (int i = 0; i < LISTENERS; i++) {
		side_open(&s[i], loop);
		connect_many(fds[i], BURST, &s[i]);
	}
	for (int turns = 0; before < LISTENERS * BURST; before = now) {
		assert_true(turns++ < 100);
		loop_turn(loop);
		now = s[0].n + s[1].n + s[2].n;
		assert_true(now - before <= ACCEPTS_A_TURN);
		assert_true(s[0].n - s[1].n <= 1 && s[1].n - s[0].n <= 1);
		assert_true(s[1].n - s[2].n <= 1 && s[2].n - s[1].n <= 1);
	}
	for (int i = 0; i < LISTENERS; i++) {
		side_close(&s[i]);
		close_many(fds[i], BURST);
	}
	(void)loop_destroy(loop);
}

static void a_late_caller_elsewhere_does_not_wait_for_the_burst(void **state)
{
	struct loop *loop;
	struct side busy, quiet;
	int fds[BURST], fd, turns = 0;

	assert_int_equal(loop_create_manual(&loop), 0);
	side_open(&busy, loop);
	side_open(&quiet, loop);
	connect_many(fds, BURST, &busy);
	RUN_UNTIL(loop, busy.n > 0);
	fd = raw_connect(listener_port(quiet.listener));
	while (quiet.n == 0) {
		assert_true(turns++ < 3);
		loop_turn(loop);
	}
	assert_true(busy.n < BURST);
	side_close(&busy); /* with callers that nobody has accepted */
	side_close(&quiet);
	run_some(loop);
	close_many(fds, BURST);
	(void)close(fd);
	(void)loop_destroy(loop);
}

/* Lowers the limit so that `spare` further descriptors can be opened. */
static void leave_files(struct rlimit *before, int spare)
{
	struct rlimit less;
	int fd = dup(0);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
	less = *before;
	less.rlim_cur = (rlim_t)(fd + spare);
	(void)close(fd);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
}

static void ignore_data(void *arg, struct str data)
{
	*(size_t *)arg += data.n;
}

static void running_out_of_descriptors_is_survived(void **state)
{
	static const struct conn_events events = { .on_data = ignore_data };
	struct rlimit before;
	struct loop *loop;
	struct side s;
	int fds[8];
	size_t bytes = 0;

	assert_int_equal(loop_create_manual(&loop), 0);
	side_open(&s, loop);
	connect_many(fds, 8, &s);
	leave_files(&before, 5);
	RUN_UNTIL(loop, s.troubles == 1);
	assert_int_equal(s.n, 5);
	assert_int_equal(s.last_trouble, -EMFILE);
	assert_int_equal(listener_failures(s.listener), 1);
	/* No spin: it is tried again after a rest, and said once. */
	run_some(loop);
	assert_int_equal(listener_failures(s.listener), 1);
	for (int i = 0; i < 10; i++) {
		loop_test_advance(loop, 100);
		run_some(loop);
	}
	assert_int_equal(listener_failures(s.listener), 11);
	assert_int_equal(s.troubles, 1);
	/* Those who are in go on. */
	conn_set_events(s.conns[0], &events, &bytes);
	raw_write(fds[0], STR("hello"));
	RUN_UNTIL(loop, bytes == 5);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	loop_test_advance(loop, 100);
	RUN_UNTIL(loop, s.n == 8);
	assert_int_equal(s.troubles, 2);
	assert_int_equal(s.last_trouble, 0);
	side_close(&s);
	close_many(fds, 8);
	(void)loop_destroy(loop);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_taken_in_over_several_turns),
		cmocka_unit_test(listeners_share_a_turn),
		cmocka_unit_test(a_late_caller_elsewhere_does_not_wait_for_the_burst),
		cmocka_unit_test(running_out_of_descriptors_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
