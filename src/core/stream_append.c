/* SPDX-License-Identifier: MIT */
/*
 * Streams: appending, in memory and in the journal.
 *
 * A stream whose append the journal refused (and nobody is told about) is `detached`: its record
 * would have a hole, so it lives in memory until all of it has been read.
 */
#include <assert.h>
#include <errno.h>

#include "core/core_internal.h"
#include "journal/journal.h"

enum how { DURABLE, ANYWAY, RELAXED };

static int journal_msg(struct stream *s, const struct msg *msg, bool relaxed, uint64_t *ret_lsn)
{
	struct streams *set = s->set;
	struct str parts[2];
	int rc;

	if (!s->js)
		return -ENOSPC; /* the journal takes no more streams */
	buf_clear(&set->head);
	rc = msg_encode(msg, &set->head);
	if (rc < 0)
		return rc;
	parts[0] = buf_str(&set->head);
	parts[1] = blob_str(msg->payload);
	return relaxed ? journal_append_relaxed(set->journal, s->js, msg->seq, parts, 2, ret_lsn)
		       : journal_append(set->journal, s->js, msg->seq, parts, 2, ret_lsn);
}

static void stream_detach(struct stream *s, int rc)
{
	struct streams *set = s->set;

	s->detached = true;
	if (set->stats.unrecorded == 0 && !set->failed)
		log_error(set->log, "journal refused", "stream=%s reason=%s then=%s", s->name,
			  strerror(-rc), "this stream is kept in memory until it has been read");
}

/* All that the journal does not have was read: the record can go on behind a gap. */
static void stream_reattach(struct stream *s)
{
	if (s->first == s->next && s->js && jstream_skip(s->js, s->next) == 0)
		s->detached = false;
}

static void wait_done(struct streams *set, uint64_t lsn, stream_done_fn done, void *arg)
{
	struct waiting w = { .lsn = lsn, .done = done, .arg = arg };

	if (!lsn)
		task_defer(&set->task);
	waitings_push(lsn ? &set->syncing : &set->finished, &w);
}

/*
 * lsn: it becomes visible when that is written, behind the journal's own appends; 0: at once, since
 * it is in memory alone. A relaxed one is also seen at once, if all before it are.
 */
static void stream_took(struct stream *s, const struct msg *msg, uint64_t lsn, bool relaxed)
{
	struct waiting w = { .lsn = lsn, .stream = s };
	bool first = s->visible == s->next;

	s->next++;
	s->set->stats.appended++;
	stream_keep(s, msg);
	if (lsn) {
		(void)stream_ref(s);
		waitings_push(&s->set->writing, &w);
	} else {
		s->written = s->next;
	}
	if (!lsn || (relaxed && first))
		stream_show(s, s->next);
}

static bool is_lasting(int rc)
{
	return rc == -ENOSPC || rc == -EIO;
}

/* In the journal, if it is to be there: 0 and *ret_lsn (0: in memory alone), or a refusal. */
static int stream_record(struct stream *s, const struct msg *msg, bool receipt, enum how how,
			 uint64_t *ret_lsn)
{
	struct streams *set = s->set;
	int rc;

	if (!s->record || !set->journal)
		return 0;
	rc = s->detached ? -EIO : journal_msg(s, msg, how == RELAXED, ret_lsn);
	if (rc == 0)
		set->last_lsn = *ret_lsn;
	else if (rc == -EMSGSIZE || (receipt && !(how == ANYWAY && is_lasting(rc))))
		return rc;
	else if (!s->detached)
		stream_detach(s, rc);
	if (rc < 0)
		set->stats.unrecorded++;
	return 0;
}

static int reserve(struct streams *set)
{
	int rc = waitings_reserve(&set->writing);

	if (rc == 0)
		rc = waitings_reserve(&set->syncing);
	return rc < 0 ? rc : waitings_reserve(&set->finished);
}

static int append(struct stream *s, struct msg *msg, stream_done_fn done, void *arg, enum how how)
{
	struct streams *set = s->set;
	uint64_t lsn = 0;
	int rc;

	assert(msg->seq == s->next);
	rc = reserve(set);
	if (rc == 0)
		rc = ring_push(&s->ring, msg);
	if (rc < 0)
		return rc;
	if (s->detached)
		stream_reattach(s);
	rc = stream_record(s, msg, done, how, &lsn);
	if (rc < 0) {
		s->ring.n--; /* the newest: back out */
		(void)msg_unref(msg);
		return rc;
	}
	/* In memory alone, but behind what is still being written. */
	stream_took(s, msg, lsn || s->written == s->next ? lsn : set->last_lsn, how == RELAXED);
	if (how == ANYWAY && !lsn && s->record && set->journal)
		return 1;
	if (done)
		wait_done(set, how == RELAXED ? 0 : lsn, done, arg);
	return 0;
}

int stream_append(struct stream *s, struct msg *msg, stream_done_fn done, void *arg)
{
	return append(s, msg, done, arg, DURABLE);
}

int stream_append_anyway(struct stream *s, struct msg *msg, stream_done_fn done, void *arg)
{
	return append(s, msg, done, arg, ANYWAY);
}

int stream_append_relaxed(struct stream *s, struct msg *msg, stream_done_fn done, void *arg)
{
	return append(s, msg, done, arg, RELAXED);
}
