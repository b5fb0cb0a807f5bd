/* SPDX-License-Identifier: MIT */
/* Streams for who only looks at them: status, lists of queues. */
#ifndef VOXBUS_CORE_STREAM_VIEW_H
#define VOXBUS_CORE_STREAM_VIEW_H

#include "core/stream.h"

/* Walks all streams, in no particular order; fn makes and forgets none. */
void streams_each(const struct streams *streams, void (*fn)(void *arg, const struct stream *stream),
		  void *arg);
/* The oldest visible message that needs no disk, or `visible`. */
uint64_t stream_in_memory(const struct stream *stream);

#endif
