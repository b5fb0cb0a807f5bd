/* SPDX-License-Identifier: MIT */
/* Offsets instead of pointers, because the bytes move while they grow. */
#include "buses/nats/nats_batch.h"

#include <errno.h>
#include <stdlib.h>

int nats_batch_init(struct nats_batch *b)
{
	*b = (struct nats_batch){ .entries = calloc(NATS_BATCH_ENTRIES, sizeof(*b->entries)) };
	buf_init(&b->bytes, NATS_BATCH_MAX);
	return b->entries ? 0 : -ENOMEM;
}

void nats_batch_fini(struct nats_batch *b)
{
	buf_fini(&b->bytes);
	free(b->entries);
	b->entries = NULL;
}

void nats_batch_clear(struct nats_batch *b)
{
	/* What a rare large one took is given back. */
	if (b->bytes.cap > 2 * (size_t)NATS_BATCH_BYTES)
		buf_fini(&b->bytes), buf_init(&b->bytes, NATS_BATCH_MAX);
	else
		buf_clear(&b->bytes);
	b->n = 0;
}

bool nats_batch_is_full(const struct nats_batch *b)
{
	return b->n == NATS_BATCH_ENTRIES || buf_len(&b->bytes) >= NATS_BATCH_BYTES;
}

int nats_batch_begin(struct nats_batch *b, enum nats_kind kind, struct str subject, void *owner)
{
	struct nats_entry *entry = &b->entries[b->n];
	size_t at = buf_len(&b->bytes);
	int rc = buf_reserve(&b->bytes, subject.n + 1);

	if (rc < 0)
		return rc;
	(void)buf_add(&b->bytes, subject);
	(void)buf_addc(&b->bytes, '\0');
	*entry = (struct nats_entry){
		.kind = kind, .subject = at, .data = at + subject.n + 1, .owner = owner
	};
	return 0;
}

int nats_batch_id(struct nats_batch *b, struct str id)
{
	struct nats_entry *entry = &b->entries[b->n];
	int rc = buf_reserve(&b->bytes, id.n + 1);

	if (rc < 0)
		return rc;
	entry->id = entry->data;
	(void)buf_add(&b->bytes, id);
	(void)buf_addc(&b->bytes, '\0');
	entry->data += id.n + 1;
	return 0;
}

size_t nats_batch_end(struct nats_batch *b)
{
	struct nats_entry *entry = &b->entries[b->n++];

	entry->n_data = buf_len(&b->bytes) - entry->data;
	return entry->n_data;
}

void nats_batch_undo(struct nats_batch *b)
{
	b->n--; /* its bytes stay where they are and mean nothing */
}

struct str nats_batch_subject(const struct nats_batch *b, const struct nats_entry *entry)
{
	const char *subject = buf_str(&b->bytes).p + entry->subject;

	return str_make(subject, (entry->id ? entry->id : entry->data) - entry->subject - 1);
}
