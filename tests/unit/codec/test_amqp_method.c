/* SPDX-License-Identifier: MIT */
/* Methods to the byte, both ways; the vectors are written down from the specification's grammar. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "amqp_bytes.h"
#include "codec/amqp_method.h"

/* An arguments table: "k" -> true, in 4 + 4 bytes. */
#define ARGS   STR_INIT("\1kt\1")
#define ARGS_X "00000004 01'k' 't'01"

static const struct {
	struct amqp_method m;
	const char *payload;
} vectors[] = {
	{ { AMQP_CONNECTION_START,
	    .start = { 0, 9, ARGS, STR_INIT("PLAIN AMQPLAIN"), STR_INIT("en_US") } },
	  "000a000a 00 09 " ARGS_X " 0000000e'PLAIN AMQPLAIN' 00000005'en_US'" },
	{ { AMQP_CONNECTION_START_OK,
	    .start_ok = { ARGS, STR_INIT("PLAIN"), STR_INIT("\0u\0p"), STR_INIT("en_US") } },
	  "000a000b " ARGS_X " 05'PLAIN' 00000004 00'u'00'p' 05'en_US'" },
	{ { AMQP_CONNECTION_SECURE, .secure = { STR_INIT("why") } }, "000a0014 00000003'why'" },
	{ { AMQP_CONNECTION_SECURE_OK, .secure_ok = { STR_INIT("so") } }, "000a0015 00000002'so'" },
	{ { AMQP_CONNECTION_TUNE, .tune = { 2047, 131072, 60 } }, "000a001e 07ff 00020000 003c" },
	{ { AMQP_CONNECTION_TUNE_OK, .tune = { 1, 4096, 0 } }, "000a001f 0001 00001000 0000" },
	{ { AMQP_CONNECTION_OPEN, .open = { STR_INIT("/") } }, "000a0028 01'/' 00 00" },
	{ { AMQP_CONNECTION_OPEN_OK }, "000a0029 00" },
	{ { AMQP_CONNECTION_CLOSE, .close = { 501, STR_INIT("bye"), 60, 40 } },
	  "000a0032 01f5 03'bye' 003c 0028" },
	{ { AMQP_CONNECTION_CLOSE_OK }, "000a0033" },
	{ { AMQP_CONNECTION_BLOCKED, .blocked = { STR_INIT("low on memory") } },
	  "000a003c 0d'low on memory'" },
	{ { AMQP_CONNECTION_UNBLOCKED }, "000a003d" },
	{ { AMQP_CONNECTION_UPDATE_SECRET, .update_secret = { STR_INIT("new"), STR_INIT("r") } },
	  "000a0046 00000003'new' 01'r'" },
	{ { AMQP_CONNECTION_UPDATE_SECRET_OK }, "000a0047" },
	{ { AMQP_CHANNEL_OPEN }, "0014000a 00" },
	{ { AMQP_CHANNEL_OPEN_OK }, "0014000b 00000000" },
	{ { AMQP_CHANNEL_FLOW, .flow = { true } }, "00140014 01" },
	{ { AMQP_CHANNEL_FLOW_OK, .flow = { false } }, "00140015 00" },
	{ { AMQP_CHANNEL_CLOSE, .close = { 404, STR_INIT("no"), 50, 10 } },
	  "00140028 0194 02'no' 0032 000a" },
	{ { AMQP_CHANNEL_CLOSE_OK }, "00140029" },
	{ { AMQP_EXCHANGE_DECLARE, .exchange_declare = { STR_INIT("e"), STR_INIT("topic"),
							 .durable = true, .arguments = ARGS } },
	  "0028000a 0000 01'e' 05'topic' 02 " ARGS_X },
	{ { AMQP_EXCHANGE_DECLARE, .exchange_declare = { STR_INIT("e"), STR_INIT("direct"), true,
							 false, true, true, true } },
	  "0028000a 0000 01'e' 06'direct' 1d 00000000" },
	{ { AMQP_EXCHANGE_DECLARE_OK }, "0028000b" },
	{ { AMQP_EXCHANGE_DELETE, .exchange_delete = { STR_INIT("e"), false, true } },
	  "00280014 0000 01'e' 02" },
	{ { AMQP_EXCHANGE_DELETE_OK }, "00280015" },
	{ { AMQP_EXCHANGE_BIND,
	    .exchange_bind = { STR_INIT("to"), STR_INIT("from"), STR_INIT("key"), true, ARGS } },
	  "0028001e 0000 02'to' 04'from' 03'key' 01 " ARGS_X },
	{ { AMQP_EXCHANGE_BIND_OK }, "0028001f" },
	{ { AMQP_EXCHANGE_UNBIND,
	    .exchange_bind = { STR_INIT("to"), STR_INIT("from"), STR_INIT("key") } },
	  "00280028 0000 02'to' 04'from' 03'key' 00 00000000" },
	{ { AMQP_EXCHANGE_UNBIND_OK }, "00280033" },
	{ { AMQP_QUEUE_DECLARE,
	    .queue_declare = { STR_INIT("q"), .durable = true, .no_wait = true } },
	  "0032000a 0000 01'q' 12 00000000" },
	{ { AMQP_QUEUE_DECLARE, .queue_declare = { .passive = true,
						   .exclusive = true,
						   .auto_delete = true,
						   .arguments = ARGS } },
	  "0032000a 0000 00 0d " ARGS_X },
	{ { AMQP_QUEUE_DECLARE_OK, .queue_declare_ok = { STR_INIT("amq.gen-1"), 7, 2 } },
	  "0032000b 09'amq.gen-1' 00000007 00000002" },
	{ { AMQP_QUEUE_BIND, .queue_bind = { STR_INIT("q"), STR_INIT("e"), STR_INIT("k.#") } },
	  "00320014 0000 01'q' 01'e' 03'k.#' 00 00000000" },
	{ { AMQP_QUEUE_BIND_OK }, "00320015" },
	{ { AMQP_QUEUE_PURGE, .queue_purge = { STR_INIT("q"), true } }, "0032001e 0000 01'q' 01" },
	{ { AMQP_QUEUE_PURGE_OK, .count = { 258 } }, "0032001f 00000102" },
	{ { AMQP_QUEUE_DELETE, .queue_delete = { STR_INIT("q"), true, false, true } },
	  "00320028 0000 01'q' 05" },
	{ { AMQP_QUEUE_DELETE_OK, .count = { 1 } }, "00320029 00000001" },
	{ { AMQP_QUEUE_UNBIND,
	    .queue_bind = { STR_INIT("q"), STR_INIT("e"), STR_INIT("k"), false, ARGS } },
	  "00320032 0000 01'q' 01'e' 01'k' " ARGS_X },
	{ { AMQP_QUEUE_UNBIND_OK }, "00320033" },
	{ { AMQP_BASIC_QOS, .qos = { 0, 100, true } }, "003c000a 00000000 0064 01" },
	{ { AMQP_BASIC_QOS_OK }, "003c000b" },
	{ { AMQP_BASIC_CONSUME,
	    .consume = { STR_INIT("q"), STR_INIT("c"), .no_local = true, .no_wait = true } },
	  "003c0014 0000 01'q' 01'c' 09 00000000" },
	{ { AMQP_BASIC_CONSUME,
	    .consume = { STR_INIT("q"), .no_ack = true, .exclusive = true, .arguments = ARGS } },
	  "003c0014 0000 01'q' 00 06 " ARGS_X },
	{ { AMQP_BASIC_CONSUME_OK, .cancel = { STR_INIT("c") } }, "003c0015 01'c'" },
	{ { AMQP_BASIC_CANCEL, .cancel = { STR_INIT("c"), true } }, "003c001e 01'c' 01" },
	{ { AMQP_BASIC_CANCEL_OK, .cancel = { STR_INIT("c") } }, "003c001f 01'c'" },
	{ { AMQP_BASIC_PUBLISH, .publish = { STR_INIT(""), STR_INIT("events"), true } },
	  "003c0028 0000 00 06'events' 01" },
	{ { AMQP_BASIC_RETURN,
	    .returned = { 312, STR_INIT("NO_ROUTE"), STR_INIT("e"), STR_INIT("k") } },
	  "003c0032 0138 08'NO_ROUTE' 01'e' 01'k'" },
	{ { AMQP_BASIC_DELIVER,
	    .deliver = { STR_INIT("c"), 0x0102030405060708, true, STR_INIT("e"), STR_INIT("k") } },
	  "003c003c 01'c' 0102030405060708 01 01'e' 01'k'" },
	{ { AMQP_BASIC_GET, .get = { STR_INIT("q"), true } }, "003c0046 0000 01'q' 01" },
	{ { AMQP_BASIC_GET_OK, .get_ok = { 9, true, STR_INIT("e"), STR_INIT("k"), 3 } },
	  "003c0047 0000000000000009 01 01'e' 01'k' 00000003" },
	{ { AMQP_BASIC_GET_EMPTY }, "003c0048 00" },
	{ { AMQP_BASIC_ACK, .ack = { 1, true } }, "003c0050 0000000000000001 01" },
	{ { AMQP_BASIC_REJECT, .ack = { 2, .requeue = true } }, "003c005a 0000000000000002 01" },
	{ { AMQP_BASIC_RECOVER, .recover = { true } }, "003c006e 01" },
	{ { AMQP_BASIC_RECOVER_OK }, "003c006f" },
	{ { AMQP_BASIC_NACK, .ack = { 3, false, true } }, "003c0078 0000000000000003 02" },
	{ { AMQP_CONFIRM_SELECT, .select = { false } }, "0055000a 00" },
	{ { AMQP_CONFIRM_SELECT_OK }, "0055000b" },
};

