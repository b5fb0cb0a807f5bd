/* SPDX-License-Identifier: MIT */
/* The keys of `buses: [{type: longpoll, ...}]`; their meaning is in voxbus.yaml(5). */
#ifndef VOXBUS_BUSES_LONGPOLL_LONGPOLL_CONF_H
#define VOXBUS_BUSES_LONGPOLL_LONGPOLL_CONF_H

#include "config/schema.h"

struct longpoll_conf {
	char *name;
	char *account;            /* a sid; NULL: the only account */
	uint64_t poll_timeout_ms; /* of a poll that names none */
	uint64_t body_max;        /* bytes of one message */
};

extern const struct conf_table longpoll_conf;

#endif
