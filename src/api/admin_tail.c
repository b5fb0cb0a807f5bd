/* SPDX-License-Identifier: MIT */
/*
 * /api/tail: what goes through the hub, as it goes.
 *
 * A tail is an observer: nothing waits for it and nothing is kept for it. Each message is written
 * as a line once and given to all tails whose glob matches its topic. A reader who does not keep
 * up (PENDING_MAX bytes on their way to it) loses messages; they are counted, and the number goes
 * out as {"lost":n} as soon as there is room, by the next message or by the timer.
 *
 *   hub -> observer -> line -> tail 1 (glob, pending, lost)
 *                           -> tail 2
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "api/admin_internal.h"
#include "api/glob.h"
#include "api/tail_line.h"
#include "codec/form.h"

enum {
	TAILS_MAX = 16,
	TOPIC_MAX = 256,
	PENDING_MAX = 1 << 20,
	LOST_RETRY_MS = 200,
};

struct tail {
	struct list link; /* admin.tails */
	struct admin *admin;
	struct http_request *request;
	struct buf glob;
	uint64_t lost; /* not told yet */
};

static void tail_free(struct tail *t)
{
	list_del(&t->link);
	t->admin->n_tails--;
	if (t->admin->n_tails == 0)
		t->admin->observer = observer_destroy(t->admin->observer);
	buf_fini(&t->glob);
	free(t);
}

static void tail_gone(void *arg)
{
	tail_free(arg);
}

static bool tail_put(struct tail *t, struct str line)
{
	if (http_stream_pending(t->request) + line.n > PENDING_MAX)
		return false;
	return http_stream_write(t->request, &line, 1) == 0;
}

/* True when nothing is left to tell. */
static bool tell_lost(struct tail *t)
{
	char line[48];
	int n;

	if (t->lost == 0)
		return true;
	n = snprintf(line, sizeof(line), "{\"lost\":%" PRIu64 "}\n", t->lost);
	if (!tail_put(t, str_make(line, (size_t)n)))
		return false;
	t->lost = 0;
	return true;
}

static void tail_message(struct tail *t, struct str line)
{
	if (line.n && tell_lost(t) && tail_put(t, line))
		return;
	t->lost++;
	t->admin->tail_lost++;
	if (!timer_running(&t->admin->tail_timer))
		(void)timer_start(&t->admin->tail_timer, LOST_RETRY_MS);
}

void admin_tail_timer(void *arg)
{
	struct admin *admin = arg;
	bool again = false;

	list_for_each (it, &admin->tails)
		again |= !tell_lost(container_of(it, struct tail, link));
	if (again)
		(void)timer_start(&admin->tail_timer, LOST_RETRY_MS);
}

/* The line is made when the first tail wants it; one that can't be made is lost to all. */
static void observe(void *arg, const struct msg *msg)
{
	struct admin *admin = arg;
	auto_buf struct buf line;
	bool made = false;

	buf_init(&line, TAIL_LINE_MAX);
	list_for_each (it, &admin->tails) {
		struct tail *t = container_of(it, struct tail, link);

		if (!glob_match(buf_str(&t->glob), msg->topic))
			continue;
		if (!made && tail_line(msg, &line) < 0)
			buf_clear(&line);
		made = true;
		tail_message(t, buf_str(&line));
	}
}

/* Without the parameter it is "*"; -EBADMSG: there is one, and it is empty or too long. */
static int read_glob(struct str query, struct buf *ret)
{
	struct str rest = query, value;
	struct form_pair pair;
	char text[TOPIC_MAX];

	while (form_next(&rest, &pair)) {
		if (!form_name_is(&pair, STR("topic")))
			continue;
		if (!form_find(query, STR("topic"), text, sizeof(text), &value) || value.n == 0)
			return -EBADMSG;
		return buf_add(ret, value);
	}
	return buf_addc(ret, '*');
}

static int tail_create(struct admin *admin, struct http_request *request, struct tail **ret)
{
	struct tail *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	t->admin = admin;
	t->request = request;
	list_init(&t->link);
	buf_init(&t->glob, TOPIC_MAX);
	admin->n_tails++;
	rc = read_glob(http_request_info(request)->query, &t->glob);
	if (rc == 0 && !admin->observer)
		rc = hub_observe(admin->env.hub, observe, admin, &admin->observer);
	if (rc < 0) {
		tail_free(t);
		return rc;
	}
	list_add_tail(&admin->tails, &t->link);
	*ret = t;
	return 0;
}

static int tail_begin(struct admin *admin, struct http_request *request,
		      const struct http_reply *reply)
{
	struct tail *t;
	int rc = tail_create(admin, request, &t);

	if (rc < 0)
		return rc;
	http_request_on_gone(request, tail_gone, t);
	rc = http_stream_begin(request, reply);
	if (rc == 0 || rc == -EPIPE)
		return 0; /* -EPIPE: tail_gone follows */
	http_request_on_gone(request, NULL, NULL);
	tail_free(t);
	return rc;
}

void admin_tail(struct admin *admin, struct http_request *request)
{
	struct http_header no_store = { STR("Cache-Control"), STR("no-store") };
	struct http_reply reply = { .status = 200,
				    .content_type = STR("application/x-ndjson"),
				    .headers = &no_store,
				    .n_headers = 1 };
	int rc;

	if (str_eq(http_request_info(request)->method, STR("HEAD"))) {
		http_reply(request, &reply);
		return;
	}
	if (admin->stopping || admin->n_tails >= TAILS_MAX) {
		http_problem(request, 503,
			     admin->stopping ? STR("voxbusd is stopping.")
					     : STR("At most 16 tails run at once."),
			     NULL, 0);
		return;
	}
	rc = tail_begin(admin, request, &reply);
	if (rc == -EBADMSG)
		http_problem(request, 400, STR("topic must be a glob of 1 to 256 bytes."), NULL, 0);
	else if (rc < 0)
		http_problem(request, 503, STR("Memory is out."), NULL, 0);
}

void admin_tails_end(struct admin *admin)
{
	list_for_each_safe (it, &admin->tails) {
		struct tail *t = container_of(it, struct tail, link);

		http_request_on_gone(t->request, NULL, NULL);
		http_stream_end(t->request);
		tail_free(t);
	}
}
