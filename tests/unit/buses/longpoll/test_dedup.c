/* SPDX-License-Identifier: MIT */
/* What is a repetition, what is not, and for how long that is known. */
#include "buses/longpoll/dedup.h"

#include "longpoll_test.h"

#define FIRST  "X-Twilio-Attempt: 1"
#define SECOND "x-acme-attempt: 2"
#define SIGNED "X-Zang-Signature: RSOYDt4T1cUTdK1PDd93/VVr8B8="

static void publish(struct world *w, const char *target, const char *lines, const char *body,
		    char id[33])
{
	char head[1024];
	int status;

	(void)snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\n%s\r\nX-End:", target, lines);
	char *text = ask(w, &status, head, body);
	assert_int_equal(status, 200);
	const char *at = strstr(text, "X-Message-Id: ");
	assert_non_null(at);
	(void)snprintf(id, 33, "%.32s", at + 14);
	free(text);
}

static const struct {
	const char *what;
	const char *target, *lines, *body;    /* the first */
	const char *target2, *lines2, *body2; /* what follows */
	bool same;
} cases[] = {
	{ "one key", "/AC1/q", "Idempotency-Key: a", "x=1", "/AC1/q", "idempotency-key: a", "x=1",
	  true },
	{ "one key, another body", "/AC1/q", "Idempotency-Key: a", "x=1", "/AC1/q",
	  "Idempotency-Key: a", "x=2", true },
	{ "another key", "/AC1/q", "Idempotency-Key: a", "x=1", "/AC1/q", "Idempotency-Key: b",
	  "x=1", false },
	{ "another queue", "/AC1/q", "Idempotency-Key: a", "x=1", "/AC1/r", "Idempotency-Key: a",
	  "x=1", false },
	{ "one spelling more of the queue", "/AC1/q", "Idempotency-Key: a", "x=1", "/AC1/%71/",
	  "Idempotency-Key: a", "x=1", true },
	{ "Twilio's token", "/AC1/q", "I-Twilio-Idempotency-Token: a", "x=1", "/AC1/q",
	  "I-Twilio-Idempotency-Token: a\r\n" SECOND, "x=1", true },
	{ "an empty key is none", "/AC1/q", "Idempotency-Key: ", "x=1", "/AC1/q",
	  "Idempotency-Key: ", "x=1", false },
	{ "two equal messages are two", "/AC1/q", "X-A: b", "x=1", "/AC1/q", "X-A: b", "x=1",
	  false },
	{ "two first attempts", "/AC1/q", FIRST, "x=1", "/AC1/q", FIRST, "x=1", false },
	{ "a second attempt", "/AC1/q", FIRST, "x=1", "/AC1/q", SECOND, "x=1", true },
	{ "a third", "/AC1/q", SECOND, "x=1", "/AC1/q", "X-Y-Z-Attempt: 3", "x=1", true },
	{ "a second of another message", "/AC1/q", FIRST, "x=1", "/AC1/q", SECOND, "x=2", false },
	{ "a second with another query", "/AC1/q?a=1", FIRST, "x=1", "/AC1/q?a=2", SECOND, "x=1",
	  false },
	{ "a second after a signed one", "/AC1/q", SIGNED, "x=1", "/AC1/q", SIGNED "\r\n" SECOND,
	  "x=1", true },
	{ "two signed ones", "/AC1/q", SIGNED, "x=1", "/AC1/q", SIGNED, "x=1", false },
	{ "a second after a plain one", "/AC1/q", "X-A: b", "x=1", "/AC1/q", SECOND, "x=1", false },
	{ "no number", "/AC1/q", FIRST, "x=1", "/AC1/q", "X-A-Attempt: yes", "x=1", false },
	{ "another header", "/AC1/q", FIRST, "x=1", "/AC1/q", "X-Attempt: 2", "x=1", false },
};

static void repetitions_are_known_by_what_is_said(void **state)
{
	struct world *w = *state;
	uint64_t known = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char first[33], second[33];

		print_message("%s\n", cases[i].what);
		publish(w, cases[i].target, cases[i].lines, cases[i].body, first);
		publish(w, cases[i].target2, cases[i].lines2, cases[i].body2, second);
		assert_int_equal(strcmp(first, second) == 0, cases[i].same);
		known += cases[i].same;
		assert_int_equal(world_stat(w, "repetitions"), known);
		loop_test_advance(w->loop, 600000);
		run_some(w->loop);
		assert_int_equal(world_stat(w, "remembered"), 0);
	}
	assert_int_equal(world_stat(w, "published"), 2 * sizeof(cases) / sizeof(cases[0]) - known);
}

static void a_repetition_is_known_for_ten_minutes(void **state)
{
	struct world *w = *state;
	char first[33], second[33];

	publish(w, "/AC1/q", "Idempotency-Key: a", "x=1", first);
	loop_test_advance(w->loop, 599999);
	publish(w, "/AC1/q", "Idempotency-Key: a", "x=1", second);
	assert_string_equal(first, second);
	/* A repetition doesn't make it longer. */
	loop_test_advance(w->loop, 1);
	publish(w, "/AC1/q", "Idempotency-Key: a", "x=1", second);
	assert_string_not_equal(first, second);
}

