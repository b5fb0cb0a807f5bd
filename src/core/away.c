/* SPDX-License-Identifier: MIT */
/*
 * Applications whose bus has no link to its broker.
 *
 * What comes meanwhile waits in the streams, as ever. Where the owner has set a number, events
 * are noted as they come, in runs of one stream, so that the oldest of the whole application can go
 * when one too many has come; the notes go when the link is back. An age is a time to live on each event
 * (readers pass over what has expired, also after a restart), and the end of calls that are over
 * for that long (dialog.c). With `refuse` new calls get no dialog, and the engine lets them go on.
 * A pull bus is never away.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/hub_internal.h"

struct away_run {
	struct list link; /* away.runs */
	struct stream *stream;
	uint64_t from, to; /* numbers, `to` is behind the last */
};

struct release {
	struct list link; /* hub.releases */
	struct port *engine;
	const char *reason;
	size_t n_application, n_channel;
	char text[]; /* application, channel */
};

void away_init(struct away *away, const struct application_options *o)
{
	bool pull = o->bus->ops->roles & PORT_PULL;

	list_init(&away->runs);
	away->refuse = o->refuse_away && !pull;
	away->events_max = pull ? 0 : o->away_events_max;
	away->age_ms = pull ? 0 : o->away_age_ms;
}

static void run_free(struct away *away, struct away_run *run)
{
	away->n -= run->to - run->from;
	list_del(&run->link);
	(void)stream_unref(run->stream);
	free(run);
}

void away_fini(struct away *away)
{
	list_for_each_safe (it, &away->runs)
		run_free(away, container_of(it, struct away_run, link));
}

bool away_refuses(const struct application *a)
{
	enum port_state state = a->bus->state;

	return a->away.refuse && !port_usable(a->bus) && state != PORT_CONNECTING;
}

/* Once each time. */
static void tell(struct application *a, const char *why)
{
	if (!a->away.told)
		log_warn(a->bus->log, "held events dropped", "application=%s reason=%s then=%s",
			 a->name, why, "the oldest go until the bus is back; they are counted");
	a->away.told = true;
}

/* Up to n of the run's; true: it is used up. What is not written yet can't go now. */
static bool drop_from(struct application *a, struct away_run *run, uint64_t n)
{
	uint64_t from = run->from, to = run->to - from > n ? from + n : run->to, before;

	if (to > stream_visible(run->stream))
		to = stream_visible(run->stream);
	if (to <= from)
		return false;
	before = stream_first(run->stream);
	stream_trim(run->stream, to);
	if (stream_first(run->stream) > before) {
		a->bus->hub->stats.away_dropped += stream_first(run->stream) - before;
		tell(a, "more wait than while_away.events_max");
	}
	a->away.n -= to - from;
	run->from = to;
	if (run->from < run->to)
		return false;
	run_free(&a->away, run);
	return true;
}

static void drop_oldest(struct application *a)
{
	list_for_each_safe (it, &a->away.runs) {
		struct away_run *run = container_of(it, struct away_run, link);

		if (a->away.n <= a->away.events_max ||
		    !drop_from(a, run, a->away.n - a->away.events_max))
			return; /* what is left goes with the next event */
	}
}

/* The newest run, if those events follow its last. */
static struct away_run *run_before(struct away *away, const struct stream *s, uint64_t from)
{
	struct away_run *run = container_of(away->runs.prev, struct away_run, link);

	return !list_empty(&away->runs) && run->stream == s && run->to == from ? run : NULL;
}

/* Without memory for a note an event is not counted, that is all. */
static void note(struct application *a, struct stream *s, uint64_t from, uint64_t to)
{
	struct away_run *run = run_before(&a->away, s, from);

	if (!run) {
		run = calloc(1, sizeof(*run));
		if (!run)
			return;
		run->stream = stream_ref(s);
		run->from = from;
		list_add_tail(&a->away.runs, &run->link);
	}
	run->to = to;
	a->away.n += to - from;
}

void away_appended(struct application *a, struct stream *s)
{
	uint64_t now;

	if ((!a->away.events_max && !a->away.age_ms) || port_usable(a->bus))
		return;
	now = loop_now(a->bus->hub->opt.loop);
	if (!a->away.since_ms)
		a->away.since_ms = now;
	if (a->away.age_ms && now - a->away.since_ms > a->away.age_ms)
		tell(a, "some are older than while_away.age_max");
	if (!a->away.events_max)
		return;
	note(a, s, stream_next(s) - 1, stream_next(s));
	drop_oldest(a);
}

static void recovered(struct application *a, struct stream *s)
{
	if (a->away.events_max && stream_first(s) < stream_next(s))
		note(a, s, stream_first(s), stream_next(s));
}

void away_recover(struct hub *hub)
{
	map_for_each (it, &hub->dialogs) {
		struct dialog *d = container_of(it, struct dialog, node);

		recovered(d->application, d->events);
	}
	map_for_each (it, &hub->applications) {
		struct application *a = container_of(it, struct application, node);

		if (a->events)
			recovered(a, a->events);
	}
}

void away_over(struct application *a)
{
	away_fini(&a->away);
	a->away.told = false;
	a->away.since_ms = 0;
}

static bool tells_of_life(const struct delivery *e)
{
	for (size_t i = 0; i < e->n_objects; i++)
		if (e->objects[i].kind == OBJECT_CHANNEL &&
		    e->objects[i].verbs & (OBJECT_OPENS | OBJECT_LEAVES | OBJECT_ENDS))
			return true;
	return false;
}

uint64_t away_ttl(const struct application *a, uint64_t ttl_ms, const struct delivery *e)
{
	uint64_t age_ms = a->away.age_ms;

	if (!age_ms || (ttl_ms && ttl_ms <= age_ms) || tells_of_life(e))
		return ttl_ms;
	return age_ms;
}

bool away_is_stale(struct hub *hub, const struct msg *announce)
{
	struct map_node *node = map_find(&hub->applications, announce->application);
	const struct application *a = node ? container_of(node, struct application, node) : NULL;

	uint64_t now = clock_wall_ns(), then = announce->wall_ns;

	if (!a || !a->away.age_ms || now < then || (now - then) / 1000000 < a->away.age_ms ||
	    dialog_find(hub, announce->dialog))
		return false;
	hub->stats.away_dropped++;
	return true;
}

/* ---- calls that nobody serves */

int hub_release(struct port *engine, struct str application, struct str channel, const char *reason)
{
	struct hub *hub = engine->hub;
	struct release *r;

	if (!engine->ops->release)
		return 0;
	r = calloc(1, sizeof(*r) + application.n + channel.n);
	if (!r)
		return -ENOMEM;
	r->engine = engine;
	r->reason = reason;
	r->n_application = application.n;
	r->n_channel = channel.n;
	memcpy(r->text, application.p, application.n);
	memcpy(r->text + application.n, channel.p, channel.n);
	list_add_tail(&hub->releases, &r->link);
	task_defer(&hub->release);
	return 0;
}

void hub_on_release(void *arg)
{
	struct hub *hub = arg;
	struct list now;

	list_init(&now);
	list_splice_tail(&now, &hub->releases);
	list_for_each_safe (it, &now) {
		struct release *r = container_of(it, struct release, link);

		r->engine->ops->release(r->engine->self, str_make(r->text, r->n_application),
					str_make(r->text + r->n_application, r->n_channel),
					r->reason);
		list_del(&r->link);
		free(r);
	}
}

void hub_releases_fini(struct hub *hub)
{
	list_for_each_safe (it, &hub->releases) {
		struct release *r = container_of(it, struct release, link);

		list_del(&r->link);
		free(r);
	}
}
