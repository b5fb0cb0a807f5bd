/* SPDX-License-Identifier: MIT */
/* Messages: written to the byte, put together from frames, and what is out of turn or too large. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "amqp_bytes.h"
#include "codec/amqp_content.h"

enum { LIMIT = 10000 };

#define DELIVER   "003c003c 01'c' 0000000000000007 00 01'e' 01'k'"
#define HEADER(n) "003c 0000 00000000000000" n " 0000"

static const struct amqp_message published = {
	.method = { AMQP_BASIC_PUBLISH, .publish = { STR_INIT(""), STR_INIT("events") } },
	.properties = { .present = AMQP_HAS_CONTENT_TYPE | AMQP_HAS_HEADERS |
				   AMQP_HAS_DELIVERY_MODE | AMQP_HAS_PRIORITY,
			.content_type = STR_INIT("application/json"),
			.delivery_mode = AMQP_TRANSIENT },
	.body = STR_INIT("{}"),
};

static void a_message_is_written_to_the_byte(void **state)
{
	struct amqp_bytes want = { .n = 0 };
	struct buf b auto_buf = { 0 };

	buf_init(&b, 4096);
	amqp_bytes_frame(&want, 1, 3, "003c0028 0000 00 06'events' 00");
	amqp_bytes_frame(&want, 2, 3,
			 "003c 0000 0000000000000002 b800 10'application/json' 00000000 01 00");
	amqp_bytes_frame(&want, 3, 3, "'{}'");
	if (amqp_message_write(&b, 3, AMQP_FRAME_MIN, &published) == -ENOMEM)
		return;
	assert_true(str_eq(buf_str(&b), amqp_bytes_str(&want)));
}

static const struct amqp_properties all_properties = {
	.present = 0xfffc,
	.content_type = STR_INIT("a"),
	.content_encoding = STR_INIT("b"),
	.headers = STR_INIT("\1kt\1"),
	.delivery_mode = 2,
	.priority = 9,
	.correlation_id = STR_INIT("c"),
	.reply_to = STR_INIT("d"),
	.expiration = STR_INIT("60000"),
	.message_id = STR_INIT("e"),
	.timestamp = 0x0102030405060708,
	.type = STR_INIT("f"),
	.user_id = STR_INIT("g"),
	.app_id = STR_INIT("h"),
	.cluster_id = STR_INIT("i"),
};

#define ALL_PROPERTIES                                                             \
	"fffc 01'a' 01'b' 00000004 01'k' 't'01 02 09 01'c' 01'd' 05'60000' 01'e' " \
	"0102030405060708 01'f' 01'g' 01'h' 01'i'"

static void all_properties_are_written_to_the_byte(void **state)
{
	struct amqp_message m = { .method = { AMQP_BASIC_PUBLISH }, .properties = all_properties };
	struct amqp_bytes want = { .n = 0 };
	struct buf b auto_buf = { 0 };

	buf_init(&b, 4096);
	amqp_bytes_frame(&want, 1, 1, "003c0028 0000 00 00 00");
	amqp_bytes_frame(&want, 2, 1, "003c 0000 0000000000000000 " ALL_PROPERTIES);
	if (amqp_message_write(&b, 1, AMQP_FRAME_MIN, &m) == -ENOMEM)
		return;
	assert_true(str_eq(buf_str(&b), amqp_bytes_str(&want)));
}

static int take(struct amqp_assembly *a, int type, const char *payload, struct amqp_message *ret,
		struct amqp_fault *f)
{
	static struct amqp_bytes in;
	struct amqp_frame frame = { (enum amqp_frame_type)type, 1, { NULL, 0 } };
	int rc;

	memset(&in, 0xdd, sizeof(in)); /* what was handed out before is gone */
	in.n = 0;
	amqp_bytes_add(&in, payload);
	frame.payload = amqp_bytes_str(&in);
	oom_pause();
	rc = amqp_assembly_take(a, &frame, ret, f);
	oom_resume();
	return rc;
}

