/* SPDX-License-Identifier: MIT */
/*
 * The table of system calls of the simulated disk: each call goes to the real file and into the
 * record, unless the plan says that it fails, stops short, or is the last one before the dark.
 *
 * A call in which the power goes may have had its effect or not (the seed says); after it nothing
 * has any, and all calls fail, until the process is gone and disk_power_up says what is left.
 */
#include "disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk_internal.h"

struct disk disk;

const char *const disk_call_names[CALLS + 1] = { "open",     "create",   "read",      "write",
						 "allocate", "truncate", "fdatasync", "fsync",
						 "syncdir",  "rename",   "unlink",    "any call" };

enum verdict { GO, LAST, REFUSED };

void *disk_grow(void *p, size_t n, size_t *cap, size_t item)
{
	if (n < *cap)
		return p;
	*cap = *cap ? *cap * 2 : 16;
	while (*cap <= n)
		*cap *= 2;
	p = realloc(p, *cap * item);
	assert(p);
	return p;
}

static bool changes(enum disk_call call)
{
	return call != CALL_OPEN && call != CALL_READ;
}

static void die(enum disk_call call)
{
	disk.dead = true;
	disk.died = call;
}

/* Every call comes through here first. REFUSED: errno is set. LAST: the power goes in this one. */
static enum verdict enter(enum disk_call call, const char *name)
{
	if (disk.dead) {
		errno = EIO;
		return REFUSED;
	}
	disk.stats.calls[call]++;
	if (disk.fail_in && (disk.fail_kind == CALL_ANY || disk.fail_kind == call) &&
	    --disk.fail_in == 0) {
		disk.failed = call;
		(void)snprintf(disk.failed_name, sizeof(disk.failed_name), "%s", name);
		if (disk.fail_errno) {
			errno = disk.fail_errno;
			return REFUSED;
		}
	}
	if (disk.cut_in && changes(call) && (disk.cut_kind == CALL_ANY || disk.cut_kind == call) &&
	    --disk.cut_in == 0)
		return LAST;
	if (disk.full && (call == CALL_ALLOCATE || call == CALL_CREATE)) {
		errno = ENOSPC;
		return REFUSED;
	}
	return GO;
}

/* After a call with that verdict: what it returns. */
static ssize_t leave(enum verdict verdict, enum disk_call call, ssize_t rc)
{
	if (verdict == GO && !disk.dead)
		return rc;
	if (!disk.dead)
		die(call);
	errno = EIO;
	return -1;
}

/* In the last call a coin says whether it came to pass. */
static bool comes_to_pass(enum verdict verdict)
{
	return verdict == GO || rnd_percent(&disk.rnd, 50);
}

static void meanwhile(enum disk_call call)
{
	if (!disk.meanwhile || disk.inside || disk.dead)
		return;
	disk.inside = true;
	disk.meanwhile(disk.meanwhile_arg, call);
	disk.inside = false;
}

/* The record of an open file; NULL: none is kept of it (the file lock). */
static struct inode *inode_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	for (size_t i = disk.n_inodes; i > 0; i--)
		if (disk.inodes[i - 1]->ino == st.st_ino)
			return disk.inodes[i - 1];
	return NULL;
}

const char *disk_name_of(const struct inode *inode)
{
	for (size_t i = 0; inode && i < disk.now.n; i++)
		if (disk.now.v[i].inode == inode)
			return disk.now.v[i].text;
	return inode ? "(unlinked)" : "lock";
}

static struct op *op_add(struct inode *inode, struct op op)
{
	if (op.data) {
		char *copy = malloc(op.n + 1);

		assert(copy);
		memcpy(copy, op.data, op.n);
		op.data = copy;
	}
	inode->ops = disk_grow(inode->ops, inode->n_ops, &inode->cap_ops, sizeof(op));
	op.order = ++disk.order;
	inode->ops[inode->n_ops] = op;
	op_apply(&inode->ops[inode->n_ops], &inode->now);
	return &inode->ops[inode->n_ops++];
}

