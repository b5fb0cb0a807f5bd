/* SPDX-License-Identifier: MIT */
/* What waits for a bus without a link, and calls that nobody serves (away.c). The core's own. */
#ifndef VOXBUS_CORE_AWAY_H
#define VOXBUS_CORE_AWAY_H

#include "base/list.h"
#include "core/hub.h"

struct application;

struct away {
	bool refuse, told; /* told: in the log, of this time */
	uint64_t events_max, age_ms;
	uint64_t since_ms; /* the first event that waits came; 0: none does */
	struct list runs;  /* struct away_run.link, the oldest first */
	uint64_t n;        /* events in them */
};

void away_init(struct away *away, const struct application_options *options);
void away_fini(struct away *away);
/* Its link is lost, or has never been there; not so while the first attempt is under way. */
bool away_refuses(const struct application *application);
/* An event was appended to that stream: it may be one too many. */
void away_appended(struct application *application, struct stream *stream);
/* Events of an earlier run wait, too: before buses start. */
void away_recover(struct hub *hub);
/* The bus is there: nothing waits for it any more but what is on its way. */
void away_over(struct application *application);
/* How long an event may wait: that of its type, or shorter. Not for one that tells of a call's life. */
uint64_t away_ttl(const struct application *application, uint64_t ttl_ms, const struct delivery *e);
/* An AppStart that is older than may be, of a call that is no more: it need not be sent. */
bool away_is_stale(struct hub *hub, const struct msg *announce);
/* In a later turn: the engine lets the channel go on. 0 or -ENOMEM. */
int hub_release(struct port *engine, struct str application, struct str channel,
		const char *reason);
void hub_releases_fini(struct hub *hub);
void hub_on_release(void *hub);

#endif
