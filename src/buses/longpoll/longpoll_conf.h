/* SPDX-License-Identifier: MIT */
/* The keys of `buses: [{type: longpoll, ...}]`; their meaning is in voxbus.yaml(5). */
#ifndef VOXBUS_BUSES_LONGPOLL_LONGPOLL_CONF_H
#define VOXBUS_BUSES_LONGPOLL_LONGPOLL_CONF_H

#include "config/schema.h"

/* Who may write to ordinary queues. */
enum { PUBLISH_OPEN, PUBLISH_SIGNED, PUBLISH_SESSION, PUBLISH_SIGNED_OR_SESSION };
/* What the answer to a publisher waits for. */
enum { DURABILITY_DURABLE, DURABILITY_RELAXED };

struct longpoll_conf {
	char *name;
	char *account;            /* a sid; NULL: the only account */
	uint64_t poll_timeout_ms; /* of a poll that names none */
	uint64_t body_max;        /* bytes of one message */
	int publish, durability;  /* one of the above */
	uint64_t rate, burst;     /* messages published a second, at once; 0: no limit, the rate */
	uint64_t quota;           /* bytes that wait; 0: no limit but the journal's */
	uint64_t hold_ms;         /* of a call's request whose URL says nothing */
	uint64_t park_ms;         /* how long an answered call is expected back */
	bool disconnect_events;   /* a message when a caller leaves */
	uint64_t deliveries_max;  /* without an acknowledgement, then it is dead */
};

extern const struct conf_table longpoll_conf;

#endif
