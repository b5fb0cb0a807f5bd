/* SPDX-License-Identifier: MIT */
/*
 * The Redirect that keeps a call on the line.
 *
 * A queue's name is what its path was decoded to; here it is a path again. RFC 3986 leaves more
 * bytes of a segment as they are than are left here: phone networks differ in what they make of
 * those, none errs with the letters, digits and marks below, and none of them means anything in XML.
 */
#include "engines/webhook/webhook.h"

static bool is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~/:@+,=", c));
}

static int add_path(struct buf *out, struct str path)
{
	int rc = 0;

	for (size_t i = 0; i < path.n && rc == 0; i++) {
		unsigned char c = (unsigned char)path.p[i];

		rc = is_plain(c) ? buf_addc(out, (char)c) : buf_addf(out, "%%%02X", c);
	}
	return rc;
}

int webhook_redirect(struct buf *out, struct str account, struct str name)
{
	int rc = buf_add(out, STR("<Response><Redirect>/"));

	if (rc == 0)
		rc = add_path(out, account);
	if (rc == 0)
		rc = buf_addc(out, '/');
	if (rc == 0)
		rc = add_path(out, name);
	return rc < 0 ? rc : buf_add(out, STR("/</Redirect></Response>"));
}
