/* SPDX-License-Identifier: MIT */
/*
 * Doubly linked lists whose links lie in the things themselves.
 *
 * A head and a link are both a `struct list`; a link that is on no list points to itself, so that
 * list_del may be called twice. Each head and each link names its partner where it is declared.
 */
#ifndef VOXBUS_BASE_LIST_H
#define VOXBUS_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Puts the link in front of `before`; with a head that is the end of the list. */
static inline void list_add_tail(struct list *before, struct list *link)
{
	link->prev = before->prev;
	link->next = before;
	before->prev->next = link;
	before->prev = link;
}

static inline void list_add_head(struct list *head, struct list *link)
{
	list_add_tail(head->next, link);
}

static inline void list_del(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* Moves all links of `from` to the end of `to`. */
static inline void list_splice_tail(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

/* The body may not remove `it`; list_for_each_safe allows that (and only that). */
#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
#define list_for_each_safe(it, head)                                              \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
	     it = it##_next, it##_next = it->next)

#endif
