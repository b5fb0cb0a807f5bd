/* SPDX-License-Identifier: MIT */
/*
 * A command is read when it is offered, so that one which waits is only the library's message.
 *
 * The order of a topic is kept: while one of its commands waits, those behind it wait, too.
 */
#include "buses/nats/nats_commands.h"

#include <errno.h>
#include <stdlib.h>

#include "envelope/envelope.h"

enum { ROUND = 128, TAKE_AGAIN_MS = 10 };

struct command {
	struct list link; /* nats_commands.taken or .waiting */
	natsMsg *msg;
	unsigned tries;
	size_t n;
	char topic[]; /* "commands_<dialog>" */
};

struct nats_commands {
	struct nats_commands_options opt;
	struct list taken;   /* struct command.link: the hub has them and will settle them */
	struct list waiting; /* struct command.link: it had no room */
	size_t n_taken, n_waiting;
	struct task more;
	struct timer again;
	bool paused, stopped;
	struct nats_commands_stats stats;
};

/* NULL: no memory. */
static struct command *command_create(const struct nats_commands *c, natsMsg *msg)
{
	struct str name = str_from(natsMsg_GetSubject(msg)), prefix = STR("");
	struct command *command;

	while (c->opt.acknowledge && name.p) { /* PREFIX.commands.<dialog> */
		struct str part = str_cut(&name, '.');

		prefix = STR("commands_");
		if (!name.p) {
			name = part;
			break;
		}
	}
	command = calloc(1, sizeof(*command) + prefix.n + name.n + 1);
	if (!command)
		return NULL;
	list_init(&command->link);
	command->msg = msg;
	command->n = prefix.n + name.n;
	memcpy(command->topic, prefix.p, prefix.n);
	memcpy(command->topic + prefix.n, name.p, name.n);
	return command;
}

static void command_free(struct command *command)
{
	list_del(&command->link);
	natsMsg_Destroy(command->msg);
	free(command);
}

static struct str topic_of(const struct command *command)
{
	return str_make(command->topic, command->n);
}

static struct str dialog_of(const struct command *command)
{
	return str_skip(topic_of(command), sizeof("commands_") - 1);
}

/* It is done with for good. */
static void finish(struct nats_commands *c, struct command *command)
{
	const char *reply = natsMsg_GetReply(command->msg);

	if (c->opt.acknowledge && reply)
		c->opt.acknowledge(c->opt.arg, reply);
	command_free(command);
}

/*
 * $JS.ACK.<stream>.<consumer>.<how often delivered>.<3 numbers>.<pending>, or, of newer servers,
 * with two parts more in front of the stream.
 */
static bool is_redelivered(const struct nats_commands *c, const struct command *command)
{
	struct str rest = str_from(natsMsg_GetReply(command->msg)), parts[12];
	uint64_t times = 0;
	size_t n = 0;

	while (c->opt.acknowledge && rest.p && n < 12)
		parts[n++] = str_cut(&rest, '.');
	return n >= 9 && str_u64(parts[n > 9 ? 6 : 4], &times) == 0 && times > 1;
}

static struct str text_of(const struct command *command)
{
	return str_make(natsMsg_GetData(command->msg), (size_t)natsMsg_GetDataLength(command->msg));
}

static void answer(struct nats_commands *c, const struct command *command, struct str id,
		   int status, const char *text)
{
	c->opt.answer(c->opt.arg, dialog_of(command), id, status, str_from(text));
}

/* ---- offering one */

static const char *refusal(int rc)
{
	switch (rc) {
	case -ENOSPC:
		return "voxbus has no room left on its disk; the command was not carried out";
	case -EIO:
		return "voxbus can't write its journal; the command was not carried out";
	case -EBUSY:
		return "too many commands of this call wait; the command was not carried out";
	default:
		return "voxbus could not take the command; it was not carried out";
	}
}

static void wait(struct nats_commands *c, struct command *command)
{
	c->n_waiting++;
	list_add_tail(&c->waiting, &command->link);
	if (!timer_running(&c->again))
		(void)timer_start(&c->again, NATS_COMMAND_AGAIN_MS);
}

/* The hub's word, or -EBADMSG, on one that is in no list. false: it may be offered again. */
static bool done_with(struct nats_commands *c, struct command *command, struct str id, int rc)
{
	if (rc == 0) {
		c->n_taken++;
		list_add_tail(&c->taken, &command->link);
		return true;
	}
	if ((rc == -EBUSY || rc == -EAGAIN || rc == -ENOMEM) &&
	    ++command->tries < NATS_COMMAND_TRIES)
		return false;
	if (rc == -ENOENT) {
		c->stats.unknown++;
	} else {
		c->stats.lost++;
		answer(c, command, id, 503, refusal(rc));
	}
	finish(c, command);
	return true;
}

