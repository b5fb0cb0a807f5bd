/* SPDX-License-Identifier: MIT */
/* What commands make, and how their url becomes a request line. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "engines/asterisk/ari_routes.h"

static void render(const struct ari_made *made, struct buf *out)
{
	static const char *const kinds[] = { "channel", "bridge", "playback", "recording" };

	buf_clear(out);
	for (size_t i = 0; i < made->n; i++)
		assert_int_equal(buf_addf(out, "%s%s:%.*s", i ? " " : "",
					  kinds[made->objects[i].kind],
					  STR_ARG(made->objects[i].id)),
				 0);
}

static void command_binds_the_ids_that_it_chooses(void **state)
{
	static const struct {
		const char *method, *target, *body, *objects;
	} cases[] = {
		{ "POST", "/channels/x", "{\"endpoint\":\"e\"}", "channel:x" },
		{ "POST", "/channels/a%20b%2Fc?endpoint=e", "", "channel:a b/c" },
		{ "POST", "/channels/x", "{\"otherChannelId\":\"y\"}", "channel:x channel:y" },
		{ "POST", "/channels", "{\"channelId\":\"c\\u0031\",\"otherChannelId\":\"o\"}",
		  "channel:c1 channel:o" },
		{ "POST", "/channels?channelId=a+b&otherChannelId=o", "{\"channelId\":\"no\"}",
		  "channel:a b channel:o" },
		{ "POST", "/channels", "{\"endpoint\":\"e\"}", "" },
		{ "POST", "/channels/create", "{\"channelId\":\"c\"}", "channel:c" },
		{ "POST", "/channels/externalMedia?channelId=m", "", "channel:m" },
		{ "POST", "/channels/c/play", "{\"playbackId\":\"p\"}", "playback:p" },
		{ "POST", "/channels/c/play?media=sound%3Ax&playbackId=p", "", "playback:p" },
		{ "POST", "/channels/c/play/p", "{}", "playback:p" },
		{ "POST", "/channels/c/snoop", "{\"snoopId\":\"s\"}", "channel:s" },
		{ "POST", "/channels/c/snoop/s", "", "channel:s" },
		{ "POST", "/channels/c/record", "{\"name\":\"rec/1\"}", "recording:rec/1" },
		{ "POST", "/bridges", "{\"bridgeId\":\"b\"}", "bridge:b" },
		{ "POST", "/bridges/b", "{}", "bridge:b" },
		{ "POST", "/bridges/b/play", "{\"playbackId\":\"p\"}", "playback:p" },
		{ "POST", "/bridges/b/play/p", "", "playback:p" },
		{ "POST", "/bridges/b/record?name=r", "", "recording:r" },
		{ "POST", "/bridges/b/addChannel", "{\"channel\":\"c\"}", "" },
		{ "POST", "/channels/c/answer", "{\"channelId\":\"x\"}", "" },
		{ "POST", "/channels/c/play/p/q", "", "" },
		{ "POST", "/events/user/x", "{\"channelId\":\"x\"}", "" },
		{ "POST", "/channels/", "", "" },
		{ "POST", "channels/x", "", "" },
		{ "GET", "/channels/x", "", "" },
		{ "DELETE", "/channels/x", "", "" },
		{ "POST", "/channels", "[\"channelId\"]", "" },
		{ "POST", "/channels", "{\"channelId\":5}", "" },
		{ "POST", "/channels", "{\"channelId\":", "" },
	};
	struct buf got;

	buf_init(&got, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ari_made made;

		ari_route_chosen(str_from(cases[i].method), str_from(cases[i].target), STR(""),
				 str_from(cases[i].body), &made);
		render(&made, &got);
		if (!str_eq(buf_str(&got), str_from(cases[i].objects)))
			fail_msg("%s %s: %.*s", cases[i].method, cases[i].target,
				 STR_ARG(buf_str(&got)));
	}
	buf_fini(&got);
}

static void new_channel_or_bridge_without_an_id_is_known(void **state)
{
	static const struct {
		const char *method, *target, *content_type, *body, *parameter; /* NULL: none */
	} cases[] = {
		{ "POST", "/channels", "", "{\"endpoint\":\"e\",\"app\":\"a\"}", "channelId" },
		{ "POST", "/channels", "", "{\"endpoint\":\"e\",\"channelId\":\"c\"}", NULL },
		{ "POST", "/channels", "", "{\"endpoint\":\"e\",\"channelId\":\"\"}", NULL },
		{ "POST", "/channels?endpoint=e&app=a", "", "", "channelId" },
		{ "POST", "/channels?channelId=c", "", "{\"endpoint\":\"e\"}", NULL },
		{ "POST", "/channels", "application/x-www-form-urlencoded",
		  "endpoint=e&channelId=", NULL },
		{ "POST", "/channels", "application/x-www-form-urlencoded", "endpoint=e",
		  "channelId" },
		{ "POST", "/channels", "", "no JSON", "channelId" },
		{ "POST", "/channels/create", "", "{\"endpoint\":\"e\"}", "channelId" },
		{ "POST", "/channels/externalMedia", "", "{}", "channelId" },
		{ "POST", "/channels/x/snoop", "", "{}", "snoopId" },
		{ "POST", "/channels/x/snoop", "", "{\"snoopId\":\"s\"}", NULL },
		{ "POST", "/channels/x/snoop/s", "", "{}", NULL },
		{ "POST", "/bridges", "", "{\"type\":\"mixing\"}", "bridgeId" },
		{ "POST", "/bridges/b", "", "", NULL },
		{ "POST", "/channels/x", "", "{\"endpoint\":\"e\"}", NULL },
		{ "POST", "/channels/x/play", "", "{\"media\":\"sound:x\"}", NULL },
		{ "POST", "/channels/x/record", "", "{}", NULL },
		{ "POST", "/channels/x/answer", "", "", NULL },
		{ "GET", "/channels", "", "", NULL },
		{ "PUT", "/channels", "", "", NULL },
		{ "POST", "channels", "", "", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *got =
			ari_route_unnamed(str_from(cases[i].method), str_from(cases[i].target),
					  str_from(cases[i].content_type), str_from(cases[i].body));

		if (!str_eq(str_from(got), str_from(cases[i].parameter)))
			fail_msg("%s %s %s: %s", cases[i].method, cases[i].target, cases[i].body,
				 got);
	}
}