static void a_repetition_waits_for_the_first(void **state)
{
	const char *head = "POST /AC1/q HTTP/1.1\r\nIdempotency-Key: a\r\nX-End:";
	struct world *w = *state;
	struct client c[3];
	char id[33];

	for (int i = 0; i < 3; i++) {
		client_open(&c[i], w);
		client_ask(&c[i], head, "x=1");
		assert_false(client_has_answer(&c[i]));
	}
	client_close(&c[1]);
	for (int i = 0; i < 10; i++) {
		run_some(w->loop);
		(void)journal_step_write(w->journal);
		(void)journal_step_sync(w->journal);
	}
	assert_int_equal(client_answer(&c[0]), 200);
	(void)snprintf(id, sizeof(id), "%.32s", strstr(c[0].text, "X-Message-Id: ") + 14);
	assert_int_equal(client_answer(&c[2]), 200);
	assert_non_null(strstr(c[2].text, id));
	assert_int_equal(world_stat(w, "published"), 1);
	client_close(&c[0]);
	client_close(&c[2]);
}

static void what_waits_at_the_end_is_answered(void **state)
{
	struct world *w = *state;
	struct client c[2];

	for (int i = 0; i < 2; i++) {
		client_open(&c[i], w);
		client_ask(&c[i], "POST /AC1/q HTTP/1.1\r\nIdempotency-Key: a\r\nX-End:", "x=1");
		assert_false(client_has_answer(&c[i]));
	}
	(void)hub_destroy(w->hub);
	w->hub = NULL;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(client_answer(&c[i]), 503);
		client_close(&c[i]);
	}
}

static struct dedup_key key_of(uint32_t number)
{
	struct dedup_key key = { .look = true, .remember = true };

	memcpy(key.hash, &number, sizeof(number));
	return key;
}

static bool is_known(struct dedup *d, uint32_t number, const char *id)
{
	struct dedup_key key = key_of(number);
	struct publish *first;
	const char *found;

	if (!dedup_find(d, &key, &first, &found))
		return false;
	assert_null(first);
	assert_string_equal(found, id);
	return true;
}

static void add(struct dedup *d, uint32_t number, const char *id, int rc)
{
	struct dedup_key key = key_of(number);
	struct dedup_entry *entry = dedup_add(d, &key, NULL, id);

	assert_non_null(entry);
	dedup_done(d, entry, rc);
}

static void the_oldest_makes_room(void **state)
{
	struct world *w = *state;
	struct dedup *d;

	assert_int_equal(dedup_create(w->loop, NULL, STR("x"), &d), 0);
	for (uint32_t i = 0; i < DEDUP_MAX; i++) {
		char id[33];

		(void)snprintf(id, sizeof(id), "id%u", i);
		add(d, i, id, 0);
	}
	assert_int_equal(dedup_evicted(d), 0);
	add(d, DEDUP_MAX, "last", 0);
	assert_int_equal(dedup_evicted(d), 1);
	assert_int_equal(dedup_count(d), DEDUP_MAX);
	assert_false(is_known(d, 0, "id"));
	assert_true(is_known(d, 1, "id1"));
	assert_true(is_known(d, DEDUP_MAX, "last"));
	dedup_forget(d, STR("id1"));
	assert_false(is_known(d, 1, "id1"));
	assert_int_equal(dedup_count(d), DEDUP_MAX - 1);
	add(d, DEDUP_MAX + 1, "refused", -EIO);
	assert_false(is_known(d, DEDUP_MAX + 1, "id"));
	(void)dedup_destroy(d);
}

static void a_restart_forgets_nothing(void **state)
{
	struct world *w = *state;
	struct dedup *d, *other;

	assert_int_equal(dedup_create(w->loop, w->journal, STR("x"), &d), 0);
	add(d, 1, "one", 0);
	loop_test_advance(w->loop, 300000);
	add(d, 2, "two", 0);
	add(d, 3, "three", -EIO);
	(void)dedup_destroy(d);
	assert_int_equal(dedup_create(w->loop, w->journal, STR("x"), &d), 0);
	assert_int_equal(dedup_create(w->loop, w->journal, STR("y"), &other), 0);
	assert_int_equal(dedup_count(d), 2);
	assert_int_equal(dedup_count(other), 0);
	assert_true(is_known(d, 1, "one"));
	assert_true(is_known(d, 2, "two"));
	(void)dedup_destroy(other);
	/* What ends is not stored any more. */
	loop_test_advance(w->loop, 600000);
	run_some(w->loop);
	assert_int_equal(dedup_count(d), 0);
	(void)dedup_destroy(d);
	assert_int_equal(dedup_create(w->loop, w->journal, STR("x"), &d), 0);
	assert_int_equal(dedup_count(d), 0);
	(void)dedup_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn)         cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
#define JOURNAL_TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup_journal, world_teardown)
		TEST(repetitions_are_known_by_what_is_said),
		TEST(a_repetition_is_known_for_ten_minutes),
		JOURNAL_TEST(a_repetition_waits_for_the_first),
		JOURNAL_TEST(what_waits_at_the_end_is_answered),
		TEST(the_oldest_makes_room),
		JOURNAL_TEST(a_restart_forgets_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
