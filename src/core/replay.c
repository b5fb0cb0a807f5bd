/* SPDX-License-Identifier: MIT */
/*
 * A call's events once more.
 *
 * A cursor that holds nothing back reads what the stream still has, in order; each message is
 * appended to a stream of the topic asked for when its time has come: as long after the first as it
 * was then, divided by the speed. Only so many wait there, so a slow reader slows the replay down and
 * nothing is dropped. On a bus that sends, that stream is in memory alone and goes with the replay;
 * on a pull bus it is a queue like any other.
 */
#include "core/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/hub_internal.h"

enum {
	REPLAYS_MAX = 16,
	WINDOW = 64,
	ROUND = 64,
	AHEAD_MAX = 256, /* appended and not yet delivered */
	FULL_MS = 50,
	DRAIN_MS = 500,
	DRAIN_MAX_MS = 3600000, /* who has not taken it by then does not get it */
};

struct replay {
	struct list link; /* hub.replays */
	struct hub *hub;
	struct application *application;
	struct stream *source, *target;
	struct cursor *cursor; /* NULL: all is appended */
	struct outlet *outlet; /* NULL on a pull bus */
	struct msg *next;      /* taken, its time has not come */
	uint64_t end;          /* behind the last number */
	uint64_t speed, began_ms, first_ns, done_ms;
	struct timer timer;
	struct task pump;
	char topic[REPLAY_TOPIC_MAX + 1];
};

static struct replay *replay_destroy(struct replay *r)
{
	bool sends = r->outlet;

	timer_stop(&r->timer);
	task_cancel(&r->pump);
	list_del(&r->link);
	(void)msg_unref(r->next);
	(void)cursor_destroy(r->cursor);
	(void)outlet_destroy(r->outlet);
	if (sends && stream_first(r->target) < stream_next(r->target))
		(void)stream_discard(r->target);
	(void)stream_unref(r->source);
	(void)stream_unref(r->target);
	free(r);
	return NULL;
}

void replays_end(struct hub *hub)
{
	list_for_each_safe (it, &hub->replays)
		(void)replay_destroy(container_of(it, struct replay, link));
}

/* Messages of the target that nobody has taken for good. */
static uint64_t ahead(const struct replay *r)
{
	uint64_t from = stream_first(r->target);

	if (r->outlet && cursor_floor(r->outlet->cursor) > from)
		from = cursor_floor(r->outlet->cursor);
	return stream_next(r->target) - from;
}

/* All is appended: the rest is for the bus. True: it is gone. */
static bool drained(struct replay *r)
{
	uint64_t now = loop_now(r->hub->opt.loop);

	if (!r->outlet || ahead(r) == 0 || now - r->done_ms >= DRAIN_MAX_MS) {
		(void)replay_destroy(r);
		return true;
	}
	(void)timer_start(&r->timer, DRAIN_MS);
	return false;
}

static void finish(struct replay *r)
{
	r->cursor = cursor_destroy(r->cursor);
	r->done_ms = loop_now(r->hub->opt.loop);
	(void)drained(r);
}

/* The next message into r->next; false: none now, or the end (then the replay may be gone). */
static bool take_next(struct replay *r)
{
	if (r->next)
		return true;
	if (cursor_take(r->cursor, &r->next) > 0 && r->next->seq < r->end)
		return true;
	if (r->next || cursor_floor(r->cursor) >= r->end || stream_first(r->source) >= r->end)
		finish(r);
	return false; /* else on_ready follows */
}

/* How long until its time comes, in ms. */
static uint64_t wait_ms(struct replay *r)
{
	uint64_t now = loop_now(r->hub->opt.loop), due, ms;

	if (!r->first_ns) {
		r->began_ms = now;
		r->first_ns = r->next->wall_ns;
	}
	if (!r->speed || r->next->wall_ns <= r->first_ns)
		return 0;
	ms = (r->next->wall_ns - r->first_ns) / 1000000;
	due = r->began_ms + ms / r->speed * REPLAY_REAL_TIME +
	      ms % r->speed * REPLAY_REAL_TIME / r->speed;
	return due > now ? due - now : 0;
}

static int append(struct replay *r)
{
	struct msg init = *r->next;
	struct msg *m;
	int rc;

	init.flags = (init.flags & MSG_SYNTHETIC) | MSG_REPLAYED;
	init.answers = init.seq;
	init.seq = stream_next(r->target);
	init.ttl_ms = init.expires_ms = 0;
	init.topic = str_from(r->topic);
	m = msg_create(&init);
	rc = m ? stream_append(r->target, m, NULL, NULL) : -ENOMEM;
	if (rc == 0)
		hub_observed(r->hub, m);
	(void)msg_unref(m);
	return rc;
}

