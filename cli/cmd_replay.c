/* SPDX-License-Identifier: MIT */
/* `voxbus replay`: a call's events once more, on a topic of their own. The daemon does it. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include <cJSON.h>

#include "cmd_internal.h"
#include "pubsub.h"

enum { BODY_MAX = 1 << 20, TARGET_MAX = 4096 };

struct replay {
	const char *dialog, *topic, *speed; /* NULL: the daemon's default */
};

static int complain_usage(const char *what)
{
	(void)fprintf(stderr, "voxbus: replay: %s; see: voxbus help replay\n", what);
	return CLI_USAGE;
}

/* -1: go on; else the exit code. */
static int parse(struct cli *cli, struct replay *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "to", required_argument, NULL, 't' },
		{ "speed", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	int c;

	optind = 0; /* glibc: begins anew, and permutes */
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 't':
			r->topic = optarg;
			break;
		case 's':
			r->speed = optarg;
			break;
		case 'j':
			cli->json = true;
			break;
		default:
			return complain_usage("it takes --to, --speed and --json");
		}
	}
	if (optind + 1 != argc)
		return complain_usage("it takes one dialog (voxbus calls shows them)");
	r->dialog = argv[optind];
	return -1;
}

static int add_value(struct buf *target, const char *name, const char *value)
{
	int rc = value ? buf_add(target, str_from(name)) : 0;

	return rc == 0 && value ? path_add_encoded(target, value) : rc;
}

/* 0, or the complaint was made. */
static int ask(struct cli *cli, const struct replay *r, struct fetched *f)
{
	auto_buf struct buf target;
	char detail[600];
	struct err e;
	int rc;

	buf_init(&target, TARGET_MAX);
	if (add_value(&target, "/api/replay?dialog=", r->dialog) < 0 ||
	    add_value(&target, "&topic=", r->topic) < 0 ||
	    add_value(&target, "&speed=", r->speed) < 0 || buf_addc(&target, 0) < 0)
		rc = err_set(&e, -EINVAL, "the arguments are too long");
	else
		rc = cli_find_daemon(cli, &e);
	if (rc == 0)
		rc = cli_ask(cli, "POST", buf_str(&target).p, f, &e);
	if (rc == 0 && f->status != 202) {
		problem_detail(f, detail, sizeof(detail));
		rc = detail[0] && f->status != 401 && f->status != 403 && f->status != 405
			     ? err_set(&e, -EINVAL, "%s", detail)
			     : cli_explain_status(cli, buf_str(&target).p, f->status, &e);
	}
	return rc < 0 ? cli_complain(&e), rc : 0;
}

static void print_begun(const struct fetched *f)
{
	cJSON *answer = cJSON_ParseWithLength(buf_str(&f->body).p, buf_len(&f->body));

	(void)printf("%.0f events, from number %.0f on, go to ", json_number(answer, "events"),
		     json_number(answer, "first"));
	print_clean(json_text(answer, "topic"));
	(void)putchar('\n');
	cJSON_Delete(answer);
}

int cmd_replay(struct cli *cli, int argc, char **argv)
{
	struct replay r = { NULL, NULL, NULL };
	struct fetched f = { 0 };
	int code = parse(cli, &r, argc, argv);

	if (code >= 0)
		return code;
	buf_init(&f.body, BODY_MAX);
	code = ask(cli, &r, &f) == 0 ? CLI_FINE : CLI_TROUBLE;
	if (code == CLI_FINE && cli->json)
		print_body(&f);
	else if (code == CLI_FINE)
		print_begun(&f);
	buf_fini(&f.body);
	return code;
}
