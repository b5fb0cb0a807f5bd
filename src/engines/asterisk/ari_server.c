/* SPDX-License-Identifier: MIT */
/*
 * `websocket: server`: Asterisk dials /ari/<engine> on our HTTP listener.
 *
 * It dials again whenever the link is lost, and keeps in memory what we should have heard: after a
 * connect it first sends what it had kept, in order, and then ApplicationRegistered for each
 * application. So events are delivered from the first frame on, and the comparison begins with
 * ApplicationRegistered: earlier it would make up what is about to come. What it finds then is what
 * had been under way in the kernel when the link was lost.
 *
 * Which link carries an application is what ApplicationRegistered says, so one Asterisk may open
 * one link for all of its applications or one for each. The newest link wins: Asterisk dials anew
 * only when it has given the old one up. Only from another Asterisk (another asterisk_id) it is a
 * mistake, and refused for as long as the first one lives.
 */
#include <errno.h>
#include <stdio.h>

#include "codec/base64.h"
#include "engines/asterisk/ari_call.h"
#include "net/failures.h"
#include "net/http_server.h"

enum {
	BODY_MAX = 1024,
	BASIC_MAX = 1024,
	PREFIX_MAX = 80,
	LINKS_MAX = 64, /* of one engine; further ones get 503 */
	TOLD_AGAIN_MS = 60000,
};

/* ---- who may come in */

static void problem(struct http_request *request, int status, const char *text, const char *name,
		    const char *value)
{
	struct http_header header = { str_from(name), str_from(value) };

	http_problem(request, status, str_from(text), &header, name ? 1 : 0);
}

/* What follows "Basic " in the Authorization header, or p = NULL. */
static struct str basic_of(const struct http_request *request)
{
	struct str rest = str_trim(http_request_header(request, STR("Authorization")));
	struct str scheme = str_cut(&rest, ' ');

	return str_eq_nocase(scheme, STR("Basic")) ? str_trim(rest) : str_make(NULL, 0);
}

static bool is_asterisk(const struct ari_engine *engine, struct str basic)
{
	char text[BASIC_MAX];
	struct str password, username;
	bool good;
	long n;

	if (!basic.n || basic.n / 4 * 3 + 3 > sizeof(text))
		return false;
	n = base64_decode(text, basic);
	if (n < 0)
		return false;
	password = str_make(text, (size_t)n);
	username = str_cut(&password, ':');
	good = secret_equals(&engine->conf->server_password, password);
	good &= str_eq(username, str_from(engine->conf->server_username));
	explicit_bzero(text, sizeof(text));
	return good;
}

/* Somebody who may be Asterisk knocks with wrong words: whoever waits for it should know. */
static void told_wrong(struct ari_engine *engine)
{
	list_for_each (it, &engine->sessions) {
		struct ari_session *s = container_of(it, struct ari_session, link);

		if (!s->carrier)
			ari_session_fault(
				s, PORT_FAILED,
				"somebody dials /ari/%s with a wrong user name or password: make "
				"server_username and server_password of engine \"%s\" and "
				"websocket_client.conf agree",
				engine->conf->name, engine->conf->name);
	}
	ari_engine_update(engine);
}

/* True, or false and it was answered. */
static bool let_in(struct ari_engine *engine, struct http_request *request)
{
	struct str address = http_request_info(request)->peer_address;
	unsigned wait = failures_wait(engine->failures, address);
	struct str basic = basic_of(request);
	char text[16];

	if (wait) {
		(void)snprintf(text, sizeof(text), "%u", wait);
		problem(request, 429,
			"too many wrong passwords came from this address; try again later",
			"Retry-After", text);
		return false;
	}
	if (is_asterisk(engine, basic))
		return true;
	if (basic.p) {
		failures_add(engine->failures, address);
		told_wrong(engine);
	}
	problem(request, 401,
		"username and password of websocket_client.conf must be the engine's "
		"server_username and server_password",
		"WWW-Authenticate", "Basic realm=\"ari\"");
	return false;
}

static size_t links_count(const struct ari_engine *engine)
{
	size_t n = 0;

	list_for_each (it, &engine->links)
		n++;
	return n;
}

static void take_in(struct ari_engine *engine, struct http_request *request)
{
	const struct http_request_info *info = http_request_info(request);
	struct ws_options options;
	struct ari_link *link;

	if (links_count(engine) >= LINKS_MAX || ari_link_create(engine, NULL, &link) < 0) {
		problem(request, 503, "there are too many websockets of this engine", "Retry-After",
			"5");
		return;
	}
	(void)snprintf(link->peer, sizeof(link->peer), "%s", info->peer ? info->peer : "");
	ari_link_options(engine, &options);
	if (ws_accept(engine->loop, request, &options, &ari_link_events, link, &link->ws) < 0)
		(void)ari_link_destroy(link);
}

