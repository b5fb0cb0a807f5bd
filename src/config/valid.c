/* SPDX-License-Identifier: MIT */
/* Syntax of single values. Nothing is looked up: whether a host exists is not our question. */
#include "config/valid.h"

#include <arpa/inet.h>

#include "base/network.h"

enum {
	NAME_MAX_BYTES = 64,
	PATH_MAX_BYTES = 1024,
	HOST_MAX = 253,
	UNIX_PATH_MAX = 107, /* sun_path without its NUL */
};

static bool is_alnum(char c)
{
	char low = (char)(c | 0x20);

	return (c >= '0' && c <= '9') || (low >= 'a' && low <= 'z');
}

static bool made_of(struct str s, size_t max, const char *others)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_alnum(s.p[i]) && (s.p[i] == '\0' || !strchr(others, s.p[i])))
			return false;
	}
	return s.n > 0 && s.n <= max;
}

bool valid_name(struct str s)
{
	return made_of(s, NAME_MAX_BYTES, "_.-");
}

bool valid_sid(struct str s)
{
	static const struct str reserved[] = {
		STR_INIT("api"),      STR_INIT("ari"),  STR_INIT("auth"),    STR_INIT("console"),
		STR_INIT("cticache"), STR_INIT("docs"), STR_INIT("healthz"), STR_INIT("metrics"),
		STR_INIT("readyz"),   STR_INIT("rest"), STR_INIT("v1"),
	};

	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++) {
		if (str_eq(s, reserved[i]))
			return false;
	}
	return made_of(s, NAME_MAX_BYTES, "_-");
}

bool valid_path(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 127)
			return false;
	}
	return s.n > 0 && s.n <= PATH_MAX_BYTES && *s.p == '/';
}

static bool is_inet(int family, struct str s)
{
	unsigned char address[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];

	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, address) == 1;
}

bool valid_host(struct str s)
{
	bool digits = true;

	if (!made_of(s, HOST_MAX, "._-") || !is_alnum(s.p[0]))
		return false;
	for (size_t i = 0; i < s.n && digits; i++)
		digits = (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '.';
	return !digits || is_inet(AF_INET, s);
}

static bool is_port(struct str s, uint64_t min)
{
	uint64_t port;

	return s.n <= 5 && str_u64(s, &port) == 0 && port >= min && port <= 65535;
}

/* Cuts the host off: what is left is empty or begins with what followed it. */
static bool host_cut(struct str *s)
{
	struct str host;
	size_t end;

	if (s->n && *s->p == '[') {
		end = str_find(*s, ']');
		if (end == s->n || !is_inet(AF_INET6, str_make(s->p + 1, end - 1)))
			return false;
		*s = str_skip(*s, end + 1);
		return true;
	}
	host = str_make(s->p, str_find(*s, ':'));
	*s = str_skip(*s, host.n);
	return valid_host(host);
}

bool valid_address(struct str s)
{
	if (str_starts(s, STR("unix:"))) {
		s = str_skip(s, 5);
		return s.n > 1 && s.n <= UNIX_PATH_MAX && valid_path(s);
	}
	return host_cut(&s) && s.n && *s.p == ':' && is_port(str_skip(s, 1), 0);
}

bool valid_listen(struct str s)
{
	size_t scheme = 0;

	if (str_starts(s, STR("http://")))
		scheme = 7;
	else if (str_starts(s, STR("https://")))
		scheme = 8;
	return valid_address(str_skip(s, scheme)) &&
	       (!scheme || !str_starts(str_skip(s, scheme), STR("unix:")));
}

bool valid_http_url(struct str s)
{
	struct str authority, path;
	size_t slash;

	if (!str_starts(s, STR("http://")) && !str_starts(s, STR("https://")))
		return false;
	s = str_skip(s, str_find(s, '/') + 2);
	slash = str_find(s, '/');
	authority = str_make(s.p, slash);
	path = str_skip(s, slash);
	if (path.n && !made_of(path, 1024, "/._~-%+"))
		return false;
	return host_cut(&authority) &&
	       (!authority.n || (*authority.p == ':' && is_port(str_skip(authority, 1), 1)));
}

bool valid_network(struct str s)
{
	struct network network;

	return network_parse(s, &network) == 0;
}
