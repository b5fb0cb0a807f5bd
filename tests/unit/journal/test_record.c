/* SPDX-License-Identifier: MIT */
/* The codec: checksums both ways, round trips, every cut, every bit, the scanner. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "base/rand.h"
#include "journal/crc32c.h"
#include "journal/record.h"

static void crc32c_is_the_one_of_the_rfc(void **state)
{
	/* RFC 3720 appendix B.4. */
	char zeros[32] = { 0 };

	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(crc32c_table(0, "123456789", 9), 0xe3069283);
}

static void instruction_and_table_agree(void **state)
{
	char bytes[300];

	rand_bytes(bytes, sizeof(bytes));
	for (size_t from = 0; from < 9; from++)
		for (size_t n = 0; n <= sizeof(bytes) - from; n++)
			assert_int_equal(crc32c(7, bytes + from, n),
					 crc32c_table(7, bytes + from, n));
	assert_int_equal(crc32c(crc32c(0, bytes, 100), bytes + 100, 200), crc32c(0, bytes, 300));
}

static size_t make(char *at, const char *body, uint64_t seq, uint64_t generation)
{
	struct record r = {
		.type = RECORD_DATA, .stream = 9, .seq = seq, .wall_ms = 5, .lsn = seq
	};

	r.body = str_make(at + RECORD_HEADER, strlen(body));
	memcpy(at + RECORD_HEADER, body, r.body.n);
	record_seal(at, &r, generation);
	return record_size(r.body.n);
}

static void record_comes_back_and_no_cut_of_it_does(void **state)
{
	char bytes[256];
	size_t n = make(bytes, "hello", 3, 77);
	struct record r;

	assert_int_equal(n, 56);
	assert_int_equal(record_read(str_make(bytes, n), 77, &r), 1);
	assert_int_equal(r.type, RECORD_DATA);
	assert_int_equal(r.stream, 9);
	assert_int_equal(r.seq, 3);
	assert_int_equal(r.wall_ms, 5);
	assert_int_equal(r.lsn, 3);
	assert_true(str_eq(r.body, STR("hello")));
	assert_int_equal(record_read(str_make(bytes, n), 78, &r), -EBADMSG);
	for (size_t cut = 0; cut < n; cut++) {
		char *part = malloc(cut + 1);

		memcpy(part, bytes, cut);
		assert_int_equal(record_read(str_make(part, cut), 77, &r), 0);
		free(part);
	}
	assert_int_equal(record_restamp(bytes, 78), n);
	assert_int_equal(record_read(str_make(bytes, n), 78, &r), 1);
}

