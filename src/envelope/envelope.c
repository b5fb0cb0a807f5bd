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
#include "codec/json_out.h"

static void put_announce(struct json_out *w, const struct msg *msg, struct str node)
{
	json_out_string_go(w, STR("{\"application\":"), msg->application);
	json_out_string_go(w, STR(",\"dialog_id\":"), msg->dialog);
	json_out_string_go(w, STR(",\"server_id\":"), node);
	json_out_number(w, STR(",\"seq\":"), msg->seq);
}

static void put_event(struct json_out *w, const struct msg *msg, struct str node)
{
	char timestamp[CLOCK_RFC3339_SIZE];

	clock_rfc3339(timestamp, msg->wall_ns, 0);
	json_out_string_go(w, STR("{\"server_id\":"), node);
	json_out_string_go(w, STR(",\"timestamp\":"), str_from(timestamp));
	json_out_string_go(w, STR(",\"type\":"), msg->type);
	json_out_string_go(w, STR(",\"ari_body\":"), blob_str(msg->payload));
	json_out_string_go(w, STR(",\"dialog_id\":"), msg->dialog);
	json_out_string_go(w, STR(",\"application\":"), msg->application);
	json_out_number(w, STR(",\"seq\":"), msg->seq);
	if (msg->flags & MSG_SYNTHETIC)
		json_out(w, STR(",\"resync\":true"));
	if (msg->flags & MSG_REPLAYED)
		json_out_number(w, STR(",\"replay\":"), msg->answers);
}

static void put_reply(struct json_out *w, const struct msg *msg)
{
	struct str body = blob_str(msg->payload);
	bool text = str_is_utf8(body);

	json_out_string_go(w, STR("{\"unique_id\":"), msg->id);
	json_out_number(w, STR(",\"status_code\":"), (uint64_t)(msg->status > 0 ? msg->status : 0));
	if (text) {
		json_out_string_go(w, STR(",\"response_body\":"), body);
	} else {
		json_out(w, STR(",\"response_body\":\""));
		if (w->rc == 0)
			w->rc = base64_add(w->buf, body);
		json_out(w, STR("\""));
	}
	json_out_string_go(w, STR(",\"dialog_id\":"), msg->dialog);
	json_out_number(w, STR(",\"seq\":"), msg->seq);
	json_out_number(w, STR(",\"command_seq\":"), msg->answers);
	if (!text)
		json_out(w, STR(",\"encoding\":\"base64\""));
}

int envelope_add(struct buf *out, const struct msg *msg, struct str node, unsigned redelivered)
{
	struct json_out w = { .buf = out };
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
		json_out_number(&w, STR(",\"redelivered\":"), redelivered);
	json_out(&w, STR("}"));
	if (w.rc < 0)
		out->end -= buf_len(out) - before;
	return w.rc;
}
