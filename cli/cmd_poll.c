/* SPDX-License-Identifier: MIT */
/*
 * `voxbus poll`: takes messages of a queue and prints them.
 *
 *     ask, leasing ──► print each ──► flush ──► acknowledge ──► ask again (--follow)
 *
 * What is printed is acknowledged only when standard output has taken it, so a poll that is killed,
 * or whose reader goes, loses nothing: its messages come again. A daemon that does not know
 * ack=manual is asked for one message at a time.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include <cJSON.h>

#include "cmd_internal.h"
#include "codec/json.h"
#include "message_text.h"
#include "pubsub.h"

enum {
	BODY_MAX = 16 << 20,
	TARGET_MAX = 8192,
	MESSAGES_MAX = 100,
	POLL_MAX_MS = 620000, /* the server ends a poll after ten minutes at most */
	ACK_MS = 30000,
	PAUSE_MS = 1000,
};

struct poll_run {
	struct cli *cli;
	struct pubsub *pubsub;
	const char *queue, *timeout, *max;
	bool follow;
	bool plain; /* the daemon takes no ack=manual */
	bool down;  /* and was said to be */
};

static int complain_usage(const char *what)
{
	(void)fprintf(stderr, "voxbus: poll: %s; see: voxbus help poll\n", what);
	return CLI_USAGE;
}

static bool is_count(const char *text)
{
	uint64_t n;

	return str_u64(str_from(text), &n) == 0 && n >= 1 && n <= MESSAGES_MAX;
}

static bool is_word(const char *text)
{
	for (const char *c = text; *c; c++)
		if (!(*c >= '0' && *c <= '9') && !(*c >= 'a' && *c <= 'z') && *c != '.')
			return false;
	return text[0] != 0;
}

/* -1: go on; else the exit code. */
static int parse(struct poll_run *run, int argc, char **argv)
{
	static const struct option options[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "max", required_argument, NULL, 'm' },
		{ "follow", no_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "url", required_argument, NULL, 'u' },
		{ 0 },
	};
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "-f", options, NULL)) != -1) {
		if (c == 't')
			run->timeout = optarg;
		else if (c == 'm')
			run->max = optarg;
		else if (c == 'f')
			run->follow = true;
		else if (c == 'j')
			run->cli->json = true;
		else if (c == 'u')
			run->cli->url = optarg;
		else if (c == 1 && !run->queue)
			run->queue = optarg;
		else
			return complain_usage(c == 1 ? "only one queue is taken"
						     : "that option is not known");
	}
	if (!run->queue || !run->queue[0])
		return complain_usage("a queue is missing");
	if (run->max && !is_count(run->max))
		return complain_usage("--max is a number from 1 to 100");
	if (run->timeout && !is_word(run->timeout))
		return complain_usage("--timeout is a time as 30s, 500ms or 5m");
	return -1;
}

static int make_target(const struct poll_run *run, struct buf *target)
{
	int rc = pubsub_add_path(run->pubsub, target, run->queue);

	if (rc == 0)
		rc = buf_addf(target, "?max=%s",
			      run->plain && run->follow ? "1"
			      : run->max                ? run->max
							: "10");
	if (rc == 0 && run->timeout)
		rc = buf_addf(target, "&timeout=%s", run->timeout);
	if (rc == 0 && !run->plain)
		rc = buf_add(target, STR("&ack=manual&visibility=60s"));
	return rc;
}

/* 400 because of ack=manual. */
static bool is_unknown_ack(const struct poll_run *run, const struct fetched *answer)
{
	char detail[300];

	problem_detail(answer, detail, sizeof(detail));
	return !run->plain && answer->status == 400 && strstr(detail, "ack");
}

static int ask(struct poll_run *run, struct fetched *answer, struct err *e)
{
	struct pubsub_request request = { .method = "GET", .timeout_ms = POLL_MAX_MS };
	auto_buf struct buf target;
	int rc;

	buf_init(&target, TARGET_MAX);
	do {
		buf_clear(&target);
		buf_clear(&answer->body);
		if (make_target(run, &target) < 0)
			return err_set(e, -EINVAL, "the queue's name is too long");
		request.target = buf_str(&target);
		rc = pubsub_call(run->pubsub, &request, answer, e);
		run->plain = run->plain || (rc == 0 && is_unknown_ack(run, answer));
	} while (rc == 0 && run->plain && answer->status == 400 && request.target.n &&
		 str_find_str(request.target, STR("ack=manual")) < request.target.n);
	if (rc == 0 && answer->status != 200)
		rc = pubsub_explain(run->pubsub, run->queue, answer, e);
	return rc;
}

/* A document's id is a string, an envelope's a number. */
static int add_id(struct buf *ids, struct json message)
{
	struct json id = json_get(message, STR("Id"));
	char text[128];
	struct str value;
	int rc = buf_add(ids, buf_len(ids) ? STR("&id=") : STR("?id="));

	if (id.type == JSON_NONE)
		value = json_get(message, STR("seq")).raw;
	else if (json_string(id, text, sizeof(text), &value) < 0)
		return -EBADMSG;
	return rc < 0 ? rc : buf_add(ids, value);
}

