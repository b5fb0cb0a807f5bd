/* SPDX-License-Identifier: MIT */
/*
 * A WebSocket link once its handshake is under way: messages, pings, silence, and the end.
 *
 * Closing takes three steps whoever begins it: close frames both ways, our FIN, the peer's FIN
 * (so that no reset overtakes our close frame); the last two are bounded by dead_ms.
 * The owner may destroy the link in any event: what still runs inside notices by `destroyed`.
 *
 * Silence is measured by one lazy timer that looks when the last byte came, so a byte costs one
 * store. A loop that was held up itself finds the timer before the bytes: hence the last chance,
 * one turn of reading before a link is declared dead.
 */
#include "net/ws.h"

#include <errno.h>
#include <stdlib.h>

#include "net/ws_internal.h"

enum {
	MESSAGE_MAX = 1 << 20,
	WRITE_MAX = 1 << 20,
	PING_MS = 1000,
	STALE_MS = 2500,
	DEAD_MS = 10000
};

static void on_message(void *arg, struct str data, bool text)
{
	struct ws *ws = arg;

	if (ws->events.on_message)
		ws->events.on_message(ws->arg, data, text);
}

static void ws_free(struct ws *ws)
{
	ws->frames = ws_frames_destroy(ws->frames);
	ws->hello = ws_hello_destroy(ws->hello);
	buf_fini(&ws->out);
	buf_fini(&ws->rest);
	free(ws);
}

void ws_enter(struct ws *ws)
{
	ws->inside++;
}

bool ws_leave(struct ws *ws)
{
	if (--ws->inside || !ws->destroyed)
		return !ws->destroyed;
	ws_free(ws);
	return false;
}

/* One frame to the kernel: 0, -ENOBUFS, -EPIPE, -ENOMEM. */
static int put_out(struct ws *ws, int rc)
{
	struct str s = buf_str(&ws->out);

	if (rc == 0)
		rc = conn_write(ws->conn, &s, 1);
	buf_consume(&ws->out, buf_len(&ws->out));
	return rc;
}

static int put(struct ws *ws, enum ws_opcode opcode, struct str data)
{
	return put_out(ws, ws_frames_put(ws->frames, opcode, data, &ws->out));
}

static void put_close(struct ws *ws, int code, struct str reason)
{
	if (ws->close_sent)
		return;
	ws->close_sent = true;
	/* Without room for it the peer gets the FIN alone. */
	(void)put_out(ws, ws_frames_put_close(ws->frames, code, reason, &ws->out));
}

static void set_deadline(struct ws *ws)
{
	ws->deadline_ms = loop_now(ws->loop) + ws->options.dead_ms;
	ws->last_chance = false;
	ws_watch(ws);
}

void ws_say(struct ws *ws, int code, struct str text)
{
	ws->code = code;
	ws->text_n = text.n < WS_TEXT_MAX ? text.n : WS_TEXT_MAX;
	if (ws->text_n)
		memcpy(ws->text, text.p, ws->text_n);
}

static void stop(struct ws *ws)
{
	timer_stop(&ws->watch);
	timer_stop(&ws->pinger);
	task_cancel(&ws->opening);
	ws_frames_stop(ws->frames);
	ws->conn = conn_destroy(ws->conn);
}

void ws_finish(struct ws *ws, int reason)
{
	if (ws->state == WS_DONE || ws->destroyed)
		return;
	ws->state = WS_DONE;
	stop(ws);
	if (ws->events.on_end)
		ws->events.on_end(ws->arg, reason, ws->code, str_make(ws->text, ws->text_n));
}

/* Everything is said: the FIN, and at most dead_ms for the peer's. */
static void leave(struct ws *ws, int reason)
{
	ws->state = WS_LEAVING;
	ws->reason = reason;
	timer_stop(&ws->pinger);
	conn_shutdown(ws->conn);
	set_deadline(ws);
}

