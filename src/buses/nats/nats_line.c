/* SPDX-License-Identifier: MIT */
/*
 * One thread, one job, one post.
 *
 * Everything that crosses between the loop, our thread and the library's is under one mutex, which
 * is held for a few instructions only. The struct is counted: the loop, the thread, a post under
 * way, each subscription and connection of the library and each closing hand hold it, so that none
 * of them can find it gone, in whatever order they end.
 */
#include "buses/nats/nats_line.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "buses/nats/nats_line_internal.h"

enum { JOIN_MS = 600, CLOSE_MS = 500 };

/* Lines whose thread may use the library; the loop's. A thread that is left behind stays among them. */
static size_t lines_started;

void nats_line_lock(struct nats_line *line)
{
	(void)pthread_mutex_lock(&line->mutex);
}

void nats_line_unlock(struct nats_line *line)
{
	(void)pthread_mutex_unlock(&line->mutex);
}

void nats_line_ref(struct nats_line *line)
{
	nats_line_lock(line);
	line->refs++;
	nats_line_unlock(line);
}

static void line_free(struct nats_line *line)
{
	while (line->n_incoming) {
		natsMsg_Destroy(line->incoming[line->first]);
		line->first = (line->first + 1) % NATS_INCOMING_MESSAGES;
		line->n_incoming--;
	}
	free(line->incoming);
	map_fini(&line->heard);
	(void)pthread_cond_destroy(&line->cond);
	(void)pthread_mutex_destroy(&line->mutex);
	free(line);
}

void nats_line_unref(struct nats_line *line)
{
	bool last;

	nats_line_lock(line);
	last = --line->refs == 0;
	(void)pthread_cond_broadcast(&line->cond); /* for await_library */
	nats_line_unlock(line);
	if (last)
		line_free(line);
}

int nats_line_create(const struct nats_line_options *options, struct nats_line **ret)
{
	struct nats_line *line = calloc(1, sizeof(*line));

	if (!line)
		return -ENOMEM;
	line->incoming = calloc(NATS_INCOMING_MESSAGES, sizeof(natsMsg *));
	if (!line->incoming) {
		free(line);
		return -ENOMEM;
	}
	line->loop = options->loop;
	line->log = options->log;
	line->conf = options->conf;
	line->events = options->events;
	line->arg = options->arg;
	(void)snprintf(line->client, sizeof(line->client), "%s", options->client);
	(void)snprintf(line->durable, sizeof(line->durable), "%.150s", options->client);
	for (char *p = line->durable; *p; p++)
		if (strchr("./*> \t", *p))
			*p = '_';
	map_init(&line->heard);
	(void)pthread_mutex_init(&line->mutex, NULL);
	(void)pthread_cond_init(&line->cond, NULL);
	line->refs = 1;
	*ret = line;
	return 0;
}

/* ---- back to the loop */

struct news {
	enum line_job done;
	bool lost, ended, messages;
	char lost_reason[NATS_REASON];
};

/* Whether somebody still wants them. */
static bool news_take(struct nats_line *line, struct news *news)
{
	bool wanted;

	nats_line_lock(line);
	line->posted = false;
	*news = (struct news){ .done = line->done,
			       .lost = line->lost,
			       .ended = line->ended,
			       .messages = line->n_incoming > 0 };
	if (news->lost)
		(void)snprintf(news->lost_reason, sizeof(news->lost_reason), "%s",
			       line->lost_reason);
	line->done = JOB_NONE;
	line->lost = false;
	wanted = !line->gone;
	nats_line_unlock(line);
	return wanted;
}

/* Its user may let the line go in any of these calls: `gone` is looked at between them. */
static void news_tell(struct nats_line *line, const struct news *news)
{
	const struct nats_line_events *events = line->events;

	if (news->done != JOB_NONE)
		line->busy = false;
	if (news->done == JOB_CONNECT)
		events->on_connected(line->arg, line->rc, line->reason, &line->greeting);
	else if (news->done == JOB_ROUND)
		events->on_round(line->arg, line->batch, line->rc, line->reason);
	if (news->lost && !line->gone)
		events->on_lost(line->arg, news->lost_reason);
	if (news->messages && !line->gone)
		events->on_messages(line->arg);
	if (news->ended && !line->gone)
		events->on_ended(line->arg);
}

static void on_post(void *arg)
{
	struct nats_line *line = arg;
	struct news news;

	if (news_take(line, &news))
		news_tell(line, &news);
	nats_line_unref(line);
}

void nats_line_post(struct nats_line *line)
{
	if (line->posted || line->gone)
		return;
	line->posted = true;
	line->refs++;
	loop_post(line->loop, &line->post, on_post, line);
}

/* ---- the thread */

natsConnection *nats_line_connection(struct nats_line *line)
{
	natsConnection *nc;

	nats_line_lock(line);
	nc = line->nc;
	nats_line_unlock(line);
	return nc;
}

