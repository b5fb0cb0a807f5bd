/* SPDX-License-Identifier: MIT */
/*
 * The life of a dialog.
 *
 *   OPENING --bus listens--> OPEN --last channel left--> ENDING --linger--> CLOSED --read--> gone
 *      |                       ^                            |
 *      +-- channel left first  +------ a channel came ------+
 *
 * ENDING keeps its objects for late events (ChannelDestroyed follows StasisEnd, or never comes).
 * CLOSED owns no objects and takes no commands; its streams stay, on the disk if they are recorded,
 * until they are read: for an hour (while its bus is away: longer, or as its application says), or
 * until dialogs_max needs its place.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/hub_internal.h"

enum { CLOSED_KEEP_MS = 3600000, CLOSED_LOOK_MS = 5000 };

struct dialog *dialog_find(struct hub *hub, struct str id)
{
	struct map_node *node = map_find(&hub->dialogs, id);

	return node ? container_of(node, struct dialog, node) : NULL;
}

static void on_linger(void *arg);

static struct stream *dialog_stream(struct dialog *d, struct str prefix)
{
	struct port *bus = d->application->bus;
	char text[NAME_MAX_BYTES];
	struct str name = port_stream_name(bus, text, prefix, str_from(d->id));

	return stream_open(hub_streams(d->hub), name, d->application->record ? STREAM_RECORD : 0);
}

static int dialog_outlet(struct dialog *d, struct stream *stream, struct str prefix,
			 struct outlet **ret)
{
	struct port *bus = d->application->bus;
	char topic[TOPIC_MAX];
	int n;

	if (bus->ops->roles & PORT_PULL)
		return 0;
	n = snprintf(topic, sizeof(topic), "%.*s%s", STR_ARG(prefix), d->id);
	return outlet_create(bus, stream, str_make(topic, (size_t)n), ret);
}

static int dialog_streams(struct dialog *d)
{
	int rc;

	d->events = dialog_stream(d, STR("events_"));
	d->commands = dialog_stream(d, STR("commands_"));
	d->responses = dialog_stream(d, STR("responses_"));
	if (!d->events || !d->commands || !d->responses)
		return -ENOMEM;
	rc = dialog_outlet(d, d->events, STR("events_"), &d->out_events);
	if (rc == 0)
		rc = dialog_outlet(d, d->responses, STR("responses_"), &d->out_responses);
	if (rc == 0)
		rc = keep_begin(d);
	if (rc == 0)
		rc = lane_init(d);
	return rc;
}

int dialog_create(struct hub *hub, struct application *application, struct port *engine,
		  struct str id, struct dialog **ret)
{
	struct dialog *d = calloc(1, sizeof(*d));
	int rc = -ENOMEM;

	if (!d)
		return rc;
	d->hub = hub;
	d->application = application;
	d->engine = engine;
	list_init(&d->bindings);
	list_init(&d->unsaved);
	list_init(&d->receipts);
	list_init(&d->closed);
	timer_init(&d->linger, hub->opt.loop, on_linger, d);
	lane_prepare(d);
	accept_prepare(d);
	results_init(&d->results);
	(void)snprintf(d->id, sizeof(d->id), "%.*s", STR_ARG(id));
	if (map_add(&hub->dialogs, &d->node, str_from(d->id)) < 0) {
		free(d);
		return rc;
	}
	rc = dialog_streams(d);
	if (rc < 0) {
		(void)dialog_destroy(d);
		return rc;
	}
	hub->stats.dialogs++;
	*ret = d;
	return 0;
}

struct dialog *dialog_destroy(struct dialog *d)
{
	if (!d)
		return NULL;
	timer_stop(&d->linger);
	accept_fini(d);
	keep_fini(d);
	lane_fini(d);
	results_fini(d);
	while (!list_empty(&d->bindings))
		object_unbind(container_of(d->bindings.next, struct binding, of_dialog));
	timer_stop(&d->linger); /* unbinding may have started it again */
	list_del(&d->unsaved);
	list_splice_tail(&d->hub->receipts, &d->receipts); /* freed with the others */
	list_del(&d->closed);
	map_del(&d->hub->dialogs, &d->node);
	(void)outlet_destroy(d->out_events);
	(void)outlet_destroy(d->out_responses);
	(void)stream_unref(d->events);
	(void)stream_unref(d->commands);
	(void)stream_unref(d->responses);
	free(d);
	return NULL;
}

