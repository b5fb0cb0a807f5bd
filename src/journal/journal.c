/* SPDX-License-Identifier: MIT */
/*
 * The journal on the loop's side: appends, the watermarks, the life of the whole.
 *
 * What is appended in one turn lies in a batch (batch.c), which a task hands to the writer in the next.
 */
#include "journal/journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rand.h"
#include "journal/journal_internal.h"
#include "journal/le.h"

enum {
	SEGMENT_DEFAULT = 64 << 20,
	SEGMENT_LEAST = 2 * FILE_HEADER,
	QUOTA_SEGMENTS = 4, /* a quota holds so many segments at least: they are made smaller */
	INFLIGHT_DEFAULT = 64 << 20,
	STATE_PREFIX = 2,
	FLUSH_AGAIN_MS = 20,
};

static const uint64_t quota_default = UINT64_C(8) << 30;

static void submit(struct journal *j)
{
	if (list_empty(&j->chunks) && list_empty(&j->state_chunks))
		return;
	marks_submitted(j);
	writer_submit(j->writer, &j->chunks, &j->state_chunks, j->lsn, j->states.live);
}

static void on_flush(void *arg)
{
	struct journal *j = arg;

	if (!j->failed) {
		timer_stop(&j->trim_timer);
		timer_stop(&j->relaxed_timer);
		jstreams_put_marks(j);
		segments_sweep(j);
		marks_put(j);
		submit(j);
		compact_wake(j);
		task_cancel(&j->flush); /* which the marks asked for again */
	}
	if (!j->failed && (j->sweep_due || !list_empty(&j->trimmed)))
		(void)timer_start(&j->trim_timer, FLUSH_AGAIN_MS);
}

static void on_flush_timer(void *arg)
{
	struct journal *j = arg;

	task_defer(&j->flush);
}

static void take_written(struct journal *j, struct list *done, struct list *removed)
{
	list_for_each_safe (it, done) {
		struct chunk *c = container_of(it, struct chunk, link);

		if (c->segment && !j->seen.failed)
			c->segment->written = c->offset + c->len;
		j->inflight -= c->len;
		batch_give_back(j, c);
	}
	list_for_each_safe (it, removed) {
		struct file *f = container_of(it, struct file, remove);

		list_del(&f->remove);
		segment_removed(j, f);
	}
}

static void on_progress(void *arg)
{
	struct journal *j = arg;
	uint64_t written = j->seen.written, durable = j->seen.durable;
	bool stalled = j->seen.stalled, failed_now;
	struct list done, removed;

	list_init(&done);
	list_init(&removed);
	writer_take(j->writer, &j->seen, &done, &removed);
	take_written(j, &done, &removed);
	segments_progress(j);
	if (j->seen.stalled != stalled)
		log_warn(j->log, stalled ? "disk has room again" : "disk full", "dir=%s then=%s",
			 j->dir, stalled ? "going on" : "refusing appends, trying again");
	marks_progress(j);
	compact_progress(j);
	segments_remove(j);
	failed_now = j->seen.failed && !j->failed;
	if (failed_now) {
		j->failed = true;
		timer_stop(&j->trim_timer);
		timer_stop(&j->relaxed_timer);
		timer_stop(&j->marks.timer);
	}
	if (j->seen.stalled != stalled && j->events.stalled)
		j->events.stalled(j->events.arg, j->seen.stalled);
	if ((j->seen.written != written || j->seen.durable != durable) && j->events.progress)
		j->events.progress(j->events.arg, j->seen.written, j->seen.durable);
	if (failed_now && j->events.failed)
		j->events.failed(j->events.arg, &j->seen.failure);
}

/* What every append asks first; size is what it adds to the batch. A removal may always wait. */
static int admit(struct journal *j, size_t size, bool removal)
{
	if (j->failed)
		return -EIO;
	if (removal)
		return 0;
	if (j->seen.stalled)
		return -ENOSPC;
	/* One record always fits, however small the limit. */
	if (j->inflight && j->inflight + size > j->options.inflight_max)
		return -EAGAIN;
	return 0;
}

/* How a record goes into the open batch. */
typedef int (*put_fn)(struct journal *j, struct segment *s, struct record *r,
		      const struct str *parts, size_t n);

