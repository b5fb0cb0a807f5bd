/* SPDX-License-Identifier: MIT */
/*
 * What is on the disk at the start: all segments are read in their order, then the states.
 *
 * Records are put where appends would have put them. What isn't a record is damage when a good
 * record follows anywhere in the log, and then it is reported and left alone; at the very end it
 * is what was being written when the power went, and is cut off.
 *
 *   segment 1 [records][zeros]   segment 2 [records]XX[records]YY   segment 3 [ZZ]
 *                                                    damage    torn           torn
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/recover_internal.h"

enum { FILE_MAX = 1 << 30 };

/* A segment on the disk. */
struct found {
	uint64_t number;
	struct segment *s; /* NULL: it can't be used */
	size_t records, tail;
};

static void on_segment_damage(void *arg, size_t offset, size_t n)
{
	struct recovery *rv = arg;

	recover_report_range(rv, rv->s->number, offset, n);
}

static void on_state_record(void *arg, size_t offset, const struct record *r)
{
	struct recovery *rv = arg;
	int rc = states_apply(&rv->j->states, r);

	rv->newest_ms = age_later(rv->newest_ms, r->wall_ms);
	if (rc == -EBADMSG)
		recover_report(rv, 0, offset, record_size(r->body.n), "a malformed state",
			       "skips it");
	else if (rc < 0)
		rv->rc = rc;
}

static void on_state_damage(void *arg, size_t offset, size_t n)
{
	recover_report_range(arg, 0, offset, n);
}

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
 * Reads what has been written, into memory that is zero elsewhere: most of a preallocated segment
 * never was, and neither costs time nor memory then.
 */
