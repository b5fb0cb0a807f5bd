/* SPDX-License-Identifier: MIT */
/*
 * Commands on their way in: from the line's messages to port_deliver and settle.
 *
 * Core NATS brings nothing a second time, so what the hub can't take now is kept here, bounded, and
 * offered again in order; what it refuses for good, and what is no command at all, gets its answer.
 */
#ifndef VOXBUS_BUSES_NATS_NATS_COMMANDS_H
#define VOXBUS_BUSES_NATS_NATS_COMMANDS_H

#include "buses/nats/nats_line.h"
#include "core/port.h"

enum {
	NATS_COMMANDS_WAITING = 1024, /* that the hub could not take yet */
	NATS_COMMANDS_TAKEN = 4096,   /* that it has taken and not settled */
	NATS_COMMAND_AGAIN_MS = 50,
	NATS_COMMAND_TRIES = 200, /* 10 s */
};

struct nats_commands;

struct nats_commands_options {
	struct port *port;
	struct loop *loop;
	const struct log *log;
	struct nats_line *line; /* where they are taken from; outlives us */
	/* A definite answer of our own on responses_<dialog>. Borrowed. */
	void (*answer)(void *arg, struct str dialog, struct str id, int status, struct str text);
	/*
	 * A message is done with, however: a stream does not bring it again. NULL: core NATS, whose
	 * subjects are topics; else their last part is the dialog.
	 */
	void (*acknowledge)(void *arg, const char *reply);
	/* The dialog's client has shown itself. */
	void (*touched)(void *arg, struct str dialog);
	void *arg;
};

struct nats_commands_stats {
	uint64_t dummies, unreadable, unknown, lost;
	uint64_t come;    /* messages taken from the line */
	uint64_t waiting; /* now */
};

int nats_commands_create(const struct nats_commands_options *options, struct nats_commands **ret);
struct nats_commands *nats_commands_destroy(struct nats_commands *c);
/* There are messages. Not from inside an op. */
void nats_commands_come(struct nats_commands *c);
/* As port_ops. */
void nats_commands_settle(struct nats_commands *c, uint64_t tag, int result);
void nats_commands_pause(struct nats_commands *c, bool on);
/* Takes no more; what the hub has taken may still be settled. */
void nats_commands_stop(struct nats_commands *c);
void nats_commands_stats(const struct nats_commands *c, struct nats_commands_stats *ret);

#endif
