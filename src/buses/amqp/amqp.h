/* SPDX-License-Identifier: MIT */
/*
 * The bus `amqp`: a broker that speaks AMQP 0-9-1, such as RabbitMQ, under the topics, queue flags and
 * envelopes of go-ari-proxy. What maps to what is in README.md.
 */
#ifndef VOXBUS_BUSES_AMQP_AMQP_H
#define VOXBUS_BUSES_AMQP_AMQP_H

#include "core/port.h"

extern const struct port_ops amqp_bus_ops;

#endif
