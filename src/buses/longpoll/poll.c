/* SPDX-License-Identifier: MIT */
/*
 * Reading: GET takes messages, or waits for the first; HEAD counts them.
 *
 *   GET -> messages there? -- yes --> answer -> kernel took it -> settled
 *             | no                      `-> client gone -> given back to the queue's head
 *             v
 *          parked (queue.c) -- first message, or time-out -> `[]`
 *
 * An answer is one JSON list whose every message is a chunk of its own: `[\n` and an object, then
 * `,\n` and an object, at last `\n]\n`. It ends early when it is large (ANSWER_MAX): what is left
 * is the next poll's.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "buses/longpoll/longpoll_internal.h"
#include "codec/form.h"
#include "envelope/envelope.h"

enum {
	MAX_DEFAULT = 10,
	GRACE_MS = 2000, /* a poll that won't wait still waits for the disk */
	VALUE_MAX = 64,
};

/* Messages on their way to a client. */
struct answer {
	struct list link; /* longpoll.answers */
	struct longpoll *bus;
	struct queue *queue;
	struct http_request *request;
	size_t n;
	uint64_t seqs[];
};

static void answer_finish(struct answer *answer, bool taken)
{
	struct longpoll *bus = answer->bus;
	struct queue *queue = answer->queue;

	for (size_t i = 0; i < answer->n; i++)
		cursor_settle(queue_cursor(queue), answer->seqs[i], taken);
	if (taken)
		bus->delivered += answer->n;
	list_del(&answer->link);
	free(answer);
	queue_release(queue);
}

static void answer_sent(void *arg)
{
	answer_finish(arg, true);
}

static void answer_gone(void *arg)
{
	answer_finish(arg, false);
}

void answers_abandon(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->answers) {
		struct answer *answer = container_of(it, struct answer, link);

		http_request_on_gone(answer->request, NULL, NULL);
		http_request_on_sent(answer->request, NULL, NULL);
		list_del(&answer->link);
		free(answer);
	}
}

static int envelope(struct longpoll *bus, const struct msg *msg, unsigned returns)
{
	return envelope_add(&bus->scratch, msg, str_from(bus->env.node), returns);
}

/* The command was done, and who sent it waits: that much must be said. */
static int instead_of_reply(struct longpoll *bus, const struct msg *msg, unsigned returns)
{
	struct msg said = *msg;

	said.status = 502;
	said.content_type = STR("application/json");
	said.payload = blob_create(STR("{\"message\":\"the engine's answer is too large for a "
				       "message of this bus\"}"));
	if (!said.payload)
		return -ENOMEM;
	int rc = envelope(bus, &said, returns);
	(void)blob_unref(said.payload);
	return rc;
}

static int object_add(struct longpoll *bus, const struct msg *msg, unsigned returns)
{
	struct str body = blob_str(msg->payload);
	int rc;

	if (msg->kind != MSG_DOCUMENT) {
		rc = envelope(bus, msg, returns);
		return rc == -ENOBUFS && msg->kind == MSG_REPLY
			       ? instead_of_reply(bus, msg, returns)
			       : rc;
	}
	if (!returns || !str_ends(body, STR("}")))
		return buf_add(&bus->scratch, body);
	rc = buf_add(&bus->scratch, str_make(body.p, body.n - 1));
	return rc < 0 ? rc : buf_addf(&bus->scratch, ",\"Redelivered\":%u}", returns);
}

/* The next message of the queue as a list element in bus->scratch: 1 and its seq, or 0. */
static int next_element(struct longpoll *bus, struct queue *queue, struct str before,
			uint64_t *ret_seq)
{
	struct cursor *cursor = queue_cursor(queue);
	struct msg *taken;

	while (cursor && cursor_take(cursor, &taken) > 0) {
		auto_msg struct msg *msg = taken;
		unsigned returns = cursor_returns(cursor, msg->seq);

		buf_clear(&bus->scratch);
		int rc = buf_add(&bus->scratch, before);
		if (rc == 0)
			rc = object_add(bus, msg, returns);
		if (rc == 0) {
			if (returns)
				bus->redelivered++;
			*ret_seq = msg->seq;
			return 1;
		}
		if (rc == -ENOMEM) {
			cursor_settle(cursor, msg->seq, false);
			return 0;
		}
		/* It would block the queue for ever. */
		bus->oversized++;
		log_error(bus->env.log, "message too large for an answer, dropped",
			  "topic=%.*s seq=%" PRIu64 " bytes=%zu", STR_ARG(msg->topic), msg->seq,
			  blob_str(msg->payload).n);
		cursor_settle(cursor, msg->seq, true);
	}
	return 0;
}

/* The first piece of the answer: 0, or the request was answered with a problem, or is going. */
static int begin(struct answer *answer)
{
	const struct http_header no_cache = { STR("Cache-Control"), STR("no-cache") };
	const struct http_reply reply = { .status = 200,
					  .content_type = STR("application/json"),
					  .headers = &no_cache,
					  .n_headers = 1,
					  .body = buf_str(&answer->bus->scratch) };

	http_request_on_gone(answer->request, answer_gone, answer);
	http_request_on_sent(answer->request, answer_sent, answer);
	http_stream_cork(answer->request);
	return answer_stream(answer->request, &reply);
}

static void add_further(struct answer *answer, size_t max)
{
	struct longpoll *bus = answer->bus;
	size_t bytes = buf_len(&bus->scratch);
	uint64_t seq;

	while (answer->n < max && bytes < ANSWER_MAX &&
	       next_element(bus, answer->queue, STR(",\n"), &seq)) {
		struct str element = buf_str(&bus->scratch);

		if (http_stream_write(answer->request, &element, 1) < 0) {
			cursor_settle(queue_cursor(answer->queue), seq, false);
			break;
		}
		answer->seqs[answer->n++] = seq;
		bytes += element.n;
	}
}

