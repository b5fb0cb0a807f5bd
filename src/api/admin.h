/* SPDX-License-Identifier: MIT */
/*
 * What the people who run the daemon see: health, metrics, status, calls, tail, doctor.
 *
 *   GET /healthz        open    200 "ok\n" while the loop lives
 *   GET /readyz         open    200 or 503 with the reasons
 *   GET /metrics        guard   Prometheus text format 0.0.4
 *   GET /api/status     guard   JSON object
 *   GET /api/calls      guard   JSON list, ?limit=N (1000, at most 5000)
 *   GET /api/queues     guard   JSON list, ?name=GLOB, ?limit=N (1000, at most 5000)
 *   GET /api/queues/Q   guard   JSON object; DELETE empties the queue
 *   GET /api/tail       guard   NDJSON stream, ?topic=GLOB
 *   GET /api/doctor     guard   JSON list of findings
 *
 * The guard: on a Unix socket the file's mode decides; on TCP a bearer token is needed, Host must
 * be a loopback name or the listen address, and an Origin other than the own one is refused.
 * Shapes: docs/manual/admin-api.md.
 */
#ifndef VOXBUS_API_ADMIN_H
#define VOXBUS_API_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/str.h"
#include "loop/loop.h"

struct accounts;
struct admin;
struct http_conf;
struct http_request;
struct http_server;
struct hub;
struct journal;
struct streams;
struct tls_context;

/* Everything is borrowed and outlives the admin, but for the token, which is copied. */
struct admin_env {
	struct loop *loop;
	const struct log *log;
	struct hub *hub;
	struct streams *streams;
	struct accounts *accounts;         /* may be NULL */
	struct journal *journal;           /* may be NULL */
	uint64_t journal_quota;            /* bytes; 0 = the journal's default */
	struct http_server *http;          /* the public server, for its numbers; may be NULL */
	const struct http_conf *http_conf; /* and where it listens; with http */
	struct tls_context *tls;           /* its certificate; may be NULL */
	const char *version, *node;
	bool ari_proxy;       /* config is go-ari-proxy's config.json */
	const char *config;   /* path of the configuration, NULL = embedded defaults */
	const char *data_dir; /* may be NULL */
	uint64_t started_wall_ns;
	bool tcp;          /* the admin listener is a TCP one: the guard is on */
	struct str listen; /* its address, "127.0.0.1:8091" */
	struct str token;  /* tcp: must not be empty */
};

/* 0, -EINVAL (tcp without a token), -ENOMEM. */
int admin_create(const struct admin_env *env, struct admin **ret);
/* Mounts all paths on the admin listener's server; once. 0, -EEXIST, -ENOMEM. */
int admin_mount(struct admin *admin, struct http_server *server);
/* Ends the tails that run, so that http_server_stop need not wait for them. New ones get 503. */
void admin_stop(struct admin *admin);
/* After the server that it is mounted on. NULL is fine. */
struct admin *admin_destroy(struct admin *admin);

/*
 * For further mounts on the admin listener (the console): true = go on; false = the request was
 * answered with 401 or 403.
 */
bool admin_guard(struct admin *admin, struct http_request *request);
/* Whether every port is up and the journal works. */
bool admin_ready(struct admin *admin);

#endif
