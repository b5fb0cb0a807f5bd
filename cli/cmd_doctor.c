/* SPDX-License-Identifier: MIT */
/*
 * `voxbus doctor`: what can be wrong, looked at from outside and from inside.
 *
 * A table of checks. Those here see what only an outsider can see: that no daemon runs, that its
 * configuration is wrong, that somebody else has its port. The rest is asked of the daemon
 * (/api/doctor). All findings have one shape and are printed together; a FAIL makes the exit
 * code 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "cli.h"
#include "cmd_internal.h"
#include "doctor_text.h"
#include "net/address.h"

enum { BODY_MAX = 16 << 20, OUTPUT_MAX = 1 << 20 };

struct doctor {
	struct cli *cli;
	cJSON *findings;
	bool running;      /* the daemon answers */
	bool config_right; /* and can be printed */
	bool ari_proxy;    /* the daemon's own file is go-ari-proxy's */
	char config[4096]; /* the daemon's own file, "" = none or not known */
};

static void find(struct doctor *d, const char *id, const char *level, const char *what,
		 const char *fix)
{
	cJSON *finding = cJSON_CreateObject();

	cJSON_AddStringToObject(finding, "id", id);
	cJSON_AddStringToObject(finding, "level", level);
	cJSON_AddStringToObject(finding, "what", what);
	cJSON_AddStringToObject(finding, "fix", fix);
	cJSON_AddItemToArray(d->findings, finding);
}

/* The sentences of cli_fetch are "what; what to do". */
static void find_err(struct doctor *d, const char *id, const struct err *e)
{
	struct str whole = str_from(e->text);
	size_t cut = str_find_str(whole, STR("; "));
	char what[sizeof(e->text)];

	(void)snprintf(what, sizeof(what), "%.*s", (int)cut, e->text);
	find(d, id, "fail", what,
	     cut < whole.n ? e->text + cut + 2 : "see the log of voxbusd (journalctl -u voxbus)");
}

static void check_version(struct doctor *d, const cJSON *status)
{
	char what[256];

	(void)snprintf(d->config, sizeof(d->config), "%s", json_text(status, "config"));
	d->ari_proxy = cJSON_IsTrue(cJSON_GetObjectItem(status, "ari_proxy"));
	(void)snprintf(what, sizeof(what), "voxbusd %.64s runs at %.128s",
		       json_text(status, "version"), d->cli->origin);
	if (strcmp(json_text(status, "version"), VOXBUS_VERSION) == 0)
		find(d, "daemon", "ok", what, "");
	else
		find(d, "daemon", "warn", what,
		     "this command is " VOXBUS_VERSION ": restart voxbusd after an upgrade");
}

static void check_daemon(struct doctor *d)
{
	struct fetched f = { 0 };
	cJSON *status = NULL;
	struct err e;

	buf_init(&f.body, BODY_MAX);
	if (cli_find_daemon(d->cli, &e) < 0 || cli_fetch(d->cli, "/api/status", 0, &f, &e) < 0) {
		find_err(d, "daemon", &e);
	} else {
		status = cJSON_ParseWithLength(buf_str(&f.body).p, buf_len(&f.body));
		d->running = true;
		check_version(d, status);
	}
	cJSON_Delete(status);
	buf_fini(&f.body);
}

/* The file to check, or NULL: voxbusd's own choice. */
static const char *config_file(const struct doctor *d)
{
	if (d->cli->config)
		return d->cli->config;
	return d->config[0] ? d->config : NULL;
}

static int run_voxbusd(const struct doctor *d, const char *action, struct buf *out)
{
	const char *file = config_file(d);
	const char *option = d->ari_proxy && !d->cli->config ? "--ari-proxy" : "-c";
	const char *args[] = { "voxbusd", action, file ? option : NULL, file, NULL };

	return child_run(args, out);
}

