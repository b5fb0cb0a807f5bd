/* SPDX-License-Identifier: MIT */
/*
 * What waits to be published: each topic knows whether somebody listens to it.
 *
 * It sees neither the library nor the line: messages go in by nats_outbox_send, out into a batch by
 * nats_outbox_fill, and nats_outbox_confirmed says what became of the batch. Of the callbacks only
 * `ready` may come from inside a call from the hub; it must only defer a task.
 */
#ifndef VOXBUS_BUSES_NATS_NATS_OUTBOX_H
#define VOXBUS_BUSES_NATS_NATS_OUTBOX_H

#include "base/log.h"
#include "buses/nats/nats_batch.h"
#include "core/msg.h"
#include "loop/loop.h"

enum {
	NATS_LINK_MESSAGES = 4096, /* accepted for topics that somebody hears, not confirmed */
	NATS_LINK_BYTES = 8 * 1024 * 1024,
	NATS_HELD_MESSAGES = 65536, /* of topics that nobody hears (yet) */
	NATS_HELD_BYTES = 64 * 1024 * 1024,
	NATS_HELD_OF_TOPIC = 512,
	NATS_RETRY_FIRST_MS = 1,
	NATS_RETRY_MAX_MS = 1000,
};

struct nats_outbox;

struct nats_outbox_options {
	struct loop *loop;
	const struct log *log;
	struct str node;    /* server_id of what has no other */
	uint64_t hold_ms;   /* after the end of a dialog */
	const char *prefix; /* not NULL: into a stream, whose subjects begin so; copied by nobody */
	/* A message is done with: port_settle. Borrowed. */
	void (*settle)(void *arg, const struct msg *msg, int result);
	/* There is room again after -EAGAIN. */
	void (*writable)(void *arg);
	/* There is something to fill a batch with, or to trim. */
	void (*ready)(void *arg);
	void *arg;
};

struct nats_outbox_stats {
	uint64_t no_responders;   /* answers 503 */
	uint64_t not_stored;      /* refused by the stream, or without its word in time */
	uint64_t lost;            /* dropped: nobody came, or could not be published */
	uint64_t held, in_flight; /* now: of topics that nobody hears; of the others */
	uint64_t topics;          /* now */
};

/* options are copied. 0 or -ENOMEM. */
int nats_outbox_create(const struct nats_outbox_options *options, struct nats_outbox **ret);
struct nats_outbox *nats_outbox_destroy(struct nats_outbox *o);

/* As port_ops.send: 0 (a reference is taken), -EAGAIN (writable follows), -ENOMEM. */
int nats_outbox_send(struct nats_outbox *o, struct msg *msg);
/* Something of our own on a topic, not to be settled: 0, -EAGAIN, -ENOMEM. */
int nats_outbox_answer(struct nats_outbox *o, struct msg *msg);
/* A dialog's commands are heard from now on: its topics are kept. 0 or -ENOMEM. */
int nats_outbox_opened(struct nats_outbox *o, struct str dialog);
/* ... no longer: its topics go when they are empty, or after hold_ms. */
void nats_outbox_ended(struct nats_outbox *o, struct str dialog);
/* A sign of life of a dialog's client: what is held is tried at once. */
void nats_outbox_touched(struct nats_outbox *o, struct str dialog);

/* Keeps the limits of what is held, by dropping the topics that have been held the longest. */
void nats_outbox_trim(struct nats_outbox *o);
/* Appends what may be published now, up to max_payload bytes each. */
void nats_outbox_fill(struct nats_outbox *o, struct nats_batch *batch, size_t max_payload);
/* The server has read the batch; its entries' results say what it said. */
void nats_outbox_confirmed(struct nats_outbox *o, struct nats_batch *batch);
/* The link is lost: forgets all messages, settles none, and batches that are under way mean nothing. */
void nats_outbox_reset(struct nats_outbox *o);
void nats_outbox_stats(const struct nats_outbox *o, struct nats_outbox_stats *ret);

#endif
