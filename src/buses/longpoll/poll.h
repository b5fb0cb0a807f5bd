/* SPDX-License-Identifier: MIT */
/* GET and HEAD of a queue. Each answers the request, now or later. */
#ifndef VOXBUS_BUSES_LONGPOLL_POLL_H
#define VOXBUS_BUSES_LONGPOLL_POLL_H

#include <stdbool.h>

#include "base/str.h"

struct http_request;
struct longpoll;
struct poll_params;

void poll_handle(struct longpoll *bus, struct http_request *request, struct str key,
		 const struct poll_params *params);
/* The answer of a poll that found nothing: [], or 204. */
void poll_answer_nothing(struct http_request *request, bool empty_204);
void poll_length(struct longpoll *bus, struct http_request *request, struct str key);

#endif
