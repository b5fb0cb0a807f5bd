/* SPDX-License-Identifier: MIT */
/*
 * The inside of the bus: one connection to one of several brokers, four channels on it, and a table
 * of the queues that it knows.
 *
 *   amqp.c            the ops, and the port's state
 *   amqp_link.c       dialling, failover, bytes in and out, heartbeats
 *   amqp_handshake.c  what is said on channel 0
 *   amqp_channel.c    the four channels: opened, closed by the broker, opened again
 *   amqp_publish.c    messages out, confirms, returns
 *   amqp_consume.c    consumers of commands_<dialog>
 *   amqp_command.c    one command from its delivery to its acknowledgement
 *   amqp_queue.c      queues and dialogs: the table
 *   amqp_ops.c        declares, looks and deletes, in order, on two channels
 *   amqp_sweep.c      the queues of calls that are over
 *   amqp_register.c   which calls had queues, across a restart
 *
 * Nothing here calls the core from inside an op: what an op finds out waits for a turn of its own.
 */
#ifndef VOXBUS_BUSES_AMQP_AMQP_INTERNAL_H
#define VOXBUS_BUSES_AMQP_AMQP_INTERNAL_H

#include "base/map.h"
#include "buses/amqp/amqp_conf.h"
#include "codec/amqp_content.h"
#include "codec/amqp_uri.h"
#include "core/cursor.h"
#include "core/port.h"
#include "envelope/envelope.h"
#include "net/backoff.h"
#include "net/conn.h"

enum {
	AMQP_BUS_CHANNELS = 4,
	AMQP_FLYING_MAX = 4096,           /* messages taken and not settled */
	AMQP_BYTES_MAX = 16 << 20,        /* the same in bytes */
	AMQP_OUT_HIGH = 1 << 20,          /* bytes on their way to the socket: no more publishes */
	AMQP_BODY_MAX = 48 << 20,         /* one envelope: the journal's messages have 16 MiB */
	AMQP_OUT_MAX = 2 * AMQP_BODY_MAX, /* all that waits for the socket */
	AMQP_COMMAND_MAX = 1 << 20,       /* the largest command */
	AMQP_COMMANDS_BYTES_MAX = 64 << 20, /* of all that are not acknowledged */
	AMQP_REASON_MAX = 384,
};

/* Their numbers are their places in amqp_bus.channels plus one. */
enum amqp_role {
	AMQP_PUBLISHING, /* confirms */
	AMQP_CONSUMING,  /* commands */
	AMQP_DECLARING,  /* queues of calls that live */
	AMQP_SWEEPING,   /* of those that are over: errors here disturb nobody */
};

enum amqp_channel_state { AMQP_CLOSED, AMQP_OPENING, AMQP_PREPARING, AMQP_OPEN };

struct amqp_channel {
	struct amqp_bus *bus;
	enum amqp_role role;
	enum amqp_channel_state state;
	struct amqp_assembly assembly;
	struct timer reopen;
	struct backoff backoff;
	uint64_t opened_ms;
};

/*
 *   IDLE --> DIALLING --> STARTING --> TUNING --> OPENING --> PREPARING --> READY
 *    ^    conn open  start, start-ok  tune, tune-ok  open-ok   channels open   |
 *    '------------- the link ends, or we end it: after a back-off -------------'
 */
enum amqp_phase {
	AMQP_IDLE,
	AMQP_DIALLING,
	AMQP_STARTING,
	AMQP_TUNING,
	AMQP_OPENING_HOST,
	AMQP_PREPARING_CHANNELS,
	AMQP_READY,
};

enum amqp_op_kind { AMQP_OP_NONE, AMQP_OP_DECLARE, AMQP_OP_LOOK, AMQP_OP_DELETE };

struct amqp_queue;

/* Lies in its queue: one at a time on each of the two channels. */
struct amqp_op {
	struct list link; /* amqp_ops.waiting or .sent */
	struct amqp_queue *queue;
	enum amqp_op_kind kind;
};

struct amqp_ops {
	struct list waiting, sent; /* struct amqp_op.link; sent: in the order of the answers */
	size_t n_sent;
};

enum amqp_consumer { AMQP_NO_CONSUMER, AMQP_CONSUMER_WANTED, AMQP_CONSUMER_ASKED, AMQP_CONSUMES };

struct amqp_queue {
	struct map_node node; /* amqp_bus.queues, by name */
	struct amqp_bus *bus;
	struct amqp_dialog *dialog; /* NULL: an application's */
	struct list held;           /* struct amqp_flight.link: before the declare, by number */
	struct list unflushed;      /* amqp_bus.unflushed: declared, and held has no room yet */
	struct amqp_op declare, sweep;
	size_t unconfirmed; /* publishes under way */
	size_t returning;   /* of them, those that came back and whose confirm is to come */
	unsigned refusals;  /* of the broker, since it took one */
	unsigned delayed;   /* of those, publishes that wait for their time */
	enum amqp_consumer consumer;
	struct list listening; /* amqp_bus.listening: to be told that it is */
	bool asked;            /* the core waits for port_listening */
	bool declared;         /* on this connection */
	bool gone;             /* deleted, as far as we know */
	bool warned;
	size_t n;
	char name[];
};

