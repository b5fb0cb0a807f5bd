/* SPDX-License-Identifier: MIT */
/*
 * What the library's own threads call: they put things down under the mutex and wake whoever
 * waits. Nothing here blocks, for one thread of the library delivers for all subscriptions.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "buses/nats/nats_line_internal.h"

void nats_on_incoming(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
	struct nats_line *line = closure;
	size_t bytes = (size_t)natsMsg_GetDataLength(msg);
	const char *status;
	bool taken;

	/* The end of a pull, and the like: no message of anybody's. */
	if (!bytes && natsMsgHeader_Get(msg, "Status", &status) == NATS_OK) {
		natsMsg_Destroy(msg);
		return;
	}
	nats_line_lock(line);
	taken = !line->gone && line->n_incoming < NATS_INCOMING_MESSAGES &&
		line->incoming_bytes + bytes <= NATS_INCOMING_BYTES;
	if (taken) {
		line->incoming[(line->first + line->n_incoming++) % NATS_INCOMING_MESSAGES] = msg;
		line->incoming_bytes += bytes;
		nats_line_post(line);
	} else {
		line->dropped++;
	}
	nats_line_unlock(line);
	if (!taken)
		natsMsg_Destroy(msg);
}

/* "<inbox>.<round>.<index>": which entry it answers; false: none of the batch that is under way. */
static bool entry_of(struct nats_line *line, const char *subject, size_t *ret)
{
	struct str rest = str_from(subject), round;
	uint64_t number, index;
	size_t prefix = strlen(line->inbox) + 1;

	if (rest.n <= prefix)
		return false;
	rest = str_skip(rest, prefix);
	round = str_cut(&rest, '.');
	if (str_u64(round, &number) < 0 || str_u64(rest, &index) < 0)
		return false;
	*ret = (size_t)index;
	return number && number == line->round_now && index < line->batch->n;
}

/* {"stream":"S","seq":1} or {"error":{"code":503,"description":"..."}}, or 503: nobody listens. */
static void answer(struct nats_line *line, struct nats_entry *entry, bool nobody, natsMsg *msg)
{
	struct str text = str_make(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
	bool store = entry->kind == NATS_STORE;

	if (store && entry->result != -EINPROGRESS)
		return; /* a second answer */
	if (nobody)
		entry->result = -EHOSTUNREACH;
	else if (store)
		entry->result = str_find_str(text, STR("\"error\"")) < text.n ? -EIO : 0;
	line->unstored -= store;
}

void nats_on_answer(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
	struct nats_line *line = closure;
	bool nobody = natsMsg_IsNoResponders(msg);
	size_t index;

	nats_line_lock(line);
	if (nc == line->nc) {
		if (entry_of(line, natsMsg_GetSubject(msg), &index))
			answer(line, &line->batch->entries[index], nobody, msg);
		line->answered++;
		(void)pthread_cond_broadcast(&line->cond);
	}
	nats_line_unlock(line);
	natsMsg_Destroy(msg);
}

void nats_on_library_error(natsConnection *nc, natsSubscription *sub, natsStatus s, void *closure)
{
	struct nats_line *line = closure;
	const char *text = NULL;
	uint64_t n;

	(void)natsConnection_GetLastError(nc, &text);
	nats_line_lock(line);
	n = ++line->refusals;
	/* The 1st, 2nd, 4th, 8th...: it may come for each message. Under the mutex the log is there. */
	if ((n & (n - 1)) == 0 && !line->gone)
		log_warn(line->log, "server complains", "reason=%s text=%s times=%" PRIu64,
			 natsStatus_GetText(s), text ? text : "", n);
	nats_line_unlock(line);
}

void nats_on_library_closed(natsConnection *nc, void *closure)
{
	struct nats_line *line = closure;
	const char *text = NULL;

	(void)natsConnection_GetLastError(nc, &text);
	nats_line_lock(line);
	if (nc == line->nc)
		line->closed = true;
	if (nc == line->nc && !line->stopping) {
		line->lost = true;
		(void)snprintf(line->lost_reason, sizeof(line->lost_reason), "%s",
			       text && *text ? text : "the server has closed the connection");
		nats_line_post(line);
	}
	/* Our thread may wait for answers that will not come. */
	(void)pthread_cond_broadcast(&line->cond);
	nats_line_unlock(line);
	nats_line_unref(line);
}

void nats_on_sub_complete(void *closure)
{
	nats_line_unref(closure);
}
