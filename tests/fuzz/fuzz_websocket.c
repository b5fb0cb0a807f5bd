/* SPDX-License-Identifier: MIT */
/*
 * WebSocket frames from an enemy, in both roles, and the handshake's headers.
 *
 * The first byte chooses: bit 0 the role, bit 1 whether headers or frames follow, the rest where
 * the input is cut. Frames must be judged the same however they are cut, a message is never over
 * the maximum, and text is always UTF-8.
 */
#include <stdint.h>
#include <stdlib.h>

#include "codec/websocket.h"
#include "net/ws_frames.h"

enum { MAX = 4096 };

struct seen {
	uint64_t sum;
	size_t messages;
};

static void on_message(void *arg, struct str data, bool text)
{
	struct seen *s = arg;

	if (data.n > MAX || (text && !str_is_utf8(data)))
		abort();
	s->messages++;
	for (size_t i = 0; i < data.n; i++)
		s->sum = s->sum * 31 + (unsigned char)data.p[i];
}

static enum ws_frames_state feed(struct str data, size_t step, bool server, struct seen *seen,
				 int *code)
{
	struct ws_frames_init init = { server, MAX, on_message, seen };
	enum ws_frames_state state = WS_FRAMES_OPEN;
	struct ws_frames *f;
	struct str ping;
	struct buf out;

	if (ws_frames_create(&init, &f) < 0)
		abort();
	buf_init(&out, 2 * MAX);
	while (data.n) {
		size_t n = step < data.n ? step : data.n;

		state = ws_frames_feed(f, str_make(data.p, n));
		data = str_skip(data, n);
		buf_clear(&out);
		if (ws_frames_take_ping(f, &ping) && ws_frames_put(f, WS_PONG, ping, &out) < 0)
			abort();
	}
	*code = ws_frames_code(f);
	if (state == WS_FRAMES_BROKEN && !websocket_code_is_valid(*code))
		abort();
	if (!str_is_utf8(ws_frames_reason(f)))
		abort();
	buf_clear(&out);
	if (ws_frames_put_close(f, *code, ws_frames_reason(f), &out) < 0)
		abort();
	buf_fini(&out);
	(void)ws_frames_destroy(f);
	return state;
}

static void check_frames(struct str data, bool server, size_t step)
{
	struct seen whole = { 0 }, cut = { 0 };
	int code, cut_code;
	enum ws_frames_state state = feed(data, SIZE_MAX, server, &whole, &code);

	if (feed(data, step, server, &cut, &cut_code) != state || code != cut_code ||
	    whole.sum != cut.sum || whole.messages != cut.messages)
		abort();
}

/* "Name: value" lines. */
static void check_headers(struct str data)
{
	char accept[WEBSOCKET_ACCEPT_SIZE];
	struct websocket_head head = { 0 };

	while (data.p) {
		struct str value = str_cut(&data, '\n'), name = str_cut(&value, ':');

		websocket_head_add(&head, name, value);
	}
	if (websocket_check_request(&head, STR("GET"), 1, accept) == 0 &&
	    strlen(accept) != WEBSOCKET_ACCEPT_SIZE - 1)
		abort();
	(void)websocket_check_answer(&head, STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), STR("ari"));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct str data;

	if (n == 0)
		return 0;
	data = str_make((const char *)p + 1, n - 1);
	if (p[0] & 2)
		check_headers(data);
	else
		check_frames(data, p[0] & 1, (size_t)(p[0] >> 2) + 1);
	return 0;
}
