/* SPDX-License-Identifier: MIT */
/* The connection: how it comes and goes, what is said on it, and on its channels. */
#ifndef VOXBUS_BUSES_AMQP_AMQP_LINK_H
#define VOXBUS_BUSES_AMQP_AMQP_LINK_H

#include "buses/amqp/amqp_internal.h"

/* amqp.c */
/* Tells the core what state we are in, if it has not heard. In a turn of our own. */
void amqp_bus_update(struct amqp_bus *bus);
/* The link is ready: the core hears of it, asks for its calls again, and sends. */
void amqp_bus_ready(struct amqp_bus *bus);
/* The last thing that is said. */
void amqp_bus_closed(struct amqp_bus *bus);

/* amqp_link.c */
void amqp_link_init(struct amqp_bus *bus);
/* Also of one that was never started. */
void amqp_link_fini(struct amqp_bus *bus);
/* Dials in a later turn. */
void amqp_link_start(struct amqp_bus *bus);
/* Says goodbye, waits for the answer a moment, and ends in amqp_bus_closed. */
void amqp_link_stop(struct amqp_bus *bus);
/*
 * The link is over, or never came to be: everything on it is forgotten, the state is told with this
 * sentence, and the next broker is dialled, or the same again after a while. In a turn of our own.
 */
void amqp_link_lost(struct amqp_bus *bus, enum port_state state, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * Puts a method on its way, behind all that was said before. What finds no memory ends the link in a
 * later turn: nothing that the broker waits for may be left out.
 */
void amqp_say(struct amqp_bus *bus, unsigned channel, const struct amqp_method *method);
/* No memory for what must be: the link ends in a later turn. */
void amqp_link_break(struct amqp_bus *bus);
/* Something was put into bus->out: it goes to the socket soon, at once if it is much. */
void amqp_said(struct amqp_bus *bus);
/* The same now. */
void amqp_link_flush(struct amqp_bus *bus);
/* Bytes on their way to the socket. */
size_t amqp_link_pending(const struct amqp_bus *bus);
/* "127.0.0.1:5672", of the broker that is dialled. */
const char *amqp_link_host(const struct amqp_bus *bus);
const struct amqp_uri *amqp_link_uri(const struct amqp_bus *bus);
/* The broker breaks the protocol: it is told so, and the link is over. */
void amqp_link_fault(struct amqp_bus *bus, const struct amqp_fault *fault);
/* Begins to send heartbeats and to miss those of the broker. */
void amqp_heartbeat_start(struct amqp_bus *bus, uint64_t interval_ms);

/* amqp_handshake.c: a method of channel 0. */
void amqp_host_method(struct amqp_bus *bus, const struct amqp_method *method);

/* amqp_channel.c */
void amqp_channels_init(struct amqp_bus *bus);
void amqp_channels_fini(struct amqp_bus *bus);
void amqp_channels_open(struct amqp_bus *bus);
/* The link is gone. */
void amqp_channels_lost(struct amqp_bus *bus);
void amqp_channel_frame(struct amqp_bus *bus, const struct amqp_frame *frame);
bool amqp_channel_is_open(const struct amqp_bus *bus, enum amqp_role role);
/* What amqp_say wants for it. */
static inline unsigned amqp_channel_of(enum amqp_role role)
{
	return (unsigned)role + 1;
}

#endif
