/* SPDX-License-Identifier: MIT */
/*
 * voxbus: what the daemon does, for people at a terminal.
 *
 * Options stand before the command. Each command is a row of the table below; help comes from the
 * same table. Exit codes: 0 fine, 1 trouble was found or something failed, 2 wrong usage.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli.h"

struct command {
	const char *name, *args, *what, *more;
	int (*fn)(struct cli *cli, int argc, char **argv);
	bool options; /* reads its arguments and options itself */
};

static const struct command commands[] = {
	{ "status", "", "ports, applications, journal: how it stands",
	  "Prints one table of ports and one of applications. Exits with 1 when the daemon is not\n"
	  "ready.\n",
	  cmd_status },
	{ "calls", "", "the calls of now", "Prints one line a dialog, at most 1000.\n", cmd_calls },
	{ "tail", "[TOPIC]", "messages as they come, until Ctrl-C",
	  "TOPIC is a glob over topics: '*' is any run of characters, '?' any one. Without it, "
	  "all.\n"
	  "  voxbus tail hello           the calls that begin for application hello\n"
	  "  voxbus tail 'events_*'      the events of all calls\n"
	  "Signs: > event to the application, < command, = its reply, * a call begins.\n"
	  "Exits with 0 at Ctrl-C and with 1 when the daemon goes away.\n",
	  cmd_tail },
	{ "publish", "QUEUE", "sends a message to a queue",
	  "  voxbus publish orders -d 'hello'              -d @FILE: a file, -d -: standard input\n"
	  "  voxbus publish orders --form name=value a=1   a form, as curl -d sends it\n"
	  "Without -d and --form: standard input. Prints the message's id once it is durable.\n"
	  "  --content-type T   else JSON, XML, text or bytes, by what it looks like\n"
	  "  --ttl T            nobody gets it later than that: 30s, 10m, 2h\n"
	  "  --url URL          the public address; else the daemon of this machine is asked\n"
	  "The account is VOXBUS_SID and VOXBUS_TOKEN, else the one that the daemon made.\n",
	  cmd_publish, true },
	{ "poll", "QUEUE", "takes messages of a queue",
	  "  voxbus poll orders                    waits up to 15 s for the first\n"
	  "  voxbus poll orders --follow --json    all that come, one JSON object a line\n"
	  "  --timeout T   how long to wait: 30s, 5m; 0: not at all\n"
	  "  --max N       at most so many at once: 1 to 100, 10 by default\n"
	  "A message is taken from the queue when it has been printed: none is lost when this is\n"
	  "interrupted. Address and account are found as for publish.\n",
	  cmd_poll, true },
	{ "queue", "[...]", "the queues: list, show, purge",
	  "  voxbus queue list ['orders*']     messages, age and waiters of each\n"
	  "  voxbus queue show orders\n"
	  "  voxbus queue purge orders [--yes] drops all its messages but those under way\n",
	  cmd_queue, true },
	{ "replay", "DIALOG", "a call's events once more",
	  "  voxbus replay DIALOG                  on the topic replay_DIALOG, at the pace of "
	  "then\n"
	  "  voxbus replay DIALOG --to TOPIC       on that topic of the application's bus\n"
	  "  voxbus replay DIALOG --speed 10       ten times as fast; 0: at once\n"
	  "What is still there: unread events, and with the application's `keep` the read ones, "
	  "too.\n"
	  "Each says so by \"replay\":NUMBER at its end, which is the number that it had.\n",
	  cmd_replay, true },
	{ "doctor", "", "looks for the commonest faults and names their fixes",
	  "Works without a running daemon as well. -c FILE names the configuration to check.\n"
	  "Exits with 1 when something has FAILed.\n",
	  cmd_doctor },
	{ "version", "", "this command's version, and the daemon's if it runs",
	  "Prints both, one a line.\n", cmd_version },
	{ "help", "[COMMAND]", "this, or more about a command", "", cmd_help },
};

