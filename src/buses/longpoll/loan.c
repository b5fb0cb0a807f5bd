/* SPDX-License-Identifier: MIT */
/*
 * The loans of a client stand in three lists, and go from one to the next:
 *
 *   again ──given back, taken, sent anew──► sent ──acknowledged by TCP──► arrived ──► settled
 *   (of who came back)                                                          `──► last
 *
 * Each is in order. `last` is the newest that was settled because it had arrived: a client may come
 * back with its id long after. All but those UNTIL_ARRIVED are in the bus's table by queue and id.
 */
#include "buses/longpoll/loan.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "buses/longpoll/bury.h"
#include "buses/longpoll/item.h"
#include "buses/longpoll/longpoll_internal.h"

enum { KEPT_MAX = 1024, KEPT_BYTES_MAX = 1024 * 1024 };

struct loan {
	struct list link;     /* one of its loans' lists */
	struct map_node node; /* longpoll.lent; key is ours; not in it while key.p is NULL */
	struct loans *loans;
	struct msg *msg; /* UNTIL_NAMED: to be buried when it comes back too often */
	uint64_t seq;
	uint64_t since_ms; /* UNTIL_NAMED: when it was sent; else when it arrived */
	uint64_t number;   /* the how manieth of its client */
	size_t bytes;
	char key[];
};

struct loans {
	struct list link; /* longpoll.loans */
	struct queue *queue;
	enum loan_terms terms;
	bool left; /* the client has gone */
	uint64_t visibility_ms, count, left_ms;
	struct list again, sent, arrived; /* struct loan.link */
	struct loan *last;
	size_t kept, kept_bytes; /* of arrived */
	struct timer timer;      /* the next loan that ends by time */
	void (*on_replaced)(void *arg);
	void *arg;
};

enum { KEY_MAX = sizeof(struct queue *) + ITEM_ID_MAX };

/* Queues are told apart by their address: those that have lent something stay where they are. */
static struct str loan_key(char out[KEY_MAX], const struct queue *queue, struct str id)
{
	memcpy(out, &queue, sizeof(queue)); /* NOLINT(bugprone-sizeof-expression) */
	memcpy(out + sizeof(queue), id.p, id.n);
	return str_make(out, sizeof(queue) + id.n);
}

static struct loan *loan_find(const struct queue *queue, struct str id)
{
	char key[KEY_MAX];

	if (!id.n || id.n > ITEM_ID_MAX)
		return NULL;
	struct map_node *node = map_find(&queue_bus(queue)->lent, loan_key(key, queue, id));
	return node ? container_of(node, struct loan, node) : NULL;
}

static struct loan *first_of(const struct list *list)
{
	return list_empty(list) ? NULL : container_of(list->next, struct loan, link);
}

static void loan_free(struct loan *loan)
{
	if (loan->node.key.p)
		map_del(&queue_bus(loan->loans->queue)->lent, &loan->node);
	list_del(&loan->link);
	(void)msg_unref(loan->msg);
	free(loan);
}

/* Out of the lists, whichever it stands in. */
static void loan_take_out(struct loan *loan)
{
	struct loans *loans = loan->loans;

	list_del(&loan->link);
	if (loan->since_ms && loans->terms == UNTIL_PROVEN) {
		loans->kept--;
		loans->kept_bytes -= loan->bytes;
	}
}

static void loan_end(struct loan *loan, bool done)
{
	struct queue *queue = loan->loans->queue;

	loan_take_out(loan);
	queue_settle(queue, loan->seq, done);
	queue_bus(queue)->delivered += done;
	loan_free(loan);
}

/* It was not named in its time. */
static void loan_expire(struct loan *loan)
{
	struct queue *queue = loan->loans->queue;

	loan_take_out(loan);
	if (!bury(queue, loan->msg))
		queue_settle(queue, loan->seq, false);
	loan_free(loan);
}

/* Has arrived, and was kept long enough; its id is known as long as no later one takes its place. */
static void loan_prove(struct loan *loan)
{
	struct loans *loans = loan->loans;

	loan_take_out(loan);
	queue_settle(loans->queue, loan->seq, true);
	queue_bus(loans->queue)->delivered++;
	if (loans->last)
		loan_free(loans->last);
	loans->last = loan;
}

static void give_all_back(struct list *list)
{
	list_for_each_safe (it, list)
		loan_end(container_of(it, struct loan, link), false);
}

static bool loans_empty(const struct loans *loans)
{
	return list_empty(&loans->again) && list_empty(&loans->sent) && list_empty(&loans->arrived);
}

