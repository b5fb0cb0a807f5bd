/* SPDX-License-Identifier: MIT */
/* What is published when, as the server tells whether anybody listens: no library, no server, the test's clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "buses/nats/nats_outbox.h"

enum { HOLD_MS = 5000 };

struct world {
	struct loop *loop;
	struct nats_outbox *outbox;
	struct nats_batch batch;
	bool inside; /* a call of the hub's: nothing may be settled */
	unsigned ready, writable;
	size_t n_settled;
	uint64_t last_settled, next_seq;
};

static void on_settle(void *arg, const struct msg *msg, int result)
{
	struct world *w = arg;

	assert_false(w->inside);
	assert_int_equal(result, 0);
	w->n_settled++;
	w->last_settled = msg->seq;
}

static void on_writable(void *arg)
{
	struct world *w = arg;

	assert_false(w->inside);
	w->writable++;
}

static void on_ready(void *arg)
{
	((struct world *)arg)->ready++;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct nats_outbox_options options = { .node = STR("node"),
					       .hold_ms = HOLD_MS,
					       .settle = on_settle,
					       .writable = on_writable,
					       .ready = on_ready,
					       .arg = w };

	assert_non_null(w);
	*state = w;
	assert_int_equal(loop_create_manual(&w->loop), 0);
	options.loop = w->loop;
	assert_int_equal(nats_batch_init(&w->batch), 0);
	assert_int_equal(nats_outbox_create(&options, &w->outbox), 0);
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	w->outbox = nats_outbox_destroy(w->outbox);
	nats_batch_fini(&w->batch);
	w->loop = loop_destroy(w->loop);
	free(w);
	return 0;
}

static int send_sized(struct world *w, enum msg_kind kind, const char *dialog, struct str payload)
{
	char topic[64] = "";
	struct msg init = { .kind = kind,
			    .seq = ++w->next_seq,
			    .application = STR("app"),
			    .dialog = str_from(dialog),
			    .type = STR("Dial") };
	struct msg *m;
	int rc;

	if (kind == MSG_ANNOUNCE)
		(void)snprintf(topic, sizeof(topic), "app");
	else
		(void)snprintf(topic, sizeof(topic), "%s_%s",
			       kind == MSG_EVENT ? "events" : "responses", dialog);
	init.topic = str_from(topic);
	init.payload = blob_create(payload);
	m = msg_create(&init);
	(void)blob_unref(init.payload);
	assert_non_null(m);
	w->inside = true;
	rc = nats_outbox_send(w->outbox, m);
	w->inside = false;
	(void)msg_unref(m);
	return rc;
}

static int send_one(struct world *w, enum msg_kind kind, const char *dialog)
{
	return send_sized(w, kind, dialog, STR("{}"));
}

static void send_n(struct world *w, enum msg_kind kind, const char *dialog, size_t n)
{
	while (n--)
		assert_int_equal(send_one(w, kind, dialog), 0);
}

/* How many entries the next batch has. */
static size_t fill(struct world *w)
{
	nats_batch_clear(&w->batch);
	nats_outbox_trim(w->outbox);
	nats_outbox_fill(w->outbox, &w->batch, 1000000);
	return w->batch.n;
}

static void confirm(struct world *w)
{
	nats_outbox_confirmed(w->outbox, &w->batch);
}

/* Nobody listens to any of the batch. */
static void confirm_unheard(struct world *w)
{
	for (size_t i = 0; i < w->batch.n; i++)
		if (w->batch.entries[i].kind == NATS_PROBE)
			w->batch.entries[i].result = -EHOSTUNREACH;
	confirm(w);
}

static struct nats_outbox_stats stats(struct world *w)
{
	struct nats_outbox_stats s;

	nats_outbox_stats(w->outbox, &s);
	return s;
}

/* ---- tests */

static void first_event_asks_alone_and_the_others_follow_plainly(void **state)
{
	struct world *w = *state;

	assert_int_equal(nats_outbox_opened(w->outbox, STR("d")), 0);
	send_n(w, MSG_EVENT, "d", 10);
	assert_int_equal(fill(w), 1);
	assert_int_equal(w->batch.entries[0].kind, NATS_PROBE);
	assert_true(str_eq(nats_batch_subject(&w->batch, &w->batch.entries[0]), STR("events_d")));
	assert_int_equal(stats(w).held, 9);
	confirm(w);
	assert_int_equal(w->n_settled, 1);
	assert_int_equal(fill(w), 9);
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(w->batch.entries[i].kind, NATS_PUB);
	confirm(w);
	assert_int_equal(w->n_settled, 10);
	assert_int_equal(w->last_settled, 10);
	assert_int_equal(stats(w).in_flight, 0);
	assert_int_equal(stats(w).held, 0);
}

