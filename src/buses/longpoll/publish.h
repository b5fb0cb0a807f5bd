/* SPDX-License-Identifier: MIT */
/*
 * Writing to a queue, in two steps that whoever answers the publisher puts together:
 *
 *   struct document document;
 *   if (publish_read(bus, request, &document))     what was posted, and whether it may be
 *           publish_append(&mine->publish, bus, request, key, &document, on_done)
 *   document_fini(&document);
 *
 * Both answer the request themselves when they refuse it.
 */
#ifndef VOXBUS_LONGPOLL_PUBLISH_H
#define VOXBUS_LONGPOLL_PUBLISH_H

#include <stdint.h>

#include "base/list.h"
#include "buses/longpoll/document.h"
#include "loop/loop.h"

struct dedup_entry;
struct http_request;
struct longpoll;
struct publish;

/*
 * Called once in a later turn: 0 = the message is as durable as was asked for, or a negative errno
 * (answer_refused knows them; -ECANCELED: the port ends, and whether it was stored is unknown).
 * The struct is the caller's again.
 */
typedef void (*publish_done_fn)(struct publish *publish, int rc);

enum { PUBLISH_ID_SIZE = 33 };

/* A message on its way to the disk: it lies in its owner and stays in place until done. */
struct publish {
	struct list link; /* longpoll.publishes, or publish.repetitions of the first */
	struct longpoll *bus;
	publish_done_fn done;
	struct task task;          /* of a repetition of what is durable: done */
	struct dedup_entry *entry; /* until it is durable; NULL: it is not remembered */
	struct list repetitions;   /* struct publish.link: what came again meanwhile */
	bool repeated;             /* it was published before: nothing was stored now */
	uint64_t seq;              /* of the message in its queue, unless it is a repetition */
	char id[PUBLISH_ID_SIZE];  /* of the message, for X-Message-Id; of the first one's */
};

/*
 * Reads what was posted (or, of a GET, what its query says): true and *ret, to be given to
 * document_fini; it borrows from the request. False: it was refused, and answered.
 */
bool publish_read(struct longpoll *bus, struct http_request *request, struct document *ret);
/*
 * Appends it to the queue of that key, if it is no repetition (dedup.h) of a message that is there: true, done comes. False: it was refused, and answered.
 * The request is looked at in this call only, and may go at any time; the message is kept then
 * (it may have been sent twice: the client knows as little as we do).
 */
bool publish_append(struct publish *publish, struct longpoll *bus, struct http_request *request,
		    struct str key, const struct document *document, publish_done_fn done);
/* The time of a message that is made now: strictly increasing, even where the clock is not. */
uint64_t publish_created(struct longpoll *bus);

#endif
