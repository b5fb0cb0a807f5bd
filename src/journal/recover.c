/* SPDX-License-Identifier: MIT */
/*
 * What is on the disk at the start: all segments are taken in their order, then the states.
 *
 * What isn't a record is a hole. After a power cut what was not synced may be there or not, in any
 * order; what was synced is there. Sync marks in the log tell how far it was: a hole before that
 * is damage, it is reported and left alone, and what follows is good. A hole behind it is where
 * the log is torn: it ends there, and nothing that follows was ever acknowledged.
 *
 *   segment 1 [records][zeros]   segment 2 [records]XX[records, mark]YY[records]   segment 3 [ZZ]
 *                                                  damage            torn, all of it from here on
 *
 * How far things were synced is only asked when there is a hole; else no file is read twice.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal/recover_internal.h"

static int unlink_segment(struct recovery *rv, uint64_t number)
{
	char name[FILE_NAME_SIZE];

	index_file_name(name, number);
	(void)rv->j->sys->unlinkat(rv->j->dirfd, name, 0); /* there may be none */
	file_name(name, number);
	return rv->j->sys->unlinkat(rv->j->dirfd, name, 0) < 0 ? -errno : 0;
}

static void learn_sync(struct recovery *rv, const struct found *f, const struct index_facts *facts)
{
	if (facts->sync > rv->sync)
		rv->sync = facts->sync;
	if (f->synced > rv->sync)
		rv->sync = f->synced;
}

/* The marks in the segments that were not read yet. */
static void look_ahead(struct recovery *rv)
{
	struct recovery before = *rv; /* its bytes and generation are still asked for */
	struct index_file x = { 0 };

	if (rv->looked_ahead)
		return;
	rv->looked_ahead = rv->quiet = true;
	rv->bytes = NULL;
	for (size_t i = rv->at + 1; i < rv->n_found; i++) {
		struct found f = { .number = rv->found[i].number };

		if (recover_load_segment(rv, &f, &x) < 0 || !f.usable)
			continue;
		(void)close(f.fd);
		rv->marked |= f.h.flags & FILE_MARKED;
		learn_sync(rv, &f, &x.facts);
	}
	rv->quiet = false;
	recover_unload(rv);
	rv->bytes = before.bytes;
	rv->n = before.n;
	rv->mapped = before.mapped;
	rv->generation = before.generation;
	index_file_fini(&x);
}

/* Was what lies behind the record with that lsn synced? An old log doesn't tell: then yes. */
static bool was_synced(struct recovery *rv, uint64_t lsn, bool marked)
{
	if (!marked || rv->sync > lsn)
		return true;
	look_ahead(rv);
	return rv->sync > lsn;
}

static void apply_image(struct recovery *rv, struct found *f)
{
	struct str rest = index_file_items(&rv->image);
	const struct index_facts *facts = &rv->image.facts;
	struct index_item item;

	f->s->end = facts->end;
	while (rv->rc == 0 && index_item_next(&rest, &item)) {
		uint64_t before = item.seq ? item.seq : rv->last;

		if (item.type == INDEX_HOLE && !was_synced(rv, before, f->h.flags & FILE_MARKED)) {
			rv->torn = true;
			rv->last = before;
			f->s->end = item.offset;
			f->tail += facts->end - item.offset;
			break;
		}
		recover_ahead(rv, rest);
		recover_apply(rv, &item);
	}
	if (!rv->torn && facts->lsn)
		rv->last = facts->lsn;
	f->s->last_lsn = rv->last;
	f->s->written = f->s->end;
	if (f->s->end == FILE_HEADER)
		f->records = 0;
	rv->newest_ms = age_later(rv->newest_ms, facts->newest_ms);
}

/*
 * Something is missing between the record before and this segment's first. A segment that is not
 * there was removed when nothing in it was needed any more: a name is synced before the next is given,
 * so that none gets lost between two others.
 */
static bool gap_before(const struct recovery *rv, const struct found *f)
{
	bool next = rv->at > 0 && f[-1].number + 1 == f->number;

	return next && f->usable && (f->h.flags & FILE_MARKED) && f->h.before > rv->last;
}

