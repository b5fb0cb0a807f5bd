/* SPDX-License-Identifier: MIT */
/*
 * Feeds over WebSockets (RFC 6455): each message is one text frame with its object.
 *
 * A client may send one thing, and only with ack=manual: {"ack":"<Id>"} or {"ack":["<Id>",...]}.
 * Its closes mean: 1000 = it is done, and what has arrived is its own; anything else = it may be back.
 *
 *   ours   1000 max or timeout is reached      1003 a binary message came
 *          1001 voxbus stops: connect again    1008 the session has ended; another connection goes on
 *                                                   from here; what came is not understood
 */
#include "buses/longpoll/feed_ws.h"

#include <errno.h>
#include <stdlib.h>

#include "buses/longpoll/feed.h"
#include "buses/longpoll/item.h"
#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/poll_params.h"
#include "codec/http.h"
#include "codec/json.h"
#include "net/ws.h"

enum {
	MESSAGE_MAX = 64 * 1024,     /* from the client */
	WRITE_MAX = 4 * 1024 * 1024, /* one message and what a slow reader may have before it */
	PING_MS = 15000,
	DEAD_MS = 40000, /* silence: two pings and some */
	CLOSE_NORMAL = 1000,
	CLOSE_GOING_AWAY = 1001,
	CLOSE_NO_BINARY = 1003,
	CLOSE_POLICY = 1008,
};

struct ws_feed {
	struct feed feed;
	struct ws *ws;
	struct task over; /* it was cut */
	uint64_t timeout_ms;
	bool manual;
};

static struct ws_feed *ws_feed_of(const struct feed *feed)
{
	return container_of(feed, struct ws_feed, feed);
}

static int ws_feed_send(struct feed *feed, const struct item *item)
{
	(void)item;
	return ws_send(ws_feed_of(feed)->ws, buf_str(&queue_bus(feed->queue)->scratch), true);
}

static void ws_feed_finish(struct feed *feed, enum feed_end why)
{
	static const struct {
		int code;
		struct str reason;
	} ends[] = {
		[FEED_COMPLETE] = { CLOSE_NORMAL, STR_INIT("max or timeout is reached") },
		[FEED_SESSION] = { CLOSE_POLICY,
				   STR_INIT("the session has ended; get a new one from /auth") },
		[FEED_REPLACED] = { CLOSE_POLICY,
				    STR_INIT("another connection goes on from here") },
		[FEED_STOPPING] = { CLOSE_GOING_AWAY,
				    STR_INIT("voxbus is stopping; connect again") },
		[FEED_BINARY] = { CLOSE_NO_BINARY, STR_INIT("only text is understood") },
		[FEED_MISUSED] = { CLOSE_POLICY,
				   STR_INIT("only {\"ack\":\"<Id>\"} or a list of ids is taken, "
					    "and with ack=manual alone") },
	};

	ws_close(ws_feed_of(feed)->ws, ends[why].code, ends[why].reason);
}

static void on_over(void *arg)
{
	struct ws_feed *f = arg;

	feed_over(&f->feed, FEED_BROKEN);
}

static void ws_feed_cut(struct feed *feed)
{
	struct ws_feed *f = ws_feed_of(feed);

	f->ws = ws_destroy(f->ws);
	task_defer(&f->over);
}

static size_t ws_feed_pending(const struct feed *feed)
{
	return ws_pending(ws_feed_of(feed)->ws);
}

static bool ws_feed_progress(const struct feed *feed, struct conn_progress *ret)
{
	return ws_progress(ws_feed_of(feed)->ws, ret);
}

static void ws_feed_free(struct feed *feed)
{
	struct ws_feed *f = ws_feed_of(feed);

	task_cancel(&f->over);
	(void)ws_destroy(f->ws);
	free(f);
}

static const struct feed_ops ws_ops = {
	.send = ws_feed_send,
	.finish = ws_feed_finish,
	.cut = ws_feed_cut,
	.pending = ws_feed_pending,
	.progress = ws_feed_progress,
	.free = ws_feed_free,
};

