/* SPDX-License-Identifier: MIT */
/*
 * The clients of a benchmark that publishes and polls: some connections that wait for messages,
 * some that publish, each kept alive with one request under way, in one loop over epoll.
 */
#ifndef VOXBUS_BENCH_LOAD_H
#define VOXBUS_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service.h"

struct load_client;

struct load {
	const struct service *service;
	unsigned n_waiters, n_publishers;
	unsigned n_queues; /* waiters and publishes are dealt out to them in turn */
	unsigned max;      /* messages that a waiter asks for; 0: it does not wait */
	bool poll_again;   /* a waiter that was answered asks again at once */
	/* since load_create, or since the owner set them to 0 */
	uint64_t begun, acked;       /* publishes */
	uint64_t answers, delivered; /* polls, messages in them */
	uint64_t last_us;            /* when the last message came */
	uint64_t *us; /* publish to deliver, of the first max_us messages; the owner's */
	size_t n_us, max_us;
	uint64_t to_publish; /* what load_publish was told and has not begun; may be set to 0 */
	/* its own */
	struct load_client *clients; /* waiters first */
	int epoll;
};

/* Connects all; the waiters then ask (load_ask) when they are told to. Members above are set. */
void load_create(struct load *load);
/* All waiters ask; returns when the service says that they wait. */
void load_ask(struct load *load);
/* One waiter asks now. */
void load_ask_one(struct load *load, unsigned i);
/* So many publishes more, as fast as they are acknowledged; those that are idle begin at once. */
void load_publish(struct load *load, uint64_t n);
/* Takes what has come, waiting for it for at most so long. */
void load_turn(struct load *load, int timeout_ms);
/* Turns until *count is at least n. */
void load_until(struct load *load, const uint64_t *count, uint64_t n);
void load_destroy(struct load *load);

#endif
