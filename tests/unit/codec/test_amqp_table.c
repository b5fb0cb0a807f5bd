/* SPDX-License-Identifier: MIT */
/* Field tables of every type, their limits, and what is written. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "amqp_bytes.h"
#include "codec/amqp_table.h"

static struct amqp_value find(const struct amqp_bytes *in, const char *name)
{
	struct amqp_value v = { 0 };

	assert_true(amqp_table_find(amqp_bytes_str(in), str_from(name), &v));
	assert_int_equal(v.type, name[0]);
	return v;
}

/* One entry of each type that RabbitMQ sends. */
static struct amqp_bytes all_types(void)
{
	struct amqp_bytes in = { .n = 0 };

	amqp_bytes_add(&in, "01't' 't'01 01'b' 'b'ff 01'B' 'B'ff 01's' 's'8000 01'u' 'u'8000");
	amqp_bytes_add(&in, "01'I' 'I'fffffffe 01'i' 'i'fffffffe 01'l' 'l'fffffffffffffffd");
	amqp_bytes_add(&in, "01'f' 'f'3fc00000 01'd' 'd'bff8000000000000 01'D' 'D'02 0000007b");
	amqp_bytes_add(&in, "01'S' 'S'00000002'hi' 01'x' 'x'00000001 00");
	amqp_bytes_add(&in, "01'T' 'T'0000000065000000 01'V' 'V'");
	amqp_bytes_add(&in, "01'F' 'F'00000004 01'k' 't'00 01'A' 'A'00000003 'b'07 'V'");
	return in;
}

static void every_type_that_brokers_send_is_read(void **state)
{
	struct amqp_bytes in = all_types();
	struct amqp_value v, item;
	struct str rest;
	struct amqp_fault f;

	assert_int_equal(amqp_table_check(amqp_bytes_str(&in), &f), 0);
	assert_true(find(&in, "t").boolean);
	assert_true(find(&in, "b").integer == -1);
	assert_true(find(&in, "B").integer == 255);
	assert_true(find(&in, "s").integer == -32768);
	assert_true(find(&in, "u").integer == 32768);
	assert_true(find(&in, "I").integer == -2);
	assert_true(find(&in, "i").integer == 4294967294);
	assert_true(find(&in, "l").integer == -3);
	assert_true(find(&in, "f").real == 1.5);
	assert_true(find(&in, "d").real == -1.5);
	v = find(&in, "D");
	assert_true(v.scale == 2 && v.integer == 123);
	assert_true(str_eq(find(&in, "S").str, STR("hi")));
	assert_true(str_eq(find(&in, "x").str, STR("\0")));
	assert_true(find(&in, "T").time == 0x65000000);
	(void)find(&in, "V");
	v = find(&in, "F");
	assert_false(amqp_table_says(v.str, STR("k")));
	assert_true(amqp_table_says(amqp_bytes_str(&in), STR("t")));
	assert_false(amqp_table_says(amqp_bytes_str(&in), STR("S")));
	assert_false(amqp_table_says(amqp_bytes_str(&in), STR("none")));
	rest = find(&in, "A").str;
	assert_true(amqp_array_next(&rest, &item));
	assert_true(item.type == 'b' && item.integer == 7);
	assert_true(amqp_array_next(&rest, &item));
	assert_true(item.type == 'V');
	assert_false(amqp_array_next(&rest, &item));
}

static void entries_come_in_their_order(void **state)
{
	struct amqp_bytes in = all_types();
	struct str rest = amqp_bytes_str(&in);
	struct amqp_entry entry;
	char names[32];
	size_t n = 0;

	while (amqp_table_next(&rest, &entry))
		names[n++] = entry.name.p[0];
	names[n] = '\0';
	assert_string_equal(names, "tbBsuIilfdDSxTVFA");
}

