/* SPDX-License-Identifier: MIT */
/* Requests to the public API: their address, their account, and what to say when they fail. */
#include "pubsub.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "cmd_internal.h"
#include "codec/base64.h"
#include "loop/loop.h"
#include "net/http_client.h"
#include "net/tls.h"

enum { SID_SIZE = 128, TOKEN_SIZE = 264, BASIC_SIZE = 560, FILE_MAX = 4096, HEADERS_MAX = 8 };

struct pubsub {
	struct cli *cli;
	struct loop *loop;
	struct tls_context *tls;
	struct http_client *client;
	struct timer timer;
	char url[CLI_ORIGIN_SIZE];
	char data_dir[CLI_ORIGIN_SIZE]; /* "": not known */
	char sid[SID_SIZE], token[TOKEN_SIZE];
	char basic[BASIC_SIZE]; /* "": no token */
	/* of the request under way */
	struct fetched *answer;
	int rc;
	bool finish, interrupted;
};

int path_add_encoded(struct buf *out, const char *path)
{
	struct str s = str_from(path);
	int rc = 0;

	while (s.n && s.p[0] == '/')
		s = str_skip(s, 1);
	while (s.n && s.p[s.n - 1] == '/')
		s.n--;
	for (size_t i = 0; i < s.n && rc == 0; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
			     (c && strchr("-._~/", c));

		rc = plain ? buf_addc(out, (char)c) : buf_addf(out, "%%%02X", c);
	}
	return rc;
}

void problem_detail(const struct fetched *answer, char *out, size_t size)
{
	struct str body = buf_str(&answer->body);
	cJSON *problem = cJSON_ParseWithLength(body.p, body.n);

	(void)snprintf(out, size, "%s", json_text(problem, "detail"));
	cJSON_Delete(problem);
}

/* "http://0.0.0.0:8090" is where it listens; it is reached at 127.0.0.1. */
static int set_url(struct pubsub *p, const char *listen, struct err *e)
{
	static const struct {
		const char *any, *local;
	} wildcards[] = { { "://0.0.0.0", "://127.0.0.1" }, { "://[::]", "://[::1]" } };
	int n = snprintf(p->url, sizeof(p->url), "%s", listen);

	for (size_t i = 0; i < 2; i++) {
		const char *at = strstr(listen, wildcards[i].any);

		if (at)
			n = snprintf(p->url, sizeof(p->url), "%.*s%s%s", (int)(at - listen), listen,
				     wildcards[i].local, at + strlen(wildcards[i].any));
	}
	return n < 0 || (size_t)n >= sizeof(p->url) ? err_set(e, -EINVAL, "the address is too long")
						    : 0;
}

/* What the daemon of this machine says: its data directory, and its address if none was given. */
static int ask_daemon(struct pubsub *p, struct err *e)
{
	struct cli cli = *p->cli;
	struct fetched f = { 0 };
	cJSON *status = NULL;
	int rc;

	cli.url = NULL; /* it is the public one here */
	buf_init(&f.body, CLIENT_BODY_MAX);
	rc = cli_find_daemon(&cli, e);
	if (rc == 0)
		rc = cli_fetch(&cli, "/api/status", 0, &f, e);
	if (rc == 0)
		status = cJSON_ParseWithLength(buf_str(&f.body).p, buf_len(&f.body));
	const cJSON *http = cJSON_GetObjectItem(status, "http");
	const char *listen =
		cJSON_GetStringValue(cJSON_GetArrayItem(cJSON_GetObjectItem(http, "listen"), 0));

	(void)snprintf(p->data_dir, sizeof(p->data_dir), "%s", json_text(status, "data_dir"));
	if (rc == 0 && !p->url[0])
		rc = listen ? set_url(p, listen, e)
			    : err_set(e, -ENOENT,
				      "voxbusd at %s listens nowhere for HTTP clients; set "
				      "http.listen, or name another daemon with --url",
				      cli.origin);
	cJSON_Delete(status);
	buf_fini(&f.body);
	return rc;
}

static void copy_value(struct str text, struct str key, char *out, size_t size)
{
	while (text.p) {
		struct str line = str_trim(str_cut(&text, '\n'));

		if (str_starts(line, key) && line.n - key.n < size)
			(void)snprintf(out, size, "%.*s", STR_ARG(str_skip(line, key.n)));
	}
}

