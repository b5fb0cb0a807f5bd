/* SPDX-License-Identifier: MIT */
/* The contract's row of the AMQP bus: its outside is a broker that confirms when the test says so. */
#include <stdlib.h>

#include "buses/amqp/amqp.h"
#include "buses/amqp/amqp_broker.h"
#include "buses/amqp/amqp_conf.h"
#include "contract.h"

struct outside {
	struct broker *broker;
	struct amqp_conf conf;
	char url[64];
};

static void setup(struct contract *c, const void **conf)
{
	struct outside *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	o->broker = broker_create(c->loop);
	o->conf = (struct amqp_conf){ .name = (char *)"rabbit",
				      .url = (char *)broker_url(o->broker, o->url),
				      .heartbeat_ms = 600000,
				      .connect_timeout_ms = 600000,
				      .prefetch = 100,
				      .queue_grace_ms = 3000000,
				      .queue_sweep_ms = 4000000,
				      .queue_age_max_ms = 5000000 };
	c->outside = o;
	*conf = &o->conf;
}

static void teardown(struct contract *c)
{
	struct outside *o = c->outside;

	(void)broker_destroy(o->broker);
	free(o);
}

static bool answer(struct contract *c, bool good)
{
	return broker_confirm(((struct outside *)c->outside)->broker, good);
}

static void lose(struct contract *c)
{
	struct outside *o = c->outside;

	o->broker->away = true;
	broker_hang_up(o->broker);
}

static void restore(struct contract *c)
{
	((struct outside *)c->outside)->broker->away = false;
}

const struct contract_row contract_amqp = {
	.what = "the AMQP bus",
	.ops = &amqp_bus_ops,
	.setup = setup,
	.teardown = teardown,
	.answer = answer,
	.lose = lose,
	.restore = restore,
	.back_ms = 60000,
};
