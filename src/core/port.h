/* SPDX-License-Identifier: MIT */
/*
 * What the core and an adapter say to each other.
 *
 * An engine (where calls live) and a bus (where applications listen) are the same thing to the
 * core: a port that messages come in by and go out of. An adapter implements `struct port_ops`
 * and calls the upcalls below, on the loop's thread, and nothing else of the core.
 * (A bus whose readers pull, such as long poll, also reads streams by cursors: PORT_PULL.)
 * Neither side is ever called from inside a call of its own: `send` may not call port_settle, and
 * port_deliver does not call `settle`; that comes in a later turn. (The exception is port_bind.)
 */
#ifndef VOXBUS_CORE_PORT_H
#define VOXBUS_CORE_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "core/delivery.h"
#include "loop/loop.h"

struct port;
struct port_queues;
struct hub;

enum port_role {
	PORT_ENGINE = 1, /* events come in, commands go out */
	PORT_BUS = 2,    /* commands come in, events go out */
	PORT_PULL = 4,   /* a bus whose readers fetch by themselves: `send` is never called */
};

enum port_state {
	PORT_DOWN,       /* not started, or its link is lost and retried */
	PORT_CONNECTING, /* the first attempt is under way */
	PORT_UP,         /* works */
	PORT_STALE,      /* nothing heard for too long; still open */
	PORT_FAILED, /* a person must act (wrong password, replaced, ...); maybe retried slowly */
	PORT_CLOSED, /* stopped: nothing more comes */
};
const char *port_state_name(enum port_state state);

/* What a port finds around it; lives as long as the port. */
struct port_env {
	struct loop *loop;
	struct hub *hub;
	const struct log *log;     /* has port=<name> in it */
	const char *name;          /* "pbx1": unique in its role */
	const char *node;          /* this daemon's name */
	struct http_server *http;  /* the core never looks inside; NULL in tests without one */
	struct accounts *accounts; /* who may do what; NULL in tests without any */
};

struct port_stat {
	const char *name, *help; /* "reconnects", "Times the link was made anew." */
	bool gauge;
	uint64_t value;
};

struct port_ops {
	const char *name; /* the `type` in the configuration */
	unsigned roles;
	/* No I/O. conf is the adapter's parsed table and outlives the port. */
	int (*create)(struct port *port, const struct port_env *env, const void *conf, void **ret,
		      struct err *e);
	/*
	 * Before start, once for each dialog that the hub found in its journal: the objects that
	 * belong to it, so that an engine can find out which of them are gone. Optional.
	 */
	void (*adopt)(void *self, struct str application, const struct object_ref *objects,
		      size_t n);
	/* Begins: returns at once; port_set_state tells how it goes. A refusal ends the daemon. */
	int (*start)(void *self, struct err *e);
	/*
	 * Out to the world: 0 = accepted (take a reference), -EAGAIN = full (port_writable follows),
	 * anything else = this message can't be sent (it counts as settled, with a log line).
	 * A bus settles each accepted message by port_settle; an engine answers each accepted
	 * command with exactly one REPLY. Never blocks, never calls back inline.
	 */
	int (*send)(void *self, struct msg *msg);
	/*
	 * Which objects a command touches: what its path and parameters name. Fills up to n refs (kind
	 * and id, good until the next call of an op) and returns how many; 0: none of its call's, it
	 * runs beside any other; negative: not known, or more, it runs alone. Commands of one call
	 * that touch different objects run at the same time. Engines; optional: then one by one.
	 */
	int (*subjects)(void *self, const struct msg *command, struct object_ref *ret, size_t n);
	/*
	 * A channel in that application that nobody will serve: let it go on where it came from (Asterisk:
	 * in the dialplan). reason: "AWAY", or another word for whoever meets it there. Nothing is
	 * answered. Engines; optional: then it stays.
	 */
	void (*release)(void *self, struct str application, struct str channel, const char *reason);
	/*
	 * What became of the message delivered with that tag: 0 = accepted for good (acknowledge),
	 * -EAGAIN = take it back and offer it again, else refused for that reason. Optional.
	 */
	void (*settle)(void *self, uint64_t tag, int result);
	/* Begin or stop receiving a topic; begin is answered by port_listening. Optional: then the
	 * port hears all topics from the start. */
	int (*listen)(void *self, struct str topic, bool on);
	/* Stop or resume taking commands in. Optional; engines are never paused. */
	void (*pause)(void *self, bool on);
	/* Ends in state CLOSED, in a later turn; what is in flight is dropped. */
	void (*stop)(void *self);
	/* Takes half-built things; after stop and CLOSED, or without start. */
	void (*destroy)(void *self);
	/* Fills up to n numbers for the metrics and returns how many. Optional. */
	size_t (*stats)(void *self, struct port_stat *ret, size_t n);
	const struct port_queues *queues; /* queue_view.h; NULL: its clients name none */
};

/*
 * Something came in. EVENT: 0, or -ENOENT when it belongs to no dialog (counted). COMMAND: 0 =
 * taken, `settle` follows; -ENOENT: no such dialog; -EBUSY: too many commands wait; -EAGAIN,
 * -ENOSPC, -EIO: the journal refuses. REPLY: 0.
 */
int port_deliver(struct port *port, const struct delivery *delivery);
/* What became of a message that `send` accepted: 0 = done, else it is sent again later. */
void port_settle(struct port *port, const struct msg *msg, int result);
/*
 * The command that `send` got is about to make these objects, whose ids its sender has chosen: they
 * belong to its dialog from now on, because their events may come before the answer. The one
 * upcall that may be made from inside `send`: it only writes to the index of objects. What turns
 * out not to have been made stands with OBJECT_ENDS in the REPLY. 0 or -ENOMEM.
 */
int port_bind(struct port *port, const struct msg *command, const struct object_ref *objects,
	      size_t n);
/* reason: a sentence for people, "" when all is well. Logged here, once a change. When a port is
 * no longer UP or STALE, all that is in flight on it is taken back. */
void port_set_state(struct port *port, enum port_state state, const char *reason);
/* The answer to `listen(topic, true)`: 0, or why not (it is asked again when the port comes UP). */
void port_listening(struct port *port, struct str topic, int result);
/* A worker has shown itself on a topic of a call, other than by a command: by DUMMY on commands_<d>,
 * or by reading events_<d>. Any topic may be told, any number of times. */
void port_touched(struct port *port, struct str topic);
/* A bus, in its `create`: its broker may bring a command again, and says so. Results are recorded for that. */
void port_redelivers(struct port *port);
/* `send` has room again after -EAGAIN. */
void port_writable(struct port *port);

/*
 * An engine asks, from `start` on: the types of events that an application does not want, so that
 * they need not be sent in the first place (the hub drops them anyway). Borrowed, as long as the
 * hub lives; NULL and 0: it wants all, or is not known.
 */
const struct str *port_dropped(const struct port *port, struct str application, size_t *ret_n);

#endif
