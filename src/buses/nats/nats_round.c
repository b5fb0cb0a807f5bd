/* SPDX-License-Identifier: MIT */
/*
 * One round: everything in the batch is given to the library, then a PING is sent and its PONG
 * awaited. A server reads in order, so with the PONG it has read all of it.
 *
 * Whether anybody listens is asked by a reply inbox: a server answers 503 at once if nobody does,
 * before it comes to our PING, so that its 503 is here when the PONG is. But the library hands
 * messages to another thread for delivery, while the PONG is seen at once: so we wait until as many
 * answers were delivered as had arrived by then.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <time.h>

#include "buses/nats/nats_line_internal.h"

enum { REPLY_SIZE = 128, STORE_S = 5 };

/* ---- subscriptions */

/* The library gives the reference back when it makes no more calls. */
static natsStatus hold_line(struct nats_line *line, natsSubscription *sub)
{
	natsStatus s;

	nats_line_ref(line);
	s = natsSubscription_SetOnCompleteCB(sub, nats_on_sub_complete, line);
	if (s != NATS_OK)
		nats_line_unref(line);
	return s;
}

static natsStatus hear(struct nats_line *line, natsConnection *nc, const char *subject,
		       natsMsgHandler fn, const char *queue, natsSubscription **ret)
{
	natsSubscription *sub = NULL;
	natsStatus s;

	s = queue ? natsConnection_QueueSubscribe(&sub, nc, subject, queue, fn, line)
		  : natsConnection_Subscribe(&sub, nc, subject, fn, line);
	if (s == NATS_OK)
		s = hold_line(line, sub);
	if (s != NATS_OK) {
		natsSubscription_Destroy(sub);
		return s;
	}
	*ret = sub;
	return NATS_OK;
}

static void heard_free(struct nats_line *line, struct heard *h)
{
	map_del(&line->heard, &h->node);
	(void)natsSubscription_Unsubscribe(h->sub);
	natsSubscription_Destroy(h->sub);
	free(h);
}

static natsStatus subscribe(struct nats_line *line, natsConnection *nc, struct str subject)
{
	struct heard *h;
	natsStatus s;

	if (map_find(&line->heard, subject))
		return NATS_OK;
	h = malloc(sizeof(*h) + subject.n + 1);
	if (!h)
		return NATS_NO_MEMORY;
	memcpy(h->subject, subject.p, subject.n);
	h->subject[subject.n] = '\0';
	if (map_add(&line->heard, &h->node, str_make(h->subject, subject.n)) < 0) {
		free(h);
		return NATS_NO_MEMORY;
	}
	s = hear(line, nc, h->subject, nats_on_incoming, line->conf->queue, &h->sub);
	if (s != NATS_OK) {
		map_del(&line->heard, &h->node);
		free(h);
	}
	return s;
}

static void unsubscribe(struct nats_line *line, struct str subject)
{
	struct map_node *node = map_find(&line->heard, subject);

	if (node)
		heard_free(line, container_of(node, struct heard, node));
}

void nats_line_forget(struct nats_line *line)
{
	map_for_each (it, &line->heard)
		heard_free(line, container_of(it, struct heard, node));
	natsSubscription_Destroy(line->inbox_sub);
	natsSubscription_Destroy(line->pull_sub);
	line->inbox_sub = line->pull_sub = NULL;
}

int nats_line_open_inbox(struct nats_line *line, natsConnection *nc)
{
	char all[80];
	natsInbox *inbox;
	natsStatus s = natsInbox_Create(&inbox);

	if (s != NATS_OK)
		return nats_line_error(line, s, line->reason);
	(void)snprintf(line->inbox, sizeof(line->inbox), "%s", inbox);
	natsInbox_Destroy(inbox);
	(void)snprintf(all, sizeof(all), "%s.*.*", line->inbox);
	s = hear(line, nc, all, nats_on_answer, NULL, &line->inbox_sub);
	if (s == NATS_OK && line->conf->jetstream.stream) {
		(void)snprintf(all, sizeof(all), "%s.pull", line->inbox);
		s = hear(line, nc, all, nats_on_incoming, NULL, &line->pull_sub);
	}
	return s == NATS_OK ? 0 : nats_line_error(line, s, line->reason);
}

/* ---- what is in a batch */

static void reply_of(const struct nats_line *line, size_t index, char reply[REPLY_SIZE])
{
	(void)snprintf(reply, REPLY_SIZE, "%s.%" PRIu64 ".%zu", line->inbox, line->round, index);
}

static natsStatus probe(struct nats_line *line, natsConnection *nc, const char *subject,
			struct str data, size_t index)
{
	char reply[REPLY_SIZE];

	reply_of(line, index, reply);
	return natsConnection_PublishRequest(nc, subject, reply, data.p, (int)data.n);
}

