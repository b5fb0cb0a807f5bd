/* SPDX-License-Identifier: MIT */
/*
 * Messages on their way to one client, as the answer of one request.
 *
 *   parcel_create -> item_next, parcel_add -> parcel_send -> client has it  -> settled
 *                              |                          `-> client is gone -> given back
 *                              `-> parcel_return: nothing went out
 */
#ifndef VOXBUS_BUSES_LONGPOLL_PARCEL_H
#define VOXBUS_BUSES_LONGPOLL_PARCEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct http_request;
struct longpoll;
struct queue;

struct parcel {
	struct list link; /* longpoll.parcels */
	struct queue *queue;
	struct http_request *request;
	size_t n;
	uint64_t seqs[];
};

/* Room for max messages; NULL: no memory. */
struct parcel *parcel_create(struct queue *queue, size_t max);
void parcel_add(struct parcel *parcel, uint64_t seq);
/* Before the answer begins: what becomes of the request decides, and frees the parcel. */
void parcel_send(struct parcel *parcel, struct http_request *request);
/* Gives its messages back, lets go of the request and frees it. */
void parcel_return(struct parcel *parcel);
/* At the end of the port: lets go of those that are on their way. */
void parcels_abandon(struct longpoll *bus);

#endif
