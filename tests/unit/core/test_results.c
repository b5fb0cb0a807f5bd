/* SPDX-License-Identifier: MIT */
/* Commands that come a second time: answered from the first one's result, never done twice. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core_test.h"

enum { OPENS = OBJECT_OPENS | OBJECT_BINDS };

static const struct application_options always = { .deduplicate = DEDUPLICATE_ALWAYS };
static const struct application_options off = { .deduplicate = DEDUPLICATE_OFF };

static void begin(struct world *w, const char *dir, const struct application_options *application)
{
	struct world_options o = { .dir = dir, .broker = true, .parallel = true };

	if (application)
		o.application = *application;
	world_create(w, &o);
}

static void call(struct world *w)
{
	(void)world_event(w, "StasisStart", OPENS, "a", "{}");
	world_settle(w);
	got_clear(&w->sent);
}

static void answer_all(struct world *w, size_t from, int status, const char *body)
{
	world_settle(w);
	for (size_t i = from; i < w->commands.n; i++)
		memory_port_reply(w->engine, w->commands.at[i], status, str_from(body));
	world_settle(w);
}

/* The disk may take its time. */
static void wait_sent(struct world *w, size_t n)
{
	for (int i = 0; i < 1000 && w->sent.n < n; i++)
		world_settle(w);
	for (int i = 0; i < 3; i++)
		world_settle(w);
}

static void repetition_is_answered_and_not_done(void **state)
{
	struct world w;

	begin(&w, NULL, NULL);
	call(&w);
	(void)world_command(&w, "POST", "/channels/a/play", "u1");
	answer_all(&w, 0, 201, "{\"id\":\"p\"}");
	(void)world_repeat(&w, "POST", "/channels/a/play", "u1");
	world_settle(&w);
	assert_int_equal(w.commands.n, 1);
	assert_string_equal(world_sent(&w), "201 201");
	assert_true(str_eq(blob_str(w.sent.at[1]->payload), STR("{\"id\":\"p\"}")));
	assert_true(str_eq(w.sent.at[1]->id, STR("u1")));
	assert_int_equal(w.sent.at[1]->answers, 2);
	assert_int_equal(w.settles, 2);
	assert_int_equal(world_hub_stats(&w).repeated, 1);
	world_destroy(&w);
}

static void other_command_is_no_repetition(void **state)
{
	static const struct {
		const char *method, *url, *id;
	} others[] = {
		{ "PUT", "/channels/a/play", "u1" },
		{ "POST", "/channels/a/stop", "u1" },
		{ "POST", "/channels/a/play", "u2" },
	};
	struct world w;

	begin(&w, NULL, NULL);
	call(&w);
	(void)world_command(&w, "POST", "/channels/a/play", "u1");
	answer_all(&w, 0, 201, "");
	for (size_t i = 0; i < 3; i++) {
		(void)world_repeat(&w, others[i].method, others[i].url, others[i].id);
		answer_all(&w, i + 1, 200, "");
		assert_int_equal(w.commands.n, i + 2);
	}
	world_destroy(&w);
}

static void one_reply_serves_both_while_the_first_is_under_way(void **state)
{
	struct world w;

	begin(&w, NULL, NULL);
	call(&w);
	(void)world_command(&w, "POST", "/channels/a/play", "u1");
	(void)world_repeat(&w, "POST", "/channels/a/play", "u1");
	world_settle(&w);
	assert_int_equal(w.settles, 2); /* both are acknowledged */
	answer_all(&w, 0, 201, "");
	assert_int_equal(w.commands.n, 1);
	assert_string_equal(world_sent(&w), "201");
	world_destroy(&w);
}