static void set_stale(struct ws *ws, bool stale)
{
	ws->stale = stale;
	if (ws->events.on_stale)
		ws->events.on_stale(ws->arg, stale);
}

static void on_watch(void *arg)
{
	struct ws *ws = arg;
	uint64_t silent = loop_now(ws->loop) - ws->heard_ms;
	bool dead = ws->deadline_ms ? loop_now(ws->loop) >= ws->deadline_ms
				    : silent >= ws->options.dead_ms;

	ws_enter(ws);
	if (dead && ws->last_chance) {
		ws_finish(ws, ws->state == WS_LEAVING ? ws->reason : -ETIMEDOUT);
	} else {
		ws->last_chance = dead;
		if (!dead && !ws->deadline_ms && !ws->stale && silent >= ws->options.stale_ms)
			set_stale(ws, true);
		if (!ws->destroyed)
			ws_watch(ws);
	}
	(void)ws_leave(ws);
}

void ws_watch(struct ws *ws)
{
	uint64_t now = loop_now(ws->loop), due = ws->deadline_ms;

	if (!due)
		due = ws->heard_ms + (ws->stale || ws->options.stale_ms > ws->options.dead_ms
					      ? ws->options.dead_ms
					      : ws->options.stale_ms);
	/* Without memory for a timer the link is not watched; the next byte tries again. */
	(void)timer_start(&ws->watch, due > now ? due - now : 0);
}

static void on_pinger(void *arg)
{
	struct ws *ws = arg;

	if (!ws->close_sent)
		(void)put(ws, WS_PING, str_make("", 0));
	(void)timer_start(&ws->pinger, ws->options.ping_ms);
}

void ws_opened(struct ws *ws)
{
	ws->state = WS_OPEN;
	ws->deadline_ms = 0;
	ws->heard_ms = loop_now(ws->loop);
	ws_watch(ws);
	(void)timer_start(&ws->pinger, ws->options.ping_ms);
	if (ws->events.on_open)
		ws->events.on_open(ws->arg);
}

void ws_bytes(struct ws *ws, struct str data)
{
	enum ws_frames_state state;
	struct str ping;

	if (ws->state != WS_OPEN)
		return;
	state = ws_frames_feed(ws->frames, data);
	if (ws->destroyed || ws->state != WS_OPEN)
		return;
	if (ws_frames_take_ping(ws->frames, &ping) && !ws->close_sent)
		(void)put(ws, WS_PONG, ping);
	if (state == WS_FRAMES_OPEN)
		return;
	ws_say(ws, ws_frames_code(ws->frames), ws_frames_reason(ws->frames));
	put_close(ws, ws->code, str_make(NULL, 0));
	leave(ws, state == WS_FRAMES_CLOSED ? 0 : -EPROTO);
}

/* A server's on_open comes before anything else, even if the peer is faster than the task. */
static void open_now(struct ws *ws)
{
	if (!task_waiting(&ws->opening))
		return;
	task_cancel(&ws->opening);
	ws->opening.fn(ws);
}

static void on_conn_data(void *arg, struct str data)
{
	struct ws *ws = arg;

	ws_enter(ws);
	ws->heard_ms = loop_now(ws->loop);
	if (!ws->deadline_ms)
		ws->last_chance = false;
	open_now(ws);
	if (!ws->destroyed && ws->stale) {
		/* The timer waits for death and must look for staleness again. */
		ws->stale = false;
		ws_watch(ws);
		set_stale(ws, false);
	}
	if (!ws->destroyed && !timer_running(&ws->watch))
		ws_watch(ws);
	if (!ws->destroyed && ws->hello)
		ws_hello_data(ws, data);
	else if (!ws->destroyed)
		ws_bytes(ws, data);
	(void)ws_leave(ws);
}

