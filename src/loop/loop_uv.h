/* SPDX-License-Identifier: MIT */
/* The libuv loop, for src/net and nothing else. */
#ifndef VOXBUS_LOOP_LOOP_UV_H
#define VOXBUS_LOOP_LOOP_UV_H

#include <uv.h>

struct loop;

uv_loop_t *loop_uv(struct loop *loop);

#endif