static bool deliver(struct nats_commands *c, struct command *command,
		    const struct envelope_command *envelope)
{
	struct delivery d = { .kind = MSG_COMMAND,
			      .tag = (uint64_t)(uintptr_t)command,
			      .flags = is_redelivered(c, command) ? MSG_REDELIVERED : 0,
			      .topic = topic_of(command),
			      .type = envelope->method,
			      .target = envelope->url,
			      .id = envelope->unique_id,
			      .content_type = STR("application/json"),
			      .payload = envelope->body };

	return done_with(c, command, envelope->unique_id, port_deliver(c->opt.port, &d));
}

/* false: it may be offered again, and is in no list. */
static bool offer(struct nats_commands *c, struct command *command)
{
	struct envelope_command envelope;
	struct err e;
	int rc = envelope_command_parse(text_of(command), &envelope, &e);
	bool done = true;

	if (rc == -ENOMEM)
		return done_with(c, command, STR(""), rc);
	c->opt.touched(c->opt.arg, dialog_of(command));
	if (rc < 0) {
		c->stats.unreadable++;
		answer(c, command, STR(""), 400, e.text);
		finish(c, command);
		return true;
	}
	if (envelope.dummy) {
		c->stats.dummies++;
		port_touched(c->opt.port, topic_of(command));
		finish(c, command);
	} else {
		done = deliver(c, command, &envelope);
	}
	envelope_command_fini(&envelope);
	return done;
}

/* ---- new ones, and those that wait */

static bool topic_waits(const struct nats_commands *c, struct str topic)
{
	list_for_each (it, &c->waiting)
		if (str_eq(topic_of(container_of(it, struct command, link)), topic))
			return true;
	return false;
}

static void come(struct nats_commands *c, natsMsg *msg)
{
	struct command *command = command_create(c, msg);

	c->stats.come++;
	if (!command) {
		c->stats.lost++;
		natsMsg_Destroy(msg);
		return;
	}
	if ((c->n_waiting && topic_waits(c, topic_of(command))) || !offer(c, command))
		wait(c, command);
}

static bool takes_more(const struct nats_commands *c)
{
	return !c->paused && !c->stopped && c->n_waiting < NATS_COMMANDS_WAITING &&
	       c->n_taken < NATS_COMMANDS_TAKEN;
}

/* A round at a time; who has to wait for room is looked after by the timer or settle. */
void nats_commands_come(struct nats_commands *c)
{
	for (int i = 0; i < ROUND; i++) {
		natsMsg *msg = takes_more(c) ? nats_line_take(c->opt.line) : NULL;

		if (!msg)
			return;
		come(c, msg);
	}
	task_defer(&c->more);
}

static void on_more(void *arg)
{
	nats_commands_come(arg);
}

static void on_again(void *arg)
{
	struct nats_commands *c = arg;
	struct list now;

	list_init(&now);
	list_splice_tail(&now, &c->waiting);
	c->n_waiting = 0;
	while (!list_empty(&now)) {
		struct command *command = container_of(now.next, struct command, link);

		list_del(&command->link);
		if (topic_waits(c, topic_of(command)) || !offer(c, command))
			wait(c, command);
	}
	task_defer(&c->more);
}

/* ---- the port's ops */

/* The hub had taken it, and then could not keep it. */
static void refused(struct nats_commands *c, const struct command *command, int rc)
{
	struct envelope_command envelope;
	struct err e;

	c->stats.lost++;
	if (envelope_command_parse(text_of(command), &envelope, &e) < 0)
		return; /* no memory for it */
	answer(c, command, envelope.unique_id, 503, refusal(rc));
	envelope_command_fini(&envelope);
}

void nats_commands_settle(struct nats_commands *c, uint64_t tag, int result)
{
	struct command *command = (struct command *)(uintptr_t)tag;

	list_del(&command->link);
	c->n_taken--;
	if (result == -EAGAIN && !c->stopped) {
		wait(c, command);
	} else {
		if (result < 0 && !c->stopped)
			refused(c, command, result);
		finish(c, command);
	}
	task_defer(&c->more);
}

void nats_commands_pause(struct nats_commands *c, bool on)
{
	c->paused = on;
	if (!on)
		task_defer(&c->more);
}

void nats_commands_stop(struct nats_commands *c)
{
	c->stopped = true;
	task_cancel(&c->more);
	timer_stop(&c->again);
}

int nats_commands_create(const struct nats_commands_options *options, struct nats_commands **ret)
{
	struct nats_commands *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->opt = *options;
	list_init(&c->taken);
	list_init(&c->waiting);
	task_init(&c->more, options->loop, on_more, c);
	timer_init(&c->again, options->loop, on_again, c);
	*ret = c;
	return 0;
}

struct nats_commands *nats_commands_destroy(struct nats_commands *c)
{
	if (!c)
		return NULL;
	nats_commands_stop(c);
	list_for_each_safe (it, &c->taken)
		command_free(container_of(it, struct command, link));
	list_for_each_safe (it, &c->waiting)
		command_free(container_of(it, struct command, link));
	free(c);
	return NULL;
}

void nats_commands_stats(const struct nats_commands *c, struct nats_commands_stats *ret)
{
	*ret = c->stats;
	ret->waiting = c->n_waiting;
}
