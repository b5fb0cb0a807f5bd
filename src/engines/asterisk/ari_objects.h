/* SPDX-License-Identifier: MIT */
/*
 * What the engine believes to be there: the channels, bridges, playbacks and recordings of one
 * application.
 *
 * It is kept for one purpose: to find out after a gap what happened in it. A channel is here from
 * its StasisStart (or from the command that made it, or from the journal's dialogs) to its
 * StasisEnd or ChannelDestroyed, with the last that Asterisk said of it; a playback or recording
 * until it is said to be finished.
 */
#ifndef VOXBUS_ENGINES_ASTERISK_ARI_OBJECTS_H
#define VOXBUS_ENGINES_ASTERISK_ARI_OBJECTS_H

#include "base/map.h"
#include "engines/asterisk/ari_events.h"

enum {
	ARI_OBJECTS_MAX = 200000, /* of each kind; further ones are not watched */
	ARI_SNAPSHOT_MAX = 4096,  /* bytes of JSON kept of one; a longer one is not kept */
	ARI_OBJECT_ID_MAX = 1024,
};

enum ari_place {
	ARI_BOUND,   /* belongs to a dialog and was not seen in the application yet */
	ARI_INSIDE,  /* between StasisStart and StasisEnd */
	ARI_ADOPTED, /* from the journal: one of the two */
};

/* What frames that wait behind a resync will say of an object. */
enum { ARI_COMING_START = 1, ARI_COMING_END = 2 };

struct ari_object {
	struct map_node node; /* ari_objects.map */
	enum ari_place place;
	unsigned coming;
	bool seen;     /* by the resync that runs */
	bool invented; /* its StasisStart came from a resync: the real one would be the second */
	size_t snapshot_n, snapshot_cap;
	char *snapshot;
	char id[];
};

struct ari_objects {
	struct map map;
};

struct ari_tables {
	struct ari_objects channels, bridges, playbacks, recordings;
};

void ari_tables_init(struct ari_tables *tables);
void ari_tables_fini(struct ari_tables *tables);
struct ari_object *ari_object_find(const struct ari_objects *set, struct str id);
struct ari_objects *ari_tables_of(struct ari_tables *tables, enum object_kind kind);
/* The one that is there, or a new one with that place; NULL: no memory, table full, a bad id. */
struct ari_object *ari_object_add(struct ari_objects *set, struct str id, enum ari_place place);
void ari_object_remove(struct ari_objects *set, struct ari_object *object);
static inline struct str ari_object_snapshot(const struct ari_object *object)
{
	return str_make(object->snapshot, object->snapshot_n);
}
void ari_object_keep(struct ari_object *object, struct str snapshot);
/*
 * Notes what an event does. false: it is the StasisStart of a channel whose StasisStart a resync
 * has already made up; whoever got that one must not get a second.
 */
bool ari_tables_note(struct ari_tables *tables, const struct ari_event *event);

#endif