static void no_bit_of_a_record_can_change(void **state)
{
	char bytes[256];
	size_t n = make(bytes, "12345678", 3, 77);
	struct record r;

	for (size_t bit = 0; bit < n * 8; bit++) {
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		assert_true(record_read(str_make(bytes, n), 77, &r) <= 0);
		bytes[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_int_equal(record_read(str_make(bytes, n), 77, &r), 1);
}

static void file_header_survives_one_bad_copy(void **state)
{
	struct file_header h = { FILE_SEGMENT, FILE_VERSION, FILE_MARKED, 5, 77, 65536, 12, 11 },
			   got;
	char bytes[FILE_HEADER];
	bool damaged;

	file_header_write(bytes, &h);
	assert_int_equal(file_header_read(str_make(bytes, FILE_HEADER), &got, &damaged), 1);
	assert_false(damaged);
	for (size_t i = 0; i < 64; i++) {
		bytes[i] ^= 4;
		assert_int_equal(file_header_read(str_make(bytes, FILE_HEADER), &got, &damaged), 1);
		assert_true(damaged);
		assert_int_equal(got.generation, 77);
		assert_int_equal(got.number, 5);
		bytes[i + FILE_HEADER_COPY] ^= 4;
		assert_int_equal(file_header_read(str_make(bytes, FILE_HEADER), &got, &damaged),
				 -EBADMSG);
		bytes[i + FILE_HEADER_COPY] ^= 4;
		bytes[i] ^= 4;
	}
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(file_header_read(str_make(bytes, FILE_HEADER), &got, &damaged), 0);
	assert_int_equal(file_header_read(str_make(bytes, 10), &got, &damaged), 0);
}

struct seen {
	uint64_t seqs[16];
	size_t n, n_damage, damage_at, damage_n;
};

static void on_record(void *arg, size_t offset, const struct record *r)
{
	struct seen *seen = arg;

	seen->seqs[seen->n++] = r->seq;
}

static void on_damage(void *arg, size_t offset, size_t n)
{
	struct seen *seen = arg;

	seen->n_damage++;
	seen->damage_at = offset;
	seen->damage_n = n;
}

static void scanner_tells_damage_from_a_torn_tail(void **state)
{
	static char bytes[8192];
	struct file_header h = { .generation = 77 };
	struct seen seen = { 0 };
	struct scan_events events = { on_record, on_damage, &seen };
	struct scan_result res;
	size_t at = FILE_HEADER, second, third, end;

	at += make(bytes + at, "one", 1, 77);
	second = at;
	at += make(bytes + at, "two", 2, 77);
	third = at;
	end = at + make(bytes + at, "three", 3, 77);
	bytes[second + 50] ^= 1;
	res = scan_begin(&h);
	file_scan(str_make(bytes, sizeof(bytes)), &h, &events, &res);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.seqs[1], 3);
	assert_int_equal(seen.n_damage, 1);
	assert_int_equal(seen.damage_at, second);
	assert_int_equal(seen.damage_n, third - second);
	assert_int_equal(res.end, end);
	assert_int_equal(res.tail, 0);

	bytes[third + 50] ^= 1;
	seen = (struct seen){ 0 };
	res = scan_begin(&h);
	file_scan(str_make(bytes, sizeof(bytes)), &h, &events, &res);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.n_damage, 0);
	assert_int_equal(res.end, second);
	assert_int_equal(res.tail, end - second);
}

static void records_of_another_generation_are_nothing(void **state)
{
	static char bytes[8192];
	struct file_header h = { .generation = 77 };
	struct seen seen = { 0 };
	struct scan_events events = { on_record, on_damage, &seen };
	struct scan_result res;
	size_t at = FILE_HEADER;

	at += make(bytes + at, "new", 1, 77);
	(void)make(bytes + at, "of the former use of this segment", 2, 76);
	res = scan_begin(&h);
	file_scan(str_make(bytes, sizeof(bytes)), &h, &events, &res);
	assert_int_equal(seen.n, 1);
	assert_int_equal(res.end, at);
	assert_true(res.tail > 0);
}

static void record_with_a_number_that_no_log_reaches_is_damage(void **state)
{
	char bytes[256];
	struct record r;
	size_t n = make(bytes, "hello", LSN_MAX, 77);

	assert_int_equal(record_read(str_make(bytes, n), 77, &r), 1);
	n = make(bytes, "hello", LSN_MAX + 1, 77);
	assert_int_equal(record_read(str_make(bytes, n), 77, &r), -EBADMSG);
	n = make(bytes, "hello", UINT64_MAX, 77);
	assert_int_equal(record_read(str_make(bytes, n), 77, &r), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_is_the_one_of_the_rfc),
		cmocka_unit_test(instruction_and_table_agree),
		cmocka_unit_test(record_comes_back_and_no_cut_of_it_does),
		cmocka_unit_test(no_bit_of_a_record_can_change),
		cmocka_unit_test(file_header_survives_one_bad_copy),
		cmocka_unit_test(scanner_tells_damage_from_a_torn_tail),
		cmocka_unit_test(records_of_another_generation_are_nothing),
		cmocka_unit_test(record_with_a_number_that_no_log_reaches_is_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
