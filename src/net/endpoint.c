/* SPDX-License-Identifier: MIT */
/* Taking URLs apart (RFC 3986), as strictly as a configuration deserves. */
#include "net/endpoint.h"

#include <errno.h>
#include <stdio.h>

static bool is_printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return true;
}

/* What is behind "scheme://" or "schemes://", or p = NULL. */
static struct str behind_scheme(struct str s, struct str scheme, bool *ret_tls)
{
	struct str rest;

	if (s.n <= scheme.n || !str_eq_nocase(str_make(s.p, scheme.n), scheme))
		return str_make(NULL, 0);
	rest = str_skip(s, scheme.n);
	*ret_tls = str_eq_nocase(str_make(rest.p, 1), STR("s"));
	rest = str_skip(rest, *ret_tls);
	if (rest.n > 3 && str_starts(rest, STR("://")))
		return str_skip(rest, 3);
	return str_make(NULL, 0);
}

static int parse_authority(struct str s, struct str authority, struct endpoint *u, struct err *e)
{
	struct address a;
	struct str tail = authority;
	int rc;

	if (memchr(authority.p, '@', authority.n))
		return err_set(e, -EINVAL,
			       "the URL has a user name in it: give it in a key of its own");
	if (authority.n >= sizeof(u->host))
		return err_set(e, -EINVAL, "%.80s...: the host name is too long", s.p);
	(void)snprintf(u->host, sizeof(u->host), "%.*s", STR_ARG(authority));
	/* A colon behind the brackets of an IPv6 address is a port's. */
	if (authority.n && authority.p[0] == '[')
		tail = str_skip(authority, str_find(authority, ']'));
	rc = snprintf(u->address, sizeof(u->address), "%s%s", u->host,
		      str_find(tail, ':') < tail.n ? ""
		      : u->tls                     ? ":443"
						   : ":80");
	if (rc < 0 || (size_t)rc >= sizeof(u->address))
		return err_set(e, -EINVAL, "%.80s...: the host name is too long", s.p);
	rc = address_parse(str_from(u->address), &a, e);
	return rc < 0 ? err_prefix(e, rc, "%.*s", STR_ARG(s)) : 0;
}

int endpoint_parse(struct str s, struct str scheme, struct str alias, bool is_unix,
		   struct endpoint *ret, struct err *e)
{
	struct address a;
	struct str rest;
	size_t end;

	*ret = (struct endpoint){ 0 };
	if (is_unix && str_starts(s, STR("unix:"))) {
		int rc = address_parse(s, &a, e);

		(void)snprintf(ret->address, sizeof(ret->address), "%.*s", STR_ARG(s));
		(void)snprintf(ret->host, sizeof(ret->host), "localhost");
		ret->target = STR("/");
		return rc;
	}
	rest = behind_scheme(s, scheme, &ret->tls);
	if (!rest.p)
		rest = behind_scheme(s, alias, &ret->tls);
	if (!rest.p)
		return err_set(e, -EINVAL, "%.*s: must be %.*s://host:port/path%s", STR_ARG(s),
			       STR_ARG(scheme), is_unix ? " or unix:/path" : "");
	if (!is_printable(rest) || memchr(rest.p, '#', rest.n))
		return err_set(e, -EINVAL, "%.*s: has bytes that may not be in a URL", STR_ARG(s));
	end = str_find(rest, '/');
	if (str_find(rest, '?') < end)
		return err_set(e, -EINVAL, "%.*s: a path must stand before the '?': /?...",
			       STR_ARG(s));
	ret->target = end < rest.n ? str_skip(rest, end) : STR("/");
	return parse_authority(s, str_make(rest.p, end), ret, e);
}
