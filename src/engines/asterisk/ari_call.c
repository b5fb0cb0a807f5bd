/* SPDX-License-Identifier: MIT */
/*
 * RESTRequest and RESTResponse (Asterisk 20.14, 21.9, 22.4 and later), and HTTP beside them.
 *
 * A request that was sent and not answered when its link goes is not repeated: what it did is not
 * known. One that had not been sent did nothing, and its asker is told so.
 */
#include "engines/asterisk/ari_call.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "codec/json_out.h"
#include "engines/asterisk/ari_routes.h"

enum { FRAME_ROOM = 4 * ARI_FRAME_MAX, ANSWER_KEPT = 65536 };

struct ari_call {
	struct list place; /* ari_link.queued or .sent */
	struct ari_engine *engine;
	struct ari_link *link; /* NULL: by HTTP */
	struct http_call *http;
	uint64_t id;
	struct timer deadline;
	struct buf frame;
	bool sent;
	void (*done)(void *arg, int rc, const struct http_response *response);
	void *arg;
};

/* ---- by a link */

static void take_off(struct ari_call *call)
{
	if (!call->link)
		return;
	list_del(&call->place);
	if (call->sent)
		call->link->n_sent--;
	else
		call->link->n_queued--;
	call->link = NULL;
}

static void call_free(struct ari_call *call)
{
	take_off(call);
	timer_stop(&call->deadline);
	buf_fini(&call->frame);
	free(call);
}

/* Its owner may ask anew from inside `done`: the call is gone before. */
static void finish(struct ari_call *call, int rc, const struct http_response *response)
{
	void (*done)(void *arg, int rc, const struct http_response *response) = call->done;
	void *arg = call->arg;

	call_free(call);
	done(arg, rc, response);
}

static void pump(struct ari_link *link)
{
	while (link->open && link->n_sent < ARI_CALLS_AHEAD && !list_empty(&link->queued)) {
		struct ari_call *call = container_of(link->queued.next, struct ari_call, place);

		/* A slow reader: what is sent already will be answered, and then it goes on. */
		if (ws_send(link->ws, buf_str(&call->frame), true) < 0)
			return;
		buf_fini(&call->frame);
		list_del(&call->place);
		list_add_tail(&link->sent, &call->place);
		call->sent = true;
		link->n_queued--;
		link->n_sent++;
	}
}

static void on_deadline(void *arg)
{
	struct ari_call *call = arg;
	struct ari_link *link = call->link;
	int rc = call->sent ? -ETIMEDOUT : -EBUSY;

	take_off(call);
	pump(link);
	finish(call, rc, NULL);
}

static int write_frame(struct ari_call *call, const struct ari_request *request, struct str uri)
{
	struct json_out w = { &call->frame, 0 };

	json_out(&w, STR("{\"type\":\"RESTRequest\",\"transaction_id\":\"voxbus\""));
	json_out_number(&w, STR(",\"request_id\":\""), call->id);
	json_out_string(&w, STR("\",\"method\":"), request->method);
	json_out_string(&w, STR(",\"uri\":"), uri);
	if (request->body.n) {
		json_out_string(&w, STR(",\"content_type\":"), request->content_type);
		json_out_string(&w, STR(",\"message_body\":"), request->body);
	}
	json_out(&w, STR("}"));
	if (w.rc == -ENOBUFS || (w.rc == 0 && buf_len(&call->frame) > ARI_FRAME_MAX))
		return -EMSGSIZE;
	return w.rc;
}

static int begin_link(struct ari_call *call, struct ari_link *link,
		      const struct ari_request *request, struct str target)
{
	int rc;

	if (!link->open)
		return -ENOTCONN;
	if (link->n_queued >= ARI_CALLS_QUEUED)
		return -EAGAIN;
	call->id = ++call->engine->last_request;
	rc = write_frame(call, request, str_skip(target, 1)); /* Asterisk wants no first slash */
	if (rc == 0)
		rc = timer_start(&call->deadline, call->engine->conf->timeout_ms);
	if (rc < 0)
		return rc;
	call->link = link;
	list_add_tail(&link->queued, &call->place);
	link->n_queued++;
	pump(link);
	return 0;
}

static struct ari_call *call_find(const struct ari_link *link, struct json id)
{
	char text[32];
	struct str s;
	uint64_t number;

