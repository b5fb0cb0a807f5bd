/* SPDX-License-Identifier: MIT */
/*
 * What goes to the server in one round: subscriptions and messages, in order, as plain bytes.
 *
 * The loop fills a batch and hands it to the line's thread; until it comes back only that thread
 * touches it (results) and the loop leaves it alone. No message and nothing else that the loop owns
 * is in it, so that counts of references need no locks.
 */
#ifndef VOXBUS_BUSES_NATS_NATS_BATCH_H
#define VOXBUS_BUSES_NATS_NATS_BATCH_H

#include "base/buf.h"

enum nats_kind {
	NATS_SUB,   /* subscribe to the subject */
	NATS_UNSUB, /* end that */
	NATS_PUB,   /* publish */
	NATS_PROBE, /* publish, and tell whether anybody listens: -EHOSTUNREACH if not */
	NATS_STORE, /* publish into the stream and wait for its word: also -EIO, -ETIMEDOUT */
	NATS_PULL,  /* ask the consumer for more: the payload says how many */
};

enum {
	NATS_BATCH_ENTRIES = 4096,
	NATS_BATCH_BYTES = 2 * 1024 * 1024, /* of one batch: fill up to here */
	NATS_BATCH_MAX = 64 * 1024 * 1024,  /* one large message beyond that still fits */
};

struct nats_entry {
	enum nats_kind kind;
	int result;          /* of the round, 0 if all went well; a negative errno */
	size_t subject;      /* offset in bytes, ends in NUL */
	size_t id;           /* NATS_STORE: the message's id, the same */
	size_t data, n_data; /* the payload */
	void *owner;         /* the loop's own */
};

struct nats_batch {
	struct buf bytes;
	struct nats_entry *entries;
	size_t n;
};

/* 0 or -ENOMEM. */
int nats_batch_init(struct nats_batch *b);
void nats_batch_fini(struct nats_batch *b);
void nats_batch_clear(struct nats_batch *b);
bool nats_batch_is_full(const struct nats_batch *b);
/* Begins an entry, which counts only when nats_batch_end was called: 0, -ENOMEM, -ENOBUFS. */
int nats_batch_begin(struct nats_batch *b, enum nats_kind kind, struct str subject, void *owner);
/* NATS_STORE: the id that the stream knows the message by, right after nats_batch_begin. */
int nats_batch_id(struct nats_batch *b, struct str id);
/* Ends it: what was appended to `bytes` since is its payload, whose length is returned. */
size_t nats_batch_end(struct nats_batch *b);
/* Takes the ended entry away again. */
void nats_batch_undo(struct nats_batch *b);
struct str nats_batch_subject(const struct nats_batch *b, const struct nats_entry *entry);

#endif
