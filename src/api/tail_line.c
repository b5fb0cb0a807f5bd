/* SPDX-License-Identifier: MIT */
/*
 * A message as one JSON object on a line of its own.
 *
 * Members that a kind of message does not have are left out. An engine's event goes in as the
 * object that it is, without the whitespace between its tokens (a line feed would end the line);
 * a payload that is not JSON goes in as a string.
 */
#include "api/tail_line.h"

#include "api/jout.h"
#include "base/clock.h"

static const char *kind_text(enum msg_kind kind)
{
	switch (kind) {
	case MSG_EVENT:
		return "event";
	case MSG_ANNOUNCE:
		return "announce";
	case MSG_COMMAND:
		return "command";
	case MSG_REPLY:
		return "reply";
	case MSG_DOCUMENT:
		return "document";
	}
	return "unknown";
}

static void optional(struct jout *j, const char *key, struct str value)
{
	if (value.n)
		jout_str(j, key, value);
}

int tail_line(const struct msg *msg, struct buf *out)
{
	char ts[CLOCK_RFC3339_SIZE];
	struct str payload = blob_str(msg->payload);
	struct jout j;

	clock_rfc3339(ts, msg->wall_ns, 3);
	jout_init(&j, out);
	jout_open(&j, NULL, '{');
	jout_str(&j, "ts", str_from(ts));
	jout_str(&j, "kind", str_from(kind_text(msg->kind)));
	jout_str(&j, "topic", msg->topic);
	optional(&j, "application", msg->application);
	optional(&j, "dialog", msg->dialog);
	jout_u64(&j, "seq", msg->seq);
	optional(&j, "node", msg->node);
	optional(&j, msg->kind == MSG_COMMAND ? "method" : "type", msg->type);
	if (msg->kind != MSG_REPLY)
		optional(&j, "target", msg->target);
	optional(&j, "id", msg->id);
	if (msg->kind == MSG_REPLY) {
		jout_u64(&j, "status", msg->status > 0 ? (uint64_t)msg->status : 0);
		jout_u64(&j, "answers", msg->answers);
	}
	if (msg->flags & MSG_SYNTHETIC)
		jout_bool(&j, "synthetic", true);
	jout_u64(&j, "size", payload.n);
	if (payload.n > TAIL_PAYLOAD_MAX)
		jout_bool(&j, "truncated", true);
	else if (payload.n)
		jout_json(&j, "payload", payload);
	jout_close(&j, '}');
	return j.rc < 0 ? j.rc : buf_addc(out, '\n');
}
