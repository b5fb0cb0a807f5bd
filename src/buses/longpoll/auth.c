/* SPDX-License-Identifier: MIT */
/*
 * /auth: a session for a sid and a token, and its end. The one place where a password belongs.
 *
 *   GET, POST  Basic; ttl in the query or, of a POST, in the form -> 200, the session as text
 *   DELETE     with a session -> 204
 *
 * Both are answered when what they changed is durable: a session that was given survives a power cut, and
 * one that was ended does not come back. A journal that refuses doesn't keep anybody out: then the
 * session lives in memory alone, so that readers can make room on a full disk.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "buses/longpoll/longpoll_internal.h"
#include "codec/form.h"

enum { TTL_DEFAULT_MS = 3600 * 1000, TTL_MAX_MS = 24 * 3600 * 1000, TTL_TEXT_MAX = 64 };

/* An answer that waits for the disk. */
struct auth {
	struct list link; /* longpoll.auths */
	struct stream_sync sync;
	struct http_request *request;
	char token[RAND_UUID_SIZE]; /* empty: a session was ended */
};

static void auth_free(struct auth *auth)
{
	stream_sync_cancel(&auth->sync);
	list_del(&auth->link);
	explicit_bzero(auth->token, sizeof(auth->token));
	free(auth);
}

static void auth_answer(struct http_request *request, const char *token)
{
	const struct http_header no_store = { STR("Cache-Control"), STR("no-store") };

	if (!*token)
		answer_empty(request, 204, NULL, 0);
	else
		answer_reply(request,
			     &(struct http_reply){ .status = 200,
						   .content_type = STR("text/plain; charset=utf-8"),
						   .headers = &no_store,
						   .n_headers = 1,
						   .body = str_from(token) });
}

static void auth_gone(void *arg)
{
	auth_free(arg);
}

/* The answer is the same when the disk fails meanwhile: the session holds in memory. */
static void auth_durable(void *arg, int rc)
{
	struct auth *auth = arg;

	http_request_on_gone(auth->request, NULL, NULL);
	auth_answer(auth->request, auth->token);
	auth_free(auth);
}

void auths_abandon(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->auths) {
		struct auth *auth = container_of(it, struct auth, link);

		http_request_on_gone(auth->request, NULL, NULL);
		answer_retry(auth->request, 503, 5, "voxbus is stopping");
		auth_free(auth);
	}
}

/* Answers with the token, or with 204 if it is empty, when lsn is durable. */
static void answer_when_durable(struct longpoll *bus, struct http_request *request,
				const char *token, uint64_t lsn)
{
	struct auth *auth = lsn ? calloc(1, sizeof(*auth)) : NULL;

	if (lsn && !auth) {
		answer_refused(request, -ENOMEM);
		return;
	}
	if (!auth) {
		auth_answer(request, token);
		return;
	}
	auth->request = request;
	(void)snprintf(auth->token, sizeof(auth->token), "%s", token);
	list_init(&auth->link);
	list_add_tail(&bus->auths, &auth->link);
	stream_sync_init(&auth->sync, auth_durable, auth);
	streams_sync(hub_streams(bus->env.hub), lsn, &auth->sync);
	http_request_on_gone(request, auth_gone, auth);
}

/* False: it was answered. */
static bool ttl_of(struct http_request *request, uint64_t *ret)
{
	const struct http_request_info *info = http_request_info(request);
	struct str type = http_request_header(request, STR("Content-Type")), value;
	char text[TTL_TEXT_MAX];

	*ret = TTL_DEFAULT_MS;
	bool given = form_find(info->query, STR("ttl"), text, sizeof(text), &value);
	if (!given &&
	    str_eq_nocase(str_trim(str_cut(&type, ';')), STR("application/x-www-form-urlencoded")))
		given = form_find(info->body, STR("ttl"), text, sizeof(text), &value);
	if (!given)
		return true;
	int rc = str_duration_ms(value, ret);
	if ((rc < 0 && rc != -ERANGE) || *ret == 0) {
		answer_problem(request, 400, NULL, 0,
			       "ttl must be a time over zero, such as 90s, 10m, 2h or 3600");
		return false;
	}
	if (rc == -ERANGE || *ret > TTL_MAX_MS)
		*ret = TTL_MAX_MS;
	return true;
}

static void begin(struct longpoll *bus, struct http_request *request)
{
	struct account *account = access_basic(bus, request);
	char token[RAND_UUID_SIZE];
	uint64_t ttl_ms, lsn = 0;

	if (!account || !ttl_of(request, &ttl_ms))
		return;
	int rc = session_create(account, ttl_ms, token, &lsn);
	if (rc == -EAGAIN)
		answer_retry(request, 429, 60,
			     "the account has 10000 sessions; use one for many requests, end "
			     "those that are not needed with DELETE /auth");
	else if (rc < 0)
		answer_retry(request, 503, 1, "no session can be made now");
	else
		answer_when_durable(bus, request, token, lsn);
	explicit_bzero(token, sizeof(token));
}

static void end(struct longpoll *bus, struct http_request *request)
{
	const struct http_header bearer = { STR("WWW-Authenticate"), STR("Bearer") };
	char buffer[128];
	struct str token = access_session(request, buffer, sizeof(buffer));
	uint64_t lsn = 0;

	if (token.n && session_revoke(bus->env.accounts, token, &lsn)) {
		answer_when_durable(bus, request, "", lsn);
		return;
	}
	bus->auth_failures++;
	answer_problem(request, 401, &bearer, 1,
		       "there is no such session; it may have expired already");
}

void auth_handle(void *arg, struct http_request *request)
{
	struct longpoll *bus = arg;
	const struct http_request_info *info = http_request_info(request);
	struct str method = info->method;

	if (str_eq(method, STR("OPTIONS")))
		answer_preflight(request);
	else if (!str_eq(info->path, STR("/auth")) && !str_eq(info->path, STR("/auth/")))
		answer_problem(request, 404, NULL, 0, "there is only /auth here");
	else if (bus->stopped)
		answer_retry(request, 503, 5, "voxbus is stopping");
	else if (str_eq(method, STR("GET")) || str_eq(method, STR("POST")))
		begin(bus, request);
	else if (str_eq(method, STR("DELETE")))
		end(bus, request);
	else
		answer_method(request, STR("GET, POST, DELETE, OPTIONS"));
}