enum { AMQP_EVENTS, AMQP_RESPONSES, AMQP_COMMANDS, AMQP_TOPICS };

struct amqp_dialog {
	struct list link;     /* amqp_bus.dialogs, or .over */
	struct list timeless; /* amqp_bus.timeless */
	struct amqp_bus *bus;
	struct amqp_queue *queues[AMQP_TOPICS];
	struct timer timer; /* over: the next look */
	uint64_t entry;     /* its number in the register; 0: none (yet) */
	uint64_t ended_ms;
	unsigned looking; /* queues whose look is under way */
	bool registered;
	bool live; /* the core has asked us to listen, since the link is up */
	bool over;
	bool swept; /* the look for late declares is done, or under way */
};

/* A message that `send` took, or an answer of our own to a command. */
struct amqp_flight {
	struct list link; /* amqp_queue.held or amqp_bus.refused */
	struct msg *msg;
	struct amqp_queue *queue;
	struct amqp_command *answers; /* whose answer it is; NULL: the core's */
	uint64_t due_ms;              /* refused: when the core may hear of it */
	size_t bytes;
	bool returned;
};

enum amqp_command_state {
	AMQP_OFFERED,   /* the core has it: `settle` follows */
	AMQP_PARKED,    /* to be offered (again) */
	AMQP_ANSWERING, /* refused: the answer is being published */
};

struct amqp_command {
	struct list link; /* amqp_bus.commands or .parked */
	struct amqp_bus *bus;
	uint64_t delivery_tag; /* 0: of a channel that is no more, the broker brings it again */
	enum amqp_command_state state;
	bool redelivered;
	size_t topic_n, body_n;
	char bytes[]; /* topic, body */
};

struct amqp_bus {
	struct port *port;
	struct port_env env;
	struct loop *loop;
	const struct log *log;
	const struct amqp_conf *conf;
	struct tls_context *tls;
	struct amqp_uri *uris; /* n_uris of them; `at` is dialled, or was last */
	size_t n_uris, at, tried;

	enum amqp_phase phase;
	enum port_state fault; /* what we are while not READY */
	char reason[AMQP_REASON_MAX];
	enum port_state told;
	char told_reason[AMQP_REASON_MAX];
	bool started, stopped, closing;
	struct conn *conn;
	unsigned links; /* how many there have been: tells a handler that its own is gone */
	struct amqp_frame_reader frames;
	size_t frame_max;
	uint64_t heartbeat_ms, heard_ms, said_ms;
	bool late; /* silence is over the limit; one more turn is looked at */
	bool stale;
	bool broken; /* something that had to be said found no memory */
	uint64_t ready_ms;
	struct timer timer;     /* patience while connecting, else the next dial */
	struct timer heartbeat; /* ticks twice an interval */
	struct backoff backoff;
	struct task flush, closed;
	struct buf out, scratch;
	struct amqp_channel channels[AMQP_BUS_CHANNELS];

	bool blocked; /* connection.blocked */
	char blocked_reason[128];
	bool full; /* `send` has said -EAGAIN */
	struct timer again;
	struct amqp_flight *flying[AMQP_FLYING_MAX]; /* by delivery tag */
	uint64_t first_tag, next_tag;                /* of those: the oldest, the next */
	size_t n_publishes, publish_bytes;
	struct list unflushed; /* struct amqp_queue.unflushed */
	struct list refused;   /* struct amqp_flight.link: the core hears later */

	struct map queues;     /* struct amqp_queue.node */
	struct list dialogs;   /* struct amqp_dialog.link: those that are not over */
	struct list listening; /* struct amqp_queue.listening */
	struct task listened;
	struct amqp_ops declares, sweeps;

	struct list commands; /* struct amqp_command.link: OFFERED and ANSWERING */
	struct list parked;   /* struct amqp_command.link */
	struct timer offer;
	size_t command_bytes, n_parked;
	bool paused;
	bool stuck; /* one of those that were offered is parked again */
	uint64_t bad_told_ms;
	struct buf text; /* bodies of answers */

	struct list over;     /* struct amqp_dialog.link, the oldest first */
	struct list timeless; /* struct amqp_dialog.timeless: no memory for its timer */
	size_t n_over;
	struct stream *calls; /* the register */
	struct cursor *registered;

	struct {
		uint64_t reconnects, published, returned, nacked, dummies, malformed, refused;
		uint64_t redelivered, queues_deleted, queues_aged, channel_errors;
	} stats;
};

#endif
