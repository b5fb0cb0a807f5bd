/* SPDX-License-Identifier: MIT */
/*
 * The envelopes out: one writer for each kind, all in the member order of go-ari-proxy's structs.
 *
 * The engine's bytes go into a JSON string as they are. Where they are not UTF-8 (a recording
 * fetched by a command) no JSON string can hold them: then, and only then, the body is base64 and
 * the envelope says so at its end. An event's body is always text, by the engine's protocol; should
 * one hold a stray byte it becomes U+FFFD, as Go would have it.
 */
#include "envelope/envelope.h"

#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "codec/base64.h"
#include "codec/json.h"

/* Errors stick, so that an envelope is written as a list of members and looked at once. */
struct writer {
	struct buf *out;
	int rc;
};

static void put(struct writer *w, struct str s)
{
	if (w->rc == 0)
		w->rc = buf_add(w->out, s);
}

static void put_string(struct writer *w, struct str key, struct str value)
{
	put(w, key);
	if (w->rc == 0)
		w->rc = json_add_string_go(w->out, value);
}

static void put_number(struct writer *w, struct str key, uint64_t value)
{
	put(w, key);
	if (w->rc == 0)
		w->rc = buf_addf(w->out, "%" PRIu64, value);
}

static void put_announce(struct writer *w, const struct msg *msg, struct str node)
{
	put_string(w, STR("{\"application\":"), msg->application);
	put_string(w, STR(",\"dialog_id\":"), msg->dialog);
	put_string(w, STR(",\"server_id\":"), node);
	put_number(w, STR(",\"seq\":"), msg->seq);
}

static void put_event(struct writer *w, const struct msg *msg, struct str node)
{
	char timestamp[CLOCK_RFC3339_SIZE];

	clock_rfc3339(timestamp, msg->wall_ns, 0);
	put_string(w, STR("{\"server_id\":"), node);
	put_string(w, STR(",\"timestamp\":"), str_from(timestamp));
	put_string(w, STR(",\"type\":"), msg->type);
	put_string(w, STR(",\"ari_body\":"), blob_str(msg->payload));
	put_string(w, STR(",\"dialog_id\":"), msg->dialog);
	put_string(w, STR(",\"application\":"), msg->application);
	put_number(w, STR(",\"seq\":"), msg->seq);
	if (msg->flags & MSG_SYNTHETIC)
		put(w, STR(",\"resync\":true"));
}

static void put_reply(struct writer *w, const struct msg *msg)
{
	struct str body = blob_str(msg->payload);
	bool text = str_is_utf8(body);

	put_string(w, STR("{\"unique_id\":"), msg->id);
	put_number(w, STR(",\"status_code\":"), (uint64_t)(msg->status > 0 ? msg->status : 0));
	if (text) {
		put_string(w, STR(",\"response_body\":"), body);
	} else {
		put(w, STR(",\"response_body\":\""));
		if (w->rc == 0)
			w->rc = base64_add(w->out, body);
		put(w, STR("\""));
	}
	put_string(w, STR(",\"dialog_id\":"), msg->dialog);
	put_number(w, STR(",\"seq\":"), msg->seq);
	put_number(w, STR(",\"command_seq\":"), msg->answers);
	if (!text)
		put(w, STR(",\"encoding\":\"base64\""));
}

int envelope_add(struct buf *out, const struct msg *msg, struct str node, unsigned redelivered)
{
	struct writer w = { .out = out };
	size_t before = buf_len(out);

	if (msg->node.n)
		node = msg->node;
	switch (msg->kind) {
	case MSG_ANNOUNCE:
		put_announce(&w, msg, node);
		break;
	case MSG_EVENT:
		put_event(&w, msg, node);
		break;
	case MSG_REPLY:
		put_reply(&w, msg);
		break;
	default:
		return -EINVAL;
	}
	if (redelivered)
		put_number(&w, STR(",\"redelivered\":"), redelivered);
	put(&w, STR("}"));
	if (w.rc < 0)
		out->end -= buf_len(out) - before;
	return w.rc;
}
