/* SPDX-License-Identifier: MIT */
/*
 * Acknowledging by hand. What a 204 promises: the message does not come again after kill -9; nor
 * after a power cut, unless an older message of the queue was still out (a queue's place on the disk
 * is the oldest message that is not settled; what is settled behind it is known to the machine that
 * runs, not to the disk).
 *
 * A second DELETE of the same id gets 404, as one that comes too late does: the client can't be told
 * apart from one whose message others have got meanwhile.
 */
#include "buses/longpoll/ack.h"

#include <errno.h>
#include <stdlib.h>

#include "buses/longpoll/item.h"
#include "buses/longpoll/loan.h"
#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/poll_params.h"
#include "codec/form.h"

enum { NAMED_MAX = 256 }; /* bytes of ids that an answer names */

struct ack {
	struct list link; /* longpoll.acks */
	struct longpoll *bus;
	struct http_request *request;
	struct stream_sync sync;
	unsigned asked, missed;
	struct buf unknown; /* the ids that were not leased, as far as there is room */
};

static void ack_free(struct ack *ack)
{
	stream_sync_cancel(&ack->sync);
	list_del(&ack->link);
	buf_fini(&ack->unknown);
	free(ack);
}

static void answer(const struct ack *ack, int rc)
{
	if (ack->missed)
		answer_problem(ack->request, 404, NULL, 0,
			       "not leased: %.*s; it was acknowledged before, or its visibility "
			       "is over and it will come again%s",
			       STR_ARG(buf_str(&ack->unknown)),
			       ack->missed < ack->asked ? "; the others are acknowledged" : "");
	else if (rc < 0)
		answer_refused(ack->request, rc);
	else
		answer_empty(ack->request, 204, NULL, 0);
}

static void on_durable(void *arg, int rc)
{
	struct ack *ack = arg;

	http_request_on_gone(ack->request, NULL, NULL);
	answer(ack, rc);
	ack_free(ack);
}

static void on_gone(void *arg)
{
	ack_free(arg);
}

/* It is only named: what is not an id of ours is not shown. */
static void note_unknown(struct ack *ack, struct str id)
{
	bool plain = id.n > 0;

	for (size_t i = 0; i < id.n; i++)
		plain = plain && id.p[i] > 0x20 && id.p[i] < 0x7f;
	if (ack->missed++)
		(void)buf_add(&ack->unknown, STR(", "));
	(void)buf_add(&ack->unknown, plain ? id : STR("(no id)"));
}

/* Each id of the query. */
static void settle_all(struct ack *ack, struct queue *queue, struct str query)
{
	char text[ITEM_ID_MAX + 1];
	struct form_pair pair;

	while (form_next(&query, &pair)) {
		if (!form_name_is(&pair, STR("id")))
			continue;
		/* What is longer than any id is none, and is shown in part. */
		struct str encoded = str_make(
			pair.value.p, pair.value.n < sizeof(text) ? pair.value.n : sizeof(text));
		struct str id = str_make(text, form_decode(text, encoded));

		ack->asked++;
		if (!queue || !loan_settle(queue, id))
			note_unknown(ack, id);
	}
}

static unsigned count_ids(struct str query)
{
	struct form_pair pair;
	unsigned n = 0;

	while (form_next(&query, &pair))
		n += form_name_is(&pair, STR("id"));
	return n;
}

/* Answers now, or when what was settled is on the disk. */
static void wait_for_disk(struct ack *ack, struct str key)
{
	struct stream *stream =
		ack->missed < ack->asked ? place_stream(ack->bus, key, false) : NULL;

	if (!stream) {
		answer(ack, 0);
		ack_free(ack);
		return;
	}
	http_request_on_gone(ack->request, on_gone, ack);
	stream_sync(stream, &ack->sync);
	(void)stream_unref(stream);
}

void ack_handle(struct longpoll *bus, struct http_request *request, struct str key)
{
	struct str query = http_request_info(request)->query;
	unsigned n = count_ids(query);

	if (n < 1 || n > MESSAGES_MAX) {
		answer_problem(request, 400, NULL, 0,
			       "name the messages to be acknowledged: ?id=<Id>, up to %d of them",
			       MESSAGES_MAX);
		return;
	}
	struct ack *ack = calloc(1, sizeof(*ack));
	if (!ack) {
		answer_refused(request, -ENOMEM);
		return;
	}
	ack->bus = bus;
	ack->request = request;
	buf_init(&ack->unknown, NAMED_MAX);
	stream_sync_init(&ack->sync, on_durable, ack);
	list_add_tail(&bus->acks, &ack->link);
	struct queue *queue = queue_find(bus, key);
	settle_all(ack, queue, query);
	wait_for_disk(ack, key);
	if (queue)
		queue_release(queue);
}

void acks_abandon(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->acks) {
		struct ack *ack = container_of(it, struct ack, link);

		http_request_on_gone(ack->request, NULL, NULL);
		answer_retry(ack->request, 503, 5,
			     "voxbus is stopping; the messages may come again");
		ack_free(ack);
	}
}
