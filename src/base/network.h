/* SPDX-License-Identifier: MIT */
/* Networks as they are configured: "10.0.0.0/8", "::1", "unix" (whoever comes by a Unix socket). */
#ifndef VOXBUS_BASE_NETWORK_H
#define VOXBUS_BASE_NETWORK_H

#include "base/str.h"

struct network {
	int family;              /* AF_INET, AF_INET6, AF_UNIX */
	unsigned prefix;         /* bits that count */
	unsigned char bytes[16]; /* in network order */
};

/* 0, or -EINVAL: not one of the above, or with bits behind the prefix ("10.1.0.0/8"). */
int network_parse(struct str s, struct network *ret);
/* Whether the address, which is none at all or as in logs without its port, belongs to it. */
bool network_has(const struct network *network, struct str address);

#endif