static void all_properties_are_read(void **state)
{
	struct amqp_assembly a;
	struct amqp_message m;
	struct amqp_fault f;
	const struct amqp_properties *p = &m.properties;

	amqp_assembly_init(&a, LIMIT);
	assert_int_equal(take(&a, 1, DELIVER, &m, &f), AMQP_MORE);
	assert_int_equal(take(&a, 2, "003c 0000 0000000000000000 " ALL_PROPERTIES, &m, &f),
			 AMQP_GOT_MESSAGE);
	assert_int_equal(p->present, 0xfffc);
	assert_true(str_eq(p->content_type, STR("a")) && str_eq(p->content_encoding, STR("b")));
	assert_true(str_eq(p->headers, STR("\1kt\1")));
	assert_true(p->delivery_mode == 2 && p->priority == 9);
	assert_true(str_eq(p->correlation_id, STR("c")) && str_eq(p->reply_to, STR("d")));
	assert_true(str_eq(p->expiration, STR("60000")) && str_eq(p->message_id, STR("e")));
	assert_true(p->timestamp == UINT64_C(0x0102030405060708));
	assert_true(str_eq(p->type, STR("f")) && str_eq(p->user_id, STR("g")));
	assert_true(str_eq(p->app_id, STR("h")) && str_eq(p->cluster_id, STR("i")));
	assert_int_equal(m.body.n, 0);
	amqp_assembly_fini(&a);
}

static void a_body_in_pieces_is_put_together(void **state)
{
	struct amqp_assembly a;
	struct amqp_message m;
	struct amqp_fault f;

	amqp_assembly_init(&a, 6);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(take(&a, 1, DELIVER, &m, &f), AMQP_MORE);
		assert_int_equal(take(&a, 2, HEADER("06"), &m, &f), AMQP_MORE);
		assert_int_equal(take(&a, 3, "'abc'", &m, &f), AMQP_MORE);
		assert_int_equal(take(&a, 3, "", &m, &f), AMQP_MORE);
		assert_int_equal(take(&a, 3, "'d'", &m, &f), AMQP_MORE);
		assert_int_equal(take(&a, 3, "'ef'", &m, &f), AMQP_GOT_MESSAGE);
		assert_true(str_eq(m.body, STR("abcdef")));
		assert_int_equal(m.method.id, AMQP_BASIC_DELIVER);
		assert_true(str_eq(m.method.deliver.routing_key, STR("k")));
		assert_int_equal(m.properties.present, 0);
		assert_int_equal(take(&a, 1, "003c000b", &m, &f), AMQP_GOT_METHOD);
		assert_int_equal(m.method.id, AMQP_BASIC_QOS_OK);
	}
	amqp_assembly_fini(&a);
}

static void a_body_in_one_frame_is_not_copied(void **state)
{
	struct amqp_assembly a;
	struct amqp_message m;
	struct amqp_fault f;

	amqp_assembly_init(&a, LIMIT);
	(void)take(&a, 1, DELIVER, &m, &f);
	(void)take(&a, 2, HEADER("03"), &m, &f);
	assert_int_equal(take(&a, 3, "'abc'", &m, &f), AMQP_GOT_MESSAGE);
	assert_true(str_eq(m.body, STR("abc")));
	assert_null(a.body.base);
	amqp_assembly_fini(&a);
}