static int append(struct journal *j, struct jstream *js, struct record *r, const struct str *parts,
		  size_t n, put_fn put)
{
	size_t size = record_size(r->body.n), offset;
	int rc = admit(j, size, false);

	if (rc == 0)
		rc = index_reserve(&js->index);
	if (rc == 0)
		rc = jstream_reserve(j, js, size, ROOM_DATA);
	if (rc < 0)
		return rc;
	offset = j->current->end;
	rc = put(j, j->current, r, parts, n);
	return rc < 0 ? rc : jstream_push(j, js, j->current, offset, r);
}

/* r has its number; it gets the rest. */
static int append_data(struct journal *j, struct jstream *js, struct record *r,
		       const struct str *parts, size_t n, put_fn put)
{
	int rc;

	assert(!js->dropped);
	if (r->seq != js->next)
		return -EINVAL;
	r->type = RECORD_DATA;
	r->stream = js->id;
	r->wall_ms = age_now(&j->age);
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n > RECORD_BODY_MAX - r->body.n)
			return -EMSGSIZE;
		r->body.n += parts[i].n;
	}
	rc = append(j, js, r, parts, n, put);
	if (rc < 0) {
		j->stats.refused++;
		return rc;
	}
	j->stats.appends++;
	j->stats.bytes += r->body.n;
	return 0;
}

int journal_append(struct journal *j, struct jstream *js, uint64_t seq, const struct str *parts,
		   size_t n, uint64_t *ret_lsn)
{
	struct record r = { .seq = seq };
	int rc = append_data(j, js, &r, parts, n, journal_put_record);

	if (rc == 0)
		*ret_lsn = r.lsn;
	return rc;
}

int journal_append_relaxed(struct journal *j, struct jstream *js, uint64_t seq,
			   const struct str *parts, size_t n, uint64_t *ret_lsn)
{
	struct record r = { .seq = seq };
	int rc = append_data(j, js, &r, parts, n, journal_put_relaxed);

	if (rc == 0)
		*ret_lsn = r.lsn;
	return rc;
}

static int put(struct journal *j, struct str key, struct str value, struct record *r)
{
	char length[STATE_PREFIX];
	struct str parts[] = { { length, sizeof(length) }, key, value };
	struct str bare[] = { key };
	int rc = admit(j, state_size(key, value), !value.p);

	if (rc < 0)
		return rc;
	if (!value.p) {
		r->type = RECORD_DELETE;
		r->body.n = key.n;
		rc = journal_put_record(j, NULL, r, bare, 1);
		if (rc == 0)
			states_delete(&j->states, key);
		return rc;
	}
	if (j->states.live + state_size(key, value) > STATE_LIVE_MAX)
		return -ENOSPC;
	le16_put(length, (uint16_t)key.n);
	r->type = RECORD_PUT;
	r->body.n = sizeof(length) + key.n + value.n;
	/* Room for the record first: then only the table can fail, before anything was said. */
	if (!batch_reserve(j, NULL, record_size(r->body.n)))
		return -ENOMEM;
	rc = states_put(&j->states, key, value);
	return rc < 0 ? rc : journal_put_record(j, NULL, r, parts, 3);
}

int journal_put(struct journal *j, struct str key, struct str value, uint64_t *ret_lsn)
{
	struct record r = { .wall_ms = age_now(&j->age) };
	int rc;

	if (key.n > STATE_KEY_MAX || value.n > STATE_VALUE_MAX)
		return -EMSGSIZE;
	rc = put(j, key, value, &r);
	if (rc < 0) {
		j->stats.refused++;
		return rc;
	}
	j->stats.appends++;
	j->stats.bytes += key.n + value.n;
	*ret_lsn = r.lsn;
	return 0;
}

void journal_each_state(struct journal *j, struct str prefix,
			void (*fn)(void *arg, struct str key, struct str value), void *arg)
{
	map_for_each (it, &j->states.map)
		if (str_starts(it->key, prefix))
			fn(arg, it->key, state_value(it));
}

uint64_t journal_now_ms(struct journal *journal)
{
	return age_now(&journal->age);
}

uint64_t journal_written(const struct journal *j)
{
	return j->seen.written;
}

uint64_t journal_durable(const struct journal *j)
{
	return j->seen.durable;
}

