/* SPDX-License-Identifier: MIT */
/*
 * The codec of the journal's files, and the scanner that finds the records in one.
 *
 * A record's header has two checksums: one of itself with the file's generation in front, one of
 * the body. So a damaged body is skipped by its length, a damaged header costs a search for the
 * next one in steps of 8 bytes, and that search never sums a body that a caller filled with
 * likenesses of headers: without the generation, which is random and never leaves the file, no
 * bytes from outside pass for a header. For the same reason nothing that an earlier use of the
 * disk left behind does.
 *
 * The file's header is there twice, because all records depend on the generation in it.
 */
#include "journal/record.h"

#include <errno.h>

#include "journal/crc32c.h"
#include "journal/le.h"

enum {
	RECORD_MAGIC = 0x52625876, /* "vXbR" */
	HEADER_SIZE = 64,
	HEADER_SIZE_UNMARKED = 56,
	KEY_MAX = 1024,
};

static const char file_magic[8] = "voxbusJ\n";

/* Files of the first days end before `before`. */
static size_t header_size(const char *at)
{
	return le32_get(at + 20) & FILE_MARKED ? HEADER_SIZE : HEADER_SIZE_UNMARKED;
}

static void header_copy_write(char *at, const struct file_header *h)
{
	memcpy(at, file_magic, sizeof(file_magic));
	le32_put(at + 12, h->kind);
	le32_put(at + 16, h->version);
	le32_put(at + 20, h->flags);
	le64_put(at + 24, h->number);
	le64_put(at + 32, h->generation);
	le64_put(at + 40, h->size);
	le64_put(at + 48, h->lsn);
	le64_put(at + 56, h->before);
	le32_put(at + 8, crc32c(0, at + 12, header_size(at) - 12));
}

void file_header_write(char *at, const struct file_header *h)
{
	memset(at, 0, FILE_HEADER);
	header_copy_write(at, h);
	header_copy_write(at + FILE_HEADER_COPY, h);
}

static bool header_copy_read(const char *at, struct file_header *ret)
{
	if (memcmp(at, file_magic, sizeof(file_magic)) != 0 ||
	    le32_get(at + 8) != crc32c(0, at + 12, header_size(at) - 12))
		return false;
	*ret = (struct file_header){
		.kind = le32_get(at + 12),
		.version = le32_get(at + 16),
		.flags = le32_get(at + 20),
		.number = le64_get(at + 24),
		.generation = le64_get(at + 32),
		.size = le64_get(at + 40),
		.lsn = le64_get(at + 48),
		.before = header_size(at) == HEADER_SIZE ? le64_get(at + 56) : 0,
	};
	return ret->lsn <= LSN_MAX;
}

