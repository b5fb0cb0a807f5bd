/* SPDX-License-Identifier: MIT */
/*
 * Queues as the people who run the daemon see them: what lies in them, and who waits.
 *
 * A bus whose clients name queues of their own (port_ops.queues) shows them here; the topics of calls
 * are no such queues. One name may stand in several accounts, and so in several buses.
 */
#ifndef VOXBUS_CORE_QUEUE_VIEW_H
#define VOXBUS_CORE_QUEUE_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct hub;
struct stream_sync;

/* The strings live inside the call. */
struct queue_view {
	const char *bus;
	struct str account, name;
	uint64_t messages;  /* not delivered yet, those under way included */
	uint64_t under_way; /* of them: sent, and not known to have come */
	uint64_t waiters;
	uint64_t
		oldest_ns; /* when the oldest came (clock_wall_ns); 0: none, or it is on the disk alone */
};

typedef void (*queue_view_fn)(void *arg, const struct queue_view *view);

/* What a port has of them. `bus` is filled in by the hub. */
struct port_queues {
	void (*each)(void *self, queue_view_fn fn, void *arg);
	/* Calls fn if there is a queue of that name ("<account>/<name>" or the name alone). */
	bool (*find)(void *self, struct str name, queue_view_fn fn, void *arg);
	/*
	 * Drops its messages but for those under way: 0 and how many; sync is told when that is
	 * durable. -ENOENT, -ENOMEM.
	 */
	int (*purge)(void *self, struct str name, struct stream_sync *sync, uint64_t *ret_n);
};

/* In no particular order. */
void hub_each_queue(struct hub *hub, queue_view_fn fn, void *arg);
/* Calls fn for the one queue of that name: 0, -ENOENT, or -EEXIST (several accounts have one). */
int hub_find_queue(struct hub *hub, struct str name, queue_view_fn fn, void *arg);
/* As port_queues.purge, of the one queue of that name: also -EEXIST. */
int hub_purge_queue(struct hub *hub, struct str name, struct stream_sync *sync, uint64_t *ret_n);

#endif
