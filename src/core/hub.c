/* SPDX-License-Identifier: MIT */
/*
 * Life of the hub and its ports.
 *
 * Start: dialogs come back from the journal, then buses start, then engines, so that nothing an
 * engine says finds nobody to tell. Stop: engines first, then buses; each ends in state CLOSED.
 */
#include "core/hub.h"

#include <errno.h>
#include <stdlib.h>

#include "core/hub_internal.h"
#include "core/replay.h"
#include "journal/journal.h"

enum {
	DEADLINE_MS = 30000,
	LINGER_MS = 10000,
	COMMANDS_MAX = 1000,
	DIALOGS_MAX = 100000,
	RESULTS_BYTES = 128 << 20
};

static void set_defaults(struct hub_options *o)
{
	if (!o->command_deadline_ms)
		o->command_deadline_ms = DEADLINE_MS;
	if (!o->linger_ms)
		o->linger_ms = LINGER_MS;
	if (!o->commands_max)
		o->commands_max = COMMANDS_MAX;
	if (!o->results_bytes)
		o->results_bytes = RESULTS_BYTES;
	if (!o->dialogs_max)
		o->dialogs_max = DIALOGS_MAX;
}

static void on_stop_timeout(void *arg);

int hub_create(const struct hub_options *options, struct hub **ret)
{
	struct hub *hub = calloc(1, sizeof(*hub));

	if (!hub)
		return -ENOMEM;
	hub->opt = *options;
	set_defaults(&hub->opt);
	list_init(&hub->ports);
	list_init(&hub->unsaved);
	list_init(&hub->closed);
	list_init(&hub->observers);
	list_init(&hub->receipts);
	list_init(&hub->releases);
	task_init(&hub->release, options->loop, hub_on_release, hub);
	task_init(&hub->save, options->loop, hub_save, hub);
	timer_init(&hub->save_again, options->loop, hub_save, hub);
	timer_init(&hub->stop_timer, options->loop, on_stop_timeout, hub);
	timer_init(&hub->keep_note, options->loop, keep_note, hub);
	list_init(&hub->replays);
	*ret = hub;
	return 0;
}

static void port_destroy(struct port *port)
{
	if (port->self)
		port->ops->destroy(port->self);
	map_fini(&port->outlets);
	list_del(&port->link);
	(void)log_destroy(port->log);
	free(port->name);
	free(port->scope);
	free(port);
}

struct hub *hub_destroy(struct hub *hub)
{
	if (!hub)
		return NULL;
	timer_stop(&hub->keep_note);
	keep_note(hub); /* what is not delivered again */
	timer_stop(&hub->keep_note);
	replays_end(hub);
	task_cancel(&hub->save);
	hub_save(hub);
	timer_stop(&hub->save_again);
	timer_stop(&hub->stop_timer);
	task_cancel(&hub->release);
	hub_releases_fini(hub);
	map_for_each (it, &hub->dialogs)
		(void)dialog_destroy(container_of(it, struct dialog, node));
	task_cancel(&hub->save);
	map_for_each (it, &hub->applications) {
		struct application *a = container_of(it, struct application, node);

		map_del(&hub->applications, it);
		application_destroy(a);
	}
	list_for_each_safe (it, &hub->ports)
		port_destroy(container_of(it, struct port, link));
	list_for_each_safe (it, &hub->receipts)
		free(container_of(it, struct receipt, link));
	list_for_each_safe (it, &hub->observers)
		(void)observer_destroy(container_of(it, struct observer, link));
	map_fini(&hub->dialogs);
	map_fini(&hub->applications);
	map_fini(&hub->objects);
	free(hub);
	return NULL;
}

struct streams *hub_streams(struct hub *hub)
{
	return hub->opt.streams;
}

struct port *hub_port(struct hub *hub, struct str name, unsigned role)
{
	list_for_each (it, &hub->ports) {
		struct port *port = container_of(it, struct port, link);

		if (port->ops->roles & role && str_eq(str_from(port->name), name))
			return port;
	}
	return NULL;
}

static struct port *port_create(struct hub *hub, const struct port_ops *ops, const char *name)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	list_init(&port->blocked);
	port->hub = hub;
	port->ops = ops;
	port->name = strdup(name);
	port->scope = strdup(name);
	port->log = log_create(hub->opt.log, "port=%s", name);
	port->index = hub->n_ports++;
	port->since_ms = loop_now(hub->opt.loop);
	(void)snprintf(port->reason, sizeof(port->reason), "not started");
	list_add_tail(&hub->ports, &port->link);
	return port;
}

int hub_add_port(struct hub *hub, const struct port_ops *ops, const char *name, const void *conf,
		 struct port **ret, struct err *e)
{
	unsigned role = ops->roles & (PORT_ENGINE | PORT_BUS);
	struct port *port;
	int rc;

