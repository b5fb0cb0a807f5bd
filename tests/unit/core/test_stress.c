/* SPDX-License-Identifier: MIT */
/*
 * Random operations against a model: 200 channels come, talk and go; commands are given and
 * answered, late or never; the bus is slow, refuses, loses its link; the engine does too; with a
 * journal the hub is also stopped and started again in the middle.
 *
 * What the model checks at each message and at the end: no event is lost, none comes before an
 * older one of its call, none before the call's AppStart; every command that was taken is answered
 * once and settled once; a message comes again only if it was given back; nothing is left over.
 * The seed is printed; VOXBUS_SEED runs another one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/map.h"
#include "core_test.h"

enum {
	CHANNELS = 200,
	EVENTS = 40000,
	COMMANDS = 10000,
	HELD = 64, /* the bus's capacity */
	ENGINE_HELD = 16,
	OPENS = OBJECT_OPENS | OBJECT_BINDS,
};

struct call {
	struct map_node node; /* stress.calls */
	bool announced;
	uint64_t events, replies; /* the highest number seen */
	unsigned newest;          /* event of the model */
	char id[64];
};

struct stress {
	unsigned seed;
	const char *dir;
	struct loop *loop;
	struct journal *journal;
	struct streams *streams;
	struct hub *hub;
	struct memory_conf bus_conf, engine_conf;
	struct memory_port *bus, *engine;
	bool bus_up, engine_up;
	struct msg *held[HELD], *commands[ENGINE_HELD];
	size_t n_held, n_commands;
	struct map calls; /* struct call.node */
	struct call *recent[32];
	size_t n_recent;
	unsigned n_events, taken_commands, n_tags;
	bool wanted[EVENTS], seen[EVENTS];
	bool asked[COMMANDS];
	unsigned char answered[COMMANDS], settled[COMMANDS];
	uint64_t again, again_allowed;
};

static unsigned draw(struct stress *s, unsigned below)
{
	s->seed = s->seed * 1103515245 + 12345;
	return (s->seed >> 8) % below;
}

static struct call *call_of(struct stress *s, struct str id)
{
	struct map_node *node = map_find(&s->calls, id);

	return node ? container_of(node, struct call, node) : NULL;
}

static void seen_announce(struct stress *s, const struct msg *m)
{
	struct call *c = call_of(s, m->dialog);

	if (c) {
		s->again++;
		return;
	}
	c = calloc(1, sizeof(*c));
	assert_non_null(c);
	(void)snprintf(c->id, sizeof(c->id), "%.*s", STR_ARG(m->dialog));
	assert_int_equal(map_add(&s->calls, &c->node, str_from(c->id)), 0);
	s->recent[s->n_recent++ % 32] = c;
}

/* true: it is new. */
static bool seen_number(struct stress *s, uint64_t *highest, uint64_t seq)
{
	if (seq <= *highest) {
		s->again++;
		return false;
	}
	assert_int_equal(seq, *highest + 1); /* else one is lost, or comes before an older one */
	*highest = seq;
	return true;
}

static unsigned number_of(struct str text)
{
	uint64_t n;

	assert_int_equal(str_u64(text, &n), 0);
	return (unsigned)n;
}

static void on_bus_send(void *arg, struct msg *m)
{
	struct stress *s = arg;
	struct call *c;

	assert_true(s->bus_up && s->n_held < HELD);
	s->held[s->n_held++] = msg_ref(m);
	if (m->kind == MSG_ANNOUNCE) {
		seen_announce(s, m);
		return;
	}
	c = call_of(s, m->dialog);
	assert_non_null(c); /* AppStart first */
	if (m->kind == MSG_EVENT && seen_number(s, &c->events, m->seq)) {
		unsigned n = number_of(blob_str(m->payload));

		assert_true(n > c->newest);
		c->newest = n;
		s->seen[n] = true;
	} else if (m->kind == MSG_REPLY && seen_number(s, &c->replies, m->seq)) {
		s->answered[number_of(m->id)]++;
	}
}

static void on_bus_settle(void *arg, uint64_t tag, int result)
{
	struct stress *s = arg;

	assert_int_equal(result, 0);
	s->settled[tag]++;
}

static void on_engine_send(void *arg, struct msg *m)
{
	struct stress *s = arg;

	assert_true(s->engine_up && s->n_commands < ENGINE_HELD);
	s->commands[s->n_commands++] = msg_ref(m);
}

