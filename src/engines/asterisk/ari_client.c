/* SPDX-License-Identifier: MIT */
/*
 * `websocket: client`: one websocket for one application, which we dial.
 *
 * Asterisk queues nothing for a socket that is away. So a lost link is dialled again at once and
 * then ever more slowly. Each fault has its own sentence and its own pace.
 */
#include <errno.h>
#include <stdio.h>

#include "base/rand.h"
#include "engines/asterisk/ari_call.h"
#include "engines/asterisk/ari_routes.h"

enum {
	PROVEN_MS = 5000, /* up for so long: the next back-off begins anew */
	POLL_MS = 60000,  /* while stood down: is the application free? */
	RECLAIM_MS = 30000,
	RECLAIM_JITTER_MS = 10000,
	RECLAIM_AGAIN_MS = 300000, /* replaced again within this: no fight, stand down */
	URL_MAX = 4096,
};

/* ---- the link */

/* Whatever the link had going is over; frames that came by it are delivered. */
static void link_drop(struct ari_session *s)
{
	struct ari_link *link = s->carrier;

	ari_session_detach(s);
	(void)ari_link_destroy(link);
}

static void wait_then_dial(struct ari_session *s, uint64_t delay_ms)
{
	s->phase = WAITING;
	(void)timer_start(&s->timer, delay_ms);
	ari_engine_update(s->engine);
}

/* Between two attempts of the same fault; a fault of another kind begins with a quick one. */
static uint64_t retry_delay(struct ari_session *s, enum port_state before)
{
	if (s->fault != before)
		backoff_reset(&s->backoff);
	return backoff_next_ms(&s->backoff);
}

static void lost(struct ari_session *s, const char *why)
{
	if (s->phase == UP && loop_now(s->engine->loop) - s->up_ms >= PROVEN_MS)
		backoff_reset(&s->backoff);
	ari_session_fault(s, PORT_DOWN,
			  "the websocket to Asterisk was lost (%s); calls go on there, "
			  "retrying",
			  why);
	wait_then_dial(s, backoff_next_ms(&s->backoff));
}

static void unreachable(struct ari_session *s, const char *why)
{
	enum port_state before = s->fault;

	ari_session_fault(s, PORT_DOWN,
			  "Asterisk is not reachable at %s (%s): is it running, and are its "
			  "http.conf and our url right? Retrying",
			  s->engine->conf->url, why);
	wait_then_dial(s, retry_delay(s, before));
}

/* The handshake was answered, but not with a websocket. code: the status, 0 = it was not HTTP. */
static void refused(struct ari_session *s, int code)
{
	const struct ari_conf *conf = s->engine->conf;
	enum port_state before = s->fault;
	bool slow = false;

	if (code == 401) {
		slow = true;
		ari_session_fault(
			s, PORT_FAILED,
			"wrong user name or password for ARI user \"%s\": make username and "
			"password of engine \"%s\" and ari.conf agree; retrying every 30 s",
			conf->username, conf->name);
	} else if (code == 403) {
		slow = true;
		ari_session_fault(
			s, PORT_FAILED,
			"ARI user \"%s\" is not allowed to read events from here: see permit, "
			"deny and acl in ari.conf; retrying every 30 s",
			conf->username);
	} else if (code == 404) {
		ari_session_fault(
			s, PORT_FAILED,
			"ARI is not there at %s (404): is res_ari loaded, does ari.conf say "
			"enabled = yes, is the url right (it ends in /ari)? Retrying",
			conf->url);
	} else if (code >= 500) {
		ari_session_fault(s, PORT_DOWN,
				  "Asterisk answers %d at %s: it is still starting, or "
				  "overloaded; retrying",
				  code, conf->url);
	} else if (code >= 200) {
		ari_session_fault(
			s, PORT_FAILED,
			"what answers at %s is not ARI (status %d): is the url right? Retrying",
			conf->url, code);
	} else {
		ari_session_fault(
			s, PORT_FAILED,
			"what answers at %s speaks neither HTTP nor WebSocket as ARI does: is the "
			"url right? Retrying",
			conf->url);
	}
	wait_then_dial(s, slow ? ARI_RETRY_FAILED_MS : retry_delay(s, before));
}

/* TLS did not come about. text: what it says. */
static void tls_refused(struct ari_session *s, int reason, struct str text)
{
	const struct ari_conf *conf = s->engine->conf;
	enum port_state before = s->fault;

	if (reason == -EKEYREJECTED) {
		ari_session_fault(s, PORT_FAILED,
				  "TLS with Asterisk at %s: %.*s: see ca and server_name in tls of "
				  "engine \"%s\"; retrying every 30 s",
				  conf->url, STR_ARG(text), conf->name);
		wait_then_dial(s, ARI_RETRY_FAILED_MS);
		return;
	}
	ari_session_fault(s, PORT_DOWN,
			  "TLS with Asterisk at %s failed (%.*s): is it the port of tlsbindaddr in "
			  "http.conf? Retrying",
			  conf->url, STR_ARG(text));
	wait_then_dial(s, retry_delay(s, before));
}

