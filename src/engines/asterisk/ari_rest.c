/* SPDX-License-Identifier: MIT */
/*
 * Commands out as REST requests, and their answers back.
 *
 * A command is answered by exactly one REPLY: Asterisk's own answer, whatever its status and type,
 * or one of ours that says what is known: 400 (not sent: no such url), 503 (not sent: nobody there),
 * 504 (no answer in time) and 502 (cut off): what the last two did is unknown.
 * Objects whose ids the client chose are bound before the request is on its way, and let go if it
 * fails; the one that a good answer describes is bound with the answer.
 */
#include <errno.h>
#include <stdlib.h>

#include "engines/asterisk/ari_internal.h"
#include "engines/asterisk/ari_routes.h"

struct command {
	struct list link; /* ari_engine.commands */
	struct ari_engine *engine;
	struct msg *msg;
	struct http_call *call;
	struct ari_made bound; /* by port_bind */
	struct task answer;    /* one that needs no request */
	const char *why;
};

static struct command *command_destroy(struct command *c)
{
	if (c->call)
		http_call_cancel(c->call);
	task_cancel(&c->answer);
	list_del(&c->link);
	(void)msg_unref(c->msg);
	free(c);
	return NULL;
}

static struct ari_objects *table_of(struct command *c, enum object_kind kind)
{
	struct ari_session *s = ari_engine_session(c->engine, c->msg->application);

	if (!s || (kind != OBJECT_CHANNEL && kind != OBJECT_BRIDGE))
		return NULL;
	return kind == OBJECT_CHANNEL ? &s->tables.channels : &s->tables.bridges;
}

static void watch(struct command *c, const struct object_ref *ref)
{
	struct ari_objects *set = table_of(c, ref->kind);

	if (set)
		(void)ari_object_add(set, ref->id, ARI_BOUND);
}

/* place ARI_BOUND only: one that has been seen in the application is let go by its events. */
static void unwatch(struct command *c, const struct object_ref *ref, bool any_place)
{
	struct ari_objects *set = table_of(c, ref->kind);
	struct ari_object *o = set ? ari_object_find(set, ref->id) : NULL;

	if (o && (any_place || o->place == ARI_BOUND))
		ari_object_remove(set, o);
}

/* An id that is known already is not made by this command: it stays with whom it belongs to. */
static void bind_chosen(struct command *c)
{
	struct ari_made *b = &c->bound;
	size_t n = 0;

	ari_route_chosen(c->msg->type, c->msg->target, c->msg->content_type,
			 blob_str(c->msg->payload), b);
	for (size_t i = 0; i < b->n; i++) {
		struct ari_objects *set = table_of(c, b->objects[i].kind);

		if (set && ari_object_find(set, b->objects[i].id))
			continue;
		watch(c, &b->objects[i]);
		b->objects[n++] = b->objects[i];
	}
	b->n = n;
	if (n)
		(void)port_bind(c->engine->port, c->msg, b->objects, n);
}

/* The one REPLY; the command is gone after it. */
static void reply(struct command *c, int status, struct str content_type, struct str body)
{
	struct ari_engine *engine = c->engine;
	struct ari_made made = { .n = 0 };
	struct delivery d = {
		.kind = MSG_REPLY,
		.status = status,
		.answers = c->msg,
		.content_type = content_type,
		.payload = body,
	};

	if (status >= 200 && status < 300) {
		struct ari_made gone;

		ari_route_answered(c->msg->type, c->msg->target, body, &made);
		for (size_t i = 0; i < made.n; i++)
			watch(c, &made.objects[i]);
		ari_route_deleted(c->msg->type, c->msg->target, &gone);
		for (size_t i = 0; i < gone.n; i++)
			unwatch(c, &gone.objects[i], true);
		d.objects = made.objects;
		d.n_objects = made.n;
	} else {
		for (size_t i = 0; i < c->bound.n; i++) {
			unwatch(c, &c->bound.objects[i], false);
			c->bound.objects[i].verbs = OBJECT_ENDS;
		}
		d.objects = c->bound.objects;
		d.n_objects = c->bound.n;
	}
	(void)port_deliver(engine->port, &d);
	(void)command_destroy(c);
}

