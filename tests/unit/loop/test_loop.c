/* SPDX-License-Identifier: MIT */
/* Timers, tasks, posts, work and signals of the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "loop/loop.h"

struct trace {
	struct loop *loop;
	int order[64];
	int n;
	struct timer *again;
	struct task *task;
	pthread_t thread;
};

struct step {
	struct trace *trace;
	int number;
	struct timer timer;
	struct task task;
	struct post post;
};

static void on_step(void *arg)
{
	struct step *s = arg;

	s->trace->order[s->trace->n++] = s->number;
}

static void timers_fire_in_the_order_of_their_times(void **state)
{
	enum { N = 50 };
	struct trace t = { 0 };
	struct step steps[N];

	assert_int_equal(loop_create_manual(&t.loop), 0);
	for (int i = 0; i < N; i++) {
		int delay = (i * 37) % N;

		steps[i] = (struct step){ .trace = &t, .number = delay };
		timer_init(&steps[i].timer, t.loop, on_step, &steps[i]);
		assert_int_equal(timer_start(&steps[i].timer, (uint64_t)delay * 10), 0);
	}
	for (int i = 0; i < N; i += 5)
		timer_stop(&steps[i].timer);
	loop_test_advance(t.loop, N * 10);
	assert_int_equal(t.n, N - N / 5);
	for (int i = 1; i < t.n; i++)
		assert_true(t.order[i] > t.order[i - 1]);
	t.loop = loop_destroy(t.loop);
}

static void moved_timer_fires_once_at_its_new_time(void **state)
{
	struct trace t = { 0 };
	struct step s = { .trace = &t, .number = 1 };

	assert_int_equal(loop_create_manual(&t.loop), 0);
	timer_init(&s.timer, t.loop, on_step, &s);
	(void)timer_start(&s.timer, 10);
	(void)timer_start(&s.timer, 100);
	loop_test_advance(t.loop, 99);
	assert_int_equal(t.n, 0);
	assert_true(timer_running(&s.timer));
	loop_test_advance(t.loop, 1);
	assert_int_equal(t.n, 1);
	assert_false(timer_running(&s.timer));
	t.loop = loop_destroy(t.loop);
}

static void task_runs_in_a_later_turn_and_once(void **state)
{
	struct trace t = { 0 };
	struct step a = { .trace = &t, .number = 1 }, b = { .trace = &t, .number = 2 };

	assert_int_equal(loop_create_manual(&t.loop), 0);
	task_init(&a.task, t.loop, on_step, &a);
	task_init(&b.task, t.loop, on_step, &b);
	task_defer(&a.task);
	task_defer(&b.task);
	task_defer(&a.task);
	assert_int_equal(t.n, 0);
	task_cancel(&b.task);
	loop_turn(t.loop);
	loop_turn(t.loop);
	assert_int_equal(t.n, 1);
	t.loop = loop_destroy(t.loop);
}

static void *post_many(void *arg)
{
	struct step *steps = arg;

	for (int i = 0; i < 20; i++)
		loop_post(steps[i].trace->loop, &steps[i].post, on_step, &steps[i]);
	return NULL;
}

static void posts_of_a_thread_come_in_order(void **state)
{
	struct trace t = { 0 };
	struct step steps[20];

	assert_int_equal(loop_create(&t.loop), 0);
	for (int i = 0; i < 20; i++)
		steps[i] = (struct step){ .trace = &t, .number = i };
	assert_int_equal(pthread_create(&t.thread, NULL, post_many, steps), 0);
	while (t.n < 20)
		loop_turn(t.loop);
	assert_int_equal(pthread_join(t.thread, NULL), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(t.order[i], i);
	t.loop = loop_destroy(t.loop);
}

static void on_work(void *arg)
{
	struct step *s = arg;

	s->number = 42;
}

static void on_worked(void *arg)
{
	struct step *s = arg;

	on_step(s);
	loop_stop(s->trace->loop);
}

static void work_is_done_elsewhere_and_told_here(void **state)
{
	struct trace t = { 0 };
	struct step s = { .trace = &t };

	assert_int_equal(loop_create(&t.loop), 0);
	assert_int_equal(loop_work(t.loop, on_work, on_worked, &s), 0);
	loop_run(t.loop);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.order[0], 42);
	t.loop = loop_destroy(t.loop);
}

static void on_signal(void *arg, int signum)
{
	struct trace *t = arg;

	t->order[t->n++] = signum;
	loop_stop(t->loop);
}

static void signal_is_told_on_the_loop(void **state)
{
	struct trace t = { 0 };

	assert_int_equal(loop_create(&t.loop), 0);
	assert_int_equal(loop_on_signal(t.loop, SIGUSR1, on_signal, &t), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	loop_run(t.loop);
	assert_int_equal(t.order[0], SIGUSR1);
	t.loop = loop_destroy(t.loop);
}

static void real_timer_fires_after_its_delay(void **state)
{
	struct trace t = { 0 };
	struct step s = { .trace = &t };
	uint64_t before = loop_now_us();

	assert_int_equal(loop_create(&t.loop), 0);
	timer_init(&s.timer, t.loop, on_worked, &s);
	assert_int_equal(timer_start(&s.timer, 20), 0);
	loop_run(t.loop);
	assert_true(loop_now_us() - before >= 19000);
	t.loop = loop_destroy(t.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_the_order_of_their_times),
		cmocka_unit_test(moved_timer_fires_once_at_its_new_time),
		cmocka_unit_test(task_runs_in_a_later_turn_and_once),
		cmocka_unit_test(posts_of_a_thread_come_in_order),
		cmocka_unit_test(work_is_done_elsewhere_and_told_here),
		cmocka_unit_test(signal_is_told_on_the_loop),
		cmocka_unit_test(real_timer_fires_after_its_delay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
