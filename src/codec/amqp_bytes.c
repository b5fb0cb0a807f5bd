/* SPDX-License-Identifier: MIT */
/*
 * The octets under everything: integers, strings, packed bits, the envelope of a frame, and the
 * sentence that says what was wrong with them (specification section 4.2).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "codec/amqp_internal.h"
#include "codec/amqp_table.h"

enum { BITS_PER_OCTET = 8, SIZE_AT = 3 /* of a frame */ };

int amqp_fault_set(struct amqp_fault *f, enum amqp_code code, const char *fmt, ...)
{
	va_list ap;

	*f = (struct amqp_fault){ .code = (uint16_t)code };
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return -EBADMSG;
}

int amqp_fault_prefix(struct amqp_fault *f, const char *what)
{
	struct amqp_fault was = *f;

	(void)snprintf(f->text, sizeof(f->text), "%s: %.*s", what,
		       (int)(sizeof(was.text) - 3 - strlen(what)), was.text);
	return -EBADMSG;
}

struct str amqp_in_bytes(struct amqp_in *in, size_t n)
{
	struct str s = str_make(in->rest.p, n);

	if (in->cut || n > in->rest.n) {
		in->cut = true;
		return str_make(NULL, 0);
	}
	in->rest = str_skip(in->rest, n);
	return s;
}

uint64_t amqp_in_uint(struct amqp_in *in, size_t size)
{
	struct str s = amqp_in_bytes(in, size);
	uint64_t value = 0;

	for (size_t i = 0; i < s.n; i++)
		value = value << 8 | (unsigned char)s.p[i];
	return value;
}

struct str amqp_in_short(struct amqp_in *in)
{
	return amqp_in_bytes(in, (size_t)amqp_in_uint(in, 1));
}

struct str amqp_in_long(struct amqp_in *in)
{
	return amqp_in_bytes(in, (size_t)amqp_in_uint(in, 4));
}

struct amqp_out amqp_out_begin(struct buf *b)
{
	return (struct amqp_out){ b, buf_len(b), 0 };
}

int amqp_out_end(struct amqp_out *out)
{
	if (out->rc < 0)
		out->b->end = out->b->start + out->mark;
	return out->rc;
}

void amqp_out_bytes(struct amqp_out *out, struct str s)
{
	if (out->rc == 0)
		out->rc = buf_add(out->b, s);
}

void amqp_out_uint(struct amqp_out *out, uint64_t value, size_t size)
{
	char octets[sizeof(value)];

	for (size_t i = 0; i < size; i++)
		octets[i] = (char)(unsigned char)(value >> (8 * (size - 1 - i)));
	amqp_out_bytes(out, str_make(octets, size));
}

void amqp_out_short(struct amqp_out *out, struct str s)
{
	if (s.n > AMQP_SHORT_MAX && out->rc == 0)
		out->rc = -EINVAL;
	amqp_out_uint(out, s.n, 1);
	amqp_out_bytes(out, s);
}

void amqp_out_long(struct amqp_out *out, struct str s)
{
	if (s.n > UINT32_MAX && out->rc == 0)
		out->rc = -EINVAL;
	amqp_out_uint(out, s.n, 4);
	amqp_out_bytes(out, s);
}

size_t amqp_out_open_frame(struct amqp_out *out, enum amqp_frame_type type, uint16_t channel)
{
	size_t opened = buf_len(out->b);

	amqp_out_uint(out, type, 1);
	amqp_out_uint(out, channel, 2);
	amqp_out_uint(out, 0, 4);
	return opened;
}

void amqp_out_close_frame(struct amqp_out *out, size_t opened, size_t frame_max)
{
	size_t size;

	amqp_out_uint(out, AMQP_FRAME_END, 1);
	if (out->rc < 0)
		return;
	size = buf_len(out->b) - opened;
	if (size > frame_max) {
		out->rc = -EMSGSIZE;
		return;
	}
	size -= AMQP_FRAME_OVERHEAD;
	for (int i = 0; i < 4; i++)
		out->b->base[out->b->start + opened + SIZE_AT + i] =
			(char)(unsigned char)(size >> (8 * (3 - i)));
}

static bool is_bit(const struct amqp_field *field)
{
	return field->kind == AMQP_KIND_BIT || field->kind == AMQP_KIND_NO_BIT;
}

/* The bits at fields[0..], as many as stand side by side; returns how many there were. */
static size_t read_bits(struct amqp_in *in, const struct amqp_field *fields, size_t n, char *at)
{
	unsigned octet = 0;
	size_t i = 0;

	for (; i < n && is_bit(&fields[i]); i++) {
		if (i % BITS_PER_OCTET == 0)
			octet = (unsigned)amqp_in_uint(in, 1);
		if (fields[i].kind == AMQP_KIND_BIT)
			*(bool *)(at + fields[i].at) = octet >> (i % BITS_PER_OCTET) & 1;
	}
	return i;
}

