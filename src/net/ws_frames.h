/* SPDX-License-Identifier: MIT */
/*
 * The frames of RFC 6455, without a socket: bytes in, whole messages out, and back.
 *
 * wslay reads and writes frames; what makes messages of them is ours, because wslay's own event
 * layer queues without a bound. A violation ends reading and says which close code it earns.
 */
#ifndef VOXBUS_NET_WS_FRAMES_H
#define VOXBUS_NET_WS_FRAMES_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

enum {
	WS_CONTROL_MAX = 125, /* payload of a control frame: RFC 6455 section 5.5 */
	WS_HEADER_MAX = 14,
	WS_CODE_NONE = 1005, /* never in a frame: a close without a code */
	WS_CODE_PROTOCOL = 1002,
	WS_CODE_UTF8 = 1007,
	WS_CODE_TOO_BIG = 1009,
	WS_CODE_INTERNAL = 1011,
};

enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

enum ws_frames_state {
	WS_FRAMES_OPEN,
	WS_FRAMES_CLOSED, /* the peer sent a close frame */
	WS_FRAMES_BROKEN, /* the peer violated the protocol */
};

struct ws_frames;

struct ws_frames_init {
	bool server; /* else client: it masks, its peer must not */
	size_t message_max;
	/* A whole message; the bytes are gone when it returns. It may stop the frames. */
	void (*on_message)(void *arg, struct str data, bool text);
	void *arg;
};

int ws_frames_create(const struct ws_frames_init *init, struct ws_frames **ret);
struct ws_frames *ws_frames_destroy(struct ws_frames *f);
/* Reads; from the first close or violation on it ignores everything. Not to be called inside. */
enum ws_frames_state ws_frames_feed(struct ws_frames *f, struct str data);
/* From inside on_message: nothing more is wanted. */
void ws_frames_stop(struct ws_frames *f);
/* The close code that came (WS_CODE_NONE if it had none) or that the violation earns. */
int ws_frames_code(const struct ws_frames *f);
/* The reason in the close frame that came, else empty. */
struct str ws_frames_reason(const struct ws_frames *f);
/* Whether a ping came since the last call, and its payload: only the latest is answered. */
bool ws_frames_take_ping(struct ws_frames *f, struct str *ret);
/* Appends one frame: 0, or -ENOBUFS / -ENOMEM and out is as it was. */
int ws_frames_put(struct ws_frames *f, enum ws_opcode opcode, struct str data, struct buf *out);
/* A close frame; code 0 or WS_CODE_NONE has none, the reason is cut at a whole character. */
int ws_frames_put_close(struct ws_frames *f, int code, struct str reason, struct buf *out);

#endif
