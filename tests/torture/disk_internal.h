/* SPDX-License-Identifier: MIT */
/* What the two halves of the simulated disk share: its calls (disk.c) and its record (image.c). */
#ifndef VOXBUS_TESTS_TORTURE_DISK_INTERNAL_H
#define VOXBUS_TESTS_TORTURE_DISK_INTERNAL_H

#include "disk.h"

/* Room for one item more behind n; it can't fail. */
void *disk_grow(void *p, size_t n, size_t *cap, size_t item);
const char *disk_name_of(const struct inode *inode);

struct inode *inode_create(ino_t ino);
/* All operations up to that one (struct op.order) are sure. */
void inode_settle(struct inode *inode, uint64_t until);
void names_settle(uint64_t until);
void entry_apply(const struct entry_op *op, struct names *names);

#endif