bool poll_answer(struct longpoll *bus, struct queue *queue, struct http_request *request,
		 size_t max)
{
	struct answer *answer = calloc(1, sizeof(*answer) + max * sizeof(answer->seqs[0]));

	if (!answer) {
		/* Nobody would tell us again of what is there. */
		answer_retry(request, 503, 1, "there is no memory for the answer now");
		return true;
	}
	if (!next_element(bus, queue, STR("[\n"), &answer->seqs[0]))
		return free(answer), false;
	answer->n = 1;
	answer->bus = bus;
	answer->queue = queue;
	answer->request = request;
	list_add_tail(&bus->answers, &answer->link);
	int rc = begin(answer);
	if (rc == -EPIPE)
		return true; /* answer_gone comes */
	if (rc < 0) {
		http_request_on_gone(request, NULL, NULL);
		http_request_on_sent(request, NULL, NULL);
		cursor_settle(queue_cursor(queue), answer->seqs[0], false);
		list_del(&answer->link);
		free(answer);
		answer_retry(request, 503, 1, "there is no memory for the answer now");
		return true;
	}
	add_further(answer, max);
	const struct str end = STR("\n]\n");
	if (http_stream_write(request, &end, 1) == 0)
		http_stream_end(request);
	else
		http_stream_cut(request); /* answer_gone comes */
	return true;
}

/* rc: how the answer began; -EPIPE: nobody is there any more. */
static void finish_nothing(struct http_request *request, int rc)
{
	if (rc == 0)
		http_stream_end(request);
	else if (rc != -EPIPE)
		answer_retry(request, 503, 1, "there is no memory for the answer now");
}

static void answer_nothing(struct http_request *request, bool empty_204)
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

void poll_end(struct poll *poll)
{
	struct http_request *request = poll->request;
	struct queue *queue = poll->queue;
	bool empty_204 = poll->empty_204;

	http_request_on_gone(request, NULL, NULL);
	queue_leave(poll);
	free(poll);
	queue_release(queue);
	answer_nothing(request, empty_204);
}

static void poll_timed_out(void *arg)
{
	poll_end(arg);
}

static void poll_gone(void *arg)
{
	struct poll *poll = arg;
	struct queue *queue = poll->queue;

	queue_leave(poll);
	free(poll);
	queue_release(queue);
}

struct poll_params {
	uint64_t timeout_ms, max;
	bool empty_204;
};

static bool param(struct str query, struct str name, char *text, struct str *ret)
{
	return form_find(query, name, text, VALUE_MAX, ret) || ret->p;
}

/* False: it was answered with what is wrong. */
static bool params_of(const struct longpoll *bus, struct http_request *request,
		      struct poll_params *ret)
{
	static const struct str later[] = { STR_INIT("ack"), STR_INIT("visibility"),
					    STR_INIT("stream"), STR_INIT("linger") };
	struct str query = http_request_info(request)->query, value;
	char text[VALUE_MAX];

	*ret = (struct poll_params){ .timeout_ms = bus->conf->poll_timeout_ms, .max = MAX_DEFAULT };
	if (param(query, STR("timeout"), text, &value)) {
		int rc = str_duration_ms(value, &ret->timeout_ms);

		if (rc < 0 && rc != -ERANGE) {
			answer_problem(request, 400, NULL, 0,
				       "timeout must be a time such as 0, 500ms, 15s or 5m");
			return false;
		}
		if (rc == -ERANGE || ret->timeout_ms > POLL_MAX_MS)
			ret->timeout_ms = POLL_MAX_MS;
	}
	if (param(query, STR("max"), text, &value) &&
	    (str_u64(value, &ret->max) < 0 || ret->max < 1 || ret->max > MESSAGES_MAX)) {
		answer_problem(request, 400, NULL, 0, "max must be 1 to %d messages", MESSAGES_MAX);
		return false;
	}
	if (param(query, STR("empty"), text, &value)) {
		if (!str_eq(value, STR("204"))) {
			answer_problem(request, 400, NULL, 0,
				       "empty may only be 204: the status of an empty answer");
			return false;
		}
		ret->empty_204 = true;
	}
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		if (!param(query, later[i], text, &value))
			continue;
		answer_problem(request, 400, NULL, 0,
			       "%.*s is not offered by this version; leave it out and messages "
			       "are removed when they were sent",
			       STR_ARG(later[i]));
		return false;
	}
	return true;
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
	timer_init(&poll->timeout, bus->env.loop, poll_timed_out, poll);
	queue_wait(queue, poll);
	if (timer_start(&poll->timeout, params->timeout_ms ? params->timeout_ms : GRACE_MS) < 0) {
		poll_end(poll);
		return;
	}
	http_request_on_gone(request, poll_gone, poll);
	http_request_forget(request);
}

void poll_handle(struct longpoll *bus, struct http_request *request, struct str key)
{
	struct poll_params params;

	if (!params_of(bus, request, &params))
		return;
	struct queue *queue = queue_open(bus, key);
	if (!queue) {
		answer_retry(request, 503, 1, "there is no memory for this queue now");
		return;
	}
	bus->polls++;
	if (!queue_has_waiters(queue) && poll_answer(bus, queue, request, params.max)) {
		queue_release(queue);
		return;
	}
	if (params.timeout_ms || queue_is_held_up(queue)) {
		park(bus, queue, request, &params);
		return;
	}
	queue_release(queue);
	answer_nothing(request, params.empty_204);
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
