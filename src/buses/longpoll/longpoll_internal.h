/* SPDX-License-Identifier: MIT */
/*
 * What the files of this folder share: the port, its queues, and what is under way on them.
 *
 *   request -> longpoll.c (which path) -> access.c (who may)
 *                |- auth.c                      sessions
 *                |- poll.c -> queue.c           those who wait
 *                |     `----> item.c, parcel.c  what they get, and what becomes of it
 *                |- feed.c -> loan.c            those who stay, or say themselves what they have
 *                |- ack.c                       and how they say it
 *                |- post.c -> publish.c         what is posted to ordinary queues
 *                |     `----> call.c            calls that are held until they are answered
 *                `- dialog_topic.c              commands of calls
 *
 * Whatever outlives a call is on a list of the port, so that the end of the port finds it.
 */
#ifndef VOXBUS_LONGPOLL_INTERNAL_H
#define VOXBUS_LONGPOLL_INTERNAL_H

#include "base/map.h"
#include "base/rand.h"
#include "buses/longpoll/longpoll_conf.h"
#include "buses/longpoll/queue.h"
#include "core/account.h"
#include "core/cursor.h"
#include "core/hub.h"
#include "core/meter.h"
#include "engines/webhook/webhook.h"
#include "net/failures.h"
#include "net/http_server.h"

enum {
	PATH_MAX_BYTES = 8192,    /* = the server's limit of a target */
	CALL_NAME_MAX = 2048,     /* of <path>/<CallSid>: more than there can be */
	PLACE_KEY_MAX = 1024,     /* bytes of a queue's name */
	ANSWER_MAX = 1024 * 1024, /* an answer of this many bytes gets no further message */
	OBJECT_MAX = 3584 * 1024, /* of one message as JSON: what the server keeps, less framing */
};

struct longpoll {
	struct port *port;
	struct port_env env;
	const struct longpoll_conf *conf;
	struct account *account;
	struct failures *failures;
	struct list applications; /* struct application.link: those that this bus serves */
	struct map queues;        /* struct queue.node: those with waiters or messages taken */
	struct list serving;      /* struct queue.serving: those that have messages for waiters */
	struct task serve;        /* queues_serve */
	unsigned served_at_once;  /* without that task, since it ran last */
	struct list paces;        /* struct pace.link: queues that are outrun */
	size_t n_paces;
	struct streams_watch unread; /* queues_unread */
	struct list parcels;         /* struct parcel.link: on their way to clients */
	struct list feeds;           /* struct feed.link */
	struct list loans;     /* struct loans.link: of each client that has been lent something */
	struct map lent;       /* struct loan.node: by queue and id */
	struct list acks;      /* struct ack.link: not yet durable */
	struct list burials;   /* struct burial.link: not yet durable */
	struct list publishes; /* struct publish.link: not yet durable */
	struct dedup *dedup;
	struct list auths;    /* struct auth.link: not yet durable */
	struct list commands; /* struct command.link: not yet settled */
	struct buf scratch;   /* one message as JSON */
	struct task closed;
	size_t copies; /* of messages, on their way to the disk in another queue; a stop waits for them */
	uint64_t last_created_ns;
	bool paused, stopped;
	bool take_dead;             /* a poll with include=dead is taking messages */
	struct buf path;            /* "/<sid>/" */
	struct stream_meter stored; /* of all of the account's streams */
	uint64_t rate_tokens, rate_filled_ms, refusal_logged_ms;
	bool rate_filled, refusal_logged; /* these times mean something */
	uint64_t waiters, polls, published, delivered, redelivered, auth_failures, oversized, dead;
	uint64_t signature_failures, limited, over_quota, repetitions;
	struct webhook *webhook; /* the calls that are held */
	size_t event_bytes;      /* what all queues of calls have read ahead, parked or not */
	uint64_t calls_answered, calls_redirected, calls_missed;
};

/* --- answer.c: all answers carry the headers that browsers ask for --- */

enum { ANSWER_CORS = 2 };
extern const struct http_header answer_cors[ANSWER_CORS];
/* As http_reply, http_problem and http_stream_begin. */
void answer_reply(struct http_request *request, const struct http_reply *reply);
void answer_empty(struct http_request *request, int status, const struct http_header *headers,
		  size_t n);
