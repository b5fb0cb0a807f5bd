/* SPDX-License-Identifier: MIT */
/*
 * The inside of the HTTP server: http_server.c (life, limits, accepting), http_link.c (one
 * connection from its first byte to its last), http_request.c and http_reply.c (one exchange),
 * http_refusal.c (what the server answers by itself).
 *
 *            bytes           head            end           answer begun    all taken
 *     IDLE ────────► HEAD ──────────► BODY ───────► ASKED ──────────────► SENDING ──► IDLE
 *                      │ malformed, late, too large   │ handed over        │   │ close  ▲
 *                      └──────────────► LINGER ◄──────┼────────────────────│───┤        │
 *                                          └► DEAD ◄──┴─ gone, cut         └► ACKING ───┘
 *
 * ACKING: the handler wants to know that the peer's TCP has the answer (on_acked); before a close
 * our FIN is out already.
 * LINGER: our FIN is out, what still comes is read and dropped, lest a reset overtake the answer.
 * DEAD: the conn is gone; the link's task tells the handler and frees it in a turn of its own, so
 * that no call of a handler ever finds its link freed under it.
 */
#ifndef VOXBUS_NET_HTTP_SERVER_INTERNAL_H
#define VOXBUS_NET_HTTP_SERVER_INTERNAL_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "codec/http.h"
#include "net/http_server.h"

struct listener;

/* Connections of one peer's address. */
struct client_address {
	struct map_node node; /* http_server.addresses, by text */
	size_t count;
	char text[];
};

