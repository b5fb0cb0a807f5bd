/* SPDX-License-Identifier: MIT */
/*
 * The record of the simulated disk, and what a power cut makes of it.
 *
 * A sector has been written by some of the operations that are not sure. What is found in it after
 * a cut is what the cache held after any one of them, or before all: the disk may have fetched it at
 * any moment, for each sector at another. So a cut draws, sector by sector, the last operation
 * that counts. The ways of drawing (enum way) are made so that the ordinary cuts come often:
 * nothing kept, everything kept, a prefix with one torn write.
 * The size of a file is one of those that it had. A directory's operations are kept up to some
 * moment, or each for itself.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk_internal.h"

enum way { WAY_NONE, WAY_ALL, WAY_PREFIX, WAY_EACH, WAY_SECTORS, WAYS };

/* The whole disk works in order: nothing later than that is kept. 0: it does not. */
static uint64_t order_limit;

static void bytes_need(struct bytes *b, size_t n)
{
	if (n <= b->have)
		return;
	if (n > b->cap) {
		b->cap = n + n / 2;
		b->p = realloc(b->p, b->cap);
		assert(b->p);
	}
	memset(b->p + b->have, 0, n - b->have);
	b->have = n;
}

/* p == NULL: zeros. */
void bytes_write(struct bytes *b, size_t offset, const char *p, size_t n)
{
	if (offset + n > b->n)
		b->n = offset + n;
	if (!p && offset >= b->have)
		return;
	bytes_need(b, offset + n);
	if (p)
		memcpy(b->p + offset, p, n);
	else
		memset(b->p + offset, 0, n);
}

void bytes_resize(struct bytes *b, size_t n)
{
	b->n = n;
	if (b->have > n)
		b->have = n;
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
	bytes_resize(to, 0);
	if (from->have)
		bytes_write(to, 0, from->p, from->have);
	to->n = from->n;
}

void op_apply(const struct op *op, struct bytes *b)
{
	if (op->kind == OP_WRITE)
		bytes_write(b, op->offset, op->data, op->n);
	else if (op->kind == OP_CUT)
		bytes_resize(b, op->offset);
	else if (op->offset + op->n > b->n)
		bytes_resize(b, op->offset + op->n);
}

struct inode *inode_create(ino_t ino)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	assert(inode);
	inode->ino = ino;
	inode->id = ++disk.next_id;
	disk.inodes = disk_grow(disk.inodes, disk.n_inodes, &disk.cap_inodes, sizeof(inode));
	disk.inodes[disk.n_inodes++] = inode;
	return inode;
}

static void inode_destroy(struct inode *inode)
{
	for (size_t i = 0; i < inode->n_ops; i++)
		free(inode->ops[i].data);
	free(inode->ops);
	free(inode->now.p);
	free(inode->disk.p);
	free(inode);
}

/* Another sync may have come back meanwhile: so it is counted by order, not by place. */
void inode_settle(struct inode *inode, uint64_t until)
{
	size_t n = 0;

	for (; n < inode->n_ops && inode->ops[n].order <= until; n++) {
		struct op *op = &inode->ops[n];
		bool last = n + 1 == inode->n_ops || inode->ops[n + 1].order > until;

		if (disk.sabotage == SABOTAGE_SECTOR && last && op->data && op->n > SECTOR) {
			op->n -= SECTOR;
			disk.lies++;
		}
		op_apply(op, &inode->disk);
		free(op->data);
	}
	inode->n_ops -= n;
	if (inode->n_ops)
		memmove(inode->ops, inode->ops + n, inode->n_ops * sizeof(*inode->ops));
}

static bool op_touches(const struct op *op, size_t from, size_t to)
{
	if (op->kind == OP_WRITE)
		return op->offset < to && op->offset + op->n > from;
	return op->kind == OP_CUT && op->offset < to;
}

