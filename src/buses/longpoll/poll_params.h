/* SPDX-License-Identifier: MIT */
/*
 * The query parameters of a GET on a queue. Sources of their meaning: docs/manual/pubsub.md.
 *
 *   timeout  0, 500ms, 15s, 5m or seconds; more than 10m is 10m   default: the bus's poll_timeout
 *   max      1 to 100 messages                                    default: 10
 *   empty    204: the status of an answer without messages        default: 200 and []
 *   include  dead: also events of calls that can't be answered now, and those of <path>/missed
 */
#ifndef VOXBUS_BUSES_LONGPOLL_POLL_PARAMS_H
#define VOXBUS_BUSES_LONGPOLL_POLL_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

enum { MESSAGES_MAX = 100, POLL_MAX_MS = 600000 };

struct http_request;
struct longpoll;

struct poll_params {
	uint64_t timeout_ms, max;
	bool empty_204, dead;
};

/* False: the request was answered with what is wrong. */
bool poll_params_of(const struct longpoll *bus, struct http_request *request,
		    struct poll_params *ret);

#endif
