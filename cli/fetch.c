/* SPDX-License-Identifier: MIT */
/*
 * Requests to the daemon, made one at a time on a loop of their own.
 *
 * The answers are the daemon's; the sentences about what went wrong are made here, because the
 * person in front of the terminal needs to know what to do next.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "cli.h"
#include "client.h"
#include "loop/loop.h"
#include "net/http_client.h"
#include "net/tls.h"

enum { TIMEOUT_MS = 5000, LINE_MAX_BYTES = 4 << 20 };

struct fetch {
	struct loop *loop;
	const struct cli *cli;
	int rc; /* the call's result */
	bool interrupted;
	struct fetched *result;                      /* where the answer goes */
	struct buf line;                             /* what has come of the next line */
	void (*on_line)(void *arg, struct str line); /* NULL: a whole answer */
	void *arg;
};

static int explain(const struct cli *cli, int rc, struct err *e)
{
	const char *advice = "start it with `voxbusd`, or name another "
			     "socket with --socket";

	if (client_explain_tls(cli->origin, rc, e))
		return rc;
	switch (rc) {
	case -ENOENT:
		return err_set(e, rc, "voxbusd is not running: there is no %s; %s", cli->origin,
			       advice);
	case -ECONNREFUSED:
		return err_set(e, rc, "voxbusd is not running: nothing listens at %s; %s",
			       cli->origin, advice);
	case -EACCES:
	case -EPERM:
		return err_set(e, rc,
			       "permission denied at %s; run this as the user that voxbusd runs "
			       "as, or as root",
			       cli->origin);
	case -ETIMEDOUT:
		return err_set(e, rc, "no answer from voxbusd at %s within %d s", cli->origin,
			       TIMEOUT_MS / 1000);
	case -EBADMSG:
		return err_set(e, rc, "what answers at %s is not voxbusd", cli->origin);
	case -ECONNRESET:
	case -EPIPE:
		return err_set(e, rc, "voxbusd at %s has gone away", cli->origin);
	default:
		return err_set(e, rc, "can't talk to voxbusd at %s: %s", cli->origin,
			       strerror(-rc));
	}
}

int cli_explain_status(const struct cli *cli, const char *target, int status, struct err *e)
{
	switch (status) {
	case 401:
		return err_set(e, -EACCES,
			       "voxbusd at %s wants the admin token; give it with --token-file",
			       cli->origin);
	case 403:
		return err_set(e, -EACCES,
			       "voxbusd at %s refuses this address; use the one that it listens on",
			       cli->origin);
	case 404:
		return err_set(e, -ENOSYS,
			       "voxbusd at %s does not know %s; it is older than this command "
			       "(%s): restart it, or name another socket with --socket",
			       cli->origin, target, VOXBUS_VERSION);
	default:
		return err_set(e, -EBADMSG, "voxbusd at %s answered %d to %s", cli->origin, status,
			       target);
	}
}

static void on_done(void *arg, int rc, const struct http_response *response)
{
	struct fetch *f = arg;

	f->rc = rc;
	if (rc == 0) {
		f->result->status = response->status;
		f->rc = buf_add(&f->result->body, response->body);
	}
	for (size_t i = 0; rc == 0 && i < response->n_headers; i++)
		if (str_eq_nocase(response->headers[i].name, STR("X-Total-Count")))
			(void)str_u64(response->headers[i].value, &f->result->total);
	loop_stop(f->loop);
}

static void on_data(void *arg, struct str piece)
{
	struct fetch *f = arg;
	size_t end;

	if (buf_add(&f->line, piece) < 0) {
		f->rc = -EMSGSIZE;
		loop_stop(f->loop);
		return;
	}
	while ((end = str_find(buf_str(&f->line), '\n')) < buf_len(&f->line)) {
		f->on_line(f->arg, str_make(buf_str(&f->line).p, end));
		buf_consume(&f->line, end + 1);
	}
}

static void on_signal(void *arg, int signum)
{
	struct fetch *f = arg;

	f->interrupted = true;
	loop_stop(f->loop);
}

static int start(struct fetch *f, struct http_client *client, const char *method,
		 const char *target)
{
	char auth[300];
	struct http_header header = { STR("Authorization"), { 0 } };
	struct http_call_init init = { .method = str_from(method),
				       .target = str_from(target),
				       .headers = &header,
				       .n_headers = f->cli->token[0] != 0,
				       .timeout_ms = TIMEOUT_MS,
				       .done = on_done,
				       .on_data = f->on_line ? on_data : NULL,
				       .arg = f };

	(void)snprintf(auth, sizeof(auth), "Bearer %s", f->cli->token);
	header.value = str_from(auth);
	return http_client_call(client, &init, NULL);
}

/* Runs until the call is done: 0 (the answer is in f->result), or a negative errno, explained. */
static int run(struct fetch *f, const char *method, const char *target, struct err *e)
{
	struct http_client *client = NULL;
	struct tls_context *tls = NULL;
	int rc = loop_create(&f->loop);

	if (rc < 0)
		return err_set(e, rc, "no event loop: %s", strerror(-rc));
	rc = client_create(f->cli, f->loop, f->cli->origin, &tls, &client, e);
	if (rc < 0) {
		loop_destroy(f->loop);
		return rc;
	}
	if (f->on_line) {
		(void)loop_on_signal(f->loop, SIGINT, on_signal, f);
		(void)loop_on_signal(f->loop, SIGTERM, on_signal, f);
	}
	f->rc = start(f, client, method, target);
	if (f->rc == 0)
		loop_run(f->loop);
	http_client_destroy(client);
	(void)tls_context_destroy(tls);
	loop_destroy(f->loop);
	return f->rc < 0 && !f->interrupted ? explain(f->cli, f->rc, e) : 0;
}

int cli_ask(const struct cli *cli, const char *method, const char *target, struct fetched *ret,
	    struct err *e)
{
	struct fetch f = { .cli = cli, .result = ret };

	return run(&f, method, target, e);
}

int cli_fetch(const struct cli *cli, const char *target, int also, struct fetched *ret,
	      struct err *e)
{
	int rc = cli_ask(cli, "GET", target, ret, e);

	if (rc == 0 && ret->status != 200 && ret->status != also)
		rc = cli_explain_status(cli, target, ret->status, e);
	return rc;
}

int cli_stream(const struct cli *cli, const char *target,
	       void (*on_line)(void *arg, struct str line), void *arg, struct err *e)
{
	struct fetched result = { 0 };
	struct fetch f = { .cli = cli, .result = &result, .on_line = on_line, .arg = arg };
	int rc;

	buf_init(&f.line, LINE_MAX_BYTES);
	buf_init(&result.body, LINE_MAX_BYTES);
	rc = run(&f, "GET", target, e);
	if (rc == 0 && !f.interrupted)
		rc = result.status == 200 ? explain(cli, -EPIPE, e)
					  : cli_explain_status(cli, target, result.status, e);
	buf_fini(&f.line);
	buf_fini(&result.body);
	return rc;
}
