/* SPDX-License-Identifier: MIT */
/*
 * The NATS bus: what the hub sends goes out in rounds, what clients send comes in by subscriptions.
 *
 * While a round is under way (nats_line.h) the next one gathers; so a quiet bus has one message a
 * round and a busy one thousands, at the same price for the round. Who waits for what: a message is
 * settled, and a subscription granted, at the end of the round that it was in.
 */
#include "buses/nats/nats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "buses/nats/nats_internal.h"

/* ---- rounds */

static void wants_forget(struct nats *n)
{
	list_for_each_safe (it, &n->wants) {
		struct nats_want *want = container_of(it, struct nats_want, link);

		list_del(it);
		free(want);
	}
}

/* Before the messages: a call is announced when its commands are heard. */
static void fill_wants(struct nats *n)
{
	list_for_each_safe (it, &n->wants) {
		struct nats_want *want = container_of(it, struct nats_want, link);
		struct str topic = str_make(want->topic, want->n);

		if (nats_batch_is_full(&n->batch) ||
		    nats_batch_begin(&n->batch, want->kind, topic, NULL) < 0)
			return;
		if (want->kind == NATS_PUB)
			(void)buf_add(&n->batch.bytes, STR("+ACK"));
		(void)nats_batch_end(&n->batch);
		list_del(it);
		free(want);
	}
}

/* A stream brings commands as they are asked for, so that they never pile up here. */
static void fill_pull(struct nats *n)
{
	struct nats_commands_stats in;
	uint64_t due;

	nats_commands_stats(n->commands, &in);
	due = n->pulled > in.come ? n->pulled - in.come : 0;
	if (!n->conf->jetstream.stream || n->paused || due > NATS_PULL_MAX / 2 ||
	    nats_batch_is_full(&n->batch) ||
	    nats_batch_begin(&n->batch, NATS_PULL, STR(""), NULL) < 0)
		return;
	(void)buf_addf(&n->batch.bytes, "{\"batch\":%" PRIu64 "}", NATS_PULL_MAX - due);
	(void)nats_batch_end(&n->batch);
	n->pulled = in.come + NATS_PULL_MAX;
}

void nats_round(struct nats *n, bool ping)
{
	if (!n->up || nats_line_is_busy(n->line))
		return;
	nats_batch_clear(&n->batch);
	fill_wants(n);
	fill_pull(n);
	nats_outbox_fill(n->outbox, &n->batch, n->max_payload);
	if (n->batch.n || ping)
		nats_line_round(n->line, &n->batch, n->conf->dead_ms * 2);
}

static void on_pump(void *arg)
{
	struct nats *n = arg;

	nats_outbox_trim(n->outbox);
	nats_round(n, false);
}

void nats_round_done(struct nats *n, struct nats_batch *batch)
{
	for (size_t i = 0; i < batch->n; i++) {
		if (batch->entries[i].kind == NATS_STORE &&
		    batch->entries[i].result == -EHOSTUNREACH) {
			/* What it did store before is known by its id when it comes again. */
			nats_link_lost(n, "its stream is gone");
			return;
		}
	}
	for (size_t i = 0; i < batch->n && n->up; i++) {
		const struct nats_entry *entry = &batch->entries[i];

		if (entry->kind == NATS_SUB)
			port_listening(n->port, nats_batch_subject(batch, entry), entry->result);
	}
	nats_outbox_confirmed(n->outbox, batch);
	/* In a turn of its own, so that what these upcalls brought about is in it. */
	task_defer(&n->pump);
}

void nats_forget(struct nats *n)
{
	task_cancel(&n->pump);
	wants_forget(n);
	nats_outbox_reset(n->outbox);
}

/* ---- what the parts ask of us */

static void on_settle(void *arg, const struct msg *msg, int result)
{
	struct nats *n = arg;

	port_settle(n->port, msg, result);
}

static void on_writable(void *arg)
{
	struct nats *n = arg;

	port_writable(n->port);
}

static void on_ready(void *arg)
{
	struct nats *n = arg;

	if (n->up)
		task_defer(&n->pump);
}

static void on_touched(void *arg, struct str dialog)
{
	struct nats *n = arg;

	nats_outbox_touched(n->outbox, dialog);
}

