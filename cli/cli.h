/* SPDX-License-Identifier: MIT */
/* What the commands of `voxbus` share: the options, and how they talk to the daemon. */
#ifndef VOXBUS_CLI_CLI_H
#define VOXBUS_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Exit codes. */
enum { CLI_FINE = 0, CLI_TROUBLE = 1, CLI_USAGE = 2 };

enum { CLI_ORIGIN_SIZE = 512 };

struct cli {
	const char *socket, *url, *token_file, *config; /* options, NULL when not given */
	const char *cacert;                             /* whom TLS believes; NULL: the system's */
	bool insecure;                                  /* TLS believes everybody */
	bool json;
	bool colour;
	char origin[CLI_ORIGIN_SIZE]; /* "unix:/run/voxbus/admin.sock" or "http://..." */
	char token[256];              /* "" = none */
};

/* Finds the daemon's admin address and reads the token: 0, or -EINVAL, -errno with a sentence. */
int cli_find_daemon(struct cli *cli, struct err *e);

struct fetched {
	int status;
	uint64_t total; /* X-Total-Count, 0 if none */
	char id[80];    /* X-Message-Id, "" if none */
	struct buf body;
};

/*
 * GET: 0 and *ret (status 200, or another that `also` allows), or a negative errno with a sentence
 * that says what to do: the daemon does not run, no permission, wrong token, too old.
 * The caller frees ret->body (buf_fini) in any case; it must be initialised by buf_init.
 */
int cli_fetch(const struct cli *cli, const char *target, int also, struct fetched *ret,
	      struct err *e);
/* The same with a method, whatever the answer's status. */
int cli_ask(const struct cli *cli, const char *method, const char *target, struct fetched *ret,
	    struct err *e);
/* A sentence for a status that is none of those a command knows what to do with; < 0. */
int cli_explain_status(const struct cli *cli, const char *target, int status, struct err *e);
/*
 * GET of an endless answer: on_line for each line, without its line feed. Returns 0 when the user
 * has interrupted it, else as cli_fetch; the daemon's end is -EPIPE.
 */
int cli_stream(const struct cli *cli, const char *target,
	       void (*on_line)(void *arg, struct str line), void *arg, struct err *e);

/* The commands: exit codes. */
int cmd_status(struct cli *cli, int argc, char **argv);
int cmd_calls(struct cli *cli, int argc, char **argv);
int cmd_tail(struct cli *cli, int argc, char **argv);
int cmd_publish(struct cli *cli, int argc, char **argv);
int cmd_poll(struct cli *cli, int argc, char **argv);
int cmd_queue(struct cli *cli, int argc, char **argv);
int cmd_replay(struct cli *cli, int argc, char **argv);
int cmd_doctor(struct cli *cli, int argc, char **argv);
int cmd_version(struct cli *cli, int argc, char **argv);
int cmd_help(struct cli *cli, int argc, char **argv);

/* "voxbus: <sentence>" on standard error; returns CLI_TROUBLE. */
int cli_complain(const struct err *e);
/* "3 s", "12 min", "5 h 3 min", "2 d 4 h". */
const char *cli_duration(char out[32], double seconds);

#endif