int answer_stream(struct http_request *request, const struct http_reply *reply);
void answer_problem(struct http_request *request, int status, const struct http_header *headers,
		    size_t n, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* The same with a detail of any length. */
void answer_detail(struct http_request *request, int status, const struct http_header *headers,
		   size_t n, struct str detail);
/* The same with Retry-After. */
void answer_retry(struct http_request *request, int status, unsigned seconds, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void answer_method(struct http_request *request, struct str allow);
/* OPTIONS, whatever the path. */
void answer_preflight(struct http_request *request);
/* What a message that was not accepted gets; rc as of stream_append and port_deliver. */
void answer_refused(struct http_request *request, int rc);

/* --- access.c --- */

/* The session token that the request shows, in its header or query; p = NULL: none. */
struct str access_session(const struct http_request *request, char *out, size_t size);
/*
 * Whose name and password an Authorization header of the Basic scheme gives, or NULL; what is
 * wrong was answered then, with the challenge for `realm`.
 */
struct account *access_basic(struct longpoll *bus, struct http_request *request);
/* Whether it shows credentials at all, good or bad. */
bool access_is_shown(const struct http_request *request);
/* Whether the request may use this bus's account: true, or false and it was answered. */
bool access_granted(struct longpoll *bus, struct http_request *request);

/* --- auth.c --- */

void auth_handle(void *arg, struct http_request *request);
/* Those that wait for the disk are answered with 503. */
void auths_abandon(struct longpoll *bus);

/* --- place.c: what a path names --- */

enum topic { TOPIC_QUEUE, TOPIC_APPLICATION, TOPIC_EVENTS, TOPIC_COMMANDS, TOPIC_RESPONSES };

struct place {
	struct str sid, key; /* in `bytes`; key is empty for a path without a queue */
	char bytes[PATH_MAX_BYTES];
};

/* A queue of calls' events: its last segment ends in .xml. */
bool place_is_of_calls(struct str key);
/* Where instructions for a call are posted: <path>.xml/<CallSid>. */
bool place_is_of_call(struct str key, struct str *ret_sid);
/* The list of calls that were missed: <path>.xml/missed. */
bool place_is_missed(struct str key, struct str *ret_path);
/* <path>/<segment>, and <path>/missed, in `out`; p = NULL: it is too long. */
struct str place_join(struct str path, struct str segment, char out[CALL_NAME_MAX]);
struct str place_missed(struct str path, char out[CALL_NAME_MAX]);
/* 0, or -EBADMSG and a sentence. */
int place_parse(struct str path, struct place *ret, struct err *e);

struct application {
	struct list link; /* longpoll.applications */
	bool record;
	size_t n;
	char name[];
};

const struct application *application_find(const struct longpoll *bus, struct str name);
enum topic topic_of(const struct longpoll *bus, struct str key);
/* The stream of a queue with a reference; make: also when there is none yet. */
struct stream *place_stream(struct longpoll *bus, struct str key, bool make);

/* --- queue_view.c: for the people who run the daemon --- */

struct port_queues;
extern const struct port_queues longpoll_queues;

/* --- post.c --- */

void post_handle(struct longpoll *bus, struct http_request *request, struct str key);

/* --- permit.c --- */

struct document;
/* Whether whoever posted this may publish (the bus's `publish`); false: it was answered. */
bool publish_permitted(struct longpoll *bus, struct http_request *request,
		       const struct document *document);

/* --- limits.c: both false when it was answered --- */

/* One message more within the rate. */
bool limits_take_token(struct longpoll *bus, struct http_request *request);
/* As many bytes more within the quota. */
bool limits_have_room(struct longpoll *bus, struct http_request *request, size_t bytes);

/* --- publish.c: see publish.h --- */

/* At the end of the port: those that wait for the disk are told so. */
void publishes_abandon(struct longpoll *bus);

/* --- dialog_topic.c --- */

void command_handle(struct longpoll *bus, struct http_request *request, struct str key);
void command_settle(struct longpoll *bus, uint64_t tag, int result);
void commands_abandon(struct longpoll *bus);

#endif
