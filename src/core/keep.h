/* SPDX-License-Identifier: MIT */
/* Events of a call that stay after they were delivered (keep.c). The core's own. */
#ifndef VOXBUS_CORE_KEEP_H
#define VOXBUS_CORE_KEEP_H

#include "core/cursor.h"

struct dialog;
struct hub;

/* Of a dialog. */
struct keep {
	struct cursor *cursor; /* holds all of its events; NULL: nothing is kept */
	uint64_t closed_ns;    /* by the wall clock, for the next run */
	uint64_t until_ms;     /* it has closed: kept so long */
	uint64_t saved;        /* keep_sent, as the journal knows it */
};

/* A new dialog, or one of before a restart: 0 or -ENOMEM. */
int keep_begin(struct dialog *dialog);
void keep_fini(struct dialog *dialog);
/* What the journal knew of it. */
void keep_recovered(struct dialog *dialog, uint64_t closed_ns, uint64_t sent, bool closed);
/* It closes, or has closed before a restart: now time runs. */
void keep_closed(struct dialog *dialog);
/* How long it must stay yet, in ms; 0: it may go. */
uint64_t keep_left(const struct dialog *dialog);
/* Events below that number were delivered for good; 0: not kept, so the stream knows. */
uint64_t keep_sent(const struct dialog *dialog);
/* Every second, while an application keeps: notes in the journal how far deliveries have come. */
void keep_note(void *hub);

#endif
