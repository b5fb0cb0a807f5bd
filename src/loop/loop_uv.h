/* SPDX-License-Identifier: MIT */
/* The libuv loop, for src/net and nothing else. */
#ifndef VOXBUS_LOOP_LOOP_UV_H
#define VOXBUS_LOOP_LOOP_UV_H

#include <stdbool.h>
#include <uv.h>

struct loop;

uv_loop_t *loop_uv(struct loop *loop);

/*
 * uv_poll_init that fails with -ENOMEM where libuv, when the handle is started, would end the process for
 * want of memory. Of a handle that it refused nothing needs to be closed.
 */
int loop_poll_init(struct loop *loop, uv_poll_t *poll, int fd);

/* For the loop itself: uv_loop_init in the same way. */
int loop_uv_init(uv_loop_t *uv);

#endif
