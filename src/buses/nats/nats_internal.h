/* SPDX-License-Identifier: MIT */
/* Inside the port: nats.c has its ops, nats_link.c when it dials, pings and gives up. */
#ifndef VOXBUS_BUSES_NATS_NATS_INTERNAL_H
#define VOXBUS_BUSES_NATS_NATS_INTERNAL_H

#include "buses/nats/nats_commands.h"
#include "buses/nats/nats_line.h"
#include "buses/nats/nats_outbox.h"
#include "core/port.h"
#include "net/backoff.h"

enum {
	NATS_BACKOFF_FIRST_MS = 100,
	NATS_BACKOFF_MAX_MS = 3000,
	NATS_FAILED_MS = 15000, /* until the next attempt when a person must act */
	NATS_STOP_MS = 2500,    /* a thread that has not ended by then is left behind */
	NATS_TICK_MS = 100,
	NATS_PROVEN_MS = 5000, /* a link that lived so long is dialled again soon */
	NATS_PULL_MAX = 256,   /* commands that a stream may bring unasked */
};

/* A subscription to be made or ended with the next batch. */
struct nats_want {
	struct list link; /* nats.wants */
	enum nats_kind
		kind; /* NATS_SUB, NATS_UNSUB; NATS_PUB: an acknowledgement to that subject */
	size_t n;
	char topic[];
};

struct nats {
	struct port *port;
	struct port_env env;
	const struct nats_conf *conf;
	struct nats_line *line;
	struct nats_outbox *outbox;
	struct nats_commands *commands;
	struct nats_batch batch; /* the line's during a round */
	struct list wants;       /* struct nats_want.link */
	struct task pump;        /* begins a round, if none is under way */
	struct task closed;      /* CLOSED without a thread to wait for */

	/* The link. */
	bool up;       /* a connection that we believe in */
	bool outdated; /* the round under way belongs to a link that was given up */
	bool headers_said, started, stopping, closed_said, paused;
	size_t server;   /* whose turn it is: 0 the url, then failover */
	size_t attempts; /* since the last wait */
	int worst;       /* why they failed */
	struct backoff backoff;
	struct timer dial, tick, stop;
	uint64_t up_ms;   /* when it was made */
	uint64_t pulled;  /* commands asked for, and that have come, since then or before */
	uint64_t life_ms; /* when the server last showed that it lives */
	size_t max_payload;
	char reason[NATS_REASON + 64];

	uint64_t connects, rounds;
};

/* nats_link.c */
void nats_link_init(struct nats *n);
void nats_link_start(struct nats *n);
/* Dials no more and forgets what is in flight. */
void nats_link_stop(struct nats *n);
void nats_link_lost(struct nats *n, const char *reason);
extern const struct nats_line_events nats_link_events;

/* nats.c */
/* Hands the line a batch: what is there, or, with `ping`, also an empty one. */
void nats_round(struct nats *n, bool ping);
void nats_round_done(struct nats *n, struct nats_batch *batch);
void nats_closed(struct nats *n);
/* Forgets what belongs to a connection. */
void nats_forget(struct nats *n);

#endif
