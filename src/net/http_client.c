/* SPDX-License-Identifier: MIT */
/*
 * Calls to one origin: their queue, their deadlines, and the pool that serves them.
 *
 * A call that ends is first taken off everything and its link given to the next one; `done` comes
 * last, so that it may call, cancel or destroy whatever it likes. The link used last is used
 * first: what is not needed any more grows old and is closed.
 */
#include "net/http_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/http_client_internal.h"

enum {
	CONNS_MAX = 8,
	QUEUE_MAX = 1024,
	RESPONSE_MAX = 16 << 20,
	IDLE_MS = 10000,
	TIMEOUT_MS = 10000,
};

static void call_free(struct http_call *call)
{
	timer_stop(&call->deadline);
	buf_fini(&call->request);
	buf_fini(&call->body);
	free(call->head);
	free(call);
}

/* Off the queue or the running ones; a link that still serves it is closed. */
static void take_off(struct http_call *call)
{
	if (call->link)
		(void)http_link_destroy(call->link);
	list_del(&call->place);
	if (call->running)
		call->client->n_running--;
	else
		call->client->n_waiting--;
}

static void set_running(struct http_call *call)
{
	struct http_client *c = call->client;

	list_del(&call->place);
	list_add_tail(&c->running, &call->place);
	call->running = true;
	c->n_waiting--;
	c->n_running++;
}

static struct http_link *oldest_idle(struct http_client *c)
{
	return container_of(c->idle.prev, struct http_link, place);
}

static int serve(struct http_client *c, struct http_call *call)
{
	bool idle = !list_empty(&c->idle);

	if (idle && !call->repeated) {
		http_link_use(container_of(c->idle.next, struct http_link, place), call);
		return 0;
	}
	if (idle && c->n_links >= c->options.conns_max)
		(void)http_link_destroy(oldest_idle(c));
	return c->n_links < c->options.conns_max ? http_link_create(c, call) : -EAGAIN;
}

void http_client_dispatch(struct http_client *c)
{
	while (!list_empty(&c->waiting)) {
		struct http_call *call = container_of(c->waiting.next, struct http_call, place);

		/* Without memory for a link the call waits, at most until its deadline. */
		if (serve(c, call) < 0)
			return;
		set_running(call);
	}
}

void http_call_finish(struct http_call *call, int rc)
{
	struct http_response response = { .body = buf_str(&call->body) };

	take_off(call);
	timer_stop(&call->deadline);
	call->finished = true;
	if (rc == 0) {
		response.status = call->head->status;
		response.headers = call->head->headers;
		response.n_headers = call->head->n_headers;
	}
	call->done(call->arg, rc, rc == 0 ? &response : NULL);
	call_free(call);
}

void http_call_repeat(struct http_call *call)
{
	struct http_client *c = call->client;

	call->repeated = true;
	call->running = false;
	list_del(&call->place);
	list_add_head(&c->waiting, &call->place);
	c->n_running--;
	c->n_waiting++;
	http_client_dispatch(c);
}

static void on_deadline(void *arg)
{
	struct http_call *call = arg;
	struct http_client *c = call->client;

	/* Off the queue first: what is dispatched now must not be this one. */
	take_off(call);
	list_add_tail(&c->running, &call->place);
	call->running = true;
	c->n_running++;
	http_client_dispatch(c);
	http_call_finish(call, -ETIMEDOUT);
}

int http_client_create(struct loop *loop, struct str origin,
		       const struct http_client_options *options, struct http_client **ret,
		       struct err *e)
{
	struct http_client *c = calloc(1, sizeof(*c));
	struct http_client_options *o;
	int rc;

	if (!c)
		return err_set(e, -ENOMEM, "%.*s: out of memory", STR_ARG(origin));
	rc = endpoint_parse(origin, STR("http"), STR("http"), true, &c->endpoint, e);
	if (rc == 0 && c->endpoint.tls && !(options && options->tls))
		rc = err_set(e, -EINVAL, "%.*s: there are no settings for TLS", STR_ARG(origin));
	if (rc < 0) {
		free(c);
		return rc;
	}
	c->endpoint.target = STR("/"); /* lies in the caller's bytes, and is not wanted */
	c->loop = loop;
	list_init(&c->waiting);
	list_init(&c->running);
	list_init(&c->idle);
	list_init(&c->busy);
	o = &c->options;
	if (options)
		*o = *options;
	o->conns_max = o->conns_max ? o->conns_max : CONNS_MAX;
	o->queue_max = o->queue_max ? o->queue_max : QUEUE_MAX;
	o->response_max = o->response_max ? o->response_max : RESPONSE_MAX;
	o->idle_timeout_ms = o->idle_timeout_ms ? o->idle_timeout_ms : IDLE_MS;
	*ret = c;
	return 0;
}