static void on_request(void *arg, struct http_request *request)
{
	struct ari_engine *engine = arg;
	struct str path = http_request_info(request)->path;
	char own[PREFIX_MAX];

	(void)snprintf(own, sizeof(own), "/ari/%s", engine->conf->name);
	if (engine->stopped)
		problem(request, 503, "voxbus is stopping", "Retry-After", "5");
	else if (!str_eq(path, str_from(own)))
		problem(request, 404, "an engine's path ends with its name", NULL, NULL);
	else if (let_in(engine, request))
		take_in(engine, request);
	else
		engine->stats.refused++;
}

static void on_unknown(void *arg, struct http_request *request)
{
	problem(request, 404, "no engine of that name waits for Asterisk here", NULL, NULL);
}

int ari_server_start(struct ari_engine *engine, struct err *e)
{
	struct http_mount unknown = { STR("/ari"), BODY_MAX, on_unknown, NULL };
	struct http_mount own = { .body_max = BODY_MAX, .handle = on_request, .arg = engine };
	char prefix[PREFIX_MAX];
	int rc;

	if (!engine->http)
		return err_set(e, -EINVAL, "there is no HTTP server that Asterisk could dial");
	(void)snprintf(prefix, sizeof(prefix), "/ari/%s", engine->conf->name);
	own.prefix = str_from(prefix);
	rc = http_server_mount(engine->http, &own);
	if (rc == 0)
		rc = http_server_mount(engine->http, &unknown);
	/* Another engine was first. */
	if (rc < 0 && rc != -EEXIST)
		return err_set(e, rc, "%s can't be served: %s", prefix, strerror(-rc));
	return 0;
}

/* ---- which link carries what */

void ari_server_waits(struct ari_session *s)
{
	const char *name = s->engine->conf->name;

	s->phase = WAITING;
	if (s->fault != PORT_FAILED) {
		ari_session_fault(s, s->fault, "waiting for Asterisk to dial /ari/%s", name);
		list_for_each (it, &s->engine->links) {
			if (container_of(it, struct ari_link, link)->open)
				ari_session_fault(s, s->fault,
						  "Asterisk has dialled /ari/%s, but has not "
						  "registered this application: is it in apps of "
						  "its outbound_websocket in ari.conf?",
						  name);
		}
	}
	ari_engine_update(s->engine);
}

static bool carries(const struct ari_link *link)
{
	list_for_each (it, &link->engine->sessions)
		if (container_of(it, struct ari_session, link)->carrier == link)
			return true;
	return false;
}

/* Its applications have no link any more. */
static void let_go(struct ari_link *link, const char *why)
{
	list_for_each (it, &link->engine->sessions) {
		struct ari_session *s = container_of(it, struct ari_session, link);

		if (s->carrier != link)
			continue;
		ari_session_detach(s);
		timer_stop(&s->timer);
		ari_session_fault(s, PORT_DOWN,
				  "the websocket from Asterisk was lost (%s); calls go on there, "
				  "and their events are kept; waiting for Asterisk to dial /ari/%s",
				  why, link->engine->conf->name);
		s->phase = WAITING;
	}
	ari_engine_update(link->engine);
}

/* Who still waits is told what for. */
static void waiting_again(struct ari_engine *engine)
{
	list_for_each (it, &engine->sessions) {
		struct ari_session *s = container_of(it, struct ari_session, link);

		if (!s->carrier && s->phase == WAITING && s->fault == PORT_CONNECTING)
			ari_server_waits(s);
	}
}

/* Asterisk has dialled anew: what is silent it has given up. */
void ari_server_opened(struct ari_link *link)
{
	struct ari_engine *engine = link->engine;

	log_info(engine->log, "websocket open", "peer=%s", link->peer);
	list_for_each_safe (it, &engine->links) {
		struct ari_link *old = container_of(it, struct ari_link, link);

		if (old == link || !old->stale)
			continue;
		let_go(old, "silent, and Asterisk has dialled anew");
		(void)ari_link_destroy(old);
	}
	waiting_again(engine);
}

void ari_server_ended(struct ari_link *link, int reason)
{
	struct ari_engine *engine = link->engine;

	let_go(link, ari_reason_text(reason));
	(void)ari_link_destroy(link);
	if (!engine->stopped)
		waiting_again(engine);
}

/* ---- frames */

static bool same(const struct ari_entity *a, const struct ari_entity *b)
{
	return a->n == b->n && memcmp(a->id, b->id, a->n) == 0;
}

