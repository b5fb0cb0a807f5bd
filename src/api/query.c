/* SPDX-License-Identifier: MIT */
/*
 * Query parameters (RFC 3986 section 3.4, with '+' for a space as forms have it), and globs.
 *
 * The glob goes back to the last star only, so its time is bounded by the product of the lengths.
 */
#include "api/query.h"

#include <errno.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int decode(struct str s, struct buf *ret)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i] == '+' ? ' ' : s.p[i];
		int rc;

		if (c == '%') {
			int high = i + 1 < s.n ? hex_value(s.p[i + 1]) : -1;
			int low = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -EBADMSG;
			c = (char)(high << 4 | low);
			i += 2;
		}
		rc = buf_addc(ret, c);
		if (rc < 0)
			return rc;
	}
	return 1;
}

int query_get(struct str query, struct str name, struct buf *ret)
{
	while (query.p && query.n) {
		struct str value = str_cut(&query, '&');
		struct str key = str_cut(&value, '=');

		if (str_eq(key, name))
			return decode(value, ret);
	}
	return 0;
}

bool glob_match(struct str glob, struct str text)
{
	size_t g = 0, t = 0, star = glob.n, mark = 0;

	while (t < text.n) {
		if (g < glob.n && glob.p[g] == '*') {
			star = g++;
			mark = t;
		} else if (g < glob.n && (glob.p[g] == '?' || glob.p[g] == text.p[t])) {
			g++;
			t++;
		} else if (star < glob.n) {
			g = star + 1;
			t = ++mark;
		} else {
			return false;
		}
	}
	while (g < glob.n && glob.p[g] == '*')
		g++;
	return g == glob.n;
}
