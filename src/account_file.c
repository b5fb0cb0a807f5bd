/* SPDX-License-Identifier: MIT */
/* Reading, or drawing and writing, the account of a daemon that was told of none. */
#include "account_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/rand.h"

enum { FILE_MAX = 4096, SID_RANDOM = 16, TOKEN_RANDOM = 16 };

static struct str value_of(struct str text, struct str key)
{
	while (text.p) {
		struct str line = str_trim(str_cut(&text, '\n'));

		if (str_starts(line, key))
			return str_skip(line, key.n);
	}
	return str_make(NULL, 0);
}

static int parse(const char *path, struct str text, struct made_account *ret, struct err *e)
{
	struct str sid = value_of(text, STR("VOXBUS_SID="));
	struct str token = value_of(text, STR("VOXBUS_TOKEN="));

	if (!sid.n || sid.n >= sizeof(ret->sid) || !token.n)
		return err_set(e, -EINVAL,
			       "%s: must have the lines VOXBUS_SID=... and VOXBUS_TOKEN=...: "
			       "mend it, or remove it to get a new account",
			       path);
	(void)snprintf(ret->sid, sizeof(ret->sid), "%.*s", STR_ARG(sid));
	ret->fresh = false;
	return secret_set(&ret->token, token) < 0 ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int read_file(const char *path, struct made_account *ret, struct err *e)
{
	char text[FILE_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text));
	(void)close(fd);
	if (n < 0)
		return err_set(e, -EIO, "%s: %s", path, strerror(errno));
	return parse(path, str_make(text, (size_t)n), ret, e);
}

static int write_all(int fd, struct str text)
{
	while (text.n) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		text = str_skip(text, (size_t)n);
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* So that the name survives a power cut, too. */
static int sync_dir(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, rc;

	(void)snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path + 1) : 1,
		       slash ? path : ".");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 || fsync(fd) < 0 ? -errno : 0;
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* Under another name first: the file is whole or not there. */
static int write_file(const char *path, struct str text, struct err *e)
{
	char temporary[PATH_MAX];
	int fd, rc;

	(void)snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, -errno, "%s: %s", temporary, strerror(errno));
	rc = write_all(fd, text);
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && rename(temporary, path) < 0)
		rc = -errno;
	if (rc == 0)
		rc = sync_dir(path);
	if (rc == 0)
		return 0;
	(void)unlink(temporary);
	return err_set(e, rc, "%s: can't be written: %s", path, strerror(-rc));
}

int account_file_load(const char *path, struct made_account *ret, struct err *e)
{
	char sid[2 + 2 * SID_RANDOM + 1] = "AC", token[2 * TOKEN_RANDOM + 1], text[FILE_MAX];
	int n, rc = read_file(path, ret, e);

	if (rc != -ENOENT)
		return rc == 0 || e->text[0] ? rc : err_set(e, rc, "%s: %s", path, strerror(-rc));
	/* Lower-case hex: scripts look for the first "CA" in what they poll. */
	rand_hex(sid + 2, SID_RANDOM);
	rand_hex(token, TOKEN_RANDOM);
	n = snprintf(text, sizeof(text), "VOXBUS_SID=%s\nVOXBUS_TOKEN=%s\n", sid, token);
	rc = write_file(path, str_make(text, (size_t)n), e);
	if (rc == 0)
		rc = parse(path, str_make(text, (size_t)n), ret, e);
	ret->fresh = rc == 0;
	return rc;
}