static void check_configuration(struct doctor *d)
{
	auto_buf struct buf out;
	char text[1024];
	int code;

	buf_init(&out, OUTPUT_MAX);
	code = run_voxbusd(d, "--check", &out);
	(void)snprintf(text, sizeof(text), "%.*s", STR_ARG(str_trim(buf_str(&out))));
	d->config_right = code == 0;
	if (code == 0)
		find(d, "configuration", "ok", text, "");
	else if (code < 0)
		find(d, "configuration", "warn",
		     "voxbusd is neither beside this command nor on PATH: not checked",
		     "install it, or put it on PATH");
	else
		find(d, "configuration", "fail", text,
		     "correct that line; see voxbus.yaml(5); try: voxbusd --check -c FILE");
}

/* Whether another program listens there; false for what can't be tried. */
static bool address_taken(struct str address)
{
	struct address a;
	size_t scheme = str_find_str(address, STR("://"));
	int one = 1, fd;
	bool taken;

	if (scheme < address.n)
		address = str_skip(address, scheme + 3);
	if (str_starts(address, STR("unix:")) || address_parse(address, &a, NULL) < 0 || a.is_name)
		return false;
	fd = socket(a.socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	taken = bind(fd, &a.socket.any, a.len) < 0 && errno == EADDRINUSE;
	(void)close(fd);
	return taken;
}

static void check_one_address(struct doctor *d, struct str address, unsigned *taken)
{
	char what[256], fix[256];

	if (!address_taken(address))
		return;
	(*taken)++;
	(void)snprintf(what, sizeof(what), "another program has the HTTP address %.*s",
		       STR_ARG(address));
	(void)snprintf(fix, sizeof(fix),
		       "stop it (ss -ltnp shows who it is), or set http.listen, or VOXBUS_HTTP "
		       "when there is no configuration file");
	find(d, "http-port", "fail", what, fix);
}

/* Only while the daemon does not run: a running one has its addresses itself. */
static void check_http_port(struct doctor *d)
{
	auto_buf struct buf out;
	struct str rest, line;
	unsigned taken = 0;

	buf_init(&out, OUTPUT_MAX);
	if (d->running) {
		find(d, "http-port", "ok", "the HTTP addresses are voxbusd's", "");
		return;
	}
	if (!d->config_right || run_voxbusd(d, "--print", &out) != 0) {
		find(d, "http-port", "warn", "not checked: the configuration is not known", "");
		return;
	}
	rest = buf_str(&out);
	while (doctor_next_listen(&rest, &line))
		check_one_address(d, line, &taken);
	if (taken == 0)
		find(d, "http-port", "ok", "nobody has the HTTP addresses", "");
}

static void check_inside(struct doctor *d)
{
	struct fetched f = { 0 };
	cJSON *list = NULL, *item;
	struct err e;

	if (!d->running)
		return;
	buf_init(&f.body, BODY_MAX);
	if (cli_fetch(d->cli, "/api/doctor", 0, &f, &e) < 0)
		find_err(d, "daemon", &e);
	else
		list = cJSON_ParseWithLength(buf_str(&f.body).p, buf_len(&f.body));
	while (cJSON_IsArray(list) && (item = cJSON_DetachItemFromArray(list, 0)))
		cJSON_AddItemToArray(d->findings, item);
	cJSON_Delete(list);
	buf_fini(&f.body);
}

static void (*const checks[])(struct doctor *d) = {
	check_daemon,
	check_configuration,
	check_http_port,
	check_inside,
};

int cmd_doctor(struct cli *cli, int argc, char **argv)
{
	struct doctor d = { .cli = cli, .findings = cJSON_CreateArray() };
	auto_buf struct buf out;
	unsigned failed;

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](&d);
	buf_init(&out, BODY_MAX);
	failed = doctor_text(d.findings, cli->colour, &out);
	if (cli->json) {
		char *json = cJSON_PrintUnformatted(d.findings);
		(void)puts(json ? json : "[]");
		cJSON_free(json);
	} else {
		(void)fwrite(buf_str(&out).p, 1, buf_len(&out), stdout);
	}
	cJSON_Delete(d.findings);
	return failed ? CLI_TROUBLE : CLI_FINE;
}
