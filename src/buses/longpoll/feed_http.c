/* SPDX-License-Identifier: MIT */
/*
 * Feeds as one answer of HTTP that grows.
 *
 *   list     [ , then \n and an object, then ,\n and an object ... at last \n]\n   heartbeat: a newline
 *   events   retry: once, then id: and data: for each object                    heartbeat: a comment
 *
 * Events are those of the HTML standard, section 9.2 (EventSource). Each message is a chunk of its own. A list that is a batch (a poll that lingers or leases) begins
 * with its first message, so that until then it may be answered otherwise; a stream begins at once.
 */
#include "buses/longpoll/feed_http.h"

#include <errno.h>
#include <stdlib.h>

#include "buses/longpoll/feed.h"
#include "buses/longpoll/item.h"
#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/poll.h"
#include "buses/longpoll/poll_params.h"
#include "net/http_stream.h"

struct http_feed {
	struct feed feed;
	struct http_request *request; /* NULL: answered, or gone */
	struct task over;             /* it was answered without a stream */
	bool begun, empty_204;
};

static struct http_feed *http_feed_of(const struct feed *feed)
{
	return container_of(feed, struct http_feed, feed);
}

static void on_over(void *arg)
{
	struct http_feed *h = arg;

	feed_over(&h->feed, FEED_BROKEN);
}

static void on_acked(void *arg)
{
	struct http_feed *h = arg;

	h->request = NULL;
	feed_over(&h->feed, FEED_ARRIVED);
}

static void on_gone(void *arg)
{
	struct http_feed *h = arg;
	struct conn_progress progress;
	bool has_all = h->begun && http_stream_progress(h->request, &progress) && progress.all;

	h->request = NULL;
	feed_over(&h->feed, has_all ? FEED_ARRIVED : FEED_BROKEN);
}

/* The request, to be answered as a whole. */
static struct http_request *take_request(struct http_feed *h)
{
	struct http_request *request = h->request;

	h->request = NULL;
	http_request_on_gone(request, NULL, NULL);
	http_request_on_acked(request, NULL, NULL);
	task_defer(&h->over);
	return request;
}

static int begin(struct http_feed *h, const struct http_reply *reply)
{
	http_request_on_acked(h->request, on_acked, h);
	int rc = answer_stream(h->request, reply);

	h->begun = rc == 0 || rc == -EPIPE;
	return rc;
}

static int begin_list(struct http_feed *h, struct str body)
{
	const struct http_header no_cache = { STR("Cache-Control"), STR("no-cache") };

	return begin(h, &(struct http_reply){ .status = 200,
					      .content_type = STR("application/json"),
					      .headers = &no_cache,
					      .n_headers = 1,
					      .body = body });
}

static struct str separator(const struct feed *feed)
{
	if (feed->sent)
		return STR(",\n");
	return feed->batch ? STR("[\n") : STR("\n");
}

static int list_send(struct feed *feed, const struct item *item)
{
	struct http_feed *h = http_feed_of(feed);
	const struct str parts[] = { separator(feed), buf_str(&queue_bus(feed->queue)->scratch) };
	int rc = 0;

	(void)item;
	if (!h->begun) {
		if (!feed->linger_ms) /* it ends in this call */
			http_stream_cork(h->request);
		rc = begin_list(h, STR(""));
	}
	return rc < 0 ? rc : http_stream_write(h->request, parts, 2);
}

static void list_beat(struct feed *feed)
{
	const struct str newline = STR("\n");

	/* What it does not take is not missed. */
	if (http_feed_of(feed)->begun)
		(void)http_stream_write(http_feed_of(feed)->request, &newline, 1);
}

static void http_cut(struct feed *feed)
{
	struct http_feed *h = http_feed_of(feed);

	if (h->begun)
		http_stream_cut(h->request);
	else
		answer_retry(take_request(h), 503, 1, "there is no memory for the answer now");
}

static void list_finish(struct feed *feed, enum feed_end why)
{
	struct http_feed *h = http_feed_of(feed);
	const struct str end = STR("\n]\n");

	(void)why;
	if (!h->begun)
		poll_answer_nothing(take_request(h), h->empty_204);
	else if (http_stream_write(h->request, &end, 1) == 0)
		http_stream_end(h->request);
	else
		http_stream_cut(h->request);
}

static size_t http_pending(const struct feed *feed)
{
	return http_stream_pending(http_feed_of(feed)->request);
}

static bool http_progress(const struct feed *feed, struct conn_progress *ret)
{
	return http_stream_progress(http_feed_of(feed)->request, ret);
}

