/* SPDX-License-Identifier: MIT */
/*
 * The inside of the engine: one Asterisk, its applications, the websockets between, its REST.
 *
 *   ari.c         the ops, and the port's state out of its applications'
 *   ari_session.c one application: frames in, resync
 *   ari_client.c  `websocket: client`: we dial, once for each application
 *   ari_server.c  `websocket: server`: Asterisk dials, for as many applications as it likes
 *   ari_link.c    one websocket of either kind, and the REST requests that go by it
 *   ari_resync.c  what happened in a gap
 *   ari_call.c    one REST request, by HTTP or by a link
 *   ari_rest.c    commands out, answers in
 *   ari_release.c channels that nobody serves
 */
#ifndef VOXBUS_ENGINES_ASTERISK_ARI_INTERNAL_H
#define VOXBUS_ENGINES_ASTERISK_ARI_INTERNAL_H

#include "base/secret.h"
#include "core/port.h"
#include "engines/asterisk/ari_conf.h"
#include "engines/asterisk/ari_objects.h"
#include "engines/asterisk/ari_routes.h"
#include "net/backoff.h"
#include "net/http_client.h"
#include "net/ws.h"

enum {
	ARI_REASON_MAX = 384,
	ARI_BACKLOG_FRAMES = 10000,           /* that wait behind a resync */
	ARI_BACKLOG_BYTES = 16 * 1024 * 1024, /* the same in bytes; over either: no resync */
	ARI_ANSWER_MAX = 64 * 1024 * 1024,    /* of a RESTResponse */
	ARI_ENTITY_MAX = 64,
	ARI_RETRY_FIRST_MS = 250,
	ARI_RETRY_MAX_MS = 10000,
	ARI_RETRY_FAILED_MS = 30000, /* a wrong password: Asterisk's admin may count the attempts */
};

/* The last asterisk_id that was seen; n = 0: none so far. */
struct ari_entity {
	size_t n;
	char id[ARI_ENTITY_MAX];
};

struct ari_engine {
	struct port *port;
	struct loop *loop;
	const struct log *log;
	const struct ari_conf *conf;
	struct http_server *http; /* where Asterisk dials; may be NULL */
	struct tls_context *tls;  /* of the url; NULL: plain */
	struct http_client *rest;
	struct secret authorization; /* "Basic ..." */
	struct str path;             /* of the url, without a slash at the end: "/ari" */
	struct list sessions;        /* struct ari_session.link */
	struct list links;           /* struct ari_link.link */
	struct list commands;        /* struct command.link */
	struct list releases;        /* struct release.link */
	size_t n_releases;
	struct buf target;         /* request lines are made here */
	struct ari_made subjects;  /* of the command that was asked about last */
	struct buf answer;         /* the body of a RESTResponse */
	uint64_t last_request;     /* number of the last RESTRequest */
	struct failures *failures; /* wrong passwords of those who dial us */
	uint64_t intruder_told_ms; /* when a second Asterisk was last complained of; 0: never */
	bool started, stopped, full;
	struct task writable, closed;
	enum port_state state; /* as last told */
	char reason[ARI_REASON_MAX];
	struct {
		uint64_t reconnects, frames, bad_frames, rest_requests, rest_errors, resyncs;
		uint64_t synthesised, duplicates, foreign, refused;
	} stats;
};

static inline bool ari_is_server(const struct ari_engine *engine)
{
	return engine->conf->websocket == ARI_WEBSOCKET_SERVER;
}

/*
 * One websocket. Of a client it carries the one application that it was dialled for; of a server
 * each application whose ApplicationRegistered came by it.
 */
struct ari_link {
	struct list link; /* ari_engine.links */
	struct ari_engine *engine;
	struct ari_session *only; /* client: who dialled */
	struct ws *ws;
	bool open, stale, bad_told, foreign_told;
	bool refused; /* it is being closed, and its frames are not wanted */
	struct ari_entity entity;
	struct list queued, sent; /* struct ari_call.place: not yet sent; not yet answered */
	size_t n_queued, n_sent;
	uint64_t answered; /* RESTResponses that came */
	char peer[64];
};

/*
 *            dial                 open                synced            drained
 *   WAITING -------> DIALLING ----------> SYNCING ------------> DRAINING ------> UP
 *      ^                |                    |                      |             |
 *      +----------------+--------------------+----------- the link ends ---------+
 *
 *   ApplicationReplaced: REPLACED, then WAITING (reclaim) or STOOD_DOWN.
 *   A server never is in DIALLING: ApplicationRegistered leads from WAITING to SYNCING, and a
 *   resync that fails back to WAITING with the link kept. What comes while WAITING is delivered:
 *   Asterisk had queued it.
 */
