/* SPDX-License-Identifier: MIT */
/* What status, calls and metrics see of the hub. Part of hub.h, which includes it. */
#ifndef VOXBUS_CORE_HUB_VIEW_H
#define VOXBUS_CORE_HUB_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "core/port.h"

struct hub;

/* The strings live inside the call. */
struct port_view {
	const char *name, *type;
	unsigned roles;
	enum port_state state;
	const char *reason;
	uint64_t since_ms; /* loop time of the last change of state */
	uint64_t events, commands, replies, sent, settled, returned; /* messages since the start */
	const struct port_stat *stats;
	size_t n_stats;
};
void hub_each_port(struct hub *hub, void (*fn)(void *arg, const struct port_view *view), void *arg);

struct dialog_view {
	struct str id, application, engine;
	struct str channel; /* id of its first channel */
	struct str label;   /* for people: what the engine said of it when it opened */
	const char *state;  /* "opening", "open", "ending" */
	uint64_t opened_wall_ns;
	uint64_t events, commands, unread; /* unread: events that no reader has settled */
	size_t objects, channels;
};
void hub_each_dialog(struct hub *hub, void (*fn)(void *arg, const struct dialog_view *view),
		     void *arg);
/* Whether a dialog of that id is open or ending. */
bool hub_has_dialog(const struct hub *hub, struct str id);

struct application_view {
	struct str name;
	const char *bus;
	bool record;
	uint64_t announced, unread; /* AppStarts; those that nobody has taken */
	uint64_t oldest_unread_ms;  /* age of the oldest of them, 0 if none */
};
void hub_each_application(struct hub *hub,
			  void (*fn)(void *arg, const struct application_view *view), void *arg);

struct hub_stats {
	uint64_t events, unowned, synthetic, commands, replies, late_replies; /* since the start */
	uint64_t timeouts, refused, dialogs_opened, dialogs_refused;
	uint64_t announced_again;     /* calls that nobody had accepted in time */
	uint64_t released_unaccepted; /* the same after the last try: let go on in the dialplan */
	uint64_t released_away; /* calls let go on in the dialplan, because the bus was away */
	uint64_t
		away_dropped; /* events dropped because too many waited, AppStarts of calls that went */
	uint64_t repeated;           /* commands that were there before and not done again */
	uint64_t results_dropped;    /* before their time: all of them took results_bytes */
	uint64_t application_events; /* belonged to no dialog, went to their application */
	uint64_t events_filtered;    /* an application had dropped their type */
	uint64_t events_cut;         /* events that named more dialogs than one event goes to */
	uint64_t events_lost;        /* could not be kept: no memory */
	uint64_t unread_dropped;     /* messages of closed calls that nobody came to read */
	uint64_t dialogs, closed;    /* now: live ones; closed ones that are kept because unread */
};
void hub_stats(const struct hub *hub, struct hub_stats *ret);

#endif
