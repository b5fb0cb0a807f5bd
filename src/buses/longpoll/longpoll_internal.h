/* SPDX-License-Identifier: MIT */
/*
 * What the files of this folder share: the port, its queues, and what is under way on them.
 *
 *   request -> longpoll.c (which path) -> access.c (who may)
 *                |- auth.c                      sessions
 *                |- poll.c -> queue.c           waiters and answers
 *                |- publish.c -> document.c     what is posted to ordinary queues
 *                `- dialog_topic.c              commands of calls
 *
 * Whatever outlives a call is on a list of the port, so that the end of the port finds it.
 */
#ifndef VOXBUS_LONGPOLL_INTERNAL_H
#define VOXBUS_LONGPOLL_INTERNAL_H

#include "base/map.h"
#include "base/rand.h"
#include "buses/longpoll/longpoll_conf.h"
#include "core/account.h"
#include "core/cursor.h"
#include "core/hub.h"
#include "net/failures.h"
#include "net/http_server.h"

struct queue;

enum {
	PATH_MAX_BYTES = 8192,    /* = the server's limit of a target */
	MESSAGES_MAX = 100,       /* of one answer */
	ANSWER_MAX = 1024 * 1024, /* an answer of this many bytes gets no further message */
	OBJECT_MAX = 3584 * 1024, /* of one message as JSON: what the server keeps, less framing */
	POLL_MAX_MS = 600000,
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
	struct streams_watch unread; /* queues_unread */
	struct list answers;         /* struct answer.link: sent and not yet taken by the kernel */
	struct list publishes;       /* struct publish.link: not yet durable */
	struct list auths;           /* struct auth.link: not yet durable */
	struct list commands;        /* struct command.link: not yet settled */
	struct buf scratch;          /* one message as JSON */
	struct task closed;
	uint64_t last_created_ns;
	bool paused, stopped;
	uint64_t waiters, polls, published, delivered, redelivered, auth_failures, oversized;
};

/* --- answer.c: all answers carry the headers that browsers ask for --- */

/* As http_reply, http_problem and http_stream_begin. */
void answer_reply(struct http_request *request, const struct http_reply *reply);
void answer_empty(struct http_request *request, int status, const struct http_header *headers,
		  size_t n);
int answer_stream(struct http_request *request, const struct http_reply *reply);
void answer_problem(struct http_request *request, int status, const struct http_header *headers,
		    size_t n, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
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

/* --- queue.c --- */

/* A poll that waits: one for each of thousands of connections, so it is small. */
struct poll {
	struct list link; /* queue.waiters */
	struct queue *queue;
	struct http_request *request;
	struct timer timeout;
	unsigned char max;
	bool empty_204; /* an empty answer is 204 instead of [] */
};

/* The queue of that key with its cursor, made if it is new. NULL: no memory. */
struct queue *queue_open(struct longpoll *bus, struct str key);
/* Forgets it if nobody waits and nothing of it is under way. */
void queue_release(struct queue *queue);
/* NULL: nothing has been there since its first poll. */
struct cursor *queue_cursor(struct queue *queue);
/* Whether messages are there that only the disk, or answers under way, keep from being taken. */
bool queue_is_held_up(const struct queue *queue);
/* Messages of the queue of that key that nobody has got yet. */
uint64_t queue_length(struct longpoll *bus, struct str key);
bool queue_has_waiters(const struct queue *queue);
/* Puts the poll behind the others that wait. */
void queue_wait(struct queue *queue, struct poll *poll);
/* Takes it out; it is the caller's again. */
void queue_leave(struct poll *poll);
/* Answers some of those who wait and for whom there are messages; the others in later turns. */
void queues_serve(void *arg);
/* Messages came to a stream that no queue reads: its waiters, if there are any, get it. */
void queues_unread(void *arg, struct stream *stream);
/* At the end of the port: answers whoever waits, forgets everything. */
void queues_release_waiters(struct longpoll *bus);
void queues_destroy(struct longpoll *bus);

/* --- poll.c --- */

void poll_handle(struct longpoll *bus, struct http_request *request, struct str key);
void poll_length(struct longpoll *bus, struct http_request *request, struct str key);
/*
 * Answers the request with what the queue has now, up to max messages: true, or false when there
 * was nothing, and the request still waits.
 */
bool poll_answer(struct longpoll *bus, struct queue *queue, struct http_request *request,
		 size_t max);
/* The answer of a poll that found nothing; frees it. */
void poll_end(struct poll *poll);
/* At the end of the port: lets go of answers that are still being sent. */
void answers_abandon(struct longpoll *bus);

/* --- publish.c --- */

void publish_handle(struct longpoll *bus, struct http_request *request, struct str key);
void publishes_abandon(struct longpoll *bus);

/* --- dialog_topic.c --- */

void command_handle(struct longpoll *bus, struct http_request *request, struct str key);
void command_settle(struct longpoll *bus, uint64_t tag, int result);
void commands_abandon(struct longpoll *bus);

#endif