enum phase { WAITING, DIALLING, SYNCING, DRAINING, UP, REPLACED, STOOD_DOWN };

struct ari_session {
	struct list link; /* ari_engine.sessions */
	struct ari_engine *engine;
	struct str application;
	enum phase phase;
	struct ari_link *carrier; /* client: its own websocket; server: which registered it */
	struct timer timer;       /* the next dial, poll, resync, or what a callback may not do */
	struct backoff backoff;
	struct task drain;
	struct ari_resync *resync;
	struct ari_call *poll; /* while stood down */
	struct buf backlog;    /* frames that wait, each behind its length */
	size_t backlog_n;
	struct ari_tables tables;
	enum port_state fault; /* PORT_DOWN or PORT_FAILED; PORT_CONNECTING: none so far */
	char reason[ARI_REASON_MAX];
	uint64_t up_ms, reclaimed_ms;
	struct ari_entity entity;
	bool filter_told; /* that Asterisk takes no event filter */
};

/* ---- ari.c */
/* Tells the port the worst of the sessions' states. */
void ari_engine_update(struct ari_engine *engine);
struct ari_session *ari_engine_session(const struct ari_engine *engine, struct str application);

/* ---- ari_session.c */
int ari_session_create(struct ari_engine *engine, struct str application, struct ari_session **ret);
struct ari_session *ari_session_destroy(struct ari_session *session);
/* A client dials in a later turn. */
void ari_session_start(struct ari_session *session);
void ari_session_stop(struct ari_session *session);
enum port_state ari_session_state(const struct ari_session *session, const char **ret_reason);
/* A sentence that stays until the application is up again. */
void ari_session_fault(struct ari_session *session, enum port_state state, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Events of the application come by that link from now on: compares first. */
void ari_session_begin(struct ari_session *session, struct ari_link *link);
/* An event came by that link, parsed already. */
void ari_session_event(struct ari_session *session, struct ari_link *link, struct str frame,
		       const struct ari_event *event);
/* One frame goes to the core. */
void ari_session_deliver(struct ari_session *session, struct str frame, unsigned flags);
/* No events come any more; those that waited are delivered. The link itself is the caller's. */
void ari_session_detach(struct ari_session *session);
/* The resync is over: 0, or why it could not be made. */
void ari_session_synced(struct ari_session *session, int rc);
/* Calls fn with each frame that waits, oldest first. */
void ari_session_each_waiting(struct ari_session *session, void (*fn)(void *arg, struct str frame),
			      void *arg);
/* Why a link or a request failed, for people. */
const char *ari_reason_text(int reason);

/* ---- ari_client.c: each in its turn of the session's life */
void ari_client_dial(struct ari_session *session);
void ari_client_opened(struct ari_session *session);
void ari_client_ended(struct ari_session *session, int reason, int code, struct str text);
/* The link is good, but its REST is not. */
void ari_client_unsynced(struct ari_session *session, int rc);
/* ApplicationReplaced: called while a frame is handled. */
void ari_client_replaced(struct ari_session *session);
void ari_client_timer(struct ari_session *session);

/* ---- ari_server.c */
/* Mounts /ari/<engine>: 0, or a sentence. */
int ari_server_start(struct ari_engine *engine, struct err *e);
/* "waiting for Asterisk to dial ...", unless a fault says more. */
void ari_server_waits(struct ari_session *session);
void ari_server_opened(struct ari_link *link);
void ari_server_event(struct ari_link *link, struct str frame, const struct ari_event *event);
void ari_server_ended(struct ari_link *link, int reason);
void ari_server_unsynced(struct ari_session *session, int rc);

/* ---- ari_link.c */
extern const struct ws_events ari_link_events; /* their arg is the link */
int ari_link_create(struct ari_engine *engine, struct ari_session *only, struct ari_link **ret);
/* What had been asked by it fails. NULL is fine. */
struct ari_link *ari_link_destroy(struct ari_link *link);
void ari_link_options(const struct ari_engine *engine, struct ws_options *ret);

/* ---- ari_resync.c */
/* Asks Asterisk what there is; ari_session_synced follows, in a later turn. 0 or as ari_call. */
int ari_resync_create(struct ari_session *session, struct ari_resync **ret);
struct ari_resync *ari_resync_destroy(struct ari_resync *resync);

/* ---- ari_rest.c */
int ari_command_send(struct ari_engine *engine, struct msg *msg);
void ari_commands_drop(struct ari_engine *engine);
/* The link that carries the application, else any other one: it has the same rights. NULL: none is open. */
struct ari_link *ari_link_for(const struct ari_engine *engine, struct str application);

/* ---- ari_release.c */
void ari_release(struct ari_engine *engine, struct str application, struct str channel,
		 const char *reason);
void ari_releases_drop(struct ari_engine *engine);

#endif
