/* SPDX-License-Identifier: MIT */
/*
 * The line to one server: the library nats.c behind one thread, and one job at a time.
 *
 * The library blocks (connect, flush, a full socket), so the thread is the only one that calls it. The
 * loop gives it a job and hears by a post when it is done; between two jobs it has none. All functions
 * are called on the loop's thread and return at once, except nats_line_destroy (see there).
 */
#ifndef VOXBUS_BUSES_NATS_NATS_LINE_H
#define VOXBUS_BUSES_NATS_NATS_LINE_H

#include <nats/nats.h>

#include "buses/nats/nats_batch.h"
#include "buses/nats/nats_conf.h"
#include "loop/loop.h"

enum {
	NATS_INCOMING_MESSAGES = 4096, /* read by the library and not yet by us: more are dropped */
	NATS_INCOMING_BYTES = 16 * 1024 * 1024,
	NATS_WRITE_MS = 2000, /* a socket that takes nothing for so long is given up */
	NATS_REASON = 256,
};

struct nats_line;

/* What the server said of itself. */
struct nats_greeting {
	size_t max_payload;
	bool headers; /* it tells when nobody listens */
};

/* All on the loop's thread, none from inside a call of ours. */
struct nats_line_events {
	/*
	 * The answer to nats_line_connect: 0, -ECONNREFUSED (nobody there, or it fell silent), -EACCES
	 * (our login), -EPROTO (TLS, or it is no NATS server), -EINVAL (our files).
	 */
	void (*on_connected)(void *arg, int rc, const char *reason,
			     const struct nats_greeting *greeting);
	/* The answer to nats_line_round: 0, the server has read it all; else the link is lost. */
	void (*on_round)(void *arg, struct nats_batch *batch, int rc, const char *reason);
	/* The link went while nobody asked. */
	void (*on_lost)(void *arg, const char *reason);
	/* nats_line_take has something. */
	void (*on_messages)(void *arg);
	/* The thread has ended. */
	void (*on_ended)(void *arg);
};

struct nats_line_options {
	struct loop *loop;
	const struct log *log;
	const struct nats_conf *conf; /* outlives the line, or nats_line_destroy waits */
	const char *client;           /* the connection's name, copied */
	const struct nats_line_events *events;
	void *arg;
};

/* Memory only: the thread starts with nats_line_start. 0 or -ENOMEM. */
int nats_line_create(const struct nats_line_options *options, struct nats_line **ret);
/* 0 or a negative errno. */
int nats_line_start(struct nats_line *line);
/* Job: to that server (host:port), after hanging up on any other. */
void nats_line_connect(struct nats_line *line, struct str host_port);
/*
 * Job: carries the batch out and waits until the server has read it, at most wait_ms. The batch is
 * the line's until on_round.
 */
void nats_line_round(struct nats_line *line, struct nats_batch *batch, uint64_t wait_ms);
/* Whether a job is under way. */
bool nats_line_is_busy(const struct nats_line *line);
/* Ends the connection from outside, so that a job which waits for the server ends, too. */
void nats_line_break(struct nats_line *line);
/* The oldest message of a subscription, or NULL; the caller's from now on. */
natsMsg *nats_line_take(struct nats_line *line);
/* Messages dropped because nobody took them, and other complaints of the library. */
uint64_t nats_line_dropped(const struct nats_line *line);
/* No more jobs: hangs up and ends the thread, then on_ended. */
void nats_line_stop(struct nats_line *line);
/*
 * No event comes any more. A thread that has not ended is waited for a moment (0.6 s), and then left
 * to itself: it goes as soon as the library lets it.
 */
struct nats_line *nats_line_destroy(struct nats_line *line);

#endif