static void loans_free(struct loans *loans)
{
	timer_stop(&loans->timer);
	if (loans->last)
		loan_free(loans->last);
	list_del(&loans->link);
	free(loans);
}

/* When the next of them ends by itself; UINT64_MAX: none does. */
static uint64_t next_end(const struct loans *loans)
{
	const struct loan *first = first_of(&loans->arrived);

	if (loans->terms == UNTIL_PROVEN && loans->left)
		return loans->left_ms + loans->visibility_ms;
	if (!first && loans->terms == UNTIL_NAMED)
		first = first_of(&loans->sent);
	return first && loans->terms != UNTIL_ARRIVED ? first->since_ms + loans->visibility_ms
						      : UINT64_MAX;
}

static void set_timer(struct loans *loans)
{
	uint64_t now = loop_now(loans->timer.loop), end = next_end(loans);

	if (end == UINT64_MAX)
		timer_stop(&loans->timer);
	else if (!timer_running(&loans->timer) || loans->timer.due_ms > end)
		(void)timer_start(&loans->timer, end > now ? end - now : 0);
}

static void end_first(struct list *list, uint64_t now)
{
	list_for_each_safe (it, list) {
		struct loan *loan = container_of(it, struct loan, link);
		const struct loans *loans = loan->loans;

		if (now < loan->since_ms + loans->visibility_ms)
			return;
		if (loans->terms == UNTIL_PROVEN)
			loan_prove(loan);
		else
			loan_expire(loan);
		assert(list->next != it); /* which analysers can't see */
	}
}

static void end_in_time(struct loans *loans, uint64_t now)
{
	if (loans->terms == UNTIL_PROVEN && loans->left) {
		give_all_back(&loans->arrived);
		give_all_back(&loans->sent);
		give_all_back(&loans->again);
		return;
	}
	end_first(&loans->arrived, now);
	if (loans->terms == UNTIL_NAMED)
		end_first(&loans->sent, now);
}

static void on_timer(void *arg)
{
	struct loans *loans = arg;
	struct queue *queue = loans->queue;
	uint64_t now = loop_now(loans->timer.loop);

	if (now >= next_end(loans))
		end_in_time(loans, now);
	if (loans->left && loans_empty(loans))
		loans_free(loans);
	else
		set_timer(loans);
	queue_release(queue);
}

struct loans *loans_create(struct queue *queue, enum loan_terms terms, uint64_t visibility_ms,
			   void (*on_replaced)(void *arg), void *arg)
{
	struct loans *loans = calloc(1, sizeof(*loans));

	if (!loans)
		return NULL;
	loans->queue = queue;
	loans->terms = terms;
	loans->visibility_ms = visibility_ms;
	loans->on_replaced = on_replaced;
	loans->arg = arg;
	list_init(&loans->again);
	list_init(&loans->sent);
	list_init(&loans->arrived);
	timer_init(&loans->timer, queue_bus(queue)->env.loop, on_timer, loans);
	list_add_tail(&queue_bus(queue)->loans, &loans->link);
	return loans;
}

/* The same message may be `last` of somebody: the newer loan has the name. */
static int loan_name(struct loan *loan, struct str id)
{
	struct queue *queue = loan->loans->queue;
	struct loan *old = loan_find(queue, id);

	if (old) {
		map_del(&queue_bus(queue)->lent, &old->node);
		old->node.key.p = NULL;
	}
	int rc = map_add(&queue_bus(queue)->lent, &loan->node, loan_key(loan->key, queue, id));
	if (rc < 0)
		loan->node.key.p = NULL;
	return rc;
}

int loans_add(struct loans *loans, const struct item *item, size_t bytes)
{
	struct loan *loan = calloc(1, sizeof(*loan) + sizeof(loans->queue) + item->id.n);

	if (!loan)
		return -ENOMEM;
	loan->loans = loans;
	loan->seq = item->seq;
	loan->bytes = bytes;
	loan->number = ++loans->count;
	list_init(&loan->link);
	if (loans->terms != UNTIL_ARRIVED && loan_name(loan, item->id) < 0) {
		free(loan);
		return -ENOMEM;
	}
	if (loans->terms == UNTIL_NAMED) {
		loan->msg = msg_ref(item->msg);
		loan->since_ms = loop_now(loans->timer.loop);
	}
	list_add_tail(&loans->sent, &loan->link);
	set_timer(loans);
	return 0;
}

uint64_t loans_count(const struct loans *loans)
{
	return loans->count;
}

