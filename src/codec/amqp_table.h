/* SPDX-License-Identifier: MIT */
/*
 * Field tables: the headers of messages, the arguments of queues, what client and broker say of
 * themselves. In memory a table is a slice of its entries as they are on the wire, without the
 * length in front; the empty slice is the empty table.
 *
 * The types are those that RabbitMQ sends, which are not those of the printed specification: see
 * "AMQP 0-9-1 errata" of RabbitMQ's documentation, section 3.
 */
#ifndef VOXBUS_CODEC_AMQP_TABLE_H
#define VOXBUS_CODEC_AMQP_TABLE_H

#include <stdbool.h>

#include "base/buf.h"
#include "codec/amqp.h"

struct amqp_value {
	char type; /* as on the wire; says which member holds */
	uint8_t scale;
	union {
		bool boolean;    /* t */
		int64_t integer; /* b B s u I i l, and D, which stands for integer / 10^scale */
		uint64_t time;   /* T: seconds since 1970 */
		double real;     /* f d */
		struct str str;  /* S x; F: a table; A: an array */
	};                       /* V: none */
};

struct amqp_entry {
	struct str name;
	struct amqp_value value;
};

/*
 * Whether a table from outside is whole, of known types and not over AMQP_DEPTH_MAX deep: 0, or
 * -EBADMSG and *f (502). Tables in decoded methods and headers have passed it.
 */
int amqp_table_check(struct str table, struct amqp_fault *f);
/* The next entry of a table that was checked; *rest shrinks. False at the end. */
bool amqp_table_next(struct str *rest, struct amqp_entry *ret);
/* The same for an array, the str of a value of type A. */
bool amqp_array_next(struct str *rest, struct amqp_value *ret);
/* The first entry of that name. */
bool amqp_table_find(struct str table, struct str name, struct amqp_value *ret);
/* The first entry of that name is a boolean, and true: capabilities. */
bool amqp_table_says(struct str table, struct str name);

/*
 * Each appends an entry, whole or not at all: 0, -EINVAL (a name over 255 bytes), -ENOBUFS or
 * -ENOMEM. A name that is there already is not looked for.
 */
int amqp_table_add_str(struct buf *table, struct str name, struct str value);
int amqp_table_add_bool(struct buf *table, struct str name, bool value);
/* 32 bits (I), and 64 (l). */
int amqp_table_add_int(struct buf *table, struct str name, int32_t value);
int amqp_table_add_long(struct buf *table, struct str name, int64_t value);
int amqp_table_add_time(struct buf *table, struct str name, uint64_t seconds);
int amqp_table_add_table(struct buf *table, struct str name, struct str value);

#endif