static natsStatus carry_out(struct nats_line *line, natsConnection *nc, size_t index)
{
	const struct nats_batch *batch = line->batch;
	const struct nats_entry *entry = &batch->entries[index];
	struct str subject = nats_batch_subject(batch, entry);
	struct str data = str_make(buf_str(&batch->bytes).p + entry->data, entry->n_data);
	char reply[REPLY_SIZE];

	switch (entry->kind) {
	case NATS_SUB: /* with JetStream its consumer hears all */
		return line->pull_sub ? NATS_OK : subscribe(line, nc, subject);
	case NATS_UNSUB:
		unsubscribe(line, subject);
		return NATS_OK;
	case NATS_PUB:
		return natsConnection_Publish(nc, subject.p, data.p, (int)data.n);
	case NATS_PROBE:
		return probe(line, nc, subject.p, data, index);
	case NATS_STORE:
		reply_of(line, index, reply);
		return nats_line_store(line, nc, index, reply);
	case NATS_PULL:
		return nats_line_pull(line, nc, data);
	}
	return NATS_INVALID_ARG;
}

/* Of one entry alone; anything else means that the link is not usable. */
static int entry_error(natsStatus s)
{
	switch (s) {
	case NATS_INVALID_SUBJECT:
	case NATS_INVALID_ARG:
	case NATS_INVALID_QUEUE_NAME:
		return -EINVAL;
	case NATS_MAX_PAYLOAD:
		return -EMSGSIZE;
	case NATS_NO_MEMORY:
		return -ENOMEM;
	default:
		return 0;
	}
}

/*
 * The stream says of each message whether it has it, once it is on its disk, so mostly after the
 * PONG. What it has said nothing of in time is published again, and known by its id.
 */
static int await_stream(struct nats_line *line)
{
	struct nats_batch *batch = line->batch;
	struct timespec until;
	int rc = 0;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STORE_S;
	nats_line_lock(line);
	while (line->unstored && !line->closed && !line->stopping && rc == 0)
		rc = pthread_cond_timedwait(&line->cond, &line->mutex, &until);
	for (size_t i = 0; i < batch->n; i++)
		if (batch->entries[i].result == -EINPROGRESS)
			batch->entries[i].result = -ETIMEDOUT;
	rc = line->closed || line->stopping ? -ECONNREFUSED : 0;
	nats_line_unlock(line);
	if (rc < 0)
		(void)snprintf(line->reason, NATS_REASON, "the server has closed the connection");
	return rc;
}

/* Until as many answers were delivered as have arrived. */
static int await_answers(struct nats_line *line)
{
	int pending = 0;
	int64_t delivered = 0;
	natsStatus s = natsSubscription_GetStats(line->inbox_sub, &pending, NULL, NULL, NULL,
						 &delivered, NULL);

	if (s != NATS_OK)
		return nats_line_error(line, s, line->reason);
	nats_line_lock(line);
	while (line->answered < delivered + pending && !line->closed && !line->stopping)
		(void)pthread_cond_wait(&line->cond, &line->mutex);
	s = line->answered < delivered + pending ? NATS_CONNECTION_CLOSED : NATS_OK;
	nats_line_unlock(line);
	return s == NATS_OK ? 0 : nats_line_error(line, s, line->reason);
}

/* Before anything is published: answers may come at once. */
static void set_round(struct nats_line *line, uint64_t round)
{
	struct nats_batch *batch = line->batch;

	nats_line_lock(line);
	line->round_now = round;
	line->unstored = 0;
	for (size_t i = 0; round && i < batch->n; i++) {
		bool store = batch->entries[i].kind == NATS_STORE;

		batch->entries[i].result = store ? -EINPROGRESS : 0;
		line->unstored += store;
	}
	nats_line_unlock(line);
}

/*
 * nats.c 3.4 says OK when it could not even write the PING, and may when the connection is lost
 * meanwhile. The failed write leaves its mark as this thread's last error: so that one is set to
 * something else before, and looked at after.
 */
static natsStatus flush(struct nats_line *line, natsConnection *nc)
{
	natsStatus s, last = NATS_OK;

	(void)natsOptions_SetURL(NULL, NULL); /* the last error is NATS_INVALID_ARG */
	s = natsConnection_FlushTimeout(nc, (int64_t)line->wait_ms);
	(void)nats_GetLastError(&last);
	if (s == NATS_OK && last != NATS_INVALID_ARG)
		return NATS_IO_ERROR;
	return s == NATS_OK && natsConnection_Status(nc) != NATS_CONN_STATUS_CONNECTED
		       ? NATS_CONNECTION_CLOSED
		       : s;
}

static int round_of(struct nats_line *line, natsConnection *nc)
{
	struct nats_batch *batch = line->batch;
	bool asked = false, stored = false;
	natsStatus s;

	for (size_t i = 0; i < batch->n; i++) {
		s = carry_out(line, nc, i);
		asked = asked || batch->entries[i].kind == NATS_PROBE;
		stored = stored || batch->entries[i].kind == NATS_STORE;
		if (s == NATS_OK)
			continue;
		nats_line_lock(line); /* where nats_on_answer writes, too */
		line->unstored -= batch->entries[i].kind == NATS_STORE;
		batch->entries[i].result = entry_error(s);
		nats_line_unlock(line);
		if (!entry_error(s))
			return nats_line_error(line, s, line->reason);
	}
	s = flush(line, nc);
	if (s != NATS_OK)
		return nats_line_error(line, s, line->reason);
	return stored ? await_stream(line) : asked ? await_answers(line) : 0;
}

int nats_line_run(struct nats_line *line)
{
	natsConnection *nc = nats_line_connection(line);
	int rc;

	if (!nc)
		return -ENOTCONN;
	set_round(line, ++line->round);
	rc = round_of(line, nc);
	set_round(line, 0);
	return rc;
}
