/* SPDX-License-Identifier: MIT */
/* Every type of event: which objects it names and what it does to them; and all recorded frames. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "engines/asterisk/ari_events.h"

/* members: what the event has besides type and application; objects: kind:id, verbs as + letters. */
static const struct {
	const char *type, *members, *objects;
} cases[] = {
	{ "DeviceStateChanged", "\"device_state\":{\"name\":\"x\",\"id\":\"no\"}", "" },
	{ "PlaybackStarted", "\"playback\":{\"id\":\"p\",\"target_uri\":\"channel:c\"}",
	  "playback:p+binds channel:c" },
	{ "PlaybackContinuing", "\"playback\":{\"id\":\"p\",\"target_uri\":\"bridge:b\"}",
	  "playback:p bridge:b" },
	{ "PlaybackFinished", "\"playback\":{\"id\":\"p\",\"target_uri\":\"bridge:b\"}",
	  "playback:p+ends bridge:b" },
	{ "PlaybackStarted", "\"playback\":{\"id\":\"p\",\"target_uri\":\"endpoint:e\"}",
	  "playback:p+binds" },
	{ "RecordingStarted", "\"recording\":{\"name\":\"r/1\",\"target_uri\":\"bridge:b:1\"}",
	  "recording:r/1+binds bridge:b:1" },
	{ "RecordingFinished", "\"recording\":{\"name\":\"r\",\"target_uri\":\"channel:c\"}",
	  "recording:r+ends channel:c" },
	{ "RecordingFailed", "\"recording\":{\"name\":\"r\",\"target_uri\":\"channel:c\"}",
	  "recording:r+ends channel:c" },
	{ "ApplicationMoveFailed", "\"channel\":{\"id\":\"c\"},\"destination\":\"x\"",
	  "channel:c" },
	{ "ApplicationRegistered", "\"x\":1", "" },
	{ "ApplicationUnregistered", "\"x\":1", "" },
	{ "ApplicationReplaced", "\"x\":1", "" },
	{ "BridgeCreated", "\"bridge\":{\"id\":\"b\"}", "bridge:b" },
	{ "BridgeDestroyed", "\"bridge\":{\"id\":\"b\"}", "bridge:b+ends" },
	{ "BridgeMerged", "\"bridge\":{\"id\":\"b\"},\"bridge_from\":{\"id\":\"f\"}",
	  "bridge:b+binds bridge:f" },
	{ "BridgeVideoSourceChanged", "\"bridge\":{\"id\":\"b\"},\"old_video_source_id\":\"c\"",
	  "bridge:b" },
	{ "BridgeBlindTransfer",
	  "\"channel\":{\"id\":\"c\"},\"replace_channel\":{\"id\":\"n\"},\"transferee\":{\"id\":"
	  "\"t\"},\"bridge\":{\"id\":\"b\"}",
	  "channel:c channel:n+binds channel:t bridge:b" },
	{ "BridgeAttendedTransfer",
	  "\"transferer_first_leg\":{\"id\":\"1\"},\"transferer_second_leg\":{\"id\":\"2\"},"
	  "\"replace_channel\":{\"id\":\"3\"},\"transferee\":{\"id\":\"4\"},"
	  "\"transfer_target\":{\"id\":\"5\"},\"transferer_first_leg_bridge\":{\"id\":\"6\"},"
	  "\"transferer_second_leg_bridge\":{\"id\":\"7\"},"
	  "\"destination_link_first_leg\":{\"id\":\"8\"},"
	  "\"destination_link_second_leg\":{\"id\":\"9\"},"
	  "\"destination_threeway_channel\":{\"id\":\"10\"},"
	  "\"destination_threeway_bridge\":{\"id\":\"11\"},\"destination_bridge\":\"12\"",
	  "channel:1 channel:2 channel:3+binds channel:4 channel:5 bridge:6 bridge:7 channel:8 "
	  "channel:9 channel:10 bridge:11" },
	{ "ChannelCreated", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelDestroyed", "\"cause\":16,\"channel\":{\"name\":\"n\",\"id\":\"c\"}",
	  "channel:c+ends" },
	{ "ChannelEnteredBridge", "\"bridge\":{\"id\":\"b\"},\"channel\":{\"id\":\"c\"}",
	  "bridge:b channel:c" },
	{ "ChannelEnteredBridge", "\"bridge\":{\"id\":\"b\",\"channels\":[\"c\"]}", "bridge:b" },
	{ "ChannelLeftBridge", "\"bridge\":{\"id\":\"b\"},\"channel\":{\"id\":\"c\"}",
	  "bridge:b channel:c" },
	{ "ChannelStateChange", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelDtmfReceived", "\"digit\":\"1\",\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelDialplan", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelCallerId", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelUserevent",
	  "\"userevent\":{\"id\":\"stolen\",\"channel\":{\"id\":\"stolen\"}},\"channel\":{\"id\":"
	  "\"c\"},\"bridge\":{\"id\":\"b\"},\"endpoint\":{\"channel_ids\":[\"d\",\"c\"]}",
	  "channel:c bridge:b channel:d" },
	{ "ChannelUserevent", "\"userevent\":{\"id\":\"stolen\"}", "" },
	{ "ChannelHangupRequest", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelVarset", "\"variable\":\"v\"", "" },
	{ "ChannelVarset", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelHold", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelUnhold", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelToneDetected", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelTalkingStarted", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelTalkingFinished", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ContactStatusChange",
	  "\"endpoint\":{\"technology\":\"PJSIP\",\"channel_ids\":[\"c\"]},"
	  "\"contact_info\":{\"id\":\"no\"}",
	  "channel:c" },
	{ "PeerStatusChange", "\"endpoint\":{\"channel_ids\":[]},\"peer\":{\"peer_status\":\"x\"}",
	  "" },
	{ "EndpointStateChange", "\"endpoint\":{\"channel_ids\":[\"c\",\"d\"]}",
	  "channel:c channel:d" },
	{ "Dial", "\"caller\":{\"id\":\"a\"},\"peer\":{\"id\":\"p\"},\"forwarded\":{\"id\":\"f\"}",
	  "channel:a channel:p channel:f" },
	{ "StasisEnd", "\"channel\":{\"id\":\"c\"}", "channel:c+leaves" },
	{ "StasisStart", "\"channel\":{\"id\":\"c\"},\"args\":[]", "channel:c+opens+binds" },
	{ "StasisStart", "\"replace_channel\":{\"id\":\"o\"},\"channel\":{\"id\":\"c\"}",
	  "channel:o channel:c+opens+binds" },
	{ "TextMessageReceived",
	  "\"message\":{\"from\":\"a\",\"id\":\"no\"},\"endpoint\":{\"channel_ids\":[\"c\"]}",
	  "channel:c" },
	{ "ChannelConnectedLine", "\"channel\":{\"id\":\"c\"}", "channel:c" },
	{ "ChannelTransfer",
	  "\"refer_to\":{\"requested_destination\":{\"destination\":\"7\"},"
	  "\"destination_channel\":{\"id\":\"1\"},\"connected_channel\":{\"id\":\"2\"},"
	  "\"bridge\":{\"id\":\"3\"}},\"referred_by\":{\"source_channel\":{\"id\":\"4\"},"
	  "\"connected_channel\":{\"id\":\"5\"},\"bridge\":{\"id\":\"6\"}}",
	  "channel:1 channel:2 bridge:3 channel:4 channel:5 bridge:6" },
	{ "RESTResponse", "\"uri\":\"channels\",\"status_code\":200", "" },
	{ "CallBroadcast", "\"channel\":{\"id\":\"c\"},\"caller\":\"1\"", "channel:c" },
	{ "CallClaimed", "\"channel\":{\"id\":\"c\"},\"winner_app\":\"x\"", "channel:c" },
	{ "FromTheFuture",
	  "\"channel\":{\"id\":\"c\"},\"other_channel\":{\"id\":\"d\"},\"old_bridge\":{\"id\":"
	  "\"b\"},\"recording\":{\"name\":\"r\"},\"thing\":{\"name\":\"x\"},\"n\":1",
	  "channel:c channel:d bridge:b recording:r" },
	{ "Escapes", "\"channel\":{\"id\":\"a\\u00e4\\\"\"},\"bridge\":{\"id\":\"\\u0062\"}",
	  "channel:a\xc3\xa4\" bridge:b" },
	{ "NoStrings", "\"channel\":{\"id\":5},\"bridge\":{\"id\":null},\"peer\":{\"id\":\"\"}",
	  "" },
};

