/* SPDX-License-Identifier: MIT */
/*
 * /api/queues: the queues that clients of a bus have named, and how one is emptied.
 *
 * The walk over all queues costs a look at each, so a list stops at a limit but still counts the rest
 * (X-Total-Count). A purge is answered when it is durable: what was purged does not come back with
 * the next start.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/admin_internal.h"
#include "api/glob.h"
#include "base/clock.h"
#include "codec/form.h"
#include "core/queue_view.h"
#include "core/stream.h"

enum {
	QUEUES_DEFAULT = 1000,
	QUEUES_MAX = 5000,
	QUEUE_ROOM = 16384, /* a queue is not begun when less than this is left of the answer */
	NAME_MAX_BYTES = 2048,
};

struct walk {
	struct jout j;
	struct str glob;
	uint64_t now_ns, left, total;
};

static void queue_json(struct jout *j, const struct queue_view *view, uint64_t now_ns)
{
	jout_open(j, NULL, '{');
	jout_str(j, "account", view->account);
	jout_str(j, "name", view->name);
	jout_str(j, "bus", str_from(view->bus));
	jout_u64(j, "messages", view->messages);
	jout_u64(j, "under_way", view->under_way);
	jout_u64(j, "waiters", view->waiters);
	if (view->oldest_ns)
		jout_seconds(j, "oldest_s",
			     now_ns > view->oldest_ns ? (now_ns - view->oldest_ns) / 1000000 : 0);
	else
		jout_null(j, "oldest_s");
	jout_close(j, '}');
}

static void add_queue(void *arg, const struct queue_view *view)
{
	struct walk *w = arg;

	if (w->glob.p && !glob_match(w->glob, view->name))
		return;
	w->total++;
	if (w->left == 0 || buf_len(w->j.buf) + QUEUE_ROOM > ADMIN_ANSWER_MAX)
		return;
	w->left--;
	queue_json(&w->j, view, w->now_ns);
}

/* False, and it was answered. */
static bool read_query(struct walk *w, char glob[NAME_MAX_BYTES], struct http_request *request)
{
	struct str query = http_request_info(request)->query;
	struct form_pair pair;
	const char *wrong = NULL;

	while (form_next(&query, &pair) && !wrong) {
		if (form_name_is(&pair, STR("limit"))) {
			if (str_u64(pair.value, &w->left) < 0 || w->left > QUEUES_MAX)
				wrong = "limit must be a number from 0 to 5000.";
		} else if (form_name_is(&pair, STR("name"))) {
			if (pair.value.n > NAME_MAX_BYTES)
				wrong = "name must be a pattern of at most 2048 bytes.";
			else
				w->glob = str_make(glob, form_decode(glob, pair.value));
		}
	}
	if (wrong)
		http_problem(request, 400, str_from(wrong), NULL, 0);
	return !wrong;
}

void admin_queues(struct admin *admin, struct http_request *request)
{
	struct walk w = { .now_ns = clock_wall_ns(), .left = QUEUES_DEFAULT };
	char glob[NAME_MAX_BYTES], total[24];
	auto_buf struct buf body;

	buf_init(&body, ADMIN_ANSWER_MAX);
	if (!read_query(&w, glob, request))
		return;
	jout_init(&w.j, &body);
	jout_open(&w.j, NULL, '[');
	hub_each_queue(admin->env.hub, add_queue, &w);
	jout_close(&w.j, ']');
	if (jout_end(&w.j) < 0) {
		admin_answer(request, 500, STR(""), &body, jout_end(&w.j));
		return;
	}
	(void)snprintf(total, sizeof(total), "%" PRIu64, w.total);
	struct http_header headers[] = { { STR("Cache-Control"), STR("no-store") },
					 { STR("X-Total-Count"), str_from(total) } };
	struct http_reply reply = { .status = 200,
				    .content_type = STR("application/json"),
				    .headers = headers,
				    .n_headers = 2,
				    .body = buf_str(&body) };
	http_reply(request, &reply);
}