static const char usage[] = "usage: voxbus [-c FILE] [--socket PATH | --url URL --token-file FILE] "
			    "[--cacert FILE |\n"
			    "              --insecure] [--json] COMMAND [ARGUMENT...]\n";

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void print_help(FILE *out)
{
	(void)fputs(usage, out);
	(void)fputs("\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		(void)fprintf(out, "  %-7s %-10s %s\n", commands[i].name, commands[i].args,
			      commands[i].what);
	(void)fputs(
		"\nThe daemon's admin socket: --socket, $VOXBUS_ADMIN, /run/voxbus/admin.sock,\n"
		"$XDG_STATE_HOME/voxbus/admin.sock; the first that is given or there.\n"
		"Exit codes: 0 fine, 1 trouble found or failed, 2 wrong usage. See voxbus(1).\n",
		out);
}

int cmd_help(struct cli *cli, int argc, char **argv)
{
	const struct command *command = argc > 1 ? find_command(argv[1]) : NULL;

	if (argc > 1 && !command) {
		(void)fprintf(stderr, "voxbus: there is no command \"%s\"; try: voxbus help\n",
			      argv[1]);
		return CLI_USAGE;
	}
	if (!command)
		print_help(stdout);
	else
		(void)printf("voxbus %s%s%s: %s\n%s", command->name, command->args[0] ? " " : "",
			     command->args, command->what, command->more);
	return CLI_FINE;
}

/* -1: go on; else the exit code. */
static int parse_options(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "socket", required_argument, NULL, 's' },
		{ "url", required_argument, NULL, 'u' },
		{ "token-file", required_argument, NULL, 't' },
		{ "cacert", required_argument, NULL, 'C' },
		{ "insecure", no_argument, NULL, 'k' },
		{ "json", no_argument, NULL, 'j' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "+c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			cli->config = optarg;
			break;
		case 's':
			cli->socket = optarg;
			break;
		case 'u':
			cli->url = optarg;
			break;
		case 't':
			cli->token_file = optarg;
			break;
		case 'C':
			cli->cacert = optarg;
			break;
		case 'k':
			cli->insecure = true;
			break;
		case 'j':
			cli->json = true;
			break;
		case 'v':
			(void)printf("voxbus %s\n", VOXBUS_VERSION);
			return CLI_FINE;
		case 'h':
			print_help(stdout);
			return CLI_FINE;
		default:
			(void)fputs(usage, stderr);
			return CLI_USAGE;
		}
	}
	if (cli->socket && cli->url) {
		(void)fputs("voxbus: --socket and --url can't be given together\n", stderr);
		return CLI_USAGE;
	}
	return -1;
}

/* --json may stand behind the command as well: people put it there. */
static int drop_json(struct cli *cli, int argc, char **argv)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			cli->json = true;
		else
			argv[n++] = argv[i];
	}
	return n;
}

int main(int argc, char **argv)
{
	const char *no_colour = getenv("NO_COLOR");
	struct cli cli = { .colour = isatty(STDOUT_FILENO) && !(no_colour && no_colour[0]) };
	const struct command *command;
	int code;

	/* What goes wrong is said by the commands. */
	log_setup(LOG_ERROR, LOG_LOGFMT, stderr);
	code = parse_options(&cli, argc, argv);

	if (code >= 0)
		return code;
	argc -= optind;
	argv += optind;
	if (argc == 0) {
		print_help(stderr);
		return CLI_USAGE;
	}
	command = find_command(argv[0]);
	if (!command) {
		(void)fprintf(stderr, "voxbus: there is no command \"%s\"; try: voxbus help\n",
			      argv[0]);
		return CLI_USAGE;
	}
	if (command->options)
		return command->fn(&cli, argc, argv);
	argc = drop_json(&cli, argc, argv);
	if (argc > (command->args[0] ? 2 : 1)) {
		(void)fprintf(stderr, "voxbus: %s takes %s\n", command->name,
			      command->args[0] ? "one argument" : "no argument");
		return CLI_USAGE;
	}
	return command->fn(&cli, argc, argv);
}
