/* SPDX-License-Identifier: MIT */
/*
 * One websocket for one application, for as long as the engine runs.
 *
 * Asterisk queues nothing for a socket that is away and disconnects one that reads slowly. So the
 * reader is never paused, a lost link is dialled again at once and then ever more slowly, and each
 * new link begins with a resync; frames that come meanwhile wait behind it, so that what happened
 * in the gap is told before what happened after it. (The states: ari_internal.h.)
 * A fault is a sentence that stays until the application is up again, however often it is dialled:
 * what does not change is said once.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "engines/asterisk/ari_internal.h"
#include "engines/asterisk/ari_routes.h"

enum {
	RETRY_FIRST_MS = 250,
	RETRY_MAX_MS = 10000,
	RETRY_FAILED_MS = 30000, /* a wrong password: Asterisk's admin may count the attempts */
	PROVEN_MS = 5000,        /* up for so long: the next back-off begins anew */
	POLL_MS = 60000,         /* while stood down: is the application free? */
	RECLAIM_MS = 30000,
	RECLAIM_JITTER_MS = 10000,
	RECLAIM_AGAIN_MS = 300000, /* replaced again within this: no fight, stand down */
	DRAIN_ROUND = 256,
	URL_MAX = 4096,
};

static void set_fault(struct ari_session *s, enum port_state state, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void set_fault(struct ari_session *s, enum port_state state, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(s->reason, sizeof(s->reason), fmt, ap);
	va_end(ap);
	s->fault = state;
}

enum port_state ari_session_state(const struct ari_session *s, const char **ret_reason)
{
	*ret_reason = s->reason;
	if (s->phase != UP)
		return s->fault;
	*ret_reason = s->stale ? "no sign of life from Asterisk for a while; the link is closed "
				 "and made anew if it lasts"
			       : "";
	return s->stale ? PORT_STALE : PORT_UP;
}

/* ---- frames */

static void replaced(struct ari_session *s);

static void bad_frame(struct ari_session *s, struct str frame)
{
	s->engine->stats.bad_frames++;
	if (s->bad_told)
		return;
	s->bad_told = true;
	log_warn(s->engine->log, "bad event", "application=%.*s bytes=%zu begins=%.*s then=%s",
		 STR_ARG(s->application), frame.n, (int)(frame.n < 64 ? frame.n : 64),
		 frame.n ? frame.p : "", "dropped; further ones of this link are only counted");
}

void ari_session_deliver(struct ari_session *s, struct str frame, unsigned flags)
{
	struct ari_engine *engine = s->engine;
	char label[ARI_LABEL_MAX];
	struct ari_event ev;
	struct delivery d = { .kind = MSG_EVENT, .flags = flags, .payload = frame };

	if (ari_event_parse(frame, &ev) < 0) {
		bad_frame(s, frame);
		return;
	}
	if (ev.asterisk_id.n && ev.asterisk_id.n <= sizeof(s->entity)) {
		memcpy(s->entity, ev.asterisk_id.p, ev.asterisk_id.n);
		s->entity_n = ev.asterisk_id.n;
	}
	if (!ari_tables_note(&s->tables, &ev)) {
		engine->stats.duplicates++;
		return;
	}
	d.application = ev.application.n ? ev.application : s->application;
	d.node = ev.asterisk_id;
	d.type = ev.type;
	d.objects = ev.objects;
	d.n_objects = ev.n_objects;
	if (str_eq(ev.type, STR("StasisStart")))
		d.label = ari_event_label(&ev, label);
	(void)port_deliver(engine->port, &d);
	if (str_eq(ev.type, STR("ApplicationReplaced")) && str_eq(d.application, s->application))
		replaced(s);
}

static bool backlog_add(struct ari_session *s, struct str frame)
{
	uint32_t n = (uint32_t)frame.n;

	if (s->backlog_n == ARI_BACKLOG_FRAMES || buf_reserve(&s->backlog, sizeof(n) + n) < 0)
		return false;
	(void)buf_add(&s->backlog, str_make((const char *)&n, sizeof(n)));
	(void)buf_add(&s->backlog, frame);
	s->backlog_n++;
	return true;
}

/* The oldest frame of rest, which begins with its length. */
static struct str backlog_front(struct str rest)
{
	uint32_t n;

	assert(rest.p && rest.n >= sizeof(n));
	memcpy(&n, rest.p, sizeof(n));
	return str_make(rest.p + sizeof(n), n);
}

void ari_session_each_waiting(struct ari_session *s, void (*fn)(void *arg, struct str frame),
			      void *arg)
{
	struct str rest = buf_str(&s->backlog);

	while (rest.n) {
		struct str frame = backlog_front(rest);

		fn(arg, frame);
		rest = str_skip(rest, sizeof(uint32_t) + frame.n);
	}
}

/* Delivers up to max of the frames that wait. */
static void backlog_deliver(struct ari_session *s, size_t max)
{
	while (s->backlog_n && max--) {
		struct str frame = backlog_front(buf_str(&s->backlog));

		ari_session_deliver(s, frame, 0);
		buf_consume(&s->backlog, sizeof(uint32_t) + frame.n);
		s->backlog_n--;
	}
}

static void now_up(struct ari_session *s)
{
	s->phase = UP;
	s->fault = PORT_CONNECTING;
	s->reason[0] = '\0';
	s->up_ms = loop_now(s->engine->loop);
	ari_engine_update(s->engine);
}

/* In rounds, so that other links get their turn; what comes meanwhile queues up behind. */
static void on_drain(void *arg)
{
	struct ari_session *s = arg;

	backlog_deliver(s, DRAIN_ROUND);
	if (s->phase != DRAINING)
		return;
	if (s->backlog_n)
		task_defer(&s->drain);
	else
		now_up(s);
}

static void overflow(struct ari_session *s, struct str frame)
{
	log_warn(s->engine->log, "resync skipped", "application=%.*s reason=%s then=%s",
		 STR_ARG(s->application), "too many events came meanwhile",
		 "calls that ended in the gap are not noticed until the next connect");
	s->resync = ari_resync_destroy(s->resync);
	backlog_deliver(s, SIZE_MAX);
	ari_session_deliver(s, frame, 0);
	task_cancel(&s->drain);
	if (s->phase == SYNCING || s->phase == DRAINING)
		now_up(s);
}

static void on_message(void *arg, struct str data, bool text)
{
	struct ari_session *s = arg;

	s->engine->stats.frames++;
	if (!text)
		bad_frame(s, data);
	else if (s->phase == UP)
		ari_session_deliver(s, data, 0);
	else if ((s->phase == SYNCING || s->phase == DRAINING) && !backlog_add(s, data))
		overflow(s, data);
}

static void on_stale(void *arg, bool stale)
{
	struct ari_session *s = arg;

	s->stale = stale;
	ari_engine_update(s->engine);
}

/* ---- the link */

/* Whatever the link had going is over; frames that came by it are delivered. */
static void link_drop(struct ari_session *s)
{
	s->resync = ari_resync_destroy(s->resync);
	task_cancel(&s->drain);
	backlog_deliver(s, SIZE_MAX);
	s->ws = ws_destroy(s->ws);
	s->stale = false;
	s->bad_told = false;
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
	set_fault(s, PORT_DOWN,
		  "the websocket to Asterisk was lost (%s); calls go on there, "
		  "retrying",
		  why);
	wait_then_dial(s, backoff_next_ms(&s->backoff));
}

static void unreachable(struct ari_session *s, const char *why)
{
	enum port_state before = s->fault;

	set_fault(s, PORT_DOWN,
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
		set_fault(s, PORT_FAILED,
			  "wrong user name or password for ARI user \"%s\": make username and "
			  "password of engine \"%s\" and ari.conf agree; retrying every 30 s",
			  conf->username, conf->name);
	} else if (code == 403) {
		slow = true;
		set_fault(s, PORT_FAILED,
			  "ARI user \"%s\" is not allowed to read events from here: see permit, "
			  "deny and acl in ari.conf; retrying every 30 s",
			  conf->username);
	} else if (code == 404) {
		set_fault(s, PORT_FAILED,
			  "ARI is not there at %s (404): is res_ari loaded, does ari.conf say "
			  "enabled = yes, is the url right (it ends in /ari)? Retrying",
			  conf->url);
	} else if (code >= 500) {
		set_fault(s, PORT_DOWN,
			  "Asterisk answers %d at %s: it is still starting, or "
			  "overloaded; retrying",
			  code, conf->url);
	} else if (code >= 200) {
		set_fault(s, PORT_FAILED,
			  "what answers at %s is not ARI (status %d): is the url right? Retrying",
			  conf->url, code);
	} else {
		set_fault(
			s, PORT_FAILED,
			"what answers at %s speaks neither HTTP nor WebSocket as ARI does: is the "
			"url right? Retrying",
			conf->url);
	}
	wait_then_dial(s, slow ? RETRY_FAILED_MS : retry_delay(s, before));
}

static const char *reason_text(int reason)
{
	switch (reason) {
	case 0:
		return "closed by Asterisk";
	case -ETIMEDOUT:
		return "no answer in time";
	case -ENOENT:
		return "name unknown";
	case -EPROTO:
		return "broken frame";
	default:
		return strerror(-reason);
	}
}

static void on_end(void *arg, int reason, int code, struct str text)
{
	struct ari_session *s = arg;
	enum phase phase = s->phase;

	link_drop(s);
	if (phase == REPLACED || s->phase == REPLACED)
		return; /* the timer goes on from here */
	if (phase != DIALLING)
		lost(s, reason_text(reason));
	else if (code || reason == -EBADMSG || reason == -EACCES)
		refused(s, code);
	else
		unreachable(s, reason_text(reason));
}

static void on_open(void *arg)
{
	struct ari_session *s = arg;

	log_info(s->engine->log, "websocket open", "application=%.*s", STR_ARG(s->application));
	s->phase = SYNCING;
	if (ari_resync_create(s, &s->resync) < 0) {
		link_drop(s);
		lost(s, "no REST request could be made");
	}
}

void ari_session_synced(struct ari_session *s, int rc)
{
	s->resync = ari_resync_destroy(s->resync);
	if (rc < 0) {
		link_drop(s);
		lost(s, reason_text(rc));
		return;
	}
	s->phase = DRAINING;
	task_defer(&s->drain);
}

static void dial(struct ari_session *s)
{
	static const struct ws_events events = {
		.on_open = on_open,
		.on_message = on_message,
		.on_stale = on_stale,
		.on_end = on_end,
	};
	const struct ari_conf *conf = s->engine->conf;
	struct ws_options options = {
		.protocol = STR("ari"),
		.authorization = secret_str(&s->engine->authorization),
		.ping_ms = conf->ping_ms,
		.stale_ms = conf->stale_ms,
		.dead_ms = conf->dead_ms,
	};
	auto_buf struct buf url = { 0 };
	struct err e = { "no memory" };
	struct str root = str_from(conf->url);
	int rc;

	while (root.n && root.p[root.n - 1] == '/')
		root.n--;
	buf_init(&url, URL_MAX);
	rc = buf_addf(&url, "%.*s/events?app=", STR_ARG(root));
	if (rc == 0)
		rc = ari_route_encode(&url, s->application);
	if (s->fault != PORT_CONNECTING)
		s->engine->stats.reconnects++;
	s->phase = DIALLING;
	if (rc == 0)
		rc = ws_connect(s->engine->loop, buf_str(&url), &options, &events, s, &s->ws, &e);
	if (rc < 0) {
		s->ws = NULL;
		set_fault(s, PORT_FAILED, "no websocket can be made: %s; retrying", e.text);
		wait_then_dial(s, RETRY_FAILED_MS);
		return;
	}
	ari_engine_update(s->engine);
}

/* ---- ApplicationReplaced: somebody else has it now */

/* Called while a frame is handled: what is to be done to the link comes in a later turn. */
static void replaced(struct ari_session *s)
{
	s->phase = REPLACED;
	(void)timer_start(&s->timer, 0);
}

static void stand_down(struct ari_session *s)
{
	s->phase = STOOD_DOWN;
	set_fault(s, PORT_FAILED,
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
	set_fault(s, PORT_DOWN,
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
		dial(s);
	} else {
		(void)timer_start(&s->timer, POLL_MS);
	}
}

static void poll_application(struct ari_session *s)
{
	auto_buf struct buf target = { 0 };
	int rc;

	buf_init(&target, URL_MAX);
	rc = buf_add(&target, STR("/applications/"));
	if (rc == 0)
		rc = ari_route_encode(&target, s->application);
	if (rc == 0)
		rc = ari_engine_get(s->engine, buf_str(&target), on_polled, s, &s->poll);
	if (rc < 0)
		(void)timer_start(&s->timer, POLL_MS);
}

static void on_timer(void *arg)
{
	struct ari_session *s = arg;

	if (s->phase == WAITING)
		dial(s);
	else if (s->phase == REPLACED)
		after_replaced(s);
	else if (s->phase == STOOD_DOWN)
		poll_application(s);
}

/* ---- life */

int ari_session_create(struct ari_engine *engine, struct str application, struct ari_session **ret)
{
	struct ari_session *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	list_init(&s->link);
	s->engine = engine;
	s->application = application;
	s->phase = WAITING;
	s->fault = PORT_CONNECTING;
	timer_init(&s->timer, engine->loop, on_timer, s);
	task_init(&s->drain, engine->loop, on_drain, s);
	backoff_init(&s->backoff, RETRY_FIRST_MS, RETRY_MAX_MS);
	buf_init(&s->backlog, ARI_BACKLOG_BYTES);
	ari_tables_init(&s->tables);
	*ret = s;
	return 0;
}

void ari_session_start(struct ari_session *s)
{
	(void)timer_start(&s->timer, 0);
}

void ari_session_stop(struct ari_session *s)
{
	timer_stop(&s->timer);
	task_cancel(&s->drain);
	s->resync = ari_resync_destroy(s->resync);
	if (s->poll)
		http_call_cancel(s->poll);
	s->poll = NULL;
	if (s->ws && s->phase != DIALLING)
		ws_close(s->ws, 1001, STR("voxbus stops"));
	s->ws = ws_destroy(s->ws);
	s->phase = WAITING;
}

struct ari_session *ari_session_destroy(struct ari_session *s)
{
	if (!s)
		return NULL;
	ari_session_stop(s);
	buf_fini(&s->backlog);
	ari_tables_fini(&s->tables);
	free(s);
	return NULL;
}