static int read_extents(struct recovery *rv, int fd)
{
	off_t at = 0, end = 0, size = (off_t)rv->n;

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

static void unload(struct recovery *rv)
{
	if (rv->bytes)
		(void)munmap(rv->bytes, rv->mapped);
	rv->bytes = NULL;
	rv->n = 0;
}

/* The whole file to rv->bytes: its descriptor, or a negative errno. */
static int load(struct recovery *rv, uint64_t number)
{
	char name[FILE_NAME_SIZE];
	struct stat st;
	int fd, rc = 0;
	void *p;

	file_name(name, number);
	unload(rv);
	fd = rv->j->sys->openat(rv->j->dirfd, name, O_RDWR | O_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else if (st.st_size > FILE_MAX)
		rc = -EFBIG;
	if (rc == 0) {
		rv->mapped = (size_t)st.st_size + 1;
		p = mmap(NULL, rv->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
		rc = p == MAP_FAILED ? -ENOMEM : 0;
		rv->bytes = rc == 0 ? p : NULL;
		rv->n = rc == 0 ? (size_t)st.st_size : 0;
	}
	if (rc == 0)
		rc = read_extents(rv, fd);
	if (rc < 0) {
		(void)close(fd);
		return rc;
	}
	return fd;
}

/* 1 and *ret, 0 when it can't be used, or -ENOTSUP. */
static int read_file_header(struct recovery *rv, uint64_t number, struct file_header *ret)
{
	bool damaged = false;
	int rc = file_header_read(str_make(rv->bytes, rv->n), ret, &damaged);

	if (rc > 0 && ret->version != FILE_VERSION)
		return -ENOTSUP;
	if (rc > 0 && (ret->kind != (number ? FILE_SEGMENT : FILE_STATES) || ret->number != number))
		rc = -EBADMSG;
	if (rc < 0 || damaged)
		recover_report(rv, number, 0, FILE_HEADER,
			       damaged ? "one of its two headers is damaged"
				       : "both its headers are damaged",
			       damaged  ? "uses the other"
			       : number ? "leaves the file aside"
					: "refuses to go on");
	return rc > 0 ? 1 : 0;
}

/* Made, and never begun. */
static bool all_zero(const struct recovery *rv)
{
	return rv->n == 0 ||
	       (rv->bytes[0] == 0 && memcmp(rv->bytes, rv->bytes + 1, rv->n - 1) == 0);
}

static int unlink_segment(struct recovery *rv, uint64_t number)
{
	char name[FILE_NAME_SIZE];

	file_name(name, number);
	return rv->j->sys->unlinkat(rv->j->dirfd, name, 0) < 0 ? -errno : 0;
}

static int scan_segment(struct recovery *rv, struct found *f)
{
	struct scan_events events = { recover_apply, on_segment_damage, rv };
	struct file_header h;
	struct scan_result res;
	int fd = load(rv, f->number), rc;

	if (fd < 0)
		return fd;
	rc = read_file_header(rv, f->number, &h);
	if (rc <= 0) {
		(void)close(fd);
		return rc == 0 && all_zero(rv) ? unlink_segment(rv, f->number) : rc;
	}
	if (h.size < rv->n)
		h.size = rv->n;
	rc = segment_create_take(rv->j, fd, &h, &f->s);
	if (rc < 0)
		return rc;
	rv->s = f->s;
	rv->generation = h.generation;
	file_scan(str_make(rv->bytes, rv->n), &h, &events, &res);
	f->s->end = f->s->written = res.end;
	f->records = res.records;
	f->tail = res.tail;
	if (res.lsn > rv->lsn)
		rv->lsn = res.lsn;
	return rv->rc;
}

/* Cuts what is torn, and gets back the room up to the segment's size. */
static int cut_tail(struct recovery *rv, struct segment *s, size_t tail)
{
	struct journal *j = rv->j;
	int fd = s->file->fd;

	recover_report_torn(rv, s->number, s->end, tail);
	if (tail && j->sys->ftruncate(fd, (off_t)s->end) < 0)
		return -errno;
	if (s->size <= s->end)
		return 0;
	if (j->sys->fallocate(fd, 0, (off_t)s->end, (off_t)(s->size - s->end)) < 0) {
		/* Full disk: the segment ends here; the next append begins another. */
		j->disk_bytes -= s->size - s->end;
		s->size = s->end;
	}
	return 0;
}

static int remove_empty(struct recovery *rv, struct found *f)
{
	recover_report_torn(rv, f->number, f->s->end, f->tail);
	f->s = segment_destroy(rv->j, f->s);
	return unlink_segment(rv, f->number);
}

/* After all are read: which ends are torn, which are damaged; where to go on. */
static int settle_tails(struct recovery *rv, struct found *found, size_t n)
{
	struct journal *j = rv->j;
	size_t last = n;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		if (found[i].records)
			last = i;
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct found *f = &found[i];

		if (!f->s)
			continue;
		if (last < n && i < last) {
			if (f->tail)
				recover_report(rv, f->number, f->s->end, f->tail, "not a record",
					       "skips it");
		} else if (i == last) {
			j->current = f->s;
			rc = cut_tail(rv, f->s, f->tail);
		} else {
			rc = remove_empty(rv, f);
		}
		/* What is found counts as durable from now on. */
		if (rc == 0 && f->s && !j->options.nosync && j->sys->fsync(f->s->file->fd) < 0)
			rc = -errno;
	}
	return rc;
}

static int compare_found(const void *a, const void *b)
{
	uint64_t x = ((const struct found *)a)->number, y = ((const struct found *)b)->number;

	return x < y ? -1 : x > y;
}

static int list_segments(struct journal *j, struct found **ret, size_t *ret_n)
{
	DIR *dir = opendir(j->dir);
	struct found *found = NULL, *more;
	size_t n = 0;
	int rc = 0;

	if (!dir)
		return -errno;
	for (struct dirent *d; rc == 0 && (d = readdir(dir));) {
		struct str name = str_from(d->d_name);
		uint64_t number;

		if (name.n < 12 || !str_ends(name, STR(".vbj")) ||
		    str_u64(str_make(name.p, name.n - 4), &number) < 0 || !number)
			continue;
		more = realloc(found, (n + 1) * sizeof(*found));
		if (!more) {
			rc = -ENOMEM;
			break;
		}
		found = more;
		found[n++] = (struct found){ .number = number };
	}
	(void)closedir(dir);
	if (rc < 0) {
		free(found);
		return rc;
	}
	if (n)
		qsort(found, n, sizeof(*found), compare_found);
	*ret = found;
	*ret_n = n;
	return 0;
}

static int recover_segments(struct recovery *rv, struct err *e)
{
	struct journal *j = rv->j;
	struct found *found = NULL;
	size_t n = 0, i;
	int rc = list_segments(j, &found, &n);

	if (rc < 0)
		return err_set(e, rc, "journal %s: cannot list it: %s", j->dir, strerror(-rc));
	for (i = 0; i < n && rc == 0; i++) {
		rc = scan_segment(rv, &found[i]);
		j->next_number = found[i].number + 1;
	}
	if (rc == -ENOTSUP)
		(void)err_set(e, rc,
			      "journal %s: segment %08" PRIu64 " was written by a later version: "
			      "start that one, or give this one another data_dir",
			      j->dir, found[i - 1].number);
	else if (rc < 0)
		(void)err_set(e, rc, "journal %s: cannot read segment %08" PRIu64 ": %s", j->dir,
			      found[i - 1].number, strerror(-rc));
	else if ((rc = settle_tails(rv, found, n)) < 0)
		(void)err_set(e, rc, "journal %s: cannot cut or sync its segments: %s", j->dir,
			      strerror(-rc));
	free(found);
	return rc;
}

/* Streams without a name can't be asked for. */
static void lose_nameless(struct recovery *rv)
{
	map_for_each (it, &rv->j->ids) {
		struct jstream *js = container_of(it, struct jstream, id_node);
		char name[FILE_NAME_SIZE];
		struct journal_problem p = { .file = name,
					     .what = "the name is lost",
					     .then = "skips its records",
					     .stream = js->id };

		if (js->name)
			continue;
		file_name(name, js->mention);
		problem_tell(rv->j, &p);
		jstream_forget(rv->j, js);
	}
}

static int scan_states(struct recovery *rv)
{
	struct scan_events events = { on_state_record, on_state_damage, rv };
	struct file_header h;
	struct scan_result res;
	int fd = load(rv, 0), rc;

	if (fd == -ENOENT && rv->j->stats.segments)
		recover_report(rv, 0, 0, 0, "is missing", "goes on without the states");
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	(void)close(fd);
	rc = read_file_header(rv, 0, &h);
	if (rc <= 0)
		return rc < 0 ? rc : -EBADMSG;
	rv->clock_ahead_ms = (int64_t)h.size;
	rv->generation = h.generation;
	file_scan(str_make(rv->bytes, rv->n), &h, &events, &res);
	recover_report_torn(rv, 0, res.end, res.tail);
	if (res.lsn > rv->lsn)
		rv->lsn = res.lsn;
	return rv->rc;
}

static int recover_states(struct recovery *rv, struct file **ret, size_t *ret_end, struct err *e)
{
	struct journal *j = rv->j;
	struct writer_options o;
	int rc = scan_states(rv);

	if (rc < 0)
		return err_set(e, rc,
			       "journal %s: cannot read state.log: %s; restore it, or move it away "
			       "to start without the states",
			       j->dir, strerror(-rc));
	age_begin(&j->age, rv->newest_ms, rv->clock_ahead_ms);
	journal_writer_options(j, &o);
	rc = states_snapshot(&j->states, &o, rv->lsn, ret, ret_end);
	if (rc < 0)
		return err_set(e, rc, "journal %s: cannot write state.log: %s", j->dir,
			       strerror(-rc));
	return 0;
}

/* Says again what damage has left to a single place, or to none. */
static int repair(struct recovery *rv)
{
	struct journal *j = rv->j;
	int rc = 0;

	for (size_t i = 0; i < rv->n_ghosts && rc == 0; i++)
		rc = jstream_put_drop(j, rv->ghosts[i].stream, rv->ghosts[i].since);
	map_for_each (it, &j->streams) {
		struct jstream *js = container_of(it, struct jstream, name_node);

		if (rc < 0 || js->mention <= js->named->number)
			continue;
		jstream_set_named(js, NULL);
		rc = jstream_reserve(j, js, 0, false);
	}
	return rc;
}

int journal_recover(struct journal *j, struct file **ret_states, size_t *ret_end, struct err *e)
{
	struct recovery rv = { .j = j };
	int rc;

	rc = recover_segments(&rv, e);
	if (rc == 0)
		lose_nameless(&rv);
	if (rc == 0)
		rc = recover_states(&rv, ret_states, ret_end, e);
	j->lsn = j->seen.written = j->seen.durable = rv.lsn;
	if (rc == 0 && (rc = repair(&rv)) < 0) {
		*ret_states = file_unref(*ret_states);
		(void)err_set(e, rc, "journal %s: out of memory", j->dir);
	}
	free(rv.ghosts);
	unload(&rv);
	if (rc == 0 && (j->stats.segments || j->stats.damaged || j->stats.torn_bytes))
		log_info(j->log, "journal recovered",
			 "dir=%s records=%" PRIu64 " streams=%" PRIu64
			 " states=%zu segments=%" PRIu64 " torn_bytes=%" PRIu64 " damaged=%" PRIu64,
			 j->dir, j->stats.records, j->stats.streams, j->states.map.count,
			 j->stats.segments, j->stats.torn_bytes, j->stats.damaged);
	return rc;
}
