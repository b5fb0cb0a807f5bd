/* SPDX-License-Identifier: MIT */
/*
 * JSON written member by member into a buffer, with an error that sticks: what follows the first
 * refusal of the buffer is not written, and the writer looks at rc once, at the end.
 */
#ifndef VOXBUS_CODEC_JSON_OUT_H
#define VOXBUS_CODEC_JSON_OUT_H

#include "codec/json.h"

struct json_out {
	struct buf *buf;
	int rc; /* 0, or what buf_add said first */
};

/* Bytes as they are: brackets, keys, JSON of others. */
static inline void json_out(struct json_out *o, struct str bytes)
{
	if (o->rc == 0)
		o->rc = buf_add(o->buf, bytes);
}

/* `before` (a bracket or comma, a key, a colon; may be empty), then value as a JSON string. */
static inline void json_out_string(struct json_out *o, struct str before, struct str value)
{
	json_out(o, before);
	if (o->rc == 0)
		o->rc = json_add_string(o->buf, value);
}

/* The same with the escapes of json_add_string_go. */
static inline void json_out_string_go(struct json_out *o, struct str before, struct str value)
{
	json_out(o, before);
	if (o->rc == 0)
		o->rc = json_add_string_go(o->buf, value);
}

static inline void json_out_number(struct json_out *o, struct str before, uint64_t value)
{
	char digits[20]; /* UINT64_MAX has as many */
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	json_out(o, before);
	json_out(o, str_make(digits + at, sizeof(digits) - at));
}

#endif