/* Another Asterisk dials the engine of one that is there. */
static bool intrudes(const struct ari_link *link, const struct ari_link *carrier)
{
	return carrier && carrier != link && !carrier->stale && carrier->entity.n &&
	       link->entity.n && !same(&carrier->entity, &link->entity);
}

static void refuse(struct ari_link *link, const struct ari_link *carrier)
{
	struct ari_engine *engine = link->engine;
	uint64_t now = loop_now(engine->loop);

	link->refused = true;
	engine->stats.refused++;
	ws_close(link->ws, 1008, STR("another Asterisk serves this engine"));
	if (engine->intruder_told_ms && now - engine->intruder_told_ms < TOLD_AGAIN_MS)
		return;
	engine->intruder_told_ms = now;
	log_warn(engine->log, "second asterisk",
		 "peer=%s asterisk_id=%.*s first=%s first_id=%.*s then=%s", link->peer,
		 (int)link->entity.n, link->entity.id, carrier->peer, (int)carrier->entity.n,
		 carrier->entity.id, "it is not let in: give each Asterisk an engine of its own");
}

static void registered(struct ari_session *s, struct ari_link *link)
{
	struct ari_link *old = s->carrier;

	ari_session_detach(s);
	if (old && old != link && !carries(old))
		ws_close(old->ws, 1000, STR("Asterisk has dialled anew"));
	if (s->fault != PORT_CONNECTING)
		s->engine->stats.reconnects++;
	log_info(s->engine->log, "application registered", "application=%.*s peer=%s",
		 STR_ARG(s->application), link->peer);
	ari_session_begin(s, link);
}

static void unregistered(struct ari_session *s, enum port_state state, const char *why)
{
	ari_session_detach(s);
	timer_stop(&s->timer);
	s->phase = WAITING;
	ari_session_fault(s, state, "%s; waiting for Asterisk to dial /ari/%s", why,
			  s->engine->conf->name);
	ari_engine_update(s->engine);
}

static void foreign(struct ari_link *link, const struct ari_event *event)
{
	struct ari_engine *engine = link->engine;

	engine->stats.foreign++;
	if (link->foreign_told)
		return;
	link->foreign_told = true;
	log_warn(engine->log, "application not listed", "application=%.*s peer=%s then=%s",
		 STR_ARG(event->application), link->peer,
		 "its events are dropped: list it in the engine's applications, or take it out of "
		 "apps in ari.conf");
}

void ari_server_event(struct ari_link *link, struct str frame, const struct ari_event *event)
{
	struct ari_session *s = ari_engine_session(link->engine, event->application);

	if (!s) {
		foreign(link, event);
		return;
	}
	if (intrudes(link, s->carrier)) {
		refuse(link, s->carrier);
		return;
	}
	ari_session_event(s, link, frame, event);
	if (str_eq(event->type, STR("ApplicationRegistered")))
		registered(s, link);
	else if (s->carrier == link && str_eq(event->type, STR("ApplicationUnregistered")))
		unregistered(s, PORT_DOWN, "Asterisk has unregistered the application");
	else if (s->carrier == link && str_eq(event->type, STR("ApplicationReplaced")))
		unregistered(s, PORT_FAILED,
			     "the application was taken over by another ARI client");
}

/* ---- REST that can't be had */

/* The link stays: its events are good. The comparison is tried again. */
void ari_server_unsynced(struct ari_session *s, int rc)
{
	const struct ari_conf *conf = s->engine->conf;
	struct ari_link *link = s->carrier;
	uint64_t delay = backoff_next_ms(&s->backoff);

	ari_session_detach(s);
	s->carrier = link;
	s->phase = WAITING;
	if (rc == -EACCES) {
		delay = ARI_RETRY_FAILED_MS;
		ari_session_fault(s, PORT_FAILED,
				  "events come, but REST is refused: wrong user name or password "
				  "for ARI user \"%s\" at %s: make username and password of engine "
				  "\"%s\" and ari.conf agree; retrying every 30 s",
				  conf->username ? conf->username : "", conf->url, conf->name);
	} else if (conf->rest == ARI_REST_HTTP) {
		ari_session_fault(
			s, PORT_DOWN,
			"events come, but Asterisk's REST is not reachable at %s (%s): is "
			"the url right? If nothing from here can reach it, set rest: "
			"websocket; retrying",
			conf->url, ari_reason_text(rc));
	} else {
		ari_session_fault(s, PORT_DOWN,
				  "events come, but Asterisk does not answer REST requests by the "
				  "websocket (%s): is local_ari_user in ari.conf right? Retrying",
				  ari_reason_text(rc));
	}
	(void)timer_start(&s->timer, delay);
	ari_engine_update(s->engine);
}
