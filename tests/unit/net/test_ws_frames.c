/* SPDX-License-Identifier: MIT */
/* Frames without a socket: each case in both roles, whole and cut at every byte. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "net/ws_frames.h"

enum { MAX = 300 };

/* What happened, as text: "t:hello;" */
struct seen {
	struct buf log;
	struct ws_frames *stop;
};

static void on_message(void *arg, struct str data, bool text)
{
	struct seen *s = arg;

	assert_int_equal(buf_add(&s->log, text ? STR("t:") : STR("b:")), 0);
	assert_int_equal(buf_add(&s->log, data), 0);
	assert_int_equal(buf_addc(&s->log, ';'), 0);
	if (s->stop)
		ws_frames_stop(s->stop);
}

static struct ws_frames *make(bool server, struct seen *seen)
{
	struct ws_frames_init init = { server, MAX, on_message, seen };
	struct ws_frames *f;

	buf_init(&seen->log, 1 << 20);
	seen->stop = NULL;
	assert_int_equal(ws_frames_create(&init, &f), 0);
	return f;
}

#define FRAMES(lit) lit, sizeof(lit) - 1
#define A10         "aaaaaaaaaa"
#define A100        A10 A10 A10 A10 A10 A10 A10 A10 A10 A10

/* Frames as a server sends them. */
static const struct {
	const char *what, *bytes;
	size_t n;
	const char *log;
	enum ws_frames_state state;
	int code;
	const char *reason;
} cases[] = {
	{ "nothing", FRAMES(""), "", WS_FRAMES_OPEN, 0, "" },
	{ "text", FRAMES("\x81\x05hello"), "t:hello;", WS_FRAMES_OPEN, 0, "" },
	{ "binary", FRAMES("\x82\x02\xff\xfe"), "b:\xff\xfe;", WS_FRAMES_OPEN, 0, "" },
	{ "empty", FRAMES("\x81\x00\x82\x00"), "t:;b:;", WS_FRAMES_OPEN, 0, "" },
	{ "two", FRAMES("\x81\x01x\x81\x01y"), "t:x;t:y;", WS_FRAMES_OPEN, 0, "" },
	{ "fragments", FRAMES("\x01\x03hel\x00\x00\x80\x02lo"), "t:hello;", WS_FRAMES_OPEN, 0, "" },
	{ "empty fragments", FRAMES("\x01\x00\x80\x00"), "t:;", WS_FRAMES_OPEN, 0, "" },
	{ "control between fragments", FRAMES("\x01\x03hel\x8a\x01x\x89\x00\x80\x02lo"), "t:hello;",
	  WS_FRAMES_OPEN, 0, "" },
	{ "a character in two fragments", FRAMES("\x01\x01\xc3\x80\x01\xa4"), "t:\xc3\xa4;",
	  WS_FRAMES_OPEN, 0, "" },
	{ "126 bytes", FRAMES("\x81\x7e\x00\x7e" A100 A10 A10 "aaaaaa"),
	  "t:" A100 A10 A10 "aaaaaa;", WS_FRAMES_OPEN, 0, "" },
	{ "close", FRAMES("\x88\x00"), "", WS_FRAMES_CLOSED, 1005, "" },
	{ "close with code", FRAMES("\x88\x02\x03\xe8"), "", WS_FRAMES_CLOSED, 1000, "" },
	{ "close with reason",
	  FRAMES("\x88\x05\x0f\xa0"
		 "bye"),
	  "", WS_FRAMES_CLOSED, 4000, "bye" },
	{ "nothing counts after close", FRAMES("\x88\x00\x81\x01x"), "", WS_FRAMES_CLOSED, 1005,
	  "" },
	{ "close of one byte", FRAMES("\x88\x01x"), "", WS_FRAMES_BROKEN, 1002, "" },
	{ "close with a code never sent", FRAMES("\x88\x02\x03\xed"), "", WS_FRAMES_BROKEN, 1002,
	  "" },
	{ "close with a bad reason", FRAMES("\x88\x03\x03\xe8\xff"), "", WS_FRAMES_BROKEN, 1007,
	  "" },
	{ "reserved bit 1", FRAMES("\xc1\x01x"), "", WS_FRAMES_BROKEN, 1002, "" },
	{ "reserved bit 2", FRAMES("\xa1\x01x"), "", WS_FRAMES_BROKEN, 1002, "" },
	{ "reserved bit 3", FRAMES("\x91\x01x"), "", WS_FRAMES_BROKEN, 1002, "" },
	{ "opcode 3", FRAMES("\x83\x01x"), "", WS_FRAMES_BROKEN, 1002, "" },
	{ "opcode 7", FRAMES("\x87\x01x"), "", WS_FRAMES_BROKEN, 1002, "" },
	{ "opcode 11", FRAMES("\x8b\x01x"), "", WS_FRAMES_BROKEN, 1002, "" },
	{ "opcode 15", FRAMES("\x8f\x00"), "", WS_FRAMES_BROKEN, 1002, "" },
	{ "fragmented ping", FRAMES("\x09\x01x"), "", WS_FRAMES_BROKEN, 1002, "" },
	{ "long ping", FRAMES("\x89\x7e\x00\x7e" A100 A10 A10 "aaaaaa"), "", WS_FRAMES_BROKEN, 1002,
	  "" },
	{ "a message inside a message", FRAMES("\x01\x01x\x81\x01y"), "", WS_FRAMES_BROKEN, 1002,
	  "" },
	{ "continuation of nothing", FRAMES("\x80\x01x"), "", WS_FRAMES_BROKEN, 1002, "" },
	{ "continuation behind the end", FRAMES("\x81\x01x\x80\x01y"), "t:x;", WS_FRAMES_BROKEN,
	  1002, "" },
	{ "length in two bytes that fits in one", FRAMES("\x81\x7e\x00\x05hello"), "",
	  WS_FRAMES_BROKEN, 1002, "" },
	{ "length in eight bytes that fits in two",
	  FRAMES("\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x05hello"), "", WS_FRAMES_BROKEN, 1002, "" },
	{ "negative length", FRAMES("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x05hello"), "",
	  WS_FRAMES_BROKEN, 1002, "" },
	{ "immense length", FRAMES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff....x"), "",
	  WS_FRAMES_BROKEN, 1009, "" },
	{ "one byte too large", FRAMES("\x82\x7e\x01\x2d....x"), "", WS_FRAMES_BROKEN, 1009, "" },
	{ "fragments too large together",
	  FRAMES("\x01\x64" A100 "\x00\x64" A100 "\x00\x64" A100 "\x80\x01x"), "", WS_FRAMES_BROKEN,
	  1009, "" },
	{ "text that is no UTF-8", FRAMES("\x81\x02\xc3\x28"), "", WS_FRAMES_BROKEN, 1007, "" },
	{ "text cut in a character", FRAMES("\x81\x01\xc3"), "", WS_FRAMES_BROKEN, 1007, "" },
	{ "a surrogate in text", FRAMES("\x81\x03\xed\xa0\x80"), "", WS_FRAMES_BROKEN, 1007, "" },
	{ "HTTP instead", FRAMES("HTTP/1.1 200 OK\r\n\r\n"), "", WS_FRAMES_BROKEN, 1002, "" },
};

