/* SPDX-License-Identifier: MIT */
/*
 * Files into memory. A segment becomes a list of items: from its index file if that is good, and
 * by a scan of what lies behind; by a scan of the whole else.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/recover_internal.h"

enum { FILE_MAX = 1 << 30 };

static int read_at(const struct journal_sys *sys, int fd, char *p, size_t n, size_t offset)
{
	while (n) {
		ssize_t got = sys->pread(fd, p, n, (off_t)offset);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			return 0; /* it was cut meanwhile: the rest stays zero */
		if (got > 0) {
			p += got;
			n -= (size_t)got;
			offset += (size_t)got;
		}
	}
	return 0;
}

/*
 * Reads what has been written from `end` on, into memory that is zero elsewhere: most of a
 * preallocated segment never was, and neither costs time nor memory then.
 */
static int read_extents(struct recovery *rv, int fd, off_t end)
{
	off_t at = 0, size = (off_t)rv->n;

	while (end < size) {
		int rc;

		at = lseek(fd, end, SEEK_DATA);
		if (at < 0 && errno == ENXIO)
			return 0; /* nothing but holes to the end */
		if (at < 0)
			at = end; /* a file system that does not tell */
		end = lseek(fd, at, SEEK_HOLE);
		if (end <= at || end > size)
			end = size;
		rc = read_at(rv->j->sys, fd, rv->bytes + at, (size_t)(end - at), (size_t)at);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void recover_unload(struct recovery *rv)
{
	if (rv->bytes)
		(void)munmap(rv->bytes, rv->mapped);
	rv->bytes = NULL;
	rv->n = 0;
}

static int file_size(int fd, size_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > FILE_MAX)
		return -EFBIG;
	*ret = (size_t)st.st_size;
	return 0;
}

/* The file's bytes from `from` on to rv->bytes, zeros before that. */
static int map_bytes(struct recovery *rv, int fd, size_t from)
{
	size_t size = 0;
	int rc = file_size(fd, &size);
	void *p;

	recover_unload(rv);
	if (rc < 0)
		return rc;
	p = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	rv->bytes = p;
	rv->mapped = size + 1;
	rv->n = size;
	return read_extents(rv, fd, (off_t)from);
}

static int open_file(struct recovery *rv, uint64_t number)
{
	char name[FILE_NAME_SIZE];
	int fd;

	file_name(name, number);
	fd = rv->j->sys->openat(rv->j->dirfd, name, O_RDWR | O_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int recover_load(struct recovery *rv, uint64_t number)
{
	int fd = open_file(rv, number), rc;

	if (fd < 0)
		return fd;
	rc = map_bytes(rv, fd, 0);
	if (rc == 0)
		return fd;
	(void)close(fd);
	return rc;
}

int recover_header(struct str bytes, uint64_t number, struct file_header *ret, bool *ret_half)
{
	int rc;

	*ret_half = false;
	rc = file_header_read(bytes, ret, ret_half);

	if (rc > 0 && ret->version != FILE_VERSION)
		return -ENOTSUP;
	if (rc > 0 && (ret->kind != (number ? FILE_SEGMENT : FILE_STATES) || ret->number != number))
		rc = -EBADMSG;
	return rc > 0 ? 1 : 0;
}

static bool all_zero(const struct recovery *rv)
{
	return rv->n == 0 ||
	       (rv->bytes[0] == 0 && memcmp(rv->bytes, rv->bytes + 1, rv->n - 1) == 0);
}

struct scan {
	struct recovery *rv;
	struct index_file *x;
};

static void on_record(void *arg, size_t offset, const struct record *r)
{
	struct scan *scan = arg;

	if (index_file_add(scan->x, offset, r) < 0)
		scan->rv->rc = -ENOMEM;
}

static void on_hole(void *arg, size_t offset, size_t n)
{
	struct scan *scan = arg;

	if (index_file_add_hole(scan->x, offset, n) < 0)
		scan->rv->rc = -ENOMEM;
}

/* What lies behind that which the items tell already. */
static int scan_rest(struct recovery *rv, struct found *f, struct index_file *x)
{
	struct scan scan = { rv, x };
	struct scan_events events = { on_record, on_hole, &scan };
	struct scan_result res = scan_begin(&f->h);
	int rc = map_bytes(rv, f->fd, x->facts.end);

	if (rc < 0)
		return rc;
	res.end = x->facts.end;
	if (x->facts.lsn)
		res.lsn = x->facts.lsn;
	file_scan(str_make(rv->bytes, rv->n), &f->h, &events, &res);
	/* What a file held in another life is no tail. */
	f->tail = f->h.flags & FILE_RECYCLED ? 0 : res.tail;
	return rv->rc;
}

static int scan_segment(struct recovery *rv, struct found *f, struct index_file *x)
{
	int rc = index_file_begin(x, f->number, f->h.generation);

	return rc < 0 ? rc : scan_rest(rv, f, x);
}

/* The bytes of an index file (malloc): how many, 0 = there is none, or -ENOMEM. */
static ssize_t read_index(struct recovery *rv, uint64_t number, char **ret)
{
	char name[FILE_NAME_SIZE];
	size_t n = 0;
	int fd, rc;

	index_file_name(name, number);
	fd = rv->j->sys->openat(rv->j->dirfd, name, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	rc = file_size(fd, &n);
	*ret = rc == 0 && n ? malloc(n) : NULL;
	if (*ret)
		rc = read_at(rv->j->sys, fd, *ret, n, 0);
	(void)close(fd);
	if (*ret && rc < 0)
		free(*ret);
	return rc < 0 || n == 0 ? 0 : *ret ? (ssize_t)n : -ENOMEM;
}

/* From the index file, as far as that goes: 1, 0 = it is of no use, or -ENOMEM. */
static int load_index(struct recovery *rv, struct found *f, struct index_file *x)
{
	char *bytes;
	ssize_t n = read_index(rv, f->number, &bytes);
	size_t size = 0;
	int rc;

	if (n <= 0)
		return (int)n;
	rc = index_file_load_take(x, bytes, (size_t)n, f->number, f->h.generation);
	if (rc == 0)
		free(bytes);
	if (rc > 0 && (file_size(f->fd, &size) < 0 || size < x->facts.end))
		rc = 0;
	if (rc == 0 && !rv->quiet)
		log_debug(rv->j->log, "index file ignored", "dir=%s number=%" PRIu64 " then=%s",
			  rv->j->dir, f->number, "the segment is scanned");
	if (!rv->quiet && rc >= 0)
		(*(rc ? &rv->j->index_used : &rv->j->index_ignored))++;
	f->indexed = rc > 0;
	f->sealed = rc > 0 && x->facts.sealed;
	f->synced = rc > 0 ? x->facts.lsn : 0;
	/* Who checks wants every body read. */
	return rv->j->problem && rc > 0 ? 0 : rc;
}

/* The header: f->usable or not, or a negative errno. */
static int open_segment(struct recovery *rv, struct found *f)
{
	char head[FILE_HEADER] = { 0 };
	size_t size = 0;
	int rc = file_size(f->fd, &size);

	if (rc == 0)
		rc = read_at(rv->j->sys, f->fd, head, sizeof(head), 0);
	if (rc < 0)
		return rc;
	rc = recover_header(str_make(head, size < sizeof(head) ? size : sizeof(head)), f->number,
			    &f->h, &f->half_header);
	f->usable = rc > 0;
	if (rc < 0 || f->usable) {
		if (f->h.size < size)
			f->h.size = size;
		return rc < 0 ? rc : 0;
	}
	rc = map_bytes(rv, f->fd, 0);
	f->blank = rc == 0 && all_zero(rv);
	recover_unload(rv);
	return rc;
}

int recover_load_segment(struct recovery *rv, struct found *f, struct index_file *x)
{
	int rc;

	recover_unload(rv);
	f->fd = open_file(rv, f->number);
	if (f->fd < 0)
		return f->fd;
	rc = open_segment(rv, f);
	rv->generation = f->h.generation;
	if (rc == 0 && f->usable)
		rc = load_index(rv, f, x);
	if (rc == 0 && f->usable)
		rc = scan_segment(rv, f, x);
	else if (rc > 0)
		rc = f->sealed ? 0 : scan_rest(rv, f, x);
	f->records = f->usable ? x->facts.records : 0; /* else they are of the file before */
	if (rc == 0 && f->usable)
		return 0;
	(void)close(f->fd);
	f->fd = -1;
	return rc;
}
