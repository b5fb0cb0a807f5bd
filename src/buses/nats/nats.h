/* SPDX-License-Identifier: MIT */
/* The NATS bus: topics are subjects. What maps to what is in README.md beside this file. */
#ifndef VOXBUS_BUSES_NATS_NATS_H
#define VOXBUS_BUSES_NATS_NATS_H

#include "core/port.h"

extern const struct port_ops nats_bus_ops;

#endif
