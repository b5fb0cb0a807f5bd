/* SPDX-License-Identifier: MIT */
/*
 * The engine as the core sees it.
 *
 * The applications of an engine live each for itself (ari_session.c): each may come by a websocket
 * of its own. The port is as well as the worst of them, so that /readyz is false while any
 * application gets no events.
 */
#include "engines/asterisk/ari.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "engines/asterisk/ari_internal.h"
#include "net/failures.h"
#include "net/tls.h"

enum { TARGET_BYTES = 16384, REST_IDLE_MS = 10000 };

/* From good to bad. */
static int severity(enum port_state state)
{
	static const int by_state[] = {
		[PORT_UP] = 0,   [PORT_STALE] = 1,  [PORT_CONNECTING] = 2,
		[PORT_DOWN] = 3, [PORT_FAILED] = 4, [PORT_CLOSED] = 5,
	};

	return by_state[state];
}

void ari_engine_update(struct ari_engine *engine)
{
	enum port_state worst = PORT_UP;
	char reason[ARI_REASON_MAX] = "";

	if (!engine->started || engine->stopped)
		return;
	list_for_each (it, &engine->sessions) {
		const struct ari_session *s = container_of(it, struct ari_session, link);
		const char *why;
		enum port_state state = ari_session_state(s, &why);

		if (severity(state) <= severity(worst))
			continue;
		worst = state;
		reason[0] = '\0';
		if (why[0])
			(void)snprintf(reason, sizeof(reason), "application \"%.*s\": %s",
				       STR_ARG(s->application), why);
	}
	if (worst == engine->state && strcmp(reason, engine->reason) == 0)
		return;
	engine->state = worst;
	memcpy(engine->reason, reason, sizeof(reason));
	port_set_state(engine->port, worst, reason);
}

struct ari_session *ari_engine_session(const struct ari_engine *engine, struct str application)
{
	list_for_each (it, &engine->sessions) {
		struct ari_session *s = container_of(it, struct ari_session, link);

		if (str_eq(s->application, application))
			return s;
	}
	return NULL;
}

/* "Basic " and base64 of user:password (RFC 7617). */
static int set_authorization(struct ari_engine *engine)
{
	struct str password = secret_str(&engine->conf->password);
	struct buf plain, coded;
	int rc, n;

	buf_init(&plain, 4096);
	buf_init(&coded, 8192);
	rc = buf_addf(&plain, "%s:%.*s", engine->conf->username ? engine->conf->username : "",
		      STR_ARG(password));
	if (rc == 0)
		rc = buf_add(&coded, STR("Basic "));
	if (rc == 0)
		rc = buf_reserve(&coded, buf_len(&plain) * 4 / 3 + 8);
	if (rc == 0) {
		n = EVP_EncodeBlock((unsigned char *)buf_tail(&coded),
				    (const unsigned char *)buf_str(&plain).p, (int)buf_len(&plain));
		buf_grew(&coded, (size_t)n);
		rc = secret_set(&engine->authorization, buf_str(&coded));
	}
	if (plain.base)
		OPENSSL_cleanse(plain.base, plain.cap);
	if (coded.base)
		OPENSSL_cleanse(coded.base, coded.cap);
	buf_fini(&plain);
	buf_fini(&coded);
	return rc;
}

/* The path of "http://host:port/ari/": "/ari". */
static struct str url_path(struct str url)
{
	size_t scheme = str_find_str(url, STR("://"));
	struct str rest = scheme < url.n ? str_skip(url, scheme + 3) : url;

	rest = str_skip(rest, str_find(rest, '/'));
	while (rest.n && rest.p[rest.n - 1] == '/')
		rest.n--;
	return rest;
}

static void on_writable(void *arg)
{
	struct ari_engine *engine = arg;

	engine->full = false;
	port_writable(engine->port);
}

static void on_closed(void *arg)
{
	struct ari_engine *engine = arg;

	port_set_state(engine->port, PORT_CLOSED, "");
}

