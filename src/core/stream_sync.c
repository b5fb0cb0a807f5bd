/* SPDX-License-Identifier: MIT */
/*
 * Waiting until what was said of a stream is durable, e.g. that its reader is done with a message.
 *
 * What a reader settles becomes a trim when the streams are tidied, once a turn; so those who ask
 * wait for that, too, and all who ask of one stream in one turn share one mark in the journal.
 */
#include <errno.h>

#include "core/core_internal.h"
#include "journal/journal.h"

void stream_sync_init(struct stream_sync *sync, stream_done_fn done, void *arg)
{
	*sync = (struct stream_sync){ .done = done, .arg = arg };
	list_init(&sync->link);
}

void stream_sync(struct stream *stream, struct stream_sync *sync)
{
	stream_sync_cancel(sync);
	sync->stream = stream_ref(stream);
	list_add_tail(&streams_syncs(stream->set)->asked, &sync->link);
	stream_mark(stream, false);
}

void streams_sync(struct streams *set, uint64_t lsn, struct stream_sync *sync)
{
	struct syncs *syncs = streams_syncs(set);

	stream_sync_cancel(sync);
	sync->lsn = lsn;
	list_add_tail(&syncs->asked, &sync->link);
	task_defer(syncs->tidy);
}

void stream_sync_cancel(struct stream_sync *sync)
{
	list_del(&sync->link);
	if (sync->stream)
		sync->stream = stream_unref(sync->stream);
}

static void finish(struct stream_sync *sync, int rc)
{
	stream_sync_cancel(sync);
	sync->done(sync->arg, rc);
}

/* The lsn that covers it, 0 when there is nothing to wait for. 0 or why it can't be had. */
static int cover(struct stream_sync *sync, struct journal *journal)
{
	const struct stream *s = sync->stream;

	if (!s)
		return 0;
	sync->lsn = 0;
	return s->js && !s->detached ? jstream_sync(journal, s->js, &sync->lsn) : 0;
}

/* Mostly the newest: it goes to the end, or near it. */
static void wait_in_order(struct syncs *syncs, struct stream_sync *sync)
{
	struct list *before = &syncs->waiting;

	while (before->prev != &syncs->waiting &&
	       container_of(before->prev, struct stream_sync, link)->lsn > sync->lsn)
		before = before->prev;
	list_del(&sync->link);
	list_add_tail(before, &sync->link);
}

void syncs_start(struct syncs *syncs, struct journal *journal)
{
	struct list now;

	list_init(&now);
	list_splice_tail(&now, &syncs->asked);
	while (!list_empty(&now)) {
		struct stream_sync *sync = container_of(now.next, struct stream_sync, link);
		int rc = cover(sync, journal);

		if (rc < 0 || !journal || sync->lsn <= journal_durable(journal))
			finish(sync, rc);
		else
			wait_in_order(syncs, sync);
	}
}

void syncs_finish(struct syncs *syncs, uint64_t durable, int rc)
{
	while (!list_empty(&syncs->waiting)) {
		struct stream_sync *sync =
			container_of(syncs->waiting.next, struct stream_sync, link);

		if (sync->lsn > durable)
			return;
		finish(sync, rc);
	}
}
