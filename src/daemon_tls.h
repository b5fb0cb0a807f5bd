/* SPDX-License-Identifier: MIT */
/* The certificates and keys that a configuration names: made into contexts, or only looked at. */
#ifndef VOXBUS_DAEMON_TLS_H
#define VOXBUS_DAEMON_TLS_H

#include <stdio.h>

#include "config/voxbus_conf.h"
#include "loop/loop.h"

struct tls_context;

/* *ret = NULL where there is no certificate. key ("http.tls") is for the sentence. */
int daemon_tls_server(struct loop *loop, const struct tls_server_conf *conf, const char *key,
		      struct tls_context **ret, struct err *e);
/*
 * For --check: whether all files of TLS are there, readable, fitting and valid now. 0, or a sentence
 * that begins with the configuration's name; what is only a warning is a line on out.
 */
int daemon_tls_check(const struct voxbus_conf *conf, const char *name, FILE *out, struct err *e);

#endif