static void render(const struct ari_event *ev, struct buf *out)
{
	static const struct {
		unsigned verb;
		const char *name;
	} verbs[] = { { OBJECT_OPENS, "+opens" },
		      { OBJECT_BINDS, "+binds" },
		      { OBJECT_LEAVES, "+leaves" },
		      { OBJECT_ENDS, "+ends" } };
	static const char *const kinds[] = { "channel", "bridge", "playback", "recording" };

	for (size_t i = 0; i < ev->n_objects; i++) {
		const struct object_ref *o = &ev->objects[i];

		assert_int_equal(
			buf_addf(out, "%s%s:%.*s", i ? " " : "", kinds[o->kind], STR_ARG(o->id)),
			0);
		for (size_t k = 0; k < sizeof(verbs) / sizeof(*verbs); k++)
			if (o->verbs & verbs[k].verb)
				assert_int_equal(buf_add(out, str_from(verbs[k].name)), 0);
	}
}

static void each_type_names_its_objects(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ari_event ev;
		struct buf frame, got;

		buf_init(&frame, 4096);
		buf_init(&got, 4096);
		/* type first, as Asterisk mostly writes it, and type last */
		for (int last = 0; last < 2; last++) {
			buf_clear(&frame);
			buf_clear(&got);
			assert_int_equal(buf_addf(&frame,
						  last ? "{%s,\"application\":\"x\","
							 "\"type\":\"%s\"}"
						       : "{\"type\":\"%2$s\",%1$s,"
							 "\"application\":\"x\"}",
						  cases[i].members, cases[i].type),
					 0);
			assert_int_equal(ari_event_parse(buf_str(&frame), &ev), 0);
			render(&ev, &got);
			if (!str_eq(buf_str(&got), str_from(cases[i].objects)))
				fail_msg("%s: %.*s", cases[i].type, STR_ARG(buf_str(&got)));
			assert_true(str_eq(ev.type, str_from(cases[i].type)));
			assert_true(str_eq(ev.application, STR("x")));
		}
		buf_fini(&frame);
		buf_fini(&got);
	}
}