bool inode_sure(const struct inode *inode, size_t from, size_t to)
{
	if (to > inode->disk.n)
		return false;
	for (size_t i = 0; i < inode->n_ops; i++)
		if (op_touches(&inode->ops[i], from, to))
			return false;
	if (from < inode->disk.have && from < inode->now.have) {
		size_t both =
			inode->disk.have < inode->now.have ? inode->disk.have : inode->now.have;

		both = both < to ? both : to;
		if (memcmp(inode->disk.p + from, inode->now.p + from, both - from) != 0)
			return false;
		from = both;
	}
	for (size_t at = from; at < to; at++) {
		char a = at < inode->disk.have ? inode->disk.p[at] : 0;
		char b = at < inode->now.have ? inode->now.p[at] : 0;

		if (a != b)
			return false;
	}
	return true;
}

struct inode *names_find(const struct names *names, const char *text)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->v[i].text, text) == 0)
			return names->v[i].inode;
	return NULL;
}

static void names_remove(struct names *names, const char *text, const struct inode *only)
{
	for (size_t i = 0; i < names->n; i++) {
		if (strcmp(names->v[i].text, text) != 0 || (only && names->v[i].inode != only))
			continue;
		names->v[i] = names->v[--names->n];
		return;
	}
}

static void names_set(struct names *names, const char *text, struct inode *inode)
{
	names_remove(names, text, NULL);
	names->v = disk_grow(names->v, names->n, &names->cap, sizeof(*names->v));
	(void)snprintf(names->v[names->n].text, DISK_NAME, "%s", text);
	names->v[names->n++].inode = inode;
}

void entry_apply(const struct entry_op *op, struct names *names)
{
	if (op->kind == ENTRY_UNLINK) {
		names_remove(names, op->name, NULL);
		return;
	}
	if (op->kind == ENTRY_RENAME)
		names_remove(names, op->name, op->inode);
	names_set(names, op->kind == ENTRY_RENAME ? op->to : op->name, op->inode);
}

static bool inode_known(const struct inode *inode)
{
	for (size_t i = 0; i < disk.now.n; i++)
		if (disk.now.v[i].inode == inode)
			return true;
	for (size_t i = 0; i < disk.sure.n; i++)
		if (disk.sure.v[i].inode == inode)
			return true;
	for (size_t i = 0; i < disk.n_entry_ops; i++)
		if (disk.entry_ops[i].inode == inode)
			return true;
	return false;
}

/* Files without a name: nobody who comes later sees them, but who has them open goes on. */
static void forget_nameless(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < disk.n_inodes; i++) {
		if (inode_known(disk.inodes[i]))
			disk.inodes[kept++] = disk.inodes[i];
		else
			inode_destroy(disk.inodes[i]);
	}
	disk.n_inodes = kept;
}

void names_settle(uint64_t until)
{
	size_t n = 0;

	for (; n < disk.n_entry_ops && disk.entry_ops[n].order <= until; n++)
		entry_apply(&disk.entry_ops[n], &disk.sure);
	disk.n_entry_ops -= n;
	if (disk.n_entry_ops)
		memmove(disk.entry_ops, disk.entry_ops + n,
			disk.n_entry_ops * sizeof(*disk.entry_ops));
}

/* The first and the last sector that an operation changes, the last not included. */
static void op_sectors(const struct op *op, size_t sectors, size_t *ret_from, size_t *ret_to)
{
	*ret_from = op->offset / SECTOR;
	*ret_to = op->kind == OP_CUT ? sectors : (op->offset + op->n + SECTOR - 1) / SECTOR;
	if (op->kind == OP_GROW || *ret_from > *ret_to)
		*ret_to = *ret_from;
}

/* How many of a file's operations are kept whole where they are kept in their order. */
static size_t draw_prefix(const struct inode *inode)
{
	size_t n = 0;

	if (!order_limit)
		return rnd_below(&disk.rnd, inode->n_ops + 1);
	while (n < inode->n_ops && inode->ops[n].order < order_limit)
		n++;
	return n;
}

/* Is it the one that the power went in? */
static bool is_torn(const struct inode *inode, size_t i, size_t prefix)
{
	return i == prefix && (!order_limit || inode->ops[i].order == order_limit);
}