static void an_oversized_body_is_passed_over(void **state)
{
	struct amqp_assembly a;
	struct amqp_message m;
	struct amqp_fault f;

	amqp_assembly_init(&a, 5);
	assert_int_equal(take(&a, 1, DELIVER, &m, &f), AMQP_MORE);
	assert_int_equal(take(&a, 2, HEADER("06"), &m, &f), AMQP_GOT_OVERSIZED);
	assert_int_equal(f.code, AMQP_CONTENT_TOO_LARGE);
	assert_string_equal(f.text, "basic.deliver: a body of 6 bytes, at most 5 are taken");
	assert_true(m.method.deliver.delivery_tag == 7);
	assert_int_equal(take(&a, 3, "'abc'", &m, &f), AMQP_MORE);
	assert_int_equal(take(&a, 3, "'def'", &m, &f), AMQP_MORE);
	assert_null(a.body.base);
	(void)take(&a, 1, DELIVER, &m, &f);
	(void)take(&a, 2, HEADER("02"), &m, &f);
	assert_int_equal(take(&a, 3, "'ok'", &m, &f), AMQP_GOT_MESSAGE);
	assert_true(str_eq(m.body, STR("ok")));
	amqp_assembly_fini(&a);

	amqp_assembly_init(&a, LIMIT);
	(void)take(&a, 1, DELIVER, &m, &f);
	assert_int_equal(take(&a, 2, "003c 0000 ffffffffffffffff 0000", &m, &f),
			 AMQP_GOT_OVERSIZED);
	amqp_assembly_fini(&a);
}

static void frames_out_of_turn_and_malformed_headers_are_told(void **state)
{
	static const struct {
		struct {
			int type;
			const char *payload;
		} frames[4];
		int code;
		const char *says;
	} cases[] = {
		{ { { 2, HEADER("00") } }, 505, "a header frame, where a method is due" },
		{ { { 3, "'x'" } }, 505, "a body frame, where a method is due" },
		{ { { 1, DELIVER }, { 1, "003c000b" } },
		  505,
		  "a method frame, where the content of basic.deliver wants a header" },
		{ { { 1, DELIVER }, { 3, "'x'" } }, 505, "a body frame, where the content" },
		{ { { 1, DELIVER }, { 2, HEADER("01") }, { 2, HEADER("01") } },
		  505,
		  "a header frame, where the content of basic.deliver wants a body" },
		{ { { 1, DELIVER }, { 2, HEADER("02") }, { 3, "'x'" }, { 1, "003c000b" } },
		  505,
		  "wants a body" },
		{ { { 1, DELIVER }, { 2, HEADER("00") }, { 3, "'x'" } }, 505, "a method is due" },
		{ { { 8, "" } }, 505, "a heartbeat" },
		{ { { 1, DELIVER }, { 2, HEADER("02") }, { 3, "'abc'" } },
		  501,
		  "basic.deliver: a body frame of 3 bytes where 2 are left" },
		{ { { 1, DELIVER }, { 2, "0032 0000 0000000000000000 0000" } },
		  501,
		  "basic.deliver: a content header of class 50, must be 60" },
		{ { { 1, DELIVER }, { 2, "003c 0001 0000000000000000 0000" } }, 501, "weight 1" },
		{ { { 1, DELIVER }, { 2, "" } }, 502, "a content header of 0 bytes" },
		{ { { 1, DELIVER }, { 2, "003c 0000 0000000000000000 00" } }, 502, "of 13 bytes" },
		{ { { 1, DELIVER }, { 2, "003c 0000 0000000000000000 0001" } },
		  502,
		  "unknown properties in 0x0001" },
		{ { { 1, DELIVER }, { 2, "003c 0000 0000000000000000 0002" } }, 502, "0x0002" },
		{ { { 1, DELIVER }, { 2, "003c 0000 0000000000000000 8000 05'a'" } },
		  502,
		  "basic.deliver: cut off in content_type" },
		{ { { 1, DELIVER }, { 2, "003c 0000 0000000000000000 0000 00" } },
		  502,
		  "1 bytes behind the properties" },
		{ { { 1, DELIVER }, { 2, "003c 0000 0000000000000000 2000 00000003 01'k?'" } },
		  502,
		  "basic.deliver: headers: a table value of unknown type 0x3f" },
		{ { { 1, "003c003c 01" } }, 502, "basic.deliver: cut off" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct amqp_assembly a;
		struct amqp_message m;
		struct amqp_fault f = { 0 };
		int rc = 0;

		amqp_assembly_init(&a, LIMIT);
		for (size_t n = 0; n < 4 && cases[i].frames[n].payload; n++) {
			assert_true(rc >= 0);
			rc = take(&a, cases[i].frames[n].type, cases[i].frames[n].payload, &m, &f);
		}
		assert_int_equal(rc, -EBADMSG);
		assert_int_equal(f.code, cases[i].code);
		if (!strstr(f.text, cases[i].says))
			fail_msg("\"%s\" lacks \"%s\"", f.text, cases[i].says);
		amqp_assembly_fini(&a);
	}
}

static void a_reset_forgets_what_was_under_way(void **state)
{
	static const char *const ways[][2] = { { NULL, NULL },
					       { HEADER("02"), NULL },
					       { HEADER("02"), "'x'" },
					       { HEADER("99"), "'x'" } };

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		struct amqp_assembly a;
		struct amqp_message m;
		struct amqp_fault f;

		amqp_assembly_init(&a, 5);
		(void)take(&a, 1, DELIVER, &m, &f);
		if (ways[i][0])
			(void)take(&a, 2, ways[i][0], &m, &f);
		if (ways[i][1])
			assert_int_equal(take(&a, 3, ways[i][1], &m, &f), AMQP_MORE);
		amqp_assembly_reset(&a);
		assert_int_equal(take(&a, 1, DELIVER, &m, &f), AMQP_MORE);
		assert_int_equal(take(&a, 2, HEADER("01"), &m, &f), AMQP_MORE);
		assert_int_equal(take(&a, 3, "'y'", &m, &f), AMQP_GOT_MESSAGE);
		assert_true(str_eq(m.body, STR("y")));
		amqp_assembly_fini(&a);
	}
}

