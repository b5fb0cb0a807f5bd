/* SPDX-License-Identifier: MIT */
/* How much of the journal a family of streams takes: an account's queues, for its quota. */
#ifndef VOXBUS_CORE_METER_H
#define VOXBUS_CORE_METER_H

#include "core/stream.h"

/*
 * Counts what the journal keeps of all streams whose names begin with `prefix`: bytes, heads and all,
 * of messages that are still needed. It lies in its user, who keeps prefix as long.
 */
struct stream_meter {
	struct list link; /* streams.meters */
	struct str prefix;
	uint64_t bytes;
};
void streams_meter(struct streams *streams, struct stream_meter *meter);
/* Also of one whose link was only initialised. Before the journal is closed. */
void streams_unmeter(struct streams *streams, struct stream_meter *meter);

#endif