static bool all_zero(const char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

int file_header_read(struct str bytes, struct file_header *ret, bool *ret_damaged)
{
	struct file_header second;
	bool one, two;

	if (bytes.n < FILE_HEADER)
		return all_zero(bytes.p, bytes.n) ? 0 : -EBADMSG;
	one = header_copy_read(bytes.p, ret);
	two = header_copy_read(bytes.p + FILE_HEADER_COPY, &second);
	*ret_damaged = one != two;
	if (!one && two)
		*ret = second;
	if (one || two)
		return 1;
	return all_zero(bytes.p, FILE_HEADER) ? 0 : -EBADMSG;
}

static uint32_t header_crc(const char *at, uint64_t generation)
{
	char salt[8];

	le64_put(salt, generation);
	return crc32c(crc32c(0, salt, sizeof(salt)), at + 8, RECORD_HEADER - 8);
}

void record_seal(char *at, const struct record *r, uint64_t generation)
{
	size_t whole = record_size(r->body.n);

	le32_put(at, RECORD_MAGIC);
	le32_put(at + 8, crc32c(0, at + RECORD_HEADER, r->body.n));
	le32_put(at + 12, (uint32_t)r->body.n);
	le64_put(at + 16, r->stream);
	le64_put(at + 24, r->seq);
	le64_put(at + 32, (r->wall_ms & UINT64_C(0xffffffffffff)) | (uint64_t)r->type << 48);
	le64_put(at + 40, r->lsn);
	le32_put(at + 4, header_crc(at, generation));
	memset(at + RECORD_HEADER + r->body.n, 0, whole - RECORD_HEADER - r->body.n);
}

size_t record_restamp(char *at, uint64_t generation)
{
	le32_put(at + 4, header_crc(at, generation));
	return record_size(le32_get(at + 12));
}

int record_header(struct str bytes, uint64_t generation, struct record *ret)
{
	uint64_t when;
	uint32_t n;

	if (bytes.n < RECORD_HEADER)
		return 0;
	n = le32_get(bytes.p + 12);
	if (le32_get(bytes.p) != RECORD_MAGIC || n > RECORD_BODY_MAX ||
	    le32_get(bytes.p + 4) != header_crc(bytes.p, generation))
		return -EBADMSG;
	when = le64_get(bytes.p + 32);
	if (when >> 48 == 0 || when >> 48 >= RECORD_TYPES || le64_get(bytes.p + 40) > LSN_MAX)
		return -EBADMSG;
	*ret = (struct record){
		.type = (uint8_t)(when >> 48),
		.stream = le64_get(bytes.p + 16),
		.seq = le64_get(bytes.p + 24),
		.wall_ms = when & UINT64_C(0xffffffffffff),
		.lsn = le64_get(bytes.p + 40),
		.body = str_make(bytes.p + RECORD_HEADER, n),
	};
	return 1;
}

int record_read(struct str bytes, uint64_t generation, struct record *ret)
{
	struct record r;
	int rc = record_header(bytes, generation, &r);

	if (rc <= 0)
		return rc;
	if (record_size(r.body.n) > bytes.n)
		return 0;
	if (le32_get(bytes.p + 8) != crc32c(0, r.body.p, r.body.n))
		return -EBADMSG;
	*ret = r;
	return 1;
}

bool record_mark(const struct record *r, uint64_t *ret_next, struct str *ret_name)
{
	if (r->body.n < 8)
		return false;
	*ret_next = le64_get(r->body.p);
	*ret_name = str_skip(r->body, 8);
	return r->seq && r->seq <= *ret_next && (r->type == RECORD_TRIM || ret_name->n);
}

bool record_sync(const struct record *r, uint64_t *ret_lsn)
{
	if (r->body.n != 8)
		return false;
	*ret_lsn = le64_get(r->body.p);
	return *ret_lsn <= r->lsn;
}

bool record_state(const struct record *r, struct str *ret_key, struct str *ret_value)
{
	size_t n;

	*ret_value = str_make(NULL, 0);
	*ret_key = r->body;
	if (r->type == RECORD_DELETE)
		return true;
	if (r->body.n < 2)
		return false;
	n = le16_get(r->body.p);
	if (n > KEY_MAX || n > r->body.n - 2)
		return false;
	*ret_key = str_make(r->body.p + 2, n);
	*ret_value = str_skip(r->body, 2 + n);
	return true;
}

/* How far to go on from something that isn't a good record. */
static size_t step_over(struct str rest, uint64_t generation)
{
	struct record r;

	/* A sound header with a damaged body: its length can be trusted. */
	if (record_header(rest, generation, &r) > 0 && record_size(r.body.n) <= rest.n)
		return record_size(r.body.n);
	return RECORD_ALIGN;
}

/* How many bytes of zeros it begins with, in whole words. */
static size_t zeros(struct str bytes)
{
	static const char page[4096];
	size_t n = 0;

	while (bytes.n - n >= sizeof(page) && memcmp(bytes.p + n, page, sizeof(page)) == 0)
		n += sizeof(page);
	while (bytes.n - n >= RECORD_ALIGN && le64_get(bytes.p + n) == 0)
		n += RECORD_ALIGN;
	return n;
}

void file_scan(struct str bytes, const struct file_header *h, const struct scan_events *events,
	       struct scan_result *ret)
{
	size_t at = ret->end, used = ret->end;

	while (at < bytes.n && bytes.n - at >= RECORD_ALIGN) {
		struct str rest = str_skip(bytes, at);
		struct record r;
		size_t n;

		if (le64_get(rest.p) == 0) {
			at += zeros(rest);
			continue;
		}
		if (record_read(rest, h->generation, &r) > 0 && r.lsn >= ret->lsn) {
			if (at > ret->end)
				events->damage(events->arg, ret->end, at - ret->end);
			events->record(events->arg, at, &r);
			at += record_size(r.body.n);
			used = ret->end = at;
			ret->lsn = r.lsn;
			ret->records++;
			continue;
		}
		n = step_over(rest, h->generation);
		at += n;
		used = at;
	}
	if (at < bytes.n && !all_zero(bytes.p + at, bytes.n - at))
		used = bytes.n;
	ret->tail = used - ret->end;
}
