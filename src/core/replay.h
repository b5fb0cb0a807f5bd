/* SPDX-License-Identifier: MIT */
/* Giving a call's events out again, on another topic. */
#ifndef VOXBUS_CORE_REPLAY_H
#define VOXBUS_CORE_REPLAY_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct hub;

enum {
	REPLAY_REAL_TIME = 1000, /* `speed` at which it takes as long as it took */
	REPLAY_SPEED_MAX = 1000000000,
	REPLAY_TOPIC_MAX = 200,
};

struct replay_options {
	struct str dialog; /* open, ending, or closed and still there */
	struct str topic;  /* of the application's bus; empty: replay_<dialog> */
	uint64_t speed;    /* thousandths of the recorded pace; 0: at once */
};

struct replay_view {
	uint64_t first, events; /* the number of the first, and how many there are */
	char topic[REPLAY_TOPIC_MAX + 1];
};

/*
 * Begins: the events that are there now follow in their order, each with MSG_REPLAYED. 0, or a
 * sentence: -ENOENT no such call, -ENODATA none of its events is there, -EINVAL the topic is not one
 * for this, -EBUSY that topic has a replay, or too many run, -ENOMEM.
 */
int hub_replay(struct hub *hub, const struct replay_options *options, struct replay_view *ret,
	       struct err *e);
/* Ends all of them: before the hub's streams and ports go. */
void replays_end(struct hub *hub);

#endif
