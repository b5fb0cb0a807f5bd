/* SPDX-License-Identifier: MIT */
/*
 * Messages on their way: settled when the client's TCP has acknowledged the whole answer, given
 * back when the client goes before it has.
 */
#include "buses/longpoll/parcel.h"

#include <stdlib.h>

#include "buses/longpoll/longpoll_internal.h"

struct parcel *parcel_create(struct queue *queue, size_t max)
{
	struct parcel *parcel = calloc(1, sizeof(*parcel) + max * sizeof(parcel->seqs[0]));

	if (!parcel)
		return NULL;
	parcel->queue = queue;
	list_add_tail(&queue_bus(queue)->parcels, &parcel->link);
	return parcel;
}

void parcel_add(struct parcel *parcel, uint64_t seq)
{
	parcel->seqs[parcel->n++] = seq;
}

static void parcel_free(struct parcel *parcel)
{
	list_del(&parcel->link);
	free(parcel);
}

static void parcel_finish(struct parcel *parcel, bool taken)
{
	struct queue *queue = parcel->queue;

	for (size_t i = 0; i < parcel->n; i++)
		queue_settle(queue, parcel->seqs[i], taken);
	if (taken)
		queue_bus(queue)->delivered += parcel->n;
	parcel_free(parcel);
}

static void parcel_arrived(void *arg)
{
	struct parcel *parcel = arg;
	struct queue *queue = parcel->queue;

	parcel_finish(parcel, true);
	queue_release(queue);
}

static void parcel_gone(void *arg)
{
	struct parcel *parcel = arg;
	struct queue *queue = parcel->queue;

	parcel_finish(parcel, false);
	queue_release(queue);
}

void parcel_send(struct parcel *parcel, struct http_request *request)
{
	parcel->request = request;
	http_request_on_gone(request, parcel_gone, parcel);
	http_request_on_acked(request, parcel_arrived, parcel);
}

static void parcel_let_go(struct parcel *parcel)
{
	if (!parcel->request)
		return;
	http_request_on_gone(parcel->request, NULL, NULL);
	http_request_on_acked(parcel->request, NULL, NULL);
}

void parcel_return(struct parcel *parcel)
{
	parcel_let_go(parcel);
	parcel_finish(parcel, false);
}

void parcels_abandon(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->parcels) {
		struct parcel *parcel = container_of(it, struct parcel, link);

		parcel_let_go(parcel);
		parcel_free(parcel);
	}
}
