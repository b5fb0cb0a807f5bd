/* SPDX-License-Identifier: MIT */
/* Addresses and prefixes, compared bit by bit. */
#include "base/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

/* An address alone: all of its bits count. */
static int parse_address(struct str s, struct network *ret)
{
	char text[INET6_ADDRSTRLEN];

	*ret = (struct network){ 0 };
	if (str_eq(s, STR("unix"))) {
		ret->family = AF_UNIX;
		return 0;
	}
	if (!s.n || s.n >= sizeof(text) || memchr(s.p, 0, s.n))
		return -EINVAL;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET, text, ret->bytes) == 1) {
		ret->family = AF_INET;
		ret->prefix = 32;
		return 0;
	}
	if (inet_pton(AF_INET6, text, ret->bytes) != 1)
		return -EINVAL;
	ret->family = AF_INET6;
	ret->prefix = 128;
	return 0;
}

/* The first `prefix` bits are the same. */
static bool same_bits(const unsigned char *a, const unsigned char *b, unsigned prefix)
{
	unsigned whole = prefix / 8, rest = prefix % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return !rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

static bool ends_in_zeros(const struct network *n)
{
	for (unsigned bit = n->prefix; bit < 8 * sizeof(n->bytes); bit++)
		if (n->bytes[bit / 8] & 0x80 >> bit % 8)
			return false;
	return true;
}

int network_parse(struct str s, struct network *ret)
{
	struct str rest = s;
	struct str address = str_cut(&rest, '/');
	uint64_t prefix;
	int rc = parse_address(address, ret);

	if (rc < 0 || !rest.p)
		return rc;
	if (str_u64(rest, &prefix) < 0 || prefix > ret->prefix || ret->family == AF_UNIX)
		return -EINVAL;
	ret->prefix = (unsigned)prefix;
	return ends_in_zeros(ret) ? 0 : -EINVAL;
}

bool network_has(const struct network *network, struct str address)
{
	struct network one;

	return parse_address(address, &one) == 0 && one.family == network->family &&
	       same_bits(one.bytes, network->bytes, network->prefix);
}
