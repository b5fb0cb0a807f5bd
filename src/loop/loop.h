/* SPDX-License-Identifier: MIT */
/*
 * The one thread that owns all state: timers, tasks, posts, signals, and work sent elsewhere.
 *
 * libuv is behind it and shows only in loop_uv.h, for those who do I/O. Timers are ours (a heap in
 * the loop), because they lie inside the things that use them, cost no allocation, and obey a
 * clock that a test can move (loop_create_manual).
 * Unless a function says otherwise it is called on the loop's thread.
 */
#ifndef VOXBUS_LOOP_LOOP_H
#define VOXBUS_LOOP_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct loop;

/* 0, -ENOMEM or libuv's negative errno. */
int loop_create(struct loop **ret);
/*
 * For tests: time stands still at 1000 ms until loop_test_advance moves it; I/O, posts and tasks
 * work as ever and are driven by loop_turn.
 */
int loop_create_manual(struct loop **ret);
/* All handles must be closed by their owners; runs what is needed for their last callbacks. */
struct loop *loop_destroy(struct loop *loop);
/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* One turn without waiting: due I/O, tasks and timers. */
void loop_turn(struct loop *loop);
/* A manual loop: moves the clock ms forward, firing each timer at its own moment, with a turn after. */
void loop_test_advance(struct loop *loop, uint64_t ms);

/* Monotonic milliseconds, as of the beginning of this turn. */
uint64_t loop_now(const struct loop *loop);
/* Monotonic microseconds, read now: for measuring, never for deadlines. */
uint64_t loop_now_us(void);

/* A timer lies in its user; the user stops it before it goes. */
struct timer {
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
	uint64_t due_ms;
	size_t place; /* in the heap, from 1; 0 = not running */
};

void timer_init(struct timer *t, struct loop *loop, void (*fn)(void *arg), void *arg);
/* Calls fn once, in delay_ms or a little later; a running timer is moved. 0 or -ENOMEM. */
int timer_start(struct timer *t, uint64_t delay_ms);
void timer_stop(struct timer *t);
static inline bool timer_running(const struct timer *t)
{
	return t->place != 0;
}

/*
 * Something to do outside of the call that asked for it, on the same thread: in this turn if that comes from
 * another task, else in the next. The same task runs once a turn at most, so that one which does a part
 * of its work and defers itself for the rest lets the sockets have their turn. It lies in its user.
 */
struct task {
	struct list link; /* loop.tasks */
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
	uint32_t turn; /* in which it ran last */
};

void task_init(struct task *t, struct loop *loop, void (*fn)(void *arg), void *arg);
/* Runs fn once; deferring a waiting task again changes nothing. */
void task_defer(struct task *t);
void task_cancel(struct task *t);
static inline bool task_waiting(const struct task *t)
{
	return !list_empty(&t->link);
}

struct post {
	struct list link; /* loop.posts */
	void (*fn)(void *arg);
	void *arg;
};

/*
 * From any thread: fn(arg) runs on the loop's, in the order of the posts. The post is the loop's from now
 * until fn is called, and needs no memory: what a thread has to tell is told.
 */
void loop_post(struct loop *loop, struct post *post, void (*fn)(void *arg), void *arg);
/*
 * work(arg) on a thread of libuv's pool, then done(arg) on the loop. For short blocking calls
 * (a file read, a name look-up). 0 or -ENOMEM.
 */
int loop_work(struct loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg);
/* fn(arg, signum) on the loop at each signal, until the loop goes. 0 or a negative errno. */
int loop_on_signal(struct loop *loop, int signum, void (*fn)(void *arg, int signum), void *arg);

#endif
