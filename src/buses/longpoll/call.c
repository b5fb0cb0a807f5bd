/* SPDX-License-Identifier: MIT */
/*
 * Requests of calls, held until somebody posts what the call shall do.
 *
 *   event published, durable --.
 *                              v
 *   come again ------------> held ---- instructions -----> answered; settled when the client has
 *                             | |                          them, given back when it goes first
 *                             | `----- hold time over ---> Redirect to <path>/<CallSid>/
 *                             `------- client gone
 *
 * A held request waits on the queue <path>/<CallSid> like a poll, before all polls, and the newest
 * one first: a phone network that asks twice has given up the older request. The call counts as
 * held from the request's first moment, so that its event is for readers when they see it.
 */
#include "buses/longpoll/call.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/parcel.h"
#include "buses/longpoll/publish.h"
#include "codec/form.h"

enum { HOLD_MAX_MS = 60000, KEY_MAX = 1024, VALUE_MAX = 512 };

/* A call's event on its way to the disk. */
struct arrival {
	struct publish publish;
	struct hold *hold; /* NULL: the client has gone */
};

/* A request that waits. */
struct hold {
	struct waiter waiter; /* queue is NULL while the event is not durable */
	struct http_request *request;
	struct timer timeout;
	struct call *call;
	struct arrival *arrival; /* NULL: the event is durable, or there is none */
};

_Static_assert(sizeof(struct hold) <= 96, "a held call is about as small as a parked poll");

static struct longpoll *bus_of(const struct hold *hold)
{
	return hold->waiter.queue ? queue_bus(hold->waiter.queue) : hold->arrival->publish.bus;
}

/* The request is somebody else's now, or gone. */
static void hold_free(struct hold *hold, bool answered)
{
	timer_stop(&hold->timeout);
	if (hold->waiter.queue)
		queue_leave(&hold->waiter);
	if (hold->arrival)
		hold->arrival->hold = NULL;
	webhook_release(hold->call, answered);
	free(hold);
}

/* --- the end of a wait --- */

static void answer_redirect(struct longpoll *bus, struct http_request *request, struct str account,
			    struct str name)
{
	buf_clear(&bus->scratch);
	if (webhook_redirect(&bus->scratch, account, name) < 0) {
		answer_retry(request, 503, 1, "there is no memory for the call now");
		return;
	}
	bus->calls_redirected++;
	answer_reply(request, &(struct http_reply){ .status = 200,
						    .content_type = STR("application/xml"),
						    .body = buf_str(&bus->scratch) });
}

/* Nobody has said what to do: the call is asked to come again. */
static void hold_redirect(struct hold *hold)
{
	struct longpoll *bus = bus_of(hold);

	http_request_on_gone(hold->request, NULL, NULL);
	answer_redirect(bus, hold->request, account_sid(bus->account), hold->call->node.key);
	hold_free(hold, true);
}

/* 0, or why the message, which was taken, could not be sent. */
static int hold_answer(struct hold *hold, const struct msg *msg)
{
	struct longpoll *bus = bus_of(hold);
	struct parcel *parcel = parcel_create(hold->waiter.queue, 1);
	struct call_reply reply;

	if (!parcel)
		return -ENOMEM;
	int rc = call_reply_of(bus, msg, &reply);
	if (rc < 0) {
		parcel_return(parcel);
		return rc;
	}
	parcel_add(parcel, msg->seq);
	parcel_send(parcel, hold->request);
	bus->calls_answered++;
	answer_reply(hold->request, &(struct http_reply){ .status = 200,
							  .content_type = reply.type,
							  .body = reply.body });
	return 0;
}

static enum served hold_serve(struct waiter *waiter)
{
	struct hold *hold = container_of(waiter, struct hold, waiter);
	struct msg *taken;

	if (!queue_take(waiter->queue, &taken))
		return SERVED_NOTHING;
	auto_msg struct msg *msg = taken;
	if (hold_answer(hold, msg) == 0) {
		hold_free(hold, true);
	} else {
		/* It is there for the call's next request, which the Redirect brings. */
		queue_settle(waiter->queue, msg->seq, false);
		hold_redirect(hold);
	}
	return SERVED_DONE;
}

