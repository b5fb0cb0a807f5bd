/* SPDX-License-Identifier: MIT */
/*
 * Channel 0: logging in, and what the broker says of the connection as a whole.
 *
 *   start --> start-ok (PLAIN or EXTERNAL) --> tune --> tune-ok, open --> open-ok --> channels
 *
 * RabbitMQ answers a wrong password by connection.close 403, since we say that we understand it
 * (authentication_failure_close); others hang up, which amqp_link.c reads so. What only a person can
 * mend is PORT_FAILED. connection.blocked stops publishing: RabbitMQ says it to who has
 * published, and reads no more of that connection; commands still come.
 */
#include <stdio.h>

#include "buses/amqp/amqp_link.h"
#include "buses/amqp/amqp_publish.h"
#include "codec/amqp_login.h"

enum { PROPERTIES_MAX = 2048, RESPONSE_MAX = 1024, NAME_SIZE = 300, OUR_CHANNELS = 16 };

/* ---- logging in */

static struct str mechanism_of(const struct amqp_bus *bus, struct str offered)
{
	bool certificate = amqp_link_uri(bus)->tls && bus->conf->tls.certificate;

	if (amqp_link_uri(bus)->external)
		return amqp_offers(offered, STR("EXTERNAL")) ? STR("EXTERNAL") : STR("");
	if (amqp_offers(offered, STR("PLAIN")))
		return STR("PLAIN");
	return certificate && amqp_offers(offered, STR("EXTERNAL")) ? STR("EXTERNAL") : STR("");
}

static int write_start_ok(struct amqp_bus *bus, struct str mechanism)
{
	const struct amqp_uri *uri = amqp_link_uri(bus);
	auto_buf struct buf properties = { 0 };
	auto_buf struct buf response = { 0 };
	char name[NAME_SIZE];
	int rc = 0;

	buf_init(&properties, PROPERTIES_MAX);
	buf_init(&response, RESPONSE_MAX);
	(void)snprintf(name, sizeof(name), "voxbus/%s/%s", bus->env.node, bus->env.name);
	if (str_eq(mechanism, STR("PLAIN")))
		rc = amqp_plain_response(&response, str_from(uri->user), &uri->password);
	if (rc == 0)
		rc = amqp_client_properties(&properties, STR("voxbus"), STR(VOXBUS_VERSION),
					    str_from(name));
	if (rc == 0)
		amqp_say(bus, 0,
			 &(struct amqp_method){ AMQP_CONNECTION_START_OK,
						.start_ok = { buf_str(&properties), mechanism,
							      buf_str(&response), STR("en_US") } });
	amqp_link_flush(bus);
	if (response.base)
		explicit_bzero(response.base, response.cap);
	return rc;
}

static void take_start(struct amqp_bus *bus, const struct amqp_start *start)
{
	struct str mechanism = mechanism_of(bus, start->mechanisms);

	if (!mechanism.n) {
		amqp_link_lost(bus, PORT_FAILED,
			       "the broker at %s offers the mechanisms \"%.*s\", must have %s: "
			       "enable it there (EXTERNAL is a plug-in); retrying every 30 s",
			       amqp_link_host(bus), STR_ARG(start->mechanisms),
			       amqp_link_uri(bus)->external ? "EXTERNAL" : "PLAIN");
		return;
	}
	bus->phase = AMQP_TUNING;
	if (write_start_ok(bus, mechanism) < 0)
		amqp_link_lost(bus, PORT_DOWN, "no memory to log in; connecting again");
}

static uint16_t heartbeat_wanted(const struct amqp_bus *bus)
{
	int said = amqp_link_uri(bus)->heartbeat_s;

	return (uint16_t)(said > 0 ? said : (int)(bus->conf->heartbeat_ms / 1000));
}

