/* SPDX-License-Identifier: MIT */
/* The parts of voxbusd put together from a configuration, run, and taken apart again. */
#ifndef VOXBUS_DAEMON_H
#define VOXBUS_DAEMON_H

#include "base/err.h"
#include "config/voxbus_conf.h"

struct daemon;

/* The engines and buses that this build knows: for parsing a configuration. */
extern const struct conf_variant daemon_variants[];

/*
 * Makes the data directory, opens the journal, makes all parts and listens. Nothing runs yet.
 * file: the configuration's path, or NULL for the embedded defaults. conf is borrowed. A refusal's
 * sentence says what to do.
 */
int daemon_create(struct voxbus_conf *conf, const char *file, bool ari_proxy, struct daemon **ret,
		  struct err *e);
/* Starts the ports and runs until SIGTERM or SIGINT: 0, or why it could not start. */
int daemon_run(struct daemon *daemon, struct err *e);
struct daemon *daemon_destroy(struct daemon *daemon);

#endif