/* Draws for each sector how many of the operations count. */
static void draw_sectors(const struct inode *inode, enum way way, size_t *counts, size_t sectors)
{
	size_t prefix = draw_prefix(inode);

	for (size_t i = 0; i < inode->n_ops; i++) {
		bool each = rnd_percent(&disk.rnd, 50);
		size_t from, to;

		op_sectors(&inode->ops[i], sectors, &from, &to);
		for (size_t s = from; s < to; s++) {
			bool keep = way == WAY_ALL || (way == WAY_PREFIX && i < prefix) ||
				    (way == WAY_EACH && each);

			if (way == WAY_SECTORS || (way == WAY_PREFIX && is_torn(inode, i, prefix)))
				keep = rnd_percent(&disk.rnd, 50);
			if (keep)
				counts[s] = i + 1;
		}
	}
}

static void count_sectors(const struct inode *inode, const size_t *counts, size_t sectors)
{
	for (size_t s = 0; s < sectors; s++) {
		size_t last = 0, from, to;

		for (size_t i = 0; i < inode->n_ops; i++) {
			op_sectors(&inode->ops[i], sectors, &from, &to);
			if (s >= from && s < to)
				last = i + 1;
		}
		if (last && counts[s] == last)
			disk.stats.sectors_kept++;
		else if (last && counts[s] == 0)
			disk.stats.sectors_dropped++;
		else if (last)
			disk.stats.sectors_between++;
	}
}

static void apply_sector(const struct op *op, size_t sector, struct bytes *b)
{
	size_t begin = sector * SECTOR, from, to;

	from = op->offset > begin ? op->offset : begin;
	to = op->kind == OP_CUT || op->offset + op->n > begin + SECTOR ? begin + SECTOR
								       : op->offset + op->n;
	if (from < to)
		bytes_write(b, from, op->data ? op->data + (from - op->offset) : NULL, to - from);
}

static size_t draw_size(const struct inode *inode, enum way way)
{
	size_t n =
		rnd_percent(&disk.rnd, 50) ? inode->n_ops : rnd_below(&disk.rnd, inode->n_ops + 1);
	struct bytes size = { .n = inode->disk.n };

	if (order_limit)
		for (n = 0; n < inode->n_ops && inode->ops[n].order <= order_limit;)
			n++;
	else if (way == WAY_NONE)
		n = 0;
	else if (way == WAY_ALL)
		n = inode->n_ops;
	for (size_t i = 0; i < n; i++) {
		struct op bare = inode->ops[i];

		bare.data = NULL;
		op_apply(&bare, &size);
	}
	return size.n;
}

static void inode_cut(const struct inode *inode, struct bytes *ret)
{
	enum way way = order_limit ? WAY_PREFIX : (enum way)rnd_below(&disk.rnd, WAYS);
	size_t size = draw_size(inode, way), most = inode->disk.have, sectors, *counts;

	*ret = (struct bytes){ 0 };
	bytes_copy(ret, &inode->disk);
	for (size_t i = 0; i < inode->n_ops; i++)
		if (inode->ops[i].kind == OP_WRITE && inode->ops[i].offset + inode->ops[i].n > most)
			most = inode->ops[i].offset + inode->ops[i].n;
	sectors = (most + SECTOR - 1) / SECTOR;
	counts = calloc(sectors + 1, sizeof(*counts));
	assert(counts);
	draw_sectors(inode, way, counts, sectors);
	count_sectors(inode, counts, sectors);
	for (size_t i = 0; i < inode->n_ops; i++) {
		size_t from, to;

		op_sectors(&inode->ops[i], sectors, &from, &to);
		for (size_t s = from; s < to; s++)
			if (i < counts[s])
				apply_sector(&inode->ops[i], s, ret);
	}
	free(counts);
	bytes_resize(ret, size);
}

void disk_remove_files(void)
{
	DIR *dir = opendir(disk.dir);

	assert(dir);
	for (struct dirent *d; (d = readdir(dir));)
		if (d->d_name[0] != '.')
			(void)unlinkat(disk.dirfd, d->d_name, 0);
	(void)closedir(dir);
}