static void unheard_topic_is_tried_again_more_and_more_slowly(void **state)
{
	struct world *w = *state;
	uint64_t waits[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000 };

	assert_int_equal(nats_outbox_opened(w->outbox, STR("d")), 0);
	send_n(w, MSG_EVENT, "d", 3);
	for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
		assert_int_equal(fill(w), 1);
		confirm_unheard(w);
		assert_int_equal(fill(w), 0);
		if (waits[i] > 1) {
			loop_test_advance(w->loop, waits[i] - 1);
			assert_int_equal(fill(w), 0);
			loop_test_advance(w->loop, 1);
		} else {
			loop_test_advance(w->loop, 1);
		}
	}
	assert_int_equal(w->n_settled, 0);
	assert_int_equal(stats(w).no_responders, 12);
	assert_int_equal(fill(w), 1);
	confirm(w);
	assert_int_equal(fill(w), 2);
	confirm(w);
	assert_int_equal(w->last_settled, 3);
}

static void sign_of_life_ends_the_wait(void **state)
{
	struct world *w = *state;

	assert_int_equal(nats_outbox_opened(w->outbox, STR("d")), 0);
	send_n(w, MSG_EVENT, "d", 2);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(fill(w), 1);
		confirm_unheard(w);
		loop_test_advance(w->loop, 1000);
	}
	assert_int_equal(fill(w), 1);
	confirm_unheard(w);
	assert_int_equal(fill(w), 0);
	nats_outbox_touched(w->outbox, STR("other"));
	assert_int_equal(fill(w), 0);
	nats_outbox_touched(w->outbox, STR("d"));
	assert_int_equal(fill(w), 1);
	confirm(w);
	assert_int_equal(fill(w), 1);
}

static void topics_do_not_wait_for_each_other(void **state)
{
	struct world *w = *state;

	assert_int_equal(nats_outbox_opened(w->outbox, STR("a")), 0);
	assert_int_equal(nats_outbox_opened(w->outbox, STR("b")), 0);
	send_n(w, MSG_EVENT, "a", 2);
	assert_int_equal(fill(w), 1);
	confirm_unheard(w);
	send_n(w, MSG_EVENT, "b", 2);
	send_n(w, MSG_REPLY, "b", 1);
	assert_int_equal(fill(w), 2);
	confirm(w);
	assert_int_equal(fill(w), 1);
	confirm(w);
	assert_int_equal(w->n_settled, 3);
	assert_int_equal(stats(w).held, 2);
}

