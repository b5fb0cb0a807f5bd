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

struct ari_engine {
	struct port *port;
	struct loop *loop;
	const struct log *log;
	const struct ari_conf *conf;
	struct http_client *rest;
	struct secret authorization; /* "Basic ..." */
	struct str path;             /* of the url, without a slash at the end: "/ari" */
	struct list sessions;        /* struct ari_session.link */
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

struct ari_session {
	struct list link; /* ari_engine.sessions */
	struct ari_engine *engine;
	struct str application;
	enum phase phase;
	struct ws *ws;
	struct timer timer; /* the next dial, poll, or what a callback may not do itself */
	struct backoff backoff;
	struct task drain;
	struct ari_resync *resync;
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
void ari_engine_update(struct ari_engine *engine);
struct ari_session *ari_engine_session(struct ari_engine *engine, struct str application);
/* A call of our own (not a command); target below the root. As http_client_call. */
int ari_engine_get(struct ari_engine *engine, struct str target,
		   void (*done)(void *arg, int rc, const struct http_response *response), void *arg,
		   struct http_call **ret);

/* ---- ari_session.c */
int ari_session_create(struct ari_engine *engine, struct str application, struct ari_session **ret);
struct ari_session *ari_session_destroy(struct ari_session *session);
/* Dials in a later turn. */
void ari_session_start(struct ari_session *session);
void ari_session_stop(struct ari_session *session);
enum port_state ari_session_state(const struct ari_session *session, const char **ret_reason);
/* One frame goes to the core. */
void ari_session_deliver(struct ari_session *session, struct str frame, unsigned flags);
/* The resync is over: 0, or why the link must be made anew. */
void ari_session_synced(struct ari_session *session, int rc);
/* Calls fn with each frame that waits, oldest first. */
void ari_session_each_waiting(struct ari_session *session, void (*fn)(void *arg, struct str frame),
			      void *arg);

/* ---- ari_resync.c */
/* Asks Asterisk what there is; ari_session_synced follows, in a later turn. 0 or -ENOMEM, -EAGAIN. */
int ari_resync_create(struct ari_session *session, struct ari_resync **ret);
struct ari_resync *ari_resync_destroy(struct ari_resync *resync);

/* ---- ari_rest.c */
int ari_command_send(struct ari_engine *engine, struct msg *msg);
void ari_commands_drop(struct ari_engine *engine);

#endif
