/* SPDX-License-Identifier: MIT */
/* What a reader gets of a message: one JSON object, a document or an envelope. */
#ifndef VOXBUS_BUSES_LONGPOLL_ITEM_H
#define VOXBUS_BUSES_LONGPOLL_ITEM_H

#include <stdint.h>

#include "base/str.h"

struct msg;
struct queue;

enum { ITEM_ID_MAX = 64 };

struct item {
	uint64_t seq;
	struct msg *msg;            /* the caller's reference */
	char id_bytes[ITEM_ID_MAX]; /* of `id` */
	struct str id;              /* a document's "Id", an envelope's "seq" */
};

/*
 * Takes the queue's next message and puts `before` and its object into the bus's scratch: 1 and its
 * seq, or 0. What is too large for any answer is dropped with an error in the log, and counted.
 */
int item_next(struct queue *queue, struct str before, uint64_t *ret_seq);
/* The same, for who needs to know which message it is. */
int item_take(struct queue *queue, struct str before, struct item *ret);

#endif
