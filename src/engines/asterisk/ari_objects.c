/* SPDX-License-Identifier: MIT */
/*
 * Two hash tables that follow the events.
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

bool ari_tables_note(struct ari_tables *tables, const struct ari_event *event)
{
	struct ari_object *o;
	bool first = true;

	for (size_t i = 0; i < event->n_objects; i++) {
		const struct object_ref *ref = &event->objects[i];

		if (ref->kind != OBJECT_CHANNEL && ref->kind != OBJECT_BRIDGE)
			continue;
		if (ref->verbs & OBJECT_OPENS)
			first = note_start(tables, ref->id);
		if (ref->verbs & (OBJECT_LEAVES | OBJECT_ENDS))
			note_end(ref->kind == OBJECT_CHANNEL ? &tables->channels : &tables->bridges,
				 ref->id);
	}
	if (event->channel_id.n && tables->channels.map.count) {
		o = ari_object_find(&tables->channels, event->channel_id);
		if (o)
			ari_object_keep(o, event->channel.raw);
	}
	if (event->bridge_id.n && tables->bridges.map.count) {
		o = ari_object_find(&tables->bridges, event->bridge_id);
		if (o)
			ari_object_keep(o, event->bridge.raw);
	}
	return first;
}
