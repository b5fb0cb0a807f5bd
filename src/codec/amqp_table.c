/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing field tables. Everything from outside is walked once, by amqp_table_check;
 * after that iterating can't fail, so that users need no error path for it.
 */
#include "codec/amqp_table.h"

#include <errno.h>

#include "codec/amqp_internal.h"

static int check_values(struct str in, bool named, int depth, struct amqp_fault *f);

static int64_t extend_sign(uint64_t value, size_t size)
{
	uint64_t sign = UINT64_C(1) << (8 * size - 1);

	return (int64_t)((value ^ sign) - sign);
}

static double read_real(struct amqp_in *in, size_t size)
{
	uint64_t bits = amqp_in_uint(in, size);
	uint32_t half = (uint32_t)bits;
	double real;
	float single;

	if (size == sizeof(single)) {
		memcpy(&single, &half, sizeof(single));
		return single;
	}
	memcpy(&real, &bits, sizeof(real));
	return real;
}

/* False: no such type. What is cut shows in in->cut. */
static bool read_value(struct amqp_in *in, struct amqp_value *v)
{
	*v = (struct amqp_value){ .type = (char)amqp_in_uint(in, 1) };
	switch (v->type) {
	case 't':
		v->boolean = amqp_in_uint(in, 1) != 0;
		return true;
	case 'b':
		v->integer = extend_sign(amqp_in_uint(in, 1), 1);
		return true;
	case 'B':
		v->integer = (int64_t)amqp_in_uint(in, 1);
		return true;
	case 's':
		v->integer = extend_sign(amqp_in_uint(in, 2), 2);
		return true;
	case 'u':
		v->integer = (int64_t)amqp_in_uint(in, 2);
		return true;
	case 'I':
		v->integer = extend_sign(amqp_in_uint(in, 4), 4);
		return true;
	case 'i':
		v->integer = (int64_t)amqp_in_uint(in, 4);
		return true;
	case 'l':
		v->integer = extend_sign(amqp_in_uint(in, 8), 8);
		return true;
	case 'D':
		v->scale = (uint8_t)amqp_in_uint(in, 1);
		v->integer = (int64_t)amqp_in_uint(in, 4);
		return true;
	case 'T':
		v->time = amqp_in_uint(in, 8);
		return true;
	case 'f':
		v->real = read_real(in, 4);
		return true;
	case 'd':
		v->real = read_real(in, 8);
		return true;
	case 'S':
	case 'x':
	case 'F':
	case 'A':
		v->str = amqp_in_long(in);
		return true;
	case 'V':
		return true;
	}
	return in->cut;
}

static int check_value(struct amqp_in *in, int depth, struct amqp_fault *f)
{
	struct amqp_value v;

	if (!read_value(in, &v))
		return amqp_fault_set(f, AMQP_SYNTAX_ERROR, "a table value of unknown type 0x%02x",
				      (unsigned char)v.type);
	if (in->cut)
		return amqp_fault_set(f, AMQP_SYNTAX_ERROR, "a table ends within an entry");
	if (v.type != 'F' && v.type != 'A')
		return 0;
	return check_values(v.str, v.type == 'F', depth + 1, f);
}

/* The recursion is as deep as AMQP_DEPTH_MAX. */
static int check_values(struct str s, bool named, int depth, struct amqp_fault *f)
{
	struct amqp_in in = { s, false };

	if (depth > AMQP_DEPTH_MAX)
		return amqp_fault_set(f, AMQP_SYNTAX_ERROR, "tables nested over %d deep",
				      AMQP_DEPTH_MAX);
	while (in.rest.n) {
		int rc;

		if (named)
			(void)amqp_in_short(&in);
		rc = check_value(&in, depth, f);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int amqp_table_check(struct str table, struct amqp_fault *f)
{
	return check_values(table, true, 1, f);
}

bool amqp_array_next(struct str *rest, struct amqp_value *ret)
{
	struct amqp_in in = { *rest, false };

	if (rest->n == 0 || !read_value(&in, ret) || in.cut)
		return false;
	*rest = in.rest;
	return true;
}

bool amqp_table_next(struct str *rest, struct amqp_entry *ret)
{
	struct amqp_in in = { *rest, false };

	if (rest->n == 0)
		return false;
	ret->name = amqp_in_short(&in);
	if (in.cut || !amqp_array_next(&in.rest, &ret->value))
		return false;
	*rest = in.rest;
	return true;
}

bool amqp_table_find(struct str table, struct str name, struct amqp_value *ret)
{
	struct amqp_entry entry;

	while (amqp_table_next(&table, &entry))
		if (str_eq(entry.name, name)) {
			*ret = entry.value;
			return true;
		}
	return false;
}

bool amqp_table_says(struct str table, struct str name)
{
	struct amqp_value v;

	return amqp_table_find(table, name, &v) && v.type == 't' && v.boolean;
}

static struct amqp_out begin_entry(struct buf *table, struct str name, char type)
{
	struct amqp_out out = amqp_out_begin(table);

	amqp_out_short(&out, name);
	amqp_out_uint(&out, (unsigned char)type, 1);
	return out;
}

static int add_uint(struct buf *table, struct str name, char type, uint64_t value, size_t size)
{
	struct amqp_out out = begin_entry(table, name, type);

	amqp_out_uint(&out, value, size);
	return amqp_out_end(&out);
}

static int add_long_str(struct buf *table, struct str name, char type, struct str value)
{
	struct amqp_out out = begin_entry(table, name, type);

	amqp_out_long(&out, value);
	return amqp_out_end(&out);
}

int amqp_table_add_str(struct buf *table, struct str name, struct str value)
{
	return add_long_str(table, name, 'S', value);
}

int amqp_table_add_table(struct buf *table, struct str name, struct str value)
{
	return add_long_str(table, name, 'F', value);
}

int amqp_table_add_bool(struct buf *table, struct str name, bool value)
{
	return add_uint(table, name, 't', value, 1);
}

int amqp_table_add_int(struct buf *table, struct str name, int32_t value)
{
	return add_uint(table, name, 'I', (uint32_t)value, 4);
}

int amqp_table_add_long(struct buf *table, struct str name, int64_t value)
{
	return add_uint(table, name, 'l', (uint64_t)value, 8);
}

int amqp_table_add_time(struct buf *table, struct str name, uint64_t seconds)
{
	return add_uint(table, name, 'T', seconds, 8);
}