static void dialog_gone(struct dialog *d)
{
	dialog_forget(d);
	if (d->state == DIALOG_CLOSED)
		d->hub->stats.closed--;
	else
		d->hub->stats.dialogs--;
	(void)dialog_destroy(d);
}

struct str dialog_topic(const struct dialog *d, const struct stream *stream)
{
	return str_skip(stream_name(stream), strlen(d->application->bus->scope) + 1);
}

static int bus_listen(struct dialog *d, bool on)
{
	struct port *bus = d->application->bus;

	return bus->ops->listen(bus->self, dialog_topic(d, d->commands), on);
}

struct dialog *dialog_discard(struct dialog *d)
{
	const struct port *bus = d->application->bus;

	if (bus->ops->listen && port_usable(bus) && !d->accept.unborn)
		(void)bus_listen(d, false);
	(void)stream_discard(d->events);
	(void)stream_discard(d->responses);
	dialog_gone(d);
	return NULL;
}

/* Some may be kept although they were read. */
static uint64_t events_unread(const struct dialog *d)
{
	uint64_t from = stream_first(d->events), sent = keep_sent(d);

	return stream_next(d->events) - (sent > from ? sent : from);
}

/* With what nobody came to read. */
static void dialog_drop(struct dialog *d)
{
	struct hub *hub = d->hub;

	hub->stats.unread_dropped += events_unread(d) + stream_discard(d->responses);
	(void)stream_discard(d->events);
	dialog_gone(d);
}

static void dialog_set_closed(struct dialog *d)
{
	struct hub *hub = d->hub;

	d->state = DIALOG_CLOSED;
	d->closed_ms = loop_now(hub->opt.loop);
	keep_closed(d);
	list_add_tail(&hub->closed, &d->closed);
	hub->stats.dialogs--;
	hub->stats.closed++;
	stream_spill(d->events);
	stream_spill(d->responses);
}

int dialog_inherit(const struct dialog *old, struct dialog **ret)
{
	char id[RAND_DIALOG_ID_SIZE];
	struct dialog *d;
	int rc;

	rand_dialog_id(id);
	rc = dialog_create(old->hub, old->application, old->engine, str_from(id), &d);
	if (rc < 0)
		return rc;
	d->opened_wall_ns = old->opened_wall_ns;
	memcpy(d->channel, old->channel, sizeof(d->channel));
	memcpy(d->label, old->label, sizeof(d->label));
	if (d->out_events)
		d->out_events->held = true;
	*ret = d;
	return 0;
}

int dialog_open(struct hub *hub, struct application *application, struct port *engine,
		struct dialog **ret)
{
	char id[RAND_DIALOG_ID_SIZE];
	struct dialog *d;
	int rc;

	if (hub->dialogs.count >= hub->opt.dialogs_max && !list_empty(&hub->closed))
		dialog_drop(container_of(hub->closed.next, struct dialog, closed));
	if (hub->dialogs.count >= hub->opt.dialogs_max) {
		hub->stats.dialogs_refused++;
		return -EBUSY;
	}
	rand_dialog_id(id);
	rc = dialog_create(hub, application, engine, str_from(id), &d);
	if (rc == 0 && accept_begin(d, 1) < 0)
		d->accept.accepted =
			true; /* no memory to keep it for another: served by who comes */
	if (rc < 0) {
		hub->stats.dialogs_refused++;
		return rc;
	}
	d->opened_wall_ns = clock_wall_ns();
	if (d->out_events)
		d->out_events->held = true;
	hub->stats.dialogs_opened++;
	dialog_listen(d);
	*ret = d;
	return 0;
}

void dialog_listen(struct dialog *d)
{
	struct port *bus = d->application->bus;

	if (d->accept.unborn)
		return;
	if (!bus->ops->listen)
		dialog_announce(d);
	else if (port_usable(bus))
		(void)bus_listen(d, true); /* asked again when the bus comes up */
}

