/* SPDX-License-Identifier: MIT */
/*
 * Channels that nobody serves go on in the dialplan.
 *
 * First VOXBUS_STATUS is set, so that the dialplan behind Stasis() knows why; then `continue`. Both are
 * tried again while Asterisk can't be asked, for a minute at most: after that it has hung up, or
 * a resync finds the channel again. A channel that has gone meanwhile (404), or is not in Stasis any more
 * (409), needs nothing.
 */
#include <errno.h>
#include <stdlib.h>

#include "engines/asterisk/ari_call.h"

enum { AGAIN_MS = 500, TRIES = 120, RELEASES_MAX = 10000 };

struct release {
	struct list link; /* ari_engine.releases */
	struct ari_engine *engine;
	struct ari_call *call;
	struct timer again;
	const char *reason;
	bool said; /* the variable is set */
	unsigned tries;
	size_t n_application, n_channel;
	char text[]; /* application, channel */
};

static void try(void *arg);

static struct str application_of(const struct release *r)
{
	return str_make(r->text, r->n_application);
}

static struct str channel_of(const struct release *r)
{
	return str_make(r->text + r->n_application, r->n_channel);
}

static void release_free(struct release *r)
{
	if (r->call)
		ari_call_cancel(r->call);
	timer_stop(&r->again);
	list_del(&r->link);
	r->engine->n_releases--;
	free(r);
}

static void again(struct release *r)
{
	if (++r->tries < TRIES && timer_start(&r->again, AGAIN_MS) == 0)
		return;
	log_warn(r->engine->log, "call not released", "channel=%.*s then=%s",
		 STR_ARG(channel_of(r)), "it stays until it hangs up");
	release_free(r);
}

static void on_done(void *arg, int rc, const struct http_response *response)
{
	struct release *r = arg;
	bool last = r->said, gone;

	r->call = NULL;
	if (rc < 0 || response->status >= 500) {
		again(r);
		return;
	}
	gone = response->status == 404 || response->status == 409;
	r->said = true;
	if (last || gone)
		release_free(r);
	else
		try(r);
}

static int target_add(struct buf *target, const struct release *r)
{
	int rc = buf_add(target, STR("/channels/"));

	if (rc == 0)
		rc = ari_route_encode(target, channel_of(r));
	if (rc == 0 && r->said)
		rc = buf_add(target, STR("/continue"));
	else if (rc == 0)
		rc = buf_addf(target, "/variable?variable=VOXBUS_STATUS&value=%s", r->reason);
	return rc;
}

static void try(void *arg)
{
	struct release *r = arg;
	bool by_link = r->engine->conf->rest == ARI_REST_WEBSOCKET;
	struct ari_link *link = by_link ? ari_link_for(r->engine, application_of(r)) : NULL;
	struct ari_request request = { .method = STR("POST"), .done = on_done, .arg = r };
	auto_buf struct buf target;
	const char *why = NULL;
	int rc;

	buf_init(&target, ARI_TARGET_MAX);
	rc = target_add(&target, r);
	request.target = buf_str(&target);
	if (rc == 0)
		rc = by_link && !link ? -ENOTCONN
				      : ari_call_create(r->engine, link, &request, &why, &r->call);
	if (rc < 0)
		again(r);
}

void ari_release(struct ari_engine *engine, struct str application, struct str channel,
		 const char *reason)
{
	struct release *r = engine->n_releases < RELEASES_MAX
				    ? calloc(1, sizeof(*r) + application.n + channel.n)
				    : NULL;

	if (!r) {
		log_warn(engine->log, "call not released", "channel=%.*s then=%s", STR_ARG(channel),
			 "no room for it; it stays until it hangs up");
		return;
	}
	r->engine = engine;
	r->reason = reason;
	r->n_application = application.n;
	r->n_channel = channel.n;
	memcpy(r->text, application.p, application.n);
	memcpy(r->text + application.n, channel.p, channel.n);
	timer_init(&r->again, engine->loop, try, r);
	list_add_tail(&engine->releases, &r->link);
	engine->n_releases++;
	try(r);
}

void ari_releases_drop(struct ari_engine *engine)
{
	list_for_each_safe (it, &engine->releases)
		release_free(container_of(it, struct release, link));
}
