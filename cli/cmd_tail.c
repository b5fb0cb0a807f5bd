/* SPDX-License-Identifier: MIT */
/* `voxbus tail`: the daemon's NDJSON, line by line, for people or (--json) as it is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "tail_text.h"

enum { LINE_MAX_BYTES = 1 << 20, TARGET_MAX = 1024 };

struct tail_run {
	bool json;
	struct tail_text *text;
	struct buf out;
};

static void on_line(void *arg, struct str line)
{
	struct tail_run *run = arg;

	buf_clear(&run->out);
	if (run->json) {
		(void)fwrite(line.p, 1, line.n, stdout);
		(void)putchar('\n');
	} else if (tail_text_add(run->text, line, &run->out) == 0) {
		(void)fwrite(buf_str(&run->out).p, 1, buf_len(&run->out), stdout);
	}
	(void)fflush(stdout);
}

static bool is_unreserved(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       strchr("-._~*", c) != NULL;
}

/* False when the topic is too long. */
static bool make_target(const char *topic, char target[TARGET_MAX])
{
	size_t n = (size_t)snprintf(target, TARGET_MAX, "/api/tail?topic=");

	for (; *topic; topic++) {
		if (n + 4 > TARGET_MAX)
			return false;
		n += (size_t)snprintf(target + n, TARGET_MAX - n,
				      is_unreserved(*topic) ? "%c" : "%%%02X",
				      (unsigned char)*topic);
	}
	return true;
}

int cmd_tail(struct cli *cli, int argc, char **argv)
{
	struct tail_run run = { .json = cli->json, .text = tail_text_create() };
	char target[TARGET_MAX];
	struct err e;
	int rc;

	if (!make_target(argc > 1 && argv[1][0] ? argv[1] : "*", target)) {
		(void)fputs("voxbus: the topic is too long\n", stderr);
		tail_text_destroy(run.text);
		return CLI_USAGE;
	}
	buf_init(&run.out, LINE_MAX_BYTES);
	rc = run.text ? cli_find_daemon(cli, &e) : err_set(&e, -ENOMEM, "memory is out");
	if (rc == 0)
		rc = cli_stream(cli, target, on_line, &run, &e);
	buf_fini(&run.out);
	tail_text_destroy(run.text);
	return rc < 0 ? cli_complain(&e) : CLI_FINE;
}