static void on_conn_end(void *arg, int reason)
{
	struct ws *ws = arg;

	const char *why = conn_why(ws->conn);

	ws_enter(ws);
	open_now(ws);
	if (why)
		ws_say(ws, 0, str_from(why));
	if (ws->hello && ws->state == WS_HELLO)
		ws_hello_end(ws, reason);
	else if (ws->state == WS_LEAVING)
		ws_finish(ws, ws->reason);
	else
		ws_finish(ws, reason ? reason : -ECONNRESET);
	(void)ws_leave(ws);
}

const struct conn_events ws_conn_events = {
	.on_data = on_conn_data,
	.on_end = on_conn_end,
};

static void set_defaults(struct ws_options *o, const struct ws_options *given)
{
	if (given)
		*o = *given;
	/* Borrowed: only the handshake sees them. */
	o->protocol = o->authorization = str_make(NULL, 0);
	o->message_max = o->message_max ? o->message_max : MESSAGE_MAX;
	o->write_max = o->write_max ? o->write_max : WRITE_MAX;
	o->ping_ms = o->ping_ms ? o->ping_ms : PING_MS;
	o->stale_ms = o->stale_ms ? o->stale_ms : STALE_MS;
	o->dead_ms = o->dead_ms ? o->dead_ms : DEAD_MS;
}

int ws_create(struct loop *loop, bool server, const struct ws_options *options,
	      const struct ws_events *events, void *arg, struct ws **ret)
{
	struct ws *ws = calloc(1, sizeof(*ws));
	struct ws_frames_init init = { .server = server, .on_message = on_message, .arg = ws };
	int rc;

	if (!ws)
		return -ENOMEM;
	ws->loop = loop;
	ws->events = *events;
	ws->arg = arg;
	set_defaults(&ws->options, options);
	buf_init(&ws->out, ws->options.write_max + WS_WRITE_SPARE);
	buf_init(&ws->rest, 1 << 20);
	timer_init(&ws->watch, loop, on_watch, ws);
	timer_init(&ws->pinger, loop, on_pinger, ws);
	task_init(&ws->opening, loop, NULL, ws);
	init.message_max = ws->options.message_max;
	rc = ws_frames_create(&init, &ws->frames);
	if (rc < 0) {
		ws_free(ws);
		return rc;
	}
	*ret = ws;
	return 0;
}

int ws_send(struct ws *ws, struct str data, bool text)
{
	size_t pending;

	if (ws->state != WS_OPEN || ws->close_sent)
		return -EPIPE;
	pending = conn_pending(ws->conn);
	if (pending > ws->options.write_max || data.n > ws->options.write_max - pending)
		return -ENOBUFS;
	return put(ws, text ? WS_TEXT : WS_BINARY, data);
}

size_t ws_pending(const struct ws *ws)
{
	return ws->conn ? conn_pending(ws->conn) : 0;
}

bool ws_progress(const struct ws *ws, struct conn_progress *ret)
{
	return ws->conn && conn_progress(ws->conn, ret);
}

/* A close before the handshake's end. */
static void on_given_up(void *arg)
{
	struct ws *ws = arg;

	ws_enter(ws);
	ws_finish(ws, 0);
	(void)ws_leave(ws);
}

void ws_close(struct ws *ws, int code, struct str reason)
{
	if (ws->state == WS_HELLO || task_waiting(&ws->opening)) {
		task_cancel(&ws->opening);
		ws->hello = ws->inside ? ws->hello : ws_hello_destroy(ws->hello);
		ws->state = WS_LEAVING;
		ws->opening.fn = on_given_up;
		task_defer(&ws->opening);
	} else if (ws->state == WS_OPEN && !ws->close_sent) {
		put_close(ws, code, reason);
		timer_stop(&ws->pinger);
		set_deadline(ws);
	}
}

struct ws *ws_destroy(struct ws *ws)
{
	if (!ws)
		return NULL;
	ws->destroyed = true;
	stop(ws);
	if (!ws->inside)
		ws_free(ws);
	return NULL;
}
