/* SPDX-License-Identifier: MIT */
/*
 * Commands in, replies out.
 *
 * A command is appended to its dialog's commands stream; the bus that brought it hears of it when
 * it is durable. From there the dialog's lane (lane.c) gives it to the engine and answers it.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/hub_internal.h"

static void on_durable(void *arg, int rc)
{
	struct receipt *r = arg;
	struct port *port = r->port;

	list_del(&r->link);
	if (port->ops->settle)
		port->ops->settle(port->self, r->tag, rc);
	free(r);
}

static int receipt_create(struct port *port, uint64_t tag, struct receipt **ret)
{
	struct receipt *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->port = port;
	r->tag = tag;
	list_add_tail(&port->hub->receipts, &r->link);
	*ret = r;
	return 0;
}

static struct dialog *dialog_of_topic(struct port *bus, struct str topic)
{
	struct str prefix = STR("commands_");
	struct dialog *d;

	if (!str_starts(topic, prefix))
		return NULL;
	d = dialog_find(bus->hub, str_skip(topic, prefix.n));
	return d && d->application->bus == bus && d->state != DIALOG_CLOSED ? d : NULL;
}

void bus_waits(struct port *bus, int more)
{
	size_t high = bus->hub->opt.commands_max * 10, low = high / 2;
	bool pause = bus->paused;

	assert(more > 0 || bus->commands_waiting > 0);
	bus->commands_waiting += (size_t)more;
	if (bus->commands_waiting >= high)
		pause = true;
	else if (bus->commands_waiting <= low)
		pause = false;
	if (pause == bus->paused || !bus->ops->pause)
		return;
	bus->paused = pause;
	bus->ops->pause(bus->self, pause);
}

static int command_append(struct dialog *d, struct port *bus, const struct delivery *c)
{
	struct msg init = {
		.kind = MSG_COMMAND,
		.flags = c->flags & MSG_REDELIVERED,
		.seq = stream_next(d->commands),
		.wall_ns = clock_wall_ns(),
		.deadline_ms = loop_now(d->hub->opt.loop) + d->hub->opt.command_deadline_ms,
		.topic = c->topic,
		.application = d->application->node.key,
		.dialog = str_from(d->id),
		.type = c->type,
		.target = c->target,
		.id = c->id,
		.content_type = c->content_type,
	};
	struct receipt *receipt = NULL;
	struct msg *m;
	int rc = 0;

	init.payload = blob_create(c->payload);
	m = init.payload ? msg_create(&init) : NULL;
	(void)blob_unref(init.payload);
	if (!m)
		return -ENOMEM;
	if (c->tag)
		rc = receipt_create(bus, c->tag, &receipt);
	/* A call that can't be hung up is worse than a command without a record. */
	if (rc == 0)
		rc = stream_append_anyway(d->commands, m, receipt ? on_durable : NULL, receipt);
	if (rc >= 0)
		hub_observed(d->hub, m);
	if (rc != 0 && receipt)
		list_del(&receipt->link);
	if (rc > 0 && receipt) {
		receipt->seq = m->seq;
		list_add_tail(&d->receipts, &receipt->link);
	} else if (rc < 0) {
		free(receipt);
	}
	(void)msg_unref(m);
	return rc < 0 ? rc : 0;
}

int hub_command(struct port *bus, const struct delivery *c)
{
	struct dialog *d = dialog_of_topic(bus, c->topic);
	int rc;

	if (!d)
		rc = -ENOENT;
	else if (lane_waiting(d) >= bus->hub->opt.commands_max)
		rc = -EBUSY;
	else
		rc = command_append(d, bus, c);
	if (rc < 0) {
		bus->hub->stats.refused++;
		return rc;
	}
	accept_done(d);
	bus->hub->stats.commands++;
	bus->counts.commands++;
	bus_waits(bus, 1);
	return 0;
}

int reply_append(struct dialog *d, const struct reply_init *r, struct msg **ret)
{
	struct msg init = {
		.kind = MSG_REPLY,
		.status = r->status,
		.seq = stream_next(d->responses),
		.answers = r->command->seq,
		.wall_ns = clock_wall_ns(),
		.topic = dialog_topic(d, d->responses),
		.application = d->application->node.key,
		.dialog = str_from(d->id),
		.target = str_from(r->key),
		.id = r->command->id,
		.content_type = r->content_type,
		.payload = blob_create(r->body),
	};
	struct msg *m = init.payload ? msg_create(&init) : NULL;
	int rc = m ? stream_append(d->responses, m, NULL, NULL) : -ENOMEM;

	(void)blob_unref(init.payload);
	if (rc < 0) {
		(void)msg_unref(m);
		return rc;
	}
	hub_observed(d->hub, m);
	d->hub->stats.replies++;
	*ret = m;
	return 0;
}

void receipts_settle(struct dialog *d, uint64_t seq)
{
	list_for_each_safe (it, &d->receipts) {
		struct receipt *r = container_of(it, struct receipt, link);

		if (r->seq == seq)
			on_durable(r, 0);
	}
}

/* Where what the command makes lies: commands on it alone follow those on that. */
static void set_made_on(const struct dialog *d, const struct msg *command, struct object *o)
{
	if (o && (o->kind == OBJECT_PLAYBACK || o->kind == OBJECT_RECORDING))
		o->made_on = lane_owner(d, command->seq);
}

/* What the command made belongs to its dialog; what it said it would make and did not, no more. */
static void reply_objects(struct dialog *d, const struct msg *command,
			  const struct object_ref *objects, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct object_ref *ref = &objects[i];
		struct object *o;
		struct binding *b;

		if (ref->verbs & OBJECT_BINDS)
			(void)object_bind(d, ref->kind, ref->id);
		o = object_find(d->engine, ref->kind, ref->id);
		if (ref->verbs & OBJECT_BINDS)
			set_made_on(d, command, o);
		b = o ? binding_find(o, d) : NULL;
		if (!b || b->made_by != command->seq)
			continue;
		b->made_by = 0;
		if (ref->verbs & OBJECT_ENDS)
			object_unbind(b);
	}
}

int port_bind(struct port *port, const struct msg *command, const struct object_ref *objects,
	      size_t n)
{
	struct dialog *d = dialog_find(port->hub, command->dialog);

	for (size_t i = 0; d && i < n; i++) {
		struct object *o = object_find(port, objects[i].kind, objects[i].id);
		int rc;

		if (o && binding_find(o, d))
			continue;
		rc = object_bind(d, objects[i].kind, objects[i].id);
		if (rc < 0)
			return rc;
		o = object_find(port, objects[i].kind, objects[i].id);
		if (!o)
			continue;
		set_made_on(d, command, o);
		binding_find(o, d)->made_by = command->seq;
	}
	return 0;
}

int hub_reply(struct port *port, const struct delivery *r)
{
	struct dialog *d = r->answers ? dialog_find(port->hub, r->answers->dialog) : NULL;

	port->counts.replies++;
	if (d && d->engine == port && d->state != DIALOG_CLOSED)
		reply_objects(d, r->answers, r->objects, r->n_objects);
	if (!d || lane_answer(d, r) < 0)
		port->hub->stats.late_replies++;
	return 0;
}
