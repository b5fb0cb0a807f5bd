/* SPDX-License-Identifier: MIT */
/* Who may do what: sessions, passwords, paths, and the answers to those who may not. */
#include "longpoll_test.h"

#define AC1  "Authorization: Basic QUMxOnNlY3JldA==" /* AC1:secret */
#define AC2  "Authorization: Basic QUMyOm90aGVy"     /* AC2:other */
#define FORM "Content-Type: application/x-www-form-urlencoded"

static const struct {
	const char *what, *head, *body;
	int status;
	const char *piece;
} auth_cases[] = {
	{ "right", "GET /auth\t\r\n" AC1, NULL, 200, "no-store" },
	{ "by POST", "POST /auth\t\r\n" AC1, "", 200, "Content-Length: 36\r\n" },
	{ "nothing shown", "GET /auth", NULL, 401, "WWW-Authenticate: Basic realm=\"pubsub\"" },
	{ "a wrong token", "GET /auth\t\r\nAuthorization: Basic QUMxOnNlY3JldAo=", NULL, 401,
	  NULL },
	{ "no base64", "GET /auth\t\r\nAuthorization: Basic !", NULL, 401, NULL },
	{ "no colon", "GET /auth\t\r\nAuthorization: Basic QUMx", NULL, 401, NULL },
	{ "a session is no password", "GET /auth\t\r\nAuthorization: Bearer x", NULL, 401, NULL },
	{ "lower case scheme", "GET /auth/\t\r\nAuthorization: basic QUMxOnNlY3JldA==", NULL, 200,
	  "text/plain; charset=utf-8" },
	{ "a time", "GET /auth?ttl=1h30m\t\r\n" AC1, NULL, 200, NULL },
	{ "a time in the form", "POST /auth\t\r\n" AC1 "\r\n" FORM, "ttl=0", 400, "ttl must be" },
	{ "no time", "GET /auth?ttl=soon\t\r\n" AC1, NULL, 400, "ttl must be" },
	{ "time zero", "GET /auth?ttl=0\t\r\n" AC1, NULL, 400, "ttl must be" },
	{ "a long time", "GET /auth?ttl=9999h\t\r\n" AC1, NULL, 200, NULL },
	{ "a longer time", "GET /auth?ttl=99999999999999999999h\t\r\n" AC1, NULL, 200, NULL },
	{ "PUT", "PUT /auth\t\r\n" AC1, "", 405, "Allow: GET, POST, DELETE, OPTIONS" },
	{ "below", "GET /auth/x\t\r\n" AC1, NULL, 404, NULL },
	{ "no session to end", "DELETE /auth", NULL, 401, NULL },
	{ "an unknown session to end", "DELETE /auth?session=x", NULL, 401, NULL },
	{ "preflight", "OPTIONS /auth", NULL, 204, "Access-Control-Max-Age: 86400" },
};

/* "GET /x<TAB>\r\nHeader: y" -> "GET /x HTTP/1.1\r\nHeader: y\r\nX-End:" for client_ask's end. */
static void request(char *out, size_t size, const char *head)
{
	const char *tab = strchr(head, '\t');

	if (!tab)
		(void)snprintf(out, size, "%s", head);
	else
		(void)snprintf(out, size, "%.*s HTTP/1.1%s\r\nX-End:", (int)(tab - head), head,
			       tab + 1);
}

static void a_session_is_given_for_sid_and_token(void **state)
{
	struct world *w = *state;
	char head[512];

	for (size_t i = 0; i < sizeof(auth_cases) / sizeof(auth_cases[0]); i++) {
		print_message("%s\n", auth_cases[i].what);
		request(head, sizeof(head), auth_cases[i].head);
		expect(w, auth_cases[i].status, auth_cases[i].piece, head, auth_cases[i].body);
	}
}

