/* SPDX-License-Identifier: MIT */
/*
 * `voxbus publish`: one message to a queue, and its id when it is durable.
 *
 * What is sent is what was given, byte for byte; only its type is guessed, where none was said: JSON
 * and XML by how they begin, text if it is UTF-8.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd_internal.h"
#include "codec/form.h"
#include "codec/json.h"
#include "pubsub.h"

enum { BODY_MAX = 2 << 20, TARGET_MAX = 8192, TIMEOUT_MS = 75000, READ_STEP = 65536 };

struct publish {
	const char *queue, *data, *type, *ttl;
	bool form;
	struct buf body;
};

static int read_fd(int fd, const char *name, struct buf *out, struct err *e)
{
	for (;;) {
		ssize_t n = -1;
		int rc = buf_reserve(out, READ_STEP);

		if (rc == 0)
			n = read(fd, buf_tail(out), READ_STEP);
		if (rc == -ENOBUFS)
			return err_set(e, -EMSGSIZE, "%s is over %d MiB: no queue takes that", name,
				       BODY_MAX >> 20);
		if (rc < 0 || (n < 0 && errno != EINTR))
			return err_set(e, rc < 0 ? rc : -errno, "can't read %s: %s", name,
				       strerror(rc < 0 ? -rc : errno));
		if (n == 0)
			return 0;
		if (n > 0)
			buf_grew(out, (size_t)n);
	}
}

/* "-": standard input; "@FILE": the file; anything else is the message. */
static int read_data(struct publish *p, struct err *e)
{
	const char *data = p->data;
	int fd, rc;

	if (!data || strcmp(data, "-") == 0)
		return read_fd(STDIN_FILENO, "standard input", &p->body, e);
	if (data[0] != '@')
		return buf_add(&p->body, str_from(data)) < 0
			       ? err_set(e, -EMSGSIZE, "the message is over %d MiB", BODY_MAX >> 20)
			       : 0;
	fd = open(data + 1, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, -errno, "can't read %s: %s", data + 1, strerror(errno));
	rc = read_fd(fd, data + 1, &p->body, e);
	(void)close(fd);
	return rc;
}

static int add_encoded(struct buf *out, struct str s)
{
	int rc = 0;

	for (size_t i = 0; i < s.n && rc == 0; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
			     (c && strchr("-._*", c));

		if (c == ' ')
			rc = buf_addc(out, '+');
		else
			rc = plain ? buf_addc(out, (char)c) : buf_addf(out, "%%%02X", c);
	}
	return rc;
}

/* "name=value" to the form: false when it is none. */
static bool add_field(struct publish *p, const char *text)
{
	struct str value = str_from(text), name = str_cut(&value, '=');

	if (!value.p || name.n == 0)
		return false;
	p->form = true;
	return (buf_len(&p->body) == 0 || buf_addc(&p->body, '&') == 0) &&
	       add_encoded(&p->body, name) == 0 && buf_addc(&p->body, '=') == 0 &&
	       add_encoded(&p->body, value) == 0;
}

static const char *guess_type(const struct publish *p)
{
	struct str body = buf_str(&p->body), text = str_trim(body);
	struct json json;

	if (p->form)
		return "application/x-www-form-urlencoded";
	if (text.n && (text.p[0] == '{' || text.p[0] == '[') && json_parse(body, &json) == 0)
		return "application/json";
	if (text.n && text.p[0] == '<')
		return "application/xml";
	return str_is_utf8(body) ? "text/plain; charset=utf-8" : "application/octet-stream";
}

static int complain_usage(const char *what)
{
	(void)fprintf(stderr, "voxbus: publish: %s; see: voxbus help publish\n", what);
	return CLI_USAGE;
}

/* -1: go on; else the exit code. The first argument that is no option is the queue. */
static int parse(struct cli *cli, struct publish *p, int argc, char **argv)
{
	static const struct option options[] = {
		{ "data", required_argument, NULL, 'd' },
		{ "form", required_argument, NULL, 'f' },
		{ "ttl", required_argument, NULL, 't' },
		{ "content-type", required_argument, NULL, 'T' },
		{ "json", no_argument, NULL, 'j' },
		{ "url", required_argument, NULL, 'u' },
		{ 0 },
	};
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "-d:", options, NULL)) != -1) {
		if (c == 'd')
			p->data = optarg;
		else if (c == 'T')
			p->type = optarg;
		else if (c == 't')
			p->ttl = optarg;
		else if (c == 'j')
			cli->json = true;
		else if (c == 'u')
			cli->url = optarg;
		else if (c == 1 && !p->queue)
			p->queue = optarg;
		else if (c == 'f' || (c == 1 && p->form)) {
			if (!add_field(p, optarg))
				return complain_usage("a form's field is NAME=VALUE");
		} else {
			return complain_usage(c == 1 ? "only one queue is taken"
						     : "that option is not known");
		}
	}
	if (!p->queue || !p->queue[0])
		return complain_usage("a queue is missing");
	if (p->form && p->data)
		return complain_usage("-d and --form can't be given together");
	return -1;
}

static int send_message(struct pubsub *pubsub, const struct publish *p, struct fetched *answer,
			struct err *e)
{
	struct http_header headers[2] = {
		{ STR("Content-Type"), str_from(p->type ? p->type : guess_type(p)) },
		{ STR("X-Ttl"), str_from(p->ttl) },
	};
	struct pubsub_request request = { .method = "POST",
					  .headers = headers,
					  .n_headers = p->ttl ? 2 : 1,
					  .body = buf_str(&p->body),
					  .timeout_ms = TIMEOUT_MS };
	auto_buf struct buf target;

	buf_init(&target, TARGET_MAX);
	if (pubsub_add_path(pubsub, &target, p->queue) < 0)
		return err_set(e, -EINVAL, "the queue's name is too long");
	request.target = buf_str(&target);
	int rc = pubsub_call(pubsub, &request, answer, e);
	if (rc == -EINVAL)
		return err_set(e, rc, "an option holds a character that no header may have");
	if (rc == -EINTR)
		return err_set(e, rc, "interrupted; whether it was stored is not known");
	if (rc == 0 && answer->status != 200)
		return pubsub_explain(pubsub, p->queue, answer, e);
	return rc;
}

int cmd_publish(struct cli *cli, int argc, char **argv)
{
	struct publish p = { .queue = NULL };
	struct fetched answer = { 0 };
	struct pubsub *pubsub = NULL;
	struct err e;
	int rc, code;

	buf_init(&p.body, BODY_MAX);
	buf_init(&answer.body, BODY_MAX);
	code = parse(cli, &p, argc, argv);
	if (code < 0) {
		rc = p.form ? 0 : read_data(&p, &e);
		if (rc == 0)
			rc = pubsub_open(cli, &pubsub, &e);
		if (rc == 0)
			rc = send_message(pubsub, &p, &answer, &e);
		if (rc == 0)
			(void)printf(cli->json ? "{\"id\":\"%s\"}\n" : "%s\n", answer.id);
		code = rc < 0 ? cli_complain(&e) : CLI_FINE;
	}
	pubsub_close(pubsub);
	buf_fini(&answer.body);
	buf_fini(&p.body);
	return code;
}
