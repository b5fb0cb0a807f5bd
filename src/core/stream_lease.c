/* SPDX-License-Identifier: MIT */
/*
 * Where cursors and leases meet.
 *
 * A leased cursor writes each message that it hands out into the table before anybody can send it,
 * says there when it is settled, and asks there, of messages that an earlier run (or cursor) left
 * behind, what became of them.
 *
 * A settled message needs its lease until a restart would not find the message any more: when the
 * mark that trims it has been written. Marks are put together with other records, or 20 ms later,
 * so a lease that the cursor's floor has passed waits in two queues: until the mark is put
 * (`marking`; it takes the log's newest number then), and until that is written (`writing`). While
 * it waits it holds its stream, so that this is not forgotten before.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "core/core_internal.h"
#include "core/lease.h"
#include "journal/journal.h"

/* Leases looked at in vain, by one report of the journal. */
enum { LOOKS = 32 };

struct passed_lease {
	struct stream *stream; /* a reference */
	uint64_t lsn;
	uint32_t next;
};

static void push(struct lease_book *book, struct lease_queue *q, uint32_t id)
{
	book->passed[id].next = 0;
	if (q->last)
		book->passed[q->last].next = id;
	else
		q->first = id;
	q->last = id;
}

static uint32_t pop(const struct lease_book *book, struct lease_queue *q)
{
	uint32_t id = q->first;

	q->first = book->passed[id].next;
	if (!q->first)
		q->last = 0;
	return id;
}

static struct lease_book *book_of(const struct cursor *c)
{
	const struct stream *s = c->stream;

	/* What is in memory alone no restart brings back. */
	if (!(c->flags & CURSOR_LEASED) || !s->set->leases.table || !s->js || s->detached)
		return NULL;
	return &s->set->leases;
}

bool cursor_lease(struct cursor *c, struct cursor_slot *slot)
{
	struct lease_book *book = book_of(c);
	enum lease_state state;
	unsigned returns;

	if (!book)
		return true;
	if (slot->lease) {
		lease_hold(book->table, slot->lease, slot->returns);
		return true;
	}
	const struct lease_key key = { .stream = c->lease_stream,
				       .seq = slot->msg->seq,
				       .wall_ns = slot->msg->wall_ns };
	slot->lease = lease_recall(book->table, &key, &state, &returns);
	if (!slot->lease) {
		slot->lease = lease_take(book->table, &key, slot->returns);
		return true;
	}
	if (state == LEASE_SETTLED)
		return false;
	slot->returns = returns < UCHAR_MAX ? (unsigned char)(returns + 1) : UCHAR_MAX;
	lease_hold(book->table, slot->lease, slot->returns);
	return true;
}

void cursor_lease_settled(struct cursor *c, const struct cursor_slot *slot)
{
	if (slot->lease)
		lease_settle(c->stream->set->leases.table, slot->lease);
}

void cursor_lease_aside(struct cursor *c, struct cursor_slot *slot)
{
	struct leases *table = c->stream->set->leases.table;

	if (!slot->lease)
		return;
	if (slot->returns) {
		lease_hold(table, slot->lease,
			   slot->returns - 1u); /* one more when it is recalled */
	} else {
		lease_free(table, slot->lease);
		slot->lease = 0;
	}
}

void cursor_lease_passed(struct cursor *c, struct cursor_slot *slot)
{
	struct lease_book *book = &c->stream->set->leases;

	if (!slot->lease)
		return;
	book->passed[slot->lease].stream = stream_ref(c->stream);
	push(book, &book->marking, slot->lease);
	slot->lease = 0;
}

void cursor_lease_left(struct cursor *c, const struct cursor_slot *slot)
{
	if (slot->lease)
		lease_leave(c->stream->set->leases.table, slot->lease);
}

void streams_leases_written(struct streams *set, uint64_t written)
{
	struct lease_book *book = &set->leases;

	for (int looks = LOOKS; looks && book->marking.first;) {
		uint32_t id = pop(book, &book->marking);
		struct passed_lease *p = &book->passed[id];

		if (jstream_is_trimmed(p->stream->js, lease_seq(book->table, id), &p->lsn)) {
			push(book, &book->writing, id);
		} else {
			push(book, &book->marking, id);
			looks--;
		}
	}
	while (book->writing.first && book->passed[book->writing.first].lsn <= written) {
		uint32_t id = pop(book, &book->writing);

		lease_free(book->table, id);
		(void)stream_unref(book->passed[id].stream);
	}
}

void streams_leases_stats(const struct streams *set, struct stream_stats *ret)
{
	struct leases_stats stats;

	if (!set->leases.table)
		return;
	leases_stats(set->leases.table, &stats);
	ret->leases = stats.used;
	ret->unleased = stats.refused;
}

/* The streams that there are, by the names that leases have for them: an open hash table. */
struct known {
	struct known_stream {
		uint64_t stream, first, next;
	} * at;
	size_t mask;
};

static bool is_wanted(void *arg, const struct lease_key *key)
{
	const struct known *known = arg;
	const struct known_stream *at;

	for (size_t i = key->stream & known->mask;; i = (i + 1) & known->mask) {
		at = &known->at[i];
		if (!at->next)
			return false;
		if (at->stream == key->stream && key->seq >= at->first && key->seq < at->next)
			return true;
	}
}

static void add_known(struct known *known, const struct stream *s)
{
	uint64_t stream = lease_stream(s->node.key);
	size_t i = stream & known->mask;

	while (known->at[i].next)
		i = (i + 1) & known->mask;
	known->at[i] = (struct known_stream){ stream, s->first, s->next };
}

/* What is settled and trimmed, or of streams that are no more, would fill the table in the end. */
static int sweep(struct streams *set, struct leases *leases)
{
	struct leases_stats stats;
	struct known known = { .mask = 1 };

	leases_stats(leases, &stats);
	if (!stats.left)
		return 0;
	while (known.mask < 2 * set->by_name.count)
		known.mask = known.mask * 2 + 1;
	known.at = calloc(known.mask + 1, sizeof(*known.at));
	if (!known.at)
		return -ENOMEM;
	map_for_each (it, &set->by_name)
		add_known(&known, container_of(it, struct stream, node));
	leases_sweep(leases, is_wanted, &known);
	free(known.at);
	return 0;
}

int streams_set_leases(struct streams *set, struct leases *leases)
{
	int rc = sweep(set, leases);

	if (rc < 0)
		return rc;
	set->leases.passed = calloc(LEASES_MAX + 1, sizeof(*set->leases.passed));
	if (!set->leases.passed)
		return -ENOMEM;
	set->leases.table = leases;
	return 0;
}
