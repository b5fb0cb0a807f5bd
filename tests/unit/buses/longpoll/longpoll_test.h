/* SPDX-License-Identifier: MIT */
/*
 * A hub with a memory engine and the long-poll bus on a real HTTP server on the loopback, and
 * clients that are plain sockets. The clock is the test's, so that time-outs cost no time.
 *
 * The account AC1 (token "secret") is the bus's, AC2 (token "other") is another. The application
 * "hello" is the bus's, "elsewhere" is not.
 */
#ifndef VOXBUS_TESTS_LONGPOLL_TEST_H
#define VOXBUS_TESTS_LONGPOLL_TEST_H

#include "net/net_test.h"

#include "buses/longpoll/longpoll.h"
#include "buses/longpoll/longpoll_conf.h"
#include "buses/memory/memory.h"
#include "core/account.h"
#include "core/hub.h"
#include "journal/journal_internal.h"
#include "net/http_server.h"

struct world {
	struct loop *loop;
	struct journal *journal; /* NULL: none */
	struct streams *streams;
	struct accounts *accounts;
	struct http_server *http;
	struct hub *hub;
	struct port *bus;
	struct longpoll_conf conf;
	struct memory_conf engine_conf, other_conf;
	struct memory_port *engine;
	struct msg *command; /* the last one that the engine got */
	char session[RAND_UUID_SIZE], foreign[RAND_UUID_SIZE];
	char dialog[RAND_DIALOG_ID_SIZE];
	int port;
};

int world_setup(void **state);
/* With a journal that writes and syncs only when the test steps it. */
int world_setup_journal(void **state);
/* The same, and by the journal's records it is an hour later than by the wall clock. */
int world_setup_clock_back(void **state);
int world_teardown(void **state);
/* A channel enters "hello": the dialog's id is then in w->dialog. */
void world_call(struct world *w);
uint64_t world_stat(struct world *w, const char *name);

struct client {
	struct world *world;
	int fd;
	struct buf in;
	char *text; /* of the last answer, NUL-terminated */
	int status;
};

void client_open(struct client *c, struct world *w);
void client_close(struct client *c);
/* As printf; the head's end and a Content-Length for the body are added. */
void client_ask(struct client *c, const char *head, const char *body);
/* Something has come, or nothing has although everything had time to. */
bool client_has_answer(struct client *c);
/* Waits for a whole answer; its status. */
int client_answer(struct client *c);
/* Asks on a connection of its own and returns the whole answer, to free(). */
char *ask(struct world *w, int *status, const char *head, const char *body);
/* The same, compared: the status, and a piece of the answer (NULL: any). */
void expect(struct world *w, int status, const char *piece, const char *head, const char *body);

#endif
