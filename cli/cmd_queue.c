/* SPDX-License-Identifier: MIT */
/*
 * `voxbus queue`: the queues that clients have named, from the admin API.
 *
 * A purge can't be taken back, so it is asked for again on a terminal, and elsewhere wants --yes.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cJSON.h>

#include "cmd_internal.h"
#include "pubsub.h"
#include "table.h"

enum { BODY_MAX = 16 << 20, TARGET_MAX = 8192, LIST_MAX = 5000 };

static const struct table_column columns[] = {
	{ "QUEUE", false },    { "ACCOUNT", false }, { "BUS", false },   { "MESSAGES", true },
	{ "UNDER WAY", true }, { "WAITERS", true },  { "OLDEST", true },
};

static int complain_usage(const char *what)
{
	(void)fprintf(stderr, "voxbus: queue: %s; see: voxbus help queue\n", what);
	return CLI_USAGE;
}

static void add_row(struct table *t, const cJSON *queue)
{
	const cJSON *oldest = cJSON_GetObjectItem(queue, "oldest_s");
	char age[32];

	table_add(t, str_from(json_text(queue, "name")));
	table_add(t, str_from(json_text(queue, "account")));
	table_add(t, str_from(json_text(queue, "bus")));
	table_addf(t, "%.0f", json_number(queue, "messages"));
	table_addf(t, "%.0f", json_number(queue, "under_way"));
	table_addf(t, "%.0f", json_number(queue, "waiters"));
	if (cJSON_IsNumber(oldest))
		table_add(t, str_from(cli_duration(age, oldest->valuedouble)));
	else
		table_add(t, json_number(queue, "messages") > 0 ? STR("?") : STR("-"));
}

static int by_name(const void *a, const void *b)
{
	const cJSON *const *x = a, *const *y = b;
	int order = strcmp(json_text(*x, "name"), json_text(*y, "name"));

	return order ? order : strcmp(json_text(*x, "account"), json_text(*y, "account"));
}

/* Sorted: the daemon's order means nothing. */
static int print_queues(const struct cli *cli, const cJSON *list)
{
	size_t n = (size_t)cJSON_GetArraySize(list), i = 0;
	const cJSON **rows = calloc(n + 1, sizeof(*rows));
	struct table *t = table_create(columns, sizeof(columns) / sizeof(columns[0]));
	const cJSON *queue;

	if (!rows || !t) {
		free(rows);
		table_destroy(t);
		return -ENOMEM;
	}
	cJSON_ArrayForEach(queue, list) rows[i++] = queue;
	qsort(rows, n, sizeof(*rows), by_name);
	for (i = 0; i < n; i++)
		add_row(t, rows[i]);
	free(rows);
	return print_table(cli, t);
}

static int list(struct cli *cli, const char *glob)
{
	struct fetched f = { 0 };
	cJSON *queues = NULL;
	auto_buf struct buf target;
	int code = CLI_TROUBLE;

	buf_init(&target, TARGET_MAX);
	if (buf_addf(&target, "/api/queues?limit=%d", LIST_MAX) < 0 ||
	    (glob &&
	     (buf_add(&target, STR("&name=")) < 0 || path_add_encoded(&target, glob) < 0)) ||
	    buf_addc(&target, 0) < 0)
		return complain_usage("the pattern is too long");
	if (fetch_json(cli, buf_str(&target).p, 0, &f, &queues) == 0) {
		uint64_t shown = (uint64_t)cJSON_GetArraySize(queues);

		code = CLI_FINE;
		if (cli->json)
			print_body(&f);
		else if (shown == 0)
			(void)puts(glob ? "no such queues" : "no queues");
		else
			(void)print_queues(cli, queues);
		if (!cli->json && f.total > shown)
			(void)printf("... and %llu more; name some: voxbus queue list 'orders*'\n",
				     (unsigned long long)(f.total - shown));
	}
	cJSON_Delete(queues);
	buf_fini(&f.body);
	return code;
}

