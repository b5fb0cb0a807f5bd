/* SPDX-License-Identifier: MIT */
/*
 * Commands out as REST requests, and their answers back.
 *
 * A command is answered by exactly one REPLY: Asterisk's own answer, whatever its status and type,
 * or one of ours that says what is known: 400 (not sent: no such url), 503 (not sent: nobody there),
 * 504 (no answer in time) and 502 (cut off): what the last two did is unknown.
 * Objects whose ids the client chose are bound before the request is on its way, and let go if it
 * fails; the one that a good answer describes is bound with the answer. A new channel or bridge without
 * an id of the client's gets one of ours, in the query (the body is the client's, to the byte): its
 * StasisStart may come before the answer, and would open a dialog of its own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "engines/asterisk/ari_call.h"
#include "engines/asterisk/ari_routes.h"

enum { ID_BYTES = 12 }; /* of an id of ours: "vb-" and twice as many digits */

struct command {
	struct list link; /* ari_engine.commands */
	struct ari_engine *engine;
	struct msg *msg;
	char *target; /* msg's with an id of ours in the query; NULL: as it is */
	struct ari_call *call;
	struct ari_made bound; /* by port_bind */
	struct task answer;    /* one that is not sent */
	int status;            /* of that answer */
	const char *why;
};

static struct command *command_destroy(struct command *c)
{
	if (c->call)
		ari_call_cancel(c->call);
	task_cancel(&c->answer);
	list_del(&c->link);
	(void)msg_unref(c->msg);
	free(c->target);
	free(c);
	return NULL;
}

static struct str target_of(const struct command *c)
{
	return c->target ? str_from(c->target) : c->msg->target;
}

/* Where there is no room or memory for it the id is Asterisk's: better than no call. */
static void name_unnamed(struct command *c)
{
	struct str target = c->msg->target;
	const char *parameter = ari_route_unnamed(c->msg->type, target, c->msg->content_type,
						  blob_str(c->msg->payload));
	char id[2 * ID_BYTES + 1], mark = str_find(target, '?') < target.n ? '&' : '?';
	size_t size;

	if (!parameter)
		return;
	rand_id_hex(id, ID_BYTES);
	size = target.n + strlen(parameter) + sizeof("?=vb-") + sizeof(id);
	c->target = size <= ARI_TARGET_MAX ? malloc(size) : NULL;
	if (c->target)
		(void)snprintf(c->target, size, "%.*s%c%s=vb-%s", STR_ARG(target), mark, parameter,
			       id);
}

static struct ari_objects *table_of(struct command *c, enum object_kind kind)
{
	struct ari_session *s = ari_engine_session(c->engine, c->msg->application);

	return s ? ari_tables_of(&s->tables, kind) : NULL;
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

	ari_route_chosen(c->msg->type, target_of(c), c->msg->content_type,
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

	reply_message(c, c->status, c->why);
}

static void reply_failure(struct command *c, int rc)
{
	c->engine->stats.rest_errors++;
	switch (rc) {
	case -ECONNREFUSED:
	case -ENOENT:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
	case -ENOTCONN:
		reply_message(c, 503, "Asterisk is not reachable: the command was not sent");
		break;
	case -EBUSY:
		reply_message(c, 503,
			      "Asterisk was busy with other commands: this one was not sent");
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

struct ari_link *ari_link_for(const struct ari_engine *engine, struct str application)
{
	struct ari_session *s = ari_engine_session(engine, application);

	if (s && s->carrier && s->carrier->open)
		return s->carrier;
	list_for_each (it, &engine->links) {
		struct ari_link *link = container_of(it, struct ari_link, link);

		if (link->open && !link->refused)
			return link;
	}
	return NULL;
}

/* As ari_call_create; those that get an answer of our own have it in c->why. */
static int command_request(struct command *c)
{
	const struct msg *m = c->msg;
	bool by_link = c->engine->conf->rest == ARI_REST_WEBSOCKET;
	struct ari_link *link = by_link ? ari_link_for(c->engine, m->application) : NULL;
	struct ari_request request = {
		.method = m->type,
		.target = target_of(c),
		.content_type = m->content_type.n ? m->content_type : STR("application/json"),
		.body = blob_str(m->payload),
		.done = on_done,
		.arg = c,
	};

	if (!is_method(m->type)) {
		c->why = "the method is none";
		return -EINVAL;
	}
	if (by_link && !link)
		return -ENOTCONN;
	return ari_call_create(c->engine, link, &request, &c->why, &c->call);
}

/* The status of an answer of our own to a command that can't be sent, or 0: it is the hub's. */
static int own_answer(struct command *c, int rc)
{
	switch (rc) {
	case -EINVAL:
		return 400;
	case -EMSGSIZE:
		c->why = "the command is over the 65535 bytes that Asterisk takes by websocket";
		return 413;
	case -ENOTCONN:
		c->why = "Asterisk's websocket is not open: the command was not sent";
		return 503;
	default:
		return 0;
	}
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
	name_unnamed(c);
	rc = command_request(c);
	if (rc == 0) {
		engine->stats.rest_requests++;
		bind_chosen(c);
		return 0;
	}
	c->status = own_answer(c, rc);
	if (c->status) {
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
