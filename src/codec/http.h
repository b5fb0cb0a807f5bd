/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 messages: a strict push parser for both directions, and a writer of heads.
 *
 * Bytes in, events out, no I/O: http_parse is given what came and says what it was, one event a
 * call: the head, pieces of the body (already without chunk framing), the end. It stops behind
 * each event, so that a pipelined message is only looked at when the caller comes back.
 *
 *     (HTTP_GOT_HEAD  HTTP_GOT_BODY*  HTTP_GOT_END)*     with HTTP_MORE wherever the bytes ran out
 *
 * Stricter than RFC 9112 obliges, where leniency has been used for request smuggling: see http.c.
 * A message that answers 101 ends behind its head; what follows is left untouched.
 */
#ifndef VOXBUS_CODEC_HTTP_H
#define VOXBUS_CODEC_HTTP_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

enum { HTTP_HEADERS_MAX = 100 };

struct http_header {
	struct str name, value;
};

/* A head in one block of memory: all slices point into it. */
struct http_head {
	struct str method, target; /* of a request, as sent */
	int status;                /* of a response: 100..999 */
	struct str reason;
	int minor;       /* HTTP/1.minor: 0 or 1 */
	bool keep_alive; /* the sender lets the connection live after this message */
	bool upgrade;    /* a request that asks for an upgrade, or a 101 */
	bool chunked;
	bool has_length;
	uint64_t length;      /* Content-Length, when has_length */
	bool expect_continue; /* Expect: 100-continue, from an HTTP/1.1 client */
	bool expect_unknown;  /* any other Expect: to be answered with 417 */
	size_t n_headers;
	struct http_header headers[];
};

enum http_role { HTTP_REQUESTS, HTTP_RESPONSES };
enum http_event { HTTP_MORE, HTTP_GOT_HEAD, HTTP_GOT_BODY, HTTP_GOT_END };

struct http_limits {
	size_t header_max; /* first line and headers, and also trailers and chunk extensions */
	size_t target_max;
};

/* Lies in its user; the members are the parser's own but for head, status and why. */
struct http_parser {
	struct http_head *head; /* from HTTP_GOT_HEAD on until the next message begins */
	int status;             /* after -EBADMSG: what a server answers: 400, 414, 431, 501, 505 */
	const char *why;        /* and a sentence for the one who sent it; static */
	struct http_limits limits;
	struct buf raw; /* a head that came in pieces */
	uint64_t left;
	size_t total, line, lines;
	unsigned char role, state, skip, digits;
	bool cr, colon, no_body;
};

void http_parser_init(struct http_parser *p, enum http_role role, const struct http_limits *limits);
void http_parser_fini(struct http_parser *p);
/*
 * Takes bytes from the front of *data and returns an event. HTTP_MORE: all were used and no event
 * is complete. HTTP_GOT_HEAD: p->head. HTTP_GOT_BODY: *ret_piece, not empty, a part of *data as it was.
 * HTTP_GOT_END: the message is complete; the next call begins another one.
 * -EBADMSG: not (our) HTTP: p->status and p->why; the parser is then dead, so are its bytes.
 * -ENOMEM.
 */
int http_parse(struct http_parser *p, struct str *data, struct str *ret_piece);
/*
 * The peer closed. HTTP_GOT_END: a response that ends so is now complete; HTTP_MORE: it was between
 * messages; -EBADMSG: the message was cut.
 */
int http_parser_eof(struct http_parser *p);
/* No byte of the next message has come. */
bool http_parser_is_idle(const struct http_parser *p);
/* As http_parser_init left it: nothing is lost if it is dropped and another one made. */
bool http_parser_is_new(const struct http_parser *p);
/* Before a response to HEAD: it has no body, whatever its head says. For that one message. */
void http_parser_no_body(struct http_parser *p);
/* The head is the caller's from now on, to free(); p->head is NULL. The body may still come. */
struct http_head *http_parser_take_head(struct http_parser *p);

/* The first header of that name (any case), or {NULL, 0}. */
struct str http_find_header(const struct http_header *headers, size_t n, struct str name);
/* The comma-separated list `value` holds the token (any case). */
bool http_has_token(struct str value, struct str token);

/* "Not Found"; "" for a status that has no name here. */
const char *http_reason(int status);
/* RFC 9110 token: not empty, only its characters. */
bool http_is_token(struct str s);
/*
 * The writer. Each appends whole or not at all: 0, -ENOBUFS, -ENOMEM, or -EINVAL for what would
 * break the message: a method or name that is no token, a target that is not printable ASCII, a
 * value with control characters (CR, LF, NUL: header injection) other than HTAB.
 */
int http_write_request(struct buf *b, struct str method, struct str target);
/* "HTTP/1.1 404 Not Found"; -EINVAL outside 100..999. */
int http_write_status(struct buf *b, int status);
int http_write_header(struct buf *b, struct str name, struct str value);
/* The empty line. */
int http_write_end(struct buf *b);

#endif
