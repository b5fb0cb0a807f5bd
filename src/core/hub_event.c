/* SPDX-License-Identifier: MIT */
/*
 * Events in: which dialogs an event belongs to, and what it does to their objects.
 *
 * An event goes to every dialog that owns something it names. If none does and it names an object
 * that opens, a dialog is opened for it. Then bindings are made, the event is appended to each
 * dialog's stream (one payload, a message each), and only then are objects unbound: the event
 * that ends an object still belongs to its dialog. What an application has dropped is noted like any
 * other event, but not appended. What belongs to no dialog goes to its application, if that wants it.
 */
#include <errno.h>

#include "base/clock.h"
#include "core/hub_internal.h"

struct receivers {
	struct dialog *at[EVENT_DIALOGS_MAX];
	size_t n;
	bool cut; /* there were more */
};

static void receivers_add(struct receivers *r, struct dialog *d)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->at[i] == d)
			return;
	if (r->n < EVENT_DIALOGS_MAX)
		r->at[r->n++] = d;
	else
		r->cut = true;
}

static void receivers_find(struct port *port, const struct delivery *e, struct receivers *r)
{
	for (size_t i = 0; i < e->n_objects; i++) {
		const struct object_ref *ref = &e->objects[i];
		struct object *o = object_find(port, ref->kind, ref->id);

		if (!o)
			continue;
		list_for_each (it, &o->bindings)
			receivers_add(r, container_of(it, struct binding, of_object)->dialog);
	}
}

static struct application *application_of(struct port *port, const struct delivery *e)
{
	struct map_node *node = map_find(&port->hub->applications, e->application);

	return node ? container_of(node, struct application, node) : NULL;
}

static const struct object_ref *opening(const struct delivery *e)
{
	for (size_t i = 0; i < e->n_objects; i++)
		if (e->objects[i].verbs & OBJECT_OPENS)
			return &e->objects[i];
	return NULL;
}

static void refuse(struct port *port, const struct application *a, struct str channel)
{
	port->hub->stats.released_away++;
	if (hub_release(port, a->node.key, channel, "AWAY") < 0)
		log_error(port->log, "call not released", "channel=%.*s then=%s", STR_ARG(channel),
			  "no memory for it; it stays until it hangs up");
}

static struct dialog *open_for(struct port *port, const struct delivery *e, struct receivers *r)
{
	const struct object_ref *opens = opening(e);
	struct application *application = opens ? application_of(port, e) : NULL;
	struct dialog *d;

	if (application && away_refuses(application)) {
		refuse(port, application, opens->id);
		return NULL;
	}
	if (!application || dialog_open(port->hub, application, port, &d) < 0)
		return NULL;
	(void)snprintf(d->label, sizeof(d->label), "%.*s", STR_ARG(e->label));
	receivers_add(r, d);
	return d;
}

static void bind_all(const struct delivery *e, const struct receivers *r)
{
	for (size_t i = 0; i < e->n_objects; i++) {
		const struct object_ref *ref = &e->objects[i];

		if (!(ref->verbs & OBJECT_BINDS))
			continue;
		for (size_t k = 0; k < r->n; k++)
			(void)object_bind(r->at[k], ref->kind, ref->id);
	}
}

static void end_all(struct port *port, const struct delivery *e)
{
	for (size_t i = 0; i < e->n_objects; i++) {
		const struct object_ref *ref = &e->objects[i];
		struct object *o;

		if (!(ref->verbs & (OBJECT_LEAVES | OBJECT_ENDS)))
			continue;
		o = object_find(port, ref->kind, ref->id);
		if (o && ref->verbs & OBJECT_ENDS)
			object_end(port->hub, o);
		else if (o)
			object_leave(o);
	}
}

/* dialog: empty for one of no dialog. */
static void append_event(struct hub *hub, struct application *a, struct stream *stream,
			 struct str dialog, const struct delivery *e, struct blob *payload)
{
	uint64_t ttl_ms = away_ttl(a, application_ttl(a, e->type), e);
	struct msg init = {
		.kind = MSG_EVENT,
		.flags = e->flags,
		.seq = stream_next(stream),
		.ttl_ms = ttl_ms,
		.expires_ms = ttl_ms ? loop_now(hub->opt.loop) + ttl_ms : 0,
		.wall_ns = hub->event_ns,
		.topic = str_skip(stream_name(stream), strlen(a->bus->scope) + 1),
		.node = e->node,
		.application = a->node.key,
		.dialog = dialog,
		.type = e->type,
		.payload = payload,
	};
	auto_msg struct msg *m = payload ? msg_create(&init) : NULL;

	if (m && stream_append(stream, m, NULL, NULL) == 0) {
		away_appended(a, stream);
		hub_observed(hub, m);
	} else if (hub->stats.events_lost++ == 0) {
		log_error(hub->opt.log, "event lost", "dialog=%.*s type=%.*s then=%s",
			  STR_ARG(dialog), STR_ARG(e->type),
			  "no memory for it; more are only counted");
	}
}

/* Nobody's: 0 where its application takes it, or -ENOENT. */
static int unowned(struct port *port, const struct delivery *e)
{
	struct hub *hub = port->hub;
	struct application *a = application_of(port, e);
	struct blob *payload;

	if (!a || !a->events) {
		hub->stats.unowned++;
		return -ENOENT;
	}
	if (application_drops(a, e->type)) {
		hub->stats.events_filtered++;
		return 0;
	}
	hub->stats.application_events++;
	payload = blob_create(e->payload);
	append_event(hub, a, a->events, str_make(NULL, 0), e, payload);
	(void)blob_unref(payload);
	return 0;
}

static void count_cut(struct port *port, const struct delivery *e)
{
	if (port->hub->stats.events_cut++ == 0)
		log_warn(port->log, "event cut", "type=%.*s then=%s", STR_ARG(e->type),
			 "it goes to 32 of the calls that it names; more are only counted");
}

int hub_event(struct port *port, const struct delivery *e)
{
	struct hub *hub = port->hub;
	struct receivers r = { .n = 0 };
	struct dialog *fresh = NULL;
	struct blob *payload;
	int rc;

	hub->event_ns = clock_wall_ns();
	hub->stats.events++;
	port->counts.events++;
	if (e->flags & MSG_SYNTHETIC)
		hub->stats.synthetic++;
	receivers_find(port, e, &r);
	if (!r.n)
		fresh = open_for(port, e, &r);
	if (!r.n)
		return unowned(port, e);
	if (r.cut)
		count_cut(port, e);
	/* Without memory its bytes are lost, but not what it says of objects. */
	payload = blob_create(e->payload);
	bind_all(e, &r);
	/* One that could bind nothing (an id too long, no memory) has nothing to wait for. */
	if (!r.at[0]->objects)
		dialog_channels_changed(r.at[0]);
	for (size_t i = 0; i < r.n; i++) {
		if (!fresh && application_drops(r.at[i]->application, e->type))
			hub->stats.events_filtered++;
		else
			append_event(hub, r.at[i]->application, r.at[i]->events,
				     str_from(r.at[i]->id), e, payload);
	}
	/* What could not be bound (no memory, an id too long) does not keep a dialog for ever. */
	if (fresh && !fresh->channels)
		dialog_channels_changed(fresh);
	end_all(port, e);
	rc = payload ? 0 : -ENOMEM;
	(void)blob_unref(payload);
	return rc;
}
