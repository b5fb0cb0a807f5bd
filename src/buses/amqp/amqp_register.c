/* SPDX-License-Identifier: MIT */
/*
 * The register: a stream of our own with a message for each call that has queues at the broker, so
 * that a restart knows whose queues are to be deleted.
 *
 * A call is appended when it gets its queues, and settled when they are gone. What a restart finds
 * unsettled is a call of the earlier run: either the core asks us to listen to it again, or it is over.
 *
 * A stream is trimmed at its oldest unsettled message, and a call may last for a week: when it
 * holds up many that are settled, it is appended again and the old entry settled. So a restart finds at
 * most about twice as many as there are.
 */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "buses/amqp/amqp_queue.h"
#include "core/hub.h"

/* No application, and so no topic, may have such a name. */
#define NAME "%s/:calls"
enum { WINDOW = 1 << 17, NAME_SIZE = 128, HELD_UP = 1024 };

static int append(struct amqp_bus *bus, const struct amqp_dialog *d)
{
	struct msg init = { .kind = MSG_DOCUMENT,
			    .seq = stream_next(bus->calls),
			    .wall_ns = clock_wall_ns(),
			    .topic = STR(":calls"),
			    .dialog = amqp_dialog_id(d) };
	auto_msg struct msg *m = msg_create(&init);

	return m ? stream_append(bus->calls, m, NULL, NULL) : -ENOMEM;
}

void amqp_register_add(struct amqp_dialog *d)
{
	/* Without memory a restart does not know it: its queues stay if we are killed. */
	if (!d->registered && d->bus->calls)
		d->registered = append(d->bus, d) == 0;
}

static void take(struct amqp_bus *bus, const struct msg *m)
{
	struct amqp_dialog *d = amqp_dialog_of(bus, m->dialog);

	if (!d) {
		cursor_settle(bus->registered, m->seq, true);
		return;
	}
	if (d->entry)
		cursor_settle(bus->registered, d->entry, true);
	d->entry = m->seq;
	d->registered = true;
	if (bus->phase == AMQP_READY && !d->live)
		amqp_sweep_begin(d);
}

static void on_ready(void *arg)
{
	struct amqp_bus *bus = arg;
	struct msg *m;

	while (cursor_take(bus->registered, &m) > 0) {
		take(bus, m);
		(void)msg_unref(m);
	}
}

static struct amqp_dialog *dialog_of_entry(const struct list *dialogs, uint64_t entry)
{
	list_for_each (it, dialogs) {
		struct amqp_dialog *d = container_of(it, struct amqp_dialog, link);

		if (d->entry == entry)
			return d;
	}
	return NULL;
}

static void renew_oldest(struct amqp_bus *bus)
{
	uint64_t oldest = cursor_floor(bus->registered);
	struct amqp_dialog *d;

	if (stream_next(bus->calls) - oldest <= 2 * cursor_in_flight(bus->registered) + HELD_UP)
		return;
	d = dialog_of_entry(&bus->dialogs, oldest);
	if (!d)
		d = dialog_of_entry(&bus->over, oldest);
	if (d)
		(void)append(bus, d); /* when it comes, the old one is settled */
}

void amqp_register_done(struct amqp_dialog *d)
{
	struct amqp_bus *bus = d->bus;

	if (!bus->registered || !d->entry)
		return;
	cursor_settle(bus->registered, d->entry, true);
	d->entry = 0;
	renew_oldest(bus);
}

int amqp_register_start(struct amqp_bus *bus)
{
	char name[NAME_SIZE];

	(void)snprintf(name, sizeof(name), NAME, bus->env.name);
	bus->calls = stream_open(hub_streams(bus->env.hub), str_from(name), STREAM_RECORD);
	if (!bus->calls)
		return -ENOMEM;
	return cursor_create(bus->calls, CURSOR_REQUIRED, WINDOW, on_ready, bus, &bus->registered);
}

void amqp_register_stop(struct amqp_bus *bus)
{
	bus->registered = cursor_destroy(bus->registered);
	bus->calls = stream_unref(bus->calls);
}
