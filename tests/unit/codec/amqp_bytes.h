/* SPDX-License-Identifier: MIT */
/* Bytes as the tests of AMQP write them: hex digits in any grouping, and 'text' between quotes. */
#ifndef VOXBUS_TESTS_AMQP_BYTES_H
#define VOXBUS_TESTS_AMQP_BYTES_H

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

struct amqp_bytes {
	char p[8192];
	size_t n;
};

static inline void amqp_bytes_add(struct amqp_bytes *b, const char *text)
{
	char pair[3] = "";

	while (*text) {
		if (*text == '\'') {
			for (text++; *text != '\''; text++)
				b->p[b->n++] = *text;
			text++;
		} else if (isspace((unsigned char)*text)) {
			text++;
		} else {
			assert(isxdigit((unsigned char)text[0]) &&
			       isxdigit((unsigned char)text[1]));
			memcpy(pair, text, 2);
			b->p[b->n++] = (char)(unsigned char)strtoul(pair, NULL, 16);
			text += 2;
		}
	}
	assert(b->n < sizeof(b->p) / 2);
}

/* A frame around a payload. */
static inline void amqp_bytes_frame(struct amqp_bytes *b, int type, int channel,
				    const char *payload)
{
	struct amqp_bytes inside = { .n = 0 };
	unsigned char head[7] = { (unsigned char)type, (unsigned char)(channel >> 8),
				  (unsigned char)channel };

	amqp_bytes_add(&inside, payload);
	head[5] = (unsigned char)(inside.n >> 8);
	head[6] = (unsigned char)inside.n;
	memcpy(b->p + b->n, head, sizeof(head));
	memcpy(b->p + b->n + sizeof(head), inside.p, inside.n);
	b->n += sizeof(head) + inside.n;
	b->p[b->n++] = (char)0xce;
}

static inline struct str amqp_bytes_str(const struct amqp_bytes *b)
{
	return str_make(b->p, b->n);
}

#endif
