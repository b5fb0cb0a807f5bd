/* SPDX-License-Identifier: MIT */
/*
 * What happened while nobody listened: three questions, compared with what was believed.
 *
 *   PUT /applications/{app}/eventFilter   if the application drops types of events
 *   GET /applications/{app}   which channels and bridges Asterisk tells us about
 *   GET /channels             which channels there are, and where in the dialplan
 *   GET /bridges
 *   GET /playbacks/{id}, GET /recordings/live/{name}   each that is believed to run
 *
 * A channel that was believed to be there is now either in the application, or on its way into it
 * (dialled, not yet answered), or elsewhere in Asterisk (StasisEnd is made up), or gone (StasisEnd
 * and ChannelDestroyed). A channel that is in the application and unknown gets a StasisStart, so
 * that no call hangs silent; one that is known and stands otherwise than was told gets a
 * ChannelStateChange, the mark of what else may be missing. What frames that wait behind the resync are about to say themselves
 * is left to them.
 * "In the application" means: runs Stasis, and is among the application's channel_ids (a channel
 * that was moved keeps the app_data of its first application). An unknown one must also have the
 * application in its app_data. Known limit: a channel moved into this application in the gap is
 * not found.
 * An answer of another status than 200 is logged, and what depends on it is left out.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "codec/json_out.h"
#include "engines/asterisk/ari_call.h"
#include "engines/asterisk/ari_media.h"
#include "engines/asterisk/ari_routes.h"
#include "engines/asterisk/ari_synth.h"

enum {
	FILTER,
	APPLICATION,
	CHANNELS,
	BRIDGES,
	QUESTIONS,
	EVENT_MAX = 65536,
	/* The answers may overtake events that were on their way: these are waited for. */
	GRACE_MS = 100,
};

struct question {
	struct ari_resync *resync;
	struct ari_call *call;
	struct buf body;
	bool good;
};

struct ari_resync {
	struct ari_session *session;
	struct question questions[QUESTIONS];
	struct ari_media *media; /* NULL: none to ask for */
	unsigned open;
	struct timer grace;
	/* channel_ids of the application: raw, sorted; or all_channels, or not known. */
	struct str *ids;
	size_t n_ids;
	bool ids_known, all_channels;
	struct buf event;
	unsigned made;
};

/* ---- what the application hears of */

