/* SPDX-License-Identifier: MIT */
/* Lines of the log in both formats, and times as people read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

/* What a line looks like behind its time stamp. */
static char *line(enum log_format format, const struct log *log)
{
	static char text[8192];
	FILE *f = tmpfile();
	size_t n;

	assert_non_null(f);
	log_setup(LOG_INFO, format, f);
	log_debug(log, "not shown", "x=%d", 1);
	log_warn(log, "link lost", "peer=%s n=%d big=%" PRIu64 " part=%.*s size=%zu", "a \"b\"\n",
		 -3, UINT64_MAX, 2, "xyz", (size_t)7);
	rewind(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	(void)fclose(f);
	log_setup(LOG_INFO, LOG_LOGFMT, stderr);
	return strstr(text, format == LOG_JSON ? "\"level\"" : "level=");
}

static void values_are_quoted_as_the_format_needs(void **state)
{
	struct log *parent = log_create(NULL, "port=%s", "pbx1");
	struct log *log = log_create(parent, "dialog=%s", "d 1");

	assert_string_equal(line(LOG_LOGFMT, log),
			    "level=warn event=\"link lost\" port=pbx1 dialog=\"d 1\" "
			    "peer=\"a \\\"b\\\"\\n\" n=-3 big=18446744073709551615 part=xy "
			    "size=7\n");
	assert_string_equal(line(LOG_JSON, log),
			    "\"level\":\"warn\",\"event\":\"link lost\",\"port\":\"pbx1\","
			    "\"dialog\":\"d 1\",\"peer\":\"a \\\"b\\\"\\n\",\"n\":-3,"
			    "\"big\":18446744073709551615,\"part\":\"xy\",\"size\":7}\n");
	log = log_destroy(log);
	parent = log_destroy(parent);
}

static void long_line_is_cut_and_still_one_line(void **state)
{
	char big[9000], *text;
	struct log *log;

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log = log_create(NULL, "a=%s b=%s c=%s d=%s", big, big, big, big);
	text = line(LOG_LOGFMT, log);
	assert_int_equal(text[strlen(text) - 1], '\n');
	assert_true(strlen(text) < 4200);
	log = log_destroy(log);
}

static void times_have_their_digits_and_zone(void **state)
{
	static const struct {
		const char *what, *zone;
		uint64_t ns;
		int digits;
		const char *want;
	} cases[] = {
		{ "nine digits", "UTC0", UINT64_C(1795221193114436515), 9,
		  "2026-11-21T00:33:13.114436515Z" },
		{ "three digits", "UTC0", UINT64_C(1795221193114436515), 3,
		  "2026-11-21T00:33:13.114Z" },
		{ "Go trims zeros", "UTC0", UINT64_C(1795221194100000000), 0,
		  "2026-11-21T00:33:14.1Z" },
		{ "Go trims the point", "UTC0", UINT64_C(1795221195000000000), 0,
		  "2026-11-21T00:33:15Z" },
		{ "west", "EST5", UINT64_C(1795221196000000001), 0,
		  "2026-11-20T19:33:16.000000001-05:00" },
		{ "east, half an hour", "IST-5:30", UINT64_C(1795221197000000000), 3,
		  "2026-11-21T06:03:17.000+05:30" },
	};
	char out[CLOCK_RFC3339_SIZE], date[CLOCK_HTTP_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(setenv("TZ", cases[i].zone, 1), 0);
		tzset();
		clock_rfc3339(out, cases[i].ns, cases[i].digits);
		if (strcmp(out, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].what, out);
	}
	clock_http_date(date, UINT64_C(1795219393000000000));
	assert_string_equal(date, "Sat, 21 Nov 2026 00:03:13 GMT");
	assert_true(clock_wall_ms() > UINT64_C(1700000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_quoted_as_the_format_needs),
		cmocka_unit_test(long_line_is_cut_and_still_one_line),
		cmocka_unit_test(times_have_their_digits_and_zone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
