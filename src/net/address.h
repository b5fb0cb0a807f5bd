/* SPDX-License-Identifier: MIT */
/*
 * What stands in a configuration where a socket is meant: "127.0.0.1:8090", "[::1]:8090",
 * "host:8090" or "unix:/path", read into what the kernel wants, and back into text for logs.
 */
#ifndef VOXBUS_NET_ADDRESS_H
#define VOXBUS_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/str.h"

enum {
	ADDRESS_HOST_SIZE = 256, /* RFC 1035: a name has at most 253 bytes */
	ADDRESS_TEXT_SIZE = 56,  /* "[" + 45 bytes of IPv6 + "]:65535" and a NUL */
};

union address_socket {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage room;
};

struct address {
	union address_socket socket; /* unless is_name */
	socklen_t len;
	bool is_name;                 /* host is to be looked up */
	char host[ADDRESS_HOST_SIZE]; /* of a name */
	uint16_t port;
};

/* How a peer shows in logs. */
struct address_text {
	char text[ADDRESS_TEXT_SIZE]; /* "127.0.0.1:53124", "[::1]:53124" or "unix" */
	uint8_t host_at, host_n;      /* the part without port and brackets */
	bool is_loopback;             /* 127.0.0.0/8, ::1 or a Unix socket */
};

/* 0, or -EINVAL with a sentence that names the address and what is allowed. */
int address_parse(struct str s, struct address *ret, struct err *e);
/* An IPv4 address mapped into IPv6 is written as the IPv4 address that it is. */
void address_describe(const struct sockaddr *sa, struct address_text *ret);

#endif
