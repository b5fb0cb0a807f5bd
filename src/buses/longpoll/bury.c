/* SPDX-License-Identifier: MIT */
/*
 * From a queue to its dead: appended there durably first, settled here then. Who is killed between
 * the two has it in both. A queue of dead messages has no dead of its own, and neither has one whose
 * name would become too long: there a message comes back for ever.
 */
#include "buses/longpoll/bury.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "buses/longpoll/longpoll_internal.h"

struct burial {
	struct list link; /* longpoll.burials */
	struct queue *queue;
	uint64_t seq;
};

void copy_finished(struct longpoll *bus)
{
	if (--bus->copies == 0 && bus->stopped)
		task_defer(&bus->closed);
}

static void burial_free(struct burial *burial)
{
	list_del(&burial->link);
	free(burial);
}

static void on_durable(void *arg, int rc)
{
	struct burial *burial = arg;
	struct queue *queue = burial->queue;
	struct longpoll *bus = queue_bus(queue);

	bus->dead += rc == 0;
	queue_settle(queue, burial->seq, rc == 0);
	burial_free(burial);
	queue_release(queue);
	copy_finished(bus);
}

/* 0, or why it stays. */
static int append(struct longpoll *bus, const struct msg *msg, struct str key,
		  struct burial *burial)
{
	struct stream *stream = place_stream(bus, key, true);
	struct msg copy = *msg;

	if (!stream)
		return -ENOMEM;
	copy.seq = stream_next(stream);
	copy.topic = key;
	auto_msg struct msg *dead = msg_create(&copy);
	int rc = dead ? stream_append(stream, dead, on_durable, burial) : -ENOMEM;
	(void)stream_unref(stream);
	return rc;
}

static int begin(struct queue *queue, const struct msg *msg, struct str key)
{
	struct longpoll *bus = queue_bus(queue);
	struct burial *burial = calloc(1, sizeof(*burial));

	if (!burial)
		return -ENOMEM;
	burial->queue = queue;
	burial->seq = msg->seq;
	list_add_tail(&bus->burials, &burial->link);
	int rc = append(bus, msg, key, burial);
	if (rc < 0)
		burial_free(burial);
	else
		bus->copies++;
	return rc;
}

bool bury(struct queue *queue, const struct msg *msg)
{
	struct longpoll *bus = queue_bus(queue);
	struct str key = queue_key(queue);
	struct buf dead auto_buf;

	buf_init(&dead, PLACE_KEY_MAX);
	if (bus->stopped || queue_returns(queue, msg->seq) + 1 < bus->conf->deliveries_max ||
	    str_ends(key, STR(".dead")) || buf_add(&dead, key) < 0 ||
	    buf_add(&dead, STR(".dead")) < 0)
		return false;
	int rc = begin(queue, msg, buf_str(&dead));
	if (rc < 0)
		log_warn(bus->env.log, "message can't be moved",
			 "from=%.*s to=%.*s seq=%" PRIu64 " reason=%s then=%s", STR_ARG(key),
			 STR_ARG(buf_str(&dead)), msg->seq, strerror(-rc), "it is delivered again");
	else
		log_warn(bus->env.log, "message never acknowledged",
			 "queue=%.*s seq=%" PRIu64 " deliveries=%" PRIu64 " then=%s", STR_ARG(key),
			 msg->seq, bus->conf->deliveries_max, "moved behind .dead");
	return rc == 0;
}

void burials_abandon(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->burials)
		burial_free(container_of(it, struct burial, link));
}