static int want(struct nats *n, enum nats_kind kind, struct str topic)
{
	struct nats_want *w = malloc(sizeof(*w) + topic.n);

	if (!w)
		return -ENOMEM;
	w->kind = kind;
	w->n = topic.n;
	memcpy(w->topic, topic.p, topic.n);
	list_add_tail(&n->wants, &w->link);
	on_ready(n);
	return 0;
}

/* Without memory it is brought again, and known. */
static void on_acknowledge(void *arg, const char *reply)
{
	struct nats *n = arg;

	if (n->up)
		(void)want(n, NATS_PUB, str_from(reply));
}

/* A response that no engine gave: it has no number, as it is in no stream. */
static void on_answer(void *arg, struct str dialog, struct str id, int status, struct str text)
{
	struct nats *n = arg;
	char topic[256];
	int len = snprintf(topic, sizeof(topic), "responses_%.*s", STR_ARG(dialog));
	struct blob *body = blob_create(text);
	struct msg init = { .kind = MSG_REPLY,
			    .status = status,
			    .wall_ns = clock_wall_ns(),
			    .topic = str_make(topic, (size_t)len),
			    .dialog = dialog,
			    .id = id,
			    .content_type = STR("text/plain"),
			    .payload = body };
	struct msg *msg = body && len < (int)sizeof(topic) ? msg_create(&init) : NULL;

	if (msg && n->up)
		(void)nats_outbox_answer(n->outbox, msg);
	(void)msg_unref(msg);
	(void)blob_unref(body);
}

/* ---- life */

void nats_closed(struct nats *n)
{
	if (!n->stopping || n->closed_said)
		return;
	n->closed_said = true;
	timer_stop(&n->stop);
	port_set_state(n->port, PORT_CLOSED, "stopped");
}

static void on_closed(void *arg)
{
	nats_closed(arg);
}

static void on_stop_late(void *arg)
{
	struct nats *n = arg;

	log_warn(n->env.log, "stop not waited for", "after_ms=%d then=%s", NATS_STOP_MS,
		 "the library's thread is left to end by itself");
	nats_closed(n);
}

static int make_parts(struct nats *n)
{
	char client[200];
	struct nats_line_options line = { .loop = n->env.loop,
					  .log = n->env.log,
					  .conf = n->conf,
					  .client = client,
					  .events = &nats_link_events,
					  .arg = n };
	struct nats_outbox_options outbox = { .loop = n->env.loop,
					      .log = n->env.log,
					      .node = str_from(n->env.node),
					      .hold_ms = n->conf->hold_ms,
					      .prefix = n->conf->jetstream.stream
								? n->conf->jetstream.prefix
								: NULL,
					      .settle = on_settle,
					      .writable = on_writable,
					      .ready = on_ready,
					      .arg = n };
	struct nats_commands_options commands = { .port = n->port,
						  .loop = n->env.loop,
						  .log = n->env.log,
						  .answer = on_answer,
						  .acknowledge = n->conf->jetstream.stream
									 ? on_acknowledge
									 : NULL,
						  .touched = on_touched,
						  .arg = n };

	(void)snprintf(client, sizeof(client), "voxbus/%s/%s", n->env.node, n->env.name);
	if (nats_batch_init(&n->batch) < 0 || nats_line_create(&line, &n->line) < 0 ||
	    nats_outbox_create(&outbox, &n->outbox) < 0)
		return -ENOMEM;
	commands.line = n->line;
	return nats_commands_create(&commands, &n->commands);
}

static void nats_destroy(void *self)
{
	struct nats *n = self;

	if (!n)
		return;
	task_cancel(&n->pump);
	task_cancel(&n->closed);
	timer_stop(&n->dial);
	timer_stop(&n->tick);
	timer_stop(&n->stop);
	n->commands = nats_commands_destroy(n->commands);
	n->line = nats_line_destroy(n->line);
	n->outbox = nats_outbox_destroy(n->outbox);
	wants_forget(n);
	nats_batch_fini(&n->batch);
	free(n);
}

static int nats_create(struct port *port, const struct port_env *env, const void *conf, void **ret,
		       struct err *e)
{
	struct nats *n = calloc(1, sizeof(*n));