static void drop_calls(struct list *calls)
{
	list_for_each_safe (it, calls) {
		struct http_call *call = container_of(it, struct http_call, place);

		take_off(call);
		call_free(call);
	}
}

struct http_client *http_client_destroy(struct http_client *c)
{
	if (!c)
		return NULL;
	drop_calls(&c->waiting);
	drop_calls(&c->running);
	while (!list_empty(&c->idle))
		(void)http_link_destroy(oldest_idle(c));
	free(c);
	return NULL;
}

/* RFC 9110 section 9.2.2. */
static bool is_idempotent(struct str method)
{
	return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) ||
	       str_eq(method, STR("PUT")) || str_eq(method, STR("DELETE")) ||
	       str_eq(method, STR("OPTIONS")) || str_eq(method, STR("TRACE"));
}

/* What frames the message is ours to say. */
static bool is_ours(struct str name)
{
	return str_eq_nocase(name, STR("Host")) || str_eq_nocase(name, STR("Connection")) ||
	       str_eq_nocase(name, STR("Content-Length")) ||
	       str_eq_nocase(name, STR("Transfer-Encoding"));
}

/* A length is said where a server may wait for a body (RFC 9110 section 8.6). */
static int write_length(struct buf *b, const struct http_call_init *init)
{
	char text[24];

	if (!init->body.n && !str_eq(init->method, STR("POST")) &&
	    !str_eq(init->method, STR("PUT")) && !str_eq(init->method, STR("PATCH")))
		return 0;
	(void)snprintf(text, sizeof(text), "%zu", init->body.n);
	return http_write_header(b, STR("Content-Length"), str_from(text));
}

static int write_request(struct buf *b, const struct http_client *c,
			 const struct http_call_init *init)
{
	int rc = http_write_request(b, init->method, init->target);

	if (rc == 0)
		rc = http_write_header(b, STR("Host"), str_from(c->endpoint.host));
	for (size_t i = 0; rc == 0 && i < init->n_headers; i++)
		rc = is_ours(init->headers[i].name)
			     ? -EINVAL
			     : http_write_header(b, init->headers[i].name, init->headers[i].value);
	if (rc == 0)
		rc = write_length(b, init);
	if (rc == 0)
		rc = http_write_end(b);
	if (rc == 0)
		rc = buf_add(b, init->body);
	return rc == -ENOBUFS ? -EINVAL : rc;
}

static int call_create(struct http_client *c, const struct http_call_init *init,
		       struct http_call **ret)
{
	struct http_call *call = calloc(1, sizeof(*call));
	int rc;

	if (!call)
		return -ENOMEM;
	call->client = c;
	call->done = init->done;
	call->on_data = init->on_data;
	call->arg = init->arg;
	call->timeout_ms = init->timeout_ms ? init->timeout_ms : TIMEOUT_MS;
	call->idempotent = is_idempotent(init->method);
	call->is_head = str_eq(init->method, STR("HEAD"));
	buf_init(&call->request, HTTP_REQUEST_MAX);
	buf_init(&call->body, c->options.response_max);
	timer_init(&call->deadline, c->loop, on_deadline, call);
	rc = write_request(&call->request, c, init);
	if (rc == 0)
		rc = timer_start(&call->deadline, call->timeout_ms);
	if (rc < 0)
		call_free(call);
	else
		*ret = call;
	return rc;
}

int http_client_call(struct http_client *c, const struct http_call_init *init,
		     struct http_call **ret)
{
	struct http_call *call;
	int rc;

	if (c->n_waiting >= c->options.queue_max)
		return -EAGAIN;
	rc = call_create(c, init, &call);
	if (rc < 0)
		return rc;
	list_add_tail(&c->waiting, &call->place);
	c->n_waiting++;
	http_client_dispatch(c);
	if (ret)
		*ret = call;
	return 0;
}

void http_call_cancel(struct http_call *call)
{
	struct http_client *c = call->client;

	if (call->finished)
		return;
	take_off(call);
	call_free(call);
	http_client_dispatch(c);
}

size_t http_client_busy(const struct http_client *c)
{
	return c->n_waiting + c->n_running;
}
