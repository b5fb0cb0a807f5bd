/* SPDX-License-Identifier: MIT */
/*
 * Recorded events on their way to dialogs: what go-ari-proxy dropped reaches the calls that own the ids.
 *
 * Two calls own objects (channels by StasisStart, others as an engine's answer binds them); then
 * a frame is given to the hub, byte for byte as Asterisk sent it, and each call is asked whether it
 * got it. The frames are those of tests/fixtures/ari; where none is recorded (a message, an attended
 * transfer, a user event of no channel) they have the members of Asterisk's own event models.
 */
#include "../core/core_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "engines/asterisk/ari_events.h"

enum { FRAME_MAX = 16384 };

/* The n-th frame of that type in a recording. */
static void frame_find(const char *file, const char *type, int nth, char out[FRAME_MAX])
{
	char path[512], *line = NULL;
	size_t size = 0;
	ssize_t got;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/ari/%s.jsonl", FIXTURES, file);
	f = fopen(path, "r");
	assert_non_null(f);
	out[0] = '\0';
	while (!out[0] && (got = getline(&line, &size, f)) > 0) {
		struct ari_event ev;
		struct str s = str_trim(str_make(line, (size_t)got));

		assert_true(s.n < FRAME_MAX);
		if (ari_event_parse(s, &ev) == 0 && str_eq(ev.type, str_from(type)) && !nth--)
			(void)snprintf(out, FRAME_MAX, "%.*s", STR_ARG(s));
	}
	free(line);
	assert_int_equal(fclose(f), 0);
	if (!out[0])
		fail_msg("no %s in %s", type, file);
}

static int deliver_frame(struct world *w, const char *frame)
{
	struct ari_event ev;
	struct delivery d = { .kind = MSG_EVENT, .payload = str_from(frame) };

	assert_int_equal(ari_event_parse(d.payload, &ev), 0);
	d.application = STR("app");
	d.type = ev.type;
	d.objects = ev.objects;
	d.n_objects = ev.n_objects;
	return port_deliver(memory_port_port(w->engine), &d);
}

/* "channel:c bridge:b": what an event binds to the call whose channel comes first. */
static void own(struct world *w, const char *channel, const char *objects)
{
	static const char *const kinds[] = { "channel", "bridge", "playback", "recording" };
	struct object_ref refs[8] = { { OBJECT_CHANNEL, 0, str_from(channel) } };
	struct delivery e = { .kind = MSG_EVENT,
			      .application = STR("app"),
			      .type = STR("Owns"),
			      .objects = refs,
			      .n_objects = 1 };
	struct str rest = str_from(objects);

	assert_int_equal(world_event(w, "StasisStart", OBJECT_OPENS | OBJECT_BINDS, channel, "{}"),
			 0);
	while (rest.p && rest.n) {
		struct str id = str_cut(&rest, ' '), kind = str_cut(&id, ':');

		for (size_t k = 0; k < 4; k++)
			if (str_eq(kind, str_from(kinds[k])))
				refs[e.n_objects++] = (struct object_ref){ (enum object_kind)k,
									   OBJECT_BINDS, id };
	}
	assert_int_equal(port_deliver(memory_port_port(w->engine), &e), 0);
	world_settle(w);
}

/* How often the call of that number (1, 2) got exactly those bytes. */
static int times(const struct world *w, char dialogs[2][64], int call, const char *frame)
{
	int n = 0;

	for (size_t i = 0; i < w->sent.n; i++)
		n += str_eq(w->sent.at[i]->dialog, str_from(dialogs[call - 1])) &&
		     str_eq(blob_str(w->sent.at[i]->payload), str_from(frame));
	return n;
}

struct routing {
	const char *what;
	const char *file, *type; /* recorded; or the frame itself, with file NULL */
	int nth;
	const char *first, *second; /* what the calls own besides a channel "1" and "2" */
	const char *reaches;        /* "1", "2", "12", "" */
};

#define LAB "channel:lab-17952213"