static void *line_main(void *arg)
{
	struct nats_line *line = arg;

	nats_line_lock(line);
	while (!line->stopping) {
		enum line_job job = line->job;

		if (job == JOB_NONE) {
			(void)pthread_cond_wait(&line->cond, &line->mutex);
			continue;
		}
		nats_line_unlock(line);
		line->reason[0] = '\0';
		line->rc = job == JOB_CONNECT ? nats_line_dial(line) : nats_line_run(line);
		nats_line_lock(line);
		line->job = JOB_NONE;
		line->done = job;
		nats_line_post(line);
	}
	nats_line_unlock(line);
	nats_line_hang_up(line);
	nats_line_lock(line);
	line->ended = true;
	nats_line_post(line);
	nats_line_unlock(line);
	nats_ReleaseThreadMemory();
	nats_line_unref(line);
	return NULL;
}

int nats_line_start(struct nats_line *line)
{
	int rc;

	nats_line_ref(line);
	rc = pthread_create(&line->thread, NULL, line_main, line);
	if (rc) {
		nats_line_unref(line);
		return -rc;
	}
	line->started = true;
	lines_started++;
	return 0;
}

static void give(struct nats_line *line, enum line_job job)
{
	line->busy = true;
	nats_line_lock(line);
	line->job = job;
	(void)pthread_cond_broadcast(&line->cond);
	nats_line_unlock(line);
}

void nats_line_connect(struct nats_line *line, struct str host_port)
{
	(void)snprintf(line->host_port, sizeof(line->host_port), "%.*s", STR_ARG(host_port));
	give(line, JOB_CONNECT);
}

void nats_line_round(struct nats_line *line, struct nats_batch *batch, uint64_t wait_ms)
{
	line->batch = batch;
	line->wait_ms = wait_ms;
	give(line, JOB_ROUND);
}

bool nats_line_is_busy(const struct nats_line *line)
{
	return line->busy;
}

/* ---- from outside */

static void close_now(void *arg)
{
	struct nats_line *line = arg;
	natsConnection *nc;

	nats_line_lock(line);
	nc = line->nc;
	line->breaking += nc != NULL;
	nats_line_unlock(line);
	if (!nc)
		return;
	natsConnection_Close(nc);
	nats_ReleaseThreadMemory();
	nats_line_lock(line);
	line->breaking--;
	(void)pthread_cond_broadcast(&line->cond);
	nats_line_unlock(line);
}

static void close_done(void *arg)
{
	nats_line_unref(arg);
}

/* Closing waits for a write that is under way, so it is done by one of the pool's threads. */
void nats_line_break(struct nats_line *line)
{
	nats_line_ref(line);
	if (loop_work(line->loop, close_now, close_done, line) < 0)
		nats_line_unref(line);
}

natsMsg *nats_line_take(struct nats_line *line)
{
	natsMsg *msg = NULL;

	nats_line_lock(line);
	if (line->n_incoming) {
		msg = line->incoming[line->first];
		line->first = (line->first + 1) % NATS_INCOMING_MESSAGES;
		line->n_incoming--;
		line->incoming_bytes -= (size_t)natsMsg_GetDataLength(msg);
	}
	nats_line_unlock(line);
	return msg;
}

uint64_t nats_line_dropped(const struct nats_line *line)
{
	struct nats_line *l = (struct nats_line *)line; /* for its mutex */
	uint64_t n;

	nats_line_lock(l);
	n = l->dropped;
	nats_line_unlock(l);
	return n;
}

void nats_line_stop(struct nats_line *line)
{
	nats_line_lock(line);
	line->stopping = true;
	(void)pthread_cond_broadcast(&line->cond);
	nats_line_unlock(line);
	if (line->busy)
		nats_line_break(line);
}

/* The end of our patience with a thread. */
static struct timespec soon(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += JOIN_MS * 1000000L;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

/* Stopped for good, without the loop's help. */
static void join(struct nats_line *line)
{
	struct timespec until;
	bool ended;

	nats_line_lock(line);
	line->stopping = true;
	ended = line->ended;
	(void)pthread_cond_broadcast(&line->cond);
	nats_line_unlock(line);
	if (!ended)
		close_now(line);
	until = soon();
	if (pthread_timedjoin_np(line->thread, NULL, &until) == 0)
		lines_started--;
	else
		(void)pthread_detach(line->thread);
}

/*
 * The library's own threads end, too: they must not meet the process's exit. If it has spoken TLS it
 * will then, at that exit, free OpenSSL's list of compression methods, which OpenSSL frees behind it
 * again: so it is not to find it. (Nothing is compressed anyway.)
 */
static void close_library(void)
{
	static STACK_OF(SSL_COMP) * hidden;
	STACK_OF(SSL_COMP) *methods = SSL_COMP_set0_compression_methods(NULL);

	hidden = methods ? methods : hidden;
	(void)nats_CloseAndWait(CLOSE_MS);
}

/* Its threads have seen that our subscriptions and connection are gone, or it takes too long. */
static void await_library(struct nats_line *line)
{
	struct timespec until = soon();
	int rc = 0;

	nats_line_lock(line);
	while (line->refs > 1u + line->posted && rc == 0)
		rc = pthread_cond_timedwait(&line->cond, &line->mutex, &until);
	nats_line_unlock(line);
}

struct nats_line *nats_line_destroy(struct nats_line *line)
{
	if (!line)
		return NULL;
	nats_line_lock(line);
	line->gone = true;
	nats_line_unlock(line);
	if (line->started)
		join(line);
	if (line->started && !lines_started) {
		await_library(line);
		close_library();
	}
	nats_line_unref(line);
	return NULL;
}
