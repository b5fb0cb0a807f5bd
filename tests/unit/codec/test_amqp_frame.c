/* SPDX-License-Identifier: MIT */
/* Frames: whole and cut anywhere, the limits, and what is no frame. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "amqp_bytes.h"
#include "codec/amqp_frame.h"

static void a_whole_frame_is_a_slice_of_the_input(void **state)
{
	struct amqp_bytes in = { .n = 0 };
	struct amqp_frame_reader r;
	struct amqp_frame frame;
	struct amqp_fault f;
	struct str data;

	amqp_bytes_add(&in, "01 0007 00000003 'abc' ce  08 0000 00000000 ce");
	data = amqp_bytes_str(&in);
	amqp_frame_reader_init(&r);
	assert_int_equal(amqp_frame_read(&r, &data, &frame, &f), 1);
	assert_int_equal(frame.type, AMQP_FRAME_METHOD);
	assert_int_equal(frame.channel, 7);
	assert_ptr_equal(frame.payload.p, in.p + 7);
	assert_true(str_eq(frame.payload, STR("abc")));
	assert_int_equal(amqp_frame_read(&r, &data, &frame, &f), 1);
	assert_int_equal(frame.type, AMQP_FRAME_HEARTBEAT);
	assert_int_equal(amqp_frame_read(&r, &data, &frame, &f), 0);
	assert_null(r.part.base);
	amqp_frame_reader_fini(&r);
}

/* Feeds step bytes at a time and writes down what came. */
static int feed(struct str data, size_t step, struct buf *log, struct amqp_fault *f)
{
	struct amqp_frame_reader r;
	struct amqp_frame frame;
	int rc = 0;

	amqp_frame_reader_init(&r);
	while (data.n && rc >= 0) {
		struct str piece = str_make(data.p, step < data.n ? step : data.n);
		char *copy = malloc(piece.n);
		struct str rest = str_make(memcpy(copy, piece.p, piece.n), piece.n);

		data = str_skip(data, piece.n);
		while ((rc = amqp_frame_read(&r, &rest, &frame, f)) == 1) {
			assert_int_equal(buf_addf(log, "%d/%d:", frame.type, frame.channel), 0);
			assert_int_equal(buf_add(log, frame.payload), 0);
		}
		free(copy);
	}
	amqp_frame_reader_fini(&r);
	return rc;
}

static void frames_may_be_cut_at_every_byte(void **state)
{
	struct amqp_bytes in = { .n = 0 };
	struct str want = STR("1/0:abc8/0:2/1:headers3/1:1/9:3/65535:0123456789");

	amqp_bytes_frame(&in, 1, 0, "'abc'");
	amqp_bytes_frame(&in, 8, 0, "");
	amqp_bytes_frame(&in, 2, 1, "'headers'");
	amqp_bytes_frame(&in, 3, 1, "");
	amqp_bytes_frame(&in, 1, 9, "");
	amqp_bytes_frame(&in, 3, 65535, "'0123456789'");
	for (size_t step = 1; step <= in.n; step++) {
		struct amqp_fault f;
		struct buf log auto_buf = { 0 };

		buf_init(&log, 4096);
		oom_pause();
		assert_int_equal(feed(amqp_bytes_str(&in), step, &log, &f), 0);
		oom_resume();
		assert_true(str_eq(buf_str(&log), want));
	}
}

