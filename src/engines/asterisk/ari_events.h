/* SPDX-License-Identifier: MIT */
/*
 * What an ARI event says: its type, its application and the objects that it names.
 *
 * Bytes in, slices out: nothing is kept. Ids that hold escapes are unescaped into the event's own
 * scratch, all other slices lie in the frame.
 */
#ifndef VOXBUS_ENGINES_ASTERISK_ARI_EVENTS_H
#define VOXBUS_ENGINES_ASTERISK_ARI_EVENTS_H

#include "codec/json.h"
#include "core/port.h"

enum {
	ARI_EVENT_OBJECTS = 32, /* an event that names more: the rest is not seen */
	ARI_EVENT_SCRATCH =
		1024, /* bytes of ids with escapes; an id that has no room is not seen */
};

struct ari_event {
	struct str type, application, asterisk_id;
	/* The members of that name, type JSON_NONE if absent; media: playback or recording. */
	struct json channel, bridge, media;
	struct str channel_id, bridge_id, media_id;
	enum object_kind media_kind;
	bool known; /* a type that the table has */
	struct object_ref objects[ARI_EVENT_OBJECTS];
	size_t n_objects;
	size_t scratch_used;
	char scratch[ARI_EVENT_SCRATCH];
};

/* 0, or -EBADMSG: not a JSON object, or one without a `type` that is a string of 1 to 256 bytes. */
int ari_event_parse(struct str frame, struct ari_event *ret);
enum { ARI_LABEL_MAX = 128 };
/* The channel in a few words, for people: "PJSIP/alice-01 1001 -> 7000". It lies in out. */
struct str ari_event_label(const struct ari_event *event, char out[ARI_LABEL_MAX]);
/* "channel:ID" or "bridge:ID", as in target_uri: whether it is one. */
bool ari_target_uri(struct str uri, enum object_kind *ret_kind, struct str *ret_id);

/*
 * Whether events of that type only tell: who never gets one misses nothing about which objects
 * there are, nor about the application itself. So Asterisk may be asked not to send them.
 */
bool ari_event_only_tells(struct str type);

/* For the tests: the i-th type of the table, or NULL behind the last. */
const char *ari_event_type_name(size_t i);

#endif
