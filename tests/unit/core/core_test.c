/* SPDX-License-Identifier: MIT */
/* The world of core_test.h. */
#include "core_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TURNS = 50, WAIT_US = 200, WAITS = 20000 };

static void got_add(struct got *got, struct msg *msg)
{
	assert_true(got->n < sizeof(got->at) / sizeof(*got->at));
	got->at[got->n++] = msg_ref(msg);
}

void got_clear(struct got *got)
{
	while (got->n)
		(void)msg_unref(got->at[--got->n]);
}

static void on_bus_send(void *arg, struct msg *msg)
{
	struct world *w = arg;

	got_add(&w->sent, msg);
	if (msg->kind == MSG_ANNOUNCE)
		(void)snprintf(w->dialog, sizeof(w->dialog), "%.*s", STR_ARG(msg->dialog));
}

static void on_bus_settle(void *arg, uint64_t tag, int result)
{
	struct world *w = arg;

	w->settles++;
	w->last_settle = result;
}

static void on_engine_send(void *arg, struct msg *msg)
{
	struct world *w = arg;

	got_add(&w->commands, msg);
}

static void on_release(void *arg, struct str channel, const char *reason)
{
	struct world *w = arg;
	size_t n = strlen(w->released);

	(void)snprintf(w->released + n, sizeof(w->released) - n, "%s%.*s:%s", n ? " " : "",
		       STR_ARG(channel), reason);
}

static void open_journal(struct world *w, const char *dir)
{
	struct journal_options options = { .dir = dir, .segment_bytes = 1 << 20 };
	struct journal_events events;
	struct err e;

	streams_journal_events(w->streams, &events);
	if (journal_open(w->loop, &options, NULL, &events, &w->journal, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(streams_set_journal(w->streams, w->journal), 0);
}

void world_create(struct world *w, const struct world_options *o)
{
	struct application_options application;
	struct hub_options options;
	struct port *bus, *engine;
	struct err e = { "" };

	memset(w, 0, sizeof(*w));
	assert_int_equal(loop_create_manual(&w->loop), 0);
	assert_int_equal(streams_create(w->loop, NULL, NULL, &w->streams), 0);
	if (o->dir)
		open_journal(w, o->dir);
	options = (struct hub_options){ .loop = w->loop,
					.node = "test",
					.journal = w->journal,
					.streams = w->streams,
					.linger_ms = o->linger_ms,
					.dialogs_max = o->dialogs_max,
					.commands_max = o->commands_max,
					.results_bytes = o->results_bytes,
					.command_deadline_ms = o->deadline_ms };
	assert_int_equal(hub_create(&options, &w->hub), 0);
	w->bus_conf = (struct memory_conf){ .ret = &w->bus,
					    .on_send = on_bus_send,
					    .on_settle = on_bus_settle,
					    .arg = w,
					    .manual = o->manual_bus,
					    .manual_listen = o->manual_listen,
					    .away = o->bus_away,
					    .capacity = o->bus_capacity };
	w->engine_conf = (struct memory_conf){ .ret = &w->engine,
					       .on_send = on_engine_send,
					       .on_release = on_release,
					       .arg = w,
					       .parallel = o->parallel,
					       .away = o->engine_away };
	assert_int_equal(hub_add_port(w->hub, o->broker ? &memory_broker_ops : &memory_bus_ops,
				      "bus", &w->bus_conf, &bus, &e),
			 0);
	assert_int_equal(
		hub_add_port(w->hub, &memory_engine_ops, "engine", &w->engine_conf, &engine, &e),
		0);
	application = o->application;
	application.bus = bus;
	application.record = o->dir || o->record;
	assert_int_equal(hub_add_application(w->hub, STR("app"), &application), 0);
	assert_int_equal(hub_start(w->hub, &e), 0);
	world_settle(w);
}

void world_destroy(struct world *w)
{
	got_clear(&w->sent);
	got_clear(&w->commands);
	w->hub = hub_destroy(w->hub);
	w->journal = journal_close(w->journal);
	w->streams = streams_destroy(w->streams);
	w->loop = loop_destroy(w->loop);
}

static bool journal_idle(const struct world *w)
{
	return journal_durable(w->journal) >= w->last_lsn;
}

void world_settle(struct world *w)
{
	for (int i = 0; i < TURNS; i++)
		loop_turn(w->loop);
	/* A state of our own marks the end of what was appended before. */
	if (w->journal)
		assert_int_equal(journal_put(w->journal, STR("test"), STR("x"), &w->last_lsn), 0);
	for (int i = 0; w->journal && !journal_idle(w) && i < WAITS; i++) {
		loop_turn(w->loop);
		(void)usleep(WAIT_US);
	}
	for (int i = 0; i < TURNS; i++)
		loop_turn(w->loop);
}

int world_event(struct world *w, const char *type, unsigned verbs, const char *ids,
		const char *payload)
{
	struct object_ref refs[8];
	struct delivery e = { .kind = MSG_EVENT,
			      .application = STR("app"),
			      .type = str_from(type),
			      .payload = str_from(payload),
			      .objects = refs };
	struct str rest = str_from(ids);

	while (rest.p && rest.n) {
		struct str id = str_cut(&rest, ' ');

		refs[e.n_objects] = (struct object_ref){ .kind = OBJECT_CHANNEL,
							 .id = id,
							 .verbs = e.n_objects ? 0 : verbs };
		e.n_objects++;
	}
	return port_deliver(memory_port_port(w->engine), &e);
}

static int deliver(struct world *w, const char *method, const char *url, const char *id,
		   unsigned flags)
{
	char topic[80];
	int n = snprintf(topic, sizeof(topic), "commands_%s", w->dialog);
	struct delivery c = { .kind = MSG_COMMAND,
			      .flags = flags,
			      .tag = 7,
			      .topic = str_make(topic, (size_t)n),
			      .type = str_from(method),
			      .target = str_from(url),
			      .id = str_from(id) };

	return port_deliver(memory_port_port(w->bus), &c);
}

int world_command(struct world *w, const char *method, const char *url, const char *id)
{
	return deliver(w, method, url, id, 0);
}

int world_repeat(struct world *w, const char *method, const char *url, const char *id)
{
	return deliver(w, method, url, id, MSG_REDELIVERED);
}

const char *world_sent(struct world *w)
{
	static char text[4096];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < w->sent.n; i++) {
		const struct msg *m = w->sent.at[i];
		char status[16];
		int len = snprintf(status, sizeof(status), "%d", m->status);
		struct str what = m->kind == MSG_REPLY ? str_make(status, (size_t)len) : m->type;

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", i ? " " : "",
				      STR_ARG(what));
	}
	return text;
}

void dir_make(char path[64])
{
	(void)snprintf(path, 64, "/tmp/voxbus-test-XXXXXX");
	assert_non_null(mkdtemp(path));
}

void dir_remove(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char file[512];

		(void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		(void)unlink(file);
	}
	if (dir)
		(void)closedir(dir);
	(void)rmdir(path);
}

void world_create_call(struct world *w, const struct world_options *options, const char *id)
{
	world_create(w, options);
	(void)world_event(w, "StasisStart", OBJECT_OPENS | OBJECT_BINDS, id, "{}");
	world_settle(w);
	got_clear(&w->sent);
}

int world_setup(void **state)
{
	static struct world w;

	world_create(&w, &(struct world_options){ 0 });
	*state = &w;
	return 0;
}

int world_teardown(void **state)
{
	world_destroy(*state);
	return 0;
}

struct hub_stats world_hub_stats(const struct world *w)
{
	struct hub_stats stats;

	hub_stats(w->hub, &stats);
	return stats;
}
