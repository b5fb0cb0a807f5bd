/* SPDX-License-Identifier: MIT */
/*
 * The query parameters of a GET on a queue. Sources of their meaning: docs/manual/reading-queues.md.
 *
 *   timeout     0, 500ms, 15s, 5m or seconds; more than 10m is 10m   default: the bus's poll_timeout
 *   max         1 to 100 messages                                    default: 10
 *   empty       204: the status of an answer without messages        default: 200 and []
 *   include     dead: also events of calls that can't be answered now, and those of <path>/missed
 *   linger      a time, more than 10s is 10s: how long to wait for more behind the first message
 *   stream      1: each message as it comes, until timeout or max    default max: none
 *   ack         manual: messages are leased until their ids come back
 *   visibility  1s to 12h: how long they are leased; of feeds, how long one may be away
 *   last        of feeds: the id of the last message that the client has
 */
#ifndef VOXBUS_BUSES_LONGPOLL_POLL_PARAMS_H
#define VOXBUS_BUSES_LONGPOLL_POLL_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum {
	MESSAGES_MAX = 100,
	POLL_MAX_MS = 600000,
	LINGER_MAX_MS = 10000,
	VISIBILITY_MIN_MS = 1000,
	VISIBILITY_MAX_MS = 12 * 3600 * 1000,
};

struct http_request;
struct longpoll;

struct poll_params {
	uint64_t timeout_ms, max, linger_ms, visibility_ms;
	bool has_timeout, has_max, has_visibility; /* they were given */
	bool empty_204, dead, stream, manual;
};

/* False: the request was answered with what is wrong. */
bool poll_params_of(const struct longpoll *bus, struct http_request *request,
		    struct poll_params *ret);
/* The parameter `last`; p = NULL: none that could be an id. out has room for ITEM_ID_MAX bytes. */
struct str poll_last_id(const struct http_request *request, char *out);
/* Whether the query has that parameter, with that value. */
bool poll_param_is(const struct http_request *request, struct str name, struct str value);

#endif
