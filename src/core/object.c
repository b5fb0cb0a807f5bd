/* SPDX-License-Identifier: MIT */
/*
 * Which dialogs an object belongs to: (engine, kind, id) -> bindings.
 *
 * One look-up finds an object; its bindings lead to its dialogs. A channel's binding is `live`
 * until it leaves the application, and a dialog lives as long as it has live channels.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/hub_internal.h"

enum { KEY_HEAD = 3, KEY_MAX = 1024 };

static int object_key(char key[KEY_MAX], const struct port *engine, enum object_kind kind,
		      struct str id, struct str *ret)
{
	if (id.n > KEY_MAX - KEY_HEAD)
		return -EMSGSIZE;
	key[0] = (char)(engine->index & 0xff);
	key[1] = (char)(engine->index >> 8);
	key[2] = (char)kind;
	memcpy(key + KEY_HEAD, id.p, id.n);
	*ret = str_make(key, KEY_HEAD + id.n);
	return 0;
}

struct object *object_find(struct port *engine, enum object_kind kind, struct str id)
{
	struct map_node *node;
	char text[KEY_MAX];
	struct str key;

	if (!id.n || object_key(text, engine, kind, id, &key) < 0)
		return NULL;
	node = map_find(&engine->hub->objects, key);
	return node ? container_of(node, struct object, node) : NULL;
}

static struct object *object_create(struct port *engine, enum object_kind kind, struct str id)
{
	struct object *o;
	char text[KEY_MAX];
	struct str key;

	if (object_key(text, engine, kind, id, &key) < 0)
		return NULL;
	o = calloc(1, sizeof(*o) + key.n);
	if (!o)
		return NULL;
	memcpy(o->key, key.p, key.n);
	o->kind = kind;
	o->id = str_make(o->key + KEY_HEAD, id.n);
	list_init(&o->bindings);
	if (map_add(&engine->hub->objects, &o->node, str_make(o->key, key.n)) < 0) {
		free(o);
		return NULL;
	}
	return o;
}

static void object_free_unbound(struct hub *hub, struct object *o)
{
	if (!list_empty(&o->bindings))
		return;
	map_del(&hub->objects, &o->node);
	free(o);
}

struct binding *binding_find(const struct object *o, const struct dialog *dialog)
{
	list_for_each (it, &o->bindings) {
		struct binding *b = container_of(it, struct binding, of_object);

		if (b->dialog == dialog)
			return b;
	}
	return NULL;
}

static void binding_set_live(struct binding *b, bool live)
{
	if (b->object->kind != OBJECT_CHANNEL || b->live == live)
		return;
	b->live = live;
	b->dialog->channels += live ? 1 : -1;
	dialog_channels_changed(b->dialog);
}

int object_bind(struct dialog *dialog, enum object_kind kind, struct str id)
{
	struct object *o;
	struct binding *b;

	if (!id.n)
		return 0;
	o = object_find(dialog->engine, kind, id);
	if (!o)
		o = object_create(dialog->engine, kind, id);
	if (!o)
		return -ENOMEM;
	b = binding_find(o, dialog);
	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b) {
			object_free_unbound(dialog->hub, o);
			return -ENOMEM;
		}
		b->object = o;
		b->dialog = dialog;
		list_add_tail(&o->bindings, &b->of_object);
		list_add_tail(&dialog->bindings, &b->of_dialog);
		dialog->objects++;
		if (kind == OBJECT_CHANNEL && !dialog->channel[0])
			(void)snprintf(dialog->channel, sizeof(dialog->channel), "%.*s",
				       STR_ARG(id));
		dialog_changed(dialog);
	}
	binding_set_live(b, true);
	return 0;
}

static void binding_free(struct binding *b)
{
	struct dialog *dialog = b->dialog;

	binding_set_live(b, false);
	list_del(&b->of_object);
	list_del(&b->of_dialog);
	dialog->objects--;
	dialog_changed(dialog);
	free(b);
}

void object_unbind(struct binding *b)
{
	struct hub *hub = b->dialog->hub;
	struct object *o = b->object;

	binding_free(b);
	object_free_unbound(hub, o);
}

void object_leave(struct object *o)
{
	list_for_each (it, &o->bindings) {
		struct binding *b = container_of(it, struct binding, of_object);

		binding_set_live(b, false);
		dialog_changed(b->dialog);
	}
}

void object_end(struct hub *hub, struct object *o)
{
	list_for_each_safe (it, &o->bindings)
		binding_free(container_of(it, struct binding, of_object));
	object_free_unbound(hub, o);
}
