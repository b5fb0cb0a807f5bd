/* SPDX-License-Identifier: MIT */
/* What http.c (framing), http_head.c (one head) and http_write.c share. */
#ifndef VOXBUS_CODEC_HTTP_INTERNAL_H
#define VOXBUS_CODEC_HTTP_INTERNAL_H

#include "codec/http.h"

/* Sets the answer and its sentence (a literal): -EBADMSG. */
int http_refuse(struct http_parser *p, int status, const char *why);
/*
 * A whole head, from its first line to the empty one, that the line scanner has let pass;
 * p->lines counts its lines without the empty one. 0 and p->head, -EBADMSG or -ENOMEM.
 */
int http_head_parse(struct http_parser *p, struct str text);
/* Which bytes a token may have (RFC 9110 section 5.6.2). */
extern const bool http_tchars[256];
static inline bool http_is_tchar(char c)
{
	return http_tchars[(unsigned char)c];
}

#endif