	if (json_string(id, text, sizeof(text), &s) < 0 || str_u64(s, &number) < 0)
		return NULL;
	list_for_each (it, &link->sent) {
		struct ari_call *call = container_of(it, struct ari_call, place);

		if (call->id == number)
			return call;
	}
	return NULL;
}

bool ari_call_answer(struct ari_link *link, struct str frame)
{
	struct ari_engine *engine = link->engine; /* the link may go in `done` */
	struct json doc = json_peek(frame), body = json_get(doc, STR("message_body"));
	struct ari_call *call = call_find(link, json_get(doc, STR("request_id")));
	struct http_header type = { STR("Content-Type"), { NULL, 0 } };
	struct http_response response = { .headers = &type };
	char type_text[256];
	uint64_t status;
	int rc = 0;

	if (!call)
		return false;
	link->answered++;
	take_off(call);
	pump(link);
	buf_clear(&engine->answer);
	if (json_u64(json_get(doc, STR("status_code")), &status) < 0 || status < 100 ||
	    status > 599)
		rc = -EBADMSG;
	if (rc == 0 && body.type == JSON_STRING)
		rc = json_add_unescaped(&engine->answer, body);
	if (json_string(json_get(doc, STR("content_type")), type_text, sizeof(type_text),
			&type.value) == 0)
		response.n_headers = 1;
	if (rc == 0) {
		response.status = (int)status;
		response.body = buf_str(&engine->answer);
	}
	finish(call, rc == -ENOBUFS ? -EMSGSIZE : rc, rc == 0 ? &response : NULL);
	if (engine->answer.cap > ANSWER_KEPT) { /* a list of all channels comes once a connect */
		buf_fini(&engine->answer);
		buf_init(&engine->answer, ARI_ANSWER_MAX);
	}
	return true;
}

static void fail_all(struct list *calls, int rc)
{
	while (!list_empty(calls))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): finish takes it off the list. */
		finish(container_of(calls->next, struct ari_call, place), rc, NULL);
}

void ari_calls_fail(struct ari_link *link)
{
	fail_all(&link->sent, -ECONNRESET);
	fail_all(&link->queued, -ENOTCONN);
}

/* ---- by HTTP */

static void on_http_done(void *arg, int rc, const struct http_response *response)
{
	struct ari_call *call = arg;

	call->http = NULL;
	finish(call, rc, response);
}

static int begin_http(struct ari_call *call, const struct ari_request *request, struct str target,
		      const char **ret_why)
{
	struct ari_engine *engine = call->engine;
	struct http_header headers[] = {
		{ STR("Authorization"), secret_str(&engine->authorization) },
		{ STR("Content-Type"), request->content_type },
	};
	struct http_call_init init = {
		.method = request->method,
		.target = target,
		.headers = headers,
		.n_headers = request->body.n ? 2 : 1,
		.body = request->body,
		.timeout_ms = engine->conf->timeout_ms,
		.done = on_http_done,
		.arg = call,
	};
	int rc = http_client_call(engine->rest, &init, &call->http);

	if (rc == -EINVAL)
		*ret_why = "this is no request that HTTP can carry";
	return rc;
}

/* ---- both */

int ari_call_create(struct ari_engine *engine, struct ari_link *link,
		    const struct ari_request *request, const char **ret_why, struct ari_call **ret)
{
	struct ari_call *call = calloc(1, sizeof(*call));
	int rc;

	if (!call)
		return -ENOMEM;
	call->engine = engine;
	call->done = request->done;
	call->arg = request->arg;
	list_init(&call->place);
	timer_init(&call->deadline, engine->loop, on_deadline, call);
	buf_init(&call->frame, FRAME_ROOM);
	buf_clear(&engine->target);
	rc = ari_route_target(link ? STR("") : engine->path, request->target, &engine->target,
			      ret_why);
	if (rc == 0)
		rc = link ? begin_link(call, link, request, buf_str(&engine->target))
			  : begin_http(call, request, buf_str(&engine->target), ret_why);
	if (rc < 0)
		call_free(call);
	else
		*ret = call;
	return rc;
}

void ari_call_cancel(struct ari_call *call)
{
	struct ari_link *link = call->link;

	if (call->http)
		http_call_cancel(call->http);
	call_free(call);
	if (link)
		pump(link);
}
