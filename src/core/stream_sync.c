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

void stream_sync_cancel(struct stream_sync *sync)
{
	list_del(&sync->link);
	sync->stream = stream_unref(sync->stream);
}

static void finish(struct stream_sync *sync, int rc)
{
	stream_sync_cancel(sync);
	sync->done(sync->arg, rc);
}

void syncs_start(struct syncs *syncs, struct journal *journal)
{
	struct list now;

	list_init(&now);
	list_splice_tail(&now, &syncs->asked);
	while (!list_empty(&now)) {
		struct stream_sync *sync = container_of(now.next, struct stream_sync, link);
		const struct stream *s = sync->stream;
		int rc = 0;

		sync->lsn = 0;
		if (s->js && !s->detached)
			rc = jstream_sync(journal, s->js, &sync->lsn);
		if (rc < 0 || sync->lsn <= (journal ? journal_durable(journal) : 0)) {
			finish(sync, rc);
			continue;
		}
		list_del(&sync->link);
		list_add_tail(&syncs->waiting, &sync->link);
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
