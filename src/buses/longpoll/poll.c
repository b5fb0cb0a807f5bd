/* SPDX-License-Identifier: MIT */
/*
 * Reading: GET takes messages, or waits for the first; HEAD counts them.
 *
 *   GET -> messages there? -- yes --> parcel.c: the answer and what becomes of its messages
 *             | no
 *             v
 *          parked (queue.c) -- first message, or time-out -> `[]`
 *
 * An answer is one JSON list whose every message is a chunk of its own: `[\n` and an object, then
 * `,\n` and an object, at last `\n]\n`. It ends early when it is large (ANSWER_MAX): what is left
 * is the next poll's. Who stays for more (stream, linger) or settles by itself (ack=manual) is a feed.
 */
#include "buses/longpoll/poll.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "buses/longpoll/item.h"
#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/pace.h"
#include "buses/longpoll/parcel.h"
#include "buses/longpoll/poll_params.h"

enum { GRACE_MS = 2000 }; /* a poll that won't wait still waits for the disk */

/* A poll that waits. */
struct poll {
	struct waiter waiter;
	struct http_request *request;
	struct timer timeout;
	unsigned char max;
	bool empty_204; /* an empty answer is 204 instead of [] */
	bool dead;      /* events of calls that can't be answered are wanted as well */
};

_Static_assert(sizeof(struct poll) <= 88, "a parked poll is small");

/* The first piece of the answer: 0, or the request was answered with a problem, or is going. */
static int begin(struct longpoll *bus, struct http_request *request)
{
	const struct http_header no_cache = { STR("Cache-Control"), STR("no-cache") };
	const struct http_reply reply = { .status = 200,
					  .content_type = STR("application/json"),
					  .headers = &no_cache,
					  .n_headers = 1,
					  .body = buf_str(&bus->scratch) };

	http_stream_cork(request);
	return answer_stream(request, &reply);
}

static void add_further(struct parcel *parcel, size_t max)
{
	struct longpoll *bus = queue_bus(parcel->queue);
	size_t bytes = buf_len(&bus->scratch);
	uint64_t seq;

	while (parcel->n < max && bytes < ANSWER_MAX &&
	       item_next(parcel->queue, STR(",\n"), &seq)) {
		struct str element = buf_str(&bus->scratch);

		if (http_stream_write(parcel->request, &element, 1) < 0) {
			queue_settle(parcel->queue, seq, false);
			break;
		}
		parcel_add(parcel, seq);
		bytes += element.n;
	}
}

static void no_memory_for_answer(struct http_request *request)
{
	answer_retry(request, 503, 1, "there is no memory for the answer now");
}

/* Sends the parcel, whose first message is in the bus's scratch, and what else there is. */
static void send_messages(struct parcel *parcel, struct http_request *request, size_t max)
{
	const struct str end = STR("\n]\n");

	parcel_send(parcel, request);
	int rc = begin(queue_bus(parcel->queue), request);
	if (rc == -EPIPE)
		return; /* the parcel hears of it */
	if (rc < 0) {
		parcel_return(parcel);
		no_memory_for_answer(request);
		return;
	}
	add_further(parcel, max);
	size_t n = parcel->n;
	struct queue *queue = parcel->queue;
	if (http_stream_write(request, &end, 1) == 0)
		http_stream_end(request);
	else
		http_stream_cut(request); /* the parcel hears of it */
	pace_polled(queue, n, max);
}

/*
 * Answers the request with what the queue has now, up to max messages: true, or false when there
 * was nothing, and the request still waits.
 */
static bool poll_answer(struct queue *queue, struct http_request *request, size_t max)
{
	struct parcel *parcel;
	uint64_t seq;

	if (!item_next(queue, STR("[\n"), &seq))
		return false;
	parcel = parcel_create(queue, max);
	if (!parcel) {
		queue_settle(queue, seq, false);
		no_memory_for_answer(request);
		return true;
	}
	parcel_add(parcel, seq);
	send_messages(parcel, request, max);
	return true;
}

/* As poll_answer: what was missed, or else what the queue has, parked or not. */
static bool poll_answer_dead(struct queue *queue, struct http_request *request, size_t max)
{
	struct longpoll *bus = queue_bus(queue);
	struct queue *missed = queue_missed(queue);
	bool answered = missed && poll_answer(missed, request, max);

	if (missed)
		queue_release(missed);
	if (answered)
		return true;
	bus->take_dead = true;
	answered = poll_answer(queue, request, max);
	bus->take_dead = false;
	return answered;
}