static void every_known_type_has_a_case_and_the_table_is_sorted(void **state)
{
	const char *name, *before = "";

	for (size_t i = 0; (name = ari_event_type_name(i)); before = name, i++) {
		bool found = false;

		assert_true(strcmp(before, name) < 0);
		for (size_t k = 0; k < sizeof(cases) / sizeof(*cases); k++)
			found |= strcmp(cases[k].type, name) == 0;
		if (!found)
			fail_msg("no case for %s", name);
	}
}

static void frame_that_is_no_event_is_refused(void **state)
{
	static const char *const frames[] = {
		"",
		"[]",
		"\"x\"",
		"null",
		"{}",
		"{\"type\":1}",
		"{\"type\":\"\"}",
		"{\"type\":\"A\"",
		"{\"type\":\"A\"}x",
		"{\"type\":\"A\",}",
		"hello",
		"{\"application\":\"x\"}",
		"{\"type\":\"A\",\"channel\":{\"id\":\"c}}",
	};
	struct ari_event ev;

	for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++)
		if (ari_event_parse(str_from(frames[i]), &ev) != -EBADMSG)
			fail_msg("accepted: %s", frames[i]);
}

static void type_has_a_longest(void **state)
{
	struct ari_event ev;
	char frame[300];

	for (int n = 255; n <= 258; n++) {
		(void)snprintf(frame, sizeof(frame), "{\"type\":\"%0*d\"}", n, 1);
		assert_int_equal(ari_event_parse(str_from(frame), &ev), n <= 256 ? 0 : -EBADMSG);
	}
}

static void too_many_objects_and_too_long_ids_are_left_out(void **state)
{
	struct ari_event ev;
	struct buf b;

	buf_init(&b, 65536);
	assert_int_equal(
		buf_add(&b, STR("{\"type\":\"EndpointStateChange\",\"channel\":{\"id\":\"\\t")), 0);
	for (int i = 0; i < ARI_EVENT_SCRATCH; i++)
		assert_int_equal(buf_addc(&b, 'x'), 0);
	assert_int_equal(buf_add(&b, STR("\"},\"endpoint\":{\"channel_ids\":[\"c0\"")), 0);
	for (int i = 1; i < 100; i++)
		assert_int_equal(buf_addf(&b, ",\"c%d\"", i), 0);
	assert_int_equal(buf_add(&b, STR("]}}")), 0);
	assert_int_equal(ari_event_parse(buf_str(&b), &ev), 0);
	assert_int_equal(ev.n_objects, ARI_EVENT_OBJECTS);
	assert_true(str_eq(ev.objects[0].id, STR("c0")));
	buf_fini(&b);
}

static bool names(const struct ari_event *ev, enum object_kind kind, const char *id)
{
	for (size_t i = 0; i < ev->n_objects; i++)
		if (ev->objects[i].kind == kind && str_eq(ev->objects[i].id, str_from(id)))
			return true;
	return false;
}

static const char *text(const cJSON *object, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItem(object, key));
}

