/* SPDX-License-Identifier: MIT */
/*
 * The bus as the core sees it: the ops, and the port's state.
 *
 * UP is a link whose channels are open. It is STALE when the broker has been silent for an interval
 * of heartbeats, and when it blocks publishers; nothing is taken back then, and what must wait waits
 * in the streams. In all other states the core has everything back.
 */
#include "buses/amqp/amqp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "buses/amqp/amqp_consume.h"
#include "buses/amqp/amqp_link.h"
#include "buses/amqp/amqp_publish.h"
#include "buses/amqp/amqp_queue.h"
#include "net/tls.h"

/* ---- the state */

static enum port_state state_of(const struct amqp_bus *bus, char reason[AMQP_REASON_MAX])
{
	reason[0] = '\0';
	if (bus->phase != AMQP_READY) {
		(void)snprintf(reason, AMQP_REASON_MAX, "%s", bus->reason);
		return bus->fault;
	}
	if (bus->stale)
		(void)snprintf(reason, AMQP_REASON_MAX,
			       "the broker at %s has been silent for %" PRIu64
			       " s; after as long again it is dialled anew",
			       amqp_link_host(bus), bus->heartbeat_ms / 1000);
	else if (bus->blocked)
		(void)snprintf(reason, AMQP_REASON_MAX,
			       "the broker at %s blocks publishers (%s): events wait here until it "
			       "has room",
			       amqp_link_host(bus), bus->blocked_reason);
	return bus->stale || bus->blocked ? PORT_STALE : PORT_UP;
}

void amqp_bus_update(struct amqp_bus *bus)
{
	char reason[AMQP_REASON_MAX];
	enum port_state state = state_of(bus, reason);

	if (!bus->started || bus->closing)
		return;
	if (state == bus->told && strcmp(reason, bus->told_reason) == 0)
		return;
	bus->told = state;
	memcpy(bus->told_reason, reason, sizeof(reason));
	port_set_state(bus->port, state, reason);
}

void amqp_bus_ready(struct amqp_bus *bus)
{
	bus->phase = AMQP_READY;
	bus->reason[0] = '\0';
	bus->fault = PORT_DOWN;
	bus->tried = 0;
	bus->ready_ms = loop_now(bus->loop);
	timer_stop(&bus->timer);
	log_info(bus->log, "connected", "broker=%s vhost=%s heartbeat_s=%" PRIu64 " tls=%s",
		 amqp_link_host(bus), amqp_link_uri(bus)->vhost, bus->heartbeat_ms / 1000,
		 amqp_link_uri(bus)->tls ? "yes" : "no");
	amqp_bus_update(bus);
	amqp_sweep_others(bus);
	amqp_publish_room(bus);
}

void amqp_bus_closed(struct amqp_bus *bus)
{
	timer_stop(&bus->again);
	timer_stop(&bus->offer);
	task_cancel(&bus->listened);
	task_cancel(&bus->closed);
	amqp_sweep_stop(bus);
	amqp_register_stop(bus);
	port_set_state(bus->port, PORT_CLOSED, "");
}

static void on_closed(void *arg)
{
	amqp_link_lost(arg, PORT_CLOSED, "stopped");
}

/* ---- life */

static int parse_urls(struct amqp_bus *bus, struct err *e)
{
	const struct amqp_conf *conf = bus->conf;

	bus->uris = calloc(conf->failover.count + 1, sizeof(*bus->uris));
	if (!bus->uris)
		return err_set(e, -ENOMEM, "no memory");
	for (size_t i = 0; i <= conf->failover.count; i++) {
		const char *url = i ? conf->failover.items[i - 1] : conf->url;
		int rc = amqp_uri_parse(str_from(url), &bus->uris[i], e);

		if (rc < 0)
			return rc;
		bus->n_uris++;
	}
	return 0;
}

static int create_tls(struct amqp_bus *bus, struct err *e)
{
	int rc;

	if (!amqp_conf_is_tls(bus->conf))
		return 0;
	rc = amqp_conf_tls(bus->loop, bus->log, bus->conf, &bus->tls, e);
	if (rc < 0)
		return err_prefix(e, rc, "bus \"%s\": tls", bus->conf->name);
	if (!bus->conf->tls.verify)
		log_warn(bus->log, "certificate not verified", "broker=%s then=%s",
			 amqp_link_host(bus),
			 "anybody in between can read and change everything: set tls.verify");
	return 0;
}

