/* SPDX-License-Identifier: MIT */
/*
 * The link: one TCP or TLS connection, dialled at one of several brokers, read into frames.
 *
 * `url` is the one that is wanted: after a loss it is tried first, the others in turn behind it at
 * once, and when none has answered that is told, and there is a pause that grows. What a person must mend (a password,
 * a permission) is tried again every 30 s.
 *
 * What is said is gathered in bus->out and goes to the socket once a turn, since a system call for each
 * event would cost more than the event. What the socket does not take waits in the connection;
 * both together are bounded, and publishing stops long before that (AMQP_OUT_HIGH).
 *
 * A heartbeat is sent when nothing else was for half an interval. Silence of one interval makes
 * the link stale, of two it is lost; then one more turn is read, lest it was our loop that was late.
 */
#include "buses/amqp/amqp_link.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "buses/amqp/amqp_consume.h"
#include "buses/amqp/amqp_publish.h"
#include "buses/amqp/amqp_queue.h"

enum {
	RETRY_FIRST_MS = 250,
	RETRY_MAX_MS = 10000,
	RETRY_FAILED_MS = 30000,
	GOOD_MS = 10000,  /* a link that lasted so long starts with short pauses again */
	GOODBYE_MS = 500, /* for the broker's close-ok */
	FLUSH_AT = 32768, /* bytes that do not wait for the end of the turn */
	HOST_SIZE = 300,
	NEXT_BROKER_MS = 1,
};

const struct amqp_uri *amqp_link_uri(const struct amqp_bus *bus)
{
	return &bus->uris[bus->at];
}

const char *amqp_link_host(const struct amqp_bus *bus)
{
	static _Thread_local char text[HOST_SIZE];
	const struct amqp_uri *uri = amqp_link_uri(bus);
	bool v6 = strchr(uri->host, ':') != NULL;

	(void)snprintf(text, sizeof(text), v6 ? "[%s]:%u" : "%s:%u", uri->host, uri->port);
	return text;
}

/* ---- out */

size_t amqp_link_pending(const struct amqp_bus *bus)
{
	return buf_len(&bus->out) + (bus->conn ? conn_pending(bus->conn) : 0);
}

void amqp_link_flush(struct amqp_bus *bus)
{
	struct str out = buf_str(&bus->out);

	if (!bus->conn || !out.n || conn_write(bus->conn, &out, 1) == -ENOBUFS)
		return; /* -EPIPE: on_end is on its way */
	buf_consume(&bus->out, out.n);
	bus->said_ms = loop_now(bus->loop);
}

static void on_flush(void *arg)
{
	struct amqp_bus *bus = arg;

	if (bus->broken)
		amqp_link_lost(bus, PORT_DOWN,
			       "no memory for what the broker at %s must be told; "
			       "connecting again",
			       amqp_link_host(bus));
	else
		amqp_link_flush(bus);
}

void amqp_link_break(struct amqp_bus *bus)
{
	bus->broken = true;
	task_defer(&bus->flush);
}

void amqp_said(struct amqp_bus *bus)
{
	if (buf_len(&bus->out) >= FLUSH_AT)
		amqp_link_flush(bus);
	if (buf_len(&bus->out))
		task_defer(&bus->flush);
}

void amqp_say(struct amqp_bus *bus, unsigned channel, const struct amqp_method *method)
{
	if (!bus->conn)
		return;
	if (amqp_method_write(&bus->out, (uint16_t)channel, bus->frame_max, method) < 0)
		amqp_link_break(bus);
	amqp_said(bus);
}

/* ---- the end of a link */

static void drop(struct amqp_bus *bus)
{
	bus->conn = conn_destroy(bus->conn);
	bus->links++;
	bus->phase = AMQP_IDLE;
	bus->blocked = bus->stale = bus->late = bus->broken = false;
	timer_stop(&bus->timer);
	timer_stop(&bus->heartbeat);
	task_cancel(&bus->flush);
	amqp_frame_reader_fini(&bus->frames);
	amqp_frame_reader_init(&bus->frames);
	bus->frame_max = AMQP_FRAME_MIN;
	buf_fini(&bus->out);
	amqp_channels_lost(bus);
	amqp_publish_lost(bus);
	amqp_commands_lost(bus);
	amqp_ops_lost(bus);
	amqp_queues_lost(bus);
}

/* Which broker is next: true, one that was not tried in this round. */
static bool next_broker(struct amqp_bus *bus, bool was_ready)
{
	bus->at++;
	bus->tried++;
	if (!was_ready && bus->tried < bus->n_uris)
		return true;
	bus->at = bus->tried = 0;
	if (was_ready && loop_now(bus->loop) - bus->ready_ms >= GOOD_MS)
		backoff_reset(&bus->backoff);
	return false;
}

/* Of a round's failures the core hears one: the last, or the last that a person must mend. */
static void set_fault(struct amqp_bus *bus, enum port_state state, const char *reason)
{
	bool first = bus->phase == AMQP_READY || bus->tried == 0;

	if (!first && bus->fault == PORT_FAILED && state != PORT_FAILED)
		return;
	bus->fault = state;
	(void)snprintf(bus->reason, sizeof(bus->reason), "%s", reason);
}

