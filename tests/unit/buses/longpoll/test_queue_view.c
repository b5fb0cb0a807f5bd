/* SPDX-License-Identifier: MIT */
/* Queues as the people who run the daemon see them: which there are, what is in them, emptying one. */
#include "longpoll_test.h"

#include <errno.h>

#include "core/queue_view.h"
#include "core/stream.h"

struct seen {
	size_t n;
	char text[1024]; /* "name messages under_way waiters\n" each */
};

static void see(void *arg, const struct queue_view *view)
{
	struct seen *seen = arg;
	size_t at = strlen(seen->text);

	seen->n++;
	assert_true(str_eq(view->account, STR("AC1")));
	assert_string_equal(view->bus, "http");
	assert_int_equal(view->oldest_ns > 0, view->messages > 0);
	(void)snprintf(seen->text + at, sizeof(seen->text) - at, "%.*s %d %d %d\n",
		       STR_ARG(view->name), (int)view->messages, (int)view->under_way,
		       (int)view->waiters);
}

static void assert_queue(struct world *w, const char *name, const char *want)
{
	struct seen seen = { 0 };

	assert_int_equal(hub_find_queue(w->hub, str_from(name), see, &seen), 0);
	assert_string_equal(seen.text, want);
}

static void publish(struct world *w, const char *queue, int n)
{
	char head[128];
	struct client c;

	for (int i = 0; i < n; i++) {
		client_open(&c, w);
		(void)snprintf(head, sizeof(head), "POST /AC1/%s", queue);
		client_ask(&c, head, "a=1");
		RUN_UNTIL(w->loop, client_has_answer(&c));
		client_close(&c);
	}
}

static void poll_start(struct client *c, struct world *w, const char *queue)
{
	char head[256];
	uint64_t waiters = world_stat(w, "waiters");

	client_open(c, w);
	(void)snprintf(head, sizeof(head), "GET /AC1/%s?timeout=60s&session=%s", queue, w->session);
	client_ask(c, head, NULL);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == waiters + 1);
}

static void queues_with_messages_or_waiters_are_seen(void **state)
{
	struct world *w = *state;
	struct seen seen = { 0 };
	struct client one, two;

	hub_each_queue(w->hub, see, &seen);
	assert_int_equal(seen.n, 0);
	publish(w, "a/b", 3);
	poll_start(&one, w, "bare");
	poll_start(&two, w, "bare");
	world_call(w); /* whose topics are no queues */
	hub_each_queue(w->hub, see, &seen);
	assert_int_equal(seen.n, 2);
	assert_non_null(strstr(seen.text, "a/b 3 0 0\n"));
	assert_non_null(strstr(seen.text, "bare 0 0 2\n"));
	assert_queue(w, "a/b", "a/b 3 0 0\n");
	assert_queue(w, "AC1/a/b", "a/b 3 0 0\n");
	assert_queue(w, "bare", "bare 0 0 2\n");
	client_close(&one);
	client_close(&two);
}

static void what_is_no_queue_is_not_found(void **state)
{
	static const char *const names[] = { "",      "nope",  "AC1",      "AC1/",
					     "AC2/a", "hello", "AC1/hello" };
	struct world *w = *state;
	struct stream_sync sync;
	struct seen seen = { 0 };
	uint64_t n = 7;

	world_call(w);
	publish(w, "a", 1);
	stream_sync_init(&sync, NULL, NULL);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct str name = str_from(names[i]);

		assert_int_equal(hub_find_queue(w->hub, name, see, &seen), -ENOENT);
		assert_int_equal(hub_purge_queue(w->hub, name, &sync, &n), -ENOENT);
	}
	assert_int_equal(seen.n, 0);
	assert_int_equal(n, 7);
	assert_queue(w, "a", "a 1 0 0\n");
}

static void on_synced(void *arg, int rc)
{
	int *calls = arg;

	assert_int_equal(rc, 0);
	++*calls;
}

static void a_purge_empties_the_queue_for_those_who_come(void **state)
{
	struct world *w = *state;
	struct stream_sync sync;
	struct client c;
	uint64_t n = 0;
	int calls = 0;

	publish(w, "q", 5);
	stream_sync_init(&sync, on_synced, &calls);
	assert_int_equal(hub_purge_queue(w->hub, STR("q"), &sync, &n), 0);
	assert_int_equal(n, 5);
	assert_int_equal(calls, 0);
	RUN_UNTIL(w->loop, calls == 1);
	assert_int_equal(hub_purge_queue(w->hub, STR("q"), &sync, &n), -ENOENT);
	poll_start(&c, w, "q");
	assert_queue(w, "q", "q 0 0 1\n");
	publish(w, "q", 1);
	RUN_UNTIL(w->loop, client_has_answer(&c));
	assert_non_null(strstr(c.text, "\"Body\":\"a=1\""));
	client_close(&c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(queues_with_messages_or_waiters_are_seen,
						world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(what_is_no_queue_is_not_found, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_purge_empties_the_queue_for_those_who_come,
						world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
