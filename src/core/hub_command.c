/* SPDX-License-Identifier: MIT */
/*
 * Commands in, to the engine, and replies out.
 *
 * A command is appended to its dialog's commands stream; the bus that brought it hears of it when
 * it is durable. The dialog's `lane` is a cursor on that stream with a window of one: the next
 * command goes to the engine when the last one is answered. Every command gets exactly one reply:
 *
 *   the engine's own        it answered in time
 *   503                     the engine is away: the command was not sent
 *   504                     no answer by the deadline, or before a restart: what it did is unknown;
 *                           or the deadline passed while it waited: it was not done (the text tells)
 *   502                     the engine refused to take it
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

static void bus_waits(struct port *bus, int more)
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
	else if (stream_next(d->commands) - cursor_floor(d->lane) > bus->hub->opt.commands_max)
		rc = -EBUSY;
	else
		rc = command_append(d, bus, c);
	if (rc < 0) {
		bus->hub->stats.refused++;
		return rc;
	}
	bus->hub->stats.commands++;
	bus->counts.commands++;
	bus_waits(bus, 1);
	return 0;
}

/* 0 or a negative errno. */
static int reply_append(struct dialog *d, const struct msg *command, int status,
			struct str content_type, struct str body)
{
	struct msg init = {
		.kind = MSG_REPLY,
		.status = status,
		.seq = stream_next(d->responses),
		.answers = command->seq,
		.wall_ns = clock_wall_ns(),
		.topic = dialog_topic(d, d->responses),
		.application = d->application->node.key,
		.dialog = str_from(d->id),
		.id = command->id,
		.content_type = content_type,
		.payload = blob_create(body),
	};
	auto_msg struct msg *m = init.payload ? msg_create(&init) : NULL;
	int rc = m ? stream_append(d->responses, m, NULL, NULL) : -ENOMEM;

	(void)blob_unref(init.payload);
	if (rc < 0)
		return rc;
	hub_observed(d->hub, m);
	d->hub->stats.replies++;
	return 0;
}

void lane_wake(struct dialog *d)
{
	task_defer(&d->lane_again);
}

/* The command is answered: its reply first, then it is settled. */
static void settle_receipts(struct dialog *d, uint64_t seq)
{
	list_for_each_safe (it, &d->receipts) {
		struct receipt *r = container_of(it, struct receipt, link);

		if (r->seq <= seq)
			on_durable(r, 0);
	}
}

static void lane_finish(struct dialog *d, const struct msg *command, int status,
			struct str content_type, struct str body)
{
	timer_stop(&d->deadline);
	if (reply_append(d, command, status, content_type, body) == -EMSGSIZE)
		(void)reply_append(d, command, 502, STR("application/json"),
				   STR("{\"message\":\"the engine's answer is too large\"}"));
	settle_receipts(d, command->seq);
	cursor_settle(d->lane, command->seq, true);
	/* At once, in the same batch of the journal as the reply: a restart finds both or none. */
	stream_trim(d->commands, cursor_floor(d->lane));
	lane_wake(d);
	/* Those of the last run were never counted. */
	if (command->seq >= d->unsure_below)
		bus_waits(d->application->bus, -1);
}

static void lane_answer(struct dialog *d, const struct msg *command, int status, const char *text)
{
	char body[256];
	int n = snprintf(body, sizeof(body), "{\"message\":\"%s\"}", text);

	lane_finish(d, command, status, STR("application/json"), str_make(body, (size_t)n));
}

static bool is_safe(const struct msg *command)
{
	return str_eq(command->type, STR("GET")) || str_eq(command->type, STR("DELETE"));
}

static bool is_old(const struct dialog *d, const struct msg *command)
{
	uint64_t age_ms = d->hub->opt.command_deadline_ms, now = clock_wall_ns();

	if (command->deadline_ms)
		return loop_now(d->hub->opt.loop) >= command->deadline_ms;
	return now > command->wall_ns && (now - command->wall_ns) / 1000000 >= age_ms;
}

/* Takes the message; true: go on with the next one. */
static bool lane_send(struct dialog *d, struct msg *m)
{
	struct port *engine = d->engine;
	int rc;

	if (m->seq < d->unsure_below && (!is_safe(m) || is_old(d, m))) {
		lane_answer(d, m, 504,
			    "voxbus was restarted: whether the command was done is "
			    "not known");
		return true;
	}
	if (is_old(d, m)) {
		lane_answer(d, m, 504,
			    "the deadline passed while the command waited: it was not done");
		return true;
	}
	if (!port_usable(engine)) {
		lane_answer(d, m, 503, "the engine is not connected: the command was not sent");
		return true;
	}
	rc = engine->ops->send(engine->self, m);
	if (rc == -EAGAIN) {
		cursor_settle(d->lane, m->seq, false);
		list_add_tail(&engine->blocked, &d->blocked);
		(void)timer_start(&d->deadline, d->hub->opt.command_deadline_ms);
		return false;
	}
	if (rc < 0) {
		lane_answer(d, m, 502, "the engine can't take the command");
		return true;
	}
	engine->counts.sent++;
	d->pending = msg_ref(m);
	(void)timer_start(&d->deadline, d->hub->opt.command_deadline_ms);
	return false;
}

void lane_pump(void *arg)
{
	struct dialog *d = arg;
	bool more = true;
	struct msg *m;

	while (more && !d->pending && list_empty(&d->blocked) && cursor_take(d->lane, &m) > 0) {
		more = lane_send(d, m);
		(void)msg_unref(m);
	}
}

void lane_deadline(void *arg)
{
	struct dialog *d = arg;
	auto_msg struct msg *m = d->pending;

	if (!m) { /* the engine was full all the while */
		list_del(&d->blocked);
		lane_wake(d);
		return;
	}
	d->pending = NULL;
	d->hub->stats.timeouts++;
	lane_answer(d, m, 504,
		    "no answer by the deadline: whether the command was done is not known");
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
		if (o)
			binding_find(o, d)->made_by = command->seq;
	}
	return 0;
}

int hub_reply(struct port *port, const struct delivery *r)
{
	struct dialog *d = r->answers ? dialog_find(port->hub, r->answers->dialog) : NULL;
	auto_msg struct msg *m = NULL;

	port->counts.replies++;
	if (d && d->engine == port && d->state != DIALOG_CLOSED)
		reply_objects(d, r->answers, r->objects, r->n_objects);
	if (!d || !d->pending || d->pending->seq != r->answers->seq) {
		port->hub->stats.late_replies++;
		return 0;
	}
	m = d->pending;
	d->pending = NULL;
	lane_finish(d, m, r->status, r->content_type, r->payload);
	return 0;
}