static int read_account_file(struct pubsub *p, struct err *e)
{
	char path[CLI_ORIGIN_SIZE + 16], text[FILE_MAX];
	int fd;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/account", p->data_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (n < 0) {
		int rc = -errno;

		if (fd >= 0)
			(void)close(fd);
		if (rc == -ENOENT)
			return err_set(e, rc,
				       "which account? set VOXBUS_SID and VOXBUS_TOKEN to one of "
				       "`accounts` in the daemon's configuration (%s is not there)",
				       path);
		return err_set(e, rc,
			       "can't read the account in %s: %s; run this as the user that "
			       "voxbusd runs as, or set VOXBUS_SID and VOXBUS_TOKEN",
			       path, strerror(-rc));
	}
	(void)close(fd);
	copy_value(str_make(text, (size_t)n), STR("VOXBUS_SID="), p->sid, sizeof(p->sid));
	copy_value(str_make(text, (size_t)n), STR("VOXBUS_TOKEN="), p->token, sizeof(p->token));
	explicit_bzero(text, sizeof(text));
	return p->sid[0] ? 0 : err_set(e, -EINVAL, "%s has no line VOXBUS_SID=...", path);
}

static int find_account(struct pubsub *p, struct err *e)
{
	const char *sid = getenv("VOXBUS_SID"), *token = getenv("VOXBUS_TOKEN");
	struct err why;
	int rc = 0;

	if (sid && sid[0]) {
		if (strlen(sid) >= sizeof(p->sid) || strlen(token ? token : "") >= sizeof(p->token))
			return err_set(e, -EINVAL, "VOXBUS_SID or VOXBUS_TOKEN is too long");
		(void)snprintf(p->sid, sizeof(p->sid), "%s", sid);
		(void)snprintf(p->token, sizeof(p->token), "%s", token ? token : "");
		return 0;
	}
	if (!p->data_dir[0])
		rc = ask_daemon(p, &why);
	if (rc < 0)
		return err_set(e, rc,
			       "which account? set VOXBUS_SID and VOXBUS_TOKEN (there is no "
			       "daemon here to ask: %.300s)",
			       why.text);
	return read_account_file(p, e);
}

/* RFC 7617. */
static void set_basic(struct pubsub *p)
{
	char both[SID_SIZE + TOKEN_SIZE];
	int n = snprintf(both, sizeof(both), "%s:%s", p->sid, p->token);
	auto_buf struct buf out;

	buf_init(&out, sizeof(p->basic));
	if (p->token[0] && base64_add(&out, str_make(both, (size_t)n)) == 0)
		(void)snprintf(p->basic, sizeof(p->basic), "Basic %.*s", STR_ARG(buf_str(&out)));
	explicit_bzero(both, sizeof(both));
}

static void on_signal(void *arg, int signum)
{
	struct pubsub *p = arg;

	p->interrupted = true;
	if (!p->finish)
		loop_stop(p->loop);
}

static void on_timer(void *arg)
{
	struct pubsub *p = arg;

	loop_stop(p->loop);
}

int pubsub_open(struct cli *cli, struct pubsub **ret, struct err *e)
{
	struct pubsub *p = calloc(1, sizeof(*p));
	int rc = p ? loop_create(&p->loop) : -ENOMEM;

	if (rc < 0) {
		free(p);
		return err_set(e, rc, "no event loop: %s", strerror(-rc));
	}
	p->cli = cli;
	timer_init(&p->timer, p->loop, on_timer, p);
	rc = cli->url ? set_url(p, cli->url, e) : ask_daemon(p, e);
	if (rc == 0)
		rc = find_account(p, e);
	if (rc == 0)
		rc = client_create(cli, p->loop, p->url, &p->tls, &p->client, e);
	if (rc < 0) {
		pubsub_close(p);
		return rc;
	}
	set_basic(p);
	(void)loop_on_signal(p->loop, SIGINT, on_signal, p);
	(void)loop_on_signal(p->loop, SIGTERM, on_signal, p);
	*ret = p;
	return 0;
}

struct pubsub *pubsub_close(struct pubsub *p)
{
	if (!p)
		return NULL;
	timer_stop(&p->timer);
	http_client_destroy(p->client);
	(void)tls_context_destroy(p->tls);
	loop_destroy(p->loop);
	explicit_bzero(p, sizeof(*p));
	free(p);
	return NULL;
}

int pubsub_add_path(const struct pubsub *p, struct buf *out, const char *queue)
{
	int rc = buf_addc(out, '/');

	if (rc == 0)
		rc = path_add_encoded(out, p->sid);
	if (rc == 0)
		rc = buf_addc(out, '/');
	return rc < 0 ? rc : path_add_encoded(out, queue);
}

