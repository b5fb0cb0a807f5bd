/* SPDX-License-Identifier: MIT */
/*
 * A hub between a memory engine and a memory bus, for tests of the core.
 *
 * The world has one application "app" on the bus. What the bus and the engine got is kept in
 * lists of message references; events are put in by world_event, commands by world_command.
 */
#ifndef VOXBUS_TESTS_CORE_TEST_H
#define VOXBUS_TESTS_CORE_TEST_H

/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "buses/memory/memory.h"
#include "core/hub.h"
#include "journal/journal.h"

struct got {
	struct msg *at[256];
	size_t n;
};

struct world {
	struct loop *loop;
	struct journal *journal;
	struct streams *streams;
	struct hub *hub;
	struct memory_conf bus_conf, engine_conf;
	struct memory_port *bus, *engine;
	struct got sent;     /* by the bus */
	struct got commands; /* to the engine */
	int settles;         /* of commands, and the last result */
	int last_settle;
	uint64_t last_lsn;
	char dialog[64];    /* of the newest AppStart */
	char released[256]; /* by the engine: "c1:AWAY c2:AWAY" */
};

struct world_options {
	const char *dir; /* a journal there; NULL: none */
	bool manual_bus, manual_listen, record;
	bool broker;   /* the bus may bring a command again, world_repeat */
	bool parallel; /* the engine says what commands touch, see memory.h */
	bool engine_away;
	bool bus_away; /* from the start, until memory_port_up */
	size_t bus_capacity;
	uint64_t linger_ms, deadline_ms;
	size_t dialogs_max, commands_max, results_bytes;
	struct application_options application; /* bus and record are filled in */
};

void world_create(struct world *w, const struct world_options *options);
void world_destroy(struct world *w);
/* Turns the loop until nothing more happens (with a journal: until it is durable). */
void world_settle(struct world *w);
/* An event of type about channels named in ids ("a b"), with these verbs for the first. */
int world_event(struct world *w, const char *type, unsigned verbs, const char *ids,
		const char *payload);
/* A command of the newest dialog. */
int world_command(struct world *w, const char *method, const char *url, const char *id);
/* The same, delivered again as the bus says. */
int world_repeat(struct world *w, const char *method, const char *url, const char *id);
/* The types of what the bus got, in order, separated by spaces: "AppStart StasisStart 204". */
const char *world_sent(struct world *w);
void got_clear(struct got *got);
/* For tests of one call: the world with the StasisStart of channel `id`, and nothing got yet. */
void world_create_call(struct world *w, const struct world_options *options, const char *id);
/* A test's setup and teardown: the state is a world, to begin with one without a journal. */
int world_setup(void **state);
int world_teardown(void **state);
/* The counters of now. */
struct hub_stats world_hub_stats(const struct world *w);
/* An empty directory below /tmp; removed with what is in it by dir_remove. */
void dir_make(char path[64]);
void dir_remove(const char *path);

#endif
