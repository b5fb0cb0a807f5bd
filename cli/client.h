/* SPDX-License-Identifier: MIT */
/* How the commands come to an HTTP client. */
#ifndef VOXBUS_CLI_CLIENT_H
#define VOXBUS_CLI_CLIENT_H

#include "cli.h"

struct http_client;
struct loop;
struct tls_context;

enum { CLIENT_BODY_MAX = 16 << 20 };

/*
 * origin: http://, https:// (with the TLS options of the command line) or unix:. 0, *ret and *ret_tls
 * (which outlives the client; NULL without TLS), or a negative errno with a sentence.
 */
int client_create(const struct cli *cli, struct loop *loop, const char *origin,
		  struct tls_context **ret_tls, struct http_client **ret, struct err *e);
/* True, and the sentence: it was TLS that failed. */
bool client_explain_tls(const char *origin, int rc, struct err *e);

#endif
