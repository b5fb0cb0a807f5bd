/* SPDX-License-Identifier: MIT */
/* The upcalls, and what a change of a port's state means for those who send by it. */
#include "core/port.h"

#include <errno.h>
#include <stdio.h>

#include "core/hub_internal.h"

const char *port_state_name(enum port_state state)
{
	static const char *const names[] = {
		"down", "connecting", "up", "stale", "failed", "closed"
	};

	return names[state];
}

int port_deliver(struct port *port, const struct delivery *delivery)
{
	switch (delivery->kind) {
	case MSG_EVENT:
		return hub_event(port, delivery);
	case MSG_COMMAND:
		return hub_command(port, delivery);
	case MSG_REPLY:
		return hub_reply(port, delivery);
	default:
		return -EINVAL;
	}
}

void port_settle(struct port *port, const struct msg *msg, int result)
{
	struct outlet *o = outlet_find(port, msg->topic);

	if (o)
		outlet_settle(o, msg->seq, result == 0);
}

/* A bus that is back: asks again for what it should hear, and goes on sending. */
static void bus_up(struct port *port)
{
	map_for_each (it, &port->hub->applications) {
		struct application *a = container_of(it, struct application, node);

		if (a->bus == port)
			away_over(a);
	}
	port_pump(port);
	if (!port->ops->listen)
		return;
	map_for_each (it, &port->hub->dialogs) {
		struct dialog *d = container_of(it, struct dialog, node);

		if (d->application->bus == port && d->state != DIALOG_CLOSED)
			dialog_listen(d);
	}
}

static void port_log_state(struct port *port)
{
	const char *state = port_state_name(port->state);

	if (port->state == PORT_UP)
		log_info(port->log, "port up", "state=%s", state);
	else if (port->state == PORT_CONNECTING || port->state == PORT_CLOSED)
		log_info(port->log, "port state", "state=%s reason=%s", state, port->reason);
	else if (port->state == PORT_FAILED)
		log_error(port->log, "port failed", "state=%s reason=%s", state, port->reason);
	else
		log_warn(port->log, "port lost", "state=%s reason=%s", state, port->reason);
}

void port_set_state(struct port *port, enum port_state state, const char *reason)
{
	bool was_usable = port_usable(port);

	if (state == port->state && strcmp(reason, port->reason) == 0)
		return;
	if (state != port->state)
		port->since_ms = loop_now(port->hub->opt.loop);
	port->state = state;
	(void)snprintf(port->reason, sizeof(port->reason), "%s", reason);
	port_log_state(port);
	if (port->ops->roles & PORT_BUS) {
		if (port_usable(port) && !was_usable)
			bus_up(port);
		else if (!port_usable(port) && was_usable)
			port_rewind(port);
	} else if (port_usable(port) != was_usable) {
		port_writable(port);
	}
	if (state == PORT_CLOSED)
		hub_port_closed(port->hub);
}

void port_listening(struct port *port, struct str topic, int result)
{
	struct str prefix = STR("commands_");
	struct dialog *d = NULL;

	if (str_starts(topic, prefix))
		d = dialog_find(port->hub, str_skip(topic, prefix.n));
	if (!d || d->application->bus != port || d->state == DIALOG_CLOSED)
		return;
	if (result == 0)
		dialog_announce(d);
	else
		log_warn(port->log, "topic not heard", "topic=%.*s reason=%s then=%s",
			 STR_ARG(topic), strerror(-result), "asked again when the link comes up");
}

void port_redelivers(struct port *port)
{
	port->redelivers = true;
}

void port_writable(struct port *port)
{
	struct list now;

	list_init(&now);
	list_splice_tail(&now, &port->blocked);
	while (!list_empty(&now)) {
		struct list *first = now.next;

		list_del(first);
		if (port->ops->roles & PORT_ENGINE)
			lane_wake(container_of(first, struct dialog, lane.blocked));
		else
			task_defer(&container_of(first, struct outlet, blocked)->again);
	}
}