enum { N_VECTORS = sizeof(vectors) / sizeof(*vectors) };

static uint16_t channel_of(uint32_t id)
{
	return AMQP_CLASS_OF(id) == 10 ? 0 : 258;
}

static void every_method_is_written_to_the_byte(void **state)
{
	for (size_t i = 0; i < N_VECTORS; i++) {
		const struct amqp_method *m = &vectors[i].m;
		struct amqp_bytes want = { .n = 0 };
		struct buf b auto_buf = { 0 };

		buf_init(&b, 4096);
		amqp_bytes_frame(&want, 1, channel_of(m->id), vectors[i].payload);
		if (amqp_method_write(&b, channel_of(m->id), AMQP_FRAME_MIN, m) == -ENOMEM)
			return;
		if (!str_eq(buf_str(&b), amqp_bytes_str(&want)))
			fail_msg("vector %zu, %s", i, amqp_method_name(m->id));
	}
}

static void every_method_read_and_written_again_is_the_same(void **state)
{
	for (size_t i = 0; i < N_VECTORS; i++) {
		uint16_t channel = channel_of(vectors[i].m.id);
		struct amqp_bytes payload = { .n = 0 }, want = { .n = 0 };
		struct amqp_frame frame = { AMQP_FRAME_METHOD, channel, { NULL, 0 } };
		struct buf b auto_buf = { 0 };
		struct amqp_method m;
		struct amqp_fault f;

		buf_init(&b, 4096);
		amqp_bytes_add(&payload, vectors[i].payload);
		amqp_bytes_frame(&want, 1, channel, vectors[i].payload);
		frame.payload = amqp_bytes_str(&payload);
		if (amqp_method_read(&frame, &m, &f) < 0)
			fail_msg("vector %zu: %s", i, f.text);
		assert_int_equal(m.id, vectors[i].m.id);
		if (amqp_method_write(&b, channel, AMQP_FRAME_MIN, &m) == -ENOMEM)
			return;
		assert_true(str_eq(buf_str(&b), amqp_bytes_str(&want)));
	}
}

