/* SPDX-License-Identifier: MIT */
/*
 * A simulated disk under the journal: real files in one directory, and beside them a record of
 * what a power cut would leave.
 *
 *   now    what the process sees: every write, create, rename and unlink so far (the cache)
 *   disk   what is sure: covered by a sync that began after it and has come back
 *   ops    what lies between, in its order; a cut keeps, drops or tears each of it
 *
 * A file's bytes and size become sure by fsync or fdatasync of the file, names by fsync of the
 * directory, and nothing else makes them so. The table of system calls has no argument of its own,
 * so there is one disk a process. Nothing here is called from two threads.
 */
#ifndef VOXBUS_TESTS_TORTURE_DISK_H
#define VOXBUS_TESTS_TORTURE_DISK_H

#include <sys/types.h>

#include "journal/sys.h"
#include "rnd.h"

enum { SECTOR = 512, DISK_NAME = 32 };

enum disk_call {
	CALL_OPEN,
	CALL_CREATE,
	CALL_READ,
	CALL_WRITE,
	CALL_ALLOCATE,
	CALL_TRUNCATE,
	CALL_DATASYNC,
	CALL_SYNC,
	CALL_SYNC_DIR,
	CALL_RENAME,
	CALL_UNLINK,
	CALLS, /* any that changes something */
	CALL_ANY = CALLS,
};
extern const char *const disk_call_names[CALLS + 1];

/* Bytes of which only the first `have` are kept; up to n the rest is zero. */
struct bytes {
	char *p;
	size_t n, have, cap;
};

enum op_kind { OP_WRITE, OP_GROW, OP_CUT };

struct op {
	enum op_kind kind;
	size_t offset, n; /* OP_CUT: the new size is offset */
	char *data;       /* NULL: zeros */
	uint64_t order;   /* among all operations of the disk */
};

struct inode {
	ino_t ino;
	unsigned id; /* in the order of their making */
	struct bytes now, disk;
	struct op *ops;
	size_t n_ops, cap_ops;
	/* of the proof */
	uint64_t generation;
	size_t parsed, snapshot_end;
};

struct name {
	char text[DISK_NAME];
	struct inode *inode;
};

struct names {
	struct name *v;
	size_t n, cap;
};

enum entry_kind { ENTRY_CREATE, ENTRY_UNLINK, ENTRY_RENAME };

struct entry_op {
	enum entry_kind kind;
	char name[DISK_NAME], to[DISK_NAME];
	struct inode *inode;
	uint64_t order;
};

/* What lies, and how: a disk (or a journal) with a fault made on purpose. */
enum sabotage {
	SABOTAGE_NONE,
	SABOTAGE_SYNC,     /* fdatasync says yes and does nothing, every eighth time */
	SABOTAGE_DIR,      /* fsync of the directory does nothing */
	SABOTAGE_FSYNC,    /* fsync of a file does nothing */
	SABOTAGE_TRUNCATE, /* a file is not cut */
	SABOTAGE_SECTOR,   /* a sync loses the last sector that it should have written */
	SABOTAGE_ACK,      /* the journal acknowledges what is written and not yet synced */
	SABOTAGE_CRC,      /* the journal takes every checksum for right */
	SABOTAGE_LEASE,    /* a lease is not told that its message was settled, every eighth time */
	SABOTAGES,
};

struct disk_stats {
	uint64_t calls[CALLS];
	uint64_t sectors_kept, sectors_dropped, sectors_between, names_kept, names_dropped;
};

struct disk {
	char dir[64];
	int dirfd;
	struct rnd rnd;
	struct inode **inodes;
	size_t n_inodes, cap_inodes;
	unsigned next_id;
	uint64_t order;
	struct names now, sure;
	struct entry_op *entry_ops;
	size_t n_entry_ops, cap_entry_ops;
	/* What is to go wrong. Counted down by each call of that kind; 0 = not at all. */
	enum disk_call cut_kind, fail_kind;
	uint64_t cut_in, fail_in;
	int fail_errno; /* 0: a short write of fail_n bytes */
	size_t fail_n;
	bool full;             /* no file gets longer */
	bool dead;             /* the power is gone: nothing does anything any more */
	enum disk_call died;   /* in which call */
	enum disk_call failed; /* which call was let fail */
	char failed_name[DISK_NAME];
	enum sabotage sabotage;
	unsigned lies; /* syncs that were lied about */
	/* In the middle of a write or a sync: what another thread may do meanwhile. */
	void (*meanwhile)(void *arg, enum disk_call call);
	void *meanwhile_arg;
	bool inside; /* of meanwhile */
	void (*wrote)(struct inode *inode);
	struct disk_stats stats;
};

extern struct disk disk;
extern const struct journal_sys disk_sys;

void disk_init(uint64_t seed);
/* Forgets the files and the plans; the statistics stay. */
void disk_wipe(void);
void disk_fini(void);
/* The real files of the directory alone. */
void disk_remove_files(void);
/* Arms a cut in the n-th call from now on of that kind. */
void disk_cut_in(enum disk_call kind, uint64_t n);
/* The power is gone now, between two calls. */
void disk_cut_now(void);
/* The power is back: the directory has what a cut leaves. */
void disk_power_up(void);
/* As after kill -9: all that the process saw is there, what was not sure still isn't. */
void disk_restart(void);
/* Writes bytes to a file, and they are sure. */
void disk_spill(const char *name, const char *p, size_t n);

struct inode *names_find(const struct names *names, const char *text);
/* The bytes [from, to) can't change by a cut. */
bool inode_sure(const struct inode *inode, size_t from, size_t to);
void op_apply(const struct op *op, struct bytes *b);
void bytes_write(struct bytes *b, size_t offset, const char *p, size_t n);
void bytes_resize(struct bytes *b, size_t n);

#endif