/* A real file with those bytes, all of them sure. */
static void restore(const char *name, const struct bytes *b)
{
	int fd = openat(disk.dirfd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct inode *inode;
	struct stat st;
	int rc;

	assert(fd >= 0);
	rc = b->have && pwrite(fd, b->p, b->have, 0) != (ssize_t)b->have
		     ? -1
		     : ftruncate(fd, (off_t)b->n);
	assert(rc == 0 && fstat(fd, &st) == 0);
	(void)close(fd);
	inode = inode_create(st.st_ino);
	bytes_copy(&inode->now, b);
	bytes_copy(&inode->disk, b);
	names_set(&disk.now, name, inode);
	names_set(&disk.sure, name, inode);
}

static void draw_names(struct names *names)
{
	enum way way = (enum way)rnd_below(&disk.rnd, WAY_SECTORS);
	size_t prefix = rnd_below(&disk.rnd, disk.n_entry_ops + 1);

	for (size_t i = 0; i < disk.sure.n; i++)
		names_set(names, disk.sure.v[i].text, disk.sure.v[i].inode);
	for (size_t i = 0; i < disk.n_entry_ops; i++) {
		bool each = rnd_percent(&disk.rnd, 50);
		bool keep = way == WAY_ALL || (way == WAY_PREFIX && i < prefix) ||
			    (way == WAY_EACH && each);

		if (order_limit)
			keep = disk.entry_ops[i].order <= order_limit;
		if (keep)
			entry_apply(&disk.entry_ops[i], names);
		disk.stats.names_kept += keep;
		disk.stats.names_dropped += !keep;
	}
}

/* One time in four the disk has worked in order, up to some moment since the oldest operation. */
static uint64_t draw_order(void)
{
	uint64_t oldest = disk.order + 1;

	for (size_t i = 0; i < disk.n_inodes; i++)
		if (disk.inodes[i]->n_ops && disk.inodes[i]->ops[0].order < oldest)
			oldest = disk.inodes[i]->ops[0].order;
	if (disk.n_entry_ops && disk.entry_ops[0].order < oldest)
		oldest = disk.entry_ops[0].order;
	if (!rnd_percent(&disk.rnd, 25))
		return 0;
	return oldest + rnd_below(&disk.rnd, (size_t)(disk.order + 2 - oldest));
}

void disk_power_up(void)
{

	struct inode **old = disk.inodes;
	size_t n_old = disk.n_inodes;
	struct names names = { 0 };

	order_limit = draw_order();
	draw_names(&names);
	disk_remove_files();
	disk.inodes = NULL;
	disk.n_inodes = disk.cap_inodes = 0;
	disk.now.n = disk.sure.n = disk.n_entry_ops = 0;
	for (size_t i = 0; i < names.n; i++) {
		struct bytes b;

		inode_cut(names.v[i].inode, &b);
		restore(names.v[i].text, &b);
		free(b.p);
	}
	for (size_t i = 0; i < n_old; i++)
		inode_destroy(old[i]);
	free(old);
	free(names.v);
	disk_restart();
}

void disk_restart(void)
{
	forget_nameless();
	disk.dead = disk.full = false;
	disk.cut_in = disk.fail_in = 0;
	disk.failed = CALLS;
}

void disk_spill(const char *name, const char *p, size_t n)
{
	struct bytes b = { .p = (char *)p, .n = n, .have = n };

	while (b.have && b.p[b.have - 1] == 0)
		b.have--;
	restore(name, &b);
}

void disk_wipe(void)
{
	for (size_t i = 0; i < disk.n_inodes; i++)
		inode_destroy(disk.inodes[i]);
	disk.n_inodes = disk.now.n = disk.sure.n = disk.n_entry_ops = 0;
	disk_remove_files();
	disk_restart();
}

void disk_init(uint64_t seed)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	disk = (struct disk){ .rnd = { seed } };
	(void)snprintf(disk.dir, sizeof(disk.dir), "%s/voxbus-torture-XXXXXX", base);
	if (!mkdtemp(disk.dir))
		abort();
	disk.dirfd = open(disk.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	disk_restart();
}

void disk_fini(void)
{
	disk_wipe();
	free(disk.inodes);
	free(disk.now.v);
	free(disk.sure.v);
	free(disk.entry_ops);
	(void)close(disk.dirfd);
	(void)rmdir(disk.dir);
}
