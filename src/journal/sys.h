/* SPDX-License-Identifier: MIT */
/*
 * The system calls by which the journal's files are read and changed, as a table: tests let them
 * fail, stop short, or record what was done in which order.
 *
 * All calls mean what their manual pages say, errno included, and come from the loop's thread, the
 * writer's, the syncer's and the pool's: a table's functions must bear that (a stepped journal
 * calls them from the test's thread, except for the pool's pread).
 */
#ifndef VOXBUS_JOURNAL_SYS_H
#define VOXBUS_JOURNAL_SYS_H

#include <sys/types.h>
#include <sys/uio.h>

struct journal_sys {
	int (*openat)(int dirfd, const char *name, int flags, mode_t mode);
	ssize_t (*pread)(int fd, void *p, size_t n, off_t at);
	ssize_t (*pwritev)(int fd, const struct iovec *iov, int n, off_t at);
	int (*fallocate)(int fd, int mode, off_t at, off_t n);
	int (*ftruncate)(int fd, off_t n);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd); /* also of the directory */
	int (*renameat)(int from_dirfd, const char *from, int to_dirfd, const char *to);
	int (*unlinkat)(int dirfd, const char *name, int flags);
};

/* The kernel's. */
extern const struct journal_sys journal_sys_real;

#endif
