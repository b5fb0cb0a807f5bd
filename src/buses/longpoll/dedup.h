/* SPDX-License-Identifier: MIT */
/*
 * Messages that come twice: what was published in the last ten minutes under a key, and its id.
 *
 * A key is what tells a repetition from another message that looks the same. In this order:
 *
 *   Idempotency-Key, I-Twilio-Idempotency-Token     the same queue and the same key
 *   X-...-Attempt over 1                            the same queue, query and body
 *
 * Nothing else is ever taken for a repetition: two equal text messages are two. The first attempt
 * of a webhook (it has an Attempt header, or a signature) is remembered by its body for the second.
 */
#ifndef VOXBUS_LONGPOLL_DEDUP_H
#define VOXBUS_LONGPOLL_DEDUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct dedup;
struct dedup_entry;
struct document;
struct http_request;
struct journal;
struct loop;
struct publish;

enum { DEDUP_HASH_SIZE = 32, DEDUP_MAX = 100000 };

struct dedup_key {
	unsigned char hash[DEDUP_HASH_SIZE];
	bool remember; /* a later request may be this one's repetition */
	bool look;     /* this one may be an earlier one's */
};

/*
 * journal may be NULL: nothing survives the process. Takes back what the last run had under this
 * scope (an account's sid). 0 or -ENOMEM.
 */
int dedup_create(struct loop *loop, struct journal *journal, struct str scope, struct dedup **ret);
struct dedup *dedup_destroy(struct dedup *dedup);
/* What the request is known by; without memory by nothing. */
void dedup_key_of(struct dedup *dedup, const struct http_request *request, struct str queue,
		  const struct document *document, struct dedup_key *ret);
/*
 * The message that had that key, or NULL. Either it is on its way to the disk: *ret_first; or
 * *ret_first is NULL and *ret_id is its id.
 */
bool dedup_find(struct dedup *dedup, const struct dedup_key *key, struct publish **ret_first,
		const char **ret_id);
/*
 * The message is on its way; the newest under its key counts. When the table is full the oldest goes.
 * NULL: no memory, and it is not remembered. Forgotten entries say so by publish_forgotten.
 */
struct dedup_entry *dedup_add(struct dedup *dedup, const struct dedup_key *key,
			      struct publish *first, const char *id);
/* It is durable, and remembered from now on; or it failed, and never was. */
void dedup_done(struct dedup *dedup, struct dedup_entry *entry, int rc);
/* The message of that id is given up: who sends it once more means it. */
void dedup_forget(struct dedup *dedup, struct str id);
/* The publish, which is still on its way, has no entry any more. In publish.c. */
void publish_forgotten(struct publish *publish);

/* Entries now; those that went before their time since the start. */
size_t dedup_count(const struct dedup *dedup);
uint64_t dedup_evicted(const struct dedup *dedup);

#endif