void ari_client_ended(struct ari_session *s, int reason, int code, struct str text)
{
	bool tls = !code && text.n && (reason == -EKEYREJECTED || reason == -EPROTO);

	enum phase phase = s->phase;

	link_drop(s);
	if (phase == REPLACED || s->phase == REPLACED)
		return; /* the timer goes on from here */
	if (phase != DIALLING)
		lost(s, ari_reason_text(reason));
	else if (tls)
		tls_refused(s, reason, text);
	else if (code || reason == -EBADMSG || reason == -EACCES)
		refused(s, code);
	else
		unreachable(s, ari_reason_text(reason));
}

void ari_client_opened(struct ari_session *s)
{
	log_info(s->engine->log, "websocket open", "application=%.*s", STR_ARG(s->application));
	ari_session_begin(s, s->carrier);
}

void ari_client_unsynced(struct ari_session *s, int rc)
{
	bool deaf = s->engine->conf->rest == ARI_REST_WEBSOCKET && rc == -ETIMEDOUT && s->carrier &&
		    !s->carrier->answered;

	link_drop(s);
	if (!deaf) {
		lost(s, ari_reason_text(rc));
		return;
	}
	ari_session_fault(
		s, PORT_FAILED,
		"this Asterisk does not answer REST requests by websocket, which is known "
		"to 20.14, 21.9, 22.4 and later: set rest: http; retrying every 30 s");
	wait_then_dial(s, ARI_RETRY_FAILED_MS);
}

void ari_client_dial(struct ari_session *s)
{
	const struct ari_conf *conf = s->engine->conf;
	struct ws_options options;
	auto_buf struct buf url = { 0 };
	struct err e = { "no memory" };
	struct str root = str_from(conf->url);
	int rc;

	while (root.n && root.p[root.n - 1] == '/')
		root.n--;
	ari_link_options(s->engine, &options);
	options.authorization = secret_str(&s->engine->authorization);
	options.tls = s->engine->tls;
	buf_init(&url, URL_MAX);
	rc = buf_addf(&url, "%.*s/events?app=", STR_ARG(root));
	if (rc == 0)
		rc = ari_route_encode(&url, s->application);
	if (s->fault != PORT_CONNECTING)
		s->engine->stats.reconnects++;
	s->phase = DIALLING;
	if (rc == 0)
		rc = ari_link_create(s->engine, s, &s->carrier);
	if (rc == 0)
		rc = ws_connect(s->engine->loop, buf_str(&url), &options, &ari_link_events,
				s->carrier, &s->carrier->ws, &e);
	if (rc < 0) {
		link_drop(s);
		ari_session_fault(s, PORT_FAILED, "no websocket can be made: %s; retrying", e.text);
		wait_then_dial(s, ARI_RETRY_FAILED_MS);
		return;
	}
	(void)snprintf(s->carrier->peer, sizeof(s->carrier->peer), "%s", conf->url);
	ari_engine_update(s->engine);
}

/* ---- ApplicationReplaced: somebody else has it now */

/* Called while a frame is handled: what is to be done to the link comes in a later turn. */
void ari_client_replaced(struct ari_session *s)
{
	s->phase = REPLACED;
	(void)timer_start(&s->timer, 0);
}

static void stand_down(struct ari_session *s)
{
	s->phase = STOOD_DOWN;
	ari_session_fault(
		s, PORT_FAILED,
		"the application was taken over by another ARI client; voxbus stands down: stop "
		"the other client, then restart voxbus");
	(void)timer_start(&s->timer, POLL_MS);
	ari_engine_update(s->engine);
}

static void after_replaced(struct ari_session *s)
{
	uint64_t now = loop_now(s->engine->loop);

	link_drop(s);
	if (s->engine->conf->on_replaced != ARI_RECLAIM ||
	    (s->reclaimed_ms && now - s->reclaimed_ms < RECLAIM_AGAIN_MS)) {
		stand_down(s);
		return;
	}
	ari_session_fault(s, PORT_DOWN,
			  "the application was taken over by another ARI client; voxbus takes "
			  "it back once, in about half a minute");
	uint64_t delay = RECLAIM_MS + rand_below(RECLAIM_JITTER_MS);
	s->reclaimed_ms = now + delay;
	wait_then_dial(s, delay);
}

/* 404: no such application, so nobody holds it (Asterisk was restarted): it may be taken. */
static void on_polled(void *arg, int rc, const struct http_response *response)
{
	struct ari_session *s = arg;

	s->poll = NULL;
	if (rc == 0 && response->status == 404) {
		log_info(s->engine->log, "application free", "application=%.*s then=%s",
			 STR_ARG(s->application), "connecting");
		ari_client_dial(s);
	} else {
		(void)timer_start(&s->timer, POLL_MS);
	}
}

/* By HTTP, for there is no websocket now. */
static void poll_application(struct ari_session *s)
{
	auto_buf struct buf target = { 0 };
	struct ari_request request = { .method = STR("GET"), .done = on_polled, .arg = s };
	const char *why;
	int rc;

	buf_init(&target, URL_MAX);
	rc = buf_add(&target, STR("/applications/"));
	if (rc == 0)
		rc = ari_route_encode(&target, s->application);
	request.target = buf_str(&target);
	if (rc == 0)
		rc = ari_call_create(s->engine, NULL, &request, &why, &s->poll);
	if (rc < 0)
		(void)timer_start(&s->timer, POLL_MS);
}

void ari_client_timer(struct ari_session *s)
{
	if (s->phase == WAITING)
		ari_client_dial(s);
	else if (s->phase == REPLACED)
		after_replaced(s);
	else if (s->phase == STOOD_DOWN)
		poll_application(s);
}
