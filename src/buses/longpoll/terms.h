/* SPDX-License-Identifier: MIT */
/* What a publisher asks for beside the message: how long it is kept, and how safely. */
#ifndef VOXBUS_LONGPOLL_TERMS_H
#define VOXBUS_LONGPOLL_TERMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct http_request;

struct terms {
	uint64_t ttl_ms; /* 0: as long as the journal keeps anything */
	bool relaxed;    /* the answer does not wait for the disk */
};

/*
 * From X-Ttl or ttl=, durability= and the queue's name: 0 and *ret, or -EINVAL and a sentence.
 * relaxed: what holds when the request says nothing.
 */
int terms_read(const struct http_request *request, struct str key, bool relaxed, struct terms *ret,
	       struct err *e);

#endif