static void http_feed_free(struct feed *feed)
{
	struct http_feed *h = http_feed_of(feed);

	task_cancel(&h->over);
	if (h->request) {
		http_request_on_gone(h->request, NULL, NULL);
		http_request_on_acked(h->request, NULL, NULL);
	}
	free(h);
}

static const struct feed_ops list_ops = {
	.send = list_send,
	.beat = list_beat,
	.finish = list_finish,
	.cut = http_cut,
	.pending = http_pending,
	.progress = http_progress,
	.free = http_feed_free,
};

static int begin_events(struct http_feed *h)
{
	/* A proxy that gathers answers (nginx does) would keep them until they are long. */
	const struct http_header headers[] = {
		{ STR("Cache-Control"), STR("no-cache") },
		{ STR("X-Accel-Buffering"), STR("no") },
	};

	return begin(h, &(struct http_reply){ .status = 200,
					      .content_type = STR("text/event-stream"),
					      .headers = headers,
					      .n_headers = 2,
					      .body = STR("retry: 2000\n\n") });
}

static int events_send(struct feed *feed, const struct item *item)
{
	const struct str parts[] = { STR("id: "), item->id, STR("\ndata: "),
				     buf_str(&queue_bus(feed->queue)->scratch), STR("\n\n") };

	return http_stream_write(http_feed_of(feed)->request, parts, 5);
}

static void events_beat(struct feed *feed)
{
	const struct str comment = STR(":\n\n");

	(void)http_stream_write(http_feed_of(feed)->request, &comment, 1);
}

/* The client connects again by itself, and hears then why it can't go on. */
static void events_finish(struct feed *feed, enum feed_end why)
{
	(void)why;
	http_stream_end(http_feed_of(feed)->request);
}

static const struct feed_ops events_ops = {
	.send = events_send,
	.beat = events_beat,
	.finish = events_finish,
	.cut = http_cut,
	.pending = http_pending,
	.progress = http_progress,
	.free = http_feed_free,
};

/* NULL: it was answered. */
static struct http_feed *http_feed_open(struct longpoll *bus, struct http_request *request,
					struct str key, const struct poll_params *params,
					const struct feed_ops *ops)
{
	struct queue *queue = queue_open(bus, key);
	struct http_feed *h = queue ? calloc(1, sizeof(*h)) : NULL;
	bool listed = ops == &list_ops;

	if (h) {
		h->feed.queue = queue;
		h->feed.ops = ops;
		h->feed.batch = listed && !params->stream;
		h->request = request;
		h->empty_204 = params->empty_204;
		task_init(&h->over, bus->env.loop, on_over, h);
	}
	if (!h || feed_init(&h->feed,
			    params->manual ? UNTIL_NAMED
			    : listed       ? UNTIL_ARRIVED
					   : UNTIL_PROVEN,
			    params, request) < 0) {
		free(h);
		if (queue)
			queue_release(queue);
		answer_retry(request, 503, 1, "there is no memory for a reader now");
		return NULL;
	}
	bus->polls++;
	http_request_on_gone(request, on_gone, h);
	return h;
}

void feed_list_handle(struct longpoll *bus, struct http_request *request, struct str key,
		      const struct poll_params *params)
{
	struct http_feed *h = http_feed_open(bus, request, key, params, &list_ops);

	if (!h)
		return;
	int rc = params->stream ? begin_list(h, STR("[")) : 0;
	http_request_forget(request);
	if (rc < 0 && rc != -EPIPE)
		feed_cut(&h->feed);
	else
		feed_start(&h->feed, params->timeout_ms);
}

bool feed_events_wanted(const struct http_request *request)
{
	struct str accept = http_request_header(request, STR("Accept"));

	while (accept.p) {
		struct str range = str_cut(&accept, ',');

		if (str_eq_nocase(str_trim(str_cut(&range, ';')), STR("text/event-stream")))
			return true;
	}
	return poll_param_is(request, STR("sse"), STR("1"));
}

void feed_events_handle(struct longpoll *bus, struct http_request *request, struct str key,
			const struct poll_params *params)
{
	struct http_feed *h = http_feed_open(bus, request, key, params, &events_ops);
	char text[ITEM_ID_MAX];

	if (!h)
		return;
	struct str header = http_request_header(request, STR("Last-Event-ID"));
	int rc = begin_events(h);
	if (rc == 0)
		feed_resume(&h->feed, header.n ? header : poll_last_id(request, text));
	http_request_forget(request);
	if (rc < 0 && rc != -EPIPE)
		feed_cut(&h->feed);
	else
		feed_start(&h->feed, params->has_timeout ? params->timeout_ms : FEED_ENDLESS);
}
