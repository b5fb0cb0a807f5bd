/* SPDX-License-Identifier: MIT */
/*
 * One websocket, whoever has dialled it: what comes by it goes to whom it concerns.
 *
 * A client's link belongs to the one application that it was dialled for. On a server's link each
 * event says by its `application` whose it is. RESTResponses are nobody's events.
 */
#include <errno.h>
#include <stdlib.h>

#include "engines/asterisk/ari_call.h"

static void bad_frame(struct ari_link *link, struct str frame)
{
	struct ari_engine *engine = link->engine;

	engine->stats.bad_frames++;
	if (link->bad_told)
		return;
	link->bad_told = true;
	log_warn(engine->log, "bad event", "peer=%s bytes=%zu begins=%.*s then=%s", link->peer,
		 frame.n, (int)(frame.n < 64 ? frame.n : 64), frame.n ? frame.p : "",
		 "dropped; further ones of this link are only counted");
}

static void note_entity(struct ari_link *link, const struct ari_event *event)
{
	struct str id = event->asterisk_id;

	if (!id.n || id.n > sizeof(link->entity.id))
		return;
	memcpy(link->entity.id, id.p, id.n);
	link->entity.n = id.n;
}

static void on_message(void *arg, struct str data, bool text)
{
	struct ari_link *link = arg;
	struct ari_event event;

	link->engine->stats.frames++;
	if (link->refused)
		return;
	if (!text || ari_event_parse(data, &event) < 0) {
		bad_frame(link, data);
		return;
	}
	note_entity(link, &event);
	if (str_eq(event.type, STR("RESTResponse")))
		(void)ari_call_answer(link, data); /* none: it came too late */
	else if (link->only)
		ari_session_event(link->only, link, data, &event);
	else
		ari_server_event(link, data, &event);
}

static void on_open(void *arg)
{
	struct ari_link *link = arg;

	link->open = true;
	if (link->only)
		ari_client_opened(link->only);
	else
		ari_server_opened(link);
}

static void on_stale(void *arg, bool stale)
{
	struct ari_link *link = arg;

	link->stale = stale;
	ari_engine_update(link->engine);
}

static void on_end(void *arg, int reason, int code, struct str text)
{
	struct ari_link *link = arg;

	link->open = false;
	if (link->only)
		ari_client_ended(link->only, reason, code, text);
	else
		ari_server_ended(link, reason);
}

const struct ws_events ari_link_events = {
	.on_open = on_open,
	.on_message = on_message,
	.on_stale = on_stale,
	.on_end = on_end,
};

void ari_link_options(const struct ari_engine *engine, struct ws_options *ret)
{
	const struct ari_conf *conf = engine->conf;

	*ret = (struct ws_options){
		.protocol = STR("ari"),
		.message_max = conf->rest == ARI_REST_WEBSOCKET ? ARI_ANSWER_MAX : 0,
		.ping_ms = conf->ping_ms,
		.stale_ms = conf->stale_ms,
		.dead_ms = conf->dead_ms,
	};
}

int ari_link_create(struct ari_engine *engine, struct ari_session *only, struct ari_link **ret)
{
	struct ari_link *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	link->engine = engine;
	link->only = only;
	list_init(&link->queued);
	list_init(&link->sent);
	list_add_tail(&engine->links, &link->link);
	*ret = link;
	return 0;
}

struct ari_link *ari_link_destroy(struct ari_link *link)
{
	if (!link)
		return NULL;
	link->open = false;
	ari_calls_fail(link);
	link->ws = ws_destroy(link->ws);
	list_del(&link->link);
	free(link);
	return NULL;
}
