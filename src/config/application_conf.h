/* SPDX-License-Identifier: MIT */
/* The keys of `applications: [{name: ...}]`; their meaning is in voxbus.yaml(5). */
#ifndef VOXBUS_CONFIG_APPLICATION_CONF_H
#define VOXBUS_CONFIG_APPLICATION_CONF_H

#include "config/schema.h"

enum application_deduplicate { APPLICATION_REDELIVERED, APPLICATION_ALWAYS, APPLICATION_NEVER };

struct application_events_conf {
	struct conf_strings drop;  /* types; no two are equal */
	struct conf_durations ttl; /* by type; none of them is in drop */
};

enum application_away { APPLICATION_HOLD, APPLICATION_REFUSE };

struct application_away_conf {
	int policy;                      /* enum application_away */
	uint64_t events_max, age_max_ms; /* 0: no limit */
};

struct application_accept_conf {
	uint64_t within_ms; /* 0: off */
	uint64_t tries;
};

struct application_conf {
	char *name;
	char *bus; /* never NULL: the name of a bus */
	bool record;
	struct application_events_conf events;
	int deduplicate; /* enum application_deduplicate */
	bool application_events;
	uint64_t keep_ms;
	struct application_away_conf while_away;
	struct application_accept_conf accept;
};

extern const struct conf_table application_conf;

#endif
