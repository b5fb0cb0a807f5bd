/* SPDX-License-Identifier: MIT */
/*
 * Hash tables that follow the events.
 *
 * A channel that has left the application is forgotten at once: what it does outside is nobody's
 * business here, and for many calls no ChannelDestroyed ever follows.
 */
#include "engines/asterisk/ari_objects.h"

#include <stdlib.h>

void ari_tables_init(struct ari_tables *tables)
{
	map_init(&tables->channels.map);
	map_init(&tables->bridges.map);
	map_init(&tables->playbacks.map);
	map_init(&tables->recordings.map);
}

static void objects_fini(struct ari_objects *set)
{
	map_for_each (it, &set->map)
		ari_object_remove(set, container_of(it, struct ari_object, node));
	map_fini(&set->map);
}

void ari_tables_fini(struct ari_tables *tables)
{
	objects_fini(&tables->channels);
	objects_fini(&tables->bridges);
	objects_fini(&tables->playbacks);
	objects_fini(&tables->recordings);
}

struct ari_objects *ari_tables_of(struct ari_tables *tables, enum object_kind kind)
{
	switch (kind) {
	case OBJECT_CHANNEL:
		return &tables->channels;
	case OBJECT_BRIDGE:
		return &tables->bridges;
	case OBJECT_PLAYBACK:
		return &tables->playbacks;
	case OBJECT_RECORDING:
	default:
		return &tables->recordings;
	}
}

struct ari_object *ari_object_find(const struct ari_objects *set, struct str id)
{
	struct map_node *node = map_find(&set->map, id);

	return node ? container_of(node, struct ari_object, node) : NULL;
}

struct ari_object *ari_object_add(struct ari_objects *set, struct str id, enum ari_place place)
{
	struct ari_object *o = ari_object_find(set, id);

	if (o)
		return o;
	if (!id.n || id.n > ARI_OBJECT_ID_MAX || set->map.count >= ARI_OBJECTS_MAX)
		return NULL;
	o = calloc(1, sizeof(*o) + id.n);
	if (!o)
		return NULL;
	memcpy(o->id, id.p, id.n);
	o->place = place;
	if (map_add(&set->map, &o->node, str_make(o->id, id.n)) < 0) {
		free(o);
		return NULL;
	}
	return o;
}

void ari_object_remove(struct ari_objects *set, struct ari_object *object)
{
	map_del(&set->map, &object->node);
	free(object->snapshot);
	free(object);
}

void ari_object_keep(struct ari_object *object, struct str snapshot)
{
	if (!snapshot.n || snapshot.n > ARI_SNAPSHOT_MAX)
		return;
	if (snapshot.n > object->snapshot_cap) {
		size_t cap = (snapshot.n + 127) & ~(size_t)127;
		char *p = realloc(object->snapshot, cap);

		if (!p)
			return;
		object->snapshot = p;
		object->snapshot_cap = cap;
	}
	memcpy(object->snapshot, snapshot.p, snapshot.n);
	object->snapshot_n = snapshot.n;
}

static bool note_start(struct ari_tables *tables, struct str id)
{
	struct ari_object *o = ari_object_add(&tables->channels, id, ARI_INSIDE);
	bool second = o && o->invented;

	if (o) {
		o->place = ARI_INSIDE;
		o->invented = false;
	}
	return !second;
}

static void note_end(struct ari_objects *set, struct str id)
{
	struct ari_object *o = ari_object_find(set, id);

	if (o)
		ari_object_remove(set, o);
}

/* The last that was said of one that is watched. */
static void keep(struct ari_objects *set, struct str id, struct json snapshot)
{
	struct ari_object *o = id.n && set->map.count ? ari_object_find(set, id) : NULL;

	if (o)
		ari_object_keep(o, snapshot.raw);
}

bool ari_tables_note(struct ari_tables *tables, const struct ari_event *event)
{
	bool first = true;

	for (size_t i = 0; i < event->n_objects; i++) {
		const struct object_ref *ref = &event->objects[i];
		struct ari_objects *set = ari_tables_of(tables, ref->kind);
		bool media = ref->kind == OBJECT_PLAYBACK || ref->kind == OBJECT_RECORDING;

		if (ref->verbs & OBJECT_OPENS)
			first = note_start(tables, ref->id);
		if (media && ref->verbs & OBJECT_BINDS)
			(void)ari_object_add(set, ref->id, ARI_INSIDE);
		if (ref->verbs & (OBJECT_LEAVES | OBJECT_ENDS))
			note_end(set, ref->id);
	}
	keep(&tables->channels, event->channel_id, event->channel);
	keep(&tables->bridges, event->bridge_id, event->bridge);
	keep(ari_tables_of(tables, event->media_kind), event->media_id, event->media);
	return first;
}