static void entry_add(enum entry_kind kind, const char *name, const char *to, struct inode *inode)
{
	struct entry_op op = { .kind = kind, .inode = inode, .order = ++disk.order };

	(void)snprintf(op.name, sizeof(op.name), "%s", name);
	(void)snprintf(op.to, sizeof(op.to), "%s", to);
	disk.entry_ops =
		disk_grow(disk.entry_ops, disk.n_entry_ops, &disk.cap_entry_ops, sizeof(op));
	disk.entry_ops[disk.n_entry_ops++] = op;
	entry_apply(&op, &disk.now);
}

static int sys_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	struct inode *known = names_find(&disk.now, name);
	enum disk_call call = !known && (flags & O_CREAT) ? CALL_CREATE : CALL_OPEN;
	enum verdict v;
	int fd;

	if (strcmp(name, "lock") == 0)
		return openat(dirfd, name, flags, mode);
	v = enter(call, name);
	if (v == REFUSED)
		return -1;
	if (!comes_to_pass(v))
		return (int)leave(v, call, -1);
	fd = openat(dirfd, name, flags, mode);
	if (fd >= 0 && !known) {
		struct stat st;

		(void)fstat(fd, &st);
		entry_add(ENTRY_CREATE, name, "", inode_create(st.st_ino));
	} else if (fd >= 0 && (flags & O_TRUNC)) {
		(void)op_add(known, (struct op){ OP_CUT, 0, 0, NULL });
	}
	if (v == LAST && fd >= 0) {
		(void)close(fd);
		fd = -1;
	}
	return (int)leave(v, call, fd);
}

static ssize_t sys_pread(int fd, void *p, size_t n, off_t at)
{
	const struct inode *inode = inode_of(fd);

	if (!inode)
		return pread(fd, p, n, at);
	if (enter(CALL_READ, disk_name_of(inode)) == REFUSED)
		return -1;
	if (n > 1 && disk.failed == CALL_READ && !disk.fail_errno && !disk.fail_in)
		n = disk.fail_n && disk.fail_n < n ? disk.fail_n : n;
	return pread(fd, p, n, at);
}

/* How many of the bytes of a write are taken: 0 = none, the disk is full. */
static size_t write_length(const struct inode *inode, enum verdict v, size_t n, size_t at)
{
	if (v == LAST)
		return rnd_percent(&disk.rnd, 50) ? n : rnd_below(&disk.rnd, n + 1);
	if (disk.failed == CALL_WRITE && !disk.fail_errno && disk.fail_n != SIZE_MAX) {
		size_t take = disk.fail_n < n ? disk.fail_n : n;

		disk.fail_n = SIZE_MAX;
		return take;
	}
	if (!disk.full || at + n <= inode->now.n)
		return n;
	return at < inode->now.n ? inode->now.n - at : 0;
}

static ssize_t sys_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	struct inode *inode = inode_of(fd);
	size_t total = 0, take;
	enum verdict v;
	char *all;

	if (!inode)
		return pwritev(fd, iov, n, at);
	v = enter(CALL_WRITE, disk_name_of(inode));
	if (v == REFUSED)
		return -1;
	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	take = write_length(inode, v, total, (size_t)at);
	if (take == 0 && total && v == GO) {
		errno = ENOSPC;
		return -1;
	}
	meanwhile(CALL_WRITE);
	all = malloc(total + 1);
	assert(all);
	total = 0;
	for (int i = 0; i < n; i++) {
		memcpy(all + total, iov[i].iov_base, iov[i].iov_len);
		total += iov[i].iov_len;
	}
	if (!disk.dead && take) {
		ssize_t did = pwrite(fd, all, take, at);

		assert(did == (ssize_t)take);
		(void)op_add(inode, (struct op){ OP_WRITE, (size_t)at, take, all });
		if (disk.wrote)
			disk.wrote(inode);
	}
	free(all);
	return leave(v, CALL_WRITE, (ssize_t)take);
}

