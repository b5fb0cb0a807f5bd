/* SPDX-License-Identifier: MIT */
/* Readers that stay: what they have been sent so far, and messages to send. */
#ifndef VOXBUS_TESTS_FEED_TEST_H
#define VOXBUS_TESTS_FEED_TEST_H

#include "longpoll_test.h"

enum { ID_SIZE = 65 };

/* Posts to the queue; its id, unless ret_id is NULL. */
static inline void publish(struct world *w, const char *queue, const char *text,
			   char ret_id[ID_SIZE])
{
	char head[128];
	int status;

	(void)snprintf(head, sizeof(head), "POST /AC1/%s", queue);
	char *answer = ask(w, &status, head, text);
	assert_int_equal(status, 200);
	const char *id = strstr(answer, "X-Message-Id: ");
	assert_non_null(id);
	id += strlen("X-Message-Id: ");
	if (ret_id)
		(void)snprintf(ret_id, ID_SIZE, "%.*s", (int)strcspn(id, "\r"), id);
	free(answer);
}

static inline void read_start(struct client *c, struct world *w, const char *target)
{
	char head[384];

	client_open(c, w);
	(void)snprintf(head, sizeof(head), "GET /AC1/%s%csession=%s", target,
		       strchr(target, '?') ? '&' : '?', w->session);
	client_ask(c, head, NULL);
}

/* The same with further headers, each behind a CR LF: a version follows. */
static inline void read_start_with(struct client *c, struct world *w, const char *target,
				   const char *headers)
{
	char text[1024];

	client_open(c, w);
	int n = snprintf(text, sizeof(text),
			 "GET /AC1/%s%csession=%s HTTP/1.1\r\nHost: vb.test%s\r\n\r\n", target,
			 strchr(target, '?') ? '&' : '?', w->session, headers);
	assert_true(n > 0 && (size_t)n < sizeof(text));
	assert_int_equal(send(c->fd, text, (size_t)n, MSG_NOSIGNAL), n);
	run_some(w->loop);
}

/* What has come so far, with a NUL. */
static inline const char *so_far(struct client *c)
{
	for (int i = 0; i < 5; i++) {
		run_some(c->world->loop);
		(void)raw_read(c->fd, &c->in);
	}
	assert_int_equal(buf_reserve(&c->in, 1), 0);
	*buf_tail(&c->in) = 0;
	return buf_len(&c->in) ? buf_str(&c->in).p : "";
}

/* Waits until that has come. */
static inline void await_text(struct client *c, const char *text)
{
	for (int i = 0; i < 200 && !strstr(so_far(c), text); i++)
		(void)sched_yield();
	if (!strstr(so_far(c), text))
		fail_msg("no \"%s\" in: %s", text, so_far(c));
}

static inline bool has_come(struct client *c, const char *text)
{
	return strstr(so_far(c), text) != NULL;
}

/* One poll whose answer is whole: the piece is in it. */
static inline void read_expect(struct world *w, const char *target, const char *piece)
{
	struct client c;

	read_start(&c, w, target);
	(void)client_answer(&c);
	if (!strstr(c.text, piece))
		fail_msg("%s: no \"%s\" in %s", target, piece, c.text);
	client_close(&c);
	run_some(w->loop);
}

static inline void acknowledge(struct world *w, const char *target, int status, const char *piece)
{
	char head[512];

	(void)snprintf(head, sizeof(head), "DELETE /AC1/%s&session=%s", target, w->session);
	expect(w, status, piece, head, NULL);
}

/* The feed's looks at what has arrived. */
static inline void let_arrive(struct world *w)
{
	for (int i = 0; i < 4; i++) {
		loop_test_advance(w->loop, 30);
		run_some(w->loop);
	}
}

#endif
