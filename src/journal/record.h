/* SPDX-License-Identifier: MIT */
/*
 * What lies on the disk: the header of a file and the records in it. Bytes in, slices out; no I/O.
 * The layout is written down in docs/formats/journal.md; all numbers are little-endian.
 */
#ifndef VOXBUS_JOURNAL_RECORD_H
#define VOXBUS_JOURNAL_RECORD_H

#include "base/str.h"

/* No log gets that far: a number beyond is damage, and counting on from it would wrap. */
#define LSN_MAX (UINT64_C(1) << 62)

enum {
	FILE_HEADER = 4096,      /* two copies of the header lie in it; records follow */
	FILE_HEADER_COPY = 2048, /* where the second copy is */
	FILE_VERSION = 1,
	RECORD_HEADER = 48,
	RECORD_ALIGN = 8,
	RECORD_BODY_MAX = 16 << 20,
};

enum record_type {
	RECORD_DATA = 1, /* seq, body */
	RECORD_NAME,     /* seq = first; body = next (8 bytes), name */
	RECORD_TRIM,     /* seq = first; body = next (8 bytes) */
	RECORD_DROP,     /* the stream is no more */
	RECORD_PUT,      /* body = length of the key (2 bytes), key, value */
	RECORD_DELETE,   /* body = key */
	RECORD_SYNC,     /* body = an lsn (8 bytes): up to it all of this kind of file is synced */
	RECORD_COPY,     /* as data, moved here from an older segment */
	RECORD_TYPES,
};

enum file_kind { FILE_SEGMENT = 1, FILE_STATES = 2 };

enum file_flags {
	FILE_MARKED = 1,   /* written by one who writes sync marks, and `before` */
	FILE_RECYCLED = 2, /* the file held something else before */
};

struct file_header {
	uint32_t kind, version, flags;
	uint64_t number;     /* of the segment; 0 for the states */
	uint64_t generation; /* random; goes into the checksum of each record */
	uint64_t size;       /* of the file when it is full; for states: see age_ahead */
	uint64_t lsn;        /* all records have at least this one */
	uint64_t before;     /* lsn of the last record in the segment before */
};

struct record {
	uint8_t type;
	uint64_t stream, seq, wall_ms, lsn;
	struct str body;
};

/* Writes FILE_HEADER bytes, both copies and zeros between. */
void file_header_write(char *at, const struct file_header *h);
/*
 * 1 and *ret from either copy; *ret_damaged tells whether the other is bad. 0: there is nothing
 * but zeros (the file was never begun, or the bytes end). -EBADMSG: both are bad.
 */
int file_header_read(struct str bytes, struct file_header *ret, bool *ret_damaged);

/* How much room a record with such a body takes. */
static inline size_t record_size(size_t body)
{
	return (RECORD_HEADER + body + RECORD_ALIGN - 1) & ~(size_t)(RECORD_ALIGN - 1);
}
/* Writes the header and the padding around a body that lies at `at` + RECORD_HEADER already. */
void record_seal(char *at, const struct record *r, uint64_t generation);
/* Puts another generation into a sealed record; returns its record_size. */
size_t record_restamp(char *at, uint64_t generation);
/*
 * The header alone: 1 and *ret (the body is a length; its bytes were not looked at), 0 when the
 * bytes end before the header does, -EBADMSG.
 */
int record_header(struct str bytes, uint64_t generation, struct record *ret);
/* The whole record: 1, 0 when the bytes end inside, -EBADMSG. record_size(body.n) is its length. */
int record_read(struct str bytes, uint64_t generation, struct record *ret);

static inline bool record_is_data(const struct record *r)
{
	return r->type == RECORD_DATA || r->type == RECORD_COPY;
}

/* The parts of a body: false when it is malformed. */
bool record_mark(const struct record *r, uint64_t *ret_next, struct str *ret_name);
bool record_sync(const struct record *r, uint64_t *ret_lsn);
bool record_state(const struct record *r, struct str *ret_key, struct str *ret_value);

struct scan_events {
	void (*record)(void *arg, size_t offset, const struct record *r);
	/* Something between good records is not a record. */
	void (*damage)(void *arg, size_t offset, size_t n);
	void *arg;
};

struct scan_result {
	size_t end;     /* behind the last good record */
	size_t tail;    /* bytes behind that which are not zero, up to the last such */
	size_t records; /* good ones */
	uint64_t lsn;   /* of the last good one, else the header's */
};

/*
 * Calls back for what is in a file whose header was h, in the order of the bytes. *ret begins with
 * where to start and the lsn before it (scan_begin: at the file's first record).
 */
void file_scan(struct str bytes, const struct file_header *h, const struct scan_events *events,
	       struct scan_result *ret);

static inline struct scan_result scan_begin(const struct file_header *h)
{
	return (struct scan_result){ .end = FILE_HEADER, .lsn = h->lsn };
}

#endif