static void form_body_is_read_as_one(void **state)
{
	struct ari_made made;

	ari_route_chosen(STR("POST"), STR("/channels"), STR("application/x-www-form-urlencoded"),
			 STR("endpoint=e&channelId=a%2Bb%2"), &made);
	assert_int_equal(made.n, 1);
	assert_true(str_eq(made.objects[0].id, STR("a+b%2")));
}

static void command_touches_what_path_and_parameters_name(void **state)
{
	static const char *const unknown = "?";
	static const struct {
		const char *method, *target, *body, *objects;
	} cases[] = {
		{ "POST", "/channels/c/answer", "", "channel:c" },
		{ "GET", "/channels/c", "", "channel:c" },
		{ "DELETE", "/channels/a%20b", "", "channel:a b" },
		{ "GET", "/channels/c/variable?variable=X", "", "channel:c" },
		{ "POST", "/channels/c/play", "{\"playbackId\":\"p\",\"media\":\"x\"}",
		  "channel:c playback:p" },
		{ "POST", "/channels/c/play/p", "{}", "channel:c playback:p" },
		{ "POST", "/channels/c/snoop/s", "", "channel:c channel:s" },
		{ "POST", "/channels/c/record", "{\"name\":\"r/1\"}", "channel:c recording:r/1" },
		{ "POST", "/channels/c/dial?caller=d", "", "channel:c channel:d" },
		{ "POST", "/channels", "{\"endpoint\":\"e\"}", "" },
		{ "POST", "/channels?originator=o", "{\"endpoint\":\"e\"}", "channel:o" },
		{ "POST", "/channels/create?channelId=n&originator=o", "", "channel:n channel:o" },
		{ "POST", "/channels/externalMedia", "{}", "" },
		{ "POST", "/bridges", "{\"type\":\"mixing\",\"name\":\"n\"}", "" },
		{ "POST", "/bridges", "{\"bridgeId\":\"b\"}", "bridge:b" },
		{ "DELETE", "/bridges/b", "", "bridge:b" },
		{ "POST", "/bridges/b/addChannel?channel=c%2Cd,e", "",
		  "bridge:b channel:c channel:d channel:e" },
		{ "POST", "/bridges/b/addChannel", "{\"channel\":\"c,d\"}",
		  "bridge:b channel:c channel:d" },
		{ "POST", "/bridges/b/removeChannel", "{\"channel\":[\"c\",\"d\"]}",
		  "bridge:b channel:c channel:d" },
		{ "POST", "/bridges/b/videoSource/c", "", "bridge:b channel:c" },
		{ "POST", "/bridges/b/play", "{\"playbackId\":\"p\"}", "bridge:b playback:p" },
		{ "POST", "/playbacks/p/control?operation=pause", "", "playback:p" },
		{ "POST", "/recordings/live/r%2F1/stop", "", "recording:r/1" },
		{ "POST", "/recordings/stored/r/copy?destinationRecordingName=s", "",
		  "recording:r recording:s" },
		{ "GET", "/asterisk/info", "", "" },
		{ "GET", "/endpoints", "", "" },
		{ "GET", "/channels", "", unknown },
		{ "GET", "/bridges", "", unknown },
		{ "GET", "/recordings/stored", "", unknown },
		{ "PUT", "/endpoints/sendMessage", "", unknown },
		{ "POST", "/events/user/x", "{}", unknown },
		{ "POST", "/x", "", unknown },
		{ "POST", "channels/c", "", unknown },
		{ "POST", "/channels//answer", "", unknown },
		{ "POST", "/channels/a/b/c/d/e", "", unknown },
		{ "POST", "/bridges/b/addChannel?channel=1,2,3,4,5,6,7", "",
		  "bridge:b channel:1 channel:2 channel:3 channel:4 channel:5 channel:6 "
		  "channel:7" },
		{ "POST", "/bridges/b/addChannel?channel=1,2,3,4,5,6,7,8", "", unknown },
	};
	struct buf got;

	buf_init(&got, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ari_made made;
		int rc = ari_route_subjects(str_from(cases[i].method), str_from(cases[i].target),
					    STR(""), str_from(cases[i].body), &made);

		render(&made, &got);
		if (rc < 0 ? cases[i].objects != unknown
			   : !str_eq(buf_str(&got), str_from(cases[i].objects)))
			fail_msg("%s %s: %d %.*s", cases[i].method, cases[i].target, rc,
				 STR_ARG(buf_str(&got)));
	}
	buf_fini(&got);
}

