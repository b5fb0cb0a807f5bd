/* SPDX-License-Identifier: MIT */
/*
 * Messages from wslay's frames.
 *
 *   bytes -> recv_bytes -> wslay_frame_recv -> take_piece -> end_of_frame -> on_message
 *
 * wslay 1.1.1's frame layer checks lengths (shortest form, sign) and control frames (whole, at
 * most 125 bytes) and undoes the mask; it does not check whether a mask had to be there, reserved
 * bits, opcodes, the order of fragments, or anything in a payload: all that is here.
 * A message that lies whole in wslay's buffer is handed on from there without a copy.
 */
#include "net/ws_frames.h"

#include <errno.h>
#include <stdlib.h>

#include <wslay/wslay.h>

#include "base/rand.h"
#include "codec/websocket.h"

struct ws_frames {
	wslay_frame_context_ptr wslay;
	struct ws_frames_init init;
	struct str in;      /* what is being fed */
	struct buf *out;    /* where a frame is being put */
	struct buf message; /* the pieces of a message so far */
	enum ws_frames_state state;
	bool stopped, in_frame, pinged;
	uint8_t opcode; /* of the message that has begun; 0 = none has */
	uint64_t got;   /* payload bytes of the running frame */
	uint16_t code;
	uint8_t control_n, ping_n, reason_n;
	char control[WS_CONTROL_MAX], ping[WS_CONTROL_MAX], reason[WS_CONTROL_MAX];
};

static ssize_t recv_bytes(uint8_t *to, size_t n, int flags, void *arg)
{
	struct ws_frames *f = arg;

	if (f->in.n == 0)
		return -1;
	if (n > f->in.n)
		n = f->in.n;
	memcpy(to, f->in.p, n);
	f->in = str_skip(f->in, n);
	return (ssize_t)n;
}

static ssize_t send_bytes(const uint8_t *data, size_t n, int flags, void *arg)
{
	struct ws_frames *f = arg;

	return buf_add(f->out, str_make((const char *)data, n)) < 0 ? -1 : (ssize_t)n;
}

static int make_mask(uint8_t *to, size_t n, void *arg)
{
	rand_bytes(to, n);
	return 0;
}

static void broken(struct ws_frames *f, int code)
{
	f->state = WS_FRAMES_BROKEN;
	f->code = (uint16_t)code;
}

/* What can be said of a frame by its header. */
static int check_header(const struct ws_frames *f, const struct wslay_frame_iocb *io)
{
	bool control = wslay_is_ctrl_frame(io->opcode);
	uint64_t len = io->payload_length;

	if (io->rsv || (io->mask != 0) != f->init.server)
		return WS_CODE_PROTOCOL;
	if (control)
		return io->opcode > WS_PONG || !io->fin || len > WS_CONTROL_MAX ? WS_CODE_PROTOCOL
										: 0;
	if (io->opcode > WS_BINARY || (io->opcode == 0) != (f->opcode != 0))
		return WS_CODE_PROTOCOL;
	return len > f->init.message_max - buf_len(&f->message) ? WS_CODE_TOO_BIG : 0;
}

static void deliver(struct ws_frames *f, struct str data)
{
	bool text = f->opcode == WS_TEXT;

	f->opcode = 0;
	if (text && !str_is_utf8(data)) {
		broken(f, WS_CODE_UTF8);
		return;
	}
	f->init.on_message(f->init.arg, data, text);
	buf_consume(&f->message, buf_len(&f->message));
}

static void take_close(struct ws_frames *f)
{
	struct str reason = str_skip(str_make(f->control, f->control_n), 2);
	int code = WS_CODE_NONE;

	if (f->control_n >= 2)
		code = (uint8_t)f->control[0] << 8 | (uint8_t)f->control[1];
	if (f->control_n == 1 || (f->control_n >= 2 && !websocket_code_is_valid(code))) {
		broken(f, WS_CODE_PROTOCOL);
	} else if (!str_is_utf8(reason)) {
		broken(f, WS_CODE_UTF8);
	} else {
		f->state = WS_FRAMES_CLOSED;
		f->code = (uint16_t)code;
		f->reason_n = (uint8_t)reason.n;
		memcpy(f->reason, reason.p, reason.n);
	}
}

static void end_of_control(struct ws_frames *f, uint8_t opcode)
{
	if (opcode == WS_CLOSE) {
		take_close(f);
	} else if (opcode == WS_PING) {
		f->pinged = true;
		f->ping_n = f->control_n;
		memcpy(f->ping, f->control, f->control_n);
	}
}

