/* SPDX-License-Identifier: MIT */
/*
 * Events of a call that stay after they were delivered, so that they can be replayed.
 *
 * A stream is trimmed behind its slowest required cursor, so one that never moves keeps it, in the
 * journal, without a copy. Then the beginning of the stream no longer tells after a restart how far
 * the bus has come; so a number for that stands in the dialog's state, written once a second at most. What was
 * delivered after it comes again after a kill, with the same `seq`.
 * Readers of a pull bus have cursors of their own whose leases are given back by trimming: there
 * nothing is kept.
 */
#include "base/clock.h"
#include "core/hub_internal.h"

enum { NOTE_MS = 1000 };

/* It takes nothing, whatever there is. */
static void on_ready(void *arg)
{
	(void)arg;
}

int keep_begin(struct dialog *d)
{
	struct hub *hub = d->hub;

	if (!d->application->keep_ms)
		return 0;
	(void)timer_start(&hub->keep_note, NOTE_MS);
	return cursor_create(d->events, CURSOR_REQUIRED, 1, on_ready, NULL, &d->keep.cursor);
}

void keep_fini(struct dialog *d)
{
	d->keep.cursor = cursor_destroy(d->keep.cursor);
}

void keep_recovered(struct dialog *d, uint64_t closed_ns, uint64_t sent, bool closed)
{
	d->keep.closed_ns = closed_ns;
	d->keep.saved = sent;
	if (!sent || !d->out_events)
		return;
	if (!d->keep.cursor)
		stream_trim(d->events, sent); /* it was kept until the configuration changed */
	else if (closed && sent >= stream_next(d->events))
		d->out_events = outlet_destroy(d->out_events);
	else
		d->out_events->skip_below = sent;
}

void keep_closed(struct dialog *d)
{
	uint64_t now = clock_wall_ns(), keep_ms = d->application->keep_ms, age_ms = 0;

	if (!d->keep.closed_ns)
		d->keep.closed_ns = now;
	if (now > d->keep.closed_ns)
		age_ms = (now - d->keep.closed_ns) / 1000000;
	d->keep.until_ms = loop_now(d->hub->opt.loop) + (keep_ms > age_ms ? keep_ms - age_ms : 0);
}

uint64_t keep_left(const struct dialog *d)
{
	uint64_t now = loop_now(d->hub->opt.loop);

	return d->keep.cursor && d->keep.until_ms > now ? d->keep.until_ms - now : 0;
}

uint64_t keep_sent(const struct dialog *d)
{
	uint64_t floor;

	if (!d->keep.cursor)
		return 0;
	if (!d->out_events)
		return stream_next(d->events);
	floor = cursor_floor(d->out_events->cursor);
	return floor > d->out_events->skip_below ? floor : d->out_events->skip_below;
}

void keep_note(void *arg)
{
	struct hub *hub = arg;
	bool any = false;

	map_for_each (it, &hub->dialogs) {
		struct dialog *d = container_of(it, struct dialog, node);

		if (!d->keep.cursor)
			continue;
		any = true;
		if (keep_sent(d) != d->keep.saved)
			dialog_changed(d);
	}
	if (any)
		(void)timer_start(&hub->keep_note, NOTE_MS);
}
