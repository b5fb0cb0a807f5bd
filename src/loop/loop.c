/* SPDX-License-Identifier: MIT */
/*
 * One libuv loop with our timers, tasks and posts around it.
 *
 * Timers: a heap, and one uv_timer set to the earliest. Tasks: a list run by an idle handle that
 * is only active while the list is not empty (an active idle handle makes libuv poll without
 * waiting). Posts: a list under a mutex, woken by a uv_async. A manual loop differs in its clock
 * alone: loop_test_advance moves it from timer to timer.
 */
#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "loop/heap.h"
#include "loop/loop_uv.h"

enum {
	MANUAL_START_MS = 1000,
	TASK_ROUNDS =
		3, /* a task that leads to a task that leads to a task: no look at the sockets between */
};

struct work {
	uv_work_t req;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

struct watch {
	uv_signal_t handle;
	struct list link; /* loop.watches */
	void (*fn)(void *arg, int signum);
	void *arg;
};

struct loop {
	uv_loop_t uv;
	uv_timer_t alarm;
	uv_idle_t idle;
	uv_async_t wake;
	struct heap timers;
	struct list tasks; /* struct task.link */
	uint32_t turn;
	struct list watches; /* struct watch.link */
	uv_mutex_t mutex;
	struct list posts; /* struct post.link, under mutex */
	bool manual;
	uint64_t manual_ms;
};

uv_loop_t *loop_uv(struct loop *loop)
{
	return &loop->uv;
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->manual ? loop->manual_ms : uv_now(&loop->uv);
}

uint64_t loop_now_us(void)
{
	return uv_hrtime() / 1000;
}

static void on_alarm(uv_timer_t *handle);

static void set_alarm(struct loop *loop)
{
	struct timer *first = heap_first(&loop->timers);
	uint64_t now = loop_now(loop);

	if (loop->manual)
		return;
	if (first)
		(void)uv_timer_start(&loop->alarm, on_alarm,
				     first->due_ms > now ? first->due_ms - now : 0, 0);
	else
		(void)uv_timer_stop(&loop->alarm);
}

/* Fires what was due when it began; what a callback starts anew waits for the next turn. */
static void fire_due(struct loop *loop)
{
	uint64_t now = loop_now(loop);
	struct timer *t;

	for (size_t rounds = loop->timers.n; rounds; rounds--) {
		t = heap_first(&loop->timers);
		if (!t || t->due_ms > now)
			break;
		heap_del(&loop->timers, t);
		t->fn(t->arg);
	}
}

static void on_alarm(uv_timer_t *handle)
{
	struct loop *loop = handle->data;

	fire_due(loop);
	set_alarm(loop);
}

/* Those that are there now, but for those that have run in this turn. */
static void run_tasks(struct loop *loop, struct list *again)
{
	struct list now;

	list_init(&now);
	list_splice_tail(&now, &loop->tasks);
	while (!list_empty(&now)) {
		struct task *t = container_of(now.next, struct task, link);

		list_del(&t->link);
		if (t->turn == loop->turn) {
			list_add_tail(again, &t->link);
			continue;
		}
		t->turn = loop->turn;
		t->fn(t->arg);
	}
}

static void on_idle(uv_idle_t *handle)
{
	struct loop *loop = handle->data;
	struct list again;

	list_init(&again);
	loop->turn++;
	for (int i = 0; i < TASK_ROUNDS && !list_empty(&loop->tasks); i++)
		run_tasks(loop, &again);
	list_splice_tail(&again, &loop->tasks);
	list_splice_tail(&loop->tasks, &again);
	if (list_empty(&loop->tasks))
		(void)uv_idle_stop(&loop->idle);
}

static void on_wake(uv_async_t *handle)
{
	struct loop *loop = handle->data;
	struct list now;

	list_init(&now);
	uv_mutex_lock(&loop->mutex);
	list_splice_tail(&now, &loop->posts);
	uv_mutex_unlock(&loop->mutex);
	while (!list_empty(&now)) {
		struct post *p = container_of(now.next, struct post, link);

		list_del(&p->link);
		p->fn(p->arg);
	}
}

static int start_handles(struct loop *loop)
{
	int rc = uv_async_init(&loop->uv, &loop->wake, on_wake);

	if (rc < 0)
		return rc;
	(void)uv_timer_init(&loop->uv, &loop->alarm);
	(void)uv_idle_init(&loop->uv, &loop->idle);
	loop->alarm.data = loop->idle.data = loop->wake.data = loop;
	return 0;
}

static int create(bool manual, struct loop **ret)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int rc;

	if (!loop)
		return -ENOMEM;
	loop->manual = manual;
	loop->manual_ms = MANUAL_START_MS;
	list_init(&loop->tasks);
	list_init(&loop->watches);
	list_init(&loop->posts);
	rc = loop_uv_init(&loop->uv);
	if (rc < 0)
		goto fail;
	rc = uv_mutex_init(&loop->mutex);
	if (rc < 0)
		goto fail_loop;
	rc = start_handles(loop);
	if (rc < 0)
		goto fail_mutex;
	*ret = loop;
	return 0;

fail_mutex:
	uv_mutex_destroy(&loop->mutex);
fail_loop:
	(void)uv_loop_close(&loop->uv);
fail:
	free(loop);
	return rc;
}

