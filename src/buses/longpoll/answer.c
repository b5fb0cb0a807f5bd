/* SPDX-License-Identifier: MIT */
/*
 * Answers, the refusals among them. Two things are the same for all: the CORS headers (a browser's
 * script must be able to read an error too; the server puts them on its own refusals as well), and
 * that a refusal is a problem document (RFC 9457) whose detail tells the client's author what to do.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "buses/longpoll/longpoll_internal.h"

enum { HEADERS_MAX = 8, DETAIL_MAX = 512 };

const struct http_header answer_cors[] = {
	{ STR_INIT("Access-Control-Allow-Origin"), STR_INIT("*") },
	{ STR_INIT("Access-Control-Expose-Headers"),
	  STR_INIT("X-Message-Id, Retry-After, WWW-Authenticate") },
};
enum { N_CORS = ANSWER_CORS };
_Static_assert(sizeof(answer_cors) / sizeof(answer_cors[0]) == N_CORS, "as the header says");

static size_t with_cors(struct http_header *out, const struct http_header *headers, size_t n)
{
	if (n > HEADERS_MAX)
		n = HEADERS_MAX;
	memcpy(out, answer_cors, sizeof(answer_cors));
	if (n)
		memcpy(out + N_CORS, headers, n * sizeof(*headers));
	return N_CORS + n;
}

void answer_reply(struct http_request *request, const struct http_reply *reply)
{
	struct http_header headers[N_CORS + HEADERS_MAX];
	struct http_reply full = *reply;

	full.n_headers = with_cors(headers, reply->headers, reply->n_headers);
	full.headers = headers;
	http_reply(request, &full);
}

void answer_empty(struct http_request *request, int status, const struct http_header *headers,
		  size_t n)
{
	answer_reply(request,
		     &(struct http_reply){ .status = status, .headers = headers, .n_headers = n });
}

int answer_stream(struct http_request *request, const struct http_reply *reply)
{
	struct http_header headers[N_CORS + HEADERS_MAX];
	struct http_reply full = *reply;

	full.n_headers = with_cors(headers, reply->headers, reply->n_headers);
	full.headers = headers;
	return http_stream_begin(request, &full);
}

void answer_detail(struct http_request *request, int status, const struct http_header *headers,
		   size_t n, struct str detail)
{
	struct http_header all[N_CORS + HEADERS_MAX];
	size_t n_all = with_cors(all, headers, n);

	http_problem(request, status, detail, all, n_all);
}

void answer_problem(struct http_request *request, int status, const struct http_header *headers,
		    size_t n, const char *fmt, ...)
{
	char detail[DETAIL_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	answer_detail(request, status, headers, n, str_from(detail));
}

void answer_retry(struct http_request *request, int status, unsigned seconds, const char *fmt, ...)
{
	char detail[DETAIL_MAX], after[16];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	(void)snprintf(after, sizeof(after), "%u", seconds);
	answer_detail(request, status, &(struct http_header){ STR("Retry-After"), str_from(after) },
		      1, str_from(detail));
}

void answer_method(struct http_request *request, struct str allow)
{
	answer_problem(request, 405, &(struct http_header){ STR("Allow"), allow }, 1,
		       "this path takes %.*s", STR_ARG(allow));
}

void answer_preflight(struct http_request *request)
{
	struct str wanted = http_request_header(request, STR("Access-Control-Request-Headers"));
	struct str private =
		http_request_header(request, STR("Access-Control-Request-Private-Network"));
	struct http_header headers[] = {
		{ STR("Access-Control-Allow-Methods"),
		  STR("GET, HEAD, POST, PUT, DELETE, OPTIONS") },
		{ STR("Access-Control-Allow-Headers"),
		  wanted.n ? wanted : STR("Authorization, Content-Type") },
		{ STR("Access-Control-Max-Age"), STR("86400") },
		{ STR("Vary"), STR("Access-Control-Request-Headers") },
		{ STR("Access-Control-Allow-Private-Network"), STR("true") },
	};
	size_t n = sizeof(headers) / sizeof(headers[0]);

	answer_empty(request, 204, headers, str_eq_nocase(private, STR("true")) ? n : n - 1);
}

void answer_refused(struct http_request *request, int rc)
{
	switch (rc) {
	case -ENOENT:
		answer_problem(request, 404, NULL, 0,
			       "no call has this dialog: it has ended, or never was");
		break;
	case -EBUSY:
		answer_retry(request, 429, 1,
			     "too many commands of this dialog wait; send it again later");
		break;
	case -ENOSPC:
		answer_problem(request, 507, NULL, 0,
			       "the journal has reached its quota or the disk is full; nothing was "
			       "stored; read or purge queues, or give it more room");
		break;
	case -EMSGSIZE:
		answer_problem(request, 413, NULL, 0, "the message is too large to be stored");
		break;
	case -EAGAIN:
		answer_retry(request, 503, 1,
			     "the journal is behind for now; nothing was stored; send it again");
		break;
	case -ECANCELED:
		answer_retry(request, 503, 5,
			     "voxbus is stopping; whether this was stored is unknown");
		break;
	case -EIO:
		answer_retry(request, 503, 10,
			     "the journal can't write to its disk; nothing is acknowledged until "
			     "the operator has seen to it");
		break;
	default:
		answer_retry(request, 503, 1, "voxbus can't take this message now: %s",
			     strerror(-rc));
		break;
	}
}