static int create_sessions(struct ari_engine *engine, struct err *e)
{
	const struct conf_strings *names = &engine->conf->applications;

	if (!names->count)
		return err_set(e, -EINVAL, "engine \"%s\" serves no application",
			       engine->conf->name);
	for (size_t i = 0; i < names->count; i++) {
		struct ari_session *s;
		int rc = ari_session_create(engine, str_from(names->items[i]), &s);

		if (rc < 0)
			return err_set(e, rc, "no memory");
		list_add_tail(&engine->sessions, &s->link);
	}
	return 0;
}

static void links_destroy(struct ari_engine *engine)
{
	list_for_each_safe (it, &engine->links) {
		struct ari_link *link = container_of(it, struct ari_link, link);

		if (link->open && link->ws)
			ws_close(link->ws, 1001, STR("voxbus stops"));
		(void)ari_link_destroy(link);
	}
}

static void ari_destroy(void *self)
{
	struct ari_engine *engine = self;

	if (!engine)
		return;
	ari_commands_drop(engine);
	ari_releases_drop(engine);
	while (!list_empty(&engine->sessions)) {
		struct ari_session *s =
			container_of(engine->sessions.next, struct ari_session, link);

		list_del(&s->link);
		(void)ari_session_destroy(s);
	}
	links_destroy(engine);
	task_cancel(&engine->writable);
	task_cancel(&engine->closed);
	(void)failures_destroy(engine->failures);
	(void)http_client_destroy(engine->rest);
	(void)tls_context_destroy(engine->tls);
	secret_fini(&engine->authorization);
	buf_fini(&engine->target);
	buf_fini(&engine->answer);
	free(engine);
}

static int create_tls(struct ari_engine *engine, struct err *e)
{
	int rc;

	if (!ari_conf_is_tls(engine->conf))
		return 0;
	rc = ari_conf_tls(engine->loop, engine->log, engine->conf, &engine->tls, e);
	if (rc < 0)
		return err_prefix(e, rc, "engine \"%s\": tls", engine->conf->name);
	if (!engine->conf->tls.verify)
		log_warn(engine->log, "certificate not verified", "url=%s then=%s",
			 engine->conf->url,
			 "anybody in between can read and change everything: set tls.verify");
	return 0;
}

static int ari_create(struct port *port, const struct port_env *env, const void *conf, void **ret,
		      struct err *e)
{
	struct ari_engine *engine = calloc(1, sizeof(*engine));
	struct http_client_options options = { .idle_timeout_ms = REST_IDLE_MS };
	int rc;

	if (!engine)
		return err_set(e, -ENOMEM, "no memory");
	engine->port = port;
	engine->loop = env->loop;
	engine->log = env->log;
	engine->conf = conf;
	engine->http = env->http;
	engine->state = PORT_DOWN;
	engine->path = url_path(str_from(engine->conf->url));
	list_init(&engine->sessions);
	list_init(&engine->links);
	list_init(&engine->commands);
	list_init(&engine->releases);
	buf_init(&engine->target, TARGET_BYTES);
	buf_init(&engine->answer, ARI_ANSWER_MAX);
	task_init(&engine->writable, env->loop, on_writable, engine);
	task_init(&engine->closed, env->loop, on_closed, engine);
	options.conns_max = engine->conf->connections;
	rc = create_tls(engine, e);
	options.tls = engine->tls;
	if (rc == 0)
		rc = http_client_create(env->loop, str_from(engine->conf->url), &options,
					&engine->rest, e);
	if (rc == 0) {
		rc = set_authorization(engine);
		if (rc < 0)
			(void)err_set(e, rc, "no memory");
	}
	if (rc == 0 && failures_create(env->loop, &engine->failures) < 0)
		rc = err_set(e, -ENOMEM, "no memory");
	if (rc == 0)
		rc = create_sessions(engine, e);
	if (rc < 0) {
		ari_destroy(engine);
		return rc;
	}
	*ret = engine;
	return 0;
}

