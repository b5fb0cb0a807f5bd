/* SPDX-License-Identifier: MIT */
/* Accounts and sessions, on the test's clock and over a journal of states that is a small table. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/account.h"
#include "journal/journal.h"

enum { STATES_MAX = 64 };

static uint64_t lsn; /* of the last session that was made or ended */

struct journal {
	char key[STATES_MAX][256], value[STATES_MAX][256];
	int refuse;
	uint64_t lsn;
	uint64_t now_ms; /* by its own clock: nothing like the wall's */
};

uint64_t journal_now_ms(struct journal *j)
{
	return j->now_ms;
}

int journal_put(struct journal *j, struct str key, struct str value, uint64_t *ret_lsn)
{
	int at = -1;

	if (j->refuse)
		return j->refuse;
	for (int i = 0; i < STATES_MAX; i++)
		if (j->key[i][0] && str_eq(str_from(j->key[i]), key))
			at = i;
	for (int i = 0; i < STATES_MAX && at < 0; i++)
		if (!j->key[i][0])
			at = i;
	assert_true(at >= 0);
	(void)snprintf(j->key[at], 256, "%.*s", value.p ? (int)key.n : 0, key.p);
	(void)snprintf(j->value[at], 256, "%.*s", STR_ARG(value));
	*ret_lsn = ++j->lsn;
	return 0;
}

void journal_each_state(struct journal *j, struct str prefix,
			void (*fn)(void *arg, struct str key, struct str value), void *arg)
{
	for (int i = 0; i < STATES_MAX; i++)
		if (j->key[i][0] && str_starts(str_from(j->key[i]), prefix))
			fn(arg, str_from(j->key[i]), str_from(j->value[i]));
}

static int states(const struct journal *j)
{
	int n = 0;

	for (int i = 0; i < STATES_MAX; i++)
		n += j->key[i][0] != '\0';
	return n;
}

struct fixture {
	struct loop *loop;
	struct journal journal;
	struct accounts *accounts;
	struct account *account;
};

static void open_accounts(struct fixture *f)
{
	assert_int_equal(accounts_create(f->loop, &f->journal, &f->accounts), 0);
	assert_int_equal(accounts_add(f->accounts, STR("AC1"), STR("secret")), 0);
	f->account = accounts_find(f->accounts, STR("AC1"));
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->journal.now_ms = 1000;
	assert_int_equal(loop_create_manual(&f->loop), 0);
	open_accounts(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	(void)accounts_destroy(f->accounts);
	(void)loop_destroy(f->loop);
	free(f);
	return 0;
}

static void only_the_right_token_of_the_right_account_opens(void **state)
{
	static const struct {
		const char *what, *sid, *token;
		bool right;
	} cases[] = {
		{ "right", "AC1", "secret", true },      { "wrong", "AC1", "secreT", false },
		{ "longer", "AC1", "secrets", false },   { "shorter", "AC1", "secre", false },
		{ "empty", "AC1", "", false },           { "nobody's", "AC2", "secret", false },
		{ "nobody and nothing", "", "", false },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].what);
		assert_ptr_equal(accounts_check(f->accounts, str_from(cases[i].sid),
						str_from(cases[i].token)),
				 cases[i].right ? f->account : NULL);
	}
	assert_int_equal(accounts_add(f->accounts, STR("AC1"), STR("x")), -EEXIST);
	assert_ptr_equal(accounts_only(f->accounts), f->account);
	assert_int_equal(accounts_add(f->accounts, STR("AC2"), STR("x")), 0);
	assert_null(accounts_only(f->accounts));
}

static void a_session_ends_with_its_time(void **state)
{
	struct fixture *f = *state;
	char token[RAND_UUID_SIZE];

	assert_int_equal(session_create(f->account, 5000, token, &lsn), 0);
	assert_int_equal(strlen(token), 36);
	assert_ptr_equal(session_find(f->accounts, str_from(token)), f->account);
	loop_test_advance(f->loop, 4999);
	assert_ptr_equal(session_find(f->accounts, str_from(token)), f->account);
	assert_int_equal(states(&f->journal), 1);
	loop_test_advance(f->loop, 1);
	assert_null(session_find(f->accounts, str_from(token)));
	assert_int_equal(accounts_sessions(f->accounts), 0);
	assert_int_equal(states(&f->journal), 0);
}