/* A header of which one copy is bad is made whole; damage is only what was whole before. */
static void mend_header(struct recovery *rv, const struct found *f)
{
	char bytes[FILE_HEADER];
	struct iovec iov = { bytes, sizeof(bytes) };

	if (!f->half_header)
		return;
	if (was_synced(rv, rv->last, f->h.flags & FILE_MARKED))
		recover_report(rv, f->number, 0, FILE_HEADER, "one of its two headers is damaged",
			       "uses the other");
	if (!(f->h.flags & FILE_MARKED))
		return;
	file_header_write(bytes, &f->h);
	(void)rv->j->sys->pwritev(f->fd, &iov, 1, 0); /* else the next start does it */
}

/* It can't follow what was read: then the log ended before it, or it is damaged. */
static int meet_gap(struct recovery *rv, struct found *f)
{
	if (!was_synced(rv, rv->last, f->usable || rv->marked))
		rv->torn = true;
	else if (f->usable && !f[-1].s && !f[-1].blank)
		return 0; /* it was reported */
	else if (f->usable)
		recover_report(rv, f[-1].number, f[-1].s ? f[-1].s->end : FILE_HEADER, 0,
			       "records are missing at its end", "goes on without them");
	else
		recover_report(rv, f->number, 0, FILE_HEADER, "both its headers are damaged",
			       "leaves the file aside");
	return 0;
}

static int recover_segment(struct recovery *rv, struct found *f)
{
	int rc = recover_load_segment(rv, f, &rv->image);

	if (rc < 0)
		return rc;
	if (f->blank) {
		f->remove = true;
		return 0;
	}
	if (f->usable)
		learn_sync(rv, f, &rv->image.facts);
	if (!f->usable || gap_before(rv, f))
		rc = meet_gap(rv, f);
	if (rc < 0 || rv->torn || !f->usable)
		return rc;
	rv->marked |= f->h.flags & FILE_MARKED;
	mend_header(rv, f);
	rc = segment_create_take(rv->j, f->fd, &f->h, &f->s);
	f->fd = -1;
	if (rc < 0)
		return rc;
	rv->s = f->s;
	apply_image(rv, f);
	return rv->rc;
}

/* It lies behind the end of the log. */
static int discard_segment(struct recovery *rv, struct found *f)
{
	int rc = 0;

	rv->quiet = true;
	if (f->fd < 0)
		rc = recover_load_segment(rv, f, &rv->image);
	rv->quiet = false;
	if (rc < 0)
		return rc;
	if (f->usable)
		recover_report_torn(rv, f->number, FILE_HEADER,
				    rv->image.facts.end - FILE_HEADER + f->tail);
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
	f->records = 0;
	f->remove = true;
	return 0;
}

/* Cuts what is torn, and gets back the room up to the segment's size. */
static int cut_tail(struct recovery *rv, struct segment *s, size_t tail)
{
	struct journal *j = rv->j;
	int fd = s->file->fd;

	if (tail && rv->sync > s->last_lsn)
		recover_report(rv, s->number, s->end, tail, "not a record", "cuts it off");
	else
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

static void drop_empty(struct recovery *rv, struct found *f)
{
	recover_report_torn(rv, f->number, f->s->end, f->tail);
	f->s = segment_destroy(rv->j, f->s);
	f->remove = true;
}

/*
 * Those behind the end of the log go, the last one first, each for good before the next: were the power
 * to go now, no gap may be left that looks like a segment that was not needed any more.
 */
static int remove_segments(struct recovery *rv, uint64_t *ret_number)
{
	struct journal *j = rv->j;
	int rc = 0;

	for (size_t i = rv->n_found; i-- > 0 && rc == 0;) {
		if (!rv->found[i].remove)
			continue;
		*ret_number = rv->found[i].number;
		rc = unlink_segment(rv, rv->found[i].number);
		if (rc == 0 && !j->options.nosync && j->sys->fsync(j->dirfd) < 0)
			rc = -errno;
	}
	return rc;
}

/*
 * It is written on, because those behind it were torn: an index file that says that nothing
 * follows must go. The directory is synced with the states, before anything is appended.
 */
static void unseal(struct recovery *rv, const struct found *f)
{
	char name[FILE_NAME_SIZE];

	if (!f->sealed)
		return;
	index_file_name(name, f->number);
	(void)rv->j->sys->unlinkat(rv->j->dirfd, name, 0);
}

/* After all are read: which ends are torn, which are damaged; where to go on. */
static int settle_tails(struct recovery *rv, uint64_t *ret_number)
{
	struct found *found = rv->found;
	struct journal *j = rv->j;
	size_t n = rv->n_found, last = n;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		if (found[i].records)
			last = i;
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct found *f = &found[i];

		*ret_number = f->number;
		if (!f->s)
			continue;
		if (last < n && i < last) {
			if (f->tail)
				recover_report(rv, f->number, f->s->end, f->tail, "not a record",
					       "skips it");
		} else if (i == last) {
			j->current = f->s;
			unseal(rv, f);
			rc = cut_tail(rv, f->s, f->tail);
		} else {
			drop_empty(rv, f);
		}
		/* What is found counts as durable from now on. */
		if (rc == 0 && f->s && !f->sealed && !j->options.nosync &&
		    j->sys->fsync(f->s->file->fd) < 0)
			rc = -errno;
	}
	return rc;
}

