/* SPDX-License-Identifier: MIT */
/*
 * Two tables and one walk.
 *
 * Which member of an event is what kind of object is the same in all events ("channel" is always a
 * channel), so one table maps members to kinds; a second one says for each type of event what it
 * does to which of its members. The frame is walked once; of its objects only `id` is looked up,
 * which Asterisk writes first. A type that the table does not have is an event all the same: its
 * objects are found by the first table, and any other member that has an `id` by its name.
 */
#include "engines/asterisk/ari_events.h"

#include <errno.h>
#include <stdio.h>

/* How a member names objects. */
enum shape {
	SHAPE_ID,       /* an object with an id */
	SHAPE_MEDIA,    /* a playback or a recording: its key, and target_uri */
	SHAPE_ENDPOINT, /* channel_ids[] */
	SHAPE_REFER,    /* an object of objects */
	SHAPE_OTHER,    /* names nothing: what is in it comes from users */
};

struct member {
	struct str key;
	enum shape shape;
	enum object_kind kind;
};

/* In the order of frequency, for the look-up is linear. */
static const struct member members[] = {
	{ STR_INIT("channel"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("peer"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("caller"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("bridge"), SHAPE_ID, OBJECT_BRIDGE },
	{ STR_INIT("playback"), SHAPE_MEDIA, OBJECT_PLAYBACK },
	{ STR_INIT("recording"), SHAPE_MEDIA, OBJECT_RECORDING },
	{ STR_INIT("endpoint"), SHAPE_ENDPOINT, OBJECT_CHANNEL },
	{ STR_INIT("device_state"), SHAPE_OTHER, OBJECT_CHANNEL },
	{ STR_INIT("userevent"), SHAPE_OTHER, OBJECT_CHANNEL },
	{ STR_INIT("message"), SHAPE_OTHER, OBJECT_CHANNEL },
	{ STR_INIT("contact_info"), SHAPE_OTHER, OBJECT_CHANNEL },
	{ STR_INIT("forwarded"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("replace_channel"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("transferee"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("transfer_target"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("transferer_first_leg"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("transferer_second_leg"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("destination_link_first_leg"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("destination_link_second_leg"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("destination_threeway_channel"), SHAPE_ID, OBJECT_CHANNEL },
	{ STR_INIT("bridge_from"), SHAPE_ID, OBJECT_BRIDGE },
	{ STR_INIT("transferer_first_leg_bridge"), SHAPE_ID, OBJECT_BRIDGE },
	{ STR_INIT("transferer_second_leg_bridge"), SHAPE_ID, OBJECT_BRIDGE },
	{ STR_INIT("destination_threeway_bridge"), SHAPE_ID, OBJECT_BRIDGE },
	{ STR_INIT("refer_to"), SHAPE_REFER, OBJECT_CHANNEL },
	{ STR_INIT("referred_by"), SHAPE_REFER, OBJECT_CHANNEL },
};

struct event_type {
	struct str name, member;
	unsigned verbs; /* for that member; all others are only named */
};

#define NAMES_ONLY STR_INIT(""), 0

#define CHANNEL   STR_INIT("channel")
#define BRIDGE    STR_INIT("bridge")
#define PLAYBACK  STR_INIT("playback")
#define RECORDING STR_INIT("recording")

/* Sorted by name. replace_channel is the new one in transfers and the old one in StasisStart. */
static const struct event_type types[] = {
	{ STR_INIT("ApplicationMoveFailed"), NAMES_ONLY },
	{ STR_INIT("ApplicationRegistered"), NAMES_ONLY },
	{ STR_INIT("ApplicationReplaced"), NAMES_ONLY },
	{ STR_INIT("ApplicationUnregistered"), NAMES_ONLY },
	{ STR_INIT("BridgeAttendedTransfer"), STR_INIT("replace_channel"), OBJECT_BINDS },
	{ STR_INIT("BridgeBlindTransfer"), STR_INIT("replace_channel"), OBJECT_BINDS },
	{ STR_INIT("BridgeCreated"), NAMES_ONLY },
	{ STR_INIT("BridgeDestroyed"), BRIDGE, OBJECT_ENDS },
	{ STR_INIT("BridgeMerged"), BRIDGE, OBJECT_BINDS },
	{ STR_INIT("BridgeVideoSourceChanged"), NAMES_ONLY },
	{ STR_INIT("CallBroadcast"), NAMES_ONLY },
	{ STR_INIT("CallClaimed"), NAMES_ONLY },
	{ STR_INIT("ChannelCallerId"), NAMES_ONLY },
	{ STR_INIT("ChannelConnectedLine"), NAMES_ONLY },
	{ STR_INIT("ChannelCreated"), NAMES_ONLY },
	{ STR_INIT("ChannelDestroyed"), CHANNEL, OBJECT_ENDS },
	{ STR_INIT("ChannelDialplan"), NAMES_ONLY },
	{ STR_INIT("ChannelDtmfReceived"), NAMES_ONLY },
	{ STR_INIT("ChannelEnteredBridge"), NAMES_ONLY },
	{ STR_INIT("ChannelHangupRequest"), NAMES_ONLY },
	{ STR_INIT("ChannelHold"), NAMES_ONLY },
	{ STR_INIT("ChannelLeftBridge"), NAMES_ONLY },
	{ STR_INIT("ChannelStateChange"), NAMES_ONLY },
	{ STR_INIT("ChannelTalkingFinished"), NAMES_ONLY },
	{ STR_INIT("ChannelTalkingStarted"), NAMES_ONLY },
	{ STR_INIT("ChannelToneDetected"), NAMES_ONLY },
	{ STR_INIT("ChannelTransfer"), NAMES_ONLY },
	{ STR_INIT("ChannelUnhold"), NAMES_ONLY },
	{ STR_INIT("ChannelUserevent"), NAMES_ONLY },
	{ STR_INIT("ChannelVarset"), NAMES_ONLY },
	{ STR_INIT("ContactStatusChange"), NAMES_ONLY },
	{ STR_INIT("DeviceStateChanged"), NAMES_ONLY },
	{ STR_INIT("Dial"), NAMES_ONLY },
	{ STR_INIT("EndpointStateChange"), NAMES_ONLY },
	{ STR_INIT("PeerStatusChange"), NAMES_ONLY },
	{ STR_INIT("PlaybackContinuing"), NAMES_ONLY },
	{ STR_INIT("PlaybackFinished"), PLAYBACK, OBJECT_ENDS },
	{ STR_INIT("PlaybackStarted"), PLAYBACK, OBJECT_BINDS },
	{ STR_INIT("RESTResponse"), NAMES_ONLY },
	{ STR_INIT("RecordingFailed"), RECORDING, OBJECT_ENDS },
	{ STR_INIT("RecordingFinished"), RECORDING, OBJECT_ENDS },
	{ STR_INIT("RecordingStarted"), RECORDING, OBJECT_BINDS },
	{ STR_INIT("StasisEnd"), CHANNEL, OBJECT_LEAVES },
	{ STR_INIT("StasisStart"), CHANNEL, OBJECT_OPENS | OBJECT_BINDS },
	{ STR_INIT("TextMessageReceived"), NAMES_ONLY },
};

enum { TYPE_MAX = 256 }; /* the longest of Asterisk's has 30 */
enum { N_MEMBERS = sizeof(members) / sizeof(*members), N_TYPES = sizeof(types) / sizeof(*types) };

const char *ari_event_type_name(size_t i)
{
	return i < N_TYPES ? types[i].name.p : NULL;
}

static const struct event_type *type_find(struct str name)
{
	size_t low = 0, high = N_TYPES;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int c = str_cmp(name, types[mid].name);

		if (c == 0)
			return &types[mid];
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

bool ari_event_only_tells(struct str type)
{
	const struct event_type *known = type_find(type);

	return !(known && known->verbs) && !str_starts(type, STR("Application"));
}

static unsigned verbs_of(const struct event_type *type, struct str member)
{
	return type && str_eq(type->member, member) ? type->verbs : 0;
}

/* A string without escapes, in the frame or in the scratch; empty when there is no room. */
static struct str text_of(struct ari_event *ev, struct json value)
{
	struct str s = { NULL, 0 };

	if (json_string(value, ev->scratch + ev->scratch_used,
			sizeof(ev->scratch) - ev->scratch_used, &s) < 0)
		return (struct str){ NULL, 0 };
	if (s.p == ev->scratch + ev->scratch_used)
		ev->scratch_used += s.n;
	return s;
}

/* The same object twice is one, with the verbs of both. */
static void add_object(struct ari_event *ev, enum object_kind kind, struct str id, unsigned verbs)
{
	if (!id.n)
		return;
	for (size_t i = 0; i < ev->n_objects; i++) {
		struct object_ref *o = &ev->objects[i];

		if (o->kind == kind && str_eq(o->id, id)) {
			o->verbs |= verbs;
			return;
		}
	}
	if (ev->n_objects < ARI_EVENT_OBJECTS)
		ev->objects[ev->n_objects++] = (struct object_ref){ kind, verbs, id };
}

bool ari_target_uri(struct str uri, enum object_kind *ret_kind, struct str *ret_id)
{
	struct str kind = str_cut(&uri, ':');

	if (str_eq(kind, STR("channel")))
		*ret_kind = OBJECT_CHANNEL;
	else if (str_eq(kind, STR("bridge")))
		*ret_kind = OBJECT_BRIDGE;
	else
		return false;
	*ret_id = uri;
	return uri.n > 0;
}

static void add_media(struct ari_event *ev, const struct member *m, struct json value,
		      unsigned verbs)
{
	struct str key = m->kind == OBJECT_RECORDING ? STR("name") : STR("id");
	struct str uri = text_of(ev, json_get(value, STR("target_uri"))), id;
	enum object_kind kind;

	ev->media = value;
	ev->media_kind = m->kind;
	ev->media_id = text_of(ev, json_get(value, key));
	add_object(ev, m->kind, ev->media_id, verbs);
	if (ari_target_uri(uri, &kind, &id))
		add_object(ev, kind, id, 0);
}

static void add_endpoint(struct ari_event *ev, struct json value)
{
	struct json ids = json_get(value, STR("channel_ids"));
	struct json_iter it;
	struct json_item item;

	json_iter_init(&it, ids);
	while (json_next(&it, &item) > 0)
		add_object(ev, OBJECT_CHANNEL, text_of(ev, item.value), 0);
}

static enum object_kind kind_by_name(struct str key)
{
	if (str_find_str(key, STR("bridge")) < key.n)
		return OBJECT_BRIDGE;
	if (str_find_str(key, STR("playback")) < key.n)
		return OBJECT_PLAYBACK;
	return OBJECT_CHANNEL;
}

static struct str add_by_id(struct ari_event *ev, enum object_kind kind, struct json value,
			    unsigned verbs)
{
	struct str id = text_of(ev, json_get(value, STR("id")));

	add_object(ev, kind, id, verbs);
	return id;
}

/* destination_channel, connected_channel, bridge, source_channel: whatever of it has an id. */
static void add_refer(struct ari_event *ev, struct json value)
{
	struct json_iter it;
	struct json_item item;

	json_iter_init(&it, value);
	while (json_next(&it, &item) > 0)
		(void)add_by_id(ev, kind_by_name(item.key), item.value, 0);
}

static void add_member(struct ari_event *ev, const struct event_type *type,
		       const struct json_item *item)
{
	const struct member *m = members, *end = members + N_MEMBERS;
	struct str id;

	while (m < end && !json_key_is(item, m->key))
		m++;
	if (m == end) {
		if (!type)
			(void)add_by_id(ev, kind_by_name(item->key), item->value, 0);
		return;
	}
	switch (m->shape) {
	case SHAPE_ID:
		id = add_by_id(ev, m->kind, item->value, verbs_of(type, m->key));
		if (item->value.raw.p == ev->channel.raw.p)
			ev->channel_id = id;
		else if (item->value.raw.p == ev->bridge.raw.p)
			ev->bridge_id = id;
		break;
	case SHAPE_MEDIA:
		add_media(ev, m, item->value, verbs_of(type, m->key));
		break;
	case SHAPE_ENDPOINT:
		add_endpoint(ev, item->value);
		break;
	case SHAPE_REFER:
		add_refer(ev, item->value);
		break;
	case SHAPE_OTHER:
		break;
	}
}

static void note_special(struct ari_event *ev, const struct json_item *item)
{
	if (item->value.type == JSON_STRING) {
		if (json_key_is(item, STR("type")))
			ev->type = text_of(ev, item->value);
		else if (json_key_is(item, STR("application")))
			ev->application = text_of(ev, item->value);
		else if (json_key_is(item, STR("asterisk_id")))
			ev->asterisk_id = text_of(ev, item->value);
	} else if (item->value.type == JSON_OBJECT) {
		if (json_key_is(item, STR("channel")))
			ev->channel = item->value;
		else if (json_key_is(item, STR("bridge")))
			ev->bridge = item->value;
	}
}

int ari_event_parse(struct str frame, struct ari_event *ret)
{
	struct json_item objects[ARI_EVENT_OBJECTS], item;
	const struct event_type *type;
	struct json_iter it;
	size_t n = 0;
	int rc;

	/* Not the scratch: this is the hot path. */
	memset(ret, 0, offsetof(struct ari_event, objects));
	ret->n_objects = ret->scratch_used = 0;
	/* What lies deeper passes as it came; only what is asked for is looked at. */
	json_iter_init_shallow(&it, json_peek(frame));
	if (!it.object)
		return -EBADMSG;
	while ((rc = json_next(&it, &item)) > 0) {
		note_special(ret, &item);
		if (item.value.type == JSON_OBJECT && n < ARI_EVENT_OBJECTS)
			objects[n++] = item;
	}
	if (rc < 0 || !ret->type.n || ret->type.n > TYPE_MAX)
		return -EBADMSG;
	type = type_find(ret->type);
	ret->known = type;
	for (size_t i = 0; i < n; i++)
		add_member(ret, type, &objects[i]);
	return 0;
}

/* A part of a label: a printable string, or "-". */
static struct str label_part(struct json value, char *out, size_t size)
{
	struct str s;

	if (json_string(value, out, size, &s) < 0 || !s.n)
		return STR("-");
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return STR("?");
	return s;
}

struct str ari_event_label(const struct ari_event *ev, char out[ARI_LABEL_MAX])
{
	char text[3][ARI_LABEL_MAX];
	struct str name = label_part(json_get(ev->channel, STR("name")), text[0], ARI_LABEL_MAX);
	struct str from =
		label_part(json_path(ev->channel, STR("caller.number")), text[1], ARI_LABEL_MAX);
	struct str to =
		label_part(json_path(ev->channel, STR("dialplan.exten")), text[2], ARI_LABEL_MAX);
	int n = snprintf(out, ARI_LABEL_MAX, "%.*s %.*s -> %.*s", STR_ARG(name), STR_ARG(from),
			 STR_ARG(to));

	return str_make(out, n < ARI_LABEL_MAX ? (size_t)n : ARI_LABEL_MAX - 1);
}
