/* SPDX-License-Identifier: MIT */
/*
 * A broker in the same process, for tests of the bus: it logs in whoever comes, answers what must be
 * answered, and leaves to the test what is worth a test: confirms, deliveries, closes.
 *
 * Everything that the client says is written to `log`, a line a method: "3 queue.declare hello D",
 * "1 basic.publish hello {...}", "2 basic.ack 1". Flags: D durable, P passive, W no-wait, U if-unused,
 * E if-empty, L no-local, R requeue, M mandatory.
 */
#ifndef VOXBUS_TESTS_AMQP_BROKER_H
#define VOXBUS_TESTS_AMQP_BROKER_H

#include "codec/amqp_content.h"
#include "net/conn.h"

enum { BROKER_CHANNELS = 4 };

struct broker {
	struct loop *loop;
	struct listener *listener;
	struct conn *conn; /* the last client; NULL: none */
	struct amqp_frame_reader frames;
	struct amqp_assembly assemblies[BROKER_CHANNELS];
	struct buf out;
	struct buf log;
	unsigned connections;
	uint64_t published, confirmed, delivered; /* tags */
	uint16_t heartbeat;
	/* What it does not do: */
	bool away;        /* takes no client */
	bool silent;      /* answers nothing */
	bool mute_queues; /* answers no declare, look, delete, consume */
	bool full;        /* refuses the next channel.open */
	/* Of the next declares, those of this name are answered so. */
	const char *refused;
	uint16_t refusal;
	const char *mechanisms;
	uint32_t messages, consumers; /* what declare-ok says */
	bool wrong_password;
};

struct broker *broker_create(struct loop *loop);
struct broker *broker_destroy(struct broker *b);
int broker_port(const struct broker *b);
/* "amqp://guest:guest@127.0.0.1:PORT/" in text. */
const char *broker_url(const struct broker *b, char text[64]);
void broker_say(struct broker *b, unsigned channel, const struct amqp_method *method);
void broker_close_channel(struct broker *b, unsigned channel, uint16_t code, const char *text,
			  uint32_t method);
/* The client's link breaks. */
void broker_hang_up(struct broker *b);
/* A message of that queue for its consumer. */
void broker_deliver(struct broker *b, const char *queue, const char *body, bool redelivered);
/* The oldest publish that has no confirm gets it; false: there is none. */
bool broker_confirm(struct broker *b, bool good);
/* basic.return of what was published so, without the confirm. */
void broker_return(struct broker *b, const char *queue, struct str body);
/* How often a text stands in the log. */
size_t broker_heard(const struct broker *b, const char *text);
void broker_forget(struct broker *b);

#endif
