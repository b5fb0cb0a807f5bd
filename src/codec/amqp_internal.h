/* SPDX-License-Identifier: MIT */
/*
 * How the codec's files read and write: cursors whose failure sticks, so that the caller asks
 * once at the end, and lists of fields that say where in a struct each argument lies.
 */
#ifndef VOXBUS_CODEC_AMQP_INTERNAL_H
#define VOXBUS_CODEC_AMQP_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "codec/amqp.h"
#include "codec/amqp_frame.h"

/* Reading. Once a read went past the end, `cut` is set and every read gives zeros. */
struct amqp_in {
	struct str rest;
	bool cut;
};

/* size: 1, 2, 4 or 8 bytes, big end first. */
uint64_t amqp_in_uint(struct amqp_in *in, size_t size);
struct str amqp_in_bytes(struct amqp_in *in, size_t n);
struct str amqp_in_short(struct amqp_in *in);
struct str amqp_in_long(struct amqp_in *in);

/* Writing. The first error stays in rc, and amqp_out_end then leaves the buffer as it was. */
struct amqp_out {
	struct buf *b;
	size_t mark; /* buf_len at the start */
	int rc;
};

struct amqp_out amqp_out_begin(struct buf *b);
int amqp_out_end(struct amqp_out *out);
void amqp_out_uint(struct amqp_out *out, uint64_t value, size_t size);
void amqp_out_bytes(struct amqp_out *out, struct str s);
/* Over AMQP_SHORT_MAX bytes: -EINVAL. */
void amqp_out_short(struct amqp_out *out, struct str s);
void amqp_out_long(struct amqp_out *out, struct str s);
/* The envelope of a frame; open returns what close wants. Over frame_max: -EMSGSIZE. */
size_t amqp_out_open_frame(struct amqp_out *out, enum amqp_frame_type type, uint16_t channel);
void amqp_out_close_frame(struct amqp_out *out, size_t opened, size_t frame_max);

enum amqp_kind {
	AMQP_KIND_U8,
	AMQP_KIND_U16,
	AMQP_KIND_U32,
	AMQP_KIND_U64,
	AMQP_KIND_SHORT, /* struct str */
	AMQP_KIND_LONG,  /* struct str */
	AMQP_KIND_TABLE, /* struct str: its entries, checked */
	AMQP_KIND_BIT,   /* bool; neighbours share an octet, the lowest bit first */
	/* What the specification reserves: read and forgotten, written as zero. */
	AMQP_KIND_NO_U16,
	AMQP_KIND_NO_SHORT,
	AMQP_KIND_NO_LONG,
	AMQP_KIND_NO_BIT,
};

struct amqp_field {
	const char *name;
	uint16_t at; /* offset in the struct */
	uint8_t kind;
};

/* 0, or -EBADMSG and why. Slices are of in. `at` is the struct that the offsets are of. */
int amqp_fields_read(struct amqp_in *in, const struct amqp_field *fields, size_t n, void *at,
		     struct amqp_fault *f);
void amqp_fields_write(struct amqp_out *out, const struct amqp_field *fields, size_t n,
		       const void *at);

/*
 * The initialiser of a field: a member of another type than its kind needs does not compile.
 */
#define AMQP_FIELD(k, type, of, member)                                                            \
	{                                                                                          \
#member, offsetof(of, member) + 0 * sizeof(_Generic(((of *)0)->member, type : 1)), \
			k                                                                          \
	}

#endif
