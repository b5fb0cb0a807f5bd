/* SPDX-License-Identifier: MIT */
/*
 * One REST request, by HTTP or by a websocket: who asks does not see the difference.
 *
 * By a websocket it is a RESTRequest, one text frame of at most 64 KiB. Asterisk carries them out
 * one after the other in the websocket's thread, so only some are sent ahead and the others wait
 * here. Answers are found by their number, in whatever order they come.
 */
#ifndef VOXBUS_ENGINES_ASTERISK_ARI_CALL_H
#define VOXBUS_ENGINES_ASTERISK_ARI_CALL_H

#include "engines/asterisk/ari_internal.h"

enum {
	ARI_FRAME_MAX = 65535, /* payload of a frame to Asterisk */
	ARI_CALLS_AHEAD = 8,   /* sent and not answered, of one link */
	ARI_CALLS_QUEUED = 1024,
};

struct ari_call;

struct ari_request {
	struct str method;
	struct str target; /* below the root, with its query: "/channels/ID/answer?x=y" */
	struct str content_type, body;
	/*
	 * Exactly once, unless cancelled: rc 0 and the response, or as http_client_call, or
	 * -ENOTCONN: never sent, for the link has gone; -EBUSY: never sent, for others took too long.
	 */
	void (*done)(void *arg, int rc, const struct http_response *response);
	void *arg;
};

/*
 * link NULL: by HTTP. 0, -EAGAIN (queue full), -EINVAL and *ret_why (no such request), -EMSGSIZE
 * (too large for a frame), -ENOTCONN (the link is not open), -ENOMEM.
 */
int ari_call_create(struct ari_engine *engine, struct ari_link *link,
		    const struct ari_request *request, const char **ret_why, struct ari_call **ret);
/* `done` is not called any more. */
void ari_call_cancel(struct ari_call *call);
/* A RESTResponse came by the link: true, or false when it is none that anybody waits for. */
bool ari_call_answer(struct ari_link *link, struct str frame);
/* The link has gone: whatever was asked by it fails. */
void ari_calls_fail(struct ari_link *link);

#endif