void amqp_link_lost(struct amqp_bus *bus, enum port_state state, const char *fmt, ...)
{
	bool was_ready = bus->phase == AMQP_READY;
	char reason[AMQP_REASON_MAX];
	uint64_t delay_ms = NEXT_BROKER_MS;
	va_list ap;

	if (bus->closing) {
		drop(bus);
		amqp_bus_closed(bus);
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	set_fault(bus, state, reason);
	drop(bus);
	bus->stats.reconnects += was_ready;
	if (!next_broker(bus, was_ready)) {
		amqp_bus_update(bus);
		delay_ms = bus->fault == PORT_FAILED ? RETRY_FAILED_MS
						     : backoff_next_ms(&bus->backoff);
	}
	if (timer_start(&bus->timer, delay_ms) < 0)
		amqp_link_break(bus);
}

void amqp_link_fault(struct amqp_bus *bus, const struct amqp_fault *fault)
{
	struct amqp_method close = { AMQP_CONNECTION_CLOSE,
				     .close = { fault->code, str_from(fault->text), fault->class_id,
						fault->method_id } };

	if (fault->code)
		amqp_say(bus, 0, &close);
	amqp_link_flush(bus);
	amqp_link_lost(bus, PORT_DOWN,
		       "what answers at %s breaks AMQP 0-9-1 (%s): is it the right port? Retrying",
		       amqp_link_host(bus), fault->text);
}

static const char *end_text(const struct amqp_bus *bus, int reason)
{
	const char *why = conn_why(bus->conn);

	if (why && (reason == -EPROTO || reason == -EKEYREJECTED))
		return why;
	switch (reason) {
	case 0:
		return "closed by the broker";
	case -ETIMEDOUT:
		return "no answer in time";
	case -ENOENT:
		return "name unknown";
	case -ECONNABORTED:
		return "cut off";
	default:
		return strerror(-reason);
	}
}

static void on_end(void *arg, int reason)
{
	struct amqp_bus *bus = arg;
	const char *host = amqp_link_host(bus);

	if (bus->phase == AMQP_READY || bus->phase == AMQP_PREPARING_CHANNELS)
		amqp_link_lost(bus, PORT_DOWN,
			       "the link to the broker at %s is lost (%s); "
			       "connecting again",
			       host, end_text(bus, reason));
	else if (bus->phase == AMQP_TUNING)
		amqp_link_lost(bus, PORT_FAILED,
			       "the broker at %s hung up when user \"%s\" logged in: are user and "
			       "password in url right? Retrying every 30 s",
			       host, amqp_link_uri(bus)->user);
	else if (bus->phase == AMQP_DIALLING && reason == -EKEYREJECTED)
		amqp_link_lost(
			bus, PORT_FAILED,
			"TLS with the broker at %s: %s: see ca and server_name in tls of bus "
			"\"%s\"; retrying every 30 s",
			host, end_text(bus, reason), bus->conf->name);
	else
		amqp_link_lost(bus, PORT_DOWN,
			       "the broker is not reachable at %s (%s): is it running, and is the "
			       "url right? Retrying",
			       host, end_text(bus, reason));
}

/* ---- in */

static void take_frame(struct amqp_bus *bus, const struct amqp_frame *frame)
{
	struct amqp_method method;
	struct amqp_fault fault = { 0 };

	if (frame->type == AMQP_FRAME_HEARTBEAT)
		return;
	if (frame->channel)
		amqp_channel_frame(bus, frame);
	else if (amqp_method_read(frame, &method, &fault) < 0)
		amqp_link_fault(bus, &fault);
	else
		amqp_host_method(bus, &method);
}

static void heard(struct amqp_bus *bus)
{
	bus->heard_ms = loop_now(bus->loop);
	bus->late = false;
	if (!bus->stale)
		return;
	bus->stale = false;
	amqp_bus_update(bus);
}

static void on_data(void *arg, struct str data)
{
	struct amqp_bus *bus = arg;
	unsigned link = bus->links;
	struct amqp_fault fault = { 0 };
	struct amqp_frame frame;
	int rc = 1;

	heard(bus);
	while (rc > 0 && bus->links == link) {
		rc = amqp_frame_read(&bus->frames, &data, &frame, &fault);
		if (rc > 0)
			take_frame(bus, &frame);
	}
	if (bus->links != link || rc == 0)
		return;
	if (rc == -EBADMSG)
		amqp_link_fault(bus, &fault);
	else
		amqp_link_lost(bus, PORT_DOWN,
			       "no memory for what the broker at %s says; "
			       "connecting again",
			       amqp_link_host(bus));
}

static void on_drain(void *arg)
{
	struct amqp_bus *bus = arg;

	amqp_link_flush(bus);
	amqp_ops_pump(bus, AMQP_DECLARING);
	amqp_ops_pump(bus, AMQP_SWEEPING);
	amqp_publish_room(bus);
}

/* ---- heartbeats */

/* Half an interval, or less when silence is about to mean something. */
static uint64_t until_next_beat(const struct amqp_bus *bus, uint64_t now)
{
	uint64_t half = bus->heartbeat_ms / 2;
	uint64_t limit_ms = bus->heard_ms + bus->heartbeat_ms * (bus->stale ? 2 : 1);

	if (bus->late || limit_ms <= now)
		return 0;
	return limit_ms - now < half ? limit_ms - now : half;
}

static void on_heartbeat(void *arg)
{
	struct amqp_bus *bus = arg;
	uint64_t now = loop_now(bus->loop), silent = now - bus->heard_ms;

	if (silent >= 2 * bus->heartbeat_ms && bus->late) {
		amqp_link_lost(bus, PORT_DOWN,
			       "the broker at %s has been silent for %" PRIu64
			       " s: it is frozen, or the network is; connecting again",
			       amqp_link_host(bus), silent / 1000);
		return;
	}
	bus->late = silent >= 2 * bus->heartbeat_ms;
	if (silent >= bus->heartbeat_ms && !bus->stale) {
		bus->stale = true;
		amqp_bus_update(bus);
	}
	if (now - bus->said_ms >= bus->heartbeat_ms / 2) {
		if (amqp_heartbeat_write(&bus->out) == 0)
			amqp_link_flush(bus);
	}
	(void)timer_start(&bus->heartbeat, until_next_beat(bus, now));
}

void amqp_heartbeat_start(struct amqp_bus *bus, uint64_t interval_ms)
{
	bus->heartbeat_ms = interval_ms;
	if (timer_start(&bus->heartbeat, interval_ms / 2) < 0)
		amqp_link_break(bus);
}

/* ---- dialling */

static void on_open(void *arg)
{
	struct amqp_bus *bus = arg;

	bus->phase = AMQP_STARTING;
	if (buf_add(&bus->out, AMQP_PROTOCOL_HEADER) < 0)
		amqp_link_break(bus);
	amqp_said(bus);
}

static void dial(struct amqp_bus *bus)
{
	static const struct conn_events events = {
		.on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_end = on_end
	};
	const struct amqp_uri *uri = amqp_link_uri(bus);
	uint64_t patience_ms = uri->connection_timeout_ms > 0 ? (uint64_t)uri->connection_timeout_ms
							      : bus->conf->connect_timeout_ms;
	struct conn_options options = { .write_max = AMQP_OUT_MAX,
					.connect_timeout_ms = patience_ms,
					.tls = uri->tls ? bus->tls : NULL };
	struct err e;
	int rc;

	bus->phase = AMQP_DIALLING;
	rc = conn_connect(bus->loop, str_from(amqp_link_host(bus)), &options, &events, bus,
			  &bus->conn, &e);
	if (rc < 0)
		amqp_link_lost(bus, PORT_DOWN, "the broker can't be dialled: %s; retrying", e.text);
	else
		(void)timer_start(&bus->timer, patience_ms);
}

static void on_timer(void *arg)
{
	struct amqp_bus *bus = arg;

	if (bus->phase == AMQP_IDLE) {
		if (bus->fault == PORT_CONNECTING)
			amqp_bus_update(bus);
		dial(bus);
		return;
	}
	amqp_link_lost(bus, PORT_DOWN,
		       "the broker at %s does not answer in time: is it frozen, or is it another "
		       "service's port? Retrying",
		       amqp_link_host(bus));
}

/* ---- life */

void amqp_link_init(struct amqp_bus *bus)
{
	buf_init(&bus->out, AMQP_OUT_MAX);
	amqp_frame_reader_init(&bus->frames);
	bus->frame_max = AMQP_FRAME_MIN;
	bus->fault = PORT_CONNECTING;
	timer_init(&bus->timer, bus->loop, on_timer, bus);
	timer_init(&bus->heartbeat, bus->loop, on_heartbeat, bus);
	task_init(&bus->flush, bus->loop, on_flush, bus);
	backoff_init(&bus->backoff, RETRY_FIRST_MS, RETRY_MAX_MS);
}

void amqp_link_start(struct amqp_bus *bus)
{
	(void)timer_start(&bus->timer, 0);
}

void amqp_link_stop(struct amqp_bus *bus)
{
	const struct amqp_method close = { AMQP_CONNECTION_CLOSE,
					   .close = { AMQP_REPLY_SUCCESS, STR_INIT("voxbus stops"),
						      0, 0 } };
	bool ready = bus->phase == AMQP_READY;

	if (bus->closing)
		return;
	bus->closing = true;
	if (ready) {
		amqp_say(bus, 0, &close);
		amqp_link_flush(bus);
	}
	if (!ready || timer_start(&bus->timer, GOODBYE_MS) < 0)
		task_defer(&bus->closed);
}

void amqp_link_fini(struct amqp_bus *bus)
{
	drop(bus);
	amqp_frame_reader_fini(&bus->frames);
}
