/* SPDX-License-Identifier: MIT */
/*
 * From a message to the JSON object that a reader gets: a document as it was stored, an envelope of a
 * call's topic, and in both how often it was handed out before.
 */
#include "buses/longpoll/item.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "buses/longpoll/longpoll_internal.h"
#include "envelope/envelope.h"

static int envelope(struct longpoll *bus, const struct msg *msg, unsigned returns)
{
	return envelope_add(&bus->scratch, msg, str_from(bus->env.node), returns);
}

/* The command was done, and who sent it waits: that much must be said. */
static int instead_of_reply(struct longpoll *bus, const struct msg *msg, unsigned returns)
{
	struct msg said = *msg;

	said.status = 502;
	said.content_type = STR("application/json");
	said.payload = blob_create(STR("{\"message\":\"the engine's answer is too large for a "
				       "message of this bus\"}"));
	if (!said.payload)
		return -ENOMEM;
	int rc = envelope(bus, &said, returns);
	(void)blob_unref(said.payload);
	return rc;
}

static int object_add(struct longpoll *bus, const struct msg *msg, unsigned returns)
{
	struct str body = blob_str(msg->payload);
	int rc;

	if (msg->kind != MSG_DOCUMENT) {
		rc = envelope(bus, msg, returns);
		return rc == -ENOBUFS && msg->kind == MSG_REPLY
			       ? instead_of_reply(bus, msg, returns)
			       : rc;
	}
	if (!returns || !str_ends(body, STR("}")))
		return buf_add(&bus->scratch, body);
	rc = buf_add(&bus->scratch, str_make(body.p, body.n - 1));
	return rc < 0 ? rc : buf_addf(&bus->scratch, ",\"Redelivered\":%u}", returns);
}

/* The message in bus->scratch: 0, or why not. */
static int item_add(struct queue *queue, struct str before, const struct msg *msg)
{
	struct longpoll *bus = queue_bus(queue);
	unsigned returns = queue_returns(queue, msg->seq);

	buf_clear(&bus->scratch);
	int rc = buf_add(&bus->scratch, before);
	if (rc == 0)
		rc = object_add(bus, msg, returns);
	if (rc == 0 && returns)
		bus->redelivered++;
	return rc;
}

/* It would block the queue for ever. */
static void drop_oversized(struct queue *queue, const struct msg *msg)
{
	struct longpoll *bus = queue_bus(queue);

	bus->oversized++;
	log_error(bus->env.log, "message too large for an answer, dropped",
		  "topic=%.*s seq=%" PRIu64 " bytes=%zu", STR_ARG(msg->topic), msg->seq,
		  blob_str(msg->payload).n);
	queue_settle(queue, msg->seq, true);
}

/* How a client names it: by what it finds in the object. */
static void item_name(struct item *item)
{
	struct str id = item->msg->id;

	if (item->msg->kind == MSG_DOCUMENT && id.n && id.n <= ITEM_ID_MAX) {
		memcpy(item->id_bytes, id.p, id.n);
		item->id = str_make(item->id_bytes, id.n);
	} else {
		(void)snprintf(item->id_bytes, sizeof(item->id_bytes), "%" PRIu64, item->seq);
		item->id = str_from(item->id_bytes);
	}
}

int item_take(struct queue *queue, struct str before, struct item *ret)
{
	struct msg *taken;

	while (queue_take(queue, &taken) > 0) {
		auto_msg struct msg *msg = taken;
		int rc = item_add(queue, before, msg);

		if (rc == 0) {
			ret->seq = msg->seq;
			ret->msg = msg_ref(msg);
			item_name(ret);
			return 1;
		}
		if (rc == -ENOMEM) {
			queue_settle(queue, msg->seq, false);
			return 0;
		}
		drop_oversized(queue, msg);
	}
	return 0;
}

int item_next(struct queue *queue, struct str before, uint64_t *ret_seq)
{
	struct item item;

	if (!item_take(queue, before, &item))
		return 0;
	*ret_seq = item.seq;
	(void)msg_unref(item.msg);
	return 1;
}
