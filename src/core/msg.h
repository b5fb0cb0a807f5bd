/* SPDX-License-Identifier: MIT */
/*
 * A message: one thing that somebody said, immutable, counted, and nobody's property.
 *
 * Its strings lie in one allocation behind it; its payload lies in a blob, so that one event that
 * belongs to several dialogs is several messages over the same bytes. What the members mean:
 *
 *   kind      application  dialog  type         target  id          status  payload
 *   EVENT     yes          yes     event type   -       -           -       engine's bytes, untouched
 *   ANNOUNCE  yes          yes     "AppStart"   -       -           -       -
 *   COMMAND   yes          yes     HTTP method  url     unique_id   -       body
 *   REPLY     yes          yes     -            result  unique_id   HTTP    body of the answer
 *   DOCUMENT  -            CallSid -            -       -           -       a queue's item
 *
 * A document that tells of a call (by webhook, in a queue *.xml) has the call's CallSid as its dialog.
 * A reply's target is the key of its command's recorded result (lane.h), if one is kept.
 */
#ifndef VOXBUS_CORE_MSG_H
#define VOXBUS_CORE_MSG_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum msg_kind { MSG_EVENT = 1, MSG_ANNOUNCE, MSG_COMMAND, MSG_REPLY, MSG_DOCUMENT };

enum {
	MSG_SYNTHETIC = 1,   /* an event that the engine did not send: found missing by a resync */
	MSG_RECOVERED = 2,   /* read back from the journal: it may have been sent before */
	MSG_REDELIVERED = 4, /* a command that the bus brings, as it says, not for the first time */
	MSG_REPLAYED = 8,    /* an event given out again on purpose; `answers` is its old number */
};

struct blob {
	unsigned refs;
	size_t n;
	char bytes[];
};

/* A copy of the bytes with one reference, or NULL. */
struct blob *blob_create(struct str bytes);
struct blob *blob_ref(struct blob *blob);
struct blob *blob_unref(struct blob *blob);
static inline struct str blob_str(const struct blob *blob)
{
	return blob ? str_make(blob->bytes, blob->n) : str_make(NULL, 0);
}

/* Also what msg_create takes: then the strings are borrowed, and refs is ignored. */
struct msg {
	unsigned refs;
	enum msg_kind kind;
	unsigned flags;
	int status;       /* REPLY: as HTTP's */
	uint64_t seq;     /* in its stream, from 1, no gaps */
	uint64_t answers; /* REPLY: seq of the command in its stream; a replayed EVENT: its own */
	uint64_t wall_ns; /* when voxbus got it */
	uint64_t deadline_ms; /* COMMAND: by loop_now; 0 = none */
	uint64_t ttl_ms;      /* EVENT: nobody gets it any more when it is that old; 0 = no end */
	uint64_t expires_ms;  /* the same by loop_now, in the run that made it or read it back */
	struct str topic;     /* "events_<dialog>", "<application>", ... */
	struct str node;      /* the engine's node name */
	struct str application, dialog, type, target, id, content_type;
	struct blob *payload; /* may be NULL */
};

/* Copies the strings, takes a reference of the payload. NULL: no memory. */
struct msg *msg_create(const struct msg *init);
struct msg *msg_ref(struct msg *msg);
/* Always NULL: m = msg_unref(m). Takes NULL. */
struct msg *msg_unref(struct msg *msg);

/* What it takes in memory, its payload included. */
size_t msg_bytes(const struct msg *msg);

/* What the journal keeps of a message, apart from seq and payload, which follow it. 0 or -ENOMEM. */
int msg_encode(const struct msg *msg, struct buf *head);
/* Back from head and payload together: 0 and *ret (with MSG_RECOVERED), -EBADMSG, -ENOMEM. */
int msg_decode(struct str record, uint64_t seq, struct msg **ret);

static inline void msg_cleanup(struct msg **msg)
{
	(void)msg_unref(*msg);
}
#define auto_msg __attribute__((cleanup(msg_cleanup)))

#endif