/* The name behind /api/queues/, decoded; empty: it is none. */
static struct str name_of(const struct http_request *request, char out[NAME_MAX_BYTES])
{
	struct str path = str_skip(http_request_info(request)->path, STR("/api/queues/").n);
	long n = path.n <= NAME_MAX_BYTES ? url_decode(out, path) : -1;
	struct str name = str_make(out, n > 0 ? (size_t)n : 0);

	while (name.n && name.p[name.n - 1] == '/')
		name.n--;
	return name;
}

static void answer_missing(struct http_request *request, int rc)
{
	if (rc == -EEXIST)
		http_problem(request, 409,
			     STR("Several accounts have a queue of that name: say ACCOUNT/NAME."),
			     NULL, 0);
	else if (rc == -ENOENT)
		http_problem(request, 404,
			     STR("No queue of that name has messages or somebody who waits."), NULL,
			     0);
	else
		http_problem(request, 503, STR("Memory is out."), NULL, 0);
}

static void show(void *arg, const struct queue_view *view)
{
	queue_json(arg, view, clock_wall_ns());
}

/* A purge that waits for the disk. */
struct purge {
	struct list link; /* admin.purges */
	struct stream_sync sync;
	struct http_request *request; /* NULL: the client has gone */
	uint64_t n;
};

static void purge_free(struct purge *purge)
{
	stream_sync_cancel(&purge->sync);
	list_del(&purge->link);
	free(purge);
}

static void purge_gone(void *arg)
{
	struct purge *purge = arg;

	purge_free(purge);
}

static void purge_done(void *arg, int rc)
{
	struct purge *purge = arg;
	auto_buf struct buf body;

	buf_init(&body, ADMIN_ANSWER_MAX);
	http_request_on_gone(purge->request, NULL, NULL);
	if (rc < 0) {
		http_problem(purge->request, 503,
			     STR("The queue is empty now, but the journal could not record it: the "
				 "messages may come back with the next start."),
			     &(struct http_header){ STR("Retry-After"), STR("10") }, 1);
	} else {
		rc = buf_addf(&body, "{\"purged\":%" PRIu64 "}", purge->n);
		admin_answer(purge->request, 200, STR("application/json"), &body, rc);
	}
	purge_free(purge);
}

void admin_purges_end(struct admin *admin)
{
	list_for_each_safe (it, &admin->purges) {
		struct purge *purge = container_of(it, struct purge, link);

		http_request_on_gone(purge->request, NULL, NULL);
		purge_free(purge);
	}
}

static void purge_queue(struct admin *admin, struct http_request *request, struct str name)
{
	struct purge *purge = calloc(1, sizeof(*purge));
	int rc = -ENOMEM;

	if (purge) {
		list_init(&purge->link);
		stream_sync_init(&purge->sync, purge_done, purge);
		rc = hub_purge_queue(admin->env.hub, name, &purge->sync, &purge->n);
	}
	if (rc < 0) {
		free(purge);
		answer_missing(request, rc);
		return;
	}
	log_info(admin->env.log, "queue purged", "queue=%.*s messages=%" PRIu64, STR_ARG(name),
		 purge->n);
	purge->request = request;
	list_add_tail(&admin->purges, &purge->link);
	http_request_on_gone(request, purge_gone, purge);
}

void admin_queue(struct admin *admin, struct http_request *request)
{
	char text[NAME_MAX_BYTES];
	struct str name = name_of(request, text);
	auto_buf struct buf body;
	struct jout j;
	int rc;

	buf_init(&body, ADMIN_ANSWER_MAX);
	if (!name.n) {
		http_problem(request, 400, STR("Name a queue, percent-encoded: /api/queues/NAME."),
			     NULL, 0);
		return;
	}
	if (str_eq(http_request_info(request)->method, STR("DELETE"))) {
		purge_queue(admin, request, name);
		return;
	}
	jout_init(&j, &body);
	rc = hub_find_queue(admin->env.hub, name, show, &j);
	if (rc < 0)
		answer_missing(request, rc);
	else
		admin_answer(request, 200, STR("application/json"), &body, jout_end(&j));
}