static size_t write_bits(struct amqp_out *out, const struct amqp_field *fields, size_t n,
			 const char *at)
{
	unsigned octet = 0;
	size_t i = 0;

	for (; i < n && is_bit(&fields[i]); i++) {
		if (i && i % BITS_PER_OCTET == 0) {
			amqp_out_uint(out, octet, 1);
			octet = 0;
		}
		if (fields[i].kind == AMQP_KIND_BIT && *(const bool *)(at + fields[i].at))
			octet |= 1U << (i % BITS_PER_OCTET);
	}
	amqp_out_uint(out, octet, 1);
	return i;
}

static int read_field(struct amqp_in *in, const struct amqp_field *field, char *at,
		      struct amqp_fault *f)
{
	void *to = at + field->at;

	switch ((enum amqp_kind)field->kind) {
	case AMQP_KIND_U8:
		*(uint8_t *)to = (uint8_t)amqp_in_uint(in, 1);
		return 0;
	case AMQP_KIND_U16:
		*(uint16_t *)to = (uint16_t)amqp_in_uint(in, 2);
		return 0;
	case AMQP_KIND_U32:
		*(uint32_t *)to = (uint32_t)amqp_in_uint(in, 4);
		return 0;
	case AMQP_KIND_U64:
		*(uint64_t *)to = amqp_in_uint(in, 8);
		return 0;
	case AMQP_KIND_SHORT:
		*(struct str *)to = amqp_in_short(in);
		return 0;
	case AMQP_KIND_LONG:
		*(struct str *)to = amqp_in_long(in);
		return 0;
	case AMQP_KIND_TABLE:
		*(struct str *)to = amqp_in_long(in);
		return amqp_table_check(*(struct str *)to, f);
	case AMQP_KIND_NO_U16:
		(void)amqp_in_uint(in, 2);
		return 0;
	case AMQP_KIND_NO_SHORT:
		(void)amqp_in_short(in);
		return 0;
	case AMQP_KIND_NO_LONG:
		(void)amqp_in_long(in);
		return 0;
	case AMQP_KIND_BIT:
	case AMQP_KIND_NO_BIT:
		break;
	}
	return 0;
}

int amqp_fields_read(struct amqp_in *in, const struct amqp_field *fields, size_t n, void *at,
		     struct amqp_fault *f)
{
	for (size_t i = 0; i < n;) {
		const char *name = fields[i].name;
		int rc = 0;

		if (is_bit(&fields[i]))
			i += read_bits(in, fields + i, n - i, at);
		else
			rc = read_field(in, &fields[i++], at, f);
		if (in->cut)
			return amqp_fault_set(f, AMQP_SYNTAX_ERROR, "cut off in %s", name);
		if (rc < 0)
			return amqp_fault_prefix(f, name);
	}
	return 0;
}

static void write_field(struct amqp_out *out, const struct amqp_field *field, const char *at)
{
	const void *from = at + field->at;

	switch ((enum amqp_kind)field->kind) {
	case AMQP_KIND_U8:
		amqp_out_uint(out, *(const uint8_t *)from, 1);
		break;
	case AMQP_KIND_U16:
		amqp_out_uint(out, *(const uint16_t *)from, 2);
		break;
	case AMQP_KIND_U32:
		amqp_out_uint(out, *(const uint32_t *)from, 4);
		break;
	case AMQP_KIND_U64:
		amqp_out_uint(out, *(const uint64_t *)from, 8);
		break;
	case AMQP_KIND_SHORT:
		amqp_out_short(out, *(const struct str *)from);
		break;
	case AMQP_KIND_LONG:
	case AMQP_KIND_TABLE:
		amqp_out_long(out, *(const struct str *)from);
		break;
	case AMQP_KIND_NO_U16:
		amqp_out_uint(out, 0, 2);
		break;
	case AMQP_KIND_NO_SHORT:
		amqp_out_uint(out, 0, 1);
		break;
	case AMQP_KIND_NO_LONG:
		amqp_out_uint(out, 0, 4);
		break;
	case AMQP_KIND_BIT:
	case AMQP_KIND_NO_BIT:
		break;
	}
}

void amqp_fields_write(struct amqp_out *out, const struct amqp_field *fields, size_t n,
		       const void *at)
{
	for (size_t i = 0; i < n;) {
		if (is_bit(&fields[i]))
			i += write_bits(out, fields + i, n - i, at);
		else
			write_field(out, &fields[i++], at);
	}
}