static void hold_end(struct waiter *waiter)
{
	hold_redirect(container_of(waiter, struct hold, waiter));
}

static const struct waiter_ops hold_ops = { .serve = hold_serve, .end = hold_end };

static void hold_timed_out(void *arg)
{
	struct hold *hold = arg;
	struct queue *queue = hold->waiter.queue;

	hold_redirect(hold);
	queue_release(queue);
}

static void hold_gone(void *arg)
{
	struct hold *hold = arg;
	struct queue *queue = hold->waiter.queue;

	struct longpoll *bus = bus_of(hold);

	if (hold->call->holders == 1 && bus->conf->disconnect_events)
		call_tell_left(bus, hold->call);
	hold_free(hold, false);
	if (queue)
		queue_release(queue);
}

/* --- its beginning --- */

/* What is there already is taken at once; else the request waits. */
static void hold_wait(struct hold *hold, struct longpoll *bus)
{
	struct queue *queue = queue_open(bus, hold->call->node.key);

	if (!queue) {
		http_request_on_gone(hold->request, NULL, NULL);
		answer_retry(hold->request, 503, 1, "there is no memory for the call now");
		hold_free(hold, true);
		return;
	}
	hold->waiter.ops = &hold_ops;
	queue_wait_first(queue, &hold->waiter);
	if (hold_serve(&hold->waiter) == SERVED_DONE)
		queue_release(queue);
	else if (timer_start(&hold->timeout, hold->call->hold_ms) < 0)
		hold_timed_out(hold);
	else
		http_request_forget(hold->request);
}

static void on_published(struct publish *publish, int rc)
{
	struct arrival *arrival = container_of(publish, struct arrival, publish);
	struct longpoll *bus = publish->bus;
	struct hold *hold = arrival->hold;

	free(arrival);
	if (!hold)
		return;
	hold->arrival = NULL;
	if (rc == 0) {
		hold_wait(hold, bus);
		return;
	}
	http_request_on_gone(hold->request, NULL, NULL);
	answer_refused(hold->request, rc);
	hold_free(hold, true);
}

/* How long, of the URL or else as before: 0 and *ret, or the request was refused. */
static int hold_time(const struct longpoll *bus, struct http_request *request, unsigned *ret)
{
	struct str query = http_request_info(request)->query, value;
	char text[VALUE_MAX];
	uint64_t ms = *ret ? *ret : bus->conf->hold_ms;

	if (form_find(query, STR("timeout"), text, sizeof(text), &value)) {
		int rc = str_duration_ms(value, &ms);

		if (rc < 0 && rc != -ERANGE) {
			answer_problem(request, 400, NULL, 0,
				       "timeout must be a time such as 500ms, 8s or 60s");
			return rc;
		}
		if (rc == -ERANGE || ms > HOLD_MAX_MS)
			ms = HOLD_MAX_MS;
	}
	*ret = ms ? (unsigned)ms : 1;
	return 0;
}

/* A request of the call of that name that is yet to wait, or NULL and it was refused. */
static struct hold *hold_create(struct longpoll *bus, struct http_request *request, struct str name)
{
	struct call *call = webhook_find(bus->webhook, name);
	unsigned ms = call ? call->hold_ms : 0;

	if (hold_time(bus, request, &ms) < 0)
		return NULL;
	struct hold *hold = calloc(1, sizeof(*hold));
	int rc = hold ? webhook_hold(bus->webhook, name, &hold->call) : -ENOMEM;
	if (rc < 0) {
		free(hold);
		answer_retry(request, 503, 1, "voxbus can't hold any more calls now");
		return NULL;
	}
	hold->call->hold_ms = ms;
	hold->request = request;
	timer_init(&hold->timeout, bus->env.loop, hold_timed_out, hold);
	http_request_on_gone(request, hold_gone, hold);
	return hold;
}

static void resume(struct longpoll *bus, struct http_request *request, struct str name)
{
	struct hold *hold = hold_create(bus, request, name);

	if (hold)
		hold_wait(hold, bus);
}

