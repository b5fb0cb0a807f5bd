/* SPDX-License-Identifier: MIT */
/*
 * `voxbus status`, `voxbus calls` and `voxbus version`: the API's JSON as tables.
 *
 * Members that an older daemon does not have print as empty or 0; nothing here insists on one.
 */
#include <stdio.h>
#include <stdlib.h>

#include <cJSON.h>

#include "cli.h"
#include "cmd_internal.h"
#include "table.h"

enum { BODY_MAX = 16 << 20 };

const char *json_text(const cJSON *object, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

	return s ? s : "";
}

double json_number(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

int print_table(const struct cli *cli, struct table *table)
{
	auto_buf struct buf out;
	int rc;

	buf_init(&out, BODY_MAX);
	rc = table_write(table, cli->colour, &out);
	table_destroy(table);
	if (rc < 0)
		return rc;
	(void)fwrite(buf_str(&out).p, 1, buf_len(&out), stdout);
	return 0;
}

void print_clean(const char *text)
{
	auto_buf struct buf out;

	buf_init(&out, BODY_MAX);
	(void)text_add_clean(&out, str_from(text));
	(void)printf("%.*s", STR_ARG(buf_str(&out)));
}

int fetch_json(struct cli *cli, const char *target, int also, struct fetched *ret, cJSON **ret_json)
{
	struct err e;
	int rc;

	buf_init(&ret->body, BODY_MAX);
	rc = cli_find_daemon(cli, &e);
	if (rc == 0)
		rc = cli_fetch(cli, target, also, ret, &e);
	if (rc == 0) {
		*ret_json = cJSON_ParseWithLength(buf_str(&ret->body).p, buf_len(&ret->body));
		if (!*ret_json)
			rc = err_set(&e, -1, "what %s answers at %s is not JSON", cli->origin,
				     target);
	}
	if (rc < 0)
		(void)cli_complain(&e);
	return rc;
}

void print_body(const struct fetched *f)
{
	(void)fwrite(buf_str(&f->body).p, 1, buf_len(&f->body), stdout);
	(void)putchar('\n');
}

static void print_head(const cJSON *s)
{
	const cJSON *reason;
	char up[32];

	(void)printf("voxbusd %s on ", json_text(s, "version"));
	print_clean(json_text(s, "node"));
	(void)printf(", up %s, %s\n", cli_duration(up, json_number(s, "uptime_s")),
		     cJSON_IsTrue(cJSON_GetObjectItem(s, "ready")) ? "ready" : "NOT READY");
	cJSON_ArrayForEach(reason, cJSON_GetObjectItem(s, "reasons"))
	{
		(void)printf("  ");
		print_clean(cJSON_GetStringValue(reason));
		(void)putchar('\n');
	}
}

static int print_ports(const struct cli *cli, const cJSON *s)
{
	static const struct table_column columns[] = {
		{ "PORT", false },    { "TYPE", false },   { "ROLE", false },
		{ "STATE", false },   { "SINCE", false },  { "EVENTS", true },
		{ "COMMANDS", true }, { "REPLIES", true }, { "SENT", true },
	};
	struct table *t = table_create(columns, sizeof(columns) / sizeof(columns[0]));
	const cJSON *port;
	char since[32];

	if (!t)
		return -1;
	cJSON_ArrayForEach(port, cJSON_GetObjectItem(s, "ports"))
	{
		table_add(t, str_from(json_text(port, "name")));
		table_add(t, str_from(json_text(port, "type")));
		table_add(t, str_from(json_text(port, "role")));
		table_add(t, str_from(json_text(port, "state")));
		table_add(t, str_from(cli_duration(since, json_number(port, "since_s"))));
		table_addf(t, "%.0f", json_number(port, "events"));
		table_addf(t, "%.0f", json_number(port, "commands"));
		table_addf(t, "%.0f", json_number(port, "replies"));
		table_addf(t, "%.0f", json_number(port, "sent"));
	}
	return print_table(cli, t);
}

static int print_applications(const struct cli *cli, const cJSON *s)
{
	static const struct table_column columns[] = {
		{ "APPLICATION", false }, { "BUS", false },   { "RECORD", false },
		{ "CALLS", true },        { "UNREAD", true }, { "OLDEST UNREAD", true },
	};
	const cJSON *list = cJSON_GetObjectItem(s, "applications"), *a;
	struct table *t = table_create(columns, sizeof(columns) / sizeof(columns[0]));
	char age[32];

	if (!t)
		return -1;
	cJSON_ArrayForEach(a, list)
	{
		bool unread = json_number(a, "unread") > 0;

		table_add(t, str_from(json_text(a, "name")));
		table_add(t, str_from(json_text(a, "bus")));
		table_add(t,
			  cJSON_IsTrue(cJSON_GetObjectItem(a, "record")) ? STR("on") : STR("off"));
		table_addf(t, "%.0f", json_number(a, "announced"));
		table_addf(t, "%.0f", json_number(a, "unread"));
		table_add(t, unread ? str_from(cli_duration(age, json_number(a, "oldest_unread_s")))
				    : STR("-"));
	}
	return print_table(cli, t);
}

static void print_foot(const cJSON *s)
{
	const cJSON *journal = cJSON_GetObjectItem(s, "journal");
	const cJSON *http = cJSON_GetObjectItem(s, "http");
	const cJSON *process = cJSON_GetObjectItem(s, "process");

	(void)printf("calls %.0f, sessions %.0f, memory %.1f MiB\n", json_number(s, "dialogs"),
		     json_number(s, "sessions"), json_number(process, "rss_bytes") / 1048576);
	if (cJSON_IsObject(journal))
		(void)printf("journal %s, %.0f records, %.1f MiB\n",
			     cJSON_IsTrue(cJSON_GetObjectItem(journal, "failed")) ? "FAILED"
										  : "works",
			     json_number(journal, "records"),
			     json_number(journal, "disk_bytes") / 1048576);
	if (cJSON_IsObject(http))
		(void)printf("http %.0f of %.0f connections, %.0f requests\n",
			     json_number(http, "open"), json_number(http, "limit"),
			     json_number(http, "requests"));
}

int cmd_status(struct cli *cli, int argc, char **argv)
{
	struct fetched f = { 0 };
	cJSON *s = NULL;
	int code = CLI_TROUBLE;

	if (fetch_json(cli, "/api/status", 0, &f, &s) == 0) {
		code = cJSON_IsTrue(cJSON_GetObjectItem(s, "ready")) ? CLI_FINE : CLI_TROUBLE;
		if (cli->json) {
			print_body(&f);
		} else {
			print_head(s);
			(void)putchar('\n');
			(void)print_ports(cli, s);
			(void)putchar('\n');
			(void)print_applications(cli, s);
			(void)putchar('\n');
			print_foot(s);
		}
	}
	cJSON_Delete(s);
	buf_fini(&f.body);
	return code;
}

static int print_calls(const struct cli *cli, const cJSON *calls)
{
	static const struct table_column columns[] = {
		{ "DIALOG", false },  { "APPLICATION", false }, { "ENGINE", false },
		{ "STATE", false },   { "AGE", true },          { "EVENTS", true },
		{ "COMMANDS", true }, { "UNREAD", true },       { "CALL", false },
	};
	struct table *t = table_create(columns, sizeof(columns) / sizeof(columns[0]));
	const cJSON *call;
	char age[32];

	if (!t)
		return -1;
	cJSON_ArrayForEach(call, calls)
	{
		table_add(t, str_from(json_text(call, "dialog")));
		table_add(t, str_from(json_text(call, "application")));
		table_add(t, str_from(json_text(call, "engine")));
		table_add(t, str_from(json_text(call, "state")));
		table_add(t, str_from(cli_duration(age, json_number(call, "age_s"))));
		table_addf(t, "%.0f", json_number(call, "events"));
		table_addf(t, "%.0f", json_number(call, "commands"));
		table_addf(t, "%.0f", json_number(call, "unread"));
		table_add(t, str_from(json_text(call, json_text(call, "label")[0] ? "label"
										  : "channel")));
	}
	return print_table(cli, t);
}

int cmd_calls(struct cli *cli, int argc, char **argv)
{
	struct fetched f = { 0 };
	cJSON *calls = NULL;
	int code = CLI_TROUBLE;

	if (fetch_json(cli, "/api/calls", 0, &f, &calls) == 0) {
		uint64_t shown = (uint64_t)cJSON_GetArraySize(calls);

		code = CLI_FINE;
		if (cli->json)
			print_body(&f);
		else if (shown == 0)
			(void)puts("no calls");
		else
			(void)print_calls(cli, calls);
		if (!cli->json && f.total > shown)
			(void)printf("... and %llu more\n", (unsigned long long)(f.total - shown));
	}
	cJSON_Delete(calls);
	buf_fini(&f.body);
	return code;
}

int cmd_version(struct cli *cli, int argc, char **argv)
{
	struct fetched f = { 0 };
	struct err e;
	cJSON *s = NULL;
	const char *daemon = NULL;

	buf_init(&f.body, BODY_MAX);
	if (cli_find_daemon(cli, &e) == 0 && cli_fetch(cli, "/api/status", 0, &f, &e) == 0)
		s = cJSON_ParseWithLength(buf_str(&f.body).p, buf_len(&f.body));
	if (s)
		daemon = json_text(s, "version");
	if (cli->json) {
		(void)printf("{\"voxbus\":\"%s\",\"voxbusd\":", VOXBUS_VERSION);
		(void)printf(daemon ? "\"%s\"}\n" : "null}\n", daemon ? daemon : "");
	} else {
		(void)printf("voxbus %s\nvoxbusd %s\n", VOXBUS_VERSION,
			     daemon ? daemon : "not running, or not to be reached");
	}
	cJSON_Delete(s);
	buf_fini(&f.body);
	return CLI_FINE;
}
