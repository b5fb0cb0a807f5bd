/* SPDX-License-Identifier: MIT */
/*
 * The long-poll bus as a port. It serves the account of its configuration (longpoll_conf.h) on the
 * HTTP server of its environment; the server must be destroyed before the port, or stay untouched
 * afterwards: mounts can't be taken back.
 */
#ifndef VOXBUS_BUSES_LONGPOLL_LONGPOLL_H
#define VOXBUS_BUSES_LONGPOLL_LONGPOLL_H

#include "core/port.h"

extern const struct port_ops longpoll_bus_ops;

#endif
