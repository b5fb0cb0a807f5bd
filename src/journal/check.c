/* SPDX-License-Identifier: MIT */
/*
 * A journal looked at without being changed: `voxbusd --check-journal`.
 *
 * The recovery runs here as it does at a start, but over a table of system calls that only reads:
 * what would change a file is answered as done, and nothing is done. So there is one meaning of
 * the bytes, not two, and no branch in the recovery that could be forgotten. Problems come to us
 * instead of the log.
 *
 * The lock is taken shared, on a descriptor for reading: that refuses while a daemon has it, and
 * writes nothing.
 */
#include "journal/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "journal/journal_internal.h"

enum { WRITES = O_CREAT | O_TRUNC | O_EXCL };

/* What would be made is a descriptor that keeps nothing. */
static int look_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	if (flags & WRITES)
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	return openat(dirfd, name, (flags & ~O_ACCMODE) | O_RDONLY | O_CLOEXEC);
}

static ssize_t look_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	ssize_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += (ssize_t)iov[i].iov_len;
	return sum;
}

static int look_fallocate(int fd, int mode, off_t at, off_t n)
{
	return 0;
}

static int look_ftruncate(int fd, off_t n)
{
	return 0;
}

static int look_sync(int fd)
{
	return 0;
}

static int look_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	return 0;
}

static int look_unlinkat(int dirfd, const char *name, int flags)
{
	return 0;
}

static const struct journal_sys sys_look = {
	.openat = look_openat,
	.pread = pread,
	.pwritev = look_pwritev,
	.fallocate = look_fallocate,
	.ftruncate = look_ftruncate,
	.fdatasync = look_sync,
	.fsync = look_sync,
	.renameat = look_renameat,
	.unlinkat = look_unlinkat,
};

/* Is there anything of a journal in it? */
static bool is_journal(const char *path)
{
	DIR *dir = opendir(path);
	bool found = false;

	for (struct dirent *d; dir && !found && (d = readdir(dir));)
		found = str_ends(str_from(d->d_name), STR(".vbj")) ||
			str_eq(str_from(d->d_name), STR("state.log"));
	if (dir)
		(void)closedir(dir);
	return found;
}

static int open_to_look(struct journal *j, struct err *e)
{
	char pid[32] = "";

	j->dirfd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dirfd < 0)
		return err_set(e, -errno, "journal %s: cannot open the directory: %s", j->dir,
			       strerror(errno));
	if (!is_journal(j->dir))
		return err_set(e, -ENOENT,
			       "journal %s: there is no journal: it is the directory journal in "
			       "data_dir",
			       j->dir);
	j->lockfd = openat(j->dirfd, "lock", O_RDONLY | O_CLOEXEC);
	if (j->lockfd < 0)
		return errno == ENOENT ? 0
				       : err_set(e, -errno, "journal %s: cannot open lock: %s",
						 j->dir, strerror(errno));
	if (flock(j->lockfd, LOCK_SH | LOCK_NB) == 0)
		return 0;
	if (pread(j->lockfd, pid, sizeof(pid) - 1, 0) > 0)
		pid[strcspn(pid, "\n")] = 0;
	return err_set(e, -EBUSY,
		       "journal %s: in use by a daemon (process %s): stop it first, a log that is "
		       "being written can't be checked",
		       j->dir, *pid ? pid : "unknown");
}

static int look(struct journal *j, struct journal_checked *ret, struct err *e)
{
	struct recovered found = { 0 };
	int rc = open_to_look(j, e);

	if (rc < 0)
		return rc;
	rc = journal_recover(j, &found, e);
	(void)file_unref(found.states);
	index_file_fini(&found.index);
	ret->used = j->index_used;
	ret->ignored = j->index_ignored;
	journal_stats(j, &ret->stats);
	return rc;
}

int journal_check(const char *dir, void (*problem)(void *arg, const struct journal_problem *p),
		  void *arg, struct journal_checked *ret, struct err *e)
{
	struct journal_options o = { .dir = dir };
	struct journal_inject in = {
		.options = &o, .sys = &sys_look, .problem = problem, .problem_arg = arg
	};
	struct journal *j;
	int rc = loop_create(&in.loop); /* nothing runs on it: what is deferred never comes */

	*ret = (struct journal_checked){ .used = 0 };
	if (rc < 0)
		return err_set(e, rc, "journal %s: out of memory", dir);
	j = journal_create(&in);
	rc = j ? look(j, ret, e) : err_set(e, -ENOMEM, "journal %s: out of memory", dir);
	(void)journal_destroy(j);
	(void)loop_destroy(in.loop);
	return rc;
}
