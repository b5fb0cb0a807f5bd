/* SPDX-License-Identifier: MIT */
/* DELETE of leased messages: `DELETE /<queue>?id=<Id>[&id=<Id>...]`. */
#ifndef VOXBUS_BUSES_LONGPOLL_ACK_H
#define VOXBUS_BUSES_LONGPOLL_ACK_H

#include "base/str.h"

struct http_request;
struct longpoll;

/*
 * Settles the messages of those ids, and answers when that is as durable as it can be: 204, or 404
 * which names those that were not leased (the others are settled all the same).
 */
void ack_handle(struct longpoll *bus, struct http_request *request, struct str key);
/* Those that wait for the disk are answered with 503. */
void acks_abandon(struct longpoll *bus);

#endif
