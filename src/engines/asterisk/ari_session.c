/* SPDX-License-Identifier: MIT */
/*
 * One application of one Asterisk, for as long as the engine runs.
 *
 * Asterisk disconnects who reads slowly, so the reader is never paused. Each new link begins with
 * a resync; frames that come meanwhile wait behind it, so that what happened in the gap is told
 * before what happened after it. (The states: ari_internal.h. Who dials: ari_client.c,
 * ari_server.c.)
 * A fault is a sentence that stays until the application is up again, however often it is tried:
 * what does not change is said once.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engines/asterisk/ari_call.h"

enum { DRAIN_ROUND = 256 };

void ari_session_fault(struct ari_session *s, enum port_state state, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(s->reason, sizeof(s->reason), fmt, ap);
	va_end(ap);
	s->fault = state;
}

enum port_state ari_session_state(const struct ari_session *s, const char **ret_reason)
{
	bool stale = s->carrier && s->carrier->stale;

	*ret_reason = s->reason;
	if (s->phase != UP)
		return s->fault;
	*ret_reason = stale ? "no sign of life from Asterisk for a while; the link is closed "
			      "and made anew if it lasts"
			    : "";
	return stale ? PORT_STALE : PORT_UP;
}

/* ---- frames */

static void take(struct ari_session *s, struct str frame, const struct ari_event *ev,
		 unsigned flags)
{
	struct ari_engine *engine = s->engine;
	char label[ARI_LABEL_MAX];
	struct delivery d = { .kind = MSG_EVENT, .flags = flags, .payload = frame };

	if (ev->asterisk_id.n && ev->asterisk_id.n <= sizeof(s->entity.id)) {
		memcpy(s->entity.id, ev->asterisk_id.p, ev->asterisk_id.n);
		s->entity.n = ev->asterisk_id.n;
	}
	if (!ari_tables_note(&s->tables, ev)) {
		engine->stats.duplicates++;
		return;
	}
	d.application = ev->application.n ? ev->application : s->application;
	d.node = ev->asterisk_id;
	d.type = ev->type;
	d.objects = ev->objects;
	d.n_objects = ev->n_objects;
	if (str_eq(ev->type, STR("StasisStart")))
		d.label = ari_event_label(ev, label);
	(void)port_deliver(engine->port, &d);
	if (!ari_is_server(engine) && str_eq(ev->type, STR("ApplicationReplaced")) &&
	    str_eq(d.application, s->application))
		ari_client_replaced(s);
}

void ari_session_deliver(struct ari_session *s, struct str frame, unsigned flags)
{
	struct ari_event ev;

	if (ari_event_parse(frame, &ev) == 0)
		take(s, frame, &ev, flags);
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

/* What a server's Asterisk had queued comes before ApplicationRegistered, and goes on at once. */
void ari_session_event(struct ari_session *s, struct ari_link *link, struct str frame,
		       const struct ari_event *event)
{
	if (s->phase == REPLACED || s->phase == STOOD_DOWN)
		return;
	if (s->carrier != link || (s->phase != SYNCING && s->phase != DRAINING))
		take(s, frame, event, 0);
	else if (!backlog_add(s, frame))
		overflow(s, frame);
}

/* ---- the link */

const char *ari_reason_text(int reason)
{
	switch (reason) {
	case 0:
		return "closed by Asterisk";
	case -ETIMEDOUT:
		return "no answer in time";
	case -ENOENT:
		return "name unknown";
	case -ECONNABORTED:
		return "cut off";
	case -EKEYREJECTED:
		return "its certificate is not believed";
	case -EPROTO:
		return "broken frame";
	default:
		return strerror(-reason);
	}
}

static void unsynced(struct ari_session *s, int rc)
{
	if (ari_is_server(s->engine))
		ari_server_unsynced(s, rc);
	else
		ari_client_unsynced(s, rc);
}

void ari_session_begin(struct ari_session *s, struct ari_link *link)
{
	int rc;

	s->carrier = link;
	s->phase = SYNCING;
	timer_stop(&s->timer);
	ari_engine_update(s->engine);
	rc = ari_resync_create(s, &s->resync);
	if (rc < 0)
		unsynced(s, rc);
}

void ari_session_synced(struct ari_session *s, int rc)
{
	s->resync = ari_resync_destroy(s->resync);
	if (rc < 0) {
		unsynced(s, rc);
		return;
	}
	if (ari_is_server(s->engine))
		backoff_reset(&s->backoff);
	s->phase = DRAINING;
	task_defer(&s->drain);
}

void ari_session_detach(struct ari_session *s)
{
	s->resync = ari_resync_destroy(s->resync);
	task_cancel(&s->drain);
	backlog_deliver(s, SIZE_MAX);
	s->carrier = NULL;
}

static void on_timer(void *arg)
{
	struct ari_session *s = arg;

	if (!ari_is_server(s->engine))
		ari_client_timer(s);
	else if (s->phase == WAITING && s->carrier)
		ari_session_begin(s, s->carrier);
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
	backoff_init(&s->backoff, ARI_RETRY_FIRST_MS, ARI_RETRY_MAX_MS);
	buf_init(&s->backlog, ARI_BACKLOG_BYTES);
	ari_tables_init(&s->tables);
	*ret = s;
	return 0;
}

void ari_session_start(struct ari_session *s)
{
	if (ari_is_server(s->engine))
		ari_server_waits(s);
	else
		(void)timer_start(&s->timer, 0);
}

void ari_session_stop(struct ari_session *s)
{
	timer_stop(&s->timer);
	task_cancel(&s->drain);
	s->resync = ari_resync_destroy(s->resync);
	if (s->poll)
		ari_call_cancel(s->poll);
	s->poll = NULL;
	s->carrier = NULL;
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
