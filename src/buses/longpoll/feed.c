/* SPDX-License-Identifier: MIT */
/*
 * What all feeds do.
 *
 * A feed takes a message, lends it (loan.c), hands it to its carrier, and looks now and then how much
 * of what was sent has arrived: after 25 ms, then less and less often, as long as something is
 * unacknowledged. The end of what was sent at one look (`mark`) is what later looks wait for, so that
 * a connection that is never quiet makes progress, too.
 *
 * Bounds: a reader that is behind gets nothing until it has drained; one that acknowledges nothing for
 * 30 s is cut. What it had not got goes back to the queue.
 */
#include "buses/longpoll/feed.h"

#include <errno.h>

#include "buses/longpoll/item.h"
#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/poll_params.h"

enum {
	AHEAD_MAX = 256 * 1024, /* bytes for a slow reader; above it lies one message */
	TURN_MAX = 64,          /* messages at a time for a feed that waits alone */
	GRACE_MS = 2000,        /* who won't wait still waits for the disk */
	BEAT_MS = 15000,
	LOOK_MIN_MS = 25,
	LOOK_MAX_MS = 1000,
	STUCK_MS = 30000,
};

static struct longpoll *bus_of(const struct feed *feed)
{
	return queue_bus(feed->queue);
}

static bool has_room(const struct feed *feed)
{
	return feed->ops->pending(feed) < AHEAD_MAX &&
	       !(feed->batch && feed->sent_bytes >= ANSWER_MAX);
}

static void stop_waiting(struct feed *feed)
{
	if (feed->waiting)
		queue_leave(&feed->waiter);
	feed->waiting = false;
}

static void begin_end(struct feed *feed)
{
	feed->ending = true;
	stop_waiting(feed);
	timer_stop(&feed->end);
	timer_stop(&feed->beat);
	timer_stop(&feed->look);
}

void feed_cut(struct feed *feed)
{
	begin_end(feed);
	feed->ops->cut(feed);
}

void feed_end(struct feed *feed, enum feed_end why)
{
	if (feed->ending)
		return;
	begin_end(feed);
	feed->ops->finish(feed, why);
}

/* Something is on its way. */
static void look_soon(struct feed *feed)
{
	uint64_t now = loop_now(feed->look.loop);

	feed->look_ms = LOOK_MIN_MS;
	if (!timer_running(&feed->look))
		feed->acked_at_ms = now;
	if (!timer_running(&feed->look) || feed->look.due_ms > now + LOOK_MIN_MS)
		(void)timer_start(&feed->look, LOOK_MIN_MS);
}

/* One message: true, or false when there is none, or when it could not be sent and this is the end. */
static bool deliver(struct feed *feed)
{
	struct item item;

	(void)loans_next_again(feed->loans); /* the next that is taken, then */
	if (!item_take(feed->queue, STR(""), &item))
		return false;
	size_t bytes = buf_len(&bus_of(feed)->scratch);
	int rc = loans_add(feed->loans, &item, bytes);

	if (rc < 0)
		queue_settle(feed->queue, item.seq, false);
	else
		rc = feed->ops->send(feed, &item);
	(void)msg_unref(item.msg);
	if (rc < 0) {
		feed_cut(feed);
		return false;
	}
	if (feed->sent++ == 0 && feed->batch && feed->linger_ms)
		(void)timer_start(&feed->end, feed->linger_ms);
	feed->sent_bytes += bytes;
	feed->left--;
	feed->quiet = false;
	look_soon(feed);
	return true;
}

/* Up to n messages. */
static enum served take(struct feed *feed, uint64_t n)
{
	uint64_t got = 0;

	if (n > feed->left)
		n = feed->left;
	while (got < n && has_room(feed) && deliver(feed))
		got++;
	if (feed->ending)
		return SERVED_DONE;
	if (feed->left == 0 ||
	    (feed->batch && feed->sent && (!feed->linger_ms || feed->sent_bytes >= ANSWER_MAX))) {
		feed_end(feed, FEED_COMPLETE);
		return SERVED_DONE;
	}
	if (!has_room(feed)) {
		stop_waiting(feed);
		return SERVED_DONE;
	}
	return got ? SERVED_AGAIN : SERVED_NOTHING;
}

static enum served feed_serve(struct waiter *waiter)
{
	struct feed *feed = container_of(waiter, struct feed, waiter);

	if (feed->batch)
		return take(feed, feed->left);
	return take(feed, queue_waits_alone(waiter) ? TURN_MAX : 1);
}

static void feed_stopped(struct waiter *waiter)
{
	feed_end(container_of(waiter, struct feed, waiter), FEED_STOPPING);
}

static const struct waiter_ops feed_waiter = { .serve = feed_serve, .end = feed_stopped };

static void wait_for_more(struct feed *feed)
{
	feed->waiter.ops = &feed_waiter;
	feed->waiting = true;
	queue_wait(feed->queue, &feed->waiter);
	/* It may have stopped taking although there was more. */
	queue_wake(feed->queue);
}

static void note_arrivals(struct feed *feed, const struct conn_progress *p)
{
	if (p->all) {
		loans_arrived(feed->loans, loans_count(feed->loans));
		feed->marked = false;
		return;
	}
	if (feed->marked && p->acked >= feed->mark) {
		loans_arrived(feed->loans, feed->mark_count);
		feed->marked = false;
	}
	if (!feed->marked && !p->pending) {
		feed->mark = p->written;
		feed->mark_count = loans_count(feed->loans);
		feed->marked = true;
	}
}