static void on_open(void *arg)
{
	struct ws_feed *f = arg;

	feed_start(&f->feed, f->timeout_ms);
}

static int settle_one(struct ws_feed *f, struct json value)
{
	char text[ITEM_ID_MAX];
	struct str id;

	if (json_string(value, text, sizeof(text), &id) < 0)
		return -EBADMSG;
	/* One that is not leased (any more) can't be answered here, and changes nothing. */
	(void)loan_settle(f->feed.queue, id);
	return 0;
}

/* 0, or -EBADMSG: it is no acknowledgement. */
static int acknowledge(struct ws_feed *f, struct str data)
{
	struct json message, ack;
	struct json_iter it;
	struct json_item item;
	int rc = json_parse(data, &message);

	if (rc < 0)
		return rc;
	ack = json_get(message, STR("ack"));
	if (ack.type != JSON_ARRAY)
		return settle_one(f, ack);
	json_iter_init(&it, ack);
	while ((rc = json_next(&it, &item)) > 0)
		if (settle_one(f, item.value) < 0)
			return -EBADMSG;
	return rc;
}

static void on_message(void *arg, struct str data, bool text)
{
	struct ws_feed *f = arg;

	if (f->feed.ending)
		return;
	if (!text)
		feed_end(&f->feed, FEED_BINARY);
	else if (!f->manual || acknowledge(f, data) < 0)
		feed_end(&f->feed, FEED_MISUSED);
}

static void on_end(void *arg, int reason, int code, struct str text)
{
	struct ws_feed *f = arg;
	bool ours = f->feed.ending;

	(void)text;
	if (reason == 0 && code == CLOSE_NORMAL && !ours)
		feed_over(&f->feed, FEED_DONE);
	else
		feed_over(&f->feed, reason == 0 ? FEED_ARRIVED : FEED_BROKEN);
}

/* Half of it: no connection yet. NULL: no memory. */
static struct ws_feed *ws_feed_create(struct longpoll *bus, struct http_request *request,
				      struct str key, const struct poll_params *params)
{
	struct queue *queue = queue_open(bus, key);
	struct ws_feed *f = queue ? calloc(1, sizeof(*f)) : NULL;

	if (f) {
		f->feed.queue = queue;
		f->feed.ops = &ws_ops;
		f->manual = params->manual;
		f->timeout_ms = params->has_timeout ? params->timeout_ms : FEED_ENDLESS;
		task_init(&f->over, bus->env.loop, on_over, f);
	}
	if (f &&
	    feed_init(&f->feed, params->manual ? UNTIL_NAMED : UNTIL_PROVEN, params, request) == 0)
		return f;
	free(f);
	if (queue)
		queue_release(queue);
	return NULL;
}

bool feed_ws_wanted(const struct http_request *request)
{
	return http_has_token(http_request_header(request, STR("Upgrade")), STR("websocket"));
}

void feed_ws_handle(struct longpoll *bus, struct http_request *request, struct str key,
		    const struct poll_params *params)
{
	static const struct ws_events events = { .on_open = on_open,
						 .on_message = on_message,
						 .on_end = on_end };
	const struct ws_options options = { .message_max = MESSAGE_MAX,
					    .write_max = WRITE_MAX,
					    .ping_ms = PING_MS,
					    .stale_ms = DEAD_MS,
					    .dead_ms = DEAD_MS };
	struct ws_feed *f = ws_feed_create(bus, request, key, params);
	char text[ITEM_ID_MAX];
	struct str last = poll_last_id(request, text);

	if (!f) {
		answer_retry(request, 503, 1, "there is no memory for a reader now");
		return;
	}
	bus->polls++;
	if (ws_accept(bus->env.loop, request, &options, &events, f, &f->ws) < 0)
		feed_over(&f->feed, FEED_BROKEN); /* it was answered */
	else
		feed_resume(&f->feed, last);
}
