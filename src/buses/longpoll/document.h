/* SPDX-License-Identifier: MIT */
/*
 * The message object: what a poller of an ordinary queue gets for what was posted to it.
 *
 *   {"Hostname":"..","AccountSid":"..","Url":"..","FormParams":{..},"Created":".."
 *    [,"FormValues":{..}][,"QueryParams":{..}][,"ContentType":"..","Body":".."|"Json":..|
 *    "BodyBase64":".."][,"Files":[{"Name":"..","Filename":"..","ContentType":"..","Base64":".."}]],
 *    "Id":".."}
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
#include "buses/longpoll/files.h"

/* As it came. */
struct posted {
	struct str host;   /* the Host header */
	struct str target; /* path and query */
	struct str content_type, body;
	struct str encoding; /* Content-Encoding: empty, identity or gzip */
	size_t body_max;     /* bytes of the body once it is unpacked */
	bool query_is_form;  /* of a webhook that is sent by GET */
};

enum document_kind {
	DOCUMENT_EMPTY,
	DOCUMENT_FORM,
	DOCUMENT_MULTIPART,
	DOCUMENT_JSON,
	DOCUMENT_OTHER
};

struct document {
	struct posted posted; /* borrowed as long as the document is there; the body is unpacked */
	enum document_kind kind;
	struct fields form;  /* FormParams */
	struct fields query; /* QueryParams, the session left out */
	struct files files;  /* of a multipart body */
	struct buf unpacked; /* the body, if it came packed */
};

/*
 * 0 and *ret, to be given to document_fini; or a sentence for the one who posted it and -E2BIG (more
 * than body_max when unpacked, more than 10,000 fields), -EBADMSG (malformed multipart or gzip),
 * -EOPNOTSUPP (another encoding); or -ENOMEM.
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
