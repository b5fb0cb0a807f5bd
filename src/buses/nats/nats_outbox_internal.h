/* SPDX-License-Identifier: MIT */
/* Shared by nats_outbox.c (what goes where) and nats_topic.c (one topic's life). */
#ifndef VOXBUS_BUSES_NATS_NATS_OUTBOX_INTERNAL_H
#define VOXBUS_BUSES_NATS_NATS_OUTBOX_INTERNAL_H

#include "base/map.h"
#include "buses/nats/nats_outbox.h"

enum topic_state {
	TOPIC_UNKNOWN, /* the next message goes out alone and asks whether anybody listens */
	TOPIC_PROBING, /* it is under way */
	TOPIC_HELD,    /* nobody does: the timer says when it is tried again */
	TOPIC_OPEN,    /* somebody does */
};

/* One accepted message. */
struct parcel {
	struct list link; /* topic.waiting or nats_outbox.sent */
	struct msg *msg;
	struct topic *topic;
	size_t bytes;
	bool own; /* ours: nobody waits for it to be settled */
};

/* A dialog whose commands are heard. */
struct hearing {
	struct map_node node; /* nats_outbox.hearings */
	struct list topics;   /* struct topic.of_hearing */
	char id[];
};

struct topic {
	struct nats_outbox *outbox;
	struct map_node node;   /* nats_outbox.topics */
	struct list of_hearing; /* hearing.topics */
	struct list ready;      /* nats_outbox.ready: it may put something into the next batch */
	struct list held;       /* nats_outbox.held: since when nobody hears it, in that order */
	struct list waiting;    /* struct parcel.link */
	size_t n_waiting, waiting_bytes;
	size_t n; /* parcels in all */
	enum topic_state state;
	bool announces;    /* of an application: each message asks, as workers come and go */
	bool ended;        /* its dialog is not, or no longer, heard */
	uint64_t ended_ms; /* since when */
	uint64_t wait_ms;  /* the next wait while it is held */
	struct timer timer;
	char name[];
};

struct nats_outbox {
	struct nats_outbox_options opt;
	struct map topics, hearings;
	struct topic *latest;    /* of the last message: the hub sends many of one in a row */
	struct list ready, held; /* struct topic.ready, .held */
	struct list sent;        /* struct parcel.link: in a batch */
	struct list spare;       /* struct parcel.link */
	size_t n_spare;
	size_t held_n, held_bytes; /* of topics that are not open */
	size_t link_n, link_bytes; /* of the others, sent ones included */
	bool full;
	uint64_t no_responders, not_stored, lost;
	uint64_t warned_ms; /* when it was last said that something was dropped */
};

/* The topic of a message, made if need be; NULL: no memory. */
struct topic *nats_topic_of(struct nats_outbox *o, const struct msg *msg);
void nats_topic_free(struct topic *t);
/* Frees it if nothing of it is left and nobody needs it. */
void nats_topic_rest(struct topic *t);
/* To the end of (back to the front of) what waits, and counted. */
void nats_topic_push(struct topic *t, struct parcel *p);
void nats_topic_push_back(struct topic *t, struct parcel *p);
/* The oldest that waits, no longer counted. */
struct parcel *nats_topic_pull(struct topic *t);
/* It may have something for the next batch. */
void nats_topic_wake(struct topic *t);
/* Its probe was taken, or found nobody. */
void nats_topic_open(struct topic *t);
void nats_topic_hold(struct topic *t);
/* Tries a held topic now. */
void nats_topic_retry(struct topic *t);
/* All that waits is lost. May free the topic. */
void nats_topic_drop(struct topic *t, const char *why);
/* The parcel is done with. */
void nats_parcel_settle(struct nats_outbox *o, struct parcel *p, int result);
void nats_parcel_free(struct nats_outbox *o, struct parcel *p);

#endif
