/* SPDX-License-Identifier: MIT */
/* Who may publish, how much, how long it is kept and how safely. */
#include "longpoll_test.h"

#define FORM "Content-Type: application/x-www-form-urlencoded"

/* "POST <target>" with header lines: the head as client_ask wants it. */
static const char *post(const char *target, const char *lines)
{
	static char head[2048];

	(void)snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\n%s\r\nX-End:", target, lines);
	return head;
}

/* How many messages a poll gets. */
static int poll_count(struct world *w, const char *path)
{
	char head[256];
	int status, n = 0;

	(void)snprintf(head, sizeof(head),
		       "GET %s?timeout=0&max=100 HTTP/1.1\r\nAuthorization: Basic "
		       "QUMxOnNlY3JldA==\r\nX-End:",
		       path);
	char *text = ask(w, &status, head, NULL);
	assert_int_equal(status, 200);
	for (const char *p = text; (p = strstr(p, "{\"Hostname\"")); p++)
		n++;
	free(text);
	return n;
}

static void a_time_to_live_is_read_or_refused(void **state)
{
	static const struct {
		const char *target, *lines;
		int status;
		uint64_t lives_ms; /* and not a second longer */
	} cases[] = {
		{ "/AC1/q?ttl=10s", "X-A: b", 200, 10000 },
		{ "/AC1/q", "X-Ttl: 1m", 200, 60000 },
		{ "/AC1/q?ttl=10s", "X-Ttl: 20", 200, 20000 },
		{ "/AC1/a/call.xml/CA1", "X-A: b", 200, 3600000 },
		{ "/AC1/a/call.xml/CA1", "X-Ttl: 5s", 200, 5000 },
		{ "/AC1/q?ttl=9999h", "X-A: b", 200, 7ull * 24 * 3600 * 1000 },
		{ "/AC1/q?ttl=99999999999999999999h", "X-A: b", 200, 7ull * 24 * 3600 * 1000 },
		{ "/AC1/q?ttl=0", "X-A: b", 400, 0 },
		{ "/AC1/q?ttl=", "X-A: b", 400, 0 },
		{ "/AC1/q?ttl=-5s", "X-A: b", 400, 0 },
		{ "/AC1/q", "X-Ttl: soon", 400, 0 },
		{ "/AC1/q?ttl=5s", "X-Ttl: 0", 400, 0 },
	};
	struct world *w = *state;
	char path[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s %s\n", cases[i].target, cases[i].lines);
		expect(w, cases[i].status, cases[i].status == 400 ? "must be a time over" : NULL,
		       post(cases[i].target, cases[i].lines), "a=1");
		(void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(cases[i].target, "?"),
			       cases[i].target);
		if (cases[i].status != 200)
			continue;
		/* One that is looked at in time, and one that is not. */
		loop_test_advance(w->loop, cases[i].lives_ms - 1000);
		expect(w, 200, NULL, post(cases[i].target, cases[i].lines), "a=2");
		loop_test_advance(w->loop, 1000);
		assert_int_equal(poll_count(w, path), 1);
	}
	/* Other queues beside a call keep theirs. */
	expect(w, 200, NULL, "POST /AC1/a/call.xml", "a=1");
	expect(w, 200, NULL, "POST /AC1/a/call.xml/missed", "a=1");
	expect(w, 200, NULL, "POST /AC1/a/call.xml/CA1/b", "a=1");
	loop_test_advance(w->loop, 3600000 - 1);
	assert_int_equal(poll_count(w, "/AC1/a/call.xml"), 1);
	assert_int_equal(poll_count(w, "/AC1/a/call.xml/missed"), 1);
	assert_int_equal(poll_count(w, "/AC1/a/call.xml/CA1/b"), 1);
}

static void a_relaxed_publish_does_not_wait_for_the_disk(void **state)
{
	struct world *w = *state;
	struct client c;

	expect(w, 200, "X-Message-Id: ", "POST /AC1/q?durability=relaxed", "a=1");
	assert_int_equal(poll_count(w, "/AC1/q"), 1);
	expect(w, 400, "durability must be", "POST /AC1/q?durability=none", "a=1");
	w->conf.durability = DURABILITY_RELAXED;
	expect(w, 200, "X-Message-Id: ", "POST /AC1/q", "a=1");
	client_open(&c, w);
	client_ask(&c, "POST /AC1/q?durability=durable", "a=1");
	assert_false(client_has_answer(&c));
	client_close(&c);
}

static void messages_have_a_rate(void **state)
{
	struct world *w = *state;

	w->conf.rate = 2;
	w->conf.burst = 3;
	for (int i = 0; i < 3; i++)
		expect(w, 200, NULL, "POST /AC1/q", "a=1");
	expect(w, 429, "Retry-After: 1\r\n", "POST /AC1/q", "a=1");
	loop_test_advance(w->loop, 499);
	expect(w, 429, "may publish 2 messages a second", "POST /AC1/q", "a=1");
	loop_test_advance(w->loop, 1);
	expect(w, 200, NULL, "POST /AC1/q", "a=1");
	expect(w, 429, NULL, "POST /AC1/q", "a=1");
	loop_test_advance(w->loop, 1000000);
	for (int i = 0; i < 3; i++)
		expect(w, 200, NULL, "POST /AC1/q", "a=1");
	expect(w, 429, NULL, "POST /AC1/q", "a=1");
	assert_int_equal(world_stat(w, "limited"), 4);
	assert_int_equal(poll_count(w, "/AC1/q"), 7);
}