static void a_session_opens_what_is_its_accounts(void **state)
{
	static const struct {
		const char *what, *path; /* S: the session, F: the other account's */
		int status;
		const char *piece;
	} cases[] = {
		{ "raw", "GET /AC1/q?timeout=0\t\r\nAuthorization: S", 200, "[]" },
		{ "Bearer", "GET /AC1/q?timeout=0\t\r\nAuthorization: Bearer S", 200, "[]" },
		{ "in the query", "GET /AC1/q?timeout=0&session=S", 200, "[]" },
		{ "Basic", "GET /AC1/q?timeout=0\t\r\n" AC1, 200, "[]" },
		{ "none", "GET /AC1/q?timeout=0", 401, "WWW-Authenticate: Bearer\r\n" },
		{ "unknown", "GET /AC1/q?timeout=0&session=x", 401, "unknown or has expired" },
		{ "the header wins", "GET /AC1/q?timeout=0&session=S\t\r\nAuthorization: x", 401,
		  NULL },
		{ "the right header wins", "GET /AC1/q?timeout=0&session=x\t\r\nAuthorization: S",
		  200, NULL },
		{ "another account's", "GET /AC1/q?timeout=0&session=F", 403, NULL },
		{ "another account's Basic", "GET /AC1/q?timeout=0\t\r\n" AC2, 403, NULL },
		{ "a wrong Basic", "GET /AC1/q\t\r\nAuthorization: Basic eDp5", 401,
		  "WWW-Authenticate: Bearer\r\n" },
		{ "HEAD too", "HEAD /AC1/q", 401, NULL },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char head[512] = "", full[512];
		size_t n = 0;

		print_message("%s\n", cases[i].what);
		for (const char *p = cases[i].path; *p; p++) {
			bool mark = (*p == 'S' || *p == 'F') && p > cases[i].path &&
				    (p[-1] == '=' || p[-1] == ' ');

			n += (size_t)snprintf(head + n, sizeof(head) - n, "%.*s", mark ? 36 : 1,
					      !mark       ? p
					      : *p == 'S' ? w->session
							  : w->foreign);
		}
		request(full, sizeof(full), head);
		if (strncmp(full, "HEAD", 4) != 0)
			expect(w, cases[i].status, cases[i].piece, full, NULL);
	}
}

static void topics_of_calls_are_never_open(void **state)
{
	static const struct {
		const char *path;
		int get, post, session_get, session_post;
	} cases[] = {
		{ "/AC1/webhook", 401, 200, 200, 200 },
		{ "/AC1/hello", 401, 401, 200, 403 },
		{ "/AC1/%68ello", 401, 401, 200, 403 },
		{ "/AC1//hello/", 401, 401, 200, 403 },
		{ "/AC1/elsewhere", 401, 200, 200, 200 },
		{ "/AC1/events_x", 401, 401, 200, 403 },
		{ "/AC1/events%5Fx", 401, 401, 200, 403 },
		{ "/AC1/responses_x", 401, 401, 200, 403 },
		{ "/AC1/commands_x", 401, 401, 403, 400 },
		{ "/AC1/commands_", 401, 401, 403, 400 },
		{ "/AC1/Events_x", 401, 200, 200, 200 },
	};
	struct world *w = *state;
	char head[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].path);
		(void)snprintf(head, sizeof(head), "GET %s?timeout=0", cases[i].path);
		expect(w, cases[i].get, NULL, head, NULL);
		(void)snprintf(head, sizeof(head), "POST %s", cases[i].path);
		expect(w, cases[i].post, NULL, head, "x");
		(void)snprintf(head, sizeof(head), "PUT %s", cases[i].path);
		expect(w, cases[i].post, NULL, head, "x");
		(void)snprintf(head, sizeof(head), "GET %s?timeout=0&session=%s", cases[i].path,
			       w->session);
		expect(w, cases[i].session_get, NULL, head, NULL);
		(void)snprintf(head, sizeof(head), "POST %s?session=%s", cases[i].path, w->session);
		expect(w, cases[i].session_post, NULL, head, "x");
	}
	assert_null(w->command);
}

static void paths_are_queues_or_refused(void **state)
{
	static const struct {
		const char *what, *path;
		int status;
	} cases[] = {
		{ "plain", "/AC1/q", 200 },
		{ "a tree", "/AC1/calls/events/NodeId-11/x.xml", 200 },
		{ "UTF-8", "/AC1/%C3%A4%20%2B", 200 },
		{ "no UTF-8", "/AC1/%C3", 400 },
		{ "a control byte", "/AC1/a%1F", 400 },
		{ "DEL", "/AC1/a%7f", 400 },
		{ "NUL", "/AC1/a%00b", 400 },
		{ "line feed", "/AC1/a%0Ab", 400 },
		{ "here", "/AC1/./q", 400 },
		{ "up", "/AC1/x/../q", 400 },
		{ "up, escaped", "/AC1/x/%2e%2E/q", 400 },
		{ "up, all escaped", "/AC1/x%2f..%2fq", 400 },
		{ "three dots are a name", "/AC1/...", 200 },
		{ "a stray percent", "/AC1/100%", 400 },
		{ "no hex", "/AC1/%gg", 400 },
		{ "no queue", "/AC1", 404 },
		{ "no queue but slashes", "/AC1//", 404 },
		{ "another account", "/AC2/q", 404 },
		{ "nobody", "/ACx/q", 404 },
		{ "case counts", "/ac1/q", 404 },
		{ "root", "/", 404 },
		{ "the sid escaped", "/AC%31/q", 200 },
		{ "slashes first", "//AC1//q", 200 },
	};
	struct world *w = *state;
	char head[2200], name[1100];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].what);
		(void)snprintf(head, sizeof(head), "POST %s", cases[i].path);
		expect(w, cases[i].status, NULL, head, "a=1");
	}
	memset(name, 'a', sizeof(name));
	(void)snprintf(head, sizeof(head), "POST /AC1/%.1024s", name);
	expect(w, 200, NULL, head, "a=1");
	(void)snprintf(head, sizeof(head), "POST /AC1/%.1025s", name);
	expect(w, 400, "at most 1024 bytes", head, "a=1");
	expect(w, 405, "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS", "PATCH /AC1/q", NULL);
}