static void members_hold_what_was_on_the_wire(void **state)
{
	struct amqp_bytes in = { .n = 0 };
	struct amqp_method m;
	struct amqp_fault f;

	amqp_bytes_add(&in, "003c003c 01'c' 0102030405060708 ff 01'e' 02'rk'");
	assert_int_equal(
		amqp_method_read(&(struct amqp_frame){ 1, 5, amqp_bytes_str(&in) }, &m, &f), 0);
	assert_int_equal(m.id, AMQP_BASIC_DELIVER);
	assert_true(str_eq(m.deliver.consumer_tag, STR("c")));
	assert_true(m.deliver.delivery_tag == UINT64_C(0x0102030405060708));
	assert_true(m.deliver.redelivered == true);
	assert_true(str_eq(m.deliver.exchange, STR("e")));
	assert_true(str_eq(m.deliver.routing_key, STR("rk")));
	assert_ptr_equal(m.deliver.routing_key.p, in.p + in.n - 2);
	assert_true(amqp_method_has_content(m.id));
	assert_string_equal(amqp_method_name(m.id), "basic.deliver");
	assert_null(amqp_method_name(AMQP_ID(60, 61)));
}

/* Each vector without its end, at every byte, and with one byte more. */
static void methods_of_the_wrong_length_are_refused(void **state)
{
	for (size_t i = 0; i < N_VECTORS; i++) {
		struct amqp_bytes in = { .n = 0 };
		uint32_t id = vectors[i].m.id;
		struct amqp_method m;
		struct amqp_fault f;

		amqp_bytes_add(&in, vectors[i].payload);
		in.p[in.n] = 0;
		for (size_t n = 0; n <= in.n + 1; n++) {
			struct amqp_frame frame = { 1, channel_of(id), str_make(in.p, n) };

			if (n == in.n)
				continue;
			assert_int_equal(amqp_method_read(&frame, &m, &f), -EBADMSG);
			assert_int_equal(f.code, 502);
			assert_int_equal(f.class_id, n < 4 ? 0 : AMQP_CLASS_OF(id));
			assert_int_equal(f.method_id, n < 4 ? 0 : AMQP_METHOD_OF(id));
		}
	}
}

