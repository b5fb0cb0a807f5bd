/* SPDX-License-Identifier: MIT */
/* GET of a queue that stays for more than one message. Each answers the request, now or later. */
#ifndef VOXBUS_BUSES_LONGPOLL_FEED_HTTP_H
#define VOXBUS_BUSES_LONGPOLL_FEED_HTTP_H

#include <stdbool.h>

#include "base/str.h"

struct http_request;
struct longpoll;
struct poll_params;

/* Server-Sent Events, and whether a request asks for them: by Accept, or by sse=1. */
void feed_events_handle(struct longpoll *bus, struct http_request *request, struct str key,
			const struct poll_params *params);
bool feed_events_wanted(const struct http_request *request);
/* One JSON list: stream=1, linger, ack=manual. */
void feed_list_handle(struct longpoll *bus, struct http_request *request, struct str key,
		      const struct poll_params *params);

#endif