static int by_bytes(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* The same encoder wrote all three answers, so ids are compared as they stand in the JSON. */
static int read_ids(struct ari_resync *r)
{
	struct json list =
		json_get(json_peek(buf_str(&r->questions[APPLICATION].body)), STR("channel_ids"));
	struct json_iter it;
	struct json_item item;
	size_t n = 0;

	r->ids_known = r->questions[APPLICATION].good && list.type == JSON_ARRAY;
	json_iter_init(&it, list);
	while (json_next(&it, &item) > 0)
		n++;
	r->ids = n ? calloc(n, sizeof(*r->ids)) : NULL;
	if (n && !r->ids)
		return -ENOMEM;
	json_iter_init(&it, list);
	while (r->n_ids < n && json_next(&it, &item) > 0) {
		if (json_is(item.value, STR("__AST_CHANNEL_ALL_TOPIC")))
			r->all_channels = true;
		r->ids[r->n_ids++] = item.value.raw;
	}
	if (n)
		qsort(r->ids, r->n_ids, sizeof(*r->ids), by_bytes);
	return 0;
}

static bool in_ids(const struct ari_resync *r, struct json id)
{
	return r->n_ids && bsearch(&id.raw, r->ids, r->n_ids, sizeof(*r->ids), by_bytes);
}

/* ---- made-up events */

/* One event from r->event, as if it had come by the websocket. */
static void tell(struct ari_resync *r, int rc)
{
	if (rc == 0) {
		r->made++;
		r->session->engine->stats.synthesised++;
		ari_session_deliver(r->session, buf_str(&r->event), MSG_SYNTHETIC);
	}
	buf_clear(&r->event);
}

static struct ari_synth about(const struct ari_resync *r)
{
	const struct ari_session *s = r->session;

	return (struct ari_synth){ s->application, str_make(s->entity.id, s->entity.n),
				   clock_wall_ns() };
}

static void tell_start(struct ari_resync *r, struct str channel)
{
	struct ari_synth a = about(r);

	tell(r, ari_synth_start(&r->event, &a, channel));
}

/* Delivering removes the object from the table: its id and snapshot are read before. */
static void tell_end(struct ari_resync *r, const struct ari_object *o)
{
	struct ari_synth a = about(r);

	tell(r, ari_synth_end(&r->event, &a, o->node.key, ari_object_snapshot(o)));
}

static void tell_gone(struct ari_resync *r, struct ari_object *o)
{
	struct ari_synth a = about(r);
	auto_buf struct buf destroyed = { 0 };
	bool was_inside = o->place != ARI_BOUND;
	int rc;

	buf_init(&destroyed, EVENT_MAX);
	rc = ari_synth_destroyed(&destroyed, &a, o->node.key, ari_object_snapshot(o));
	if (was_inside)
		tell_end(r, o);
	if (rc == 0)
		rc = buf_add(&r->event, buf_str(&destroyed));
	tell(r, rc);
}

/* ---- channels */

/* Stasis runs, and its first argument is the application. */
static bool data_is_ours(const struct ari_resync *r, struct json dialplan)
{
	char text[512];
	struct str data;

	if (json_string(json_get(dialplan, STR("app_data")), text, sizeof(text), &data) < 0)
		return false;
	return str_eq(str_cut(&data, ','), r->session->application);
}

/* It is in the application and nobody was told. */
static void unannounced(struct ari_resync *r, struct str id, struct str channel)
{
	struct ari_object *o;

	tell_start(r, channel);
	o = ari_object_find(&r->session->tables.channels, id);
	if (o)
		o->seen = o->invented = true;
}

static void known_elsewhere(struct ari_resync *r, struct ari_object *o, struct str channel)
{
	if (o->place == ARI_BOUND)
		return;
	ari_object_keep(o, channel);
	tell_end(r, o);
}

/*
 * It goes on, but what was said of it in the gap is lost. Who follows its state is told how it
 * stands, unless that is what they heard last.
 */
static void goes_on(struct ari_resync *r, struct ari_object *o, struct json channel)
{
	struct json now = json_get(channel, STR("state"));
	struct json before = json_get(json_peek(ari_object_snapshot(o)), STR("state"));
	struct ari_synth a = about(r);

	if (o->place == ARI_ADOPTED)
		o->place = ARI_INSIDE;
	if (o->place != ARI_INSIDE || str_eq(now.raw, before.raw))
		return;
	tell(r, ari_synth_state(&r->event, &a, o->node.key, channel.raw));
}

static void one_channel(struct ari_resync *r, struct json channel)
{
	struct json id = json_get(channel, STR("id")),
		    dialplan = json_get(channel, STR("dialplan"));
	bool stasis = json_is(json_get(dialplan, STR("app_name")), STR("Stasis"));
	bool listed = r->ids_known && !r->all_channels;
	bool heard = !listed || in_ids(r, id);
	bool ours = stasis && heard && data_is_ours(r, dialplan);
	char scratch[ARI_OBJECT_ID_MAX];
	struct ari_object *o;
	struct str text;

	if (json_string(id, scratch, sizeof(scratch), &text) < 0)
		return;
	o = ari_object_find(&r->session->tables.channels, text);
	if (o)
		o->seen = true;
	if (o && o->coming)
		return;
	if (ours && (!o || o->place == ARI_BOUND))
		unannounced(r, text, channel.raw);
	else if (o && stasis && heard)
		goes_on(r, o, channel);
	else if (o && (!heard || o->place == ARI_INSIDE))
		known_elsewhere(r, o, channel.raw);
	else if (o)
		o->place = ARI_BOUND; /* on its way: dialled, not yet answered */
}

static void compare_channels(struct ari_resync *r)
{
	struct ari_objects *set = &r->session->tables.channels;
	struct json list = json_peek(buf_str(&r->questions[CHANNELS].body));
	struct json_iter it;
	struct json_item item;

	map_for_each (node, &set->map)
		container_of(node, struct ari_object, node)->seen = false;
	json_iter_init(&it, list);
	while (json_next(&it, &item) > 0)
		one_channel(r, item.value);
	map_for_each (node, &set->map) {
		struct ari_object *o = container_of(node, struct ari_object, node);

		if (!o->seen && !o->coming)
			tell_gone(r, o);
	}
}

/* ---- bridges */

static void compare_bridges(struct ari_resync *r)
{
	struct ari_objects *set = &r->session->tables.bridges;
	struct json_iter it;
	struct json_item item;
	char scratch[ARI_OBJECT_ID_MAX];
	struct str id;

	map_for_each (node, &set->map)
		container_of(node, struct ari_object, node)->seen = false;
	json_iter_init(&it, json_peek(buf_str(&r->questions[BRIDGES].body)));
	while (json_next(&it, &item) > 0) {
		struct ari_object *o;

		if (json_string(json_get(item.value, STR("id")), scratch, sizeof(scratch), &id) < 0)
			continue;
		o = ari_object_find(set, id);
		if (o)
			o->seen = true;
	}
	map_for_each (node, &set->map) {
		struct ari_object *o = container_of(node, struct ari_object, node);
		struct ari_synth a = about(r);

		if (!o->seen && !o->coming)
			tell(r, ari_synth_bridge_destroyed(&r->event, &a, o->node.key,
							   ari_object_snapshot(o)));
	}
}

/* ---- playbacks and recordings */

static void tell_finished(void *arg, enum object_kind kind, struct str id)
{
	struct ari_resync *r = arg;
	struct ari_object *o = ari_object_find(ari_tables_of(&r->session->tables, kind), id);
	struct ari_synth a = about(r);

	if (o && !o->coming)
		tell(r, ari_synth_finished(&r->event, &a, kind, id, ari_object_snapshot(o)));
}

/* ---- what waits behind */

static void note_coming(void *arg, struct str frame)
{
	struct ari_tables *tables = arg;
	struct ari_event ev;

	if (ari_event_parse(frame, &ev) < 0)
		return;
	for (size_t i = 0; i < ev.n_objects; i++) {
		const struct object_ref *ref = &ev.objects[i];
		struct ari_objects *set = ari_tables_of(tables, ref->kind);
		struct ari_object *o;

		o = ref->verbs & OBJECT_OPENS ? ari_object_add(set, ref->id, ARI_BOUND)
					      : ari_object_find(set, ref->id);
		if (o && ref->verbs & OBJECT_OPENS)
			o->coming |= ARI_COMING_START;
		if (o && ref->verbs & (OBJECT_LEAVES | OBJECT_ENDS))
			o->coming |= ARI_COMING_END;
	}
}

static void forget_coming(struct ari_objects *set)
{
	map_for_each (node, &set->map)
		container_of(node, struct ari_object, node)->coming = 0;
}

static void compare(struct ari_resync *r)
{
	struct ari_session *s = r->session;
	struct ari_tables *tables = &s->tables;

	s->engine->stats.resyncs++;
	ari_session_each_waiting(s, note_coming, tables);
	ari_media_each_gone(r->media, tell_finished, r); /* before the call that it was of ends */
	if (r->questions[CHANNELS].good && read_ids(r) == 0)
		compare_channels(r);
	if (r->questions[BRIDGES].good)
		compare_bridges(r);
	forget_coming(&tables->channels);
	forget_coming(&tables->bridges);
	forget_coming(&tables->playbacks);
	forget_coming(&tables->recordings);
	log_info(s->engine->log, "resync", "application=%.*s made_up=%u watched=%zu",
		 STR_ARG(s->application), r->made,
		 tables->channels.map.count + tables->bridges.map.count);
}

/* ---- the questions */

static bool nothing_to_compare(const struct ari_resync *r)
{
	const struct ari_tables *tables = &r->session->tables;

	return !r->media && !tables->channels.map.count && !tables->bridges.map.count &&
	       buf_len(&r->questions[CHANNELS].body) <= STR("[]").n;
}

static void on_grace(void *arg)
{
	struct ari_resync *r = arg;
	struct ari_session *s = r->session;

	compare(r);
	ari_session_synced(s, 0);
}

static void answered(struct ari_resync *r)
{
	if (r->open)
		return;
	if (!nothing_to_compare(r) && timer_start(&r->grace, GRACE_MS) == 0)
		return;
	on_grace(r);
}

/* The hub drops them all the same. */
static void filter_refused(struct ari_session *s, int status)
{
	if (s->filter_told)
		return;
	s->filter_told = true;
	log_info(s->engine->log, "no event filter", "application=%.*s status=%d then=%s",
		 STR_ARG(s->application), status,
		 "Asterisk goes on sending what the application drops, and it is dropped here");
}

static void on_answer(void *arg, int rc, const struct http_response *response)
{
	struct question *q = arg;
	struct ari_resync *r = q->resync;
	struct ari_session *s = r->session;
	struct json doc;

	q->call = NULL;
	r->open--;
	if (rc == 0 && q == &r->questions[FILTER] && response->status / 100 != 2)
		filter_refused(s, response->status);
	if (rc == 0 && ari_is_server(s->engine) &&
	    (response->status == 401 || response->status == 403))
		rc = -EACCES; /* a client's websocket would not have been let in */
	if (rc < 0) {
		ari_session_synced(s, rc);
		return;
	}
	q->good = response->status == 200 && json_parse(response->body, &doc) == 0;
	if (q->good)
		q->good = buf_add(&q->body, response->body) == 0;
	else if (q != &r->questions[FILTER])
		log_warn(s->engine->log, "resync incomplete",
			 "application=%.*s question=%d status=%d then=%s", STR_ARG(s->application),
			 (int)(q - r->questions), response->status,
			 "going on without; calls that ended in the gap may not be noticed");
	answered(r);
}

static void on_media(void *arg, int rc)
{
	struct ari_resync *r = arg;

	r->open--;
	if (rc < 0)
		ari_session_synced(r->session, rc);
	else
		answered(r);
}

static int ask(struct ari_resync *r, int which, struct str target, struct str body)
{
	struct question *q = &r->questions[which];
	struct ari_engine *engine = r->session->engine;
	struct ari_request request = {
		.method = body.n ? STR("PUT") : STR("GET"),
		.target = target,
		.content_type = STR("application/json"),
		.body = body,
		.done = on_answer,
		.arg = q,
	};
	const char *why;
	int rc;

	buf_init(&q->body, SIZE_MAX / 2);
	rc = ari_call_create(engine,
			     engine->conf->rest == ARI_REST_WEBSOCKET ? r->session->carrier : NULL,
			     &request, &why, &q->call);
	r->open += rc == 0;
	return rc;
}

/* target: of the application; "/eventFilter" is added. What a call's objects hang on is not named. */
static int ask_filter(struct ari_resync *r, struct buf *target)
{
	const struct ari_session *s = r->session;
	auto_buf struct buf body = { 0 };
	struct json_out w = { &body, 0 };
	size_t n, named = 0;
	const struct str *drop = port_dropped(s->engine->port, s->application, &n);

	buf_init(&body, ARI_FRAME_MAX);
	json_out(&w, STR("{\"disallowed\":["));
	for (size_t i = 0; i < n; i++) {
		if (!ari_event_only_tells(drop[i]))
			continue;
		json_out_string(&w, named++ ? STR(",{\"type\":") : STR("{\"type\":"), drop[i]);
		json_out(&w, STR("}"));
	}
	json_out(&w, STR("]}"));
	if (!named || w.rc < 0)
		return w.rc;
	w.rc = buf_add(target, STR("/eventFilter"));
	return w.rc < 0 ? w.rc : ask(r, FILTER, buf_str(target), buf_str(&body));
}

int ari_resync_create(struct ari_session *session, struct ari_resync **ret)
{
	const struct str none = { NULL, 0 };
	struct ari_resync *r = calloc(1, sizeof(*r));
	auto_buf struct buf target = { 0 };
	int rc;

	if (!r)
		return -ENOMEM;
	r->session = session;
	for (int i = 0; i < QUESTIONS; i++)
		r->questions[i].resync = r;
	timer_init(&r->grace, session->engine->loop, on_grace, r);
	buf_init(&r->event, EVENT_MAX);
	buf_init(&target, ARI_TARGET_MAX);
	rc = buf_add(&target, STR("/applications/"));
	if (rc == 0)
		rc = ari_route_encode(&target, session->application);
	if (rc == 0)
		rc = ask(r, APPLICATION, buf_str(&target), none);
	if (rc == 0)
		rc = ask_filter(r, &target);
	if (rc == 0)
		rc = ask(r, CHANNELS, STR("/channels"), none);
	if (rc == 0)
		rc = ask(r, BRIDGES, STR("/bridges"), none);
	if (rc == 0)
		rc = ari_media_ask(session, on_media, r, &r->media);
	r->open += r->media != NULL;
	if (rc < 0) {
		(void)ari_resync_destroy(r);
		return rc;
	}
	*ret = r;
	return 0;
}

struct ari_resync *ari_resync_destroy(struct ari_resync *r)
{
	if (!r)
		return NULL;
	timer_stop(&r->grace);
	(void)ari_media_destroy(r->media);
	for (int i = 0; i < QUESTIONS; i++) {
		if (r->questions[i].call)
			ari_call_cancel(r->questions[i].call);
		buf_fini(&r->questions[i].body);
	}
	buf_fini(&r->event);
	free(r->ids);
	free(r);
	return NULL;
}
