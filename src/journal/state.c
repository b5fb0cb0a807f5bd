/* SPDX-License-Identifier: MIT */
/*
 * Small things that change in place: a table in memory, and a log of the changes on the disk.
 *
 * The log is made anew from what is alive when it has grown: temporary file, sync, rename, sync of
 * the directory, so that at each moment one whole log bears the name. The writer thread does that
 * between two batches, from the old file's own bytes: the loop's table is not touched by it.
 */
#include "journal/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal/age.h"
#include "journal/le.h"

static const char temporary[] = "state.log.tmp";

struct state {
	struct map_node node; /* states.map; its key is the first bytes */
	size_t value_n;
	char bytes[];
};

void states_init(struct states *s)
{
	*s = (struct states){ 0 };
	map_init(&s->map);
}

size_t state_size(struct str key, struct str value)
{
	return record_size(2 + key.n + value.n);
}

struct str state_value(const struct map_node *node)
{
	const struct state *st = container_of(node, struct state, node);

	return str_make(st->bytes + node->key.n, st->value_n);
}

static void state_free(struct states *s, struct map_node *node)
{
	s->live -= state_size(node->key, state_value(node));
	map_del(&s->map, node);
	free(container_of(node, struct state, node));
}

void states_fini(struct states *s)
{
	map_for_each (it, &s->map)
		state_free(s, it);
	map_fini(&s->map);
}

int states_put(struct states *s, struct str key, struct str value)
{
	struct state *st = malloc(sizeof(*st) + key.n + value.n);
	struct map_node *old;

	if (!st)
		return -ENOMEM;
	st->value_n = value.n;
	if (key.n)
		memcpy(st->bytes, key.p, key.n);
	if (value.n)
		memcpy(st->bytes + key.n, value.p, value.n);
	old = map_find(&s->map, key);
	if (map_add(&s->map, &st->node, str_make(st->bytes, key.n)) < 0) {
		free(st);
		return -ENOMEM;
	}
	s->live += state_size(key, value);
	if (old)
		state_free(s, old);
	return 0;
}

void states_delete(struct states *s, struct str key)
{
	struct map_node *node = map_find(&s->map, key);

	if (node)
		state_free(s, node);
}

int states_apply(struct states *s, const struct record *r)
{
	struct str key, value;

	s->newest_ms = age_later(s->newest_ms, r->wall_ms);
	if (r->type == RECORD_SYNC)
		return 0;
	if ((r->type != RECORD_PUT && r->type != RECORD_DELETE) || !record_state(r, &key, &value))
		return -EBADMSG;
	if (r->type == RECORD_PUT)
		return states_put(s, key, value);
	states_delete(s, key);
	return 0;
}

static char *snapshot_record(char *at, const struct map_node *node, uint64_t generation,
			     uint64_t lsn)
{
	struct str key = node->key, value = state_value(node);
	struct record r = { .type = RECORD_PUT, .lsn = lsn };
	char *body = at + RECORD_HEADER;

	r.body = str_make(body, 2 + key.n + value.n);
	le16_put(body, (uint16_t)key.n);
	memcpy(body + 2, key.p, key.n);
	if (value.n)
		memcpy(body + 2 + key.n, value.p, value.n);
	record_seal(at, &r, generation);
	return at + record_size(r.body.n);
}

/* All of the snapshot is synced before it is anything: its records are older than the mark. Their times are
 * gone; the newest one stays, for the clock of the next start. */
static void snapshot_mark(char *at, uint64_t generation, uint64_t lsn, uint64_t newest_ms)
{
	struct record r = { .type = RECORD_SYNC,
			    .lsn = lsn,
			    .wall_ms = newest_ms,
			    .body = { at + RECORD_HEADER, 8 } };

	le64_put(at + RECORD_HEADER, lsn);
	record_seal(at, &r, generation);
}

