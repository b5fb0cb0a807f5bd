/* SPDX-License-Identifier: MIT */
/*
 * The core when memory is out: one short life of a hub is run again and again, each time with
 * another allocation failing, until a run needs no more of them.
 *
 * The linker puts the counter between the daemon's code and malloc. What fails must come out as a
 * negative errno or be made good later: nothing crashes, and the sanitizer finds no leak.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/cursor.h"
#include "core_test.h"

enum { OPENS = OBJECT_OPENS | OBJECT_BINDS, RUNS_MAX = 5000 };

static long left = -1; /* allocations until one fails; below zero: none does */
static bool failed;

static bool fails(void)
{
	if (left < 0 || left-- > 0)
		return false;
	failed = true;
	return true;
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

struct life {
	struct loop *loop;
	struct streams *streams;
	struct hub *hub;
	struct memory_conf bus_conf, engine_conf;
	struct memory_port *bus, *engine;
	struct port *bus_port, *engine_port;
	struct msg *command;
	char dialog[64];
};

static void on_bus_send(void *arg, struct msg *msg)
{
	struct life *l = arg;

	if (msg->kind == MSG_ANNOUNCE)
		(void)snprintf(l->dialog, sizeof(l->dialog), "%.*s", STR_ARG(msg->dialog));
}

static void on_engine_send(void *arg, struct msg *msg)
{
	struct life *l = arg;

	(void)msg_unref(l->command);
	l->command = msg_ref(msg);
}

static int start(struct life *l)
{
	struct hub_options options = { .node = "test", .linger_ms = 1000 };
	struct err e = { "" };
	int rc = loop_create_manual(&l->loop);

	if (rc == 0)
		rc = streams_create(l->loop, NULL, NULL, &l->streams);
	options.loop = l->loop;
	options.streams = l->streams;
	if (rc == 0)
		rc = hub_create(&options, &l->hub);
	l->bus_conf = (struct memory_conf){ .ret = &l->bus, .on_send = on_bus_send, .arg = l };
	l->engine_conf =
		(struct memory_conf){ .ret = &l->engine, .on_send = on_engine_send, .arg = l };
	if (rc == 0)
		rc = hub_add_port(l->hub, &memory_bus_ops, "bus", &l->bus_conf, &l->bus_port, &e);
	if (rc == 0)
		rc = hub_add_port(l->hub, &memory_engine_ops, "engine", &l->engine_conf,
				  &l->engine_port, &e);
	if (rc == 0)
		rc = hub_add_application(l->hub, STR("app"),
					 &(struct application_options){ .bus = l->bus_port });
	return rc < 0 ? rc : hub_start(l->hub, &e);
}

static void turn(struct life *l)
{
	for (int i = 0; i < 8; i++)
		loop_turn(l->loop);
}

static int event(struct life *l, const char *channel, unsigned verbs)
{
	struct object_ref ref = { .id = str_from(channel), .verbs = verbs };
	struct delivery e = { .kind = MSG_EVENT,
			      .application = STR("app"),
			      .type = STR("Event"),
			      .payload = STR("{}"),
			      .objects = &ref,
			      .n_objects = 1 };

	return port_deliver(l->engine_port, &e);
}

static int command(struct life *l)
{
	char topic[96];
	int n = snprintf(topic, sizeof(topic), "commands_%s", l->dialog);
	struct delivery c = { .kind = MSG_COMMAND,
			      .tag = 1,
			      .topic = str_make(topic, (size_t)n),
			      .type = STR("GET"),
			      .id = STR("u") };

	return port_deliver(l->bus_port, &c);
}

static bool is_refusal(int rc)
{
	return rc == 0 || rc == -ENOMEM || rc == -ENOENT || rc == -EBUSY;
}

static void live(struct life *l)
{
	assert_true(is_refusal(event(l, "c1", OPENS)));
	assert_true(is_refusal(event(l, "c2", OPENS)));
	turn(l);
	for (int i = 0; i < 20; i++)
		assert_true(is_refusal(event(l, "c1", 0)));
	assert_true(is_refusal(command(l)));
	turn(l);
	if (l->command)
		memory_port_reply(l->engine, l->command, 200, STR("{}"));
	turn(l);
	memory_port_up(l->bus, false);
	assert_true(is_refusal(event(l, "c2", 0)));
	memory_port_up(l->bus, true);
	turn(l);
	(void)event(l, "c1", OBJECT_ENDS);
	(void)event(l, "c2", OBJECT_LEAVES);
	loop_test_advance(l->loop, 120000);
	turn(l);
}

static void end(struct life *l)
{
	(void)msg_unref(l->command);
	(void)hub_destroy(l->hub);
	(void)streams_destroy(l->streams);
	(void)loop_destroy(l->loop);
}

static void each_allocation_may_fail(void **state)
{
	int n = 0;

	for (failed = true; failed; n++) {
		struct life l = { .loop = NULL };
		int rc;

		assert_true(n < RUNS_MAX);
		failed = false;
		left = n;
		rc = start(&l);
		assert_true(rc == 0 || rc == -ENOMEM);
		if (rc == 0)
			live(&l);
		left = -1;
		end(&l);
	}
	print_message("%d runs\n", n);
	assert_true(n > 50);
}

/* What could not be done for want of memory is done once there is some. */
static void memory_that_comes_back_ends_the_trouble(void **state)
{
	struct hub_stats stats;

	for (int n = 0; n < 300; n++) {
		struct life l = { .loop = NULL };

		assert_int_equal(start(&l), 0);
		left = n;
		live(&l);
		left = -1;
		loop_test_advance(l.loop, 4 * 3600000);
		turn(&l);
		hub_stats(l.hub, &stats);
		assert_int_equal(stats.dialogs, 0);
		assert_int_equal(stats.closed, 0);
		end(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_may_fail),
		cmocka_unit_test(memory_that_comes_back_ends_the_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
