/* SPDX-License-Identifier: MIT */
/*
 * The memory port. A bus that is not manual keeps what it accepted in an array and settles all
 * of it in one task a turn, as a broker's confirms come in batches.
 */
#include "buses/memory/memory.h"

#include <errno.h>
#include <stdlib.h>

#include "base/list.h"

enum { HELD_FIRST = 64 };

struct topic {
	struct list link; /* memory_port.asked */
	size_t n;
	char text[];
};

struct memory_port {
	struct port *port;
	const struct memory_conf *conf;
	struct msg **held; /* accepted, to be settled in the next turn; n_held of them */
	size_t n_held, cap_held;
	size_t n_accepted;
	struct task settle;
	struct task grant;
	struct task close;
	struct list asked; /* struct topic.link */
	bool full, paused;
};

static void made_room(struct memory_port *m)
{
	if (m->n_accepted)
		m->n_accepted--;
	if (m->full) {
		m->full = false;
		port_writable(m->port);
	}
}

static void on_settle_task(void *arg)
{
	struct memory_port *m = arg;
	struct msg **held = m->held;
	size_t n = m->n_held, cap = m->cap_held;

	/* What is sent from here on waits for the next turn, in an array of its own. */
	m->held = NULL;
	m->n_held = m->cap_held = 0;
	for (size_t i = 0; i < n; i++) {
		port_settle(m->port, held[i], 0);
		(void)msg_unref(held[i]);
		made_room(m);
	}
	if (m->held) {
		free(held);
	} else {
		m->held = held;
		m->cap_held = cap;
	}
}

static int hold_reserve(struct memory_port *m)
{
	size_t cap = m->cap_held ? m->cap_held * 2 : HELD_FIRST;
	struct msg **held;

	if (m->n_held < m->cap_held)
		return 0;
	held = realloc(m->held, cap * sizeof(struct msg *));
	if (!held)
		return -ENOMEM;
	m->held = held;
	m->cap_held = cap;
	return 0;
}

static void grant(struct memory_port *m, struct topic *t, int result)
{
	list_del(&t->link);
	port_listening(m->port, str_make(t->text, t->n), result);
	free(t);
}

static void on_grant(void *arg)
{
	struct memory_port *m = arg;

	list_for_each_safe (it, &m->asked)
		grant(m, container_of(it, struct topic, link), 0);
}

void memory_port_grant(struct memory_port *m, int result)
{
	if (!list_empty(&m->asked))
		grant(m, container_of(m->asked.next, struct topic, link), result);
}

static void on_close(void *arg)
{
	struct memory_port *m = arg;

	task_cancel(&m->settle); /* what is in flight is dropped */
	task_cancel(&m->grant);
	port_set_state(m->port, PORT_CLOSED, "stopped");
}

static int memory_create(struct port *port, const struct port_env *env, const void *conf,
			 void **ret, struct err *e)
{
	struct memory_port *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(e, -ENOMEM, "out of memory");
	m->port = port;
	m->conf = conf;
	list_init(&m->asked);
	task_init(&m->settle, env->loop, on_settle_task, m);
	task_init(&m->grant, env->loop, on_grant, m);
	task_init(&m->close, env->loop, on_close, m);
	if (m->conf->ret)
		*m->conf->ret = m;
	*ret = m;
	return 0;
}

static int broker_create(struct port *port, const struct port_env *env, const void *conf,
			 void **ret, struct err *e)
{
	port_redelivers(port);
	return memory_create(port, env, conf, ret, e);
}

static int memory_start(void *self, struct err *e)
{
	struct memory_port *m = self;

	if (!m->conf->away)
		port_set_state(m->port, PORT_UP, "");
	return 0;
}

static int memory_accept(struct memory_port *m, struct msg *msg)
{
	if (m->conf->capacity && m->n_accepted >= m->conf->capacity) {
		m->full = true;
		return -EAGAIN;
	}
	m->n_accepted++;
	if (m->conf->on_send)
		m->conf->on_send(m->conf->arg, msg);
	return 0;
}

static int memory_bus_send(void *self, struct msg *msg)
{
	struct memory_port *m = self;
	int rc;

	if (m->conf->manual)
		return memory_accept(m, msg);
	rc = hold_reserve(m);
	if (rc == 0)
		rc = memory_accept(m, msg);
	if (rc < 0)
		return rc;
	m->held[m->n_held++] = msg_ref(msg);
	task_defer(&m->settle);
	return 0;
}