static void who_counts_as_a_repetition_is_the_applications_choice(void **state)
{
	static const struct {
		const char *what;
		const struct application_options *application;
		const char *id;
		bool marked;
		size_t done;
	} cases[] = {
		{ "the bus says so", NULL, "u", true, 1 },
		{ "the bus says so, and it has no id", NULL, "", true, 1 },
		{ "the bus does not say so", NULL, "u", false, 2 },
		{ "always", &always, "u", false, 1 },
		{ "always, but two without an id are two", &always, "", false, 2 },
		{ "always, and the bus says so", &always, "", true, 1 },
		{ "off", &off, "u", true, 2 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world w;

		begin(&w, NULL, cases[i].application);
		call(&w);
		(void)world_command(&w, "POST", "/channels/a/play", cases[i].id);
		answer_all(&w, 0, 201, "");
		(void)(cases[i].marked ? world_repeat : world_command)(
			&w, "POST", "/channels/a/play", cases[i].id);
		answer_all(&w, 1, 201, "");
		if (w.commands.n != cases[i].done || w.sent.n != 2)
			fail_msg("%s: done %zu, answered %zu", cases[i].what, w.commands.n,
				 w.sent.n);
		world_destroy(&w);
	}
}

static void result_survives_a_restart(void **state)
{
	char dir[64], dialog[64];
	struct world w;

	dir_make(dir);
	begin(&w, dir, NULL);
	call(&w);
	(void)snprintf(dialog, sizeof(dialog), "%s", w.dialog);
	(void)world_command(&w, "POST", "/channels/a/play", "u1");
	answer_all(&w, 0, 201, "{}");
	world_destroy(&w);

	begin(&w, dir, NULL);
	(void)snprintf(w.dialog, sizeof(w.dialog), "%s", dialog);
	(void)world_repeat(&w, "POST", "/channels/a/play", "u1");
	wait_sent(&w, 1);
	assert_string_equal(world_sent(&w), "201");
	assert_int_equal(w.commands.n, 0);
	world_destroy(&w);
	dir_remove(dir);
}

/* A crash may cut the result off a batch whose reply is there; nobody has read that then. */
static void result_is_found_in_a_reply_that_nobody_has_read(void **state)
{
	char dir[64], dialog[64], key[128], *hash;
	struct world w;
	uint64_t lsn;

	dir_make(dir);
	begin(&w, dir, NULL);
	call(&w);
	(void)snprintf(dialog, sizeof(dialog), "%s", w.dialog);
	(void)world_command(&w, "POST", "/channels/a/play", "u1");
	world_settle(&w);
	memory_port_up(w.bus, false);
	answer_all(&w, 0, 201, "{}");
	memory_port_up(w.bus, true);
	world_settle(&w);
	assert_int_equal(w.sent.n, 1);
	hash = str_dup(w.sent.at[0]->target);
	assert_non_null(hash);
	world_destroy(&w);

	/* The same once more, and the state taken away. */
	dir_remove(dir);
	begin(&w, dir, NULL);
	call(&w);
	(void)snprintf(dialog, sizeof(dialog), "%s", w.dialog);
	(void)world_command(&w, "POST", "/channels/a/play", "u1");
	world_settle(&w);
	memory_port_up(w.bus, false);
	answer_all(&w, 0, 201, "{}");
	(void)snprintf(key, sizeof(key), "command/%s/%s", dialog, hash);
	assert_int_equal(journal_put(w.journal, str_from(key), str_make(NULL, 0), &lsn), 0);
	world_settle(&w);
	world_destroy(&w);

	begin(&w, dir, NULL);
	for (int i = 0; i < 5; i++)
		world_settle(&w);
	(void)snprintf(w.dialog, sizeof(w.dialog), "%s", dialog);
	(void)world_repeat(&w, "POST", "/channels/a/play", "u1");
	wait_sent(&w, 2);
	assert_string_equal(world_sent(&w), "201 201");
	assert_int_equal(w.commands.n, 0);
	world_destroy(&w);
	free(hash);
	dir_remove(dir);
}

static void crash_in_the_middle_makes_the_outcome_unknown_once_and_for_all(void **state)
{
	static const struct {
		const char *method, *sent;
		size_t done;
	} cases[] = {
		{ "POST", "504 504", 0 }, /* for the first delivery, and for the second */
		{ "GET", "200", 1 },      /* done again; one reply serves both */
	};

	for (size_t i = 0; i < 2; i++) {
		char dir[64], dialog[64];
		struct world w;

		dir_make(dir);
		begin(&w, dir, NULL);
		call(&w);
		(void)snprintf(dialog, sizeof(dialog), "%s", w.dialog);
		(void)world_command(&w, cases[i].method, "/channels/a/x", "u1");
		world_settle(&w);
		assert_int_equal(w.commands.n, 1);
		world_destroy(&w);

		begin(&w, dir, NULL);
		(void)snprintf(w.dialog, sizeof(w.dialog), "%s", dialog);
		(void)world_repeat(&w, cases[i].method, "/channels/a/x", "u1");
		for (int k = 0; k < 1000 && w.sent.n + w.commands.n < 2 - cases[i].done; k++)
			world_settle(&w);
		answer_all(&w, 0, 200, "");
		wait_sent(&w, 1);
		assert_string_equal(world_sent(&w), cases[i].sent);
		assert_int_equal(w.commands.n, cases[i].done);
		world_destroy(&w);
		dir_remove(dir);
	}
}

static void large_body_is_not_kept_but_its_status_is(void **state)
{
	char *body = malloc(8194);
	struct world w;

	assert_non_null(body);
	memset(body, 'x', 8193);
	body[8193] = '\0';
	begin(&w, NULL, NULL);
	call(&w);
	(void)world_command(&w, "GET", "/channels/a", "u1");
	answer_all(&w, 0, 200, body);
	body[8192] = '\0';
	(void)world_command(&w, "GET", "/channels/a", "u2");
	answer_all(&w, 1, 200, body);
	(void)world_repeat(&w, "GET", "/channels/a", "u1");
	(void)world_repeat(&w, "GET", "/channels/a", "u2");
	world_settle(&w);
	assert_string_equal(world_sent(&w), "200 200 200 200");
	assert_int_equal(blob_str(w.sent.at[0]->payload).n, 8193);
	assert_true(str_starts(blob_str(w.sent.at[2]->payload), STR("{\"message\":")));
	assert_int_equal(blob_str(w.sent.at[3]->payload).n, 8192);
	world_destroy(&w);
	free(body);
}

static uint64_t states(const struct world *w)
{
	struct journal_stats stats;

	journal_stats(w->journal, &stats);
	return stats.states;
}

static void call_keeps_256_results_and_takes_them_along(void **state)
{
	char dir[64], id[16];
	struct world w;
	uint64_t before;

	dir_make(dir);
	begin(&w, dir, NULL);
	call(&w);
	before = states(&w);
	for (int i = 0; i < 257; i++) {
		(void)snprintf(id, sizeof(id), "%d", i);
		(void)world_command(&w, "POST", "/channels/a/play", id);
		for (int k = 0; k < 2000 && !w.commands.n; k++)
			world_settle(&w);
		answer_all(&w, 0, 200, "");
		got_clear(&w.commands);
		got_clear(&w.sent);
	}
	assert_int_equal(states(&w), before + 256);
	(void)world_repeat(&w, "POST", "/channels/a/play", "1");
	world_settle(&w);
	assert_int_equal(w.commands.n, 0);
	(void)world_repeat(&w, "POST", "/channels/a/play", "0"); /* the oldest is forgotten */
	world_settle(&w);
	assert_int_equal(w.commands.n, 1);
	answer_all(&w, 0, 200, "");
	(void)world_event(&w, "StasisEnd", OBJECT_ENDS, "a", "{}");
	for (int i = 0; i < 4; i++) {
		loop_test_advance(w.loop, 10000);
		world_settle(&w);
	}
	assert_int_equal(states(&w), before - 1);
	world_destroy(&w);
	dir_remove(dir);
}

static void who_asks_for_no_repetitions_pays_nothing(void **state)
{
	char dir[64];
	struct world w;
	uint64_t before;

	dir_make(dir);
	world_create(&w, &(struct world_options){ .dir = dir, .parallel = true });
	call(&w);
	before = states(&w);
	(void)world_command(&w, "POST", "/channels/a/play", "u");
	answer_all(&w, 0, 200, "");
	assert_int_equal(states(&w), before);
	assert_true(w.sent.n > 0);
	assert_int_equal(w.sent.at[0]->target.n, 0);
	world_destroy(&w);
	dir_remove(dir);
}

static void all_results_together_have_a_bound(void **state)
{
	struct world w;
	struct hub_stats stats;
	char id[16];

	world_create(&w, &(struct world_options){
				 .broker = true, .parallel = true, .results_bytes = 4096 });
	call(&w);
	for (int i = 0; i < 20; i++) {
		(void)snprintf(id, sizeof(id), "%d", i);
		(void)world_command(&w, "POST", "/channels/a/play", id);
		world_settle(&w);
		answer_all(&w, w.commands.n - 1, 200, "");
	}
	hub_stats(w.hub, &stats);
	assert_in_range(stats.results_dropped, 1, 19);
	(void)world_repeat(&w, "POST", "/channels/a/play", "19"); /* the newest are there */
	world_settle(&w);
	assert_int_equal(w.commands.n, 20);
	(void)world_repeat(&w, "POST", "/channels/a/play", "0");
	world_settle(&w);
	assert_int_equal(w.commands.n, 21);
	world_destroy(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(repetition_is_answered_and_not_done),
		cmocka_unit_test(other_command_is_no_repetition),
		cmocka_unit_test(one_reply_serves_both_while_the_first_is_under_way),
		cmocka_unit_test(who_counts_as_a_repetition_is_the_applications_choice),
		cmocka_unit_test(result_survives_a_restart),
		cmocka_unit_test(result_is_found_in_a_reply_that_nobody_has_read),
		cmocka_unit_test(crash_in_the_middle_makes_the_outcome_unknown_once_and_for_all),
		cmocka_unit_test(large_body_is_not_kept_but_its_status_is),
		cmocka_unit_test(call_keeps_256_results_and_takes_them_along),
		cmocka_unit_test(all_results_together_have_a_bound),
		cmocka_unit_test(who_asks_for_no_repetitions_pays_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