static void start(struct stress *s)
{
	struct hub_options options;
	struct port *bus, *engine;
	struct err e = { "" };

	assert_int_equal(loop_create_manual(&s->loop), 0);
	assert_int_equal(streams_create(s->loop, NULL, NULL, &s->streams), 0);
	if (s->dir) {
		struct journal_options jo = { .dir = s->dir, .segment_bytes = 1 << 20 };
		struct journal_events events;

		streams_journal_events(s->streams, &events);
		if (journal_open(s->loop, &jo, NULL, &events, &s->journal, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(streams_set_journal(s->streams, s->journal), 0);
	}
	options = (struct hub_options){ .loop = s->loop,
					.node = "test",
					.journal = s->journal,
					.streams = s->streams,
					.linger_ms = 2000,
					.command_deadline_ms = 5000,
					.commands_max = 20 };
	assert_int_equal(hub_create(&options, &s->hub), 0);
	s->bus_conf = (struct memory_conf){ .ret = &s->bus,
					    .on_send = on_bus_send,
					    .on_settle = on_bus_settle,
					    .arg = s,
					    .manual = true,
					    .capacity = HELD };
	s->engine_conf = (struct memory_conf){
		.ret = &s->engine, .on_send = on_engine_send, .arg = s, .capacity = ENGINE_HELD
	};
	s->bus_up = s->engine_up = true;
	assert_int_equal(hub_add_port(s->hub, &memory_bus_ops, "bus", &s->bus_conf, &bus, &e), 0);
	assert_int_equal(
		hub_add_port(s->hub, &memory_engine_ops, "engine", &s->engine_conf, &engine, &e),
		0);
	assert_int_equal(
		hub_add_application(s->hub, STR("app"),
				    &(struct application_options){ .bus = bus, .record = s->dir }),
		0);
	assert_int_equal(hub_start(s->hub, &e), 0);
}

static void stop(struct stress *s)
{
	s->again_allowed += s->n_held;
	while (s->n_held)
		(void)msg_unref(s->held[--s->n_held]);
	while (s->n_commands)
		(void)msg_unref(s->commands[--s->n_commands]);
	s->hub = hub_destroy(s->hub);
	s->journal = journal_close(s->journal);
	s->streams = streams_destroy(s->streams);
	s->loop = loop_destroy(s->loop);
}

/* Until all that was appended is durable and nothing more happens. */
static void settle_down(struct stress *s)
{
	uint64_t lsn = 0;

	if (s->journal)
		assert_int_equal(journal_put(s->journal, STR("test"), STR("x"), &lsn), 0);
	for (int i = 0; s->journal && journal_durable(s->journal) < lsn && i < 20000; i++) {
		loop_turn(s->loop);
		(void)usleep(100);
	}
	for (int i = 0; i < 20; i++)
		loop_turn(s->loop);
}

/* ---- what happens */

static void event(struct stress *s, unsigned channel, const char *type, unsigned verbs)
{
	struct object_ref refs[2];
	char ids[2][16], text[16];
	struct delivery e = { .kind = MSG_EVENT,
			      .application = STR("app"),
			      .type = str_from(type),
			      .objects = refs,
			      .n_objects = draw(s, 8) == 0 ? 2 : 1 };
	unsigned n = ++s->n_events;

	assert_true(n < EVENTS);
	for (size_t i = 0; i < e.n_objects; i++) {
		unsigned which = i ? draw(s, CHANNELS) : channel;
		int len = snprintf(ids[i], sizeof(ids[i]), "c%u", which);

		refs[i] = (struct object_ref){ .id = str_make(ids[i], (size_t)len),
					       .verbs = i ? 0 : verbs };
	}
	e.payload = str_make(text, (size_t)snprintf(text, sizeof(text), "%u", n));
	if (port_deliver(memory_port_port(s->engine), &e) == 0)
		s->wanted[n] = true;
}

static void command(struct stress *s)
{
	static const char *const methods[] = { "GET", "POST", "DELETE" };
	char topic[96], id[16];
	const struct call *c = s->n_recent ? s->recent[draw(s, 32) % s->n_recent] : NULL;
	unsigned n = s->n_tags + 1;
	struct delivery d = { .kind = MSG_COMMAND, .tag = n, .target = STR("/x") };
	int rc;

	if (!c || n >= COMMANDS)
		return;
	d.type = str_from(methods[draw(s, 3)]);
	d.topic = str_make(topic, (size_t)snprintf(topic, sizeof(topic), "commands_%s", c->id));
	d.id = str_make(id, (size_t)snprintf(id, sizeof(id), "%u", n));
	rc = port_deliver(memory_port_port(s->bus), &d);
	assert_true(rc == 0 || rc == -ENOENT || rc == -EBUSY);
	if (rc == 0)
		s->asked[s->n_tags = n] = true;
}

static void reply(struct stress *s)
{
	size_t i = s->n_commands ? draw(s, (unsigned)s->n_commands) : 0;
	struct msg *m = s->commands[i];

	if (!s->n_commands)
		return;
	s->commands[i] = s->commands[--s->n_commands];
	memory_port_reply(s->engine, m, 200, STR("{}"));
	(void)msg_unref(m);
}

static void settle(struct stress *s, bool good)
{
	size_t i = s->n_held ? draw(s, (unsigned)s->n_held) : 0;
	struct msg *m = s->held[i];

	if (!s->n_held)
		return;
	s->held[i] = s->held[--s->n_held];
	s->again_allowed += !good;
	memory_port_settle(s->bus, m, good ? 0 : -EIO);
	(void)msg_unref(m);
}

static void bus_link(struct stress *s, bool up)
{
	if (s->bus_up && !up)
		s->again_allowed += s->n_held;
	s->bus_up = up;
	memory_port_up(s->bus, up);
}

static void engine_link(struct stress *s, bool up)
{
	s->engine_up = up;
	memory_port_up(s->engine, up);
}

static void something(struct stress *s)
{
	unsigned what = draw(s, 1000), channel = draw(s, CHANNELS);

	if (what < 60)
		event(s, channel, "StasisStart", OPENS);
	else if (what < 90)
		event(s, channel, "StasisEnd", OBJECT_LEAVES);
	else if (what < 120)
		event(s, channel, "ChannelDestroyed", OBJECT_ENDS);
	else if (what < 450)
		event(s, channel, "ChannelVarset", 0);
	else if (what < 550)
		command(s);
	else if (what < 640)
		reply(s);
	else if (what < 900)
		settle(s, true);
	else if (what < 915)
		settle(s, false);
	else if (what < 919)
		bus_link(s, !s->bus_up);
	else if (what < 922)
		engine_link(s, !s->engine_up);
	else if (what < 930)
		loop_test_advance(s->loop, draw(s, 1500));
	else
		loop_turn(s->loop);
}

/* Everything is answered and settled, everybody leaves. */
static void finish(struct stress *s)
{
	struct hub_stats hub;

	bus_link(s, true);
	engine_link(s, true);
	for (unsigned i = 0; i < CHANNELS; i++) {
		event(s, i, "ChannelDestroyed", OBJECT_ENDS);
	}
	for (int i = 0; i < 3000; i++) {
		settle_down(s);
		while (s->n_held)
			settle(s, true);
		while (s->n_commands)
			reply(s);
		loop_test_advance(s->loop, 500);
		hub_stats(s->hub, &hub);
		if (!hub.dialogs && !hub.closed && !s->n_held)
			break;
	}
	settle_down(s);
}

static void check(struct stress *s)
{
	struct stream_stats streams;
	struct hub_stats hub;

	hub_stats(s->hub, &hub);
	streams_stats(s->streams, &streams);
	assert_int_equal(hub.dialogs, 0);
	assert_int_equal(hub.closed, 0);
	assert_int_equal(streams.streams, 1); /* the application's */
	assert_int_equal(streams.messages_in_memory, 0);
	assert_int_equal(streams.bytes_in_memory, 0);
	assert_int_equal(streams.dropped, 0);
	for (unsigned i = 1; i <= s->n_events; i++)
		assert_int_equal(s->seen[i], s->wanted[i]);
	for (unsigned i = 1; i <= s->n_tags; i++) {
		assert_int_equal(s->answered[i], s->asked[i]);
		assert_true(s->settled[i] <= 1);
		if (!s->dir)
			assert_int_equal(s->settled[i], s->asked[i]);
	}
	/* A restart also brings again what was settled behind something that was not. */
	if (!s->dir)
		assert_true(s->again <= s->again_allowed);
}

static void run(unsigned seed, const char *dir, int operations)
{
	struct stress *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	print_message("seed %u%s\n", seed, dir ? ", with a journal" : "");
	s->seed = seed;
	s->dir = dir;
	map_init(&s->calls);
	start(s);
	for (int i = 1; i <= operations; i++) {
		something(s);
		if (dir && i % 1500 == 0) {
			stop(s);
			start(s);
		}
	}
	finish(s);
	check(s);
	print_message("%u events, %u commands, %zu calls, %u again\n", s->n_events, s->n_tags,
		      s->calls.count, (unsigned)s->again);
	stop(s);
	map_for_each (it, &s->calls)
		free(container_of(it, struct call, node));
	map_fini(&s->calls);
	free(s);
}

static unsigned seed_of(unsigned standard)
{
	const char *text = getenv("VOXBUS_SEED");
	uint64_t n;

	return text && str_u64(str_from(text), &n) == 0 ? (unsigned)n : standard;
}

static void nothing_is_lost_or_inverted_in_memory(void **state)
{
	for (unsigned i = 0; i < 3; i++)
		run(seed_of(20260101) + i, NULL, 20000);
}

static void nothing_is_lost_or_inverted_over_restarts(void **state)
{
	char dir[64];

	for (unsigned i = 0; i < 2; i++) {
		dir_make(dir);
		run(seed_of(4711) + i, dir, 6000);
		dir_remove(dir);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_or_inverted_in_memory),
		cmocka_unit_test(nothing_is_lost_or_inverted_over_restarts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
