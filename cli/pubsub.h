/* SPDX-License-Identifier: MIT */
/*
 * The public HTTP API as `voxbus publish` and `voxbus poll` use it: where it is, whose account, and
 * one request at a time on a connection that is kept.
 *
 * Address: --url, else what the admin API says. Account: VOXBUS_SID and VOXBUS_TOKEN, else the file
 * that the daemon made in its data directory.
 */
#ifndef VOXBUS_CLI_PUBSUB_H
#define VOXBUS_CLI_PUBSUB_H

#include "cli.h"
#include "codec/http.h" /* struct http_header */

struct pubsub;

/* 0 and *ret, or a negative errno with a sentence: no daemon, no account. */
int pubsub_open(struct cli *cli, struct pubsub **ret, struct err *e);
/* NULL is fine. */
struct pubsub *pubsub_close(struct pubsub *pubsub);
/* Appends "/<sid>/<queue>", percent-encoded: 0, or as buf_add. */
int pubsub_add_path(const struct pubsub *pubsub, struct buf *out, const char *queue);

struct pubsub_request {
	const char *method;
	struct str target;
	const struct http_header *headers; /* Authorization is ours */
	size_t n_headers;
	struct str body;
	uint64_t timeout_ms;
	bool finish; /* a signal does not cut it short */
};

/*
 * Runs until the answer is there, whatever its status: 0 and *ret (its body initialised by the caller),
 * -EINTR after SIGINT or SIGTERM, or another negative errno with a sentence.
 */
int pubsub_call(struct pubsub *pubsub, const struct pubsub_request *request, struct fetched *ret,
		struct err *e);
/* Waits: 0, or -EINTR. */
int pubsub_pause(struct pubsub *pubsub, uint64_t ms);
/* SIGINT or SIGTERM has come. */
bool pubsub_interrupted(const struct pubsub *pubsub);
/* A sentence for an answer that is no success; -EACCES, -ENOENT, -EAGAIN (429, 503) or -EBADMSG. */
int pubsub_explain(const struct pubsub *pubsub, const char *queue, const struct fetched *answer,
		   struct err *e);

/* Appends a path's text, percent-encoded but for its slashes, without those at its ends. */
int path_add_encoded(struct buf *out, const char *path);
/* The detail of a problem document, "" if it is none; cJSON is not kept. */
void problem_detail(const struct fetched *answer, char *out, size_t size);

#endif