static const struct routing routings[] = {
	{ "Dial, by its peer", "a22-create-dial", "Dial", 2, "channel:ch-dialed-1", "", "1" },
	{ "Dial, by its caller", NULL,
	  "{\"type\":\"Dial\",\"dialstatus\":\"RINGING\",\"caller\":{\"id\":\"a\"},\"peer\":{"
	  "\"id\":\"b\"}}",
	  0, "channel:a", "channel:b", "12" },
	{ "Dial of others", "a22-create-dial", "Dial", 2, "channel:x", "", "" },
	{ "ChannelTransfer, by its source", "a22-sip-transfer", "ChannelTransfer", 0, "",
	  LAB "19.173", "2" },
	{ "ChannelTransfer as it goes on", "a22-sip-transfer", "ChannelTransfer", 2, LAB "19.173",
	  "", "1" },
	{ "ChannelUserevent with a channel", "a22-userevent-devstate", "ChannelUserevent", 0,
	  LAB "09.162", "", "1" },
	{ "ChannelUserevent with a bridge alone", NULL,
	  "{\"type\":\"ChannelUserevent\",\"eventname\":\"e\",\"userevent\":{\"channel\":{\"id\":"
	  "\"x\"}},\"bridge\":{\"id\":\"b\"}}",
	  0, "channel:x", "bridge:b", "2" },
	{ "ChannelUserevent with an endpoint alone", NULL,
	  "{\"type\":\"ChannelUserevent\",\"eventname\":\"e\",\"userevent\":{},\"endpoint\":{"
	  "\"technology\":\"PJSIP\",\"resource\":\"a\",\"state\":\"online\",\"channel_ids\":["
	  "\"c\"]}}",
	  0, "channel:c", "", "1" },
	{ "ChannelUserevent of nothing", NULL,
	  "{\"type\":\"ChannelUserevent\",\"eventname\":\"e\",\"userevent\":{\"id\":\"c\"}}", 0,
	  "channel:c", "", "" },
	{ "TextMessageReceived, by the endpoint's calls", NULL,
	  "{\"type\":\"TextMessageReceived\",\"message\":{\"from\":\"a\",\"to\":\"b\",\"body\":"
	  "\"c\"},\"endpoint\":{\"technology\":\"PJSIP\",\"resource\":\"a\",\"channel_ids\":["
	  "\"c\",\"d\"]}}",
	  0, "channel:c", "channel:d", "12" },
	{ "TextMessageReceived of no call", NULL,
	  "{\"type\":\"TextMessageReceived\",\"message\":{\"from\":\"c\",\"to\":\"b\",\"body\":"
	  "\"c\"}}",
	  0, "channel:c", "", "" },
	{ "ChannelEnteredBridge, also to the bridge's owner", "a22-create-dial",
	  "ChannelEnteredBridge", 0, "channel:ch-dialed-1", "bridge:brd1", "12" },
	{ "ChannelLeftBridge, also to the bridge's owner", "a22-create-dial", "ChannelLeftBridge",
	  0, "bridge:brd1", "", "1" },
	{ "BridgeBlindTransfer, to the transferer's and the transferee's",
	  "a22-sip-blind-transfer-bridge", "BridgeBlindTransfer", 0, LAB "29.174", LAB "29.175",
	  "12" },
	{ "BridgeBlindTransfer, by its bridge", "a22-sip-blind-transfer-bridge",
	  "BridgeBlindTransfer", 1, "", "bridge:xfer1", "2" },
	{ "BridgeAttendedTransfer, to both calls", NULL,
	  "{\"type\":\"BridgeAttendedTransfer\",\"transferer_first_leg\":{\"id\":\"a\"},"
	  "\"transferer_second_leg\":{\"id\":\"b\"},\"result\":\"Success\",\"destination_type\":"
	  "\"bridge\",\"destination_bridge\":\"br\"}",
	  0, "channel:a", "channel:b", "12" },
	{ "BridgeMerged, to both owners", NULL,
	  "{\"type\":\"BridgeMerged\",\"bridge\":{\"id\":\"a\"},\"bridge_from\":{\"id\":\"b\"}}", 0,
	  "bridge:a", "bridge:b", "12" },
	{ "PlaybackStarted, by target_uri of a channel", "a22-playback", "PlaybackStarted", 0,
	  "channel:lab-1795221284.134", "", "1" },
	{ "PlaybackStarted, by target_uri of a bridge", "a22-bridge", "PlaybackStarted", 0, "",
	  "bridge:br-fixed-1", "2" },
	{ "RecordingStarted, by target_uri of a channel", "a22-record", "RecordingStarted", 0,
	  "channel:lab-1795221297.146", "", "1" },
	{ "RecordingStarted, by target_uri of a bridge", "a22-bridge", "RecordingStarted", 0, "",
	  "bridge:br-fixed-1", "2" },
	{ "a recording that the other call asked for", "a22-record", "RecordingFinished", 0,
	  "channel:lab-1795221297.146", "recording:rec/one", "12" },
};

