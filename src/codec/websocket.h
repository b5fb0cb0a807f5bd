/* SPDX-License-Identifier: MIT */
/*
 * The handshake of RFC 6455: keys, and whether the headers of a request or an answer are in order.
 *
 * The headers are shown one by one to websocket_head_add, by whichever parser has them; then one
 * of the two checks decides. Frames are net/ws_frames.h's.
 */
#ifndef VOXBUS_CODEC_WEBSOCKET_H
#define VOXBUS_CODEC_WEBSOCKET_H

#include <stdbool.h>

#include "base/str.h"

enum {
	WEBSOCKET_NONCE = 16,
	WEBSOCKET_KEY_SIZE = 25,    /* 24 characters and a NUL */
	WEBSOCKET_ACCEPT_SIZE = 29, /* 28 characters and a NUL */
};

/* What the headers say so far; all slices are borrowed from whoever showed them. */
struct websocket_head {
	struct str key, accept, version, protocol;
	bool upgrade;    /* Upgrade: websocket */
	bool connection; /* Connection: Upgrade */
	bool extensions; /* Sec-WebSocket-Extensions is there */
	bool twice;      /* a header that may come once came again */
};

void websocket_head_add(struct websocket_head *head, struct str name, struct str value);
/*
 * A server's look at a request: 0 and the accept value to answer with; -EPROTONOSUPPORT when it
 * is another version than 13 (answer 426 with Sec-WebSocket-Version: 13); -EBADMSG (answer 400).
 */
int websocket_check_request(const struct websocket_head *head, struct str method, int minor,
			    char accept[WEBSOCKET_ACCEPT_SIZE]);
/*
 * A client's look at a 101: 0, or -EBADMSG. protocol: the one that it insists on; empty = none may
 * be chosen. No extension may be, since none is offered.
 */
int websocket_check_answer(const struct websocket_head *head, struct str accept,
			   struct str protocol);
/* A client's key from 16 random bytes. */
void websocket_key(const unsigned char nonce[WEBSOCKET_NONCE], char key[WEBSOCKET_KEY_SIZE]);
/* The answer to a key: base64(SHA-1(key + GUID)). 0, or -ENOMEM when OpenSSL can't. */
int websocket_accept(struct str key, char accept[WEBSOCKET_ACCEPT_SIZE]);
/* A close code that may stand in a frame (RFC 6455 section 7.4 and the registry). */
bool websocket_code_is_valid(int code);

#endif