static void answer_names_what_was_made(void **state)
{
	static const struct {
		const char *method, *target, *body, *objects;
	} cases[] = {
		{ "POST", "/channels", "{\"id\":\"c\",\"name\":\"n\"}", "channel:c" },
		{ "PUT", "/channels", "{\"id\":\"c\"}", "channel:c" },
		{ "POST", "/channels/x/snoop", "{\"id\":\"s\"}", "channel:s" },
		{ "POST", "/channels/externalMedia", "{\"id\":\"m\"}", "channel:m" },
		{ "POST", "/channels/x/play", "{\"id\":\"p\"}", "playback:p" },
		{ "POST", "/channels/x/record", "{\"name\":\"r\",\"id\":\"no\"}", "recording:r" },
		{ "POST", "/bridges", "{\"id\":\"b\"}", "bridge:b" },
		{ "POST", "/bridges/b/record", "{\"name\":\"r\"}", "recording:r" },
		{ "GET", "/channels/x", "{\"id\":\"x\"}", "" },
		{ "POST", "/recordings/stored/x/copy", "{\"name\":\"y\"}", "" },
		{ "POST", "/channels/x/answer", "", "" },
		{ "POST", "/channels", "[{\"id\":\"c\"}]", "" },
		{ "POST", "/channels", "{\"id\":\"c\"", "" },
		{ "POST", "/channels", "\xff\xff", "" },
	};
	struct buf got;

	buf_init(&got, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ari_made made;

		ari_route_answered(str_from(cases[i].method), str_from(cases[i].target),
				   str_from(cases[i].body), &made);
		render(&made, &got);
		if (!str_eq(buf_str(&got), str_from(cases[i].objects)))
			fail_msg("%s %s: %.*s", cases[i].method, cases[i].target,
				 STR_ARG(buf_str(&got)));
	}
	buf_fini(&got);
}

static void ids_that_are_too_long_are_not_seen(void **state)
{
	char target[1200] = "/channels/";
	struct ari_made made;

	memset(target + 10, 'x', sizeof(target) - 10);
	ari_route_chosen(STR("POST"), str_make(target, sizeof(target)), STR(""), STR(""), &made);
	assert_int_equal(made.n, 0);
}

static void target_goes_below_the_root_and_nowhere_else(void **state)
{
	static const struct {
		const char *target, *line; /* NULL: refused */
	} cases[] = {
		{ "/channels", "/ari/channels" },
		{ "/channels/a.b/answer?x=y&z=%20", "/ari/channels/a.b/answer?x=y&z=%20" },
		{ "/recordings/stored/a b\xc3\xa4", "/ari/recordings/stored/a%20b%C3%A4" },
		{ "/a#b<c>\"d\"", "/ari/a%23b%3Cc%3E%22d%22" },
		{ "/a?x=../..", "/ari/a?x=../.." },
		{ "/a/...", "/ari/a/..." },
		{ "", NULL },
		{ "channels", NULL },
		{ "http://evil/", NULL },
		{ "/..", NULL },
		{ "/a/../b", NULL },
		{ "/a/./b", NULL },
		{ "/a/%2e%2E/b", NULL },
		{ "/a/.%2e", NULL },
		{ "/..%2f..%2Fadmin", NULL },
		{ "/a%2f%2e", NULL },
		{ "/..%5cx", NULL },
		{ "/a\\..", NULL },
		{ "/a%2fb..%2f...", "/ari/a%2fb..%2f..." },
		{ "/a\r\nX: y", NULL },
		{ "/a\x7f", NULL },
	};
	struct buf out;

	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *why;
		int rc;

		buf_clear(&out);
		rc = ari_route_target(STR("/ari"), str_from(cases[i].target), &out, &why);
		if (rc != (cases[i].line ? 0 : -EINVAL) ||
		    (rc == 0 && !str_eq(buf_str(&out), str_from(cases[i].line))))
			fail_msg("%s: %d %.*s", cases[i].target, rc, STR_ARG(buf_str(&out)));
		assert_true(rc == 0 ? !why : why != NULL);
	}
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_binds_the_ids_that_it_chooses),
		cmocka_unit_test(new_channel_or_bridge_without_an_id_is_known),
		cmocka_unit_test(form_body_is_read_as_one),
		cmocka_unit_test(command_touches_what_path_and_parameters_name),
		cmocka_unit_test(answer_names_what_was_made),
		cmocka_unit_test(ids_that_are_too_long_are_not_seen),
		cmocka_unit_test(target_goes_below_the_root_and_nowhere_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
