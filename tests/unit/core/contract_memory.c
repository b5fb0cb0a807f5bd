/* SPDX-License-Identifier: MIT */
/* The contract's rows of the memory ports: their outside is a list of what they accepted. */
#include <errno.h>
#include <stdlib.h>

#include "buses/memory/memory.h"
#include "contract.h"

enum { CAPACITY = 8 };

struct outside {
	struct memory_conf conf;
	struct memory_port *memory;
	struct msg *got[CAPACITY];
	size_t n;
};

static void on_send(void *arg, struct msg *msg)
{
	struct outside *o = arg;

	assert_true(o->n < CAPACITY);
	o->got[o->n++] = msg_ref(msg);
}

static void setup(struct contract *c, const void **conf)
{
	struct outside *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	o->conf = (struct memory_conf){ .ret = &o->memory,
					.on_send = on_send,
					.arg = o,
					.capacity = CAPACITY,
					.parallel = true,
					.manual = true };
	c->outside = o;
	*conf = &o->conf;
}

static void teardown(struct contract *c)
{
	struct outside *o = c->outside;

	while (o->n)
		(void)msg_unref(o->got[--o->n]);
	free(o);
}

static bool answer(struct contract *c, bool good)
{
	struct outside *o = c->outside;
	struct msg *m;

	if (!o->n)
		return false;
	m = o->got[0];
	o->n--;
	memmove(o->got, o->got + 1, o->n * sizeof(o->got[0]));
	if (c->row->ops->roles & PORT_BUS)
		memory_port_settle(o->memory, m, good ? 0 : -EIO);
	else
		memory_port_reply(o->memory, m, good ? 204 : 500, STR(""));
	(void)msg_unref(m);
	return true;
}

static void lose(struct contract *c)
{
	memory_port_up(((struct outside *)c->outside)->memory, false);
}

static void restore(struct contract *c)
{
	memory_port_up(((struct outside *)c->outside)->memory, true);
}

const struct contract_row contract_memory_bus = {
	.what = "the memory bus",
	.ops = &memory_bus_ops,
	.setup = setup,
	.teardown = teardown,
	.answer = answer,
	.lose = lose,
	.restore = restore,
};

const struct contract_row contract_memory_broker = {
	.what = "the memory bus that delivers again",
	.ops = &memory_broker_ops,
	.setup = setup,
	.teardown = teardown,
	.answer = answer,
	.lose = lose,
	.restore = restore,
};

const struct contract_row contract_memory_engine = {
	.what = "the memory engine",
	.ops = &memory_engine_ops,
	.setup = setup,
	.teardown = teardown,
	.answer = answer,
	.lose = lose,
	.restore = restore,
};
