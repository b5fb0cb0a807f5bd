/* SPDX-License-Identifier: MIT */
/*
 * The middle: ports, applications, dialogs and the streams between them.
 *
 *   engine --event--> dialog(s) that own its objects --> events_<dialog> --> bus
 *   engine <--command-- commands_<dialog> <-- bus         engine --reply--> responses_<dialog>
 *
 * An event that names a new channel opens a dialog: the bus is asked to listen to commands_<d>,
 * and when it does, AppStart goes out on the application's topic. Commands of one dialog that touch
 * a common object run one after the other, each answered exactly once: by the engine, or by the hub
 * with 503 (engine away), 504 (deadline; what it did is unknown). A dialog ends when its last
 * channel has left or gone, after a linger for late events. An event of no dialog is counted, or,
 * where the application wants it, goes to events_<application>, with no dialog in the message.
 * Streams are called "<scope>/<topic>"; the scope is the bus's name, or what port_set_scope says.
 */
#ifndef VOXBUS_CORE_HUB_H
#define VOXBUS_CORE_HUB_H

#include <stdbool.h>

#include "base/err.h"
#include "core/hub_view.h"
#include "core/port.h"
#include "core/stream.h"

struct accounts;
struct hub;
struct journal;

struct hub_options {
	struct loop *loop;
	const struct log *log;
	const char *node;             /* this daemon's name: server_id in envelopes */
	struct journal *journal;      /* NULL: nothing is recorded */
	struct streams *streams;      /* with that journal set */
	struct http_server *http;     /* handed to ports; may be NULL */
	struct accounts *accounts;    /* handed to ports; may be NULL */
	uint64_t command_deadline_ms; /* 0 = 30 s */
	uint64_t linger_ms;           /* a dialog without channels closes after this; 0 = 10 s */
	size_t commands_max;          /* waiting commands of one dialog; 0 = 1000: -EBUSY */
	size_t results_bytes;         /* of all recorded results; 0 = 128 MiB */
	size_t dialogs_max; /* 0 = 100,000: closed and unread ones go then, the oldest first; if
			     * there are none, further calls get no dialog, counted */
};

int hub_create(const struct hub_options *options, struct hub **ret);
/* Ports first stopped (hub_stop), else they are destroyed as they are. */
struct hub *hub_destroy(struct hub *hub);

/* Makes a port by its ops; name and conf outlive the hub. Before hub_start. */
int hub_add_port(struct hub *hub, const struct port_ops *ops, const char *name, const void *conf,
		 struct port **ret, struct err *e);
struct event_ttl {
	struct str type;
	uint64_t ms; /* not 0 */
};
/* Which commands are answered from a recorded result instead of being done again. */
enum deduplicate {
	DEDUPLICATE_REDELIVERED, /* those that the bus says it delivered before */
	DEDUPLICATE_ALWAYS,      /* also all others with a unique_id: same id, method, url, body */
	DEDUPLICATE_OFF,
};
struct application_options {
	struct port *bus;       /* that serves it */
	bool record;            /* its streams go to the journal */
	const struct str *drop; /* types of events that it never gets, but for those that open */
	size_t n_drop;
	const struct event_ttl *ttl; /* types that nobody gets any more after that time */
	size_t n_ttl;
	enum deduplicate deduplicate;
	bool application_events; /* those that belong to no dialog go to events_<application> */
	/* A call's events stay so long after its end, for hub_replay; not on a pull bus. */
	uint64_t keep_ms;
	/* So long after its AppStart a worker must have shown itself; else the call is announced anew, and
	 * after accept_tries (> 0) the engine shall `release` it. 0: none need. */
	uint64_t accept_ms;
	unsigned accept_tries;
	/* While the bus has no link (a pull bus always has): new calls get no dialog (`release`); so many
	 * events may wait, the oldest go; what is older goes, too. 0: no limit. */
	bool refuse_away;
	uint64_t away_events_max, away_age_ms;
};
/* Copies what it needs. Before hub_start. -EEXIST: twice; -EMSGSIZE: too long a name; -ENOMEM. */
int hub_add_application(struct hub *hub, struct str name,
			const struct application_options *options);
bool hub_has_application(const struct hub *hub, struct str name);
/* The port of that name that has the role (PORT_ENGINE or PORT_BUS), or NULL. */
struct port *hub_port(struct hub *hub, struct str name, unsigned role);
/* A pull bus: its streams are called "<scope>/<topic>" (the account of the long-poll bus). */
int port_set_scope(struct port *port, struct str scope);
/* Recovers dialogs from the journal, then starts buses, then engines. */
int hub_start(struct hub *hub, struct err *e);
/* Stops engines, then buses; done comes when all are CLOSED, or after timeout_ms. */
void hub_stop(struct hub *hub, uint64_t timeout_ms, void (*done)(void *arg), void *arg);

struct streams *hub_streams(struct hub *hub);

/* Everything that is appended to a dialog's or an application's stream, for tail: never required,
 * called inline, must not change the hub. -ENOMEM or 0. */
struct observer;
int hub_observe(struct hub *hub, void (*fn)(void *arg, const struct msg *msg), void *arg,
		struct observer **ret);
struct observer *observer_destroy(struct observer *observer);

#endif
