/* SPDX-License-Identifier: MIT */
/*
 * A feed: a client that gets messages of a queue as they come, over a connection that stays.
 *
 * What all feeds have in common is here: waiting, what may be under way, what has arrived, heartbeats,
 * the end. How a message looks and how one says goodbye is its carrier's (feed_http.c, feed_ws.c).
 *
 *   feed_start ──► waits ⇄ is served, one message in turn with others ──► feed_end ──► feed_over
 *                    └ its reader is slow: not a waiter until it has drained     └ goodbye is said
 */
#ifndef VOXBUS_BUSES_LONGPOLL_FEED_H
#define VOXBUS_BUSES_LONGPOLL_FEED_H

#include "base/rand.h"
#include "buses/longpoll/loan.h"
#include "buses/longpoll/queue.h"
#include "loop/loop.h"
#include "net/conn.h"

struct feed;
struct http_request;
struct item;
struct poll_params;

#define FEED_ENDLESS UINT64_MAX

enum feed_end {
	FEED_COMPLETE, /* its max or its timeout is reached */
	FEED_SESSION,  /* its session has ended */
	FEED_REPLACED, /* its client is here again, over another connection */
	FEED_STOPPING, /* the port stops */
	FEED_BINARY,   /* its client sent bytes that are no text */
	FEED_MISUSED,  /* its client sent what is not understood */
};

struct feed_ops {
	/* One message, whose object is in the bus's scratch: 0, or why it could not be sent. */
	int (*send)(struct feed *feed, const struct item *item);
	/* Nothing was sent for a while. Optional. */
	void (*beat)(struct feed *feed);
	/* Says goodbye; feed_over follows, later. */
	void (*finish)(struct feed *feed, enum feed_end why);
	/* Ends the connection, which is broken or useless; feed_over follows, later. */
	void (*cut)(struct feed *feed);
	size_t (*pending)(const struct feed *feed); /* bytes that the kernel has not taken */
	bool (*progress)(const struct feed *feed, struct conn_progress *ret);
	/* The last call. */
	void (*free)(struct feed *feed);
};

/* It lies in its carrier. */
struct feed {
	struct waiter waiter;
	struct list link; /* longpoll.feeds */
	struct queue *queue;
	const struct feed_ops *ops;
	struct loans *loans;
	struct timer end, beat, look;
	uint64_t left;               /* messages that it may still get */
	uint64_t linger_ms;          /* of a batch */
	uint64_t look_ms;            /* between looks at what has arrived */
	uint64_t mark, mark_count;   /* when `mark` bytes have arrived so have that many messages */
	uint64_t acked, acked_at_ms; /* the last progress */
	size_t sent, sent_bytes;
	bool batch;   /* ends `linger_ms` after its first message */
	bool waiting; /* it is among the queue's waiters */
	bool marked, ending, quiet;
	char session[RAND_UUID_SIZE]; /* whose end is the feed's; "" for none */
};

/*
 * queue, ops and batch are set, everything else is zero. The queue was opened for it.
 * 0, or -ENOMEM and the queue is to be released.
 */
int feed_init(struct feed *feed, enum loan_terms terms, const struct poll_params *params,
	      const struct http_request *request);
/* Before feed_start: this client was here before. */
void feed_resume(struct feed *feed, struct str last_id);
/* Takes what there is and waits for more. timeout_ms: FEED_ENDLESS = until it is ended otherwise. */
void feed_start(struct feed *feed, uint64_t timeout_ms);
/* Nothing more is sent. */
void feed_end(struct feed *feed, enum feed_end why);
/* Its connection is of no use any more. */
void feed_cut(struct feed *feed);
enum feed_left {
	FEED_BROKEN,  /* what was on its way did not arrive, as far as is known */
	FEED_ARRIVED, /* the client has got everything */
	FEED_DONE,    /* and does not mean to come back for any of it */
};
/* The connection is no more. */
void feed_over(struct feed *feed, enum feed_left left);

/* The port stops. */
void feeds_stop(struct longpoll *bus);
/* At the end of the port, what has not said goodbye yet. */
void feeds_abandon(struct longpoll *bus);

#endif