static void bus_destroy(void *self)
{
	struct amqp_bus *bus = self;

	if (!bus)
		return;
	amqp_link_fini(bus);
	amqp_publish_fini(bus);
	amqp_commands_fini(bus);
	amqp_consume_fini(bus);
	amqp_queues_fini(bus);
	amqp_channels_fini(bus);
	amqp_register_stop(bus);
	task_cancel(&bus->closed);
	(void)tls_context_destroy(bus->tls);
	for (size_t i = 0; i < bus->n_uris; i++)
		amqp_uri_fini(&bus->uris[i]);
	free(bus->uris);
	free(bus);
}

static int bus_create(struct port *port, const struct port_env *env, const void *conf, void **ret,
		      struct err *e)
{
	struct amqp_bus *bus = calloc(1, sizeof(*bus));
	int rc;

	if (!bus)
		return err_set(e, -ENOMEM, "no memory");
	bus->port = port;
	bus->env = *env;
	bus->loop = env->loop;
	bus->log = env->log;
	bus->conf = conf;
	bus->told = PORT_DOWN;
	port_redelivers(port);
	amqp_channels_init(bus);
	amqp_sweep_init(bus);
	amqp_queues_init(bus);
	amqp_consume_init(bus);
	amqp_commands_init(bus);
	amqp_publish_init(bus);
	amqp_link_init(bus);
	task_init(&bus->closed, env->loop, on_closed, bus);
	rc = parse_urls(bus, e);
	if (rc == 0)
		rc = create_tls(bus, e);
	if (rc < 0) {
		bus_destroy(bus);
		return rc;
	}
	*ret = bus;
	return 0;
}

static int bus_start(void *self, struct err *e)
{
	struct amqp_bus *bus = self;

	if (amqp_register_start(bus) < 0)
		return err_set(e, -ENOMEM, "no memory");
	bus->started = true;
	amqp_link_start(bus);
	return 0;
}

static int bus_send(void *self, struct msg *msg)
{
	return amqp_publish_send(self, msg);
}

static int bus_listen(void *self, struct str topic, bool on)
{
	return amqp_listen(self, topic, on);
}

static void bus_settle(void *self, uint64_t tag, int result)
{
	(void)self;
	amqp_command_settle(tag, result);
}

static void bus_pause(void *self, bool on)
{
	amqp_commands_pause(self, on);
}

static void bus_stop(void *self)
{
	amqp_link_stop(self);
}

static size_t bus_stats(void *self, struct port_stat *ret, size_t n)
{
	const struct amqp_bus *bus = self;
	const struct port_stat all[] = {
		{ "reconnects", "Times the link was lost and made anew.", false,
		  bus->stats.reconnects },
		{ "channel_errors", "Channels that the broker closed.", false,
		  bus->stats.channel_errors },
		{ "published", "Messages published, repetitions included.", false,
		  bus->stats.published },
		{ "returned", "Of them, those whose queue had gone: declared and published again.",
		  false, bus->stats.returned },
		{ "nacked", "Of them, those that the broker refused: sent again.", false,
		  bus->stats.nacked },
		{ "unconfirmed", "Messages taken that the broker has not confirmed.", true,
		  bus->n_publishes },
		{ "blocked", "Whether the broker blocks publishers (1) or not (0).", true,
		  bus->blocked },
		{ "redelivered", "Commands that the broker brought again.", false,
		  bus->stats.redelivered },
		{ "dummies", "DUMMY messages of clients, swallowed.", false, bus->stats.dummies },
		{ "malformed", "Commands that are none, answered 400.", false,
		  bus->stats.malformed },
		{ "refused", "Commands that were not taken and answered so.", false,
		  bus->stats.refused },
		{ "parked", "Commands that wait to be taken.", true, bus->n_parked },
		{ "queues_deleted", "Queues of calls that were over, deleted.", false,
		  bus->stats.queues_deleted },
		{ "queues_aged", "Of them, those with unread messages.", false,
		  bus->stats.queues_aged },
		{ "calls_over", "Calls that are over and whose queues are not gone for good.", true,
		  bus->n_over },
	};
	size_t count = sizeof(all) / sizeof(*all) < n ? sizeof(all) / sizeof(*all) : n;

	memcpy(ret, all, count * sizeof(*all));
	return count;
}

const struct port_ops amqp_bus_ops = {
	.name = "amqp",
	.roles = PORT_BUS,
	.create = bus_create,
	.start = bus_start,
	.send = bus_send,
	.settle = bus_settle,
	.listen = bus_listen,
	.pause = bus_pause,
	.stop = bus_stop,
	.destroy = bus_destroy,
	.stats = bus_stats,
};
