/* SPDX-License-Identifier: MIT */
/*
 * One topic's life.
 *
 *   UNKNOWN --the oldest message goes, with a question--> PROBING --no 503 by the PONG--> OPEN
 *      ^                                                     |
 *      +--- 1 ms, 2 ms, ... 1 s later, or at a DUMMY --- HELD <--503--+
 *
 * Core NATS keeps nothing: what is published while nobody subscribes is gone. A client of the old
 * proxy subscribes to events_<d> and responses_<d> only after it has heard of the call, so the first
 * message of each topic asks the server for an answer if nobody listens, and those behind it wait.
 * On an application's topic every message asks, because its workers come and go; while it is open they
 * go together. Which is why one that was not taken may be overtaken by the next, if a worker came
 * just between them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "buses/nats/nats_outbox_internal.h"

enum { SPARE_MAX = 1024, WARN_MS = 10000 };

static void on_timer(void *arg);

static struct hearing *hearing_of(const struct nats_outbox *o, const struct msg *msg)
{
	struct map_node *node = map_find(&o->hearings, msg->dialog);

	return node ? container_of(node, struct hearing, node) : NULL;
}

static struct topic *topic_create(struct nats_outbox *o, const struct msg *msg)
{
	struct topic *t = calloc(1, sizeof(*t) + msg->topic.n + 1);
	struct hearing *hearing = hearing_of(o, msg);

	if (!t)
		return NULL;
	t->outbox = o;
	memcpy(t->name, msg->topic.p, msg->topic.n);
	if (map_add(&o->topics, &t->node, str_make(t->name, msg->topic.n)) < 0) {
		free(t);
		return NULL;
	}
	list_init(&t->of_hearing);
	list_init(&t->ready);
	list_init(&t->held);
	list_init(&t->waiting);
	timer_init(&t->timer, o->opt.loop, on_timer, t);
	t->wait_ms = NATS_RETRY_FIRST_MS;
	t->state = o->opt.prefix ? TOPIC_OPEN : TOPIC_UNKNOWN; /* a stream always listens */
	t->announces = msg->kind == MSG_ANNOUNCE;
	t->ended = !t->announces && !hearing;
	t->ended_ms = loop_now(o->opt.loop);
	if (hearing && !t->announces)
		list_add_tail(&hearing->topics, &t->of_hearing);
	return t;
}

struct topic *nats_topic_of(struct nats_outbox *o, const struct msg *msg)
{
	struct map_node *node;

	if (o->latest && str_eq(o->latest->node.key, msg->topic))
		return o->latest;
	node = map_find(&o->topics, msg->topic);
	o->latest = node ? container_of(node, struct topic, node) : topic_create(o, msg);
	return o->latest;
}

void nats_topic_free(struct topic *t)
{
	if (t->outbox->latest == t)
		t->outbox->latest = NULL;
	timer_stop(&t->timer);
	list_del(&t->of_hearing);
	list_del(&t->ready);
	list_del(&t->held);
	map_del(&t->outbox->topics, &t->node);
	free(t);
}

void nats_topic_rest(struct topic *t)
{
	if (!t->n && t->ended)
		nats_topic_free(t);
}

/* ---- what waits */

static void count(struct topic *t, struct parcel *p, bool in)
{
	struct nats_outbox *o = t->outbox;
	size_t n = in ? 1 : (size_t)-1, bytes = in ? p->bytes : -p->bytes;

	t->n_waiting += n;
	t->waiting_bytes += bytes;
	if (t->state == TOPIC_OPEN) {
		o->link_n += n;
		o->link_bytes += bytes;
	} else {
		o->held_n += n;
		o->held_bytes += bytes;
	}
}

/* What waits counts elsewhere from now on. */
static void set_state(struct topic *t, enum topic_state state)
{
	struct nats_outbox *o = t->outbox;
	bool was = t->state == TOPIC_OPEN, is = state == TOPIC_OPEN;

	t->state = state;
	if (was == is)
		return;
	o->link_n += is ? t->n_waiting : -t->n_waiting;
	o->link_bytes += is ? t->waiting_bytes : -t->waiting_bytes;
	o->held_n += is ? -t->n_waiting : t->n_waiting;
	o->held_bytes += is ? -t->waiting_bytes : t->waiting_bytes;
}

