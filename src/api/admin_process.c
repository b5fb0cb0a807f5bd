/* SPDX-License-Identifier: MIT */
/*
 * What the kernel knows about this process: memory, open files, room in the data directory.
 *
 * All of it is read when somebody asks, from /proc and statvfs; where that fails the number is 0,
 * because nobody's status page should fail for it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "api/admin_internal.h"

static uint64_t rss_bytes(void)
{
	char text[256];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	struct str rest = str_make(text, n > 0 ? (size_t)n : 0);
	uint64_t pages = 0;

	if (fd >= 0)
		(void)close(fd);
	(void)str_cut(&rest, ' '); /* the whole size; the second number is what is resident */
	if (!rest.p || str_u64(str_cut(&rest, ' '), &pages) < 0)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!dir)
		return 0;
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
		n += e->d_name[0] != '.';
	(void)closedir(dir);
	return n - 1; /* the one of opendir */
}

void process_view(const struct admin *admin, struct process_view *ret)
{
	const char *dir = admin->env.data_dir;
	struct rlimit limit;
	struct statvfs disk;

	*ret = (struct process_view){ .rss_bytes = rss_bytes(), .open_fds = open_fds() };
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		ret->max_fds = limit.rlim_cur == RLIM_INFINITY ? UINT32_MAX : limit.rlim_cur;
	if (!dir)
		return;
	ret->data_dir_writable = access(dir, W_OK | X_OK) == 0;
	if (statvfs(dir, &disk) == 0) {
		ret->disk_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
		ret->disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	}
}
