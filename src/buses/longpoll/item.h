/* SPDX-License-Identifier: MIT */
/* What a reader gets of a message: one JSON object, a document or an envelope. */
#ifndef VOXBUS_BUSES_LONGPOLL_ITEM_H
#define VOXBUS_BUSES_LONGPOLL_ITEM_H

#include <stdint.h>

#include "base/str.h"

struct queue;

/*
 * Takes the queue's next message and puts `before` and its object into the bus's scratch: 1 and its
 * seq, or 0. What is too large for any answer is dropped with an error in the log, and counted.
 */
int item_next(struct queue *queue, struct str before, uint64_t *ret_seq);

#endif
