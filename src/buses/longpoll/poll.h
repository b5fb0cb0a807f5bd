/* SPDX-License-Identifier: MIT */
/* GET and HEAD of a queue. Each answers the request, now or later. */
#ifndef VOXBUS_BUSES_LONGPOLL_POLL_H
#define VOXBUS_BUSES_LONGPOLL_POLL_H

#include "base/str.h"

struct http_request;
struct longpoll;

void poll_handle(struct longpoll *bus, struct http_request *request, struct str key);
void poll_length(struct longpoll *bus, struct http_request *request, struct str key);

#endif