static void check_frame(struct str frame, size_t *types)
{
	cJSON *oracle = cJSON_ParseWithLength(frame.p, frame.n);
	static const char *const channels[] = { "channel", "peer", "caller", "replace_channel" };
	struct ari_event ev;
	const char *id, *what;

	assert_non_null(oracle);
	assert_int_equal(ari_event_parse(frame, &ev), 0);
	if (!ev.known)
		fail_msg("unknown type %.*s", STR_ARG(ev.type));
	for (size_t i = 0; ari_event_type_name(i); i++)
		types[i] += str_eq(ev.type, str_from(ari_event_type_name(i)));
	what = text(oracle, "application");
	assert_true(!what || str_eq(ev.application, str_from(what)));
	what = text(oracle, "asterisk_id");
	assert_true(!what || str_eq(ev.asterisk_id, str_from(what)));
	for (size_t i = 0; i < sizeof(channels) / sizeof(*channels); i++) {
		id = text(cJSON_GetObjectItem(oracle, channels[i]), "id");
		assert_true(!id || names(&ev, OBJECT_CHANNEL, id));
	}
	id = text(cJSON_GetObjectItem(oracle, "channel"), "id");
	assert_true(str_eq(ev.channel_id, str_from(id)));
	id = text(cJSON_GetObjectItem(oracle, "bridge"), "id");
	assert_true(str_eq(ev.bridge_id, str_from(id)));
	assert_true(!id || names(&ev, OBJECT_BRIDGE, id));
	id = text(cJSON_GetObjectItem(oracle, "playback"), "id");
	assert_true(!id || names(&ev, OBJECT_PLAYBACK, id));
	id = text(cJSON_GetObjectItem(oracle, "recording"), "name");
	assert_true(!id || names(&ev, OBJECT_RECORDING, id));
	cJSON_Delete(oracle);
}

static void recorded_frames_are_all_understood(void **state)
{
	DIR *dir = opendir(FIXTURES "/ari");
	size_t types[64] = { 0 }, frames = 0, seen = 0;

	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));) {
		char path[4096], *line = NULL;
		size_t size = 0;
		ssize_t got;
		FILE *f;

		if (!str_ends(str_from(d->d_name), STR(".jsonl")) ||
		    strstr(d->d_name, "-rest.jsonl"))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", FIXTURES "/ari", d->d_name);
		f = fopen(path, "r");
		assert_non_null(f);
		while ((got = getline(&line, &size, f)) > 0) {
			check_frame(str_trim(str_make(line, (size_t)got)), types);
			frames++;
		}
		free(line);
		(void)fclose(f);
	}
	(void)closedir(dir);
	for (size_t i = 0; i < 64; i++)
		seen += types[i] != 0;
	assert_true(frames > 400);
	assert_true(seen > 25);
}

static void label_names_the_call_for_people(void **state)
{
	static const struct {
		const char *what, *frame, *label;
	} calls[] = {
		{ "all there",
		  "{\"type\":\"StasisStart\",\"channel\":{\"id\":\"1\",\"name\":\"PJSIP/a-1\","
		  "\"caller\":{\"name\":\"A\",\"number\":\"1001\"},\"dialplan\":{\"exten\":"
		  "\"7000\"}}}",
		  "PJSIP/a-1 1001 -> 7000" },
		{ "withheld number",
		  "{\"type\":\"StasisStart\",\"channel\":{\"id\":\"1\",\"name\":\"PJSIP/a-1\","
		  "\"caller\":{\"number\":\"\"},\"dialplan\":{\"exten\":\"s\"}}}",
		  "PJSIP/a-1 - -> s" },
		{ "control bytes",
		  "{\"type\":\"StasisStart\",\"channel\":{\"id\":\"1\",\"name\":\"a\\u001b[2J\"}}",
		  "? - -> -" },
		{ "no channel", "{\"type\":\"StasisStart\"}", "- - -> -" },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		char out[ARI_LABEL_MAX];
		struct ari_event ev;

		assert_int_equal(ari_event_parse(str_from(calls[i].frame), &ev), 0);
		if (!str_eq(ari_event_label(&ev, out), str_from(calls[i].label)))
			fail_msg("%s: %s", calls[i].what, out);
	}
}

static void what_objects_hang_on_is_not_filtered_at_the_source(void **state)
{
	static const struct {
		const char *type;
		bool only_tells;
	} filtered[] = {
		{ "ChannelVarset", true },
		{ "ChannelDialplan", true },
		{ "NotYetInvented", true },
		{ "PlaybackFinished", false },
		{ "RecordingStarted", false },
		{ "BridgeDestroyed", false },
		{ "StasisEnd", false },
		{ "ApplicationReplaced", false },
		{ "ApplicationUnregistered", false },
	};

	for (size_t i = 0; i < sizeof(filtered) / sizeof(*filtered); i++)
		if (ari_event_only_tells(str_from(filtered[i].type)) != filtered[i].only_tells)
			fail_msg("%s", filtered[i].type);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_objects_hang_on_is_not_filtered_at_the_source),
		cmocka_unit_test(each_type_names_its_objects),
		cmocka_unit_test(every_known_type_has_a_case_and_the_table_is_sorted),
		cmocka_unit_test(frame_that_is_no_event_is_refused),
		cmocka_unit_test(type_has_a_longest),
		cmocka_unit_test(too_many_objects_and_too_long_ids_are_left_out),
		cmocka_unit_test(recorded_frames_are_all_understood),
		cmocka_unit_test(label_names_the_call_for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
