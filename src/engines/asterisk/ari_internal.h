/* SPDX-License-Identifier: MIT */
/*
 * The inside of the engine: one Asterisk, its sessions (one websocket an application), its REST.
 *
 *   ari.c         the ops, and the port's state out of its sessions'
 *   ari_session.c one websocket: dialling, faults, frames in
 *   ari_resync.c  what happened in a gap
 *   ari_rest.c    commands out, answers in
 */
#ifndef VOXBUS_ENGINES_ASTERISK_ARI_INTERNAL_H
#define VOXBUS_ENGINES_ASTERISK_ARI_INTERNAL_H

#include "base/secret.h"
#include "core/port.h"
#include "engines/asterisk/ari_conf.h"
#include "engines/asterisk/ari_objects.h"
#include "net/backoff.h"
#include "net/http_client.h"
#include "net/ws.h"

enum {
	ARI_REASON_MAX = 384,
	ARI_BACKLOG_FRAMES = 10000,           /* that wait behind a resync */
	ARI_BACKLOG_BYTES = 16 * 1024 * 1024, /* the same in bytes; over either: no resync */
	ARI_ENTITY_MAX = 64,
};

struct engine {
	struct port *port;
	struct loop *loop;
	const struct log *log;
	const struct ari_conf *conf;
	struct http_client *rest;
	struct secret authorization; /* "Basic ..." */
	struct str path;             /* of the url, without a slash at the end: "/ari" */
	struct list sessions;        /* struct session.link */
	struct list commands;        /* struct command.link */
	struct buf target;           /* request lines are made here */
	bool started, stopped, full;
	struct task writable, closed;
	enum port_state state; /* as last told */
	char reason[ARI_REASON_MAX];
	struct {
		uint64_t reconnects, frames, bad_frames, rest_requests, rest_errors, resyncs;
		uint64_t synthesised, duplicates;
	} stats;
};

/*
 *            dial                 open                synced            drained
 *   WAITING -------> DIALLING ----------> SYNCING ------------> DRAINING ------> UP
 *      ^                |                    |                      |             |
 *      +----------------+--------------------+----------- the link ends ---------+
 *
 *   ApplicationReplaced: REPLACED, then WAITING (reclaim) or STOOD_DOWN.
 */
enum phase { WAITING, DIALLING, SYNCING, DRAINING, UP, REPLACED, STOOD_DOWN };

struct session {
	struct list link; /* engine.sessions */
	struct engine *engine;
	struct str application;
	enum phase phase;
	struct ws *ws;
	struct timer timer; /* the next dial, poll, or what a callback may not do itself */
	struct backoff backoff;
	struct task drain;
	struct resync *resync;
	struct http_call *poll; /* while stood down */
	struct buf backlog;     /* frames that wait, each behind its length */
	size_t backlog_n;
	struct ari_tables tables;
	bool stale, bad_told;
	enum port_state fault; /* PORT_DOWN or PORT_FAILED; PORT_CONNECTING: none so far */
	char reason[ARI_REASON_MAX];
	uint64_t up_ms, reclaimed_ms;
	char entity[ARI_ENTITY_MAX]; /* the last asterisk_id */
	size_t entity_n;
};

/* ---- ari.c */
/* Tells the port the worst of the sessions' states. */
void engine_update(struct engine *engine);
struct session *engine_session(struct engine *engine, struct str application);
/* A call of our own (not a command); target below the root. As http_client_call. */
int engine_get(struct engine *engine, struct str target,
	       void (*done)(void *arg, int rc, const struct http_response *response), void *arg,
	       struct http_call **ret);

/* ---- ari_session.c */
int ari_session_create(struct engine *engine, struct str application, struct session **ret);
struct session *session_destroy(struct session *session);
/* Dials in a later turn. */
void session_start(struct session *session);
void session_stop(struct session *session);
enum port_state session_state(const struct session *session, const char **ret_reason);
/* One frame goes to the core. */
void session_deliver(struct session *session, struct str frame, unsigned flags);
/* The resync is over: 0, or why the link must be made anew. */
void session_synced(struct session *session, int rc);
/* Calls fn with each frame that waits, oldest first. */
void session_each_waiting(struct session *session, void (*fn)(void *arg, struct str frame),
			  void *arg);

/* ---- ari_resync.c */
/* Asks Asterisk what there is; session_synced follows, in a later turn. 0 or -ENOMEM, -EAGAIN. */
int resync_create(struct session *session, struct resync **ret);
struct resync *resync_destroy(struct resync *resync);

/* ---- ari_rest.c */
int command_send(struct engine *engine, struct msg *msg);
void commands_drop(struct engine *engine);

#endif