int loop_create(struct loop **ret)
{
	return create(false, ret);
}

int loop_create_manual(struct loop **ret)
{
	return create(true, ret);
}

static void free_watch(uv_handle_t *handle)
{
	free(handle->data);
}

struct loop *loop_destroy(struct loop *loop)
{
	int rc;

	if (!loop)
		return NULL;
	on_wake(&loop->wake);
	list_for_each_safe (it, &loop->watches) {
		struct watch *w = container_of(it, struct watch, link);

		list_del(&w->link);
		uv_close((uv_handle_t *)&w->handle, free_watch);
	}
	uv_close((uv_handle_t *)&loop->alarm, NULL);
	uv_close((uv_handle_t *)&loop->idle, NULL);
	uv_close((uv_handle_t *)&loop->wake, NULL);
	(void)uv_run(&loop->uv, UV_RUN_DEFAULT);
	rc = uv_loop_close(&loop->uv);
	assert(rc == 0); /* else somebody left a handle open */
	uv_mutex_destroy(&loop->mutex);
	heap_fini(&loop->timers);
	free(loop);
	return NULL;
}

void loop_run(struct loop *loop)
{
	(void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
	uv_stop(&loop->uv);
}

void loop_turn(struct loop *loop)
{
	/* Without a live handle libuv would not even look at the posts. */
	uv_ref((uv_handle_t *)&loop->wake);
	(void)uv_run(&loop->uv, UV_RUN_NOWAIT);
	uv_unref((uv_handle_t *)&loop->wake);
	if (loop->manual)
		fire_due(loop);
}

void loop_test_advance(struct loop *loop, uint64_t ms)
{
	uint64_t until = loop->manual_ms + ms;

	assert(loop->manual);
	for (;;) {
		struct timer *t = heap_first(&loop->timers);

		if (!t || t->due_ms > until)
			break;
		if (t->due_ms > loop->manual_ms)
			loop->manual_ms = t->due_ms;
		loop_turn(loop);
	}
	loop->manual_ms = until;
	loop_turn(loop);
}

void timer_init(struct timer *t, struct loop *loop, void (*fn)(void *arg), void *arg)
{
	*t = (struct timer){ .loop = loop, .fn = fn, .arg = arg };
}

int timer_start(struct timer *t, uint64_t delay_ms)
{
	int rc;

	if (t->place)
		heap_del(&t->loop->timers, t);
	t->due_ms = loop_now(t->loop) + delay_ms;
	rc = heap_add(&t->loop->timers, t);
	if (heap_first(&t->loop->timers) == t)
		set_alarm(t->loop);
	return rc;
}

void timer_stop(struct timer *t)
{
	if (t->place)
		heap_del(&t->loop->timers, t);
	/* The alarm may now ring for nothing: cheaper than setting it anew each time. */
}

void task_init(struct task *t, struct loop *loop, void (*fn)(void *arg), void *arg)
{
	*t = (struct task){ .loop = loop, .fn = fn, .arg = arg };
	list_init(&t->link);
}

void task_defer(struct task *t)
{
	if (task_waiting(t))
		return;
	list_add_tail(&t->loop->tasks, &t->link);
	(void)uv_idle_start(&t->loop->idle, on_idle);
}

void task_cancel(struct task *t)
{
	list_del(&t->link);
}

void loop_post(struct loop *loop, struct post *post, void (*fn)(void *arg), void *arg)
{
	*post = (struct post){ .fn = fn, .arg = arg };
	uv_mutex_lock(&loop->mutex);
	list_add_tail(&loop->posts, &post->link);
	uv_mutex_unlock(&loop->mutex);
	(void)uv_async_send(&loop->wake);
}

static void on_work(uv_work_t *req)
{
	struct work *w = req->data;

	w->work(w->arg);
}

static void on_worked(uv_work_t *req, int status)
{
	struct work *w = req->data;

	w->done(w->arg);
	free(w);
}

int loop_work(struct loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct work *w = malloc(sizeof(*w));
	int rc;

	if (!w)
		return -ENOMEM;
	*w = (struct work){ .work = work, .done = done, .arg = arg };
	w->req.data = w;
	rc = uv_queue_work(&loop->uv, &w->req, on_work, on_worked);
	if (rc < 0)
		free(w);
	return rc;
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct watch *w = handle->data;

	w->fn(w->arg, signum);
}

int loop_on_signal(struct loop *loop, int signum, void (*fn)(void *arg, int signum), void *arg)
{
	struct watch *w = malloc(sizeof(*w));
	int rc;

	if (!w)
		return -ENOMEM;
	w->fn = fn;
	w->arg = arg;
	rc = uv_signal_init(&loop->uv, &w->handle);
	if (rc < 0) {
		free(w);
		return rc;
	}
	w->handle.data = w;
	list_add_tail(&loop->watches, &w->link);
	uv_unref((uv_handle_t *)&w->handle);
	return uv_signal_start(&w->handle, on_signal, signum);
}
