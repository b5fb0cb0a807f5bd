/* SPDX-License-Identifier: MIT */
/*
 * Where a benchmark publishes and subscribes: voxbusd, or nginx with nchan. One such server runs as
 * a child, with a configuration in which it does its best; requests to it differ here alone.
 *
 * Waiters of one queue compete in voxbus: each message is one's. In nchan each of them gets each message.
 */
#ifndef VOXBUS_BENCH_SERVICE_H
#define VOXBUS_BENCH_SERVICE_H

#include <stdbool.h>

#include "child.h"

enum service_kind {
	VOXBUS,         /* a publish is acknowledged when it is on the disk */
	VOXBUS_RELAXED, /* or before that, as the query asks (durability=relaxed) */
	NCHAN,          /* one message an answer */
	NCHAN_RAW,      /* all messages that are there in one answer */
};

struct service {
	enum service_kind kind;
	struct child child;
	struct child measured; /* whose memory and CPU count: nginx's worker, or the child itself */
	char session[64];
};

/* What a waiter has seen: it asks for what came after that. */
struct service_place {
	char modified[40], tag[32];
};

/* kind: "voxbus", "relaxed", "nchan" or "raw"; false: none of them. It starts and is ready. */
bool service_start(struct service *service, const char *kind, const char *program);
bool service_is_voxbus(const struct service *service);
/* Requests as text: their length. Forms as a CPaaS posts them for an SMS, some 250 bytes. */
size_t service_publish(const struct service *service, unsigned queue, uint64_t stamp_us, char *text,
		       size_t size);
/* Waits ten minutes, for at most `max` messages where that can be said; 0 `max`: does not wait. */
size_t service_poll(const struct service *service, unsigned queue, unsigned max,
		    const struct service_place *place, char *text, size_t size);
/* Polls that wait there now. */
uint64_t service_waiters(const struct service *service);
void service_stop(struct service *service);

#endif
