/* SPDX-License-Identifier: MIT */
/* The few URLs that a configuration holds: where to dial, what to ask for there. */
#ifndef VOXBUS_NET_ENDPOINT_H
#define VOXBUS_NET_ENDPOINT_H

#include "base/err.h"
#include "base/str.h"
#include "net/address.h"

struct endpoint {
	bool tls;                            /* https, wss */
	char address[ADDRESS_HOST_SIZE + 8]; /* for conn_connect: the port is always there */
	char host[ADDRESS_HOST_SIZE + 8];    /* for the Host header: as it was given */
	struct str target; /* "/path?query", at least "/"; lies in the URL's bytes */
};

/*
 * "<scheme>://host[:port][/path][?query]" with one of two schemes (port 80 unless given) or with an s
 * behind one of them (TLS, port 443), or, with is_unix, "unix:/path". 0, or -EINVAL with a sentence:
 * another scheme, a user in it, a fragment, bytes that no URL has.
 */
int endpoint_parse(struct str s, struct str scheme, struct str alias, bool is_unix,
		   struct endpoint *ret, struct err *e);

#endif
