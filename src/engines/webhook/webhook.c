/* SPDX-License-Identifier: MIT */
/*
 * The table of calls: a map by name, and a timer for each call that is expected back.
 *
 * Who is told of a change is told in a task, never from inside: so a call that dies stays in the
 * map, as DEAD, until the owner has heard of it, and comes back to life if it is held in between.
 */
#include "engines/webhook/webhook.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
	CALLS_MAX = 65536,
	SID_MAX = 256,
	RETRY_MS = 5000, /* how soon a request that failed is tried again */
};

struct webhook {
	struct webhook_options options;
	struct map calls;    /* struct call.node */
	struct list parked;  /* struct call.link: parked longest ago first */
	struct list changed; /* struct call.link: the owner is to hear of them */
	struct task task;
	uint64_t expect_until_ms; /* calls of an earlier run */
	size_t n[CALL_DEAD + 1];
};

static const char *const state_names[] = { "held", "parked", "dead" };

struct str call_sid(const struct call *call)
{
	struct str name = call->node.key;
	size_t n = name.n;

	while (n && name.p[n - 1] != '/')
		n--;
	return str_skip(name, n);
}

struct str call_path(const struct call *call)
{
	struct str sid = call_sid(call), name = call->node.key;

	return str_make(name.p, name.n > sid.n ? name.n - sid.n - 1 : 0);
}

bool call_sid_is_good(struct str sid)
{
	for (size_t i = 0; i < sid.n; i++)
		if (sid.p[i] == '/' || (unsigned char)sid.p[i] < 0x20 || sid.p[i] == 0x7f)
			return false;
	return sid.n && sid.n <= SID_MAX && str_is_utf8(sid) && !str_eq(sid, STR(".")) &&
	       !str_eq(sid, STR(".."));
}

static void call_log(const struct call *call)
{
	struct str sid = call_sid(call), path = call_path(call);

	log_debug(call->webhook->options.log, "call", "call=%.*s queue=%.*s state=%s", STR_ARG(sid),
		  STR_ARG(path), state_names[call->state]);
}

static void call_enter(struct call *call, enum call_state state)
{
	struct webhook *webhook = call->webhook;

	webhook->n[call->state]--;
	webhook->n[state]++;
	call->state = state;
	list_del(&call->link);
	timer_stop(&call->deadline);
	call_log(call);
}

static void call_tell(struct call *call)
{
	list_add_tail(&call->webhook->changed, &call->link);
	task_defer(&call->webhook->task);
}

static void call_die(struct call *call)
{
	call_enter(call, CALL_DEAD);
	call_tell(call);
}

static void on_deadline(void *arg)
{
	call_die(arg);
}

static void call_park(struct call *call, uint64_t ms)
{
	call_enter(call, CALL_PARKED);
	if (timer_start(&call->deadline, ms) < 0)
		call_die(call); /* no memory to wait for it */
	else
		list_add_tail(&call->webhook->parked, &call->link);
}

static void call_free(struct call *call)
{
	struct webhook *webhook = call->webhook;

	assert(list_empty(&call->kept));
	webhook->n[call->state]--;
	list_del(&call->link);
	timer_stop(&call->deadline);
	map_del(&webhook->calls, &call->node);
	free(call);
}

static void on_task(void *arg)
{
	struct webhook *webhook = arg;
	struct list now;

	list_init(&now);
	list_splice_tail(&now, &webhook->changed);
	while (!list_empty(&now)) {
		struct call *call = container_of(now.next, struct call, link);

		list_del(&call->link);
		webhook->options.on_changed(webhook->options.arg, call);
		if (call->state == CALL_DEAD)
			call_free(call);
	}
}

struct webhook *webhook_create(const struct webhook_options *options)
{
	struct webhook *webhook = calloc(1, sizeof(*webhook));

	if (!webhook)
		return NULL;
	webhook->options = *options;
	if (!webhook->options.calls_max)
		webhook->options.calls_max = CALLS_MAX;
	map_init(&webhook->calls);
	list_init(&webhook->parked);
	list_init(&webhook->changed);
	task_init(&webhook->task, options->loop, on_task, webhook);
	webhook->expect_until_ms = loop_now(options->loop) + options->park_ms;
	return webhook;
}

struct webhook *webhook_destroy(struct webhook *webhook)
{
	if (!webhook)
		return NULL;
	task_cancel(&webhook->task);
	map_for_each (node, &webhook->calls)
		call_free(container_of(node, struct call, node));
	map_fini(&webhook->calls);
	free(webhook);
	return NULL;
}

struct call *webhook_find(const struct webhook *webhook, struct str name)
{
	struct map_node *node = map_find(&webhook->calls, name);

	return node ? container_of(node, struct call, node) : NULL;
}

void webhook_give_up(struct call *call)
{
	if (call->state == CALL_PARKED)
		call_die(call);
}

/* Whether there is room for one more; the oldest parked call makes some. */
static bool make_room(struct webhook *webhook)
{
	if (webhook->n[CALL_HELD] + webhook->n[CALL_PARKED] < webhook->options.calls_max)
		return true;
	if (list_empty(&webhook->parked))
		return false;
	webhook_give_up(container_of(webhook->parked.next, struct call, link));
	return true;
}

/* A new one in that state, on no list: 0 or as webhook_hold. */
static int call_create(struct webhook *webhook, struct str name, enum call_state state,
		       struct call **ret)
{
	if (!make_room(webhook))
		return -EAGAIN;
	struct call *call = calloc(1, sizeof(*call) + name.n);
	if (!call)
		return -ENOMEM;
	call->webhook = webhook;
	call->state = state;
	list_init(&call->link);
	list_init(&call->kept);
	timer_init(&call->deadline, webhook->options.loop, on_deadline, call);
	memcpy(call->name, name.p, name.n);
	if (map_add(&webhook->calls, &call->node, str_make(call->name, name.n)) < 0) {
		free(call);
		return -ENOMEM;
	}
	webhook->n[state]++;
	*ret = call;
	return 0;
}

int webhook_hold(struct webhook *webhook, struct str name, struct call **ret)
{
	struct call *call = webhook_find(webhook, name);
	int rc = 0;

	if (!call) {
		rc = call_create(webhook, name, CALL_HELD, &call);
		if (rc == 0)
			call_log(call);
	} else if (call->state != CALL_HELD) {
		call_enter(call, CALL_HELD);
		call_tell(call);
	}
	if (rc < 0)
		return rc;
	call->holders++;
	*ret = call;
	return 0;
}

void webhook_release(struct call *call, bool answered)
{
	uint64_t park_ms = call->webhook->options.park_ms;

	assert(call->holders);
	if (--call->holders)
		return;
	if (answered)
		call_park(call, park_ms);
	else if (call->retried)
		call_park(call, park_ms < RETRY_MS ? park_ms : RETRY_MS);
	else
		call_die(call);
}

struct call *webhook_expect(struct webhook *webhook, struct str name)
{
	uint64_t now = loop_now(webhook->options.loop);
	struct call *call;

	if (now >= webhook->expect_until_ms || call_create(webhook, name, CALL_PARKED, &call) < 0)
		return NULL;
	call_park(call, webhook->expect_until_ms - now);
	return call->state == CALL_PARKED ? call : NULL;
}

size_t webhook_count(const struct webhook *webhook, enum call_state state)
{
	return webhook->n[state];
}
