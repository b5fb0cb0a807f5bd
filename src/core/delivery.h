/* SPDX-License-Identifier: MIT */
/* What a port tells the hub by port_deliver: an event, a command, or the reply to one. */
#ifndef VOXBUS_CORE_DELIVERY_H
#define VOXBUS_CORE_DELIVERY_H

#include "core/msg.h"
#include "core/object.h"

/* Everything is borrowed for the call. */
struct delivery {
	enum msg_kind kind; /* engines: EVENT, REPLY; buses: COMMAND */
	unsigned flags;     /* EVENT: MSG_SYNTHETIC; COMMAND: MSG_REDELIVERED */
	uint64_t tag;       /* COMMAND: not 0: `settle` says what became of it */

	struct str application; /* EVENT */
	struct str node;        /* EVENT: the engine's own name for itself, else empty */
	struct str label;  /* EVENT that opens: the call in a few words, for people; optional */
	struct str topic;  /* COMMAND: the topic it came in by: "commands_<dialog>" */
	struct str type;   /* EVENT: type; COMMAND: HTTP method */
	struct str target; /* COMMAND: url below the engine's root, e.g. "/channels/ID/answer" */
	struct str id;     /* COMMAND: unique_id, may be empty */
	struct str content_type;
	int status;                /* REPLY: HTTP status */
	const struct msg *answers; /* REPLY: the command, as `send` got it */
	/* EVENT: all that it names; REPLY: what it made, or, with OBJECT_ENDS, what port_bind said
	 * and the command then failed to make. */
	const struct object_ref *objects;
	size_t n_objects;
	struct str payload;
};

#endif
