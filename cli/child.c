/* SPDX-License-Identifier: MIT */
/* A child process with its outputs in a buffer; it has no standard input. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The path beside us, or the bare name for PATH. */
static const char *find_program(const char *name, char path[PATH_MAX])
{
	static const char *const folders[] = { "", "../" };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return name;
	while (n > 0 && self[n - 1] != '/')
		n--;
	for (size_t i = 0; i < 2; i++) {
		int len = snprintf(path, PATH_MAX, "%.*s%s%s", (int)n, self, folders[i], name);

		if (len < PATH_MAX && access(path, X_OK) == 0)
			return path;
	}
	return name;
}

static int spawn(const char *program, const char *const *args, int out, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc)
		return -rc;
	rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, out, 1);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, out, 2);
	if (rc == 0)
		rc = posix_spawnp(ret, program, &actions, NULL, (char *const *)args, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

/* To its end, so that the child never blocks on us. */
static void read_all(int fd, struct buf *out)
{
	char piece[4096];

	for (;;) {
		ssize_t n = read(fd, piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		(void)buf_add(out, str_make(piece, (size_t)n));
	}
}

int child_run(const char *const *args, struct buf *out)
{
	char path[PATH_MAX];
	int fds[2] = { -1, -1 }, status = 0, rc;
	pid_t pid = 0;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	rc = spawn(find_program(args[0], path), args, fds[1], &pid);
	(void)close(fds[1]);
	if (rc == 0)
		read_all(fds[0], out);
	(void)close(fds[0]);
	if (rc < 0)
		return rc;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