static int recover_segments(struct recovery *rv, struct err *e)
{
	struct journal *j = rv->j;
	uint64_t number = 0;
	int rc = recover_list(rv);

	if (rc < 0)
		return err_set(e, rc, "journal %s: cannot list it: %s", j->dir, strerror(-rc));
	for (; rv->at < rv->n_found && rc == 0; rv->at++) {
		struct found *f = &rv->found[rv->at];

		number = f->number;
		j->next_number = number + 1;
		if (!rv->torn)
			rc = recover_segment(rv, f);
		if (rc == 0 && rv->torn && !f->s)
			rc = discard_segment(rv, f);
	}
	if (rv->last > rv->lsn)
		rv->lsn = rv->last;
	if (rc == -ENOTSUP)
		return err_set(e, rc,
			       "journal %s: segment %08" PRIu64 " was written by a later version: "
			       "start that one, or give this one another data_dir",
			       j->dir, number);
	if (rc < 0)
		return err_set(e, rc, "journal %s: cannot read segment %08" PRIu64 ": %s", j->dir,
			       number, strerror(-rc));
	rc = settle_tails(rv, &number);
	if (rc == 0)
		rc = remove_segments(rv, &number);
	if (rc < 0)
		(void)err_set(e, rc, "journal %s: cannot cut or sync segment %08" PRIu64 ": %s",
			      j->dir, number, strerror(-rc));
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

/* Once to know how far the states were synced; the applying comes after. */
static void find_state_sync(void *arg, size_t offset, const struct record *r)
{
	struct recovery *rv = arg;
	uint64_t sync;

	if (r->type == RECORD_SYNC && record_sync(r, &sync) && sync > rv->state_sync)
		rv->state_sync = sync;
}

static void ignore_hole(void *arg, size_t offset, size_t n)
{
}

static void on_state_record(void *arg, size_t offset, const struct record *r)
{
	struct recovery *rv = arg;
	int rc;

	if (rv->state_cut || rv->rc < 0)
		return;
	rv->newest_ms = age_later(rv->newest_ms, r->wall_ms);
	rv->state_lsn = r->lsn;
	rc = states_apply(&rv->j->states, r);
	if (rc == -EBADMSG)
		recover_report(rv, 0, offset, record_size(r->body.n), "a malformed state",
			       "skips it");
	else if (rc < 0)
		rv->rc = rc;
}

static void on_state_hole(void *arg, size_t offset, size_t n)
{
	struct recovery *rv = arg;

	if (rv->state_cut)
		return;
	if (rv->marked && rv->state_sync <= rv->state_lsn)
		rv->state_cut = offset;
	else
		recover_report_range(rv, 0, offset, n);
}

static int scan_states(struct recovery *rv)
{
	struct scan_events look = { find_state_sync, ignore_hole, rv },
			   events = { on_state_record, on_state_hole, rv };
	struct file_header h;
	bool half;
	struct scan_result res;
	int fd = recover_load(rv, 0), rc;

	if (fd == -ENOENT && rv->j->stats.segments)
		recover_report(rv, 0, 0, 0, "is missing", "goes on without the states");
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	(void)close(fd);
	rc = recover_header(str_make(rv->bytes, rv->n), 0, &h, &half);
	if (rc > 0 && half)
		recover_report(rv, 0, 0, FILE_HEADER, "one of its two headers is damaged",
			       "uses the other");
	if (rc == 0)
		recover_report(rv, 0, 0, FILE_HEADER, "both its headers are damaged",
			       "refuses to go on");
	if (rc <= 0)
		return rc < 0 ? rc : -EBADMSG;
	rv->generation = h.generation;
	rv->clock_ahead_ms = (int64_t)h.size;
	rv->marked = h.flags & FILE_MARKED;
	rv->state_lsn = h.lsn;
	res = scan_begin(&h);
	file_scan(str_make(rv->bytes, rv->n), &h, &look, &res);
	res = scan_begin(&h);
	file_scan(str_make(rv->bytes, rv->n), &h, &events, &res);
	if (rv->state_cut)
		recover_report_torn(rv, 0, rv->state_cut, res.end + res.tail - rv->state_cut);
	else
		recover_report_torn(rv, 0, res.end, res.tail);
	if (rv->state_lsn > rv->lsn)
		rv->lsn = rv->state_lsn;
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
	if (rc == -ESTALE)
		return err_set(e, -EIO,
			       "journal %s: the sync of the directory failed when state.log was "
			       "replaced: check the disk, then start again",
			       j->dir);
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
		rc = jstream_reserve(j, js, 0, ROOM_MARKS);
	}
	return rc;
}