static void steps(struct world *w)
{
	for (int i = 0; i < 10; i++) {
		run_some(w->loop);
		(void)journal_step_write(w->journal);
		(void)journal_step_sync(w->journal);
	}
	run_some(w->loop);
}

static void stored_bytes_have_a_quota(void **state)
{
	struct world *w = *state;
	uint64_t before = world_stat(w, "stored_bytes");

	w->conf.durability = DURABILITY_RELAXED;
	w->conf.quota = before + 1500;
	expect(w, 200, NULL, "POST /AC1/q", "a=1");
	uint64_t one = world_stat(w, "stored_bytes") - before;
	assert_true(one > 200 && one < 500);
	int n = 1;
	for (int status = 200; status == 200; n++) {
		char *text = ask(w, &status, "POST /AC1/r", "a=1");
		assert_true(status == 200 || strstr(text, "may take 1500 (quota of the bus)"));
		free(text);
		assert_true(n < 10);
	}
	assert_true(n > 3);
	assert_true(world_stat(w, "stored_bytes") <= before + 1500 + 100);
	assert_int_equal(world_stat(w, "over_quota"), 1);
	steps(w);
	/* What somebody has got makes room. */
	assert_int_equal(poll_count(w, "/AC1/q"), 1);
	(void)poll_count(w, "/AC1/r");
	steps(w);
	assert_int_equal(world_stat(w, "stored_bytes"), 0);
	expect(w, 200, NULL, "POST /AC1/q", "a=1");
}

static void the_mode_says_who_may_publish(void **state)
{
	/* base64(HMAC-SHA1("secret", "http://vb.test:1/AC1/q" + "a" + "1")) */
#define SIGNED   "X-Twilio-Signature: IZQgS/DF8SONejBDBdkA02bNgmc="
#define UNSIGNED "X-Acme-Signature: RSOYDt4T1cUTdK1PDd93/VVr8B8="
	static const struct {
		const char *lines;
		int session; /* 1: the account's, 2: another's, in the query */
		int open, is_signed, is_session, either;
	} cases[] = {
		{ FORM, 0, 200, 401, 401, 401 },
		{ FORM, 1, 200, 401, 200, 200 },
		{ FORM, 2, 200, 401, 403, 403 },
		{ FORM "\r\n" SIGNED, 0, 200, 200, 401, 200 },
		{ FORM "\r\n" UNSIGNED, 0, 200, 403, 401, 403 },
		{ FORM "\r\n" UNSIGNED, 1, 200, 403, 200, 200 },
		{ FORM "\r\nAuthorization: x", 0, 200, 401, 401, 401 },
		{ FORM "\r\nAuthorization: x\r\n" SIGNED, 0, 200, 200, 401, 200 },
	};
	struct world *w = *state;
	char target[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const int wanted[] = { cases[i].open, cases[i].is_signed, cases[i].is_session,
				       cases[i].either };

		(void)snprintf(target, sizeof(target), "/AC1/q%s%s",
			       cases[i].session ? "?session=" : "",
			       cases[i].session == 1   ? w->session
			       : cases[i].session == 2 ? w->foreign
						       : "");
		for (int mode = PUBLISH_OPEN; mode <= PUBLISH_SIGNED_OR_SESSION; mode++) {
			print_message("%zu %d\n", i, mode);
			w->conf.publish = mode;
			expect(w, wanted[mode], wanted[mode] == 401 ? "WWW-Authenticate: " : NULL,
			       post(target, cases[i].lines), "a=1");
		}
	}
	/* A call's topics need a session whatever the mode is. */
	w->conf.publish = PUBLISH_SIGNED;
	expect(w, 401, NULL, post("/AC1/commands_x", FORM "\r\n" SIGNED), "a=1");
	/* What was signed is said, and no session in it. */
	expect(w, 403, "over http://vb.test:1/AC1/q?a=b&s%65ssion=***&c; if that is not the URL",
	       post("/AC1/q?a=b&s%65ssion=s3cret&c", FORM "\r\n" UNSIGNED), "a=1");
	expect(w, 403, "over http://vb.test:1/AC1/q; ", post("/AC1/q", FORM "\r\n" SIGNED), "a=2");
	assert_int_equal(world_stat(w, "signature_failures"), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn)         cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
#define JOURNAL_TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup_journal, world_teardown)
		TEST(a_time_to_live_is_read_or_refused),
		JOURNAL_TEST(a_relaxed_publish_does_not_wait_for_the_disk),
		TEST(messages_have_a_rate),
		JOURNAL_TEST(stored_bytes_have_a_quota),
		TEST(the_mode_says_who_may_publish),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
