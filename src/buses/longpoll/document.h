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
 *
 * It is made in two steps, since some ask what was posted before they know what becomes of it:
 * document_read, then document_write.
 */
#ifndef VOXBUS_LONGPOLL_DOCUMENT_H
#define VOXBUS_LONGPOLL_DOCUMENT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "buses/longpoll/fields.h"

/* As it came. */
struct posted {
	struct str host;   /* the Host header */
	struct str target; /* path and query */
	struct str content_type, body;
	bool query_is_form; /* of a webhook that is sent by GET */
};

enum document_kind { DOCUMENT_EMPTY, DOCUMENT_FORM, DOCUMENT_JSON, DOCUMENT_OTHER };

struct document {
	struct posted posted; /* borrowed as long as the document is there */
	enum document_kind kind;
	struct fields form;  /* FormParams */
	struct fields query; /* QueryParams, the session left out */
};

/*
 * 0 and *ret, to be given to document_fini; or -E2BIG (a form of more than 10,000 fields) and a
 * sentence for the one who posted it, -ENOMEM.
 */
int document_read(const struct posted *posted, struct document *ret, struct err *e);
/* Also of zeroed memory. */
void document_fini(struct document *document);
/*
 * The first value of a form's field, or the string at the top level of a JSON object (one with
 * escapes is not found); p = NULL: there is none. Lives as long as the document.
 */
struct str document_param(const struct document *document, struct str name);
/* Appends the object: 0 or as buf_add. On failure the buffer's content is undefined. */
int document_write(struct buf *out, const struct document *document, struct str id,
		   uint64_t created_ns);

#endif
