/* SPDX-License-Identifier: MIT */
/*
 * A stream on its way out by a bus: a cursor, and the port that sends what it gives.
 *
 * Order is the cursor's. When the port is full the outlet waits in the port's `blocked` list and
 * goes on, in turn, at port_writable; when the port's link is lost everything in flight is taken
 * back and goes out again, in order, when it is up.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "core/hub_internal.h"

enum { ROUND = 64 };

int outlet_create(struct port *port, struct stream *stream, struct str topic, struct outlet **ret)
{
	struct outlet *o = calloc(1, sizeof(*o) + topic.n + 1);
	int rc = -ENOMEM;

	if (!o)
		return rc;
	o->port = port;
	memcpy(o->topic, topic.p, topic.n);
	list_init(&o->blocked);
	task_init(&o->again, port->hub->opt.loop, outlet_pump, o);
	rc = map_add(&port->outlets, &o->node, str_make(o->topic, topic.n));
	if (rc < 0) {
		free(o);
		return rc;
	}
	rc = cursor_create(stream, CURSOR_REQUIRED, OUTLET_WINDOW, outlet_pump, o, &o->cursor);
	if (rc < 0) {
		(void)outlet_destroy(o);
		return rc;
	}
	task_defer(&o->again);
	*ret = o;
	return 0;
}

void outlet_release(struct outlet *o)
{
	o->held = false;
	task_defer(&o->again);
}

struct outlet *outlet_destroy(struct outlet *o)
{
	if (!o)
		return NULL;
	task_cancel(&o->again);
	list_del(&o->blocked);
	map_del(&o->port->outlets, &o->node);
	(void)cursor_destroy(o->cursor);
	free(o);
	return NULL;
}

struct outlet *outlet_find(struct port *port, struct str topic)
{
	struct map_node *node = map_find(&port->outlets, topic);

	return node ? container_of(node, struct outlet, node) : NULL;
}

void outlet_settle(struct outlet *o, uint64_t seq, bool done)
{
	if (done)
		o->port->counts.settled++;
	else
		o->port->counts.returned++;
	cursor_settle(o->cursor, seq, done);
}

static void announced(struct hub *hub, const struct msg *m)
{
	struct dialog *d = dialog_find(hub, m->dialog);

	if (d)
		dialog_announced(d);
}

/* false: the port takes no more now. */
static bool outlet_send(struct outlet *o, struct msg *m)
{
	struct port *port = o->port;
	int rc;

	if (m->seq < o->skip_below || (m->kind == MSG_ANNOUNCE && away_is_stale(port->hub, m))) {
		cursor_settle(o->cursor, m->seq, true);
		return true;
	}
	rc = port->ops->send(port->self, m);
	if (rc == 0) {
		port->counts.sent++;
		if (m->kind == MSG_ANNOUNCE)
			announced(port->hub, m);
		return true;
	}
	if (rc == -EAGAIN) {
		cursor_settle(o->cursor, m->seq, false);
		list_add_tail(&port->blocked, &o->blocked);
		return false;
	}
	log_warn(port->log, "message not sent", "topic=%s seq=%" PRIu64 " reason=%s then=%s",
		 o->topic, m->seq, strerror(-rc), "it is dropped");
	cursor_settle(o->cursor, m->seq, true);
	if (m->kind == MSG_ANNOUNCE)
		announced(port->hub, m);
	return true;
}

void outlet_pump(void *arg)
{
	struct outlet *o = arg;
	struct msg *m;

	if (o->held || !port_usable(o->port) || !list_empty(&o->blocked))
		return;
	for (int i = 0; i < ROUND; i++) {
		bool more;

		if (cursor_take(o->cursor, &m) <= 0)
			return;
		more = outlet_send(o, m);
		(void)msg_unref(m);
		if (!more)
			return;
	}
	task_defer(&o->again);
}

void port_pump(struct port *port)
{
	map_for_each (it, &port->outlets) {
		struct outlet *o = container_of(it, struct outlet, node);

		list_del(&o->blocked);
		task_defer(&o->again);
	}
}

void port_rewind(struct port *port)
{
	map_for_each (it, &port->outlets) {
		struct outlet *o = container_of(it, struct outlet, node);

		list_del(&o->blocked);
		cursor_rewind(o->cursor);
	}
	/* What goes out again does so in the old order: a call's AppStart before its events. */
	map_for_each (it, &port->hub->dialogs) {
		struct dialog *d = container_of(it, struct dialog, node);

		if (d->application->bus == port)
			dialog_hold(d);
	}
}