static void on_done(void *arg, int rc, const struct http_response *response)
{
	struct pubsub *p = arg;

	p->rc = rc;
	if (rc == 0) {
		p->answer->status = response->status;
		p->rc = buf_add(&p->answer->body, response->body);
		struct str id = http_find_header(response->headers, response->n_headers,
						 STR("X-Message-Id"));

		(void)snprintf(p->answer->id, sizeof(p->answer->id), "%.*s", STR_ARG(id));
	}
	loop_stop(p->loop);
}

static int explain(const struct pubsub *p, int rc, struct err *e)
{
	if (client_explain_tls(p->url, rc, e))
		return rc;
	switch (rc) {
	case -ECONNREFUSED:
		return err_set(e, rc,
			       "nothing listens at %s; start voxbusd, or name its public address "
			       "with --url",
			       p->url);
	case -ENOENT:
		return err_set(e, rc, "there is no %s; name voxbusd's public address with --url",
			       p->url);
	case -ETIMEDOUT:
		return err_set(e, rc, "no answer from %s in time", p->url);
	case -EBADMSG:
		return err_set(e, rc, "what answers at %s is not voxbusd's public HTTP listener",
			       p->url);
	case -ECONNRESET:
	case -ECONNABORTED:
	case -EPIPE:
		return err_set(e, rc, "voxbusd at %s has gone away%s", p->url,
			       p->tls ? ", or does not speak TLS there (then say http://)" : "");
	default:
		return err_set(e, rc, "can't talk to voxbusd at %s: %s", p->url, strerror(-rc));
	}
}

int pubsub_call(struct pubsub *p, const struct pubsub_request *request, struct fetched *ret,
		struct err *e)
{
	struct http_header headers[HEADERS_MAX];
	size_t n = 0;
	struct http_call *call = NULL;
	struct http_call_init init = { .method = str_from(request->method),
				       .target = request->target,
				       .headers = headers,
				       .body = request->body,
				       .timeout_ms = request->timeout_ms,
				       .done = on_done,
				       .arg = p };

	if (p->interrupted && !request->finish)
		return -EINTR;
	if (p->basic[0])
		headers[n++] = (struct http_header){ STR("Authorization"), str_from(p->basic) };
	for (size_t i = 0; i < request->n_headers && n < HEADERS_MAX; i++)
		headers[n++] = request->headers[i];
	init.n_headers = n;
	p->answer = ret;
	p->finish = request->finish;
	p->rc = http_client_call(p->client, &init, &call);
	if (p->rc == 0) {
		p->rc = -EINTR; /* unless the answer comes */
		loop_run(p->loop);
		if (p->rc == -EINTR)
			http_call_cancel(call);
	}
	p->finish = false;
	return p->rc < 0 && p->rc != -EINTR ? explain(p, p->rc, e) : p->rc;
}

int pubsub_pause(struct pubsub *p, uint64_t ms)
{
	if (!p->interrupted && timer_start(&p->timer, ms) == 0)
		loop_run(p->loop);
	timer_stop(&p->timer);
	return p->interrupted ? -EINTR : 0;
}

bool pubsub_interrupted(const struct pubsub *p)
{
	return p->interrupted;
}

int pubsub_explain(const struct pubsub *p, const char *queue, const struct fetched *answer,
		   struct err *e)
{
	char detail[300];

	problem_detail(answer, detail, sizeof(detail));
	switch (answer->status) {
	case 401:
		return err_set(e, -EACCES,
			       p->basic[0] ? "the password of account %s is wrong at %s; set "
					     "VOXBUS_SID and VOXBUS_TOKEN to an account of that "
					     "daemon"
					   : "account %s needs its password at %s: set "
					     "VOXBUS_TOKEN",
			       p->sid, p->url);
	case 403:
		return err_set(e, -EACCES, "%s: not for account %s: %s", queue, p->sid, detail);
	case 404:
		return err_set(e, -ENOENT, "%s: voxbusd at %s has no such place for account %s: %s",
			       queue, p->url, p->sid, detail);
	case 429:
	case 503:
		return err_set(e, -EAGAIN, "%s: not now: %s", queue, detail);
	default:
		return err_set(e, -EBADMSG, "%s: voxbusd at %s answered %d: %s", queue, p->url,
			       answer->status, detail[0] ? detail : "(no reason given)");
	}
}
