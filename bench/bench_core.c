/* SPDX-License-Identifier: MIT */
/*
 * CPU per ARI event through the real engine, the hub and a memory bus.
 *
 * A flood of recorded frames comes over a real websocket on loopback; CPU is that of the loop's
 * thread (and, beside it, of all threads but the source's) between the first and the last event
 * at the bus, kernel time included. Order is checked by the number that each frame carries.
 *
 *   bench_core FIXTURES_DIR CALLS EVENTS_PER_CALL [JOURNAL_DIR]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ari_source.h"
#include "base/log.h"
#include "buses/memory/memory.h"
#include "core/hub.h"
#include "engines/asterisk/ari.h"
#include "engines/asterisk/ari_conf.h"
#include "journal/journal.h"

struct seen {
	uint64_t dialog; /* the first eight characters of its id */
	int32_t number;  /* of the event within its call */
	uint32_t place;  /* as it came */
};

struct bench {
	struct loop *loop;
	struct ari_source *source;
	uint64_t events, want, inverted, started_us, ended_us;
	double loop_cpu, all_cpu;
	struct seen *seen; /* `want` of them */
	unsigned calls;
};

static double seconds(const struct rusage *u)
{
	return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
	       (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

static double cpu(int who)
{
	struct rusage u;

	(void)getrusage(who, &u);
	return seconds(&u);
}

static void on_send(void *arg, struct msg *msg)
{
	struct bench *b = arg;
	struct str frame = blob_str(msg->payload);

	if (msg->kind != MSG_EVENT)
		return;
	if (b->events++ == 0) {
		b->started_us = loop_now_us();
		b->loop_cpu = cpu(RUSAGE_THREAD);
		b->all_cpu = cpu(RUSAGE_SELF);
	}
	/* Looked at after the run, so that the look costs little here. */
	if (b->events <= b->want) {
		struct seen *seen = &b->seen[b->events - 1];

		memcpy(&seen->dialog, msg->dialog.p, sizeof(seen->dialog));
		seen->number = (int32_t)ari_source_number(frame);
	}
	if (b->events == b->want) {
		b->ended_us = loop_now_us();
		b->loop_cpu = cpu(RUSAGE_THREAD) - b->loop_cpu;
		b->all_cpu = cpu(RUSAGE_SELF) - b->all_cpu;
		loop_stop(b->loop);
	}
}

static struct hub *make_hub(struct bench *b, struct journal *journal, struct streams *streams,
			    struct memory_conf *bus_conf, struct ari_conf *ari)
{
	struct hub_options options = {
		.loop = b->loop, .node = "bench", .journal = journal, .streams = streams
	};
	struct port *bus, *engine;
	struct err e = { "" };
	struct hub *hub;

	if (hub_create(&options, &hub) < 0 ||
	    hub_add_port(hub, &memory_bus_ops, "memory", bus_conf, &bus, &e) < 0 ||
	    hub_add_port(hub, &ari_engine_ops, "asterisk", ari, &engine, &e) < 0 ||
	    hub_add_application(
		    hub, STR("fx"),
		    &(struct application_options){ .bus = bus, .record = journal != NULL }) < 0 ||
	    hub_start(hub, &e) < 0) {
		(void)fprintf(stderr, "bench_core: %s\n", e.text);
		exit(1);
	}
	return hub;
}

static struct journal *open_journal(struct bench *b, struct streams *streams, const char *dir)
{
	struct journal_options options = { .dir = dir };
	struct journal_events events;
	struct journal *journal = NULL;
	struct err e = { "" };

	streams_journal_events(streams, &events);
	if (journal_open(b->loop, &options, NULL, &events, &journal, &e) < 0 ||
	    streams_set_journal(streams, journal) < 0) {
		(void)fprintf(stderr, "bench_core: %s\n", e.text);
		exit(1);
	}
	return journal;
}

static int by_dialog(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	if (x->dialog != y->dialog)
		return x->dialog < y->dialog ? -1 : 1;
	return x->place < y->place ? -1 : 1;
}

/* Each call's events must have come as 0, 1, 2, ... */
static void count_inverted(struct bench *b, unsigned events)
{
	for (uint32_t i = 0; i < b->want; i++)
		b->seen[i].place = i;
	qsort(b->seen, b->want, sizeof(*b->seen), by_dialog);
	for (uint64_t i = 0; i < b->want; i++)
		if (b->seen[i].number != (int32_t)(i % events))
			b->inverted++;
}

static void on_late(void *arg)
{
	struct bench *b = arg;

	(void)fprintf(stderr, "bench_core: only %" PRIu64 " of %" PRIu64 " events came\n",
		      b->events, b->want);
	exit(1);
}

/* Floods once the engine's websocket has been open for a moment. */
static void begin(struct bench *b, unsigned events)
{
	for (int i = 0; i < 5000 && !ari_source_ready(b->source); i++) {
		loop_turn(b->loop);
		(void)usleep(1000);
	}
	for (int i = 0; i < 100; i++) {
		loop_turn(b->loop);
		(void)usleep(1000);
	}
	ari_source_flood(b->source, 0, b->calls, events);
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct memory_conf bus_conf = { .on_send = on_send, .arg = &b };
	static char name[] = "asterisk", user[] = "ari", application[] = "fx";
	struct ari_conf ari = {
		.name = name,
		.username = user,
		.connections = 8,
		.ping_ms = 1000,
		.stale_ms = 2500,
		.dead_ms = 10000,
		.timeout_ms = 10000,
	};
	char *applications[] = { application }, url[64];
	struct streams *streams;
	struct journal *journal;
	struct timer late;
	struct hub *hub;
	unsigned events;

	if (argc < 4)
		return 2;
	b.calls = (unsigned)strtoul(argv[2], NULL, 10);
	events = (unsigned)strtoul(argv[3], NULL, 10);
	b.want = (uint64_t)b.calls * events;
	b.seen = calloc(b.want, sizeof(*b.seen));
	if (!b.seen)
		return 1;
	b.source = ari_source_start(argv[1]);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/ari", ari_source_port(b.source));
	ari.url = url;
	ari.applications = (struct conf_strings){ applications, 1 };
	(void)secret_set(&ari.password, STR("secret"));
	log_setup(LOG_WARN, LOG_LOGFMT, stderr);
	if (loop_create(&b.loop) < 0 || streams_create(b.loop, NULL, NULL, &streams) < 0)
		return 1;
	journal = argc > 4 ? open_journal(&b, streams, argv[4]) : NULL;
	hub = make_hub(&b, journal, streams, &bus_conf, &ari);
	timer_init(&late, b.loop, on_late, &b);
	(void)timer_start(&late, 20000);
	begin(&b, events);
	loop_run(b.loop);
	timer_stop(&late);
	ari_source_join(b.source);
	count_inverted(&b, events);
	(void)printf("%.0f %.2f %.2f %.0f %" PRIu64 " %.0f\n", (double)b.events,
		     b.loop_cpu * 1e6 / (double)b.want, b.all_cpu * 1e6 / (double)b.want,
		     (double)b.want * 1e6 / (double)(b.ended_us - b.started_us), b.inverted,
		     ari_source_frame_size(b.source));
	hub = hub_destroy(hub);
	journal = journal_close(journal);
	streams = streams_destroy(streams);
	b.loop = loop_destroy(b.loop);
	secret_fini(&ari.password);
	free(b.seen);
	return b.inverted ? 1 : 0;
}