void nats_topic_push(struct topic *t, struct parcel *p)
{
	list_add_tail(&t->waiting, &p->link);
	count(t, p, true);
}

void nats_topic_push_back(struct topic *t, struct parcel *p)
{
	list_add_head(&t->waiting, &p->link);
	count(t, p, true);
}

struct parcel *nats_topic_pull(struct topic *t)
{
	struct parcel *p = container_of(t->waiting.next, struct parcel, link);

	list_del(&p->link);
	count(t, p, false);
	return p;
}

void nats_topic_wake(struct topic *t)
{
	struct nats_outbox *o = t->outbox;

	if (!t->n_waiting || t->state == TOPIC_PROBING || t->state == TOPIC_HELD)
		return;
	if (list_empty(&t->ready))
		list_add_tail(&o->ready, &t->ready);
	o->opt.ready(o->opt.arg);
}

/* ---- its states */

void nats_topic_open(struct topic *t)
{
	list_del(&t->held);
	t->wait_ms = NATS_RETRY_FIRST_MS;
	set_state(t, TOPIC_OPEN);
	nats_topic_wake(t);
}

void nats_topic_hold(struct topic *t)
{
	struct nats_outbox *o = t->outbox;

	set_state(t, TOPIC_HELD);
	list_del(&t->ready);
	if (!t->announces && list_empty(&t->held))
		list_add_tail(&o->held, &t->held);
	if (timer_start(&t->timer, t->wait_ms) < 0)
		nats_topic_retry(t); /* no memory for a timer: without a wait, then */
	t->wait_ms = t->wait_ms * 2 > NATS_RETRY_MAX_MS ? NATS_RETRY_MAX_MS : t->wait_ms * 2;
}

void nats_topic_retry(struct topic *t)
{
	timer_stop(&t->timer);
	set_state(t, t->outbox->opt.prefix ? TOPIC_OPEN : TOPIC_UNKNOWN);
	nats_topic_wake(t);
}

static void settle_all(struct topic *t, int result)
{
	list_for_each_safe (it, &t->waiting) {
		struct parcel *p = container_of(it, struct parcel, link);

		count(t, p, false);
		nats_parcel_settle(t->outbox, p, result);
	}
}

/* The hub keeps what is stored until it is stored, or till it forgets the call. */
static void give_back(struct topic *t)
{
	timer_stop(&t->timer);
	set_state(t, TOPIC_OPEN);
	list_del(&t->ready);
	list_del(&t->held);
	settle_all(t, -EAGAIN);
	nats_topic_rest(t);
}

static void on_timer(void *arg)
{
	struct topic *t = arg;
	uint64_t now = loop_now(t->outbox->opt.loop);

	if (t->ended && t->outbox->opt.prefix)
		give_back(t);
	else if (t->ended && now - t->ended_ms >= t->outbox->opt.hold_ms)
		nats_topic_drop(t, "nobody has subscribed to it");
	else
		nats_topic_retry(t);
}

void nats_topic_drop(struct topic *t, const char *why)
{
	struct nats_outbox *o = t->outbox;
	uint64_t now = loop_now(o->opt.loop), n = t->n_waiting;

	if (n && (!o->warned_ms || now - o->warned_ms >= WARN_MS)) {
		o->warned_ms = now ? now : 1;
		log_warn(o->opt.log, "messages lost",
			 "topic=%s messages=%" PRIu64 " reason=%s lost=%" PRIu64, t->name, n, why,
			 o->lost + n);
	}
	timer_stop(&t->timer);
	set_state(t, TOPIC_UNKNOWN);
	list_del(&t->ready);
	list_del(&t->held);
	o->lost += n;
	settle_all(t, 0);
	nats_topic_rest(t);
}

/* ---- parcels */

void nats_parcel_free(struct nats_outbox *o, struct parcel *p)
{
	list_del(&p->link);
	p->topic->n--;
	(void)msg_unref(p->msg);
	if (o->n_spare == SPARE_MAX) {
		free(p);
		return;
	}
	o->n_spare++;
	list_add_head(&o->spare, &p->link);
}

void nats_parcel_settle(struct nats_outbox *o, struct parcel *p, int result)
{
	if (!p->own)
		o->opt.settle(o->opt.arg, p->msg, result);
	nats_parcel_free(o, p);
}
