/* SPDX-License-Identifier: MIT */
/*
 * How far one reader of a stream has come.
 *
 * Messages are taken in order and settled in any order; what is given back is taken again first,
 * in its old order. Everything below `floor` is settled. A required cursor holds the stream's
 * messages until it has passed them; others (tail) never do, and skip what was trimmed.
 *
 *   floor            next
 *     v                v
 *     [ a . a . r . s  )  not taken yet ...      a = settled, r = given back, . = in flight,
 *                                                s = set aside
 */
#ifndef VOXBUS_CORE_CURSOR_H
#define VOXBUS_CORE_CURSOR_H

#include <stdbool.h>

#include "core/stream.h"

struct cursor;

enum {
	CURSOR_REQUIRED = 1,
	/*
	 * What is taken and settled is known after kill -9, too (lease.h), if the streams have leases
	 * and the stream is recorded: of what was taken cursor_returns counts that, what was settled
	 * does not come again. One such cursor a stream.
	 */
	CURSOR_LEASED = 2,
};

/*
 * Starts at the oldest message kept. window: how many messages may be in flight; 16 MiB of them fill
 * it, too. on_ready comes in a later turn when there is something to take at first, whenever
 * cursor_take may give something again after it gave nothing, and when others emptied the stream.
 */
int cursor_create(struct stream *stream, unsigned flags, size_t window, void (*on_ready)(void *arg),
		  void *arg, struct cursor **ret);
/* What is in flight counts as given back. NULL is fine. */
struct cursor *cursor_destroy(struct cursor *cursor);
/*
 * The next message that has not expired, with a reference: 1 and *ret, or 0 (nothing yet, the window is full, or the
 * disk is being read: on_ready follows in each case).
 */
int cursor_take(struct cursor *cursor, struct msg **ret);
/*
 * done = true: settled for good; false: given back, to be taken again, if
 * it has not reached its age. A number not in flight is ignored (a late answer after cursor_rewind).
 */
void cursor_settle(struct cursor *cursor, uint64_t seq, bool done);
/*
 * Sets a message in flight aside: it keeps its place, holds up nobody behind it, and does not count
 * as given back. Who did so takes it again by its number: true, or false when it is not aside.
 */
void cursor_set_aside(struct cursor *cursor, uint64_t seq);
bool cursor_take_aside(struct cursor *cursor, uint64_t seq);
/* Gives back everything that is in flight. */
void cursor_rewind(struct cursor *cursor);
uint64_t cursor_floor(const struct cursor *cursor);
/* Whether that number was taken and settled (or skipped). */
bool cursor_has_settled(const struct cursor *cursor, uint64_t seq);
/* Whether somebody has it, or had it for good: not so if it waits, was given back or is set aside. */
bool cursor_has_taken(const struct cursor *cursor, uint64_t seq);
/* How often the message in flight was given back before. */
unsigned cursor_returns(const struct cursor *cursor, uint64_t seq);
/* Messages visible and not settled, those in flight included. */
uint64_t cursor_lag(const struct cursor *cursor);
/* Taken and not settled, those set aside included. */
size_t cursor_in_flight(const struct cursor *cursor);
/* Those, and what was given back. */
size_t cursor_holds(const struct cursor *cursor);

#endif