/* What amqp_message_write makes, through reader and assembly; returns the number of frames. */
static int loop_back(struct str bytes, size_t step, const struct amqp_message *want)
{
	struct amqp_frame_reader r;
	struct amqp_assembly a;
	struct amqp_message m;
	struct amqp_frame frame;
	struct amqp_fault f;
	int frames = 0, messages = 0;

	amqp_frame_reader_init(&r);
	amqp_assembly_init(&a, LIMIT);
	while (bytes.n) {
		struct str piece = str_make(bytes.p, step < bytes.n ? step : bytes.n);

		bytes = str_skip(bytes, piece.n);
		while (amqp_frame_read(&r, &piece, &frame, &f) == 1) {
			frames++;
			assert_true(frame.payload.n <= AMQP_FRAME_MIN - 8);
			if (amqp_assembly_take(&a, &frame, &m, &f) != AMQP_GOT_MESSAGE)
				continue;
			messages++;
			assert_true(str_eq(m.body, want->body));
			assert_int_equal(m.method.id, want->method.id);
			assert_int_equal(m.properties.present, want->properties.present);
			assert_true(str_eq(m.properties.app_id, want->properties.app_id));
		}
	}
	assert_int_equal(messages, 1);
	amqp_assembly_fini(&a);
	amqp_frame_reader_fini(&r);
	return frames;
}

static void bodies_are_split_by_frame_max_and_come_back(void **state)
{
	enum { PART = AMQP_FRAME_MIN - 8 };
	static const struct {
		size_t body;
		int frames;
	} cases[] = { { 0, 2 },        { 1, 3 },        { PART - 1, 3 },    { PART, 3 },
		      { PART + 1, 4 }, { 2 * PART, 4 }, { 2 * PART + 1, 5 } };
	static char body[LIMIT];

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)(i * 7);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct amqp_message m = { .method = { AMQP_BASIC_PUBLISH },
					  .properties = all_properties,
					  .body = { body, cases[i].body } };
		struct buf b auto_buf = { 0 };

		buf_init(&b, 2 * LIMIT);
		oom_pause();
		assert_int_equal(amqp_message_write(&b, 1, AMQP_FRAME_MIN, &m), 0);
		assert_int_equal(loop_back(buf_str(&b), SIZE_MAX, &m), cases[i].frames);
		assert_int_equal(loop_back(buf_str(&b), 1, &m), cases[i].frames);
		oom_resume();
	}
}

