/* SPDX-License-Identifier: MIT */
/*
 * An Asterisk for benchmarks: recorded frames of a real one, sent as fast as the reader takes them.
 *
 * It runs in threads of its own on blocking sockets, so that its cost is not the daemon's. Frames
 * come from tests/fixtures/ari; the channel's id is replaced by the call's and the digits of the
 * time stamp by the number of the event within its call, so that the reader can tell order.
 */
#ifndef VOXBUS_BENCH_ARI_SOURCE_H
#define VOXBUS_BENCH_ARI_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct ari_source;

/* Listens on 127.0.0.1 and serves what the engine asks for. Ends the program on any trouble. */
struct ari_source *ari_source_start(const char *fixtures_dir);
int ari_source_port(const struct ari_source *source);
/* The engine has opened its websocket. */
bool ari_source_ready(struct ari_source *source);
/*
 * Calls first..first+calls-1: StasisStart, then events-3 of the recorded ones, then StasisEnd and
 * ChannelDestroyed, call by call in turn. Sends from a thread; ari_source_join waits for it.
 */
void ari_source_flood(struct ari_source *source, unsigned first, unsigned calls, unsigned events);
void ari_source_join(struct ari_source *source);
/* One StasisStart now; the moment at which it was written, in microseconds of loop_now_us. */
uint64_t ari_source_call(struct ari_source *source, unsigned call);
/* The number of the event within its call, from a frame's time stamp; -1: not one of ours. */
long ari_source_number(struct str frame);
/* Mean bytes of a frame that flood sends. */
double ari_source_frame_size(const struct ari_source *source);

#endif
