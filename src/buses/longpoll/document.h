/* SPDX-License-Identifier: MIT */
/*
 * The message object: what a poller of an ordinary queue gets for what was posted to it.
 *
 *   {"Hostname":"..","AccountSid":"..","Url":"..","FormParams":{..},"Created":".."
 *    [,"FormValues":{..}][,"QueryParams":{..}][,"ContentType":"..","Body":".."|"Json":..|
 *    "BodyBase64":".."],"Id":".."}
 *
 * Compact, FormParams sorted bytewise, and everything that might hold an upper-case "CA" behind
 * FormParams: clients look for the CallSid with grep.
 */
#ifndef VOXBUS_LONGPOLL_DOCUMENT_H
#define VOXBUS_LONGPOLL_DOCUMENT_H

#include "base/buf.h"
#include "base/str.h"

/* As it came; everything is borrowed for the call. */
struct document {
	struct str host;   /* the Host header */
	struct str target; /* path and query */
	struct str content_type, body;
	struct str id;
	uint64_t created_ns;
};

/*
 * Appends the object: 0, -E2BIG (a form of more than 10,000 fields), or as buf_add. On failure the
 * buffer's content is undefined.
 */
int document_add(struct buf *out, const struct document *document);

#endif
