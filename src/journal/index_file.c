/* SPDX-License-Identifier: MIT */
/*
 * Index files: 24 bytes for each record of a segment, so that a restart need not read the bodies.
 *
 * The same bytes are made by the writer while it fills a segment (then they go to the file, in
 * pieces) and by recovery when it has to scan one (then they stay in memory); either way recovery
 * applies items, and there is one meaning. A stream's number is said once, later items have a
 * small number for it (`ordinal`): who applies them looks each stream up once a segment.
 *
 *   header | item, item + mark, ... | trailer with the CRC of everything before it
 */
#include "journal/index_file.h"

#include <errno.h>
#include <stdlib.h>

#include "journal/crc32c.h"
#include "journal/le.h"

enum {
	ITEM = 24,
	TYPE_SHIFT = 28,
	TABLE_FIRST = 64,
	BYTES_FIRST = 4096,
	TRAILER_CRC = INDEX_FILE_TRAILER - 8,
};

static const char magic[8] = "voxbusI\n", trailer_magic[8] = "vbI end\n";

void index_file_fini(struct index_file *x)
{
	free(x->bytes);
	free(x->ids);
	free(x->table);
	*x = (struct index_file){ 0 };
}

/* Room for n more bytes, counted as there and not yet filled: NULL = no memory. */
static char *room(struct index_file *x, size_t n)
{
	size_t cap = x->cap ? x->cap : BYTES_FIRST;
	char *bytes;

	while (cap - x->n < n)
		cap += cap / 2;
	if (cap != x->cap) {
		bytes = realloc(x->bytes, cap);
		if (!bytes)
			return NULL;
		x->bytes = bytes;
		x->cap = cap;
	}
	x->n += n;
	return x->bytes + x->n - n;
}

int index_file_begin(struct index_file *x, uint64_t number, uint64_t generation)
{
	char *at;

	x->n = x->flushed = 0;
	x->crc = 0;
	x->number = number;
	x->generation = generation;
	x->facts = (struct index_facts){ .end = FILE_HEADER };
	x->n_ids = 0;
	x->named = 0;
	if (x->table)
		memset(x->table, 0, x->table_size * sizeof(*x->table));
	at = room(x, INDEX_FILE_HEADER);
	if (!at)
		return -ENOMEM;
	memcpy(at, magic, sizeof(magic));
	le32_put(at + 8, INDEX_FILE_VERSION);
	le32_put(at + 12, 0);
	le64_put(at + 16, number);
	le64_put(at + 24, generation);
	return 0;
}