/* The same frames as a client sends them; what has a length of its own kind is cut there. */
static struct str masked(struct str s, struct buf *out)
{
	static const char key[4] = { 0x12, 0x34, 0x56, 0x78 };

	while (s.n >= 2) {
		size_t n = (unsigned char)s.p[1], head = 2;

		if (n == 126)
			head = 4;
		else if (n == 127)
			head = 10;
		else if (n > 127)
			break;
		if (head == 4)
			n = (size_t)(unsigned char)s.p[2] << 8 | (unsigned char)s.p[3];
		assert_int_equal(buf_addc(out, s.p[0]), 0);
		assert_int_equal(buf_addc(out, (char)(s.p[1] | 0x80)), 0);
		assert_int_equal(buf_add(out, str_make(s.p + 2, head - 2)), 0);
		assert_int_equal(buf_add(out, str_make(key, 4)), 0);
		s = str_skip(s, head);
		for (size_t i = 0; i < n && i < s.n; i++)
			assert_int_equal(buf_addc(out, (char)(s.p[i] ^ key[i % 4])), 0);
		s = str_skip(s, n);
	}
	return buf_str(out);
}

static void check(size_t i, bool server, struct str bytes, size_t cut)
{
	struct seen seen;
	struct ws_frames *f = make(server, &seen);
	enum ws_frames_state state;

	(void)ws_frames_feed(f, str_make(bytes.p, cut));
	state = ws_frames_feed(f, str_skip(bytes, cut));
	if (state != cases[i].state || ws_frames_code(f) != cases[i].code ||
	    !str_eq(buf_str(&seen.log), str_from(cases[i].log)) ||
	    !str_eq(ws_frames_reason(f), str_from(cases[i].reason)))
		fail_msg("%s (%s, cut at %zu): state %d, code %d, saw %.*s", cases[i].what,
			 server ? "server" : "client", cut, (int)state, ws_frames_code(f),
			 STR_ARG(buf_str(&seen.log)));
	buf_fini(&seen.log);
	f = ws_frames_destroy(f);
}

static void frames_are_read_however_they_are_cut(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str bytes = str_make(cases[i].bytes, cases[i].n);
		struct buf b;

		for (size_t cut = 0; cut <= bytes.n; cut++)
			check(i, false, bytes, cut);
		if (bytes.n && bytes.p[0] == 'H')
			continue;
		buf_init(&b, 4096);
		bytes = masked(bytes, &b);
		for (size_t cut = 0; cut <= bytes.n; cut++)
			check(i, true, bytes, cut);
		buf_fini(&b);
	}
}