	if (hub_port(hub, str_from(name), role))
		return err_set(e, -EEXIST, "\"%s\": there is a port of that name already", name);
	port = port_create(hub, ops, name);
	if (!port || !port->name || !port->scope)
		return err_set(e, -ENOMEM, "out of memory");
	port->env = (struct port_env){ .loop = hub->opt.loop,
				       .hub = hub,
				       .log = port->log,
				       .name = port->name,
				       .node = hub->opt.node,
				       .http = hub->opt.http,
				       .accounts = hub->opt.accounts };
	rc = ops->create(port, &port->env, conf, &port->self, e);
	if (rc < 0) {
		port->self = NULL;
		port_destroy(port);
		return err_prefix(e, rc, "%s \"%s\"", ops->name, name);
	}
	*ret = port;
	return 0;
}

int port_set_scope(struct port *port, struct str scope)
{
	char *copy = str_dup(scope);

	if (!copy)
		return -ENOMEM;
	free(port->scope);
	port->scope = copy;
	return 0;
}

struct str port_stream_name(const struct port *port, char name[NAME_MAX_BYTES], struct str prefix,
			    struct str rest)
{
	int n = snprintf(name, NAME_MAX_BYTES, "%s/%.*s%.*s", port->scope, STR_ARG(prefix),
			 STR_ARG(rest));

	return str_make(name, n < NAME_MAX_BYTES ? (size_t)n : NAME_MAX_BYTES - 1);
}

static int start_role(struct hub *hub, unsigned role, struct err *e)
{
	list_for_each (it, &hub->ports) {
		struct port *port = container_of(it, struct port, link);
		int rc = 0;

		if (!(port->ops->roles & role))
			continue;
		port->started = true;
		if (port->ops->start)
			rc = port->ops->start(port->self, e);
		if (rc < 0)
			return err_prefix(e, rc, "%s \"%s\"", port->ops->name, port->name);
	}
	return 0;
}

int hub_start(struct hub *hub, struct err *e)
{
	int rc = hub_recover(hub);

	if (rc < 0)
		return err_set(e, rc, "the dialogs in the journal can't be read: %s",
			       strerror(-rc));
	away_recover(hub);
	rc = start_role(hub, PORT_BUS, e);
	return rc < 0 ? rc : start_role(hub, PORT_ENGINE, e);
}

static bool all_closed(const struct hub *hub, unsigned role)
{
	list_for_each (it, &hub->ports) {
		const struct port *port = container_of(it, struct port, link);

		if (port->ops->roles & role && port->started && port->state != PORT_CLOSED)
			return false;
	}
	return true;
}

static void stop_role(struct hub *hub, unsigned role)
{
	list_for_each (it, &hub->ports) {
		struct port *port = container_of(it, struct port, link);

		if (port->ops->roles & role && port->started && port->state != PORT_CLOSED)
			port->ops->stop(port->self);
	}
}

static void stopped(struct hub *hub)
{
	void (*done)(void *arg) = hub->stop_done;

	hub->stop_done = NULL;
	timer_stop(&hub->stop_timer);
	if (done)
		done(hub->stop_arg);
}

static void on_stop_timeout(void *arg)
{
	stopped(arg);
}

void hub_port_closed(struct hub *hub)
{
	if (!hub->stopping || !all_closed(hub, PORT_ENGINE))
		return;
	if (!hub->buses_stopping) {
		hub->buses_stopping = true;
		stop_role(hub, PORT_BUS);
	}
	if (all_closed(hub, PORT_BUS))
		(void)timer_start(&hub->stop_timer, 0);
}

void hub_stop(struct hub *hub, uint64_t timeout_ms, void (*done)(void *arg), void *arg)
{
	hub->stopping = true;
	hub->stop_done = done;
	hub->stop_arg = arg;
	(void)timer_start(&hub->stop_timer, timeout_ms);
	stop_role(hub, PORT_ENGINE);
	hub_port_closed(hub); /* there may be no engine */
}

int hub_observe(struct hub *hub, void (*fn)(void *arg, const struct msg *msg), void *arg,
		struct observer **ret)
{
	struct observer *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->fn = fn;
	o->arg = arg;
	list_add_tail(&hub->observers, &o->link);
	*ret = o;
	return 0;
}

struct observer *observer_destroy(struct observer *o)
{
	if (o)
		list_del(&o->link);
	free(o);
	return NULL;
}

void hub_observed(struct hub *hub, const struct msg *msg)
{
	list_for_each_safe (it, &hub->observers) {
		struct observer *o = container_of(it, struct observer, link);

		o->fn(o->arg, msg);
	}
}
