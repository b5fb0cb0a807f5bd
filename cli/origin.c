/* SPDX-License-Identifier: MIT */
/*
 * Where the daemon's admin listener is.
 *
 * In this order: --url, --socket, $VOXBUS_ADMIN (a path or a URL), /run/voxbus/admin.sock if it is
 * there, $XDG_STATE_HOME/voxbus/admin.sock (~/.local/state without that variable). The last is
 * where a daemon without a configuration keeps it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"

#define SYSTEM_SOCKET "/run/voxbus/admin.sock"

static int set_origin(struct cli *cli, struct err *e, const char *prefix, const char *rest)
{
	int n = snprintf(cli->origin, sizeof(cli->origin), "%s%s", prefix, rest);

	if (n < 0 || (size_t)n >= sizeof(cli->origin))
		return err_set(e, -EINVAL, "the admin address is over %d bytes",
			       CLI_ORIGIN_SIZE - 1);
	return 0;
}

static int set_from_text(struct cli *cli, const char *text, struct err *e)
{
	struct str s = str_from(text);
	bool whole = str_starts(s, STR("http://")) || str_starts(s, STR("https://")) ||
		     str_starts(s, STR("unix:"));

	return set_origin(cli, e, whole ? "" : "unix:", text);
}

static int set_state_home(struct cli *cli, struct err *e)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char path[CLI_ORIGIN_SIZE - 8];
	int n;

	if (state && state[0] == '/')
		n = snprintf(path, sizeof(path), "%s/voxbus/admin.sock", state);
	else
		n = snprintf(path, sizeof(path), "%s/.local/state/voxbus/admin.sock",
			     home ? home : "");
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, -EINVAL, "XDG_STATE_HOME is too long");
	return set_origin(cli, e, "unix:", path);
}

static int read_token(struct cli *cli, struct err *e)
{
	int fd = open(cli->token_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, cli->token, sizeof(cli->token) - 1);
	int rc = n < 0 ? -errno : 0;
	struct str rest, token;

	if (fd >= 0)
		(void)close(fd);
	if (rc < 0)
		return err_set(e, rc, "can't read the token file %s: %s", cli->token_file,
			       strerror(-rc));
	rest = str_make(cli->token, (size_t)n);
	token = str_trim(str_cut(&rest, '\n'));
	memmove(cli->token, token.p, token.n);
	cli->token[token.n] = 0;
	if (token.n == 0)
		return err_set(e, -EINVAL, "the token file %s is empty", cli->token_file);
	for (size_t i = 0; i < token.n; i++)
		if (cli->token[i] <= ' ' || cli->token[i] > '~')
			return err_set(e, -EINVAL,
				       "the token file %s must hold one line of printable ASCII",
				       cli->token_file);
	return 0;
}

int cli_find_daemon(struct cli *cli, struct err *e)
{
	const char *env = getenv("VOXBUS_ADMIN");
	int rc;

	if (cli->url && !str_starts(str_from(cli->url), STR("http://")) &&
	    !str_starts(str_from(cli->url), STR("https://")))
		return err_set(e, -EINVAL, "--url is \"%s\", must be http://HOST:PORT or https://",
			       cli->url);
	if (cli->url)
		rc = set_origin(cli, e, "", cli->url);
	else if (cli->socket)
		rc = set_from_text(cli, cli->socket, e);
	else if (env && env[0])
		rc = set_from_text(cli, env, e);
	else if (access(SYSTEM_SOCKET, F_OK) == 0)
		rc = set_origin(cli, e, "unix:", SYSTEM_SOCKET);
	else
		rc = set_state_home(cli, e);
	if (rc == 0 && cli->token_file)
		rc = read_token(cli, e);
	return rc;
}
