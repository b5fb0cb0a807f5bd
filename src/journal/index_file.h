/* SPDX-License-Identifier: MIT */
/*
 * What is in a segment, without the bodies: the content of an index file NNNNNNNN.vbi, and what a
 * scan of a segment makes. Bytes in, bytes out; no I/O. docs/formats/journal.md has the layout.
 */
#ifndef VOXBUS_JOURNAL_INDEX_FILE_H
#define VOXBUS_JOURNAL_INDEX_FILE_H

#include "journal/record.h"

enum {
	INDEX_FILE_VERSION = 1,
	INDEX_FILE_HEADER = 32,
	INDEX_FILE_TRAILER = 64,
};

/* What an item can be beside enum record_type. */
enum {
	INDEX_STREAM = 13,    /* seq = the stream's number: from here on `ordinal` stands for it */
	INDEX_MALFORMED = 14, /* a record that makes no sense */
	INDEX_HOLE = 15,      /* `size` bytes that are no record; seq = the lsn before them */
};

struct index_item {
	uint8_t type;
	uint32_t ordinal; /* of the stream in this segment */
	uint64_t offset;  /* in the segment */
	uint32_t length;  /* of the body */
	uint32_t wall_s;
	uint64_t seq, next; /* next: name and trim */
	struct str name;
	size_t size; /* of what lies at the offset */
};

struct index_facts {
	uint64_t records;
	uint64_t end;  /* behind the last record */
	uint64_t lsn;  /* of the last record, 0 = there is none */
	uint64_t sync; /* the greatest that a sync mark says */
	uint64_t newest_ms;
	bool sealed; /* nothing was written to the segment behind `end` */
};

/* Starts as zeros, then index_file_begin. */
struct index_file {
	char *bytes; /* what was added and not yet flushed */
	size_t n, cap, flushed;
	uint32_t crc; /* of what was flushed */
	uint64_t number, generation;
	struct index_facts facts;
	uint64_t named; /* the stream whose name was the last item; 0: it was something else */
	uint64_t *ids;  /* of streams, by ordinal */
	uint32_t n_ids, table_size;
	uint32_t *table; /* ordinals + 1 by hash of the id */
};

void index_file_fini(struct index_file *x);
/* Forgets what it had. 0 or -ENOMEM, like those that follow; after that it is of no use. */
int index_file_begin(struct index_file *x, uint64_t number, uint64_t generation);
int index_file_add(struct index_file *x, size_t offset, const struct record *r);
int index_file_add_hole(struct index_file *x, size_t offset, size_t n);
/* Adds the trailer: then the bytes are a whole file. */
int index_file_end(struct index_file *x, bool sealed);
/* The bytes so far are in the file: forgets them. */
void index_file_flush(struct index_file *x);
/*
 * Takes over the bytes (malloc) of a file for that segment: 1, 0 when they can't be used (they are
 * left to the caller), or -ENOMEM. The trailer is taken off; what is added goes on behind.
 */
int index_file_load_take(struct index_file *x, char *bytes, size_t n, uint64_t number,
			 uint64_t generation);
/* Takes one item off: false at the end. *rest begins as index_file_items. */
bool index_item_next(struct str *rest, struct index_item *ret);
/* The stream of the n-th item from here, if all in between are of the usual length; else anything. */
uint32_t index_item_peek(struct str rest, size_t n);

static inline struct str index_file_items(const struct index_file *x)
{
	return str_make(x->bytes + INDEX_FILE_HEADER, x->n - INDEX_FILE_HEADER);
}

#endif
