/* SPDX-License-Identifier: MIT */
/*
 * The queues of this bus's account for `voxbus queue`: listed, found by name, emptied.
 *
 * A queue is a stream with messages, a name that somebody waits at, or both; the topics of calls are
 * left out (`voxbus calls` shows them, and they end with their call). Emptying leaves alone what is
 * under way: it may have come already.
 */
#include <errno.h>

#include "buses/longpoll/longpoll_internal.h"
#include "core/queue_view.h"
#include "core/stream_view.h"

struct walk {
	struct longpoll *bus;
	queue_view_fn fn;
	void *arg;
};

/* The queue's key in a stream's name, or NULL, 0: another account's, or a call's topic. */
static struct str key_of(const struct longpoll *bus, struct str name)
{
	struct str sid = account_sid(bus->account), none = { NULL, 0 };

	if (!str_starts(name, sid) || name.n <= sid.n + 1 || name.p[sid.n] != '/')
		return none;
	name = str_skip(name, sid.n + 1);
	return topic_of(bus, name) == TOPIC_QUEUE ? name : none;
}

/* stream NULL: there is none. False: there is nothing to be seen of that queue. */
static bool view_queue(struct longpoll *bus, struct str key, const struct stream *stream,
		       struct queue_view *ret)
{
	*ret = (struct queue_view){ .account = account_sid(bus->account), .name = key };
	if (stream) {
		ret->messages = stream_visible(stream) - stream_first(stream);
		ret->oldest_ns = ret->messages && stream_in_memory(stream) == stream_first(stream)
					 ? stream_oldest_ns(stream)
					 : 0;
	}
	queue_look_at(bus, key, ret);
	return ret->messages || ret->waiters;
}

static void each_stream(void *arg, const struct stream *stream)
{
	struct walk *walk = arg;
	struct str key = key_of(walk->bus, stream_name(stream));
	struct queue_view view;

	if (key.n && view_queue(walk->bus, key, stream, &view))
		walk->fn(walk->arg, &view);
}

/* Those who wait at a name that has no stream: no message has come since. */
static void each_bare(void *arg, struct str key)
{
	struct walk *walk = arg;
	struct queue_view view;

	if (topic_of(walk->bus, key) == TOPIC_QUEUE && view_queue(walk->bus, key, NULL, &view))
		walk->fn(walk->arg, &view);
}

static void each(void *self, queue_view_fn fn, void *arg)
{
	struct longpoll *bus = self;
	struct walk walk = { bus, fn, arg };

	streams_each(hub_streams(bus->env.hub), each_stream, &walk);
	queues_each_bare(bus, each_bare, &walk);
}

/* "<sid>/<queue>" or "<queue>": the key, or NULL, 0 when it can't be one of this bus. */
static struct str key_by_name(const struct longpoll *bus, struct str name)
{
	struct str key = key_of(bus, name), none = { NULL, 0 };

	if (key.n)
		return key;
	return name.n && topic_of(bus, name) == TOPIC_QUEUE ? name : none;
}

static bool find(void *self, struct str name, queue_view_fn fn, void *arg)
{
	struct longpoll *bus = self;
	struct str key = key_by_name(bus, name);
	struct stream *stream = key.n ? place_stream(bus, key, false) : NULL;
	struct queue_view view;
	bool found = key.n && view_queue(bus, key, stream, &view);

	if (found)
		fn(arg, &view);
	if (stream)
		(void)stream_unref(stream);
	return found;
}

static int purge(void *self, struct str name, struct stream_sync *sync, uint64_t *ret_n)
{
	struct longpoll *bus = self;
	struct str key = key_by_name(bus, name);
	struct stream *stream = key.n ? place_stream(bus, key, false) : NULL;
	struct queue_view view;

	if (!stream)
		return -ENOENT;
	(void)view_queue(bus, key, stream, &view);
	stream_trim(stream, stream_visible(stream));
	queue_drop_returned(bus, key);
	*ret_n = view.messages - view.under_way;
	stream_sync(stream, sync);
	(void)stream_unref(stream);
	return 0;
}

const struct port_queues longpoll_queues = { .each = each, .find = find, .purge = purge };
