/* SPDX-License-Identifier: MIT */
/* Who may accept next: a list that turns, and one task a loop. */
#include "net/acceptor.h"

#include <stdlib.h>

#include "loop/loop.h"

struct acceptor {
	struct list link; /* acceptors */
	struct loop *loop;
	unsigned refs;
	struct list ready; /* struct accepting.link */
	struct task task;
};

/* Of this thread's loops: one, but for tests. */
static _Thread_local struct list acceptors;

static void accept_some(void *arg)
{
	struct acceptor *a = arg;

	for (int i = 0; i < ACCEPTS_A_TURN && !list_empty(&a->ready); i++) {
		struct accepting *next = container_of(a->ready.next, struct accepting, link);

		list_del(&next->link);
		if (next->one(next))
			list_add_tail(&a->ready, &next->link);
	}
	if (!list_empty(&a->ready))
		task_defer(&a->task);
}

struct acceptor *acceptor_get(struct loop *loop)
{
	struct acceptor *a;

	if (!acceptors.next)
		list_init(&acceptors);
	list_for_each (it, &acceptors) {
		a = container_of(it, struct acceptor, link);
		if (a->loop == loop) {
			a->refs++;
			return a;
		}
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->loop = loop;
	a->refs = 1;
	list_init(&a->ready);
	task_init(&a->task, loop, accept_some, a);
	list_add_tail(&acceptors, &a->link);
	return a;
}

void acceptor_put(struct acceptor *a)
{
	if (!a || --a->refs)
		return;
	task_cancel(&a->task);
	list_del(&a->link);
	free(a);
}

void acceptor_enter(struct acceptor *a, struct accepting *accepting)
{
	if (list_empty(&accepting->link))
		list_add_tail(&a->ready, &accepting->link);
	task_defer(&a->task);
}

void acceptor_leave(struct accepting *accepting)
{
	list_del(&accepting->link);
}
