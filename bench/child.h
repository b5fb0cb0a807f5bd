/* SPDX-License-Identifier: MIT */
/*
 * A voxbusd as a child of a benchmark: its start, what it costs, its end. It lives in a directory
 * of its own below BENCH_DIR (/tmp), which goes with it. Whatever fails ends the program with a line. Another
 * server beside it can be such a child, too.
 */
#ifndef VOXBUS_BENCH_CHILD_H
#define VOXBUS_BENCH_CHILD_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	int http, https;          /* ports for which the configuration is */
	char dir[80], admin[100]; /* the admin API's Unix socket */
	char heap[100];           /* where child_heap's figures are */
	char config[100];
};

struct child_heap {
	uint64_t bytes, blocks; /* in use, each with what malloc itself takes for it */
};

/* Makes the directory and draws the ports alone: for a program of another kind. */
void child_make(struct child *child);
/* Makes the directory, draws the ports, and opens the configuration for the members that it lacks. */
FILE *child_prepare(struct child *child);
/* Closes the configuration and starts; preload (may be NULL) is a library for LD_PRELOAD. */
void child_start(struct child *child, FILE *config, const char *voxbusd, const char *preload);
/* The same for any program; argv[0] is its path. */
void child_exec(struct child *child, const char *const argv[], const char *preload);
/* Waits until /readyz says so: microseconds since child_start. */
uint64_t child_wait_ready(struct child *child);
/* The body of an answer of the admin API, in a static buffer. */
const char *child_get(const struct child *child, const char *path);
/* The number behind "name": in /api/status, the first of that name. */
uint64_t child_status(const struct child *child, const char *name);
long child_rss_kib(const struct child *child);
/* CPU of all its threads in seconds. */
double child_cpu(const struct child *child);
/* Zeros unless it was started with heap_count.so. */
struct child_heap child_heap(const struct child *child);
/* A connected TCP socket to its HTTP port. */
int child_dial(const struct child *child);
/* A session from /auth for the account whose "sid:token" in Base64 is given. */
void child_log_in(const struct child *child, const char *basic, char session[64]);
/* SIGTERM, waits, removes the directory. */
void child_stop(struct child *child);

#endif
