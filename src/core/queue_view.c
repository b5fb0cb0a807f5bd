/* SPDX-License-Identifier: MIT */
/* Asks the buses for their queues. */
#include "core/queue_view.h"

#include <errno.h>

#include "core/hub_internal.h"

struct walk {
	const char *bus;
	queue_view_fn fn;
	void *arg;
};

static void add_bus(void *arg, const struct queue_view *view)
{
	struct walk *walk = arg;
	struct queue_view full = *view;

	full.bus = walk->bus;
	walk->fn(walk->arg, &full);
}

static bool has_queues(const struct port *port)
{
	return port->ops->queues && port->self && port->started;
}

void hub_each_queue(struct hub *hub, queue_view_fn fn, void *arg)
{
	list_for_each (it, &hub->ports) {
		struct port *port = container_of(it, struct port, link);
		struct walk walk = { port->name, fn, arg };

		if (has_queues(port))
			port->ops->queues->each(port->self, add_bus, &walk);
	}
}

static void ignore(void *arg, const struct queue_view *view)
{
}

/* The only port with a queue of that name: 0 and *ret, -ENOENT or -EEXIST. */
static int find_port(struct hub *hub, struct str name, struct port **ret)
{
	struct port *found = NULL;

	list_for_each (it, &hub->ports) {
		struct port *port = container_of(it, struct port, link);

		if (!has_queues(port) || !port->ops->queues->find(port->self, name, ignore, NULL))
			continue;
		if (found)
			return -EEXIST;
		found = port;
	}
	*ret = found;
	return found ? 0 : -ENOENT;
}

int hub_find_queue(struct hub *hub, struct str name, queue_view_fn fn, void *arg)
{
	struct port *port = NULL;
	int rc = find_port(hub, name, &port);

	if (rc == 0) {
		struct walk walk = { port->name, fn, arg };

		(void)port->ops->queues->find(port->self, name, add_bus, &walk);
	}
	return rc;
}

int hub_purge_queue(struct hub *hub, struct str name, struct stream_sync *sync, uint64_t *ret_n)
{
	struct port *port = NULL;
	int rc = find_port(hub, name, &port);

	return rc < 0 ? rc : port->ops->queues->purge(port->self, name, sync, ret_n);
}