static uint32_t *table_place(const struct index_file *x, uint64_t id)
{
	uint32_t mask = x->table_size - 1;
	uint32_t i = (uint32_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;

	while (x->table[i] && x->ids[x->table[i] - 1] != id)
		i = (i + 1) & mask;
	return &x->table[i];
}

/* The arrays hold half as many streams as the table has places. */
static int table_grow(struct index_file *x)
{
	uint32_t size = x->table_size ? x->table_size * 2 : TABLE_FIRST;
	uint64_t *ids = realloc(x->ids, size / 2 * sizeof(*ids));
	uint32_t *table = calloc(size, sizeof(*table));

	if (ids)
		x->ids = ids;
	if (!ids || !table) {
		free(table);
		return -ENOMEM;
	}
	free(x->table);
	x->table = table;
	x->table_size = size;
	for (uint32_t i = 0; i < x->n_ids; i++)
		*table_place(x, x->ids[i]) = i + 1;
	return 0;
}

static int put_item(struct index_file *x, const struct index_item *item, struct str extra)
{
	size_t padded = (extra.n + 7) & ~(size_t)7;
	char *at = room(x, ITEM + padded);

	if (!at)
		return -ENOMEM;
	le32_put(at, (uint32_t)item->type << TYPE_SHIFT | item->length);
	le32_put(at + 4, item->ordinal);
	le32_put(at + 8, (uint32_t)(item->offset / RECORD_ALIGN));
	le32_put(at + 12, item->wall_s);
	le64_put(at + 16, item->seq);
	if (extra.n)
		memcpy(at + ITEM, extra.p, extra.n);
	memset(at + ITEM + extra.n, 0, padded - extra.n);
	return 0;
}

/* The stream's number in this segment, said before its first use. */
static int ordinal_of(struct index_file *x, uint64_t id, uint32_t *ret)
{
	struct index_item item = { .type = INDEX_STREAM, .ordinal = x->n_ids, .seq = id };
	uint32_t *place = x->table_size ? table_place(x, id) : NULL;
	int rc = 0;

	if (place && *place) {
		*ret = *place - 1;
		return 0;
	}
	if (x->n_ids >= x->table_size / 2)
		rc = table_grow(x);
	if (rc == 0)
		rc = put_item(x, &item, str_make(NULL, 0));
	if (rc < 0)
		return rc;
	x->ids[x->n_ids] = id;
	*ret = x->n_ids++;
	*table_place(x, id) = x->n_ids;
	return 0;
}

static int add_stream_record(struct index_file *x, struct index_item *item, const struct record *r)
{
	bool mark = r->type == RECORD_NAME || r->type == RECORD_TRIM;
	struct str name;
	uint64_t next;
	int rc;

	if (mark && !record_mark(r, &next, &name))
		item->type = INDEX_MALFORMED;
	rc = ordinal_of(x, r->stream, &item->ordinal);
	if (rc < 0)
		return rc;
	/* Names stand in a segment twice, and nothing is between the two. */
	if (item->type == RECORD_NAME && x->named == r->stream)
		return 0;
	x->named = item->type == RECORD_NAME ? r->stream : 0;
	return put_item(x, item, item->type == r->type && mark ? r->body : str_make(NULL, 0));
}

int index_file_add(struct index_file *x, size_t offset, const struct record *r)
{
	struct index_item item = { .type = r->type,
				   .offset = offset,
				   .length = (uint32_t)r->body.n,
				   .wall_s = (uint32_t)(r->wall_ms / 1000),
				   .seq = r->seq };
	struct index_facts *facts = &x->facts;
	uint64_t sync;
	int rc = 0;

	if (r->type == RECORD_SYNC && record_sync(r, &sync))
		facts->sync = sync > facts->sync ? sync : facts->sync;
	else if (r->type == RECORD_SYNC)
		item.type = INDEX_MALFORMED;
	if (item.type == INDEX_MALFORMED)
		rc = put_item(x, &item, str_make(NULL, 0));
	else if (r->type <= RECORD_DROP || r->type == RECORD_COPY)
		rc = add_stream_record(x, &item, r);
	facts->records++;
	facts->end = offset + record_size(r->body.n);
	facts->lsn = r->lsn;
	if (r->wall_ms > facts->newest_ms)
		facts->newest_ms = r->wall_ms;
	return rc;
}

int index_file_add_hole(struct index_file *x, size_t offset, size_t n)
{
	struct index_item item = { .type = INDEX_HOLE,
				   .offset = offset,
				   .ordinal = (uint32_t)(n / RECORD_ALIGN),
				   .seq = x->facts.lsn };

	return put_item(x, &item, str_make(NULL, 0));
}

int index_file_end(struct index_file *x, bool sealed)
{
	const struct index_facts *f = &x->facts;
	char *at = room(x, INDEX_FILE_TRAILER);

	if (!at)
		return -ENOMEM;
	memcpy(at, trailer_magic, sizeof(trailer_magic));
	le64_put(at + 8, f->records);
	le64_put(at + 16, f->end);
	le64_put(at + 24, f->lsn);
	le64_put(at + 32, f->sync);
	le64_put(at + 40, f->newest_ms);
	le64_put(at + 48, sealed);
	le32_put(at + TRAILER_CRC,
		 crc32c(x->crc, x->bytes, x->n - INDEX_FILE_TRAILER + TRAILER_CRC));
	le32_put(at + TRAILER_CRC + 4, 0);
	return 0;
}

void index_file_flush(struct index_file *x)
{
	x->crc = crc32c(x->crc, x->bytes, x->n);
	x->flushed += x->n;
	x->n = 0;
}

/* Which streams its items speak of, so that more can be added. */
static int learn_streams(struct index_file *x)
{
	struct str rest = index_file_items(x);
	struct index_item item;

	while (index_item_next(&rest, &item)) {
		if (item.type != INDEX_STREAM)
			continue;
		if (x->n_ids >= x->table_size / 2 && table_grow(x) < 0)
			return -ENOMEM;
		x->ids[x->n_ids++] = item.seq;
		*table_place(x, item.seq) = x->n_ids;
	}
	return 1;
}

int index_file_load_take(struct index_file *x, char *bytes, size_t n, uint64_t number,
			 uint64_t generation)
{
	const char *at = bytes + n - INDEX_FILE_TRAILER;

	if (n < INDEX_FILE_HEADER + INDEX_FILE_TRAILER ||
	    memcmp(bytes, magic, sizeof(magic)) != 0 || le32_get(bytes + 8) != INDEX_FILE_VERSION ||
	    le64_get(bytes + 16) != number || le64_get(bytes + 24) != generation ||
	    memcmp(at, trailer_magic, sizeof(trailer_magic)) != 0 ||
	    le32_get(at + TRAILER_CRC) != crc32c(0, bytes, n - INDEX_FILE_TRAILER + TRAILER_CRC))
		return 0;
	if (index_file_begin(x, number, generation) < 0) {
		free(bytes);
		return -ENOMEM;
	}
	free(x->bytes);
	x->bytes = bytes;
	x->cap = n;
	x->n = n - INDEX_FILE_TRAILER;
	x->facts = (struct index_facts){ .records = le64_get(at + 8),
					 .end = le64_get(at + 16),
					 .lsn = le64_get(at + 24),
					 .sync = le64_get(at + 32),
					 .newest_ms = le64_get(at + 40),
					 .sealed = le64_get(at + 48) != 0 };
	return x->facts.sealed ? 1 : learn_streams(x);
}

uint32_t index_item_peek(struct str rest, size_t n)
{
	return rest.n >= (n + 1) * ITEM ? le32_get(rest.p + n * ITEM + 4) : UINT32_MAX;
}

/* The mark behind an item: false when the bytes end inside. */
static bool take_mark(struct str *rest, struct index_item *item)
{
	size_t padded = (item->length + (size_t)7) & ~(size_t)7;

	if (item->length < 8 || padded > rest->n)
		return false;
	item->next = le64_get(rest->p);
	item->name = str_make(rest->p + 8, item->length - 8);
	*rest = str_skip(*rest, padded);
	return true;
}

bool index_item_next(struct str *rest, struct index_item *ret)
{
	const char *at = rest->p;
	uint32_t first;

	if (rest->n < ITEM)
		return false;
	first = le32_get(at);
	*ret = (struct index_item){ .type = (uint8_t)(first >> TYPE_SHIFT),
				    .length = first & ((UINT32_C(1) << TYPE_SHIFT) - 1),
				    .ordinal = le32_get(at + 4),
				    .offset = (uint64_t)le32_get(at + 8) * RECORD_ALIGN,
				    .wall_s = le32_get(at + 12),
				    .seq = le64_get(at + 16) };
	*rest = str_skip(*rest, ITEM);
	ret->size = ret->type == INDEX_HOLE ? (size_t)ret->ordinal * RECORD_ALIGN
					    : record_size(ret->length);
	return (ret->type != RECORD_NAME && ret->type != RECORD_TRIM) || take_mark(rest, ret);
}
