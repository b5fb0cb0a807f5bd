/* SPDX-License-Identifier: MIT */
/* Unpacking: whole, cut anywhere, damaged anywhere, and more than was meant. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include <zlib.h>

#include "codec/gzip.h"

static struct str pack(char *out, size_t size, struct str text, int window)
{
	z_stream z = { .next_in = (z_const Bytef *)text.p,
		       .avail_in = (uInt)text.n,
		       .next_out = (Bytef *)out,
		       .avail_out = (uInt)size };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&z), Z_OK);
	return str_make(out, size - z.avail_out);
}

static int unpack(struct buf *b, size_t max, struct str gz)
{
	buf_init(b, max);
	int rc = gzip_add_unpacked(b, gz);
	assert_true(buf_len(b) <= max);
	return rc;
}

static void what_was_packed_comes_out(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 8191, 8192, 8193, 16384, 100000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i];
		char *text = malloc(n + 1), *packed = malloc(n + 1000);
		struct buf b;

		for (size_t j = 0; j < n; j++)
			text[j] = (char)(j * j >> 3);
		struct str gz = pack(packed, n + 1000, str_make(text, n), 31);
		assert_int_equal(unpack(&b, n + 1, gz), 0);
		assert_true(str_eq(buf_str(&b), str_make(text, n)));
		buf_fini(&b);
		assert_int_equal(unpack(&b, n, gz), 0);
		assert_true(str_eq(buf_str(&b), str_make(text, n)));
		buf_fini(&b);
		if (n > 0) {
			assert_int_equal(unpack(&b, n - 1, gz), -ENOBUFS);
			buf_fini(&b);
		}
		free(packed);
		free(text);
	}
}

static void a_bomb_ends_at_the_maximum(void **state)
{
	char *zeros = calloc(1, 10 << 20), packed[65536];
	struct buf b;
	struct str gz = pack(packed, sizeof(packed), str_make(zeros, 10 << 20), 31);

	assert_int_equal(unpack(&b, 256 << 10, gz), -ENOBUFS);
	buf_fini(&b);
	free(zeros);
}

static void members_follow_each_other(void **state)
{
	char packed[256];
	struct buf b;
	struct str one = pack(packed, 100, STR("one "), 31);
	struct str two = pack(packed + one.n, 100, STR("two"), 31);

	assert_int_equal(unpack(&b, 100, str_make(packed, one.n + two.n)), 0);
	assert_true(str_eq(buf_str(&b), STR("one two")));
	buf_fini(&b);
}

static void what_is_damaged_is_refused(void **state)
{
	char packed[256];
	struct buf b;
	struct str gz = pack(packed, sizeof(packed), STR("hello, hello, hello"), 31);

	for (size_t n = 0; n < gz.n; n++) {
		char *copy = malloc(n + 1);

		memcpy(copy, gz.p, n);
		assert_int_equal(unpack(&b, 1000, str_make(copy, n)), -EBADMSG);
		buf_fini(&b);
		free(copy);
	}
	/* The time and the system of the header mean nothing. */
	for (size_t i = 10; i < gz.n; i++) {
		packed[i] ^= 0x55;
		assert_int_equal(unpack(&b, 1000, gz), -EBADMSG);
		buf_fini(&b);
		packed[i] ^= 0x55;
	}
	packed[gz.n] = 'x';
	assert_int_equal(unpack(&b, 1000, str_make(gz.p, gz.n + 1)), -EBADMSG);
	buf_fini(&b);
	/* zlib's own frame, and no frame at all. */
	for (int window = -15; window <= 15; window += 30) {
		assert_int_equal(
			unpack(&b, 1000, pack(packed, sizeof(packed), STR("hello"), window)),
			-EBADMSG);
		buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_packed_comes_out),
		cmocka_unit_test(a_bomb_ends_at_the_maximum),
		cmocka_unit_test(members_follow_each_other),
		cmocka_unit_test(what_is_damaged_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
