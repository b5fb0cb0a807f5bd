/* SPDX-License-Identifier: MIT */
/* Whoever gets an acknowledgement gets it after the sync that covers it. */
#include "longpoll_test.h"

#define AC1 "Authorization: Basic QUMxOnNlY3JldA==" /* AC1:secret */

enum { ROUNDS = 20 };

/* Everything is written, nothing synced. */
static void write_all(struct world *w)
{
	for (int i = 0; i < ROUNDS; i++) {
		run_some(w->loop);
		(void)journal_step_write(w->journal);
	}
	run_some(w->loop);
}

static void sync_all(struct world *w)
{
	for (int i = 0; i < ROUNDS; i++) {
		(void)journal_step_sync(w->journal);
		run_some(w->loop);
	}
}

static void every_answer_waits_for_the_sync(void **state)
{
	struct world *w = *state;
	char end[128];
	const struct {
		const char *what, *head, *body;
		int status;
	} cases[] = {
		{ "a session", "GET /auth HTTP/1.1\r\n" AC1 "\r\nX-End:", NULL, 200 },
		{ "a message", "POST /AC1/q HTTP/1.1\r\n" AC1 "\r\nX-End:", "a=1", 200 },
		{ "the end of a session", end, NULL, 204 },
	};

	(void)snprintf(end, sizeof(end), "DELETE /auth?session=%s", w->session);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client c;

		print_message("%s\n", cases[i].what);
		write_all(w);
		sync_all(w);
		client_open(&c, w);
		client_ask(&c, cases[i].head, cases[i].body);
		write_all(w);
		assert_false(client_has_answer(&c));
		sync_all(w);
		assert_int_equal(client_answer(&c), cases[i].status);
		client_close(&c);
	}
}

static void client_that_goes_before_the_sync_harms_nobody(void **state)
{
	struct world *w = *state;
	struct client c;

	client_open(&c, w);
	client_ask(&c, "GET /auth HTTP/1.1\r\n" AC1 "\r\nX-End:", NULL);
	write_all(w);
	client_close(&c);
	run_some(w->loop);
	sync_all(w);
	assert_int_equal(accounts_sessions(w->accounts), 3);
}

static void answer_that_waits_at_the_end_is_a_503(void **state)
{
	struct world *w = *state;
	struct client c;

	client_open(&c, w);
	client_ask(&c, "GET /auth HTTP/1.1\r\n" AC1 "\r\nX-End:", NULL);
	write_all(w);
	hub_stop(w->hub, 1, NULL, NULL);
	run_some(w->loop);
	assert_false(client_has_answer(&c));
	w->hub = hub_destroy(w->hub);
	assert_int_equal(client_answer(&c), 503);
	client_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_answer_waits_for_the_sync,
						world_setup_journal, world_teardown),
		cmocka_unit_test_setup_teardown(client_that_goes_before_the_sync_harms_nobody,
						world_setup_journal, world_teardown),
		cmocka_unit_test_setup_teardown(answer_that_waits_at_the_end_is_a_503,
						world_setup_journal, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