static bool keeps_too_much(const struct loans *loans)
{
	return loans->terms == UNTIL_PROVEN &&
	       (loans->kept > KEPT_MAX || loans->kept_bytes > KEPT_BYTES_MAX ||
		queue_is_crowded(loans->queue));
}

/* Its turn comes when it has been there for long, or when others need the room. */
static void keep(struct loan *loan)
{
	struct loans *loans = loan->loans;

	list_del(&loan->link);
	list_add_tail(&loans->arrived, &loan->link);
	if (loans->terms == UNTIL_NAMED)
		return;
	loan->since_ms = loop_now(loans->timer.loop);
	loans->kept++;
	loans->kept_bytes += loan->bytes;
	list_for_each_safe (it, &loans->arrived) {
		if (!keeps_too_much(loans))
			return;
		loan_prove(container_of(it, struct loan, link));
	}
}

void loans_arrived(struct loans *loans, uint64_t count)
{
	list_for_each_safe (it, &loans->sent) {
		struct loan *loan = container_of(it, struct loan, link);

		if (loan->number > count)
			break;
		if (loans->terms == UNTIL_ARRIVED)
			loan_end(loan, true);
		else
			keep(loan);
	}
	set_timer(loans);
}

void loans_leave(struct loans *loans)
{
	loans->left = true;
	loans->left_ms = loop_now(loans->timer.loop);
	loans->on_replaced = NULL;
	if (loans->terms != UNTIL_PROVEN)
		give_all_back(&loans->sent);
	if (loans_empty(loans)) {
		loans_free(loans);
		return;
	}
	timer_stop(&loans->timer);
	set_timer(loans);
	if (!timer_running(&loans->timer)) { /* no memory for the timer: nothing is kept */
		end_in_time(loans, UINT64_MAX);
		loans_free(loans);
	}
}

/* Settles what is in the list up to that loan: whether it was there. */
static bool settle_through(struct list *list, const struct loan *last)
{
	list_for_each_safe (it, list) {
		struct loan *loan = container_of(it, struct loan, link);

		if (loan == last) {
			loan_prove(loan);
			return true;
		}
		loan_end(loan, true);
		assert(list->next != it); /* which analysers can't see */
	}
	return false;
}

static void take_over(struct loans *loans, struct list *list)
{
	list_for_each_safe (it, list) {
		struct loan *loan = container_of(it, struct loan, link);

		loan_take_out(loan);
		loan->since_ms = 0;
		loan->loans = loans;
		list_add_tail(&loans->again, &loan->link);
	}
}

void loans_resume(struct loans *loans, struct str last_id)
{
	struct loan *last = loan_find(loans->queue, last_id);

	if (!last || last->loans->terms != UNTIL_PROVEN || last->loans == loans)
		return;
	struct loans *old = last->loans;
	if (last != old->last && !settle_through(&old->arrived, last) &&
	    !settle_through(&old->sent, last))
		(void)settle_through(&old->again, last);
	take_over(loans, &old->arrived);
	take_over(loans, &old->sent);
	take_over(loans, &old->again);
	loans->last = old->last;
	loans->last->loans = loans;
	old->last = NULL;
	if (old->left)
		loans_free(old);
	else
		old->on_replaced(old->arg);
}

bool loans_have_again(const struct loans *loans)
{
	return !list_empty(&loans->again);
}

bool loans_next_again(struct loans *loans)
{
	struct loan *first = first_of(&loans->again);

	if (first)
		loan_end(first, false);
	return first;
}

bool loan_settle(struct queue *queue, struct str id)
{
	struct loan *loan = loan_find(queue, id);

	if (!loan || loan == loan->loans->last)
		return false;
	struct loans *loans = loan->loans;
	loan_end(loan, true);
	if (loans->left && loans_empty(loans))
		loans_free(loans);
	return true;
}

void loans_conclude(struct loans *loans)
{
	list_for_each_safe (it, &loans->arrived)
		if (loans->terms == UNTIL_PROVEN)
			loan_prove(container_of(it, struct loan, link));
}

void loans_close(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->loans) {
		struct loans *loans = container_of(it, struct loans, link);

		loans_conclude(loans);
		if (loans->left && loans_empty(loans))
			loans_free(loans);
	}
}

static void forget_all(struct list *list)
{
	list_for_each_safe (it, list)
		loan_free(container_of(it, struct loan, link));
}

void loans_abandon(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->loans) {
		struct loans *loans = container_of(it, struct loans, link);

		forget_all(&loans->again);
		forget_all(&loans->sent);
		forget_all(&loans->arrived);
		loans_free(loans);
	}
	map_fini(&bus->lent);
}
