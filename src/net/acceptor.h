/* SPDX-License-Identifier: MIT */
/*
 * The pace of accepting: all listeners of a loop share one number of accepts a turn.
 *
 * A listener whose socket is ready enters; in the next turn those that have entered accept one
 * connection each, round and round, until none has any or the turn's share is used up. So neither a
 * burst at one listener nor many listeners at once hold up those who are connected, and a quiet
 * listener never waits behind a busy one for longer than a round.
 */
#ifndef VOXBUS_NET_ACCEPTOR_H
#define VOXBUS_NET_ACCEPTOR_H

#include <stdbool.h>

#include "base/list.h"

struct acceptor;
struct loop;

enum { ACCEPTS_A_TURN = 64 }; /* some 1 ms */

/* Lies in a listener. */
struct accepting {
	struct list link; /* acceptor.ready */
	/* Accepts one: true when there may be more. It may call acceptor_leave. */
	bool (*one)(struct accepting *accepting);
};

/* The acceptor of the loop with a reference, made by the first who asks; NULL: no memory. */
struct acceptor *acceptor_get(struct loop *loop);
void acceptor_put(struct acceptor *acceptor);
/* Something can be accepted: `one` is called in the next turn. */
void acceptor_enter(struct acceptor *acceptor, struct accepting *accepting);
/* Also of one that has not entered, if its link was initialised. */
void acceptor_leave(struct accepting *accepting);

#endif
