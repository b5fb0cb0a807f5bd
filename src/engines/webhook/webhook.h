/* SPDX-License-Identifier: MIT */
/*
 * Calls whose instructions are waited for: a phone network has posted a call's event and holds its
 * request open until somebody says what the call shall do.
 *
 * This is the table of them and nothing else: it knows neither HTTP nor queues. Who serves the
 * requests says that one came, was answered, or was left; the table says which calls there are.
 *
 *             webhook_hold         its last request was answered
 *     (none) -------------> HELD --------------------------------> PARKED
 *                           ^ \ `--------- webhook_hold ----------'  |
 *                           |  `-- its last request was left ----.   | `park` is over
 *                           |                                    v   v
 *                           `--- webhook_hold, in that turn --- DEAD ---> forgotten
 *
 * An answered call is expected back: it follows a Redirect, or does as it was told and asks for
 * more. One that does not come back in `park`, or whose caller leaves the line, is dead. But who
 * leaves a request and tries again is parked for a moment instead: a phone network that lost its
 * patience sends the same request, of which nothing is published a second time.
 */
#ifndef VOXBUS_ENGINES_WEBHOOK_WEBHOOK_H
#define VOXBUS_ENGINES_WEBHOOK_WEBHOOK_H

#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "loop/loop.h"

struct webhook;

enum call_state { CALL_HELD, CALL_PARKED, CALL_DEAD };

/* To be read; `kept`, `hold_ms` and `retried` are the owner's. */
struct call {
	struct map_node node; /* webhook.calls, by its name */
	struct webhook *webhook;
	struct list link; /* webhook.parked or webhook.changed */
	struct list kept; /* what the owner keeps for the call */
	struct timer deadline;
	enum call_state state;
	unsigned holders;
	unsigned hold_ms; /* how long its requests are held; 0: not said */
	bool retried;     /* its sender says that it tries again when a request fails */
	char name[];      /* "<path>/<CallSid>": where instructions for it are posted */
};

_Static_assert(sizeof(struct call) <= 144, "a call that is held is small");

struct webhook_options {
	struct loop *loop;
	const struct log *log;
	uint64_t park_ms; /* how long a call that was answered is expected back */
	size_t calls_max; /* 0 = 65,536 */
	/*
	 * In a later turn: a parked call is held again, or it is dead. A dead one is forgotten after
	 * it; nothing is kept for it then.
	 */
	void (*on_changed)(void *arg, struct call *call);
	void *arg;
};

/* The table, or NULL: no memory. The loop and the log outlive it. */
struct webhook *webhook_create(const struct webhook_options *options);
/* Nothing may be kept for its calls any more; on_changed does not come. NULL is fine. */
struct webhook *webhook_destroy(struct webhook *webhook);

/* What comes before the last slash of a call's name: the queue of its events; and what behind it. */
struct str call_path(const struct call *call);
struct str call_sid(const struct call *call);
/* Whether it can be the last segment of a name. */
bool call_sid_is_good(struct str sid);

/* The call of that name, or NULL. */
struct call *webhook_find(const struct webhook *webhook, struct str name);
/*
 * A request of the call has come and waits: 0 and *ret, -ENOMEM, or -EAGAIN when the table is full
 * of calls that are held. (Of those that are parked the oldest gives way: it dies.)
 */
int webhook_hold(struct webhook *webhook, struct str name, struct call **ret);
/*
 * That request waits no longer: it was answered, or (answered: false) its sender has gone. The call
 * may be forgotten in a later turn.
 */
void webhook_release(struct call *call, bool answered);
/*
 * A call of an earlier run of the daemon, of which something is kept: parked, until `park` after
 * the table was made. NULL: that is over, or there is no room; the call counts as dead.
 */
struct call *webhook_expect(struct webhook *webhook, struct str name);
/* A parked call is not waited for any longer. */
void webhook_give_up(struct call *call);

size_t webhook_count(const struct webhook *webhook, enum call_state state);

/*
 * The document that makes a phone network ask again: <Response><Redirect>/<account>/<name>/</..>.
 * The path is percent-encoded, so that nothing in it has a meaning in XML. 0 or as buf_add.
 */
int webhook_redirect(struct buf *out, struct str account, struct str name);

#endif
