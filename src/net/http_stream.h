/* SPDX-License-Identifier: MIT */
/* What is known of an answer in pieces (http_stream_begin) while it is under way. */
#ifndef VOXBUS_NET_HTTP_STREAM_H
#define VOXBUS_NET_HTTP_STREAM_H

#include <stdbool.h>

struct conn_progress;
struct http_request;

/*
 * How far the client has come. False: nothing is known. Inside on_gone only `all` tells: a client that
 * closed in order had acknowledged everything.
 */
bool http_stream_progress(const struct http_request *request, struct conn_progress *ret);

#endif
