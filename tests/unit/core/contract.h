/* SPDX-License-Identifier: MIT */
/*
 * The contract of core/port.h as a test: what every port must do, whatever its protocol.
 *
 * test_contract.c runs the same checks over a table of rows. A port comes in by a row of its own:
 *
 *   1. Write contract_<port>.c: `setup` makes the outside that the port talks to (a server in this
 *      process, a broker's peer) and the port's configuration; `teardown` takes both away; `answer`
 *      plays the outside for one message; `lose` and `restore` cut and mend the link.
 *   2. Put its `const struct contract_row` into `rows` in test_contract.c, and the file into
 *      meson.build.
 *
 * The port lives in a real hub, but its upcalls end here (the linker wraps them), so that the suite
 * sees each of them and nothing else calls the port's ops. The clock is the test's.
 */
#ifndef VOXBUS_TESTS_CONTRACT_H
#define VOXBUS_TESTS_CONTRACT_H

/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/account.h"
#include "core/hub.h"
#include "core/port.h"
#include "net/http_server.h"

enum { CONTRACT_MESSAGES = 5000 };

struct contract_row;

struct contract {
	const struct contract_row *row;
	struct loop *loop;
	struct streams *streams;
	struct accounts *accounts;
	struct http_server *http;
	struct hub *hub;
	struct port *port;
	void *self;    /* the port's own */
	void *outside; /* the row's own */

	/* What the port said. */
	enum port_state state;
	unsigned upcalls, writable, listened;
	int listen_result;
	char listen_topic[64];
	bool inside; /* a call into the port that may not call back */
	bool closed; /* it said so: it must say no more */
	unsigned char settled[CONTRACT_MESSAGES + 1], refused[CONTRACT_MESSAGES + 1];
	size_t n_answers;
	uint64_t order[CONTRACT_MESSAGES]; /* numbers of the answered, as the answers came */
	struct msg *sent[CONTRACT_MESSAGES + 1];
};

struct contract_row {
	const char *what;
	const struct port_ops *ops;
	/* Makes the outside, before the port is created; *conf as the port's create wants it. */
	void (*setup)(struct contract *c, const void **conf);
	/* After the port is gone. */
	void (*teardown)(struct contract *c);
	/*
	 * The outside takes the oldest message that it has and has not answered: for good, or
	 * refused so that the port must say so. false: it has none (yet). NULL with PORT_PULL.
	 */
	bool (*answer)(struct contract *c, bool good);
	/* The link is lost, or can be had again. NULL: there is no link. */
	void (*lose)(struct contract *c);
	void (*restore)(struct contract *c);
	bool takes_all;   /* no way for the outside to refuse a message */
	unsigned back_ms; /* the longest that the port may take to be UP after `restore` */
};

extern const struct contract_row contract_memory_bus, contract_memory_broker,
	contract_memory_engine, contract_asterisk, contract_longpoll, contract_amqp, contract_nats;

struct contract *contract_create(const struct contract_row *row);
void contract_destroy(struct contract *c);
/* A check of its own file, contract_subjects.c. */
void names_what_a_command_touches(const struct contract_row *row);
/* Turns the loop until done says so; the test fails if it never does. */
void contract_until(struct contract *c, bool (*done)(struct contract *c), const char *what);

#endif