/* --json: the object's bytes as they came. */
static int print_message(const struct poll_run *run, struct str raw)
{
	auto_buf struct buf text;
	cJSON *message = NULL;
	int rc = 0;

	buf_init(&text, BODY_MAX);
	if (run->cli->json) {
		rc = buf_add(&text, raw);
		rc = rc < 0 ? rc : buf_addc(&text, '\n');
	} else {
		message = cJSON_ParseWithLength(raw.p, raw.n);
		rc = message ? message_text_add(message, &text) : -ENOMEM;
	}
	if (rc == 0)
		(void)fwrite(buf_str(&text).p, 1, buf_len(&text), stdout);
	cJSON_Delete(message);
	return rc;
}

/* Whatever goes wrong: what is not acknowledged comes again. */
static int acknowledge(struct poll_run *run, struct str ids, struct err *e)
{
	struct pubsub_request request = { .method = "DELETE",
					  .timeout_ms = ACK_MS,
					  .finish = true };
	struct fetched answer = { 0 };
	auto_buf struct buf target;
	int rc = 0;

	buf_init(&target, TARGET_MAX);
	buf_init(&answer.body, BODY_MAX);
	if (pubsub_add_path(run->pubsub, &target, run->queue) < 0 || buf_add(&target, ids) < 0)
		rc = err_set(e, -ENOMEM, "memory is out");
	request.target = buf_str(&target);
	if (rc == 0)
		rc = pubsub_call(run->pubsub, &request, &answer, e);
	if (rc == 0 && answer.status == 404) {
		char detail[300];

		problem_detail(&answer, detail, sizeof(detail));
		rc = err_set(e, -EAGAIN, "%s: printed too late: %s", run->queue, detail);
	} else if (rc == 0 && answer.status != 204) {
		rc = pubsub_explain(run->pubsub, run->queue, &answer, e);
	}
	buf_fini(&answer.body);
	return rc;
}

static int take(struct poll_run *run, const struct fetched *answer, struct err *e)
{
	struct json_iter it;
	struct json_item item;
	auto_buf struct buf ids;
	int rc;

	buf_init(&ids, TARGET_MAX);
	json_iter_init_shallow(&it, json_peek(buf_str(&answer->body)));
	while ((rc = json_next(&it, &item)) > 0) {
		rc = print_message(run, item.value.raw);
		rc = rc < 0 ? rc : add_id(&ids, item.value);
		if (rc < 0)
			return err_set(e, rc, "a message of %s can't be printed: %s", run->queue,
				       strerror(-rc));
	}
	if (rc < 0)
		return err_set(e, rc, "what answers for %s is not a list of messages", run->queue);
	if (fflush(stdout) != 0 || ferror(stdout))
		return err_set(e, -EIO,
			       "standard output takes no more: %s; the messages stay in %s",
			       strerror(errno), run->queue);
	return !run->plain && buf_len(&ids) ? acknowledge(run, buf_str(&ids), e) : 0;
}

/* While following, what may pass is waited for; it is said once. */
static bool may_pass(int rc)
{
	return rc == -ECONNREFUSED || rc == -ECONNRESET || rc == -EPIPE || rc == -ETIMEDOUT ||
	       rc == -EAGAIN || rc == -ENOENT;
}

static int wait_and_see(struct poll_run *run, const struct err *e)
{
	if (!run->down)
		(void)fprintf(stderr, "voxbus: %s; trying again\n", e->text);
	run->down = true;
	return pubsub_pause(run->pubsub, PAUSE_MS);
}

static int poll_queue(struct poll_run *run, struct err *e)
{
	struct fetched answer = { 0 };
	bool been_up = false;
	int rc = 0;

	buf_init(&answer.body, BODY_MAX);
	do {
		rc = ask(run, &answer, e);
		if (rc == 0)
			rc = take(run, &answer, e);
		been_up = been_up || rc == 0;
		run->down = run->down && rc < 0;
		if (rc < 0 && run->follow && been_up && may_pass(rc))
			rc = wait_and_see(run, e);
	} while (rc == 0 && run->follow && !pubsub_interrupted(run->pubsub));
	buf_fini(&answer.body);
	return rc == -EINTR ? 0 : rc;
}

int cmd_poll(struct cli *cli, int argc, char **argv)
{
	struct poll_run run = { .cli = cli };
	struct err e;
	int code = parse(&run, argc, argv), rc;

	if (code >= 0)
		return code;
	rc = pubsub_open(cli, &run.pubsub, &e);
	if (rc == 0)
		rc = poll_queue(&run, &e);
	pubsub_close(run.pubsub);
	return rc < 0 ? cli_complain(&e) : CLI_FINE;
}