/* Where they are, the first resync finds out. */
static void ari_adopt(void *self, struct str application, const struct object_ref *objects,
		      size_t n)
{
	struct ari_session *s = ari_engine_session(self, application);

	for (size_t i = 0; s && i < n; i++)
		(void)ari_object_add(ari_tables_of(&s->tables, objects[i].kind), objects[i].id,
				     ARI_ADOPTED);
}

static int ari_start(void *self, struct err *e)
{
	struct ari_engine *engine = self;
	int rc = ari_is_server(engine) ? ari_server_start(engine, e) : 0;

	if (rc < 0)
		return rc;
	engine->started = true;
	list_for_each (it, &engine->sessions)
		ari_session_start(container_of(it, struct ari_session, link));
	return 0;
}

static int ari_send(void *self, struct msg *msg)
{
	return ari_command_send(self, msg);
}

static int ari_subjects(void *self, const struct msg *command, struct object_ref *ret, size_t n)
{
	struct ari_engine *engine = self;
	const struct ari_made *made = &engine->subjects;
	int rc = ari_route_subjects(command->type, command->target, command->content_type,
				    blob_str(command->payload), &engine->subjects);

	if (rc < 0 || made->n > n)
		return -ENOENT;
	memcpy(ret, made->objects, made->n * sizeof(*ret));
	return (int)made->n;
}

static void ari_let_go(void *self, struct str application, struct str channel, const char *reason)
{
	struct ari_engine *engine = self;

	if (!engine->stopped)
		ari_release(engine, application, channel, reason);
}

static void ari_stop(void *self)
{
	struct ari_engine *engine = self;

	engine->stopped = true;
	ari_commands_drop(engine);
	ari_releases_drop(engine);
	list_for_each (it, &engine->sessions)
		ari_session_stop(container_of(it, struct ari_session, link));
	links_destroy(engine);
	task_cancel(&engine->writable);
	task_defer(&engine->closed);
}

static size_t ari_stats(void *self, struct port_stat *ret, size_t n)
{
	const struct ari_engine *engine = self;
	uint64_t waiting = 0, watched = 0;

	list_for_each (it, &engine->sessions) {
		const struct ari_session *s = container_of(it, struct ari_session, link);

		waiting += s->backlog_n;
		watched += s->tables.channels.map.count + s->tables.bridges.map.count;
	}
	const struct port_stat all[] = {
		{ "reconnects", "Times a websocket was made anew.", false,
		  engine->stats.reconnects },
		{ "frames", "Websocket frames received.", false, engine->stats.frames },
		{ "bad_frames", "Frames that are no ARI event.", false, engine->stats.bad_frames },
		{ "rest_requests", "REST requests made for commands.", false,
		  engine->stats.rest_requests },
		{ "rest_errors", "Of them, those that got no answer.", false,
		  engine->stats.rest_errors },
		{ "resyncs", "Comparisons with Asterisk after a connect.", false,
		  engine->stats.resyncs },
		{ "synthesised", "Events made up by them.", false, engine->stats.synthesised },
		{ "duplicates", "Events dropped because a resync had made them up already.", false,
		  engine->stats.duplicates },
		{ "foreign", "Events of applications that this engine does not list.", false,
		  engine->stats.foreign },
		{ "refused", "Websockets of Asterisk that were not let in.", false,
		  engine->stats.refused },
		{ "buffered", "Frames that wait behind a resync.", true, waiting },
		{ "watched", "Channels and bridges believed to be there.", true, watched },
	};
	size_t count = sizeof(all) / sizeof(*all) < n ? sizeof(all) / sizeof(*all) : n;

	memcpy(ret, all, count * sizeof(*all));
	return count;
}

const struct port_ops ari_engine_ops = {
	.name = "asterisk",
	.roles = PORT_ENGINE,
	.create = ari_create,
	.adopt = ari_adopt,
	.start = ari_start,
	.send = ari_send,
	.subjects = ari_subjects,
	.release = ari_let_go,
	.stop = ari_stop,
	.destroy = ari_destroy,
	.stats = ari_stats,
};