void journal_stats(const struct journal *j, struct journal_stats *ret)
{
	*ret = j->stats;
	ret->writes = j->seen.writes;
	ret->syncs = j->seen.syncs;
	ret->disk_bytes = segments_bytes(j) + j->seen.states_bytes;
	ret->states = j->states.map.count;
	ret->failed = j->failed;
}

void journal_writer_options(struct journal *j, struct writer_options *ret)
{
	*ret = (struct writer_options){ .loop = j->loop,
					.dirfd = j->dirfd,
					.dir = j->dir,
					.log = j->log,
					.sys = j->sys,
					.random = j->random,
					.random_arg = j->random_arg,
					.nosync = j->options.nosync,
					.stepped = j->stepped,
					.lsn = j->lsn,
					.clock_ahead_ms = age_ahead(&j->age),
					.notify = on_progress,
					.arg = j };
}

static int lock_dir(struct journal *j, struct err *e)
{
	char pid[32] = "";
	struct iovec iov = { pid, 0 };
	ssize_t n;

	j->lockfd = j->sys->openat(j->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (j->lockfd < 0)
		return err_set(e, -errno, "journal %s: cannot make the file lock: %s", j->dir,
			       strerror(errno));
	if (flock(j->lockfd, LOCK_EX | LOCK_NB) < 0) {
		n = j->sys->pread(j->lockfd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? strcspn(pid, "\n") : 0] = 0;
		return err_set(e, -EBUSY,
			       "journal %s: in use by another daemon (process %s): stop it, or "
			       "give this one another data_dir",
			       j->dir, *pid ? pid : "unknown");
	}
	n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	iov.iov_len = (size_t)n;
	if (j->sys->ftruncate(j->lockfd, 0) < 0 || j->sys->pwritev(j->lockfd, &iov, 1, 0) != n)
		return err_set(e, -EIO, "journal %s: cannot write the file lock: %s", j->dir,
			       strerror(errno));
	return 0;
}

static int open_dir(struct journal *j, struct err *e)
{
	if (mkdir(j->dir, 0700) < 0 && errno != EEXIST)
		return err_set(e, -errno,
			       "journal %s: cannot make the directory: %s; make what is above it "
			       "and give it to the daemon's user",
			       j->dir, strerror(errno));
	j->dirfd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dirfd < 0)
		return err_set(e, -errno,
			       "journal %s: cannot open the directory: %s; it must belong to the "
			       "daemon's user",
			       j->dir, strerror(errno));
	return lock_dir(j, e);
}

static uint64_t real_random(void *arg)
{
	uint64_t value;

	rand_bytes(&value, sizeof(value));
	return value;
}

static void set_defaults(struct journal_options *o)
{
	if (!o->quota_bytes)
		o->quota_bytes = quota_default;
	if (!o->segment_bytes)
		o->segment_bytes = SEGMENT_DEFAULT;
	if (!o->inflight_max)
		o->inflight_max = INFLIGHT_DEFAULT;
	if (o->segment_bytes > o->quota_bytes / QUOTA_SEGMENTS)
		o->segment_bytes = (size_t)(o->quota_bytes / QUOTA_SEGMENTS);
	if (o->segment_bytes < SEGMENT_LEAST)
		o->segment_bytes = SEGMENT_LEAST;
	o->segment_bytes &= ~(size_t)(FILE_HEADER - 1);
}

struct journal *journal_create(const struct journal_inject *in)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->dir = str_dup(str_from(in->options->dir));
	if (!j->dir) {
		free(j);
		return NULL;
	}
	j->loop = in->loop;
	j->log = in->log;
	j->options = *in->options;
	set_defaults(&j->options);
	if (in->events)
		j->events = *in->events;
	j->dirfd = j->lockfd = -1;
	j->sys = in->sys ? in->sys : &journal_sys_real;
	j->age = (struct age_clock){ .wall_ms = in->wall_ms,
				     .steady_ms = in->steady_ms,
				     .arg = in->clock_arg,
				     .log = in->log,
				     .dir = j->dir };
	j->random = in->random ? in->random : real_random;
	j->random_arg = in->random_arg;
	j->stepped = in->stepped;
	j->problem = in->problem;
	j->problem_arg = in->problem_arg;
	j->next_stream = j->next_number = 1;
	map_init(&j->streams);
	map_init(&j->ids);
	states_init(&j->states);
	list_init(&j->trimmed);
	list_init(&j->aged);
	list_init(&j->chunks);
	list_init(&j->state_chunks);
	list_init(&j->spare);
	list_init(&j->reads);
	task_init(&j->flush, j->loop, on_flush, j);
	timer_init(&j->trim_timer, j->loop, on_flush_timer, j);
	timer_init(&j->relaxed_timer, j->loop, on_flush_timer, j);
	marks_init(j);
	segments_init(j);
	timer_init(&j->age_timer, j->loop, jstreams_check_age, j);
	timer_init(&j->compact_timer, j->loop, compact_on_timer, j);
	return j;
}

