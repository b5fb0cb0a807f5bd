/* SPDX-License-Identifier: MIT */
/*
 * The queues of calls that are over.
 *
 *   over --grace--> look --all gone--> wait --sweep--> look again (late declares) --> forgotten
 *                    ^  '-- some are not read, or in use --'      '-- gone --'
 *                    '------ after grace; from the sweep on, after sweep ------'
 *
 * A look deletes what is empty and unused. A client that was slow may declare a queue after it was
 * deleted, since clients declare what they read: so at `queue_sweep` all are looked for once more.
 * After `queue_age_max` they are deleted with what is in them. The same when AMQP_OVER_MAX calls are
 * over and unread: the oldest go then.
 *
 * A call of which a message comes when nobody knows it any more is over, and treated so.
 */
#include "buses/amqp/amqp_link.h"
#include "buses/amqp/amqp_queue.h"

enum { INTERVAL_MIN_MS = 1000, OVER_MAX = 100000, AWAY_MS = 1000 };

static uint64_t age_of(const struct amqp_dialog *d)
{
	return loop_now(d->bus->loop) - d->ended_ms;
}

bool amqp_sweep_is_due(const struct amqp_dialog *d)
{
	const struct amqp_bus *bus = d->bus;

	return d->over && (age_of(d) >= bus->conf->queue_age_max_ms ||
			   (bus->n_over > OVER_MAX && bus->over.next == &d->link));
}

static void look_in(struct amqp_dialog *d, uint64_t ms)
{
	if (timer_start(&d->timer, ms) < 0)
		list_add_tail(&d->bus->timeless, &d->timeless);
}

static void look(struct amqp_dialog *d)
{
	if (d->looking)
		return;
	if (d->bus->phase != AMQP_READY) {
		look_in(d, AWAY_MS);
		return;
	}
	d->swept = age_of(d) >= d->bus->conf->queue_sweep_ms;
	d->looking = AMQP_TOPICS;
	for (size_t i = 0; i < AMQP_TOPICS; i++)
		amqp_op_look(d->queues[i]);
}

static void on_timer(void *arg)
{
	struct amqp_dialog *d = arg;
	struct list *timeless = &d->bus->timeless;

	look(d);
	if (!list_empty(timeless)) {
		struct amqp_dialog *next =
			container_of(timeless->next, struct amqp_dialog, timeless);

		list_del(&next->timeless);
		look(next);
	}
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When to look again at what is not gone. */
static uint64_t interval_of(const struct amqp_dialog *d)
{
	const struct amqp_conf *conf = d->bus->conf;
	uint64_t age = age_of(d), ms = d->swept ? conf->queue_sweep_ms : conf->queue_grace_ms;

	if (ms < INTERVAL_MIN_MS)
		ms = INTERVAL_MIN_MS;
	if (age < conf->queue_sweep_ms)
		ms = lower(ms, conf->queue_sweep_ms - age);
	if (age < conf->queue_age_max_ms)
		ms = lower(ms, conf->queue_age_max_ms - age);
	return ms;
}

static bool all_gone(const struct amqp_dialog *d)
{
	for (size_t i = 0; i < AMQP_TOPICS; i++)
		if (!d->queues[i]->gone)
			return false;
	return true;
}

void amqp_sweep_looked(struct amqp_queue *q)
{
	struct amqp_dialog *d = q->dialog;

	if (!d->looking || --d->looking)
		return;
	if (!d->over)
		return; /* it lives after all */
	if (!all_gone(d) || amqp_dialog_is_busy(d)) {
		look_in(d, interval_of(d));
	} else if (!d->swept) {
		uint64_t age = age_of(d), sweep = d->bus->conf->queue_sweep_ms;

		look_in(d, age < sweep ? sweep - age : 0);
	} else {
		amqp_register_done(d);
		amqp_dialog_destroy(d);
	}
}

static void evict(struct amqp_bus *bus)
{
	struct amqp_dialog *first = container_of(bus->over.next, struct amqp_dialog, link);

	if (bus->n_over > OVER_MAX)
		look_in(first, 0);
}

void amqp_sweep_begin(struct amqp_dialog *d)
{
	struct amqp_bus *bus = d->bus;

	d->live = false;
	if (d->over)
		return;
	d->over = true;
	d->swept = false;
	d->ended_ms = loop_now(bus->loop);
	list_del(&d->link);
	list_add_tail(&bus->over, &d->link);
	bus->n_over++;
	look_in(d, bus->conf->queue_grace_ms);
	evict(bus);
}

void amqp_sweep_cancel(struct amqp_dialog *d)
{
	timer_stop(&d->timer);
	list_del(&d->timeless);
	if (!d->over)
		return;
	d->over = false;
	d->bus->n_over--;
	list_del(&d->link);
	list_add_tail(&d->bus->dialogs, &d->link);
}

void amqp_sweep_others(struct amqp_bus *bus)
{
	list_for_each_safe (it, &bus->dialogs) {
		struct amqp_dialog *d = container_of(it, struct amqp_dialog, link);

		if (!d->live)
			amqp_sweep_begin(d);
	}
}

void amqp_sweep_lost(struct amqp_bus *bus)
{
	list_for_each (it, &bus->over) {
		struct amqp_dialog *d = container_of(it, struct amqp_dialog, link);

		if (!d->looking)
			continue;
		d->looking = 0;
		look_in(d, AWAY_MS);
	}
	list_for_each (it, &bus->dialogs)
		container_of(it, struct amqp_dialog, link)->looking = 0;
}

void amqp_sweep_prepare(struct amqp_dialog *d)
{
	timer_init(&d->timer, d->bus->loop, on_timer, d);
}

void amqp_sweep_init(struct amqp_bus *bus)
{
	list_init(&bus->over);
	list_init(&bus->timeless);
}

void amqp_sweep_stop(struct amqp_bus *bus)
{
	list_for_each (it, &bus->over)
		timer_stop(&container_of(it, struct amqp_dialog, link)->timer);
}