static void take_piece(struct ws_frames *f, const struct wslay_frame_iocb *io)
{
	struct str piece = str_make((const char *)io->data, io->data_length);
	bool control = wslay_is_ctrl_frame(io->opcode), whole;

	if (!piece.n)
		piece.p = "";
	if (!f->in_frame) {
		int code = check_header(f, io);

		if (code) {
			broken(f, code);
			return;
		}
		f->in_frame = true;
		f->got = 0;
		f->control_n = control ? 0 : f->control_n;
		f->opcode = control || io->opcode == 0 ? f->opcode : io->opcode;
	}
	f->got += piece.n;
	whole = f->got == io->payload_length;
	f->in_frame = !whole;
	if (control) {
		memcpy(f->control + f->control_n, piece.p, piece.n);
		f->control_n = (uint8_t)(f->control_n + piece.n);
		if (whole)
			end_of_control(f, io->opcode);
	} else if (whole && io->fin && buf_len(&f->message) == 0) {
		deliver(f, piece);
	} else if (buf_add(&f->message, piece) < 0) {
		broken(f, WS_CODE_INTERNAL);
	} else if (whole && io->fin) {
		deliver(f, buf_str(&f->message));
	}
}

enum ws_frames_state ws_frames_feed(struct ws_frames *f, struct str data)
{
	f->in = data;
	while (f->state == WS_FRAMES_OPEN && !f->stopped) {
		struct wslay_frame_iocb io = { 0 };
		ssize_t n = wslay_frame_recv(f->wslay, &io);

		if (n == WSLAY_ERR_WANT_READ)
			break;
		if (n < 0)
			broken(f, WS_CODE_PROTOCOL);
		else
			take_piece(f, &io);
	}
	f->in = str_make(NULL, 0);
	if (f->state != WS_FRAMES_OPEN)
		buf_fini(&f->message);
	return f->state;
}

int ws_frames_create(const struct ws_frames_init *init, struct ws_frames **ret)
{
	static const struct wslay_frame_callbacks callbacks = { send_bytes, recv_bytes, make_mask };
	struct ws_frames *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->init = *init;
	buf_init(&f->message, init->message_max);
	if (wslay_frame_context_init(&f->wslay, &callbacks, f) < 0) {
		free(f);
		return -ENOMEM;
	}
	*ret = f;
	return 0;
}

struct ws_frames *ws_frames_destroy(struct ws_frames *f)
{
	if (!f)
		return NULL;
	wslay_frame_context_free(f->wslay);
	buf_fini(&f->message);
	free(f);
	return NULL;
}

void ws_frames_stop(struct ws_frames *f)
{
	f->stopped = true;
}

int ws_frames_code(const struct ws_frames *f)
{
	return f->code;
}

struct str ws_frames_reason(const struct ws_frames *f)
{
	return str_make(f->reason, f->reason_n);
}

bool ws_frames_take_ping(struct ws_frames *f, struct str *ret)
{
	bool pinged = f->pinged;

	f->pinged = false;
	*ret = str_make(f->ping, f->ping_n);
	return pinged;
}

int ws_frames_put(struct ws_frames *f, enum ws_opcode opcode, struct str data, struct buf *out)
{
	/* Room for all of it first: wslay can't take half a frame back. */
	int rc = data.n > SIZE_MAX - WS_HEADER_MAX ? -ENOBUFS
						   : buf_reserve(out, data.n + WS_HEADER_MAX);
	struct wslay_frame_iocb io = {
		.fin = 1,
		.opcode = (uint8_t)opcode,
		.mask = !f->init.server,
		.payload_length = data.n,
		.data = (const uint8_t *)(data.n ? data.p : ""),
		.data_length = data.n,
	};

	if (rc < 0)
		return rc;
	f->out = out;
	do {
		ssize_t n = wslay_frame_send(f->wslay, &io);

		if (n < 0)
			return -EINVAL;
		io.data += n;
		io.data_length -= (size_t)n;
	} while (io.data_length);
	return 0;
}

int ws_frames_put_close(struct ws_frames *f, int code, struct str reason, struct buf *out)
{
	char payload[WS_CONTROL_MAX] = { (char)(code >> 8), (char)(code & 0xff) };
	size_t n = reason.n < sizeof(payload) - 2 ? reason.n : sizeof(payload) - 2;

	if (code == 0 || code == WS_CODE_NONE)
		return ws_frames_put(f, WS_CLOSE, str_make("", 0), out);
	while (n < reason.n && n && ((unsigned char)reason.p[n] & 0xc0) == 0x80)
		n--;
	if (n)
		memcpy(payload + 2, reason.p, n);
	return ws_frames_put(f, WS_CLOSE, str_make(payload, n + 2), out);
}
