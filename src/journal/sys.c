/* SPDX-License-Identifier: MIT */
/* The table of the kernel's own calls. */
#include "journal/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int real_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	return openat(dirfd, name, flags, mode);
}

const struct journal_sys journal_sys_real = {
	.openat = real_openat,
	.pread = pread,
	.pwritev = pwritev,
	.fallocate = fallocate,
	.ftruncate = ftruncate,
	.fdatasync = fdatasync,
	.fsync = fsync,
	.renameat = renameat,
	.unlinkat = unlinkat,
};
