/* SPDX-License-Identifier: MIT */
/*
 * Reading: the places are looked up on the loop, the bytes are read in the thread pool.
 *
 * A read takes what it needs along (places, references to the files), so that trims, drops and
 * even the end of the journal meanwhile do no harm. What fails its checksum is left out, reported
 * and taken out of the index; when nothing else was read, the read goes on behind it by itself.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal/journal_internal.h"

enum { READ_RECORDS = 256 };

struct read_item {
	struct file *file;
	uint64_t seq, offset;
	size_t size, at; /* of the record; where it is in the buffer */
	bool bad;
};

struct read {
	struct list link;        /* journal.reads */
	struct journal *journal; /* NULL: closed */
	struct jstream *js;
	const struct journal_sys *sys;
	uint64_t seq;
	size_t max_bytes;
	void (*fn)(void *arg, int rc, const struct journal_record *records, size_t n);
	void *arg;
	char *buffer;
	struct journal_record *records;
	int rc;
	size_t n_records, n_items;
	struct read_item items[];
};

static struct read *read_free(struct read *rd)
{
	list_del(&rd->link);
	for (size_t i = 0; i < rd->n_items; i++)
		(void)file_unref(rd->items[i].file);
	(void)jstream_unref(rd->js);
	free(rd->buffer);
	free(rd->records);
	free(rd);
	return NULL;
}

/* Reads what lies side by side at once: the number of items; they are bad if it fails. */
static size_t read_run(struct read *rd, size_t from)
{
	struct read_item *first = &rd->items[from];
	size_t n = 1, total = first->size;

	while (from + n < rd->n_items && first[n].file == first->file &&
	       first[n].offset == first->offset + total)
		total += first[n++].size;
	for (size_t did = 0; did < total;) {
		ssize_t got = rd->sys->pread(first->file->fd, rd->buffer + first->at + did,
					     total - did, (off_t)(first->offset + did));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			memset(rd->buffer + first->at + did, 0, total - did);
			rd->rc = -EIO;
			break;
		}
		did += (size_t)got;
	}
	return n;
}

static void on_pool(void *arg)
{
	struct read *rd = arg;
	struct record r;

	for (size_t i = 0; i < rd->n_items;)
		i += read_run(rd, i);
	for (size_t i = 0; i < rd->n_items; i++) {
		struct read_item *it = &rd->items[i];

		it->bad = record_read(str_make(rd->buffer + it->at, it->size), it->file->generation,
				      &r) <= 0 ||
			  !record_is_data(&r) || r.stream != rd->js->id || r.seq != it->seq;
		if (!it->bad)
			rd->records[rd->n_records++] =
				(struct journal_record){ r.seq, r.wall_ms, r.body };
	}
}

/*
 * What was bad is bad for ever: nobody shall come here again. True: some of it lies elsewhere by
 * now, so that it says nothing; all is to be read again.
 */
static bool forget_bad(struct read *rd)
{
	struct journal *j = rd->journal;
	struct jstream *js = rd->js;
	bool moved = false;

	for (size_t i = 0; i < rd->n_items && !js->dropped; i++) {
		const struct read_item *it = &rd->items[i];
		const struct index_entry *entry;

		if (!it->bad || it->seq < js->first)
			continue;
		entry = index_at(&js->index, (uint32_t)(it->seq - js->first));
		if (index_missing(entry))
			continue;
		if (j->slots[entry->slot]->file != it->file ||
		    (uint64_t)entry->offset * RECORD_ALIGN != it->offset) {
			moved = true;
			continue;
		}
		log_warn(j->log, "journal damaged",
			 "dir=%s segment=%" PRIu64 " offset=%" PRIu64 " seq=%" PRIu64 " then=%s",
			 j->dir, it->file->number, it->offset, it->seq, "record left out");
		jstream_lose_record(j, js, it->seq);
	}
	if (!js->dropped)
		jstream_cut(j, js, js->first);
	return moved;
}

static void on_done(void *arg)
{
	struct read *rd = arg;
	int rc = rd->rc;

	if (!rd->journal) {
		(void)read_free(rd);
		return;
	}
	if (rc == 0 && forget_bad(rd))
		rd->n_records = 0;
	if (rd->n_records)
		rc = 0;
	else if (rc == 0 && rd->n_items && !rd->js->dropped)
		rc = journal_read(rd->journal, rd->js, rd->seq, rd->max_bytes, rd->fn, rd->arg)
			     ? -EIO
			     : -EINPROGRESS;
	else if (rc == 0)
		rc = -ENOENT;
	if (rc != -EINPROGRESS)
		rd->fn(rd->arg, rc, rd->records, rd->n_records);
	(void)read_free(rd);
}

/* Places from seq on that are written, at most READ_RECORDS and about max_bytes. */
static size_t collect(const struct journal *j, const struct jstream *js, uint64_t seq,
		      size_t max_bytes, struct read_item *items)
{
	size_t n = 0, bytes = 0, at = 0;

	for (; seq < js->next && n < READ_RECORDS; seq++) {
		const struct index_entry *entry = index_at(&js->index, (uint32_t)(seq - js->first));
		uint64_t offset = (uint64_t)entry->offset * RECORD_ALIGN;
		const struct segment *s = j->slots[entry->slot];

		if (index_missing(entry))
			continue;
		if (offset >= s->written || (n && bytes + entry->length > max_bytes))
			break;
		items[n] = (struct read_item){ s->file, seq,  offset, record_size(entry->length),
					       at,      false };
		bytes += entry->length;
		at += items[n++].size;
	}
	return n;
}

int journal_read(struct journal *j, struct jstream *js, uint64_t seq, size_t max_bytes,
		 void (*fn)(void *arg, int rc, const struct journal_record *records, size_t n),
		 void *arg)
{
	struct read_item items[READ_RECORDS];
	size_t n = collect(j, js, seq > js->first ? seq : js->first, max_bytes, items);
	struct read *rd = malloc(sizeof(*rd) + n * sizeof(*items));
	size_t bytes = n ? items[n - 1].at + items[n - 1].size : 0;

	if (!rd)
		return -ENOMEM;
	*rd = (struct read){ .journal = j,
			     .js = js,
			     .sys = j->sys,
			     .seq = seq,
			     .max_bytes = max_bytes,
			     .fn = fn,
			     .arg = arg,
			     .n_items = n };
	js->refs++;
	list_add_tail(&j->reads, &rd->link);
	if (n)
		memcpy(rd->items, items, n * sizeof(*items));
	for (size_t i = 0; i < n; i++)
		(void)file_ref(items[i].file);
	rd->buffer = malloc(bytes + 1);
	rd->records = malloc((n + 1) * sizeof(*rd->records));
	if (!rd->buffer || !rd->records || loop_work(j->loop, on_pool, on_done, rd) < 0) {
		(void)read_free(rd);
		return -ENOMEM;
	}
	return 0;
}

void reads_abandon(struct journal *j)
{
	list_for_each_safe (it, &j->reads) {
		list_del(it);
		container_of(it, struct read, link)->journal = NULL;
	}
}