/* 0 and *ret, or the complaint was made: what is not there is 404 or 409. */
static int ask(struct cli *cli, const char *method, const char *name, struct fetched *f,
	       cJSON **ret)
{
	auto_buf struct buf target;
	char detail[300];
	struct err e;
	int rc;

	buf_init(&target, TARGET_MAX);
	if (buf_add(&target, STR("/api/queues/")) < 0 || path_add_encoded(&target, name) < 0 ||
	    buf_addc(&target, 0) < 0)
		rc = err_set(&e, -EINVAL, "the queue's name is too long");
	else
		rc = cli_find_daemon(cli, &e);
	if (rc == 0)
		rc = cli_ask(cli, method, buf_str(&target).p, f, &e);
	problem_detail(f, detail, sizeof(detail));
	if (rc == 0 && f->status != 200)
		rc = f->status == 404 || f->status == 409 || f->status == 503
			     ? err_set(&e, -ENOENT, "%s: %s", name, detail)
			     : cli_explain_status(cli, buf_str(&target).p, f->status, &e);
	if (rc == 0)
		*ret = cJSON_ParseWithLength(buf_str(&f->body).p, buf_len(&f->body));
	return rc < 0 ? cli_complain(&e), rc : 0;
}

static int show(struct cli *cli, const char *name)
{
	struct fetched f = { 0 };
	cJSON *queue = NULL;
	struct table *t;
	int code = CLI_TROUBLE;

	buf_init(&f.body, BODY_MAX);
	if (ask(cli, "GET", name, &f, &queue) == 0) {
		t = cli->json ? NULL : table_create(columns, sizeof(columns) / sizeof(columns[0]));
		code = CLI_FINE;
		if (cli->json) {
			print_body(&f);
		} else if (t) {
			add_row(t, queue);
			(void)print_table(cli, t);
		}
	}
	cJSON_Delete(queue);
	buf_fini(&f.body);
	return code;
}

/* Whether it shall be: asked where somebody can answer. */
static bool confirm(struct cli *cli, const char *name)
{
	struct fetched f = { 0 };
	cJSON *queue = NULL;
	char answer[16] = "";

	buf_init(&f.body, BODY_MAX);
	if (ask(cli, "GET", name, &f, &queue) == 0) {
		(void)printf("%.0f messages of ", json_number(queue, "messages"));
		print_clean(name);
		(void)printf(" will be gone for good. Purge? [y/N] ");
		(void)fflush(stdout);
		if (!fgets(answer, sizeof(answer), stdin))
			answer[0] = 0;
	}
	cJSON_Delete(queue);
	buf_fini(&f.body);
	return answer[0] == 'y' || answer[0] == 'Y';
}

static int purge(struct cli *cli, const char *name, bool yes)
{
	struct fetched f = { 0 };
	cJSON *done = NULL;
	int code = CLI_TROUBLE;

	if (!yes && !isatty(STDIN_FILENO))
		return complain_usage("purge asks first, and this is no terminal: say --yes");
	if (!yes && !confirm(cli, name))
		return CLI_TROUBLE;
	buf_init(&f.body, BODY_MAX);
	if (ask(cli, "DELETE", name, &f, &done) == 0) {
		code = CLI_FINE;
		if (cli->json)
			print_body(&f);
		else
			(void)printf("%.0f messages purged\n", json_number(done, "purged"));
	}
	cJSON_Delete(done);
	buf_fini(&f.body);
	return code;
}

int cmd_queue(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "yes", no_argument, NULL, 'y' },
						 { "json", no_argument, NULL, 'j' },
						 { 0 } };
	const char *verb, *name;
	bool yes = false;
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "y", options, NULL)) != -1) {
		if (c == 'y')
			yes = true;
		else if (c == 'j')
			cli->json = true;
		else
			return complain_usage("that option is not known");
	}
	verb = optind < argc ? argv[optind] : "list";
	name = optind + 1 < argc ? argv[optind + 1] : NULL;
	if (argc - optind > 2)
		return complain_usage("there are too many arguments");
	if (strcmp(verb, "list") == 0)
		return list(cli, name);
	if (strcmp(verb, "show") != 0 && strcmp(verb, "purge") != 0)
		return complain_usage("it is one of list, show and purge");
	if (!name || !name[0])
		return complain_usage("a queue is missing");
	return verb[0] == 's' ? show(cli, name) : purge(cli, name, yes);
}
