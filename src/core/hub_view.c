/* SPDX-License-Identifier: MIT */
/* What status, calls and metrics see of the hub. */
#include "base/clock.h"
#include "core/hub_internal.h"

enum { PORT_STATS_MAX = 32 };

void hub_each_port(struct hub *hub, void (*fn)(void *arg, const struct port_view *view), void *arg)
{
	list_for_each (it, &hub->ports) {
		struct port *port = container_of(it, struct port, link);
		struct port_stat stats[PORT_STATS_MAX];
		struct port_view view = port->counts;

		view.name = port->name;
		view.type = port->ops->name;
		view.roles = port->ops->roles;
		view.state = port->state;
		view.reason = port->reason;
		view.since_ms = port->since_ms;
		view.stats = stats;
		view.n_stats =
			port->ops->stats ? port->ops->stats(port->self, stats, PORT_STATS_MAX) : 0;
		fn(arg, &view);
	}
}

/* Some may be kept although they were read. */
static uint64_t unread_of(const struct dialog *d)
{
	uint64_t from = stream_first(d->events);

	if (d->out_events && cursor_floor(d->out_events->cursor) > from)
		from = cursor_floor(d->out_events->cursor);
	return stream_next(d->events) - from;
}

void hub_each_dialog(struct hub *hub, void (*fn)(void *arg, const struct dialog_view *view),
		     void *arg)
{
	static const char *const states[] = { "opening", "open", "ending" };

	map_for_each (it, &hub->dialogs) {
		struct dialog *d = container_of(it, struct dialog, node);
		struct dialog_view view;

		if (d->state == DIALOG_CLOSED)
			continue;
		view = (struct dialog_view){
			.id = str_from(d->id),
			.application = d->application->node.key,
			.engine = str_from(d->engine->name),
			.channel = str_from(d->channel),
			.label = str_from(d->label),
			.state = states[d->state],
			.opened_wall_ns = d->opened_wall_ns,
			.events = stream_next(d->events) - 1,
			.commands = stream_next(d->commands) - 1,
			.unread = unread_of(d),
			.objects = d->objects,
			.channels = d->channels,
		};
		fn(arg, &view);
	}
}

bool hub_has_dialog(const struct hub *hub, struct str id)
{
	const struct map_node *node = map_find(&hub->dialogs, id);

	return node && container_of(node, struct dialog, node)->state != DIALOG_CLOSED;
}

void hub_each_application(struct hub *hub,
			  void (*fn)(void *arg, const struct application_view *view), void *arg)
{
	map_for_each (it, &hub->applications) {
		struct application *a = container_of(it, struct application, node);
		struct application_view view = {
			.name = a->node.key,
			.bus = a->bus->name,
			.record = a->record,
			.announced = a->announced,
			.unread = stream_next(a->announces) - stream_first(a->announces),
		};
		uint64_t oldest = stream_oldest_ns(a->announces), now = clock_wall_ns();

		view.oldest_unread_ms = oldest && now > oldest ? (now - oldest) / 1000000 : 0;
		fn(arg, &view);
	}
}

void hub_stats(const struct hub *hub, struct hub_stats *ret)
{
	*ret = hub->stats;
}
