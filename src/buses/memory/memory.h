/* SPDX-License-Identifier: MIT */
/*
 * A port that talks to a function in the same process: a bus and an engine without any wire.
 *
 * Tests and benchmarks stand on the other side of it. It obeys the contract of core/port.h like
 * any other (the contract suite runs on it), and it can be told to be full, to be lost, to settle
 * by itself or not at all.
 */
#ifndef VOXBUS_BUSES_MEMORY_MEMORY_H
#define VOXBUS_BUSES_MEMORY_MEMORY_H

#include "core/port.h"

struct memory_port;

struct memory_conf {
	/* Optional: where the port is put when it is created. */
	struct memory_port **ret;
	/* Each message that is sent, borrowed; from inside `send`, so no upcall may be made. */
	void (*on_send)(void *arg, struct msg *msg);
	/* What the hub says of a command that memory_port_command brought. */
	void (*on_settle)(void *arg, uint64_t tag, int result);
	/* An engine: what `release` said; borrowed. Optional. */
	void (*on_release)(void *arg, struct str channel, const char *reason);
	void *arg;
	size_t capacity; /* messages accepted and not settled or answered: more get -EAGAIN; 0: no limit */
	bool manual; /* a bus: the test settles; else each message is settled a turn later */
	/* An engine: /channels/<id> and /playbacks/<id> touch that one, /all anything, others nothing;
	 * else it is not said what a command touches. */
	bool parallel;
	bool away;          /* not UP at the start, but by memory_port_up */
	bool manual_listen; /* the test answers `listen`; else it is granted a turn later */
};

extern const struct port_ops memory_bus_ops;
/* The same as a bus that brings a command again: the delivery's flags say so. */
extern const struct port_ops memory_broker_ops;
extern const struct port_ops memory_engine_ops;

struct port *memory_port_port(struct memory_port *memory);
/* The link comes or goes. */
void memory_port_up(struct memory_port *memory, bool up);
/* Settles one accepted message (bus) and makes room. */
void memory_port_settle(struct memory_port *memory, const struct msg *msg, int result);
/* Answers one accepted command (engine) and makes room. */
void memory_port_reply(struct memory_port *memory, const struct msg *command, int status,
		       struct str body);
/* manual_listen: how many topics the hub has asked for and not been answered; answer the oldest. */
size_t memory_port_asked(const struct memory_port *memory);
void memory_port_grant(struct memory_port *memory, int result);
bool memory_port_paused(const struct memory_port *memory);

#endif