static void pump(void *arg)
{
	struct replay *r = arg;

	if (!r->cursor) {
		(void)drained(r);
		return;
	}
	for (int i = 0; i < ROUND; i++) {
		uint64_t ms;

		if (!take_next(r))
			return;
		ms = wait_ms(r);
		if (ms == 0 && (ahead(r) >= AHEAD_MAX || append(r) < 0))
			ms = FULL_MS;
		if (ms) {
			(void)timer_start(&r->timer, ms);
			return;
		}
		cursor_settle(r->cursor, r->next->seq, true);
		r->next = msg_unref(r->next);
	}
	task_defer(&r->pump);
}

static void on_ready(void *arg)
{
	struct replay *r = arg;

	task_defer(&r->pump);
}

/* ---- beginning */

static int fail_topic(struct str topic, struct err *e)
{
	return err_set(e, -EINVAL,
		       "the topic \"%.*s\" can't be used, must be 1 to %d of A-Z a-z 0-9 _ . -, no "
		       "application, and not begin with events_, commands_ or responses_",
		       STR_ARG(topic), REPLAY_TOPIC_MAX);
}

static bool is_topic(const struct hub *hub, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char low = (char)(s.p[i] | 0x20);

		if (!(low >= 'a' && low <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') &&
		    (s.p[i] == '\0' || !strchr("_.-", s.p[i])))
			return false;
	}
	return s.n && s.n <= REPLAY_TOPIC_MAX && !hub_has_application(hub, s) &&
	       !str_starts(s, STR("events_")) && !str_starts(s, STR("commands_")) &&
	       !str_starts(s, STR("responses_")) && !str_ends(s, STR(".xml"));
}

static int check(struct hub *hub, const struct dialog *d, const struct replay_options *o,
		 struct str topic, struct err *e)
{
	size_t n = 0;

	if (!d)
		return err_set(e, -ENOENT, "there is no call \"%.*s\", or it has been forgotten",
			       STR_ARG(o->dialog));
	if (!is_topic(hub, topic))
		return fail_topic(topic, e);
	if (stream_first(d->events) >= stream_visible(d->events))
		return err_set(e, -ENODATA,
			       "none of the call's events is there any more: they go when they are "
			       "delivered, unless the application has keep");
	list_for_each (it, &hub->replays) {
		const struct replay *r = container_of(it, struct replay, link);

		n++;
		if (r->application->bus == d->application->bus && str_eq(str_from(r->topic), topic))
			return err_set(e, -EBUSY, "a replay to \"%s\" is under way", r->topic);
	}
	if (n >= REPLAYS_MAX)
		return err_set(e, -EBUSY, "%zu replays are under way, must be under %d", n,
			       REPLAYS_MAX);
	return 0;
}

static int replay_streams(struct replay *r, struct dialog *d, struct str topic)
{
	struct port *bus = d->application->bus;
	bool pull = bus->ops->roles & PORT_PULL;
	char text[NAME_MAX_BYTES];
	int rc;

	r->source = stream_ref(d->events);
	r->target = stream_open(hub_streams(r->hub), port_stream_name(bus, text, STR(""), topic),
				pull && d->application->record ? STREAM_RECORD : 0);
	if (!r->target)
		return -ENOMEM;
	rc = pull ? 0 : outlet_create(bus, r->target, topic, &r->outlet);
	if (rc == 0)
		rc = cursor_create(r->source, 0, WINDOW, on_ready, r, &r->cursor);
	return rc;
}

int hub_replay(struct hub *hub, const struct replay_options *o, struct replay_view *ret,
	       struct err *e)
{
	struct dialog *d = dialog_find(hub, o->dialog);
	struct replay *r;
	int rc;

	if (o->topic.n && o->topic.n <= REPLAY_TOPIC_MAX)
		(void)snprintf(ret->topic, sizeof(ret->topic), "%.*s", STR_ARG(o->topic));
	else
		(void)snprintf(ret->topic, sizeof(ret->topic), "replay_%s", d ? d->id : "");
	rc = check(hub, d, o, o->topic.n ? o->topic : str_from(ret->topic), e);
	if (rc < 0)
		return rc;
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(e, -ENOMEM, "out of memory");
	list_init(&r->link);
	r->hub = hub;
	r->application = d->application;
	r->speed = o->speed;
	r->end = stream_visible(d->events);
	(void)snprintf(r->topic, sizeof(r->topic), "%s", ret->topic);
	timer_init(&r->timer, hub->opt.loop, pump, r);
	task_init(&r->pump, hub->opt.loop, pump, r);
	rc = replay_streams(r, d, str_from(r->topic));
	if (rc < 0) {
		(void)replay_destroy(r);
		return err_set(e, rc, "out of memory");
	}
	list_add_tail(&hub->replays, &r->link);
	ret->first = stream_first(d->events);
	ret->events = r->end - ret->first;
	task_defer(&r->pump);
	return 0;
}