static int memory_engine_send(void *self, struct msg *msg)
{
	return memory_accept(self, msg);
}

static int memory_subjects(void *self, const struct msg *command, struct object_ref *ret, size_t n)
{
	const struct memory_port *m = self;
	struct str rest = command->target, parts[3];
	size_t k = 0;

	if (!m->conf->parallel)
		return -ENOENT;
	for (; rest.p && k < 3; k++)
		parts[k] = str_cut(&rest, '/');
	if (k < 2 || n == 0)
		return 0;
	if (str_eq(parts[1], STR("all")))
		return -ENOENT;
	if (k < 3 || !parts[2].n)
		return 0;
	*ret = (struct object_ref){ .kind = str_eq(parts[1], STR("playbacks")) ? OBJECT_PLAYBACK
									       : OBJECT_CHANNEL,
				    .id = parts[2] };
	return 1;
}

static void memory_release(void *self, struct str application, struct str channel,
			   const char *reason)
{
	struct memory_port *m = self;

	if (m->conf->on_release)
		m->conf->on_release(m->conf->arg, channel, reason);
}

static void memory_settle(void *self, uint64_t tag, int result)
{
	struct memory_port *m = self;

	if (m->conf->on_settle)
		m->conf->on_settle(m->conf->arg, tag, result);
}

static int memory_listen(void *self, struct str topic, bool on)
{
	struct memory_port *m = self;
	struct topic *t = on ? malloc(sizeof(*t) + topic.n) : NULL;

	if (!on)
		return 0;
	if (!t)
		return -ENOMEM;
	t->n = topic.n;
	memcpy(t->text, topic.p, topic.n);
	list_add_tail(&m->asked, &t->link);
	if (!m->conf->manual_listen)
		task_defer(&m->grant);
	return 0;
}

static void memory_pause(void *self, bool on)
{
	struct memory_port *m = self;

	m->paused = on;
}

static void memory_stop(void *self)
{
	struct memory_port *m = self;

	task_defer(&m->close);
}

static void memory_destroy(void *self)
{
	struct memory_port *m = self;

	task_cancel(&m->settle);
	task_cancel(&m->grant);
	task_cancel(&m->close);
	while (m->n_held)
		(void)msg_unref(m->held[--m->n_held]);
	free(m->held);
	list_for_each_safe (it, &m->asked)
		free(container_of(it, struct topic, link));
	free(m);
}

const struct port_ops memory_bus_ops = {
	.name = "memory",
	.roles = PORT_BUS,
	.create = memory_create,
	.start = memory_start,
	.send = memory_bus_send,
	.settle = memory_settle,
	.listen = memory_listen,
	.pause = memory_pause,
	.stop = memory_stop,
	.destroy = memory_destroy,
};

const struct port_ops memory_broker_ops = {
	.name = "memory",
	.roles = PORT_BUS,
	.create = broker_create,
	.start = memory_start,
	.send = memory_bus_send,
	.settle = memory_settle,
	.listen = memory_listen,
	.pause = memory_pause,
	.stop = memory_stop,
	.destroy = memory_destroy,
};

const struct port_ops memory_engine_ops = {
	.name = "memory",
	.roles = PORT_ENGINE,
	.create = memory_create,
	.start = memory_start,
	.send = memory_engine_send,
	.subjects = memory_subjects,
	.release = memory_release,
	.stop = memory_stop,
	.destroy = memory_destroy,
};

struct port *memory_port_port(struct memory_port *memory)
{
	return memory->port;
}

void memory_port_up(struct memory_port *memory, bool up)
{
	port_set_state(memory->port, up ? PORT_UP : PORT_DOWN,
		       up ? "" : "the test took the link away");
}

void memory_port_settle(struct memory_port *memory, const struct msg *msg, int result)
{
	port_settle(memory->port, msg, result);
	made_room(memory);
}

void memory_port_reply(struct memory_port *memory, const struct msg *command, int status,
		       struct str body)
{
	struct delivery reply = { .kind = MSG_REPLY,
				  .answers = command,
				  .status = status,
				  .content_type = STR("application/json"),
				  .payload = body };

	(void)port_deliver(memory->port, &reply);
	made_room(memory);
}

size_t memory_port_asked(const struct memory_port *memory)
{
	size_t n = 0;

	list_for_each (it, &memory->asked)
		n++;
	return n;
}

bool memory_port_paused(const struct memory_port *memory)
{
	return memory->paused;
}