	if (!n)
		return err_set(e, -ENOMEM, "out of memory");
	n->port = port;
	n->env = *env;
	n->conf = conf;
	if (n->conf->jetstream.stream)
		port_redelivers(port);
	list_init(&n->wants);
	task_init(&n->pump, env->loop, on_pump, n);
	task_init(&n->closed, env->loop, on_closed, n);
	timer_init(&n->stop, env->loop, on_stop_late, n);
	nats_link_init(n);
	if (make_parts(n) < 0) {
		nats_destroy(n);
		return err_set(e, -ENOMEM, "out of memory");
	}
	*ret = n;
	return 0;
}

static int nats_start(void *self, struct err *e)
{
	struct nats *n = self;
	int rc = nats_line_start(n->line);

	if (rc < 0)
		return err_set(e, rc, "no thread for the bus %s: %s", n->env.name, strerror(-rc));
	n->started = true;
	nats_link_start(n);
	return 0;
}

static void nats_stop(void *self)
{
	struct nats *n = self;

	if (n->stopping)
		return;
	n->stopping = true;
	nats_commands_stop(n->commands);
	nats_link_stop(n);
	if (n->started && timer_start(&n->stop, NATS_STOP_MS) == 0)
		nats_line_stop(n->line);
	else
		task_defer(&n->closed);
}

/* ---- messages */

static int nats_send(void *self, struct msg *msg)
{
	struct nats *n = self;

	return nats_outbox_send(n->outbox, msg);
}

static struct str dialog_of(struct str topic)
{
	return str_skip(topic, sizeof("commands_") - 1);
}

static int nats_listen(void *self, struct str topic, bool on)
{
	struct nats *n = self;
	int rc = on ? nats_outbox_opened(n->outbox, dialog_of(topic)) : 0;

	if (!on)
		nats_outbox_ended(n->outbox, dialog_of(topic));
	return rc < 0 ? rc : want(n, on ? NATS_SUB : NATS_UNSUB, topic);
}

static void nats_settle(void *self, uint64_t tag, int result)
{
	struct nats *n = self;

	nats_commands_settle(n->commands, tag, result);
}

static void nats_pause(void *self, bool on)
{
	struct nats *n = self;

	n->paused = on;
	nats_commands_pause(n->commands, on);
	if (!on)
		on_ready(n);
}

static size_t nats_stats(void *self, struct port_stat *ret, size_t max)
{
	const struct nats *n = self;
	struct nats_outbox_stats out;
	struct nats_commands_stats in;

	nats_outbox_stats(n->outbox, &out);
	nats_commands_stats(n->commands, &in);
	const struct port_stat all[] = {
		{ "reconnects", "Times the link was made anew.", false,
		  n->connects ? n->connects - 1 : 0 },
		{ "rounds", "Round trips (PING and PONG) that confirmed messages or life.", false,
		  n->rounds },
		{ "no_responders", "Answers that nobody listens (503).", false, out.no_responders },
		{ "not_stored", "Messages that the stream did not take at once.", false,
		  out.not_stored },
		{ "held", "Messages of topics that nobody listens to, now.", true, out.held },
		{ "in_flight", "Messages published and not confirmed, now.", true, out.in_flight },
		{ "topics", "Topics that something is known of, now.", true, out.topics },
		{ "lost", "Messages dropped: nobody came for them, or the server can't take them.",
		  false, out.lost },
		{ "dummies", "DUMMY messages, by which clients touch a topic.", false, in.dummies },
		{ "commands_unreadable", "Commands answered 400.", false, in.unreadable },
		{ "commands_unknown", "Commands for a call that there is not.", false, in.unknown },
		{ "commands_lost",
		  "Commands dropped, or answered 503 because nothing could take them.", false,
		  in.lost + nats_line_dropped(n->line) },
		{ "commands_waiting", "Commands that wait for room in their call, now.", true,
		  in.waiting },
	};
	size_t count = sizeof(all) / sizeof(*all);

	for (size_t i = 0; i < count && i < max; i++)
		ret[i] = all[i];
	return count < max ? count : max;
}

const struct port_ops nats_bus_ops = {
	.name = "nats",
	.roles = PORT_BUS,
	.create = nats_create,
	.start = nats_start,
	.send = nats_send,
	.settle = nats_settle,
	.listen = nats_listen,
	.pause = nats_pause,
	.stop = nats_stop,
	.destroy = nats_destroy,
	.stats = nats_stats,
};
