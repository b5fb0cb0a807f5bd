/* SPDX-License-Identifier: MIT */
/*
 * A hub between a memory engine and the AMQP bus, which talks to a broker in this process. Time stands
 * still; the test moves it.
 */
#ifndef VOXBUS_TESTS_AMQP_TEST_H
#define VOXBUS_TESTS_AMQP_TEST_H

#include "net/net_test.h"

#include "amqp_broker.h"
#include "buses/amqp/amqp_conf.h"
#include "buses/memory/memory.h"
#include "core/hub.h"

struct bench {
	struct loop *loop;
	struct streams *streams;
	struct hub *hub;
	struct broker *broker, *second;
	struct memory_conf engine_conf;
	struct memory_port *engine;
	struct amqp_conf conf;
	struct port *bus;
	char url[64], second_url[64], dialog[64];
	char *failover[1];
	struct msg *commands[64]; /* that the engine got */
	size_t n_commands;
};

/* The bus is there and not started: the test may change the broker and conf. */
void bench_create(struct bench *b);
void bench_add_bus(struct bench *b);
void bench_destroy(struct bench *b);
/* Adds the bus, starts, and waits until it is UP. */
void bench_start(struct bench *b);
/* A test's setup and teardown with a bench that is UP; the state is the bench. */
int bench_setup(void **state);
int bench_teardown(void **state);

enum port_state bench_state(struct bench *b, char reason[256]);
bool bench_is(struct bench *b, enum port_state state);
/* Of the bus: the number of that name. */
uint64_t bench_stat(struct bench *b, const char *name);
/* An event of channel `id`; opens and ends as verbs say. */
void bench_event(struct bench *b, const char *type, unsigned verbs, const char *id);
/* A call of channel c1 up to its AppStart and StasisStart, both confirmed; sets b->dialog. */
void bench_call(struct bench *b);
/* The call leaves and its dialog closes. */
void bench_end_call(struct bench *b);
/* "<prefix>_<dialog>". */
const char *bench_topic(const struct bench *b, const char *prefix);
/* A command of the call as a client would write it. */
void bench_command(struct bench *b, const char *url, const char *id, bool redelivered);
/* The engine answers its oldest command. */
void bench_reply(struct bench *b, int status);
/* The broker confirms everything, and more comes, until nothing comes. */
void bench_confirm(struct bench *b);
/* Moves the clock in small steps with turns between, so that bytes get through. */
void bench_advance(struct bench *b, uint64_t ms);

/* Turns until the text stands so often in what the broker heard. */
#define HEARD(b, times, text) RUN_UNTIL((b)->loop, broker_heard((b)->broker, text) >= (times))

#endif