static void reply_message(struct command *c, int status, const char *text)
{
	char body[256];
	int n = snprintf(body, sizeof(body), "{\"message\":\"%s\"}", text);

	reply(c, status, STR("application/json"), str_make(body, (size_t)n));
}

static void on_answer_task(void *arg)
{
	struct command *c = arg;

	reply_message(c, 400, c->why);
}

static void reply_failure(struct command *c, int rc)
{
	c->engine->stats.rest_errors++;
	switch (rc) {
	case -ECONNREFUSED:
	case -ENOENT:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
		reply_message(c, 503, "Asterisk is not reachable: the command was not sent");
		break;
	case -ETIMEDOUT:
		reply_message(c, 504,
			      "Asterisk did not answer in time: whether the command was "
			      "done is not known");
		break;
	case -EMSGSIZE:
		reply_message(c, 502, "Asterisk's answer is too large");
		break;
	case -EBADMSG:
		reply_message(c, 502, "Asterisk's answer is not HTTP");
		break;
	default:
		reply_message(c, 502,
			      "the connection to Asterisk broke: whether the command was "
			      "done is not known");
	}
}

static struct str content_type_of(const struct http_response *response)
{
	for (size_t i = 0; i < response->n_headers; i++)
		if (str_eq_nocase(response->headers[i].name, STR("Content-Type")))
			return response->headers[i].value;
	return (struct str){ NULL, 0 };
}

static void on_done(void *arg, int rc, const struct http_response *response)
{
	struct command *c = arg;
	struct ari_engine *engine = c->engine;

	c->call = NULL;
	if (rc < 0)
		reply_failure(c, rc);
	else
		reply(c, response->status, content_type_of(response), response->body);
	if (engine->full)
		task_defer(&engine->writable);
}

/* What the line of a request may begin with (RFC 9110 section 9.1, and Asterisk's are short). */
static bool is_method(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 'A' || s.p[i] > 'Z')
			return false;
	return s.n > 0 && s.n <= 16;
}

/* 0; -EINVAL: *c->why says why it will never go; -EAGAIN: the queue is full. */
static int command_request(struct command *c)
{
	struct ari_engine *engine = c->engine;
	const struct msg *m = c->msg;
	struct http_header headers[] = {
		{ STR("Authorization"), secret_str(&engine->authorization) },
		{ STR("Content-Type"),
		  m->content_type.n ? m->content_type : STR("application/json") },
	};
	struct http_call_init init = {
		.method = m->type,
		.headers = headers,
		.body = blob_str(m->payload),
		.timeout_ms = engine->conf->timeout_ms,
		.done = on_done,
		.arg = c,
	};
	int rc;

	if (!is_method(m->type)) {
		c->why = "the method is none";
		return -EINVAL;
	}
	buf_clear(&engine->target);
	rc = ari_route_target(engine->path, m->target, &engine->target, &c->why);
	if (rc < 0)
		return rc;
	init.target = buf_str(&engine->target);
	init.n_headers = init.body.n ? 2 : 1;
	rc = http_client_call(engine->rest, &init, &c->call);
	if (rc == -EINVAL)
		c->why = "this is no request that HTTP can carry";
	return rc;
}

int ari_command_send(struct ari_engine *engine, struct msg *msg)
{
	struct command *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	c->engine = engine;
	c->msg = msg_ref(msg);
	list_add_tail(&engine->commands, &c->link);
	task_init(&c->answer, engine->loop, on_answer_task, c);
	rc = command_request(c);
	if (rc == 0) {
		engine->stats.rest_requests++;
		bind_chosen(c);
		return 0;
	}
	if (rc == -EINVAL) {
		task_defer(&c->answer);
		return 0;
	}
	engine->full |= rc == -EAGAIN;
	(void)command_destroy(c);
	return rc;
}

void ari_commands_drop(struct ari_engine *engine)
{
	list_for_each_safe (it, &engine->commands)
		(void)command_destroy(container_of(it, struct command, link));
}