struct http_server {
	struct loop *loop;
	const struct log *log;
	struct http_server_options options; /* all set */
	struct http_mount *mounts;          /* the longest prefix first; prefixes are ours */
	size_t n_mounts;
	struct listener **listeners;
	size_t n_listeners;
	struct list links; /* struct link.node */
	struct map addresses;
	struct buf out;            /* the head being written; empty between calls */
	struct buf held;           /* pieces of the corked answer that is being made */
	struct http_parser parser; /* of the link whose bytes are being read now */
	struct str rest;           /* and what of them is not parsed yet */
	uint64_t date_s;
	char date[CLOCK_HTTP_SIZE];
	struct http_server_stats stats;
	uint64_t warned_ms;  /* when a full server was last told */
	uint64_t trouble_ms; /* when accepting was last told to fail */
	bool in_trouble;     /* and it was told */
	uint64_t hinted_ms;  /* when TLS on a plain port was */
	bool stopping;
	struct timer stop_timer;
	struct task stop_task;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

enum link_state {
	LINK_IDLE,
	LINK_HEAD,
	LINK_BODY,
	LINK_ASKED,
	LINK_SENDING,
	LINK_ACKING,
	LINK_LINGER,
	LINK_DEAD,
};

struct link {
	struct list node; /* http_server.links */
	struct http_server *server;
	struct conn *conn;
	struct client_address *address; /* counted there; NULL: not counted */
	struct http_request *request;   /* from its head on until its answer is out */
	struct http_parser *parser;     /* of a message that came in part; else NULL */
	struct buf *ahead;              /* what came behind the request under way; else NULL */
	struct timer timer;
	struct task task;
	size_t mark; /* progress at the last time the timer looked; ACKING: ms waited so far */
	enum link_state state;
	bool inside; /* link_data runs: it goes on by itself after an answer */
	bool close;  /* after this answer */
	bool taken;  /* SENDING: the kernel has it all, the handler is told in a later turn */
};

/* An answer of the server's own. */
struct refusal {
	int status;
	char detail[192]; /* a sentence, and what to do */
};

/* What the client sent. */
struct request_content {
	struct http_head *head;
	struct buf body;
	struct http_request_info info;
	char peer[]; /* info.peer, info.peer_address: the conn may go before on_gone */
};

struct http_request {
	struct link *link;
	struct request_content *content; /* NULL: let go of by http_request_forget */
	void (*on_gone)(void *arg);
	void *gone_arg;
	void (*on_sent)(void *arg); /* or on_acked */
	void *sent_arg;
	bool answered;  /* its head was written, or is not wanted any more */
	bool streaming; /* between http_stream_begin and _end */
	bool chunked;
	bool corked;  /* its pieces are gathered in http_server.held */
	bool gone;    /* on_gone runs */
	bool had_all; /* of an answer in pieces: it was acknowledged when the client closed */
	/* of its head: what its answer depends on */
	bool is_head : 1, keep_alive : 1;
	bool until_acked : 1; /* on_sent waits for the peer's TCP */
	unsigned char minor;
};

/* http_server.c */
/* "*" (OPTIONS of the server as such) is "/". NULL: nobody serves that path. */
const struct http_mount *server_find_mount(const struct http_server *server, struct str path);
struct str server_date(struct http_server *server);
/* 0 (also for peers that are not counted), -EAGAIN at the limit, -ENOMEM. */
int server_take_address(struct http_server *server, struct str text, struct client_address **ret);
void server_drop_address(struct http_server *server, struct client_address *address);
/* A link was freed: perhaps the stop is complete. */
void server_link_freed(struct http_server *server);

/* http_link.c */
/* Takes the conn over; NULL when memory is out. */
struct link *link_create(struct http_server *server, struct conn *conn);
/* At once, telling the handler that waits; only from a turn of its own. */
void link_free(struct link *link);
/* Closes the connection now; the rest is done by the link's task. */
void link_cut(struct link *link);
/* What came behind the request under way, as far as it was read; valid in this turn. */
struct str link_rest(const struct link *link);
/* Answers for the server itself and closes. The request under way, if there is one, is gone. */
void link_refuse(struct link *link, const struct refusal *refusal);
/*
 * The answer is written: waits for the kernel where needed, then the next request. sent false: it
 * could not be, and the end of the connection is on its way.
 */
void link_answered(struct link *link, bool sent);

/* http_request.c */
/* Takes the head over; NULL when memory is out. */
struct http_request *request_create(struct link *link, struct http_head *head);
struct http_request *request_destroy(struct http_request *r);
bool request_has_body(const struct http_request *r);
/*
 * A body is announced, or owed (a POST of HTTP/1.0: RFC 1945 section 8.3), and nothing says where it
 * ends. (A bare POST of HTTP/1.1 has an empty one: RFC 9112 section 6.3.)
 */
bool request_lacks_length(const struct http_request *r);
/* Gives back what growing took too much. */
void request_trim(struct http_request *r);

/* http_reply.c */
/* An RFC 9457 body. instance may be empty. */
void problem_write(struct buf *b, int status, struct str detail, struct str instance);

/* http_refusal.c */
void refusal_set(struct refusal *ret, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Why the request under way comes to no handler: true and *ret. Its body need not be there yet. */
bool refusal_find(const struct link *link, struct refusal *ret);
/* After -EBADMSG. */
void refusal_of_parser(const struct http_server *server, const struct http_parser *p,
		       struct refusal *ret);
/* Of a body that is larger than the mount of the request under way takes. */
void refusal_of_size(const struct link *link, struct refusal *ret);
enum { MOUNT_HEADERS_MAX = 8, REFUSAL_HEADERS_MAX = MOUNT_HEADERS_MAX + 1 };
/* What it carries besides its body, of the mount of the request under way: how many. */
size_t refusal_headers(const struct link *link, const struct refusal *refusal,
		       struct http_header out[REFUSAL_HEADERS_MAX]);
/* Answers the request; the connection lives on if it would have anyway. */
void refusal_reply(struct http_request *r, const struct refusal *refusal);
/* Answers for the request under way, or for none, with "Connection: close": as conn_write. */
int refusal_write(struct link *link, const struct refusal *refusal);

#endif
