/* SPDX-License-Identifier: MIT */
/*
 * Requests of calls: a phone network that posts a call's event and waits to be told what to do.
 *
 *   POST <path>.xml            CallSid=X ..   the event is published on <path>.xml, then held
 *   POST <path>.xml/X          CallSid=X ..   the call comes again: held, nothing is published
 *   POST <path>.xml/X          anything else  what X shall do: publish, the held request gets it
 *
 * A webhook may also be a GET with its parameters in the query, without session or Authorization.
 */
#ifndef VOXBUS_LONGPOLL_CALL_H
#define VOXBUS_LONGPOLL_CALL_H

#include <stdbool.h>

#include "base/str.h"

struct call;
struct document;
struct http_request;
struct longpoll;
struct msg;
struct place;

/*
 * Whether the request, in which the document was posted to the queue of that key, is one of a call.
 * Then it is dealt with: held, or refused.
 */
bool call_handle(struct longpoll *bus, struct http_request *request, struct str key,
		 const struct document *document);
/* Whether a GET is a call's request and no subscription. */
bool call_is_webhook(const struct http_request *request, struct str key);
/*
 * /call.xml/<CallSid>/, a path that begins with no account: its first segment is place->sid. True: it
 * was a call that comes again, with its account among its parameters, and is dealt with.
 */
bool call_resume(struct longpoll *bus, struct http_request *request, const struct place *place);

/* --- call_left.c --- */

/* Puts a message into the queue of the call's events: its caller has left. */
void call_tell_left(struct longpoll *bus, const struct call *call);

/* --- call_answer.c --- */

struct call_reply {
	struct str type, body; /* the body lies in the bus's scratch, or in the message */
	char type_bytes[256];
};

/* What was posted for a call, byte for byte: 0, or -ENOMEM. */
int call_reply_of(struct longpoll *bus, const struct msg *msg, struct call_reply *ret);

#endif