static void malformed_methods_are_told(void **state)
{
	static const struct {
		const char *payload;
		int channel, code;
		const char *says;
	} cases[] = {
		{ "", 1, 502, "a method frame of 0 bytes" },
		{ "003c00", 1, 502, "a method frame of 3 bytes" },
		{ "003c0063", 1, 540, "method 99 of class 60 is unknown" },
		{ "ffffffff", 0, 540, "method 65535 of class 65535 is unknown" },
		{ "000a0033", 1, 503, "connection.close-ok: on channel 1, must be 0" },
		{ "003c000b", 0, 504, "basic.qos-ok: on channel 0" },
		{ "000a001e 07ff", 0, 502, "connection.tune: cut off in tune.frame_max" },
		{ "003c0015 05'c'", 1, 502, "basic.consume-ok: cut off in cancel.consumer_tag" },
		{ "003c000b 00", 1, 502, "basic.qos-ok: 1 bytes behind its arguments" },
		{ "000a000a 00 09 00000003 01'k?' 00000000 00000000", 0, 502,
		  "connection.start: start.server_properties: a table value of unknown type 0x3f" },
		{ "000a000a 00 09 00000003 09'k?' 00000000 00000000", 0, 502,
		  "server_properties: a table ends within an entry" },
		{ "000a000a 00 09 ffffffff 09'k?'", 0, 502, "cut off in start.server_properties" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct amqp_bytes in = { .n = 0 };
		struct amqp_frame frame = { 1, (uint16_t)cases[i].channel, { NULL, 0 } };
		struct amqp_method m;
		struct amqp_fault f;

		amqp_bytes_add(&in, cases[i].payload);
		frame.payload = amqp_bytes_str(&in);
		assert_int_equal(amqp_method_read(&frame, &m, &f), -EBADMSG);
		assert_int_equal(f.code, cases[i].code);
		if (!strstr(f.text, cases[i].says))
			fail_msg("\"%s\" lacks \"%s\"", f.text, cases[i].says);
	}
}

static void what_can_not_be_written_leaves_the_buffer_alone(void **state)
{
	static char long_name[256], big_table[5000];
	struct amqp_method named = { AMQP_BASIC_CANCEL,
				     .cancel = { str_make(long_name, sizeof(long_name)) } };
	struct amqp_method big = { AMQP_QUEUE_DECLARE,
				   .queue_declare = { .arguments = { big_table, 5000 } } };
	struct buf b auto_buf = { 0 }, small auto_buf = { 0 };
	struct amqp_method bare = { AMQP_BASIC_QOS_OK };

	buf_init(&b, 65536);
	buf_init(&small, 11);
	oom_pause();
	assert_int_equal(amqp_method_write(&b, 1, 4096, &bare), 0);
	assert_int_equal(amqp_method_write(&b, 1, 4096, &named), -EINVAL);
	assert_int_equal(amqp_method_write(&b, 1, 4096, &big), -EMSGSIZE);
	assert_int_equal(amqp_method_write(&b, 1, 4096, &(struct amqp_method){ 1 }), -EINVAL);
	assert_int_equal(buf_len(&b), 12);
	named.cancel.consumer_tag.n = 255;
	assert_int_equal(amqp_method_write(&b, 1, 4096, &named), 0);
	assert_int_equal(amqp_method_write(&small, 1, 4096, &bare), -ENOBUFS);
	assert_int_equal(buf_len(&small), 0);
	oom_resume();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_method_is_written_to_the_byte),
		cmocka_unit_test(every_method_read_and_written_again_is_the_same),
		cmocka_unit_test(members_hold_what_was_on_the_wire),
		cmocka_unit_test(methods_of_the_wrong_length_are_refused),
		cmocka_unit_test(malformed_methods_are_told),
		cmocka_unit_test(what_can_not_be_written_leaves_the_buffer_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