static int write_all(int fd, const char *p, size_t n, const struct journal_sys *sys)
{
	for (size_t at = 0; at < n;) {
		struct iovec iov = { (void *)(p + at), n - at };
		ssize_t did = sys->pwritev(fd, &iov, 1, (off_t)at);

		if (did < 0 && errno == EINTR)
			continue;
		if (did <= 0)
			return did < 0 ? -errno : -EIO;
		at += (size_t)did;
	}
	return 0;
}

static int write_temporary(int fd, struct str image, const struct writer_options *o)
{
	int rc = write_all(fd, image.p, image.n, o->sys);

	/* Room to grow, so that a sync needs no change of size; without it things just go slower. */
	(void)o->sys->fallocate(fd, 0, (off_t)image.n, STATE_GROW);
	if (rc == 0 && !o->nosync && o->sys->fsync(fd) < 0)
		rc = -errno;
	if (rc == 0 && o->sys->renameat(o->dirfd, temporary, o->dirfd, "state.log") < 0)
		rc = -errno;
	if (rc < 0)
		(void)o->sys->unlinkat(o->dirfd, temporary, 0);
	else if (!o->nosync && o->sys->fsync(o->dirfd) < 0)
		rc = -ESTALE;
	return rc;
}

int states_snapshot(const struct states *s, const struct writer_options *o, uint64_t lsn,
		    struct file **ret, size_t *ret_end)
{
	struct file_header h = { .kind = FILE_STATES,
				 .version = FILE_VERSION,
				 .flags = FILE_MARKED,
				 .size = (uint64_t)o->clock_ahead_ms,
				 .lsn = lsn ? lsn - 1 : 0 };
	size_t n = FILE_HEADER + s->live + record_size(8);
	char *image = malloc(n), *at = image;
	struct file *f = file_create_take(-1, 0, 0);
	int rc;

	if (!image || !f) {
		free(image);
		(void)file_unref(f);
		return -ENOMEM;
	}
	h.generation = o->random(o->random_arg);
	file_header_write(at, &h);
	at += FILE_HEADER;
	map_for_each (it, &s->map)
		at = snapshot_record(at, it, h.generation, h.lsn);
	snapshot_mark(at, h.generation, lsn, s->newest_ms);
	f->generation = h.generation;
	f->fd = o->sys->openat(o->dirfd, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	rc = f->fd < 0 ? -errno : write_temporary(f->fd, str_make(image, n), o);
	free(image);
	if (rc < 0) {
		(void)file_unref(f);
		return rc;
	}
	*ret = f;
	*ret_end = n;
	return 0;
}

struct rewrite {
	struct states states;
	int rc;
};

static void rewrite_record(void *arg, size_t offset, const struct record *r)
{
	struct rewrite *rw = arg;
	int rc = states_apply(&rw->states, r);

	if (rc < 0 && rw->rc == 0)
		rw->rc = rc;
}

static void rewrite_damage(void *arg, size_t offset, size_t n)
{
	struct rewrite *rw = arg;

	rw->rc = -EBADMSG;
}

int states_rewrite(struct file *from, size_t end, const struct writer_options *o, uint64_t lsn,
		   struct file **ret, size_t *ret_end)
{
	struct rewrite rw = { 0 };
	struct scan_events events = { rewrite_record, rewrite_damage, &rw };
	struct file_header h = { .generation = from->generation };
	struct scan_result found = scan_begin(&h);
	char *bytes = malloc(end);

	if (!bytes)
		return -ENOMEM;
	states_init(&rw.states);
	for (size_t at = 0; at < end && rw.rc == 0;) {
		ssize_t n = o->sys->pread(from->fd, bytes + at, end - at, (off_t)at);

		if (n > 0)
			at += (size_t)n;
		else if (n == 0 || errno != EINTR)
			rw.rc = n < 0 ? -errno : -EBADMSG;
	}
	if (rw.rc == 0)
		file_scan(str_make(bytes, end), &h, &events, &found);
	if (rw.rc == 0 && found.end != end)
		rw.rc = -EBADMSG;
	free(bytes);
	if (rw.rc == 0)
		rw.rc = states_snapshot(&rw.states, o, lsn, ret, ret_end);
	states_fini(&rw.states);
	return rw.rc;
}
