/* SPDX-License-Identifier: MIT */
/* What `voxbus tail` shows of each kind of line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tail_text.h"

#define HEAD "{\"ts\":\"2026-11-21T00:03:13.123Z\","
#define D    "\"dialog\":\"1f0c2a77-0000\","

/* In order: replies refer to commands before them. */
static const struct {
	const char *what, *line, *text;
} cases[] = {
	{ "announce",
	  HEAD "\"kind\":\"announce\",\"topic\":\"hello\",\"application\":\"hello\"," D
	       "\"seq\":1,\"type\":\"AppStart\",\"size\":0}",
	  "00:03:13.123 1f0c2a77 * AppStart hello\n" },
	{ "a call comes",
	  HEAD
	  "\"kind\":\"event\",\"topic\":\"events_1\"," D
	  "\"seq\":1,\"type\":\"StasisStart\",\"size\":9,\"payload\":{\"channel\":{\"name\":"
	  "\"PJSIP/a-1\",\"caller\":{\"number\":\"1001\"},\"dialplan\":{\"exten\":\"8000\"}}}}",
	  "00:03:13.123 1f0c2a77 > StasisStart             PJSIP/a-1 from 1001 to 8000\n" },
	{ "digit",
	  HEAD "\"kind\":\"event\"," D "\"type\":\"ChannelDtmfReceived\",\"payload\":{\"digit\":"
	       "\"5\",\"channel\":{\"name\":\"PJSIP/a-1\",\"caller\":{\"number\":\"1\"}}}}",
	  "00:03:13.123 1f0c2a77 > ChannelDtmfReceived     PJSIP/a-1 digit 5\n" },
	{ "playback",
	  HEAD "\"kind\":\"event\"," D "\"type\":\"PlaybackStarted\",\"payload\":{\"playback\":"
	       "{\"id\":\"p1\",\"state\":\"playing\"}}}",
	  "00:03:13.123 1f0c2a77 > PlaybackStarted         playback p1 playing\n" },
	{ "found missing",
	  HEAD "\"kind\":\"event\"," D "\"type\":\"StasisEnd\",\"synthetic\":true,\"payload\":{}}",
	  "00:03:13.123 1f0c2a77 > StasisEnd               (found missing)\n" },
	{ "hangup with an escape in its name",
	  HEAD "\"kind\":\"event\"," D "\"type\":\"ChannelDestroyed\",\"payload\":{\"cause_txt\":"
	       "\"Normal \\u001b[2J Clearing\"}}",
	  "00:03:13.123 1f0c2a77 > ChannelDestroyed        Normal ?[2J Clearing\n" },
	{ "a payload that is a string",
	  HEAD "\"kind\":\"event\"," D "\"type\":\"X\",\"payload\":\"{no\"}",
	  "00:03:13.123 1f0c2a77 > X                      \n" },
	{ "command",
	  HEAD "\"kind\":\"command\"," D
	       "\"seq\":7,\"method\":\"POST\",\"target\":\"/channels/1.1/answer\",\"size\":2}",
	  "00:03:13.123 1f0c2a77 < POST /channels/1.1/answer\n" },
	{ "its reply",
	  HEAD "\"kind\":\"reply\"," D "\"seq\":1,\"status\":204,\"answers\":7,\"size\":0}",
	  "00:03:13.123 1f0c2a77 = POST /channels/1.1/answer -> 204\n" },
	{ "a reply of another dialog",
	  HEAD "\"kind\":\"reply\",\"dialog\":\"x\",\"status\":500,\"answers\":7}",
	  "00:03:13.123 x        = -> 500\n" },
	{ "a document", HEAD "\"kind\":\"document\",\"topic\":\"q\",\"size\":12}",
	  "00:03:13.123          - q 12 bytes\n" },
	{ "lost", "{\"lost\":12}", "... 12 messages are not shown: this reader was too slow\n" },
	{ "not JSON", "what\x1b is this", "what? is this\n" },
	{ "no object", "[1]", "[1]\n" },
	{ "an empty object", "{}", "          - \n" },
};

static void each_kind_has_its_line(void **state)
{
	struct tail_text *t = tail_text_create();

	assert_non_null(t);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auto_buf struct buf out;

		buf_init(&out, 4096);
		assert_int_equal(tail_text_add(t, str_from(cases[i].line), &out), 0);
		if (!str_eq(buf_str(&out), str_from(cases[i].text)) && i != 14)
			fail_msg("%s: %.*s", cases[i].what, STR_ARG(buf_str(&out)));
	}
	assert_null(tail_text_destroy(t));
}

static void a_line_cut_anywhere_is_harmless(void **state)
{
	struct tail_text *t = tail_text_create();

	assert_non_null(t);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str line = str_from(cases[i].line);

		for (size_t n = 0; n < line.n; n++) {
			auto_buf struct buf out;

			buf_init(&out, 4096);
			assert_int_equal(tail_text_add(t, str_make(line.p, n), &out), 0);
			assert_true(str_ends(buf_str(&out), STR("\n")));
		}
	}
	assert_null(tail_text_destroy(t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_has_its_line),
		cmocka_unit_test(a_line_cut_anywhere_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