/* Cut anywhere it is refused, unless the cut is between two entries. */
static void a_table_cut_at_any_byte_is_whole_or_refused(void **state)
{
	struct amqp_bytes in = all_types();
	size_t whole = 0;

	for (size_t n = 0; n <= in.n; n++) {
		char *copy = malloc(n + !n);
		struct str rest = str_make(memcpy(copy, in.p, n), n);
		struct amqp_entry entry;
		struct amqp_fault f;

		if (amqp_table_check(rest, &f) == 0) {
			while (amqp_table_next(&rest, &entry))
				;
			assert_int_equal(rest.n, 0);
			whole++;
		} else {
			assert_int_equal(f.code, 502);
			assert_string_equal(f.text, "a table ends within an entry");
		}
		free(copy);
	}
	assert_int_equal(whole, 18);
}

static void tables_nest_to_a_depth(void **state)
{
	for (int depth = 1; depth <= 10; depth++) {
		struct buf table auto_buf = { 0 }, outer auto_buf = { 0 };
		struct amqp_fault f;
		int rc;

		buf_init(&table, 4096);
		buf_init(&outer, 4096);
		oom_pause();
		for (int i = 1; i < depth; i++) {
			buf_clear(&outer);
			rc = amqp_table_add_table(&outer, STR("t"), buf_str(&table));
			assert_int_equal(rc, 0);
			buf_clear(&table);
			assert_int_equal(buf_add(&table, buf_str(&outer)), 0);
		}
		oom_resume();
		rc = amqp_table_check(buf_str(&table), &f);
		assert_int_equal(rc, depth <= AMQP_DEPTH_MAX ? 0 : -EBADMSG);
		if (rc < 0)
			assert_string_equal(f.text, "tables nested over 8 deep");
	}
}

static void what_is_added_is_on_the_wire_to_the_byte(void **state)
{
	struct amqp_bytes want = { .n = 0 };
	struct buf t auto_buf = { 0 };
	static char long_name[256];

	amqp_bytes_add(&want, "01's' 'S'00000001'v' 01'b' 't'01 01'i' 'I'ffffffff");
	amqp_bytes_add(&want, "01'l' 'l'8000000000000000 01't' 'T'00000000ffffffff");
	amqp_bytes_add(&want, "01'f' 'F'00000000");
	buf_init(&t, want.n);
	oom_pause();
	assert_int_equal(amqp_table_add_str(&t, STR("s"), STR("v")), 0);
	assert_int_equal(amqp_table_add_bool(&t, STR("b"), true), 0);
	assert_int_equal(amqp_table_add_int(&t, STR("i"), -1), 0);
	assert_int_equal(amqp_table_add_long(&t, STR("l"), INT64_MIN), 0);
	assert_int_equal(amqp_table_add_time(&t, STR("t"), 0xffffffff), 0);
	assert_int_equal(amqp_table_add_str(&t, str_make(long_name, 256), STR("v")), -EINVAL);
	assert_int_equal(amqp_table_add_str(&t, STR("too"), STR("long")), -ENOBUFS);
	assert_int_equal(amqp_table_add_table(&t, STR("f"), STR("")), 0);
	oom_resume();
	assert_true(str_eq(buf_str(&t), amqp_bytes_str(&want)));
}

static void an_entry_without_memory_leaves_the_table_alone(void **state)
{
	static char text[300];
	struct str long_text = str_make(text, sizeof(text));
	struct buf t auto_buf = { 0 };
	size_t n = 0;

	buf_init(&t, 4096);
	for (int i = 0; i < 4; i++) {
		int rc = amqp_table_add_str(&t, STR("s"), long_text);

		assert_true(rc == 0 || rc == -ENOMEM);
		n += rc == 0 ? 1 + 1 + 1 + 4 + sizeof(text) : 0;
		assert_int_equal(buf_len(&t), n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_that_brokers_send_is_read),
		cmocka_unit_test(entries_come_in_their_order),
		cmocka_unit_test(a_table_cut_at_any_byte_is_whole_or_refused),
		cmocka_unit_test(tables_nest_to_a_depth),
		cmocka_unit_test(what_is_added_is_on_the_wire_to_the_byte),
		cmocka_unit_test(an_entry_without_memory_leaves_the_table_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