static void malformed_frames_are_told(void **state)
{
	static const struct {
		const char *bytes;
		int code;
		const char *says;
	} cases[] = {
		{ "'AMQP' 00 00 09 01", 0, "refuses AMQP 0-9-1 and offers 0-9" },
		{ "'AMQP' 00 01 00 00", 0, "refuses AMQP 0-9-1 and offers 1-0" },
		{ "'ABCDEFGH'", 0, "speaks no AMQP: its first byte is 65" },
		{ "'HTTP/1.1 400'", 0, "speaks no AMQP: its first byte is 72" },
		{ "15 03 01 00 02 02 46", 0, "first byte is 21, as of a TLS alert" },
		{ "08 0000 00000000 ce 04 0000 00000000 ce", 501, "unknown type 4" },
		{ "08 0000 00000000 ce 'AMQP' 00 00 09 01", 501, "unknown type 65" },
		{ "01 0000 00000ff9", 501, "4089 bytes of payload, at most 4088 were agreed" },
		{ "01 0000 ffffffff", 501, "4294967295 bytes of payload" },
		{ "01 0000 00000001 00 cf", 501,
		  "a frame of 9 bytes ends in 0xcf instead of 0xce" },
		{ "01 0000 00000000 00", 501, "ends in 0x00" },
		{ "08 0001 00000000 ce", 501, "a heartbeat on channel 1 with 0 bytes" },
		{ "08 0000 00000001 00 ce", 501, "a heartbeat on channel 0 with 1 bytes" },
		{ "02 0000 00000000 ce", 504, "content on channel 0" },
		{ "03 0000 00000000 ce", 504, "content on channel 0" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct amqp_bytes in = { .n = 0 };

		amqp_bytes_add(&in, cases[i].bytes);
		for (size_t step = 1; step <= in.n; step++) {
			struct amqp_fault f = { 0 };
			struct buf log auto_buf = { 0 };

			buf_init(&log, 4096);
			oom_pause();
			assert_int_equal(feed(amqp_bytes_str(&in), step, &log, &f), -EBADMSG);
			oom_resume();
			assert_int_equal(f.code, cases[i].code);
			if (!strstr(f.text, cases[i].says))
				fail_msg("\"%s\" lacks \"%s\"", f.text, cases[i].says);
		}
	}
}

static void frame_max_bounds_what_is_taken_and_kept(void **state)
{
	enum { MOST = 8192 };
	static char bytes[MOST + 1] = { 1, 0, 0, 0, 0, (MOST - 8) >> 8, (MOST - 8) & 0xff };
	struct amqp_frame_reader r;
	struct amqp_frame frame;
	struct amqp_fault f;
	struct str data;

	bytes[MOST - 1] = (char)0xce;
	amqp_frame_reader_init(&r);
	amqp_frame_reader_set_max(&r, MOST);
	data = str_make(bytes, MOST);
	assert_int_equal(amqp_frame_read(&r, &data, &frame, &f), 1);
	assert_int_equal(frame.payload.n, MOST - 8);
	data = str_make(bytes, MOST - 1);
	oom_pause();
	assert_int_equal(amqp_frame_read(&r, &data, &frame, &f), 0);
	oom_resume();
	assert_true(r.part.cap <= MOST);
	amqp_frame_reader_fini(&r);

	amqp_frame_reader_init(&r);
	amqp_frame_reader_set_max(&r, MOST - 1);
	data = str_make(bytes, 7);
	oom_pause();
	assert_int_equal(amqp_frame_read(&r, &data, &frame, &f), -EBADMSG);
	oom_resume();
	assert_int_equal(f.code, 501);
	amqp_frame_reader_fini(&r);
}

static void a_heartbeat_is_eight_bytes(void **state)
{
	struct buf b auto_buf = { 0 };

	buf_init(&b, 8);
	if (amqp_heartbeat_write(&b) == -ENOMEM)
		return;
	assert_true(str_eq(buf_str(&b), STR("\x08\0\0\0\0\0\0\xce")));
	assert_int_equal(amqp_heartbeat_write(&b), -ENOBUFS);
	assert_int_equal(buf_len(&b), 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_frame_is_a_slice_of_the_input),
		cmocka_unit_test(frames_may_be_cut_at_every_byte),
		cmocka_unit_test(malformed_frames_are_told),
		cmocka_unit_test(frame_max_bounds_what_is_taken_and_kept),
		cmocka_unit_test(a_heartbeat_is_eight_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