/* At every byte in two: both sides of each cut. */
static void a_message_may_be_cut_at_every_byte(void **state)
{
	struct buf b auto_buf = { 0 };

	buf_init(&b, 4096);
	oom_pause();
	assert_int_equal(amqp_message_write(&b, 3, AMQP_FRAME_MIN, &published), 0);
	for (size_t step = 1; step <= buf_len(&b); step++)
		assert_int_equal(loop_back(buf_str(&b), step, &published), 3);
	oom_resume();
}

static void what_can_not_be_written_leaves_the_buffer_alone(void **state)
{
	static char big[5000];
	struct amqp_message m = published;
	struct buf b auto_buf = { 0 };

	buf_init(&b, 4096);
	oom_pause();
	assert_int_equal(amqp_message_write(&b, 1, AMQP_FRAME_MIN - 1, &m), -EINVAL);
	m.properties.headers = str_make(big, sizeof(big));
	assert_int_equal(amqp_message_write(&b, 1, AMQP_FRAME_MIN, &m), -ENOBUFS);
	m.properties.headers = str_make(big, 0);
	m.body = str_make(big, sizeof(big));
	assert_int_equal(amqp_message_write(&b, 1, AMQP_FRAME_MIN, &m), -ENOBUFS);
	m.method.publish.routing_key = str_make(big, 256);
	assert_int_equal(amqp_message_write(&b, 1, AMQP_FRAME_MIN, &m), -EINVAL);
	m.method.id = AMQP_BASIC_ACK;
	assert_int_equal(amqp_message_write(&b, 1, AMQP_FRAME_MIN, &m), -EINVAL);
	oom_resume();
	assert_int_equal(buf_len(&b), 0);
}

/* Whatever allocation fails: either all of it comes, or -ENOMEM does and nothing is lost. */
static void memory_that_is_out_is_told(void **state)
{
	static char body[LIMIT];
	struct amqp_message m = { .method = { AMQP_BASIC_PUBLISH },
				  .properties = all_properties,
				  .body = { body, sizeof(body) } };
	struct amqp_frame_reader r;
	struct amqp_assembly a;
	struct amqp_frame frame;
	struct amqp_fault f;
	struct buf b auto_buf = { 0 };
	struct str rest;
	int rc;

	buf_init(&b, 2 * LIMIT);
	amqp_frame_reader_init(&r);
	amqp_assembly_init(&a, LIMIT);
	rc = amqp_message_write(&b, 1, AMQP_FRAME_MIN, &m);
	assert_int_equal(buf_len(&b) > 0, rc == 0);
	rest = buf_str(&b);
	while (rc >= 0 && rest.n) {
		struct str piece = str_make(rest.p, rest.n < 1000 ? rest.n : 1000);

		rest = str_skip(rest, piece.n);
		while (rc >= 0 && (rc = amqp_frame_read(&r, &piece, &frame, &f)) == 1)
			rc = amqp_assembly_take(&a, &frame, &m, &f);
	}
	assert_true(rc == -ENOMEM || (rc == 0 && m.body.n == LIMIT));
	amqp_assembly_fini(&a);
	amqp_frame_reader_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_written_to_the_byte),
		cmocka_unit_test(all_properties_are_written_to_the_byte),
		cmocka_unit_test(all_properties_are_read),
		cmocka_unit_test(a_body_in_pieces_is_put_together),
		cmocka_unit_test(a_body_in_one_frame_is_not_copied),
		cmocka_unit_test(an_oversized_body_is_passed_over),
		cmocka_unit_test(frames_out_of_turn_and_malformed_headers_are_told),
		cmocka_unit_test(a_reset_forgets_what_was_under_way),
		cmocka_unit_test(bodies_are_split_by_frame_max_and_come_back),
		cmocka_unit_test(a_message_may_be_cut_at_every_byte),
		cmocka_unit_test(what_can_not_be_written_leaves_the_buffer_alone),
		cmocka_unit_test(memory_that_is_out_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