/* Were the states' file written by one who writes marks, so are torn segments of it. */
static void learn_marked(struct recovery *rv)
{
	struct file_header h;
	int fd = recover_load(rv, 0);
	bool damaged;

	if (fd < 0)
		return;
	(void)close(fd);
	rv->marked = file_header_read(str_make(rv->bytes, rv->n), &h, &damaged) > 0 &&
		     (h.flags & FILE_MARKED);
}

static void recover_fini(struct recovery *rv)
{
	for (size_t i = 0; i < rv->n_found; i++)
		if (rv->found[i].fd >= 0)
			(void)close(rv->found[i].fd);
	free(rv->found);
	free(rv->ghosts);
	free(rv->streams);
	free(rv->ordinal_ids);
	index_file_fini(&rv->image);
	recover_unload(rv);
}

/* What the writer goes on with; an index of another segment or of a torn one is none. */
static void take_image(struct recovery *rv, struct recovered *ret)
{
	if (rv->torn || !rv->j->current || rv->image.number != rv->j->current->number)
		return;
	ret->index = rv->image;
	rv->image = (struct index_file){ 0 };
}

int journal_recover(struct journal *j, struct recovered *ret, struct err *e)
{
	struct recovery rv = { .j = j };
	int rc;

	learn_marked(&rv);
	rc = recover_segments(&rv, e);
	if (rc == 0)
		lose_nameless(&rv);
	if (rc == 0)
		rc = recover_states(&rv, &ret->states, &ret->states_end, e);
	j->lsn = j->seen.written = j->seen.durable = rv.lsn;
	marks_begin(j, rv.last, rv.sync);
	if (rc == 0 && (rc = repair(&rv)) < 0) {
		ret->states = file_unref(ret->states);
		(void)err_set(e, rc, "journal %s: out of memory", j->dir);
	}
	if (rc == 0)
		take_image(&rv, ret);
	if (rc == 0)
		recover_find_spares(j, ret);
	recover_fini(&rv);
	if (rc == 0 && (j->stats.segments || j->stats.damaged || j->stats.torn_bytes))
		log_info(j->log, "journal recovered",
			 "dir=%s records=%" PRIu64 " streams=%" PRIu64
			 " states=%zu segments=%" PRIu64 " torn_bytes=%" PRIu64 " damaged=%" PRIu64,
			 j->dir, j->stats.records, j->stats.streams, j->states.map.count,
			 j->stats.segments, j->stats.torn_bytes, j->stats.damaged);
	return rc;
}
