/* SPDX-License-Identifier: MIT */
/* What the files of the admin share. */
#ifndef VOXBUS_API_ADMIN_INTERNAL_H
#define VOXBUS_API_ADMIN_INTERNAL_H

#include "api/admin.h"
#include "api/jout.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/secret.h"
#include "core/hub.h"
#include "net/http_server.h"

enum {
	ADMIN_ANSWER_MAX = 3 << 20, /* below the server's own bound for an answer */
	ADMIN_STATS_MAX = 32,
};

struct observer;

struct admin {
	struct admin_env env;
	struct secret token;
	uint64_t created_ms, created_wall_ms; /* both clocks, to notice a jump of the wall clock */
	struct list tails;                    /* struct tail.link */
	struct list purges;                   /* struct purge.link */
	size_t n_tails;
	struct observer *observer; /* while there are tails */
	struct timer tail_timer;
	uint64_t tail_lost; /* since the start */
	bool stopping;
};

/* What the process looks like from the kernel; 0 where it can't be told. */
struct process_view {
	uint64_t rss_bytes, open_fds, max_fds, disk_bytes, disk_free_bytes;
	bool data_dir_writable;
};
void process_view(const struct admin *admin, struct process_view *ret);

/* "engine" or "bus". */
const char *port_role_text(unsigned roles);
/* Strings into an array that is open; true = ready. j may be NULL. */
bool admin_reasons(struct admin *admin, struct jout *j);
/* Sends body, or 500 when rc < 0. */
void admin_answer(struct http_request *request, int status, struct str type, const struct buf *body,
		  int rc);

void admin_metrics(struct admin *admin, struct http_request *request);
void admin_status(struct admin *admin, struct http_request *request);
void admin_calls(struct admin *admin, struct http_request *request);
void admin_queues(struct admin *admin, struct http_request *request);
void admin_queue(struct admin *admin, struct http_request *request);
/* Forgets those that wait for the disk. */
void admin_purges_end(struct admin *admin);
void admin_replay(struct admin *admin, struct http_request *request);
void admin_tail(struct admin *admin, struct http_request *request);
void admin_doctor(struct admin *admin, struct http_request *request);
/* Ends or forgets all tails. */
void admin_tails_end(struct admin *admin);
void admin_tail_timer(void *arg);

#endif
