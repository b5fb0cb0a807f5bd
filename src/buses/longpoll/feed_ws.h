/* SPDX-License-Identifier: MIT */
/* A WebSocket on a queue: each message is a text frame. */
#ifndef VOXBUS_BUSES_LONGPOLL_FEED_WS_H
#define VOXBUS_BUSES_LONGPOLL_FEED_WS_H

#include <stdbool.h>

#include "base/str.h"

struct http_request;
struct longpoll;
struct poll_params;

bool feed_ws_wanted(const struct http_request *request);
/* The request is answered with 101, or with what is wrong. */
void feed_ws_handle(struct longpoll *bus, struct http_request *request, struct str key,
		    const struct poll_params *params);

#endif
