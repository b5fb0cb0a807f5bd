/* SPDX-License-Identifier: MIT */
/* The table of calls: held, parked, dead; who is told, and when. And the Redirect. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "engines/webhook/webhook.h"

enum { PARK_MS = 15000 };

struct world {
	struct loop *loop;
	struct webhook *webhook;
	int held, dead; /* told so far */
};

static void on_changed(void *arg, struct call *call)
{
	struct world *w = arg;

	if (call->state == CALL_HELD)
		w->held++;
	else if (call->state == CALL_DEAD)
		w->dead++;
}

static void make(struct world *w, size_t calls_max)
{
	w->webhook = webhook_create(&(struct webhook_options){ .loop = w->loop,
							       .park_ms = PARK_MS,
							       .calls_max = calls_max,
							       .on_changed = on_changed,
							       .arg = w });
	assert_non_null(w->webhook);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(loop_create_manual(&w->loop), 0);
	make(w, 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	(void)webhook_destroy(w->webhook);
	(void)loop_destroy(w->loop);
	free(w);
	return 0;
}

static struct call *hold(struct world *w, const char *name)
{
	struct call *call = NULL;

	assert_int_equal(webhook_hold(w->webhook, str_from(name), &call), 0);
	assert_int_equal(call->state, CALL_HELD);
	return call;
}

static struct call *find(struct world *w, const char *name)
{
	return webhook_find(w->webhook, str_from(name));
}

static void a_call_has_a_path_and_a_sid(void **state)
{
	struct call *call = hold(*state, "calls/call.xml/CA7");

	assert_true(str_eq(call_path(call), STR("calls/call.xml")));
	assert_true(str_eq(call_sid(call), STR("CA7")));
	webhook_release(call, true);
}

static void an_answered_call_is_expected_back_for_a_while(void **state)
{
	struct world *w = *state;

	webhook_release(hold(w, "call.xml/CA7"), true);
	assert_int_equal(find(w, "call.xml/CA7")->state, CALL_PARKED);
	loop_test_advance(w->loop, PARK_MS - 1);
	assert_int_equal(w->dead, 0);
	loop_test_advance(w->loop, 2);
	loop_turn(w->loop);
	assert_int_equal(w->dead, 1);
	assert_null(find(w, "call.xml/CA7"));
}

static void a_call_that_comes_again_is_told_and_lives_on(void **state)
{
	struct world *w = *state;

	webhook_release(hold(w, "call.xml/CA7"), true);
	loop_test_advance(w->loop, PARK_MS - 1);
	struct call *call = hold(w, "call.xml/CA7");
	assert_int_equal(w->held, 0); /* not from inside */
	loop_turn(w->loop);
	assert_int_equal(w->held, 1);
	loop_test_advance(w->loop, 10 * PARK_MS);
	assert_ptr_equal(find(w, "call.xml/CA7"), call);
	assert_int_equal(w->dead, 0);
	webhook_release(call, true);
}

static void a_call_whose_caller_left_is_dead_at_once(void **state)
{
	struct world *w = *state;

	webhook_release(hold(w, "call.xml/CA7"), false);
	assert_int_equal(w->dead, 0); /* not from inside */
	loop_turn(w->loop);
	assert_int_equal(w->dead, 1);
	assert_null(find(w, "call.xml/CA7"));
}

static void a_sender_that_tries_again_has_a_moment_to_do_so(void **state)
{
	struct world *w = *state;
	struct call *call = hold(w, "call.xml/CA7");

	call->retried = true;
	webhook_release(call, false);
	loop_test_advance(w->loop, 4999);
	call = find(w, "call.xml/CA7");
	assert_non_null(call);
	assert_int_equal(call->state, CALL_PARKED);
	webhook_release(hold(w, "call.xml/CA7"), false);
	loop_test_advance(w->loop, 5001);
	loop_turn(w->loop);
	assert_int_equal(w->dead, 1);
}

static void another_request_keeps_the_call_alive(void **state)
{
	struct world *w = *state;
	struct call *older = hold(w, "call.xml/CA7"), *newer = hold(w, "call.xml/CA7");

	assert_ptr_equal(older, newer);
	webhook_release(older, false);
	loop_turn(w->loop);
	assert_int_equal(find(w, "call.xml/CA7")->state, CALL_HELD);
	webhook_release(newer, true);
	assert_int_equal(find(w, "call.xml/CA7")->state, CALL_PARKED);
	assert_int_equal(w->dead, 0);
}

static void a_dead_call_that_comes_in_the_same_turn_lives(void **state)
{
	struct world *w = *state;

	webhook_release(hold(w, "call.xml/CA7"), false);
	struct call *call = hold(w, "call.xml/CA7");
	loop_turn(w->loop);
	assert_int_equal(w->dead, 0);
	assert_int_equal(w->held, 1);
	webhook_release(call, true);
}

static void a_call_of_an_earlier_run_is_expected_only_at_first(void **state)
{
	struct world *w = *state;

	loop_test_advance(w->loop, 5000);
	struct call *call = webhook_expect(w->webhook, STR("call.xml/CA1"));
	assert_non_null(call);
	assert_int_equal(call->state, CALL_PARKED);
	loop_test_advance(w->loop, PARK_MS - 5000 - 1);
	assert_int_equal(w->dead, 0);
	loop_test_advance(w->loop, 2);
	loop_turn(w->loop);
	assert_int_equal(w->dead, 1);
	assert_null(webhook_expect(w->webhook, STR("call.xml/CA2")));
}

static void a_full_table_gives_up_who_is_parked_longest(void **state)
{
	struct world *w = *state;
	struct call *call, *held;

	w->webhook = webhook_destroy(w->webhook);
	make(w, 3);
	held = hold(w, "call.xml/CA1");
	webhook_release(hold(w, "call.xml/CA2"), true);
	webhook_release(hold(w, "call.xml/CA3"), true);
	webhook_release(hold(w, "call.xml/CA4"), true);
	loop_turn(w->loop);
	assert_int_equal(w->dead, 1);
	assert_null(find(w, "call.xml/CA2"));
	(void)hold(w, "call.xml/CA3");
	(void)hold(w, "call.xml/CA4");
	assert_int_equal(webhook_hold(w->webhook, STR("call.xml/CA5"), &call), -EAGAIN);
	assert_int_equal(webhook_count(w->webhook, CALL_HELD), 3);
	assert_int_equal(webhook_count(w->webhook, CALL_PARKED), 0);
	webhook_release(held, true);
	assert_int_equal(webhook_hold(w->webhook, STR("call.xml/CA5"), &call), 0);
}

static void sids_are_path_segments(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "a\nb", "\xff" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(call_sid_is_good(str_from(bad[i])));
	assert_true(call_sid_is_good(STR("CA7")));
	assert_true(call_sid_is_good(STR("not a sid, but a name: \xc3\xa4")));
}

static void a_redirect_is_a_path_whatever_the_name(void **state)
{
	static const struct {
		const char *name, *path;
	} cases[] = {
		{ "call.xml/CA7", "call.xml/CA7" },
		{ "calls/events/Node-11/CA7.xml/CA7", "calls/events/Node-11/CA7.xml/CA7" },
		{ "a b.xml/<&>\"'", "a%20b.xml/%3C%26%3E%22%27" },
		{ "100%.xml/a?b#c;d", "100%25.xml/a%3Fb%23c%3Bd" },
		{ "\xc3\xa4.xml/+1@x:y,z=1", "%C3%A4.xml/+1@x:y,z=1" },
	};
	struct buf out;
	char want[256];

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_clear(&out);
		assert_int_equal(webhook_redirect(&out, STR("AC1"), str_from(cases[i].name)), 0);
		(void)snprintf(want, sizeof(want),
			       "<Response><Redirect>/AC1/%s/</Redirect></Response>", cases[i].path);
		assert_true(str_eq(buf_str(&out), str_from(want)));
	}
	buf_fini(&out);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_call_has_a_path_and_a_sid),
		TEST(an_answered_call_is_expected_back_for_a_while),
		TEST(a_call_that_comes_again_is_told_and_lives_on),
		TEST(a_call_whose_caller_left_is_dead_at_once),
		TEST(a_sender_that_tries_again_has_a_moment_to_do_so),
		TEST(another_request_keeps_the_call_alive),
		TEST(a_dead_call_that_comes_in_the_same_turn_lives),
		TEST(a_call_of_an_earlier_run_is_expected_only_at_first),
		TEST(a_full_table_gives_up_who_is_parked_longest),
		TEST(sids_are_path_segments),
		TEST(a_redirect_is_a_path_whatever_the_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
