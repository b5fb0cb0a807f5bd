/* SPDX-License-Identifier: MIT */
/* The contract's row of the long-poll bus: its readers pull, so that nothing is sent to it. */
#include <stdlib.h>

#include "buses/longpoll/longpoll.h"
#include "buses/longpoll/longpoll_conf.h"
#include "contract.h"

static void setup(struct contract *c, const void **conf)
{
	struct longpoll_conf *own = calloc(1, sizeof(*own));

	assert_non_null(own);
	*own = (struct longpoll_conf){ .name = (char *)"bus",
				       .account = (char *)"AC1",
				       .poll_timeout_ms = 1000,
				       .body_max = 65536 };
	assert_int_equal(accounts_add(c->accounts, STR("AC1"), STR("secret")), 0);
	c->outside = own;
	*conf = own;
}

static void teardown(struct contract *c)
{
	free(c->outside);
}

const struct contract_row contract_longpoll = {
	.what = "the long-poll bus",
	.ops = &longpoll_bus_ops,
	.setup = setup,
	.teardown = teardown,
};
