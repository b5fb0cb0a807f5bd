/* SPDX-License-Identifier: MIT */
/*
 * Who waits for the journal to come so far: a queue in the order of log sequence numbers.
 *
 * Room is reserved before anything is appended, so that what the journal took always finds its
 * place here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/core_internal.h"

int waitings_reserve(struct waitings *w)
{
	if (w->head && w->head == w->n)
		w->head = w->n = 0;
	if (w->n == w->cap) {
		size_t live = w->n - w->head, cap = w->cap;
		struct waiting *at = w->at;

		if (w->head > w->cap / 2) {
			memmove(at, at + w->head, live * sizeof(*at));
		} else {
			cap = cap ? cap * 2 : 64;
			at = malloc(cap * sizeof(*at));
			if (!at)
				return -ENOMEM;
			if (live)
				memcpy(at, w->at + w->head, live * sizeof(*at));
			free(w->at);
		}
		*w = (struct waitings){ at, 0, live, cap };
	}
	return 0;
}

void waitings_push(struct waitings *w, const struct waiting *entry)
{
	w->at[w->n++] = *entry;
}

bool waitings_pop(struct waitings *w, uint64_t lsn, struct waiting *ret)
{
	if (w->head == w->n || w->at[w->head].lsn > lsn)
		return false;
	*ret = w->at[w->head++];
	return true;
}