static void arrive(struct longpoll *bus, struct http_request *request, struct str key,
		   struct str name, const struct document *document)
{
	struct hold *hold = hold_create(bus, request, name);

	if (!hold)
		return;
	struct arrival *arrival = calloc(1, sizeof(*arrival));
	if (!arrival) {
		answer_refused(request, -ENOMEM);
	} else if (publish_append(&arrival->publish, bus, request, key, document, on_published)) {
		arrival->hold = hold;
		hold->arrival = arrival;
		hold->call->retried = arrival->publish.entry || arrival->publish.repeated;
		return;
	}
	free(arrival);
	hold_free(hold, true); /* it was answered */
}

/* --- which requests are a call's --- */

/* The call's name in `bytes`; p = NULL: the request was refused. */
static struct str call_name(struct http_request *request, struct str key, struct str sid,
			    char *bytes)
{
	if (!call_sid_is_good(sid) || str_eq(sid, STR("missed")))
		answer_problem(
			request, 400, NULL, 0,
			"CallSid must be 1 to 256 bytes of UTF-8 without slashes and control "
			"characters, and not . or .. or missed");
	else if (key.n + 1 + sid.n > KEY_MAX)
		answer_problem(request, 400, NULL, 0,
			       "the queue's name and the CallSid have at most %d bytes",
			       KEY_MAX - 1);
	else
		return place_join(key, sid, bytes);
	return str_make(NULL, 0);
}

bool call_handle(struct longpoll *bus, struct http_request *request, struct str key,
		 const struct document *document)
{
	struct str sid = document_param(document, STR("CallSid")), last;
	char bytes[CALL_NAME_MAX];

	if (!sid.n)
		return false;
	if (place_is_of_call(key, &last) && str_eq(last, sid)) {
		resume(bus, request, key);
		return true;
	}
	if (!place_is_of_calls(key))
		return false;
	struct str name = call_name(request, key, sid, bytes);
	if (name.p)
		arrive(bus, request, key, name, document);
	return true;
}

static bool has_param(struct str query, struct str name)
{
	struct form_pair pair;

	while (form_next(&query, &pair))
		if (form_name_is(&pair, name))
			return true;
	return false;
}

bool call_is_webhook(const struct http_request *request, struct str key)
{
	struct str query = http_request_info(request)->query, sid, last;
	char bytes[VALUE_MAX];

	if (http_request_header(request, STR("Authorization")).p ||
	    has_param(query, STR("session")) ||
	    !form_find(query, STR("CallSid"), bytes, sizeof(bytes), &sid) || !sid.n)
		return false;
	return place_is_of_calls(key) || (place_is_of_call(key, &last) && str_eq(last, sid));
}

/* False: the document is not that call's, or its account is nobody's. */
static bool resume_without_account(struct longpoll *bus, struct http_request *request,
				   struct str name, const struct document *document)
{
	struct str account = document_param(document, STR("AccountSid")), last;

	if (!place_is_of_call(name, &last) ||
	    !str_eq(last, document_param(document, STR("CallSid"))) ||
	    !accounts_find(bus->env.accounts, account))
		return false;
	if (str_eq(account, account_sid(bus->account)))
		resume(bus, request, name);
	else
		answer_redirect(bus, request, account, name);
	return true;
}

bool call_resume(struct longpoll *bus, struct http_request *request, const struct place *place)
{
	struct str method = http_request_info(request)->method;
	char bytes[CALL_NAME_MAX];
	struct document document;

	if (!place_is_of_calls(place->sid) || !place->key.n ||
	    place->sid.n + 1 + place->key.n > KEY_MAX)
		return false;
	struct str name = place_join(place->sid, place->key, bytes);
	if (!str_eq(method, STR("POST")) && !str_eq(method, STR("PUT")) &&
	    !call_is_webhook(request, name))
		return false;
	if (!publish_read(bus, request, &document))
		return true;
	bool done = resume_without_account(bus, request, name, &document);
	document_fini(&document);
	return done;
}