static void route(const struct routing *r)
{
	char frame[FRAME_MAX], dialogs[2][64];
	struct world w;
	int rc;

	if (r->file)
		frame_find(r->file, r->type, r->nth, frame);
	else
		(void)snprintf(frame, sizeof(frame), "%s", r->type);
	world_create(&w, &(struct world_options){ 0 });
	own(&w, "1", r->first);
	memcpy(dialogs[0], w.dialog, sizeof(dialogs[0]));
	own(&w, "2", r->second);
	memcpy(dialogs[1], w.dialog, sizeof(dialogs[1]));
	rc = deliver_frame(&w, frame);
	world_settle(&w);
	for (int call = 1; call <= 2; call++) {
		int want = strchr(r->reaches, '0' + call) != NULL;

		if (times(&w, dialogs, call, frame) != want)
			fail_msg("%s: call %d got it %d times, not %d\n%s", r->what, call,
				 times(&w, dialogs, call, frame), want, frame);
	}
	if ((rc == 0) != (r->reaches[0] != '\0'))
		fail_msg("%s: %d", r->what, rc);
	world_destroy(&w);
}

static void event_reaches_each_call_that_owns_an_id_of_it(void **state)
{
	for (size_t i = 0; i < sizeof(routings) / sizeof(*routings); i++)
		route(&routings[i]);
}

/* The channel that takes another's place is its call's from then on. */
static void replaced_channel_hands_its_call_over(void **state)
{
	static const char start[] =
		"{\"type\":\"StasisStart\",\"args\":[],\"channel\":{\"id\":\"new\"},"
		"\"replace_channel\":{\"id\":\"old\"}}";
	char frame[FRAME_MAX];
	struct world *w = *state;

	own(w, "old", "");
	got_clear(&w->sent);
	assert_int_equal(deliver_frame(w, start), 0);
	assert_int_equal(world_event(w, "StasisEnd", OBJECT_LEAVES, "old", "{}"), 0);
	assert_int_equal(world_event(w, "ChannelDestroyed", OBJECT_ENDS, "old", "{}"), 0);
	assert_int_equal(world_event(w, "ChannelStateChange", 0, "new", "{}"), 0);
	world_settle(w);
	assert_string_equal(world_sent(w),
			    "StasisStart StasisEnd ChannelDestroyed ChannelStateChange");
	assert_int_equal(world_hub_stats(w).dialogs_opened, 1);
	assert_int_equal(world_hub_stats(w).dialogs, 1);
	/* A recorded one: the transfer binds the channel that will come in the other's place. */
	own(w, "lab-1795221329.174", "");
	frame_find("a22-sip-blind-transfer-bridge", "BridgeBlindTransfer", 0, frame);
	assert_int_equal(deliver_frame(w, frame), 0);
	assert_int_equal(world_event(w, "StasisStart", OBJECT_OPENS | OBJECT_BINDS,
				     "lab-1795221329.177", "{}"),
			 0);
	assert_int_equal(world_hub_stats(w).dialogs_opened, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(event_reaches_each_call_that_owns_an_id_of_it),
		cmocka_unit_test_setup_teardown(replaced_channel_hands_its_call_over, world_setup,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