/* rc: how the answer began; -EPIPE: nobody is there any more. */
static void finish_nothing(struct http_request *request, int rc)
{
	if (rc == 0)
		http_stream_end(request);
	else if (rc != -EPIPE)
		no_memory_for_answer(request);
}

void poll_answer_nothing(struct http_request *request, bool empty_204)
{
	const struct http_header no_cache = { STR("Cache-Control"), STR("no-cache") };
	const struct http_reply reply = { .status = 200,
					  .content_type = STR("application/json"),
					  .headers = &no_cache,
					  .n_headers = 1,
					  .body = STR("[]\n") };

	if (empty_204) {
		answer_empty(request, 204, &no_cache, 1);
		return;
	}
	http_stream_cork(request);
	finish_nothing(request, answer_stream(request, &reply));
}

static void poll_free(struct poll *poll)
{
	timer_stop(&poll->timeout);
	queue_leave(&poll->waiter);
	free(poll);
}

static enum served poll_serve(struct waiter *waiter)
{
	struct poll *poll = container_of(waiter, struct poll, waiter);

	if (poll->dead ? !poll_answer_dead(waiter->queue, poll->request, poll->max)
		       : !poll_answer(waiter->queue, poll->request, poll->max))
		return SERVED_NOTHING;
	poll_free(poll);
	return SERVED_DONE;
}

/* The answer of a poll that found nothing. */
static void poll_end(struct waiter *waiter)
{
	struct poll *poll = container_of(waiter, struct poll, waiter);
	struct http_request *request = poll->request;
	bool empty_204 = poll->empty_204;

	http_request_on_gone(request, NULL, NULL);
	poll_free(poll);
	poll_answer_nothing(request, empty_204);
}

static const struct waiter_ops poll_ops = { .serve = poll_serve, .end = poll_end };

static void poll_timed_out(void *arg)
{
	struct poll *poll = arg;
	struct queue *queue = poll->waiter.queue;

	poll_end(&poll->waiter);
	queue_release(queue);
}

static void poll_gone(void *arg)
{
	struct poll *poll = arg;
	struct queue *queue = poll->waiter.queue;

	poll_free(poll);
	queue_release(queue);
}

static void park(struct longpoll *bus, struct queue *queue, struct http_request *request,
		 const struct poll_params *params)
{
	struct poll *poll = calloc(1, sizeof(*poll));

	if (!poll) {
		queue_release(queue);
		answer_retry(request, 503, 1, "there is no memory for a poll now");
		return;
	}
	poll->request = request;
	poll->max = (unsigned char)params->max;
	poll->empty_204 = params->empty_204;
	poll->dead = params->dead;
	timer_init(&poll->timeout, bus->env.loop, poll_timed_out, poll);
	poll->waiter.ops = &poll_ops;
	queue_wait(queue, &poll->waiter);
	if (timer_start(&poll->timeout, params->timeout_ms ? params->timeout_ms : GRACE_MS) < 0) {
		poll_timed_out(poll);
		return;
	}
	http_request_on_gone(request, poll_gone, poll);
	http_request_forget(request);
}

/* Whether the queue, which had nothing, may have something without a further message. */
static bool may_come(struct queue *queue, const struct poll_params *params)
{
	return queue_is_held_up(queue) || (params->dead && queue_is_moving(queue));
}

void poll_handle(struct longpoll *bus, struct http_request *request, struct str key,
		 const struct poll_params *params)
{
	struct queue *queue = queue_open(bus, key);
	if (!queue) {
		answer_retry(request, 503, 1, "there is no memory for this queue now");
		return;
	}
	bus->polls++;
	queue_look_behind(queue);
	if (!queue_has_waiters(queue) &&
	    (params->dead ? poll_answer_dead(queue, request, params->max)
			  : poll_answer(queue, request, params->max))) {
		queue_release(queue);
		return;
	}
	if (params->timeout_ms || may_come(queue, params)) {
		park(bus, queue, request, params);
		return;
	}
	queue_release(queue);
	poll_answer_nothing(request, params->empty_204);
}

void poll_length(struct longpoll *bus, struct http_request *request, struct str key)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, queue_length(bus, key));
	const struct http_header headers[] = {
		{ STR("X-Queue-Length"), str_from(text) },
		{ STR("Cache-Control"), STR("no-cache") },
	};
	answer_reply(request, &(struct http_reply){ .status = 200,
						    .content_type = STR("application/json"),
						    .headers = headers,
						    .n_headers = 2 });
}