static void a_session_lives_a_day_at_most(void **state)
{
	struct fixture *f = *state;
	char token[RAND_UUID_SIZE];

	assert_int_equal(session_create(f->account, UINT64_MAX, token, &lsn), 0);
	loop_test_advance(f->loop, 24 * 3600 * 1000 - 1);
	assert_non_null(session_find(f->accounts, str_from(token)));
	loop_test_advance(f->loop, 1);
	assert_null(session_find(f->accounts, str_from(token)));
}

static void a_revoked_session_is_gone(void **state)
{
	struct fixture *f = *state;
	char token[RAND_UUID_SIZE];

	assert_int_equal(session_create(f->account, 5000, token, &lsn), 0);
	assert_true(session_revoke(f->accounts, str_from(token), &lsn));
	assert_false(session_revoke(f->accounts, str_from(token), &lsn));
	assert_null(session_find(f->accounts, str_from(token)));
	assert_int_equal(states(&f->journal), 0);
	loop_test_advance(f->loop, 6000);
}

static void the_token_is_kept_nowhere(void **state)
{
	struct fixture *f = *state;
	char token[RAND_UUID_SIZE];

	assert_int_equal(session_create(f->account, 5000, token, &lsn), 0);
	assert_true(str_starts(str_from(f->journal.key[0]), STR("session/")));
	assert_int_equal(strlen(f->journal.key[0]), 8 + 64);
	assert_null(strstr(f->journal.key[0], token));
	assert_null(strstr(f->journal.value[0], token));
	assert_true(str_ends(str_from(f->journal.value[0]), STR(" AC1")));
}

static void sessions_survive_a_restart_until_their_time(void **state)
{
	struct fixture *f = *state;
	char kept[RAND_UUID_SIZE], late[RAND_UUID_SIZE];

	assert_int_equal(session_create(f->account, 7200000, kept, &lsn), 0);
	assert_int_equal(session_create(f->account, 3600000, late, &lsn), 0);
	f->accounts = accounts_destroy(f->accounts);
	/* The second one's time passed while nobody ran. */
	f->journal.now_ms += 3600000;
	(void)snprintf(f->journal.key[2], 256, "session/nonsense");
	(void)snprintf(f->journal.value[2], 256, "x AC1");

	open_accounts(f);
	assert_ptr_equal(session_find(f->accounts, str_from(kept)), f->account);
	assert_null(session_find(f->accounts, str_from(late)));
	assert_int_equal(states(&f->journal), 2);
	loop_test_advance(f->loop, 3600000 - 1);
	assert_non_null(session_find(f->accounts, str_from(kept)));
	loop_test_advance(f->loop, 1);
	assert_null(session_find(f->accounts, str_from(kept)));
}

/* The journal's clock was put right by a day or more: what is written there is a year ahead. */
static void no_session_is_immortal(void **state)
{
	struct fixture *f = *state;
	char token[RAND_UUID_SIZE];

	assert_int_equal(session_create(f->account, 3600000, token, &lsn), 0);
	f->accounts = accounts_destroy(f->accounts);
	(void)snprintf(f->journal.value[0], 256, "%" PRIu64 " AC1", (uint64_t)365 * 86400000);
	open_accounts(f);
	assert_non_null(session_find(f->accounts, str_from(token)));
	loop_test_advance(f->loop, 24 * 3600 * 1000);
	assert_null(session_find(f->accounts, str_from(token)));
}

static void a_full_disk_locks_nobody_out(void **state)
{
	struct fixture *f = *state;
	char token[RAND_UUID_SIZE];

	f->journal.refuse = -ENOSPC;
	assert_int_equal(session_create(f->account, 5000, token, &lsn), 0);
	assert_non_null(session_find(f->accounts, str_from(token)));
}

static void an_account_has_ten_thousand_sessions(void **state)
{
	struct fixture *f = *state;
	char token[RAND_UUID_SIZE];

	f->journal.refuse = -EIO;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(session_create(f->account, 5000, token, &lsn), 0);
	assert_int_equal(session_create(f->account, 5000, token, &lsn), -EAGAIN);
	assert_int_equal(accounts_add(f->accounts, STR("AC2"), STR("x")), 0);
	assert_int_equal(session_create(accounts_find(f->accounts, STR("AC2")), 5000, token, &lsn),
			 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		TEST(only_the_right_token_of_the_right_account_opens),
		TEST(a_session_ends_with_its_time),
		TEST(a_session_lives_a_day_at_most),
		TEST(a_revoked_session_is_gone),
		TEST(the_token_is_kept_nowhere),
		TEST(sessions_survive_a_restart_until_their_time),
		TEST(no_session_is_immortal),
		TEST(a_full_disk_locks_nobody_out),
		TEST(an_account_has_ten_thousand_sessions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