static void the_mask_must_be_where_it_belongs(void **state)
{
	struct str plain = STR("\x81\x01x"), covered = STR("\x81\x81\x01\x02\x03\x04x");
	struct seen seen;
	struct ws_frames *f = make(true, &seen);

	assert_int_equal(ws_frames_feed(f, plain), WS_FRAMES_BROKEN);
	assert_int_equal(ws_frames_code(f), WS_CODE_PROTOCOL);
	f = ws_frames_destroy(f);
	f = make(false, &seen);
	assert_int_equal(ws_frames_feed(f, covered), WS_FRAMES_BROKEN);
	assert_int_equal(ws_frames_code(f), WS_CODE_PROTOCOL);
	f = ws_frames_destroy(f);
	buf_fini(&seen.log);
}

static void only_the_latest_ping_is_remembered(void **state)
{
	struct seen seen;
	struct ws_frames *f = make(false, &seen);
	struct str ping;

	assert_false(ws_frames_take_ping(f, &ping));
	assert_int_equal(ws_frames_feed(f, STR("\x89\x01x\x89\x02yz\x8a\x01p")), WS_FRAMES_OPEN);
	assert_true(ws_frames_take_ping(f, &ping));
	assert_true(str_eq(ping, STR("yz")));
	assert_false(ws_frames_take_ping(f, &ping));
	f = ws_frames_destroy(f);
	buf_fini(&seen.log);
}

static void stopping_inside_a_message_ends_reading(void **state)
{
	struct seen seen;
	struct ws_frames *f = make(false, &seen);

	seen.stop = f;
	(void)ws_frames_feed(f, STR("\x81\x01x\x81\x01y"));
	(void)ws_frames_feed(f, STR("\x81\x01z"));
	assert_true(str_eq(buf_str(&seen.log), STR("t:x;")));
	f = ws_frames_destroy(f);
	buf_fini(&seen.log);
}

/* What one side puts the other reads, at the lengths where the header changes. */
static void what_is_put_is_read(void **state)
{
	static const size_t lengths[] = { 0,    1,    125,   126,   127,   4095,
					  4096, 4097, 65535, 65536, 100000 };
	char *data = malloc(100000);

	for (size_t i = 0; i < 100000; i++)
		data[i] = (char)('a' + i % 26);
	for (size_t i = 0; i < 2 * sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t n = lengths[i / 2];
		struct ws_frames_init init = { i % 2, 1 << 20, on_message, NULL };
		struct ws_frames *from, *to;
		struct seen seen = { 0 };
		struct buf out;

		buf_init(&seen.log, 1 << 20);
		buf_init(&out, 1 << 20);
		init.arg = &seen;
		assert_int_equal(ws_frames_create(&init, &from), 0);
		init.server = !init.server;
		assert_int_equal(ws_frames_create(&init, &to), 0);
		assert_int_equal(ws_frames_put(from, WS_BINARY, str_make(data, n), &out), 0);
		assert_int_equal(ws_frames_feed(to, buf_str(&out)), WS_FRAMES_OPEN);
		assert_int_equal(buf_len(&seen.log), n + 3);
		assert_memory_equal(buf_str(&seen.log).p + 2, data, n);
		from = ws_frames_destroy(from);
		to = ws_frames_destroy(to);
		buf_fini(&seen.log);
		buf_fini(&out);
	}
	free(data);
}

static void a_full_buffer_takes_no_part_of_a_frame(void **state)
{
	struct seen seen;
	struct ws_frames *f = make(false, &seen);
	struct buf out;

	buf_init(&out, 100);
	assert_int_equal(ws_frames_put(f, WS_TEXT, STR(A100), &out), -ENOBUFS);
	assert_int_equal(buf_len(&out), 0);
	assert_int_equal(ws_frames_put(f, WS_TEXT, STR(A10), &out), 0);
	buf_fini(&out);
	buf_fini(&seen.log);
	f = ws_frames_destroy(f);
}

static void a_close_reason_is_cut_at_a_character(void **state)
{
	struct seen seen;
	struct ws_frames *f = make(true, &seen), *peer = make(false, &seen);
	char reason[200];
	struct buf out;

	/* 122 bytes and then a character of two. */
	memset(reason, 'r', sizeof(reason));
	memcpy(reason + 122, "\xc3\xa4", 2);
	buf_init(&out, 1000);
	assert_int_equal(ws_frames_put_close(f, 4001, str_make(reason, 200), &out), 0);
	assert_int_equal(ws_frames_feed(peer, buf_str(&out)), WS_FRAMES_CLOSED);
	assert_int_equal(ws_frames_code(peer), 4001);
	assert_int_equal(ws_frames_reason(peer).n, 122);
	buf_clear(&out);
	assert_int_equal(ws_frames_put_close(f, 0, STR("x"), &out), 0);
	assert_int_equal(buf_len(&out), 2);
	buf_fini(&out);
	buf_fini(&seen.log);
	f = ws_frames_destroy(f);
	peer = ws_frames_destroy(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_read_however_they_are_cut),
		cmocka_unit_test(the_mask_must_be_where_it_belongs),
		cmocka_unit_test(only_the_latest_ping_is_remembered),
		cmocka_unit_test(stopping_inside_a_message_ends_reading),
		cmocka_unit_test(what_is_put_is_read),
		cmocka_unit_test(a_full_buffer_takes_no_part_of_a_frame),
		cmocka_unit_test(a_close_reason_is_cut_at_a_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
