/* SPDX-License-Identifier: MIT */
/*
 * What our messages look like as JSON on a bus: the envelopes of go-ari-proxy, with members added
 * at their ends, so that its clients go on working. All buses write and read them here.
 *
 *   AppStart         {"application":"hello","dialog_id":"..","server_id":"pbx1","seq":1}
 *   Event            {"server_id":"pbx1","timestamp":"2026-11-21T00:25:00.123Z","type":"StasisStart",
 *                     "ari_body":"<the engine's bytes as a string>",
 *                     "dialog_id":"..","application":"hello","seq":1[,"resync":true]
 *                     [,"replay":17]}
 *   CommandResponse  {"unique_id":"..","status_code":200,"response_body":"..",
 *                     "dialog_id":"..","seq":1,"command_seq":1[,"encoding":"base64"]}
 *   Command          {"unique_id":"","url":"/channels/ID/answer","method":"POST","body":"{}"}
 *
 * A replayed event has its number in `replay`, and in `seq` that in the topic of the replay.
 * An event of no dialog (on events_<application>) has "dialog_id":"". Each may end in "redelivered":n. The bytes are those of Go's encoder: compact, with < > & and
 * U+2028, U+2029 escaped. A command's keys are matched without case, as Go's decoder does.
 */
#ifndef VOXBUS_ENVELOPE_ENVELOPE_H
#define VOXBUS_ENVELOPE_ENVELOPE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "core/msg.h"

/*
 * Appends the envelope of an ANNOUNCE, EVENT or REPLY, whole or not at all: 0, -EINVAL (another
 * kind), or as buf_add. node: the server_id of a message whose engine has no name of its own.
 * redelivered: how often it was handed out before.
 */
int envelope_add(struct buf *out, const struct msg *msg, struct str node, unsigned redelivered);

/* A command as a client wrote it; the strings lie in the struct's own memory. */
struct envelope_command {
	bool dummy; /* "DUMMY": a client's touch, that the topic may exist; to be swallowed */
	struct str unique_id, url, method, body;
	struct buf bytes;
};

/*
 * Reads a Command. Its body is a string, or (ours) an object, which is taken as its bytes; unknown
 * keys are ignored, of two equal ones the last counts, null counts as absent. 0, or -EBADMSG with
 * a sentence on what is wrong (nothing to free then), or -ENOMEM.
 */
int envelope_command_parse(struct str text, struct envelope_command *ret, struct err *e);
void envelope_command_fini(struct envelope_command *command);

#endif