static void take_tune(struct amqp_bus *bus, const struct amqp_tune *theirs)
{
	struct amqp_tune ours = { OUR_CHANNELS, AMQP_FRAME_MAX, heartbeat_wanted(bus) }, agreed;
	struct amqp_fault fault = { 0 };

	if (amqp_tune_agree(&ours, theirs, &agreed, &fault) < 0) {
		amqp_link_fault(bus, &fault);
		return;
	}
	if (agreed.channel_max < AMQP_BUS_CHANNELS) {
		amqp_link_lost(bus, PORT_FAILED,
			       "the broker at %s allows %u channels, must allow at least %d: raise "
			       "channel_max there; retrying every 30 s",
			       amqp_link_host(bus), agreed.channel_max, AMQP_BUS_CHANNELS);
		return;
	}
	amqp_say(bus, 0, &(struct amqp_method){ AMQP_CONNECTION_TUNE_OK, .tune = agreed });
	bus->frame_max = agreed.frame_max;
	amqp_frame_reader_set_max(&bus->frames, bus->frame_max);
	amqp_say(bus, 0,
		 &(struct amqp_method){ AMQP_CONNECTION_OPEN,
					.open = { str_from(amqp_link_uri(bus)->vhost) } });
	bus->phase = AMQP_OPENING_HOST;
	amqp_heartbeat_start(bus, (uint64_t)agreed.heartbeat * 1000);
}

/* ---- the broker closes */

static void take_close(struct amqp_bus *bus, const struct amqp_close *close)
{
	const struct amqp_uri *uri = amqp_link_uri(bus);
	const char *host = amqp_link_host(bus);

	amqp_say(bus, 0, &(struct amqp_method){ AMQP_CONNECTION_CLOSE_OK });
	amqp_link_flush(bus);
	if (bus->phase == AMQP_TUNING && close->code == AMQP_ACCESS_REFUSED)
		amqp_link_lost(bus, PORT_FAILED,
			       "the broker at %s refuses user \"%s\" (%.*s): make user and "
			       "password in url right; retrying every 30 s",
			       host, uri->external ? "of the certificate" : uri->user,
			       STR_ARG(close->text));
	else if (bus->phase == AMQP_OPENING_HOST)
		amqp_link_lost(bus, PORT_FAILED,
			       "the broker at %s does not open the virtual host \"%s\" to user "
			       "\"%s\" (%.*s): add it, or give the user permissions there; "
			       "retrying every 30 s",
			       host, uri->vhost, uri->user, STR_ARG(close->text));
	else
		amqp_link_lost(bus, PORT_DOWN,
			       "the broker at %s has closed the connection (%u %.*s); connecting "
			       "again",
			       host, close->code, STR_ARG(close->text));
}

/* ---- blocked */

static void take_blocked(struct amqp_bus *bus, struct str reason)
{
	bus->blocked = true;
	(void)snprintf(bus->blocked_reason, sizeof(bus->blocked_reason), "%.*s", STR_ARG(reason));
	amqp_bus_update(bus);
}

static void take_unblocked(struct amqp_bus *bus)
{
	bus->blocked = false;
	amqp_bus_update(bus);
	amqp_publish_room(bus);
}

static void out_of_turn(struct amqp_bus *bus, uint32_t id)
{
	struct amqp_fault fault = { .class_id = AMQP_CLASS_OF(id),
				    .method_id = AMQP_METHOD_OF(id) };

	(void)amqp_fault_set(&fault, AMQP_COMMAND_INVALID, "%s now", amqp_method_name(id));
	amqp_link_fault(bus, &fault);
}

void amqp_host_method(struct amqp_bus *bus, const struct amqp_method *m)
{
	enum amqp_phase phase = bus->phase;

	if (m->id == AMQP_CONNECTION_CLOSE)
		take_close(bus, &m->close);
	else if (m->id == AMQP_CONNECTION_CLOSE_OK && bus->closing)
		amqp_link_lost(bus, PORT_CLOSED, "stopped");
	else if (bus->closing)
		return;
	else if (m->id == AMQP_CONNECTION_START && phase == AMQP_STARTING)
		take_start(bus, &m->start);
	else if (m->id == AMQP_CONNECTION_TUNE && phase == AMQP_TUNING)
		take_tune(bus, &m->tune);
	else if (m->id == AMQP_CONNECTION_OPEN_OK && phase == AMQP_OPENING_HOST)
		amqp_channels_open(bus);
	else if (m->id == AMQP_CONNECTION_BLOCKED && phase >= AMQP_PREPARING_CHANNELS)
		take_blocked(bus, m->blocked.reason);
	else if (m->id == AMQP_CONNECTION_UNBLOCKED && phase >= AMQP_PREPARING_CHANNELS)
		take_unblocked(bus);
	else
		out_of_turn(bus, m->id);
}