struct journal *journal_destroy(struct journal *j)
{
	if (!j)
		return NULL;
	reads_abandon(j);
	compact_abandon(j);
	task_cancel(&j->flush);
	map_for_each (it, &j->ids)
		jstream_forget(j, container_of(it, struct jstream, id_node));
	task_cancel(&j->flush);
	timer_stop(&j->trim_timer);
	timer_stop(&j->relaxed_timer);
	timer_stop(&j->age_timer);
	timer_stop(&j->marks.timer);
	timer_stop(&j->spare_timer);
	timer_stop(&j->compact_timer);
	map_fini(&j->streams);
	map_fini(&j->ids);
	for (size_t i = 0; i < j->n_slots; i++)
		(void)segment_destroy(j, j->slots[i]);
	free(j->slots);
	states_fini(&j->states);
	batch_free(&j->chunks);
	batch_free(&j->state_chunks);
	batch_free(&j->spare);
	if (j->dirfd >= 0)
		(void)close(j->dirfd);
	if (j->lockfd >= 0)
		(void)close(j->lockfd);
	free(j->dir);
	free(j);
	return NULL;
}

int journal_open_injected(const struct journal_inject *in, struct journal **ret, struct err *e)
{
	struct journal *j = journal_create(in);
	struct writer_options o;
	struct recovered found = { 0 };
	int rc;

	if (!j)
		return err_set(e, -ENOMEM, "journal %s: out of memory", in->options->dir);
	rc = open_dir(j, e);
	if (rc == 0)
		rc = journal_recover(j, &found, e);
	if (rc < 0) {
		(void)journal_destroy(j);
		return rc;
	}
	journal_writer_options(j, &o);
	o.lsn = j->seen.written;
	o.states = found.states;
	o.states_end = found.states_end;
	o.segment_bytes = j->options.segment_bytes;
	memcpy(o.spares, found.spares, sizeof(o.spares));
	o.index = found.index.number ? &found.index : NULL;
	rc = writer_create(&o, &j->writer);
	(void)file_unref(found.states);
	index_file_fini(&found.index);
	if (rc < 0) {
		(void)err_set(e, rc, "journal %s: cannot start its threads: %s", j->dir,
			      strerror(-rc));
		(void)journal_destroy(j);
		return rc;
	}
	*ret = j;
	compact_wake(j);
	return 0;
}

int journal_open(struct loop *loop, const struct journal_options *options, const struct log *log,
		 const struct journal_events *events, struct journal **ret, struct err *e)
{
	struct journal_inject in = {
		.loop = loop, .options = options, .log = log, .events = events
	};

	return journal_open_injected(&in, ret, e);
}

bool journal_step_write(struct journal *j)
{
	return writer_step_write(j->writer);
}

bool journal_step_sync(struct journal *j)
{
	return writer_step_sync(j->writer);
}

static void take_all(struct journal *j)
{
	struct list done, removed;

	list_init(&done);
	list_init(&removed);
	writer_take(j->writer, &j->seen, &done, &removed);
	take_written(j, &done, &removed);
}

/* Writes what is left, and that all of it is synced. */
static void write_last(struct journal *j)
{
	on_flush(j);
	writer_drain(j->writer);
	take_all(j);
	marks_progress(j);
	j->marks.force = true;
	if (!j->seen.failed && !j->seen.stalled)
		on_flush(j);
}

struct journal *journal_close(struct journal *j)
{
	if (!j)
		return NULL;
	write_last(j);
	writer_stop(j->writer);
	take_all(j);
	if (j->seen.failed && !j->failed)
		log_error(j->log, "journal closed with losses", "error=%s", j->seen.failure.text);
	j->writer = writer_destroy(j->writer);
	return journal_destroy(j);
}