static void calls_wait_in_order_for_a_worker(void **state)
{
	struct world *w = *state;

	send_n(w, MSG_ANNOUNCE, "x", 5);
	assert_int_equal(fill(w), 1);
	confirm_unheard(w);
	loop_test_advance(w->loop, 10);
	assert_int_equal(fill(w), 1);
	confirm(w);
	assert_int_equal(w->last_settled, 1);
	/* Together, but each with its question. */
	assert_int_equal(fill(w), 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(w->batch.entries[i].kind, NATS_PROBE);
	/* The worker has gone after the second of them. */
	w->batch.entries[2].result = w->batch.entries[3].result = -EHOSTUNREACH;
	send_n(w, MSG_ANNOUNCE, "y", 1);
	confirm(w);
	assert_int_equal(w->last_settled, 3);
	assert_int_equal(fill(w), 0);
	loop_test_advance(w->loop, 10);
	assert_int_equal(fill(w), 1);
	confirm(w);
	assert_int_equal(w->last_settled, 4);
	assert_int_equal(fill(w), 2);
	confirm(w);
	assert_int_equal(w->last_settled, 6);
}

static void ended_call_is_held_for_its_time_and_then_lost(void **state)
{
	struct world *w = *state;

	assert_int_equal(nats_outbox_opened(w->outbox, STR("d")), 0);
	send_n(w, MSG_EVENT, "d", 3);
	assert_int_equal(fill(w), 1);
	confirm_unheard(w);
	for (int ms = 0; ms < 20000; ms += 1000) {
		loop_test_advance(w->loop, 1000);
		if (fill(w))
			confirm_unheard(w);
	}
	assert_int_equal(w->n_settled, 0); /* it lives, so they wait */
	nats_outbox_ended(w->outbox, STR("d"));
	for (int ms = 0; ms <= HOLD_MS + 2000; ms += 1000) {
		loop_test_advance(w->loop, 1000);
		if (fill(w))
			confirm_unheard(w);
	}
	assert_int_equal(w->n_settled, 3);
	assert_int_equal(stats(w).lost, 3);
	assert_int_equal(stats(w).topics, 0);
}

static void topic_goes_with_its_call(void **state)
{
	struct world *w = *state;

	assert_int_equal(nats_outbox_opened(w->outbox, STR("d")), 0);
	send_n(w, MSG_EVENT, "d", 2);
	send_n(w, MSG_REPLY, "d", 1);
	assert_int_equal(fill(w), 2);
	confirm(w);
	assert_int_equal(stats(w).topics, 2);
	nats_outbox_ended(w->outbox, STR("d"));
	assert_int_equal(stats(w).topics, 1); /* one has something under way */
	assert_int_equal(fill(w), 1);
	confirm(w);
	assert_int_equal(stats(w).topics, 0);
	/* What comes after the end asks again, and leaves nothing. */
	send_n(w, MSG_EVENT, "d", 1);
	assert_int_equal(fill(w), 1);
	assert_int_equal(w->batch.entries[0].kind, NATS_PROBE);
	confirm(w);
	assert_int_equal(stats(w).topics, 0);
}

static void lost_link_forgets_all_and_settles_nothing(void **state)
{
	struct world *w = *state;

	assert_int_equal(nats_outbox_opened(w->outbox, STR("d")), 0);
	send_n(w, MSG_EVENT, "d", 4);
	send_n(w, MSG_ANNOUNCE, "d", 2);
	assert_int_equal(fill(w), 2);
	nats_outbox_reset(w->outbox);
	assert_int_equal(w->n_settled, 0);
	assert_int_equal(stats(w).topics, 0);
	assert_int_equal(stats(w).held, 0);
	assert_int_equal(stats(w).in_flight, 0);
	assert_int_equal(fill(w), 0);
	send_n(w, MSG_EVENT, "d", 1);
	assert_int_equal(fill(w), 1);
	confirm(w);
	assert_int_equal(w->n_settled, 1);
}

static void full_link_says_so_and_when_it_has_room(void **state)
{
	struct world *w = *state;
	size_t n = 0;

	assert_int_equal(nats_outbox_opened(w->outbox, STR("d")), 0);
	send_n(w, MSG_EVENT, "d", 1);
	assert_int_equal(fill(w), 1);
	confirm(w);
	while (send_one(w, MSG_EVENT, "d") == 0)
		n++;
	assert_int_equal(n, NATS_LINK_MESSAGES);
	assert_int_equal(w->writable, 0);
	assert_int_equal(fill(w), NATS_BATCH_ENTRIES);
	confirm(w);
	assert_int_equal(w->writable, 1);
	assert_int_equal(send_one(w, MSG_EVENT, "d"), 0);
}

static void too_much_held_drops_what_was_held_the_longest(void **state)
{
	struct world *w = *state;
	char dialog[16];

	for (size_t i = 0; i < 129; i++) {
		(void)snprintf(dialog, sizeof(dialog), "d%zu", i);
		assert_int_equal(nats_outbox_opened(w->outbox, str_from(dialog)), 0);
		send_n(w, MSG_EVENT, dialog, NATS_HELD_OF_TOPIC);
		if (fill(w))
			confirm_unheard(w);
	}
	assert_true(stats(w).held <= NATS_HELD_MESSAGES);
	(void)fill(w);
	assert_int_equal(stats(w).lost, NATS_HELD_OF_TOPIC);
	assert_int_equal(w->n_settled, NATS_HELD_OF_TOPIC);
	assert_int_equal(w->last_settled, NATS_HELD_OF_TOPIC); /* the first call's */
}

static void message_over_the_servers_limit_is_lost_alone(void **state)
{
	struct world *w = *state;

	assert_int_equal(nats_outbox_opened(w->outbox, STR("d")), 0);
	assert_int_equal(send_sized(w, MSG_EVENT, "d", STR("{\"long\":\"0123456789\"}")), 0);
	send_n(w, MSG_EVENT, "d", 1);
	nats_outbox_fill(w->outbox, &w->batch, 150);
	assert_int_equal(w->batch.n, 1);
	assert_int_equal(w->n_settled, 1);
	assert_int_equal(stats(w).lost, 1);
	confirm(w);
	assert_int_equal(w->n_settled, 2);
}

static void message_that_the_server_refuses_is_lost_alone(void **state)
{
	struct world *w = *state;

	assert_int_equal(nats_outbox_opened(w->outbox, STR("d")), 0);
	send_n(w, MSG_EVENT, "d", 2);
	assert_int_equal(fill(w), 1);
	w->batch.entries[0].result = -EINVAL;
	confirm(w);
	assert_int_equal(stats(w).lost, 1);
	assert_int_equal(fill(w), 1);
	assert_int_equal(w->batch.entries[0].kind, NATS_PROBE);
	confirm(w);
	assert_int_equal(w->n_settled, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(first_event_asks_alone_and_the_others_follow_plainly),
		T(unheard_topic_is_tried_again_more_and_more_slowly),
		T(sign_of_life_ends_the_wait),
		T(topics_do_not_wait_for_each_other),
		T(calls_wait_in_order_for_a_worker),
		T(ended_call_is_held_for_its_time_and_then_lost),
		T(topic_goes_with_its_call),
		T(lost_link_forgets_all_and_settles_nothing),
		T(full_link_says_so_and_when_it_has_room),
		T(too_much_held_drops_what_was_held_the_longest),
		T(message_over_the_servers_limit_is_lost_alone),
		T(message_that_the_server_refuses_is_lost_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