/* 0 or a negative errno. */
static int announce(struct dialog *d)
{
	struct application *a = d->application;
	struct msg init = {
		.kind = MSG_ANNOUNCE,
		.seq = stream_next(a->announces),
		.wall_ns = clock_wall_ns(),
		.topic = a->node.key,
		.application = a->node.key,
		.dialog = str_from(d->id),
		.type = STR("AppStart"),
	};
	auto_msg struct msg *m = msg_create(&init);
	int rc = m ? stream_append(a->announces, m, NULL, NULL) : -ENOMEM;

	if (rc < 0)
		return rc;
	d->announced = m->seq;
	hub_observed(d->hub, m);
	return 0;
}

void dialog_announce(struct dialog *d)
{
	if (d->announced || announce(d) < 0)
		return; /* tried again when the bus comes up, and when the dialog closes */
	d->application->announced++;
	if (d->state == DIALOG_OPENING)
		d->state = d->channels || !d->objects ? DIALOG_OPEN : DIALOG_ENDING;
	if (!d->out_events) /* a pull bus: it can be fetched from now on */
		accept_announced(d);
	dialog_changed(d);
}

void dialog_hold(struct dialog *d)
{
	const struct outlet *announces = d->application->outlet;

	if (d->out_events && announces)
		d->out_events->held =
			!d->announced || !cursor_has_settled(announces->cursor, d->announced);
}

void dialog_announced(struct dialog *d)
{
	if (d->out_events && d->out_events->held)
		outlet_release(d->out_events);
	accept_announced(d);
}

void dialog_channels_changed(struct dialog *d)
{
	if (d->state == DIALOG_CLOSED)
		return;
	if (d->channels) {
		timer_stop(&d->linger);
		if (d->state == DIALOG_ENDING)
			d->state = DIALOG_OPEN;
	} else {
		if (d->state == DIALOG_OPEN)
			d->state = DIALOG_ENDING;
		(void)timer_start(&d->linger, d->hub->opt.linger_ms);
	}
	dialog_changed(d);
}

static bool dialog_read(const struct dialog *d)
{
	return events_unread(d) == 0 && stream_first(d->responses) == stream_next(d->responses);
}

static void dialog_close(struct dialog *d)
{
	struct port *bus = d->application->bus;

	/* A command that is under way or waits is answered first. */
	if (!lane_is_empty(d)) {
		(void)timer_start(&d->linger, d->hub->opt.linger_ms);
		return;
	}
	/* Its bus never listened, but what happened is not lost: commands would find nobody. */
	dialog_announce(d);
	accept_done(d);
	results_forget(d); /* what comes again finds no call */
	dialog_set_closed(d);
	while (!list_empty(&d->bindings))
		object_unbind(container_of(d->bindings.next, struct binding, of_dialog));
	if (bus->ops->listen && port_usable(bus))
		(void)bus_listen(d, false);
	dialog_changed(d);
	(void)timer_start(&d->linger, 0);
}

static void dialog_forget_kept(struct dialog *d)
{
	if (d->keep.cursor)
		(void)stream_discard(d->events);
	dialog_gone(d);
}

static void on_linger(void *arg)
{
	struct dialog *d = arg;
	const struct port *bus = d->application->bus;
	uint64_t age_ms = loop_now(d->hub->opt.loop) - d->closed_ms;
	bool late;

	if (d->state != DIALOG_CLOSED) {
		dialog_close(d);
		return;
	}
	late = port_usable(bus)
		       ? age_ms >= CLOSED_KEEP_MS
		       : d->application->away.age_ms && age_ms >= d->application->away.age_ms;
	if (dialog_read(d) && keep_left(d))
		(void)timer_start(&d->linger, keep_left(d));
	else if (dialog_read(d))
		dialog_forget_kept(d);
	else if (late)
		dialog_drop(d);
	else
		(void)timer_start(&d->linger, CLOSED_LOOK_MS);
}

void dialog_recover_closed(struct dialog *d)
{
	dialog_set_closed(d);
	(void)timer_start(&d->linger, CLOSED_LOOK_MS);
}
