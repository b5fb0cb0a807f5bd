/* SPDX-License-Identifier: MIT */
/*
 * multipart/form-data, as browsers and `curl -F` send it: parts between delimiter lines.
 *
 * Sources: RFC 2046 section 5.1 (delimiters), RFC 7578 (form-data), RFC 9110 section 5.6.6
 * (parameters). Lines end in CR LF; folded header lines and a Content-Transfer-Encoding that
 * encodes anything (deprecated by RFC 7578 section 4.7) are refused.
 *
 *     rc = multipart_begin(&m, content_type, body);
 *     while (rc == 0 && (rc = multipart_next(&m, &part)) > 0)
 *             ...
 *     if (rc < 0)
 *             "%s", m.why
 */
#ifndef VOXBUS_CODEC_MULTIPART_H
#define VOXBUS_CODEC_MULTIPART_H

#include <stdbool.h>

#include "base/str.h"

enum {
	MULTIPART_BOUNDARY_MAX = 70, /* RFC 2046 section 5.1.1 */
	MULTIPART_HEADER_MAX = 8192, /* bytes of one part's header */
};

struct multipart {
	struct str delimiter; /* CR LF, two hyphens, the boundary: in `text` */
	struct str rest;      /* from the next part's header on; p = NULL: at the end */
	const char *why;      /* after -EBADMSG: a sentence for whoever made the body */
	char text[4 + MULTIPART_BOUNDARY_MAX];
};

/* Slices of the body. Names are still escaped: see multipart_unescape. */
struct multipart_part {
	struct str name;
	struct str filename;     /* p = NULL: not a file */
	struct str content_type; /* empty when there was none */
	struct str body;
};

/*
 * Finds the boundary in the value of a Content-Type header and the first delimiter in the body:
 * 0, or -EBADMSG. The struct stays where it is while it is used.
 */
int multipart_begin(struct multipart *m, struct str content_type, struct str body);
/* 1 and the next part, 0 behind the closing delimiter, -EBADMSG (then for ever). */
int multipart_next(struct multipart *m, struct multipart_part *ret);
/*
 * A name without its escapes, into out, which has room for in.n bytes; how many were written.
 * \" and \\ as in HTTP, and %22, %0D and %0A, which is all that browsers escape.
 */
size_t multipart_unescape(char *out, struct str in);

#endif
