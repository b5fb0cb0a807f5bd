/* SPDX-License-Identifier: MIT */
/* The schema of the long-poll bus. That the account exists is checked where the accounts are. */
#include "buses/longpoll/longpoll_conf.h"

#include "config/valid.h"

static const struct conf_key keys[] = {
	{ "name", CONF_STRING, offsetof(struct longpoll_conf, name), .required = true,
	  .valid = valid_name, .must = VALID_NAME_MUST,
	  .doc = "The bus's name, by which applications choose it." },
	{ "account", CONF_STRING, offsetof(struct longpoll_conf, account), .valid = valid_sid,
	  .must = VALID_SID_MUST,
	  .doc = "The sid of the account whose queues the topics are; not given, the only one." },
	{ "poll_timeout", CONF_DURATION, offsetof(struct longpoll_conf, poll_timeout_ms),
	  .def = "15s", .max = 600000,
	  .doc = "How long a poll that names no timeout waits for a message." },
	{ "body_max", CONF_SIZE, offsetof(struct longpoll_conf, body_max), .def = "256KiB",
	  .min = 1 << 10, .max = 1 << 20, .doc = "The largest message; a larger one gets 413." },
	{ 0 },
};

const struct conf_table longpoll_conf = { "longpoll", sizeof(struct longpoll_conf), keys };
