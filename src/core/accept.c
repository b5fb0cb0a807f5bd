/* SPDX-License-Identifier: MIT */
/*
 * Calls that a worker must accept in time.
 *
 *   AppStart out --- within ---> nobody has said anything: the next try
 *        |                            |
 *   a command, a touch          an heir is made, with an id of its own; the events so far are copied
 *        |                      to it, then it gets the objects, the old one goes, and the bus hears
 *     accepted                  of the heir; after the last try the channels go on in the dialplan
 *
 * A worker is there when a command comes, or the bus tells that it has touched a topic (port_touched).
 * Until then a cursor that nobody moves keeps the events, also those that the bus has delivered.
 * While they are copied, which may need the disk, the old dialog lives on and may still be accepted:
 * then the heir goes. A late worker finds the old topics dead. Time does not run while the bus
 * is away, nor for a call that is over.
 */
#include <errno.h>

#include "core/core_internal.h"
#include "core/hub_internal.h"

enum { KEEPER_WINDOW = 1024, ROUND = 256 };

static void on_timer(void *arg);
static void on_move(void *arg);

void accept_prepare(struct dialog *d)
{
	d->accept.accepted = true;
	timer_init(&d->accept.timer, d->hub->opt.loop, on_timer, d);
	task_init(&d->accept.move, d->hub->opt.loop, on_move, d);
}

static void keeper_drop(struct dialog *d)
{
	if (!d->accept.keeper)
		return;
	d->accept.keeper = cursor_destroy(d->accept.keeper);
	stream_mark(d->events, false); /* what it has held can go */
}

void accept_fini(struct dialog *d)
{
	timer_stop(&d->accept.timer);
	task_cancel(&d->accept.move);
	d->accept.keeper = cursor_destroy(d->accept.keeper);
	if (d->accept.heir)
		d->accept.heir = dialog_discard(d->accept.heir);
}

static void on_ready(void *arg)
{
	struct dialog *d = arg;

	if (d->accept.heir)
		task_defer(&d->accept.move);
}

int accept_begin(struct dialog *d, unsigned tries)
{
	if (!d->application->accept_ms)
		return 0;
	d->accept.accepted = false;
	d->accept.tries = tries;
	return cursor_create(d->events, CURSOR_REQUIRED, KEEPER_WINDOW, on_ready, d,
			     &d->accept.keeper);
}

void accept_announced(struct dialog *d)
{
	if (!d->accept.accepted && !d->accept.heir)
		(void)timer_start(&d->accept.timer, d->application->accept_ms);
}

void accept_done(struct dialog *d)
{
	if (d->accept.accepted)
		return;
	d->accept.accepted = true;
	timer_stop(&d->accept.timer);
	task_cancel(&d->accept.move);
	keeper_drop(d);
	if (d->accept.heir)
		d->accept.heir = dialog_discard(d->accept.heir);
	dialog_changed(d);
}

/* ---- the next try */

static int copy(struct dialog *heir, const struct msg *m)
{
	struct msg init = *m;
	struct msg *twin;
	int rc;

	init.seq = stream_next(heir->events);
	init.topic = dialog_topic(heir, heir->events);
	init.dialog = str_from(heir->id);
	init.flags &= ~(unsigned)MSG_RECOVERED;
	twin = msg_create(&init);
	rc = twin ? stream_append(heir->events, twin, NULL, NULL) : -ENOMEM;
	(void)msg_unref(twin);
	return rc;
}

static void hand_over(struct dialog *d, struct dialog *heir)
{
	list_for_each (it, &d->bindings) {
		const struct binding *b = container_of(it, struct binding, of_dialog);
		struct object *o = b->object;
		bool live = b->live;

		(void)object_bind(heir, o->kind, o->id);
		if (o->kind == OBJECT_CHANNEL && !live)
			object_leave(o);
	}
	heir->accept.unborn = false;
	d->accept.heir = NULL;
	(void)dialog_discard(d);
	dialog_listen(heir);
	dialog_channels_changed(heir);
}

static void on_move(void *arg)
{
	struct dialog *d = arg, *heir = d->accept.heir;
	struct msg *m;

	for (int i = 0; i < ROUND; i++) {
		if (cursor_take(d->accept.keeper, &m) <= 0)
			break;
		/* One that can't be copied (no memory) is lost to the heir, and counted. */
		if (copy(heir, m) < 0)
			d->hub->stats.events_lost++;
		cursor_settle(d->accept.keeper, m->seq, true);
		(void)msg_unref(m);
	}
	if (cursor_floor(d->accept.keeper) >= stream_next(d->events))
		hand_over(d, heir);
	else if (cursor_floor(d->accept.keeper) < stream_visible(d->events))
		task_defer(&d->accept.move);
	/* else: what is being written comes by on_ready */
}

/* Without memory for it this one goes on waiting. */
static void next_try(struct dialog *d)
{
	struct dialog *heir;

	if (dialog_inherit(d, &heir) < 0) {
		accept_announced(d);
		return;
	}
	if (accept_begin(heir, d->accept.tries + 1) < 0) {
		(void)dialog_discard(heir);
		accept_announced(d);
		return;
	}
	d->hub->stats.announced_again++;
	heir->accept.unborn = true;
	d->accept.heir = heir;
	task_defer(&d->accept.move);
}

static void give_up(struct dialog *d)
{
	list_for_each (it, &d->bindings) {
		const struct binding *b = container_of(it, struct binding, of_dialog);

		if (b->live)
			(void)hub_release(d->engine, d->application->node.key, b->object->id,
					  "UNACCEPTED");
	}
	d->hub->stats.released_unaccepted++;
	(void)dialog_discard(d);
}

static void on_timer(void *arg)
{
	struct dialog *d = arg;

	if (!d->channels)
		return; /* over: what there is of it can be read as long as any other's */
	if (!port_usable(d->application->bus))
		accept_announced(d);
	else if (d->accept.tries < d->application->accept_tries)
		next_try(d);
	else
		give_up(d);
}

void port_touched(struct port *port, struct str topic)
{
	static const struct str prefixes[] = { STR_INIT("commands_"), STR_INIT("events_"),
					       STR_INIT("responses_") };
	struct dialog *d = NULL;

	for (size_t i = 0; !d && i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (str_starts(topic, prefixes[i]))
			d = dialog_find(port->hub, str_skip(topic, prefixes[i].n));
	if (d && d->application->bus == port)
		accept_done(d);
}
