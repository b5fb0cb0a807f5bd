/* SPDX-License-Identifier: MIT */
/*
 * Inside the line: nats_line.c has the thread and its post, nats_dial.c makes connections,
 * nats_round.c carries batches out, nats_incoming.c is what the library's threads call.
 */
#ifndef VOXBUS_BUSES_NATS_NATS_LINE_INTERNAL_H
#define VOXBUS_BUSES_NATS_NATS_LINE_INTERNAL_H

#include <pthread.h>

#include "base/map.h"
#include "buses/nats/nats_line.h"

enum line_job { JOB_NONE, JOB_CONNECT, JOB_ROUND };

/* A subscription of the thread's. */
struct heard {
	struct map_node node; /* nats_line.heard */
	natsSubscription *sub;
	char subject[];
};

struct nats_line {
	/* Set once. */
	struct loop *loop;
	const struct log *log;
	const struct nats_conf *conf;
	const struct nats_line_events *events;
	void *arg;
	char client[200];
	char durable[160]; /* our consumer's name, with JetStream */

	/* The loop's alone. */
	pthread_t thread;
	bool started, joined, busy;

	/* The thread's alone. */
	struct map heard;
	natsSubscription *inbox_sub, *pull_sub;
	char inbox[64];
	uint64_t round; /* number of the batch, in its probes' inboxes */

	/* The job: the loop writes it before it wakes the thread, and reads what came of it after. */
	char host_port[300];
	struct nats_batch *batch;
	uint64_t wait_ms;
	int rc;
	char reason[NATS_REASON];
	struct nats_greeting greeting;

	/* Under the mutex. */
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct post post;
	unsigned refs;
	enum line_job job, done;
	bool posted, stopping, ended, gone;
	bool lost;   /* to be told: lost_reason says why */
	bool closed; /* nc is */
	char lost_reason[NATS_REASON];
	natsConnection *nc;
	unsigned breaking;  /* threads that are closing nc */
	uint64_t round_now; /* whose answers count; 0: nobody's */
	size_t unstored;    /* entries whose stream has not said a word */
	int64_t answered;   /* calls of nats_on_answer on this connection */
	natsMsg **incoming; /* a ring of NATS_INCOMING_MESSAGES */
	size_t first, n_incoming, incoming_bytes;
	uint64_t dropped;
	uint64_t refusals; /* that the library told of */
};

void nats_line_lock(struct nats_line *line);
void nats_line_unlock(struct nats_line *line);
void nats_line_ref(struct nats_line *line);
void nats_line_unref(struct nats_line *line);
/* Wakes the loop; with the mutex held. */
void nats_line_post(struct nats_line *line);
/* The connection in use, for the thread. */
natsConnection *nats_line_connection(struct nats_line *line);

/* nats_dial.c */
int nats_line_dial(struct nats_line *line);
void nats_line_hang_up(struct nats_line *line);
/* errno for a status of the library, and its words. */
int nats_line_error(struct nats_line *line, natsStatus s, char reason[NATS_REASON]);
/* nats_round.c */
int nats_line_run(struct nats_line *line);
void nats_line_forget(struct nats_line *line); /* all subscriptions */
int nats_line_open_inbox(struct nats_line *line, natsConnection *nc);
/* nats_stream.c */
int nats_line_open_stream(struct nats_line *line, natsConnection *nc);
natsStatus nats_line_store(struct nats_line *line, natsConnection *nc, size_t index,
			   const char *reply);
natsStatus nats_line_pull(struct nats_line *line, natsConnection *nc, struct str order);
/* nats_incoming.c: callbacks; closure is the line. Each subscription and connection holds a reference. */
void nats_on_incoming(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure);
void nats_on_answer(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure);
void nats_on_library_error(natsConnection *nc, natsSubscription *sub, natsStatus s, void *closure);
void nats_on_library_closed(natsConnection *nc, void *closure);
void nats_on_sub_complete(void *closure);

#endif
