/* SPDX-License-Identifier: MIT */
/* The URL of a request, as whoever sent it knows it. */
#ifndef VOXBUS_NET_HTTP_URL_H
#define VOXBUS_NET_HTTP_URL_H

#include "base/buf.h"
#include "net/http_server.h"

struct http_origin {
	const char *public_url;             /* "https://vb.example.com"; NULL: not known */
	const char *const *trusted_proxies; /* networks, as network_parse */
	size_t n_trusted_proxies;
};

/*
 * Appends the URL that the client used, as far as it can be known: public_url, else scheme and host
 * as a trusted proxy forwards them, else of the connection and its Host; then path and query as
 * they were received. 0 or as buf_add. While nobody has gone.
 */
int http_request_url(const struct http_request *request, struct buf *ret);

#endif
