/* SPDX-License-Identifier: MIT */
/* A hub between a memory engine and the AMQP bus; see the header. */
#include "buses/amqp/amqp_test.h"

#include "buses/amqp/amqp.h"

static void on_command(void *arg, struct msg *msg)
{
	struct bench *b = arg;

	assert_true(b->n_commands < sizeof(b->commands) / sizeof(*b->commands));
	b->commands[b->n_commands++] = msg_ref(msg);
}

void bench_create(struct bench *b)
{
	const struct hub_options options = {
		.node = "pbx1", .commands_max = 2, .linger_ms = 1000, .command_deadline_ms = 100000
	};
	struct hub_options all = options;
	struct port *engine;
	struct err e = { "" };

	*b = (struct bench){ .loop = NULL };
	assert_int_equal(loop_create_manual(&b->loop), 0);
	assert_int_equal(streams_create(b->loop, NULL, NULL, &b->streams), 0);
	all.loop = b->loop;
	all.streams = b->streams;
	assert_int_equal(hub_create(&all, &b->hub), 0);
	b->engine_conf = (struct memory_conf){
		.ret = &b->engine, .on_send = on_command, .arg = b, .parallel = true
	};
	if (hub_add_port(b->hub, &memory_engine_ops, "engine", &b->engine_conf, &engine, &e) < 0)
		fail_msg("%s", e.text);
	b->broker = broker_create(b->loop);
	b->second = broker_create(b->loop);
	(void)broker_url(b->broker, b->url);
	(void)broker_url(b->second, b->second_url);
	b->failover[0] = b->second_url;
	b->conf = (struct amqp_conf){ .name = (char *)"rabbit",
				      .url = b->url,
				      .heartbeat_ms = 600000,
				      .connect_timeout_ms = 5000,
				      .prefetch = 100,
				      .queue_grace_ms = 10000,
				      .queue_sweep_ms = 60000,
				      .queue_age_max_ms = 3600000 };
}

void bench_add_bus(struct bench *b)
{
	struct application_options options = { .bus = NULL };
	struct err e = { "" };

	if (hub_add_port(b->hub, &amqp_bus_ops, "rabbit", &b->conf, &b->bus, &e) < 0)
		fail_msg("%s", e.text);
	options.bus = b->bus;
	assert_int_equal(hub_add_application(b->hub, STR("hello"), &options), 0);
	if (hub_start(b->hub, &e) < 0)
		fail_msg("%s", e.text);
}

void bench_start(struct bench *b)
{
	bench_add_bus(b);
	RUN_UNTIL(b->loop, bench_is(b, PORT_UP));
	loop_turn(b->loop);
}

void bench_destroy(struct bench *b)
{
	(void)hub_destroy(b->hub);
	(void)broker_destroy(b->broker);
	(void)broker_destroy(b->second);
	(void)streams_destroy(b->streams);
	(void)loop_destroy(b->loop);
	while (b->n_commands)
		(void)msg_unref(b->commands[--b->n_commands]);
}

int bench_setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	*state = b;
	bench_create(b);
	bench_start(b);
	return 0;
}

int bench_teardown(void **state)
{
	bench_destroy(*state);
	free(*state);
	return 0;
}

struct seen {
	enum port_state state;
	char reason[256];
	const char *stat;
	uint64_t value;
};

static void on_port(void *arg, const struct port_view *view)
{
	struct seen *seen = arg;

	if (strcmp(view->name, "rabbit") != 0)
		return;
	seen->state = view->state;
	(void)snprintf(seen->reason, sizeof(seen->reason), "%s", view->reason);
	for (size_t i = 0; i < view->n_stats; i++)
		if (seen->stat && strcmp(view->stats[i].name, seen->stat) == 0)
			seen->value = view->stats[i].value;
}

enum port_state bench_state(struct bench *b, char reason[256])
{
	struct seen seen = { .stat = NULL };

	hub_each_port(b->hub, on_port, &seen);
	if (reason)
		memcpy(reason, seen.reason, sizeof(seen.reason));
	return seen.state;
}

bool bench_is(struct bench *b, enum port_state state)
{
	return bench_state(b, NULL) == state;
}

uint64_t bench_stat(struct bench *b, const char *name)
{
	struct seen seen = { .stat = name, .value = UINT64_MAX };

	hub_each_port(b->hub, on_port, &seen);
	assert_true(seen.value != UINT64_MAX);
	return seen.value;
}

void bench_event(struct bench *b, const char *type, unsigned verbs, const char *id)
{
	struct object_ref ref = { .kind = OBJECT_CHANNEL, .id = str_from(id), .verbs = verbs };
	struct delivery delivery = { .kind = MSG_EVENT,
				     .application = STR("hello"),
				     .type = str_from(type),
				     .objects = &ref,
				     .n_objects = 1,
				     .payload = STR("{}") };

	(void)port_deliver(memory_port_port(b->engine), &delivery);
	run_some(b->loop);
}

static void on_dialog(void *arg, const struct dialog_view *view)
{
	struct bench *b = arg;

	(void)snprintf(b->dialog, sizeof(b->dialog), "%.*s", STR_ARG(view->id));
}

void bench_confirm(struct bench *b)
{
	for (int i = 0; i < 10; i++) {
		run_some(b->loop);
		while (broker_confirm(b->broker, true))
			run_some(b->loop);
	}
}

void bench_call(struct bench *b)
{
	bench_event(b, "StasisStart", OBJECT_BINDS | OBJECT_OPENS, "c1");
	HEARD(b, 1, "basic.consume");
	HEARD(b, 1, "StasisStart");
	bench_confirm(b);
	hub_each_dialog(b->hub, on_dialog, b);
}

void bench_end_call(struct bench *b)
{
	bench_event(b, "StasisEnd", OBJECT_LEAVES, "c1");
	bench_confirm(b);
	bench_advance(b, 1100);
}

const char *bench_topic(const struct bench *b, const char *prefix)
{
	static char text[128];

	(void)snprintf(text, sizeof(text), "%s_%s", prefix, b->dialog);
	return text;
}

void bench_command(struct bench *b, const char *url, const char *id, bool redelivered)
{
	char body[256];

	(void)snprintf(body, sizeof(body),
		       "{\"unique_id\":\"%s\",\"url\":\"%s\",\"method\":\"POST\",\"body\":\"{}\"}",
		       id, url);
	broker_deliver(b->broker, bench_topic(b, "commands"), body, redelivered);
	run_some(b->loop);
}

void bench_reply(struct bench *b, int status)
{
	struct msg *first = b->commands[0];

	assert_true(b->n_commands > 0);
	memmove(b->commands, b->commands + 1, --b->n_commands * sizeof(*b->commands));
	memory_port_reply(b->engine, first, status, STR("{}"));
	(void)msg_unref(first);
	run_some(b->loop);
}

void bench_advance(struct bench *b, uint64_t ms)
{
	enum { STEP = 1000 };

	for (uint64_t done = 0; done < ms; done += STEP) {
		loop_test_advance(b->loop, ms - done < STEP ? ms - done : STEP);
		run_some(b->loop);
	}
}