static void one_queue_has_many_spellings(void **state)
{
	struct world *w = *state;
	char head[256];

	expect(w, 200, NULL, "POST /AC1/a//b/", "x");
	expect(w, 200, NULL, "POST /AC1/%61%2Fb", "x");
	(void)snprintf(head, sizeof(head), "GET /AC1/a/b?session=%s", w->session);
	int status;
	char *text = ask(w, &status, head, NULL);
	assert_non_null(strstr(text, "\r\n,\n{"));
	free(text);
}

static void a_session_expires_and_a_waiting_poll_finishes(void **state)
{
	struct world *w = *state;
	struct client c;
	char head[256];
	int status;

	char *text = ask(w, &status, "GET /auth?ttl=10s HTTP/1.1\r\n" AC1 "\r\nX-End:", NULL);
	(void)snprintf(head, sizeof(head), "GET /AC1/q?timeout=20s&session=%s",
		       text + strlen(text) - 36);
	free(text);
	client_open(&c, w);
	client_ask(&c, head, NULL);
	assert_false(client_has_answer(&c));
	loop_test_advance(w->loop, 10000);
	expect(w, 401, NULL, head, NULL);
	expect(w, 200, NULL, "POST /AC1/q", "x");
	assert_int_equal(client_answer(&c), 200);
	client_close(&c);
}

static void a_session_can_be_ended(void **state)
{
	struct world *w = *state;
	char head[256];

	(void)snprintf(head, sizeof(head), "DELETE /auth?session=%s", w->session);
	expect(w, 204, NULL, head, NULL);
	expect(w, 401, NULL, head, NULL);
	(void)snprintf(head, sizeof(head), "GET /AC1/q?session=%s", w->session);
	expect(w, 401, NULL, head, NULL);
}

static void guessing_passwords_is_slowed_down(void **state)
{
	struct world *w = *state;
	const char *wrong = "GET /auth HTTP/1.1\r\nAuthorization: Basic eDp5\r\nX-End:";
	const char *right = "GET /auth HTTP/1.1\r\n" AC1 "\r\nX-End:";
	char head[256];

	for (int i = 0; i < 10; i++) {
		expect(w, 401, NULL, wrong, NULL);
		expect(w, 401, NULL,
		       "GET /AC1/q HTTP/1.1\r\nAuthorization: Basic eDp5\r\nX-End:", NULL);
	}
	loop_test_advance(w->loop, 500);
	expect(w, 429, "Retry-After: 60\r\n", wrong, NULL);
	expect(w, 429, "too many wrong passwords", right, NULL);
	/* A session is no password. */
	(void)snprintf(head, sizeof(head), "GET /AC1/q?timeout=0&session=%s", w->session);
	expect(w, 200, NULL, head, NULL);
	assert_int_equal(world_stat(w, "auth_failures"), 20);
	loop_test_advance(w->loop, 59500);
	expect(w, 200, NULL, right, NULL);
}

static void browsers_may_ask_from_everywhere(void **state)
{
	struct world *w = *state;

	expect(w, 204, "Access-Control-Allow-Headers: Authorization, Content-Type\r\n",
	       "OPTIONS /AC1/q", NULL);
	expect(w, 204, "Access-Control-Allow-Headers: x-a, authorization\r\n",
	       "OPTIONS /ACx/events_1 HTTP/1.1\r\nAccess-Control-Request-Headers: x-a, "
	       "authorization\r\nX-End:",
	       NULL);
	expect(w, 204, "Access-Control-Allow-Private-Network: true\r\n",
	       "OPTIONS /auth HTTP/1.1\r\nAccess-Control-Request-Private-Network: true\r\nX-End:",
	       NULL);
	expect(w, 401, "Access-Control-Expose-Headers: X-Message-Id, Retry-After, WWW-Authenticate",
	       "GET /AC1/q", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
		TEST(a_session_is_given_for_sid_and_token),
		TEST(a_session_opens_what_is_its_accounts),
		TEST(topics_of_calls_are_never_open),
		TEST(paths_are_queues_or_refused),
		TEST(one_queue_has_many_spellings),
		TEST(a_session_expires_and_a_waiting_poll_finishes),
		TEST(a_session_can_be_ended),
		TEST(guessing_passwords_is_slowed_down),
		TEST(browsers_may_ask_from_everywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
