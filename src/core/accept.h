/* SPDX-License-Identifier: MIT */
/* Calls that a worker must accept in time (accept.c). The core's own. */
#ifndef VOXBUS_CORE_ACCEPT_H
#define VOXBUS_CORE_ACCEPT_H

#include "core/cursor.h"
#include "core/hub.h"

struct dialog;

/* Of a dialog. */
struct accept {
	bool accepted;         /* a worker has said something, or nobody need */
	unsigned tries;        /* times that it was announced, under this name or another */
	struct timer timer;    /* since the AppStart went out */
	struct task move;      /* goes on copying */
	struct cursor *keeper; /* holds the events until somebody has accepted */
	struct dialog *heir;   /* whom they are copied to; NULL: not now */
	bool unborn;           /* it is an heir that has no objects yet: not to be announced */
};

void accept_prepare(struct dialog *dialog);
void accept_fini(struct dialog *dialog);
/* A new dialog, announced for the tries-th time: keeps its events from now on. 0 or -ENOMEM. */
int accept_begin(struct dialog *dialog, unsigned tries);
/* Its AppStart has gone out, or can be fetched: now time runs. */
void accept_announced(struct dialog *dialog);
/* A worker has it, or the call is over: nothing is kept for another one. */
void accept_done(struct dialog *dialog);

#endif
