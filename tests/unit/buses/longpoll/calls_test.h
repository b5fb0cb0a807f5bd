/* SPDX-License-Identifier: MIT */
/* What the tests of calls share: a phone network's requests, and a reader's. */
#ifndef VOXBUS_TESTS_CALLS_TEST_H
#define VOXBUS_TESTS_CALLS_TEST_H

#include "longpoll_test.h"

#define POST_FORM(path) \
	"POST " path " HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nX-End:"
#define POST_XML(path)  "POST " path " HTTP/1.1\r\nContent-Type: text/xml\r\nX-End:"
#define POST_JSON(path) "POST " path " HTTP/1.1\r\nContent-Type: application/json\r\nX-End:"

#define CALL  POST_FORM("/AC1/call.xml")
#define AGAIN POST_FORM("/AC1/call.xml/CA7/")
#define SAY   POST_XML("/AC1/call.xml/CA7")

#define CA7      "AccountSid=AC1&CallSid=CA7&FromState=CA"
#define REDIRECT "\r\n\r\n<Response><Redirect>/AC1/call.xml/CA7/</Redirect></Response>"
#define HELLO    "<Response><Gather action=\"/x?a=1&b=2\"/></Response>"

/* A request that waits when this returns. */
static inline void wait_start(struct client *c, struct world *w, const char *head, const char *body)
{
	uint64_t waiters = world_stat(w, "waiters");

	client_open(c, w);
	client_ask(c, head, body);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == waiters + 1);
}

static inline char *poll_head(const struct world *w, const char *queue, const char *params)
{
	static char head[512];

	(void)snprintf(head, sizeof(head), "GET /AC1/%s?session=%s%s", queue, w->session, params);
	return head;
}

/* What a poll that does not wait gets now; piece NULL: nothing. */
static inline void expect_poll(struct world *w, const char *queue, const char *params,
			       const char *piece)
{
	int status;
	char *text = ask(w, &status, poll_head(w, queue, params), NULL);

	assert_int_equal(status, 200);
	if (piece ? !strstr(text, piece) : !strstr(text, "[]\n"))
		fail_msg("%s: expected %s, got %s", queue, piece ? piece : "nothing", text);
	free(text);
}

static inline void expect_end(struct client *c, const char *end)
{
	size_t n = strlen(end), m;

	assert_int_equal(client_answer(c), 200);
	m = strlen(c->text);
	if (m < n || strcmp(c->text + m - n, end) != 0)
		fail_msg("expected ...%s, got %s", end, c->text);
}

#endif