static int sys_fallocate(int fd, int mode, off_t at, off_t n)
{
	struct inode *inode = inode_of(fd);
	enum verdict v = enter(CALL_ALLOCATE, disk_name_of(inode));
	int rc = 0;

	if (v == REFUSED)
		return -1;
	assert(inode);
	if (comes_to_pass(v)) {
		rc = fallocate(fd, mode, at, n);
		if (rc == 0 && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
			(void)op_add(inode, (struct op){ OP_WRITE, (size_t)at, (size_t)n, NULL });
		else if (rc == 0 && !(mode & FALLOC_FL_KEEP_SIZE))
			(void)op_add(inode, (struct op){ OP_GROW, (size_t)at, (size_t)n, NULL });
	}
	return (int)leave(v, CALL_ALLOCATE, rc);
}

static int sys_ftruncate(int fd, off_t n)
{
	struct inode *inode = inode_of(fd);
	enum verdict v;
	int rc = 0;

	if (!inode)
		return ftruncate(fd, n);
	v = enter(CALL_TRUNCATE, disk_name_of(inode));
	if (v == REFUSED)
		return -1;
	if (disk.sabotage == SABOTAGE_TRUNCATE) {
		disk.lies++;
	} else if (comes_to_pass(v)) {
		rc = ftruncate(fd, n);
		if (rc == 0)
			(void)op_add(inode, (struct op){ OP_CUT, (size_t)n, 0, NULL });
	}
	return (int)leave(v, CALL_TRUNCATE, rc);
}

/* Does this sync only say that it did it? */
static bool lies(enum disk_call call)
{
	bool lie = (disk.sabotage == SABOTAGE_SYNC && call == CALL_DATASYNC &&
		    disk.stats.calls[call] % 8 == 0) ||
		   (disk.sabotage == SABOTAGE_DIR && call == CALL_SYNC_DIR) ||
		   (disk.sabotage == SABOTAGE_FSYNC && call == CALL_SYNC);

	disk.lies += lie;
	return lie;
}

/* What was there when it began is sure; what came meanwhile is not. */
static int sync_file(struct inode *inode, enum disk_call call)
{
	enum verdict v = enter(call, disk_name_of(inode));
	uint64_t began = disk.order;

	if (v == REFUSED)
		return -1;
	meanwhile(call);
	if (!disk.dead && comes_to_pass(v) && !lies(call))
		inode_settle(inode, began);
	return (int)leave(v, call, 0);
}

static int sys_fdatasync(int fd)
{
	struct inode *inode = inode_of(fd);

	return inode ? sync_file(inode, CALL_DATASYNC) : fdatasync(fd);
}

static int sys_fsync(int fd)
{
	struct inode *inode = inode_of(fd);
	uint64_t began = disk.order;
	struct stat st;
	enum verdict v;

	if (inode)
		return sync_file(inode, CALL_SYNC);
	if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return fsync(fd);
	v = enter(CALL_SYNC_DIR, "the directory");
	if (v == REFUSED)
		return -1;
	meanwhile(CALL_SYNC_DIR);
	if (!disk.dead && comes_to_pass(v) && !lies(CALL_SYNC_DIR))
		names_settle(began);
	return (int)leave(v, CALL_SYNC_DIR, 0);
}

static int sys_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	enum verdict v = enter(CALL_RENAME, from);
	struct inode *inode = names_find(&disk.now, from);
	int rc = 0;

	if (v == REFUSED)
		return -1;
	if (comes_to_pass(v)) {
		rc = renameat(from_dirfd, from, to_dirfd, to);
		if (rc == 0)
			entry_add(ENTRY_RENAME, from, to, inode);
	}
	return (int)leave(v, CALL_RENAME, rc);
}

static int sys_unlinkat(int dirfd, const char *name, int flags)
{
	enum verdict v = enter(CALL_UNLINK, name);
	int rc = 0;

	if (v == REFUSED)
		return -1;
	if (comes_to_pass(v)) {
		rc = unlinkat(dirfd, name, flags);
		if (rc == 0)
			entry_add(ENTRY_UNLINK, name, "", names_find(&disk.now, name));
	}
	return (int)leave(v, CALL_UNLINK, rc);
}

const struct journal_sys disk_sys = {
	.openat = sys_openat,
	.pread = sys_pread,
	.pwritev = sys_pwritev,
	.fallocate = sys_fallocate,
	.ftruncate = sys_ftruncate,
	.fdatasync = sys_fdatasync,
	.fsync = sys_fsync,
	.renameat = sys_renameat,
	.unlinkat = sys_unlinkat,
};

void disk_cut_in(enum disk_call kind, uint64_t n)
{
	disk.cut_kind = kind;
	disk.cut_in = n;
}

void disk_cut_now(void)
{
	die(CALL_ANY);
}