static bool is_stuck(struct feed *feed, const struct conn_progress *p)
{
	uint64_t now = loop_now(feed->look.loop);

	if (p->all || p->acked != feed->acked) {
		feed->acked = p->acked;
		feed->acked_at_ms = now;
	}
	return now - feed->acked_at_ms >= STUCK_MS;
}

static void on_look(void *arg)
{
	struct feed *feed = arg;
	struct conn_progress p;

	if (!feed->ops->progress(feed, &p))
		return; /* its end is on the way */
	note_arrivals(feed, &p);
	if (is_stuck(feed, &p)) {
		feed_cut(feed);
		return;
	}
	if (!feed->waiting && has_room(feed))
		wait_for_more(feed);
	if (p.all && feed->waiting)
		return;
	feed->look_ms = feed->waiting ? feed->look_ms * 2 : LOOK_MIN_MS;
	if (feed->look_ms > LOOK_MAX_MS)
		feed->look_ms = LOOK_MAX_MS;
	(void)timer_start(&feed->look, feed->look_ms);
}

/* Also notices, within its time, that the session has ended or was revoked. */
static void on_beat(void *arg)
{
	struct feed *feed = arg;

	if (feed->session[0] &&
	    !session_find(bus_of(feed)->env.accounts, str_from(feed->session))) {
		feed_end(feed, FEED_SESSION);
		return;
	}
	if (feed->quiet && feed->ops->beat) {
		feed->ops->beat(feed);
		look_soon(feed);
	}
	feed->quiet = true;
	(void)timer_start(&feed->beat, BEAT_MS);
}

static void on_end(void *arg)
{
	feed_end(arg, FEED_COMPLETE);
}

static void on_replaced(void *arg)
{
	feed_end(arg, FEED_REPLACED);
}

/* A poll finishes normally when its session ends meanwhile; a feed might never. */
static void keep_session(struct feed *feed, const struct http_request *request)
{
	struct str token = access_session(request, feed->session, sizeof(feed->session));

	if (feed->batch || token.n >= sizeof(feed->session))
		token.n = 0;
	if (token.n)
		memmove(feed->session, token.p, token.n);
	feed->session[token.n] = 0;
}

int feed_init(struct feed *feed, enum loan_terms terms, const struct poll_params *params,
	      const struct http_request *request)
{
	struct longpoll *bus = bus_of(feed);

	feed->loans = loans_create(feed->queue, terms, params->visibility_ms, on_replaced, feed);
	if (!feed->loans)
		return -ENOMEM;
	feed->left = params->has_max || feed->batch ? params->max : UINT64_MAX;
	feed->linger_ms = params->linger_ms;
	keep_session(feed, request);
	timer_init(&feed->end, bus->env.loop, on_end, feed);
	timer_init(&feed->beat, bus->env.loop, on_beat, feed);
	timer_init(&feed->look, bus->env.loop, on_look, feed);
	list_add_tail(&bus->feeds, &feed->link);
	queue_hold(feed->queue);
	return 0;
}

void feed_resume(struct feed *feed, struct str last_id)
{
	loans_resume(feed->loans, last_id);
}

static int set_timers(struct feed *feed, uint64_t timeout_ms)
{
	int rc = timer_start(&feed->beat, BEAT_MS);

	if (rc == 0 && timeout_ms != FEED_ENDLESS)
		rc = timer_start(&feed->end, timeout_ms ? timeout_ms : GRACE_MS);
	return rc;
}

void feed_start(struct feed *feed, uint64_t timeout_ms)
{
	enum served served = SERVED_NOTHING;

	queue_look_behind(feed->queue);
	if (set_timers(feed, timeout_ms) < 0) {
		feed_cut(feed);
		return;
	}
	while (served != SERVED_DONE && loans_have_again(feed->loans))
		served = take(feed, 1);
	/* Those who wait longer come first. */
	if (served != SERVED_DONE && !queue_has_waiters(feed->queue))
		served = take(feed, TURN_MAX);
	if (served == SERVED_DONE)
		return;
	if (timeout_ms || queue_is_held_up(feed->queue))
		wait_for_more(feed);
	else
		feed_end(feed, FEED_COMPLETE);
}

void feed_over(struct feed *feed, enum feed_left left)
{
	struct queue *queue = feed->queue;

	begin_end(feed);
	if (left != FEED_BROKEN)
		loans_arrived(feed->loans, loans_count(feed->loans));
	if (left == FEED_DONE)
		loans_conclude(feed->loans);
	loans_leave(feed->loans);
	explicit_bzero(feed->session, sizeof(feed->session));
	list_del(&feed->link);
	feed->ops->free(feed);
	queue_let_go(queue);
}

void feeds_stop(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->feeds)
		feed_end(container_of(it, struct feed, link), FEED_STOPPING);
	loans_close(bus);
}

void feeds_abandon(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->feeds) {
		struct feed *feed = container_of(it, struct feed, link);

		begin_end(feed);
		explicit_bzero(feed->session, sizeof(feed->session));
		list_del(&feed->link);
		feed->ops->free(feed);
	}
}
