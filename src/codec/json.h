/* SPDX-License-Identifier: MIT */
/*
 * JSON (RFC 8259) read by skipping and written by splicing.
 *
 * A value is a slice of the document and its type; nothing is built, nothing is allocated, and
 * what nobody asks for is stepped over. Whatever is stepped over is checked: structure, depth (64),
 * numbers, literals, escapes, control characters in strings. Whether the document is UTF-8 is for
 * the caller to ask (str_is_utf8): bytes over 0x7f pass as they are.
 *
 *     struct json_iter it;
 *     struct json_item item;
 *     json_iter_init(&it, json_peek(text));
 *     while ((rc = json_next(&it, &item)) > 0)
 *             if (json_key_is(&item, STR("type")))
 *                     type = item.value;
 *
 * Of two members with one key json_get finds the first.
 */
#ifndef VOXBUS_CODEC_JSON_H
#define VOXBUS_CODEC_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum json_type {
	JSON_NONE, /* not there, or not JSON */
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

enum { JSON_DEPTH_MAX = 64 };

struct json {
	enum json_type type;
	struct str raw; /* as in the document; strings with their quotes */
};

struct json_item {
	struct str key; /* raw, without quotes, escapes as they are; {NULL, 0} in arrays */
	struct json value;
};

struct json_iter {
	const char *p, *end;
	bool object, started, failed, shallow;
};

/* A whole document, spaces around it allowed, checked to the end: 0 and *ret, or -EBADMSG. */
int json_parse(struct str text, struct json *ret);
/* A document that nobody has checked: its type by its first byte. What walks it checks it. */
struct json json_peek(struct str text);

/* Begins the members of an object or the elements of an array; other values have none. */
void json_iter_init(struct json_iter *it, struct json value);
/*
 * The same, and containers inside are stepped over by their brackets alone: they may be malformed.
 * Several times as fast; for who passes the bytes on and wants the outermost members only.
 */
void json_iter_init_shallow(struct json_iter *it, struct json value);
/*
 * 1 and the next item; 0 at the end, and then the whole value is well-formed and nothing but
 * spaces follows it; -EBADMSG (for ever) where it is not, or where it is no container.
 */
int json_next(struct json_iter *it, struct json_item *ret);
/* Compares unescaped. */
bool json_key_is(const struct json_item *item, struct str key);
/* The same without ASCII case, as Go's decoder matches keys. */
bool json_key_is_nocase(const struct json_item *item, struct str key);

/* The member, or type JSON_NONE: no such key, no object, or malformed before it. */
struct json json_get(struct json object, struct str key);
/* json_get along keys joined by '.': "channel.dialplan.app_name". */
struct json json_path(struct json object, struct str path);

/*
 * A string without its escapes. When it has none *ret borrows from the document and out is not
 * used; else it is written to out, and value.raw.n bytes are always enough. \u surrogates that
 * have no partner become U+FFFD. 0, -EINVAL (not a string), -ENOBUFS (out is too small), -EBADMSG.
 */
int json_string(struct json value, char *out, size_t size, struct str *ret);
/* Appends the string without its escapes: 0, -EINVAL, -EBADMSG, or as buf_add. */
int json_add_unescaped(struct buf *b, struct json value);
/* A string that is, unescaped, equal to text. */
bool json_is(struct json value, struct str text);
/* A number of digits alone: 0, -EINVAL, -ERANGE. */
int json_u64(struct json value, uint64_t *ret);

/*
 * Append s as a JSON string with its quotes, whole or not at all: 0 or as buf_add. Bytes that are
 * not UTF-8 become U+FFFD, each. json_add_string escapes what RFC 8259 section 7 demands and
 * nothing else; json_add_string_go escapes as Go's encoding/json did up to 1.21: also < > & and
 * U+2028, U+2029, with backspace and form feed as \u0008 and \u000c.
 */
int json_add_string(struct buf *b, struct str s);
/* "name":"value", both escaped so; all of it or nothing. */
int json_add_member(struct buf *b, struct str name, struct str value);
int json_add_string_go(struct buf *b, struct str s);

#endif
