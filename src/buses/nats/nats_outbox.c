/* SPDX-License-Identifier: MIT */
/*
 * From the hub's messages to batches and back.
 *
 * Topics that have something to say stand in a row; a batch takes from each in turn what it has,
 * or its one probe. A message stays with us until its batch is confirmed. Two limits are kept
 * apart: what is on its way makes us full (-EAGAIN) and frees itself within a round trip; what
 * nobody listens to must not stand in the way of the others, so there the oldest topics are dropped.
 */
#include "buses/nats/nats_outbox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "buses/nats/nats_outbox_internal.h"
#include "envelope/envelope.h"

enum { SUBJECT_MAX = 256 };

int nats_outbox_create(const struct nats_outbox_options *options, struct nats_outbox **ret)
{
	struct nats_outbox *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->opt = *options;
	map_init(&o->topics);
	map_init(&o->hearings);
	list_init(&o->ready);
	list_init(&o->held);
	list_init(&o->sent);
	list_init(&o->spare);
	*ret = o;
	return 0;
}

static void hearing_free(struct nats_outbox *o, struct hearing *h)
{
	while (!list_empty(&h->topics))
		list_del(h->topics.next);
	map_del(&o->hearings, &h->node);
	free(h);
}

void nats_outbox_reset(struct nats_outbox *o)
{
	while (!list_empty(&o->sent))
		nats_parcel_free(o, container_of(o->sent.next, struct parcel, link));
	map_for_each (it, &o->topics) {
		struct topic *t = container_of(it, struct topic, node);

		while (t->n_waiting)
			nats_parcel_free(o, nats_topic_pull(t));
		nats_topic_free(t);
	}
	map_for_each (it, &o->hearings)
		hearing_free(o, container_of(it, struct hearing, node));
	o->link_n = o->link_bytes = 0;
	o->full = false; /* whoever was refused is asked again when the link is there */
}

struct nats_outbox *nats_outbox_destroy(struct nats_outbox *o)
{
	if (!o)
		return NULL;
	nats_outbox_reset(o);
	list_for_each_safe (it, &o->spare)
		free(container_of(it, struct parcel, link));
	map_fini(&o->topics);
	map_fini(&o->hearings);
	free(o);
	return NULL;
}

/* ---- in */

static struct parcel *parcel_create(struct nats_outbox *o)
{
	struct parcel *p;

	if (list_empty(&o->spare))
		return malloc(sizeof(*p));
	p = container_of(o->spare.next, struct parcel, link);
	list_del(&p->link);
	o->n_spare--;
	return p;
}

static bool has_room(const struct nats_outbox *o, const struct topic *t)
{
	if (t->state == TOPIC_OPEN)
		return o->link_n < NATS_LINK_MESSAGES && o->link_bytes < NATS_LINK_BYTES;
	/* A stream's are not dropped. */
	if (o->opt.prefix && (o->held_n >= NATS_HELD_MESSAGES || o->held_bytes >= NATS_HELD_BYTES))
		return false;
	return t->n_waiting < NATS_HELD_OF_TOPIC;
}

static int accept_msg(struct nats_outbox *o, struct msg *msg, bool own)
{
	struct topic *t = nats_topic_of(o, msg);
	struct parcel *p;

	if (!t)
		return -ENOMEM;
	if (!has_room(o, t)) {
		o->full = o->full || !own;
		return -EAGAIN;
	}
	p = parcel_create(o);
	if (!p) {
		nats_topic_rest(t);
		return -ENOMEM;
	}
	*p = (struct parcel){
		.msg = msg_ref(msg), .topic = t, .bytes = msg_bytes(msg), .own = own
	};
	t->n++;
	nats_topic_push(t, p);
	nats_topic_wake(t);
	if (o->held_n > NATS_HELD_MESSAGES || o->held_bytes > NATS_HELD_BYTES)
		o->opt.ready(o->opt.arg); /* to trim, outside of this call */
	return 0;
}

int nats_outbox_send(struct nats_outbox *o, struct msg *msg)
{
	return accept_msg(o, msg, false);
}

int nats_outbox_answer(struct nats_outbox *o, struct msg *msg)
{
	return accept_msg(o, msg, true);
}

static struct hearing *hearing_find(const struct nats_outbox *o, struct str dialog)
{
	struct map_node *node = map_find(&o->hearings, dialog);

	return node ? container_of(node, struct hearing, node) : NULL;
}

/* Topics that were made before are rare (messages of a former run): all are looked at. */
static void adopt_topics(struct nats_outbox *o, struct hearing *h)
{
	static const char *const prefixes[] = { "events_", "responses_" };
	char name[256];

	for (size_t i = 0; i < 2; i++) {
		int n = snprintf(name, sizeof(name), "%s%.*s", prefixes[i], STR_ARG(h->node.key));
		struct map_node *node = map_find(&o->topics, str_make(name, (size_t)n));
		struct topic *t = node ? container_of(node, struct topic, node) : NULL;

		if (!t)
			continue;
		t->ended = false;
		list_del(&t->of_hearing);
		list_add_tail(&h->topics, &t->of_hearing);
	}
}

int nats_outbox_opened(struct nats_outbox *o, struct str dialog)
{
	struct hearing *h = hearing_find(o, dialog);

	if (h)
		return 0;
	if (dialog.n > 128)
		return -EINVAL;
	h = malloc(sizeof(*h) + dialog.n);
	if (!h)
		return -ENOMEM;
	list_init(&h->topics);
	memcpy(h->id, dialog.p, dialog.n);
	if (map_add(&o->hearings, &h->node, str_make(h->id, dialog.n)) < 0) {
		free(h);
		return -ENOMEM;
	}
	adopt_topics(o, h);
	return 0;
}

void nats_outbox_ended(struct nats_outbox *o, struct str dialog)
{
	struct hearing *h = hearing_find(o, dialog);

	if (!h)
		return;
	list_for_each_safe (it, &h->topics) {
		struct topic *t = container_of(it, struct topic, of_hearing);

		list_del(&t->of_hearing);
		t->ended = true;
		t->ended_ms = loop_now(o->opt.loop);
		nats_topic_rest(t);
	}
	hearing_free(o, h);
}

void nats_outbox_touched(struct nats_outbox *o, struct str dialog)
{
	struct hearing *h = hearing_find(o, dialog);

	if (!h)
		return;
	list_for_each (it, &h->topics) {
		struct topic *t = container_of(it, struct topic, of_hearing);

		t->wait_ms = NATS_RETRY_FIRST_MS;
		if (t->state == TOPIC_HELD)
			nats_topic_retry(t);
	}
}

void nats_outbox_trim(struct nats_outbox *o)
{
	if (o->opt.prefix)
		return;
	list_for_each_safe (it, &o->held) {
		struct topic *t = container_of(it, struct topic, held);

		if (o->held_n <= NATS_HELD_MESSAGES && o->held_bytes <= NATS_HELD_BYTES)
			return;
		if (t->state == TOPIC_HELD)
			nats_topic_drop(t, "too much is held for topics that nobody hears");
	}
}

/* ---- out */

/* A message that can't be published, ever. */
static void give_up(struct nats_outbox *o, struct parcel *p, const char *why)
{
	o->lost++;
	log_warn(o->opt.log, "message lost", "topic=%s seq=%" PRIu64 " bytes=%zu reason=%s",
		 p->topic->name, p->msg->seq, p->bytes, why);
	nats_parcel_settle(o, p, 0);
}

/* "events_<d>" is PREFIX.events.<d> in a stream, "<application>" PREFIX.apps.<application>. */
static struct str stored_subject(const struct nats_outbox *o, const struct msg *msg,
				 char text[SUBJECT_MAX])
{
	struct str rest = msg->topic, kind = STR("apps");
	int n;

	if (msg->kind != MSG_ANNOUNCE)
		kind = str_cut(&rest, '_');
	n = snprintf(text, SUBJECT_MAX, "%s.%.*s.%.*s", o->opt.prefix, STR_ARG(kind),
		     STR_ARG(rest));
	return str_make(text, n < SUBJECT_MAX ? (size_t)n : 0);
}

/* The same for the same message, in whatever run of ours: a dialog's id never comes again. */
static int put_id(struct nats_batch *batch, const struct msg *msg)
{
	char id[SUBJECT_MAX];
	const char *kind = msg->kind == MSG_EVENT ? "e" : msg->kind == MSG_REPLY ? "r" : "a";
	int n = snprintf(id, sizeof(id), "%.*s:%s:%" PRIu64, STR_ARG(msg->dialog), kind,
			 msg->kind == MSG_ANNOUNCE ? 0 : msg->seq);

	return nats_batch_id(batch, str_make(id, n < SUBJECT_MAX ? (size_t)n : 0));
}

static int put_head(struct nats_outbox *o, struct parcel *p, enum nats_kind kind,
		    struct nats_batch *batch)
{
	char text[SUBJECT_MAX];
	int rc;

	if (!o->opt.prefix)
		return nats_batch_begin(batch, kind, p->topic->node.key, p);
	rc = nats_batch_begin(batch, kind, stored_subject(o, p->msg, text), p);
	/* What has no number of the hub's is new each time. */
	return rc < 0 || p->own ? rc : put_id(batch, p->msg);
}

/* 0: it is in the batch, or given up; else it is to stay where it was. */
static int put(struct nats_outbox *o, struct parcel *p, enum nats_kind kind,
	       struct nats_batch *batch, size_t max_payload)
{
	int rc = put_head(o, p, kind, batch);

	if (rc == 0)
		rc = envelope_add(&batch->bytes, p->msg, o->opt.node, 0);
	if (rc == -EINVAL || (rc == -ENOBUFS && !batch->n)) {
		give_up(o, p, "it can't be written as an envelope");
		return 0;
	}
	if (rc < 0)
		return rc;
	if (nats_batch_end(batch) > max_payload) {
		nats_batch_undo(batch);
		give_up(o, p, "it is larger than the server's max_payload");
		return 0;
	}
	list_add_tail(&o->sent, &p->link);
	o->link_n++;
	o->link_bytes += p->bytes;
	return 0;
}

/* false: the batch takes no more. */
static bool fill_from(struct nats_outbox *o, struct topic *t, struct nats_batch *batch,
		      size_t max_payload)
{
	bool open = t->state == TOPIC_OPEN;
	enum nats_kind kind = o->opt.prefix           ? NATS_STORE
			      : open && !t->announces ? NATS_PUB
						      : NATS_PROBE;

	while (t->n_waiting) {
		size_t before = batch->n;
		struct parcel *p;

		if (nats_batch_is_full(batch))
			return false;
		p = nats_topic_pull(t);
		if (put(o, p, kind, batch, max_payload) < 0) {
			nats_topic_push_back(t, p);
			return false;
		}
		if (!open && batch->n > before) {
			t->state = TOPIC_PROBING;
			return true;
		}
	}
	return true;
}

void nats_outbox_fill(struct nats_outbox *o, struct nats_batch *batch, size_t max_payload)
{
	while (!list_empty(&o->ready)) {
		struct topic *t = container_of(o->ready.next, struct topic, ready);

		if (!fill_from(o, t, batch, max_payload))
			return;
		list_del(&t->ready);
		nats_topic_rest(t);
	}
}

static void taken(struct nats_outbox *o, struct parcel *p)
{
	struct topic *t = p->topic;

	nats_parcel_settle(o, p, 0);
	if (t->state == TOPIC_PROBING)
		nats_topic_open(t);
	nats_topic_rest(t);
}

static void uncount(struct nats_outbox *o, const struct parcel *p)
{
	o->link_n--;
	o->link_bytes -= p->bytes;
}

static void answered(struct nats_outbox *o, struct parcel *p, int result)
{
	struct topic *t = p->topic;

	if (result == 0) {
		taken(o, p);
		return;
	}
	if (t->state == TOPIC_PROBING)
		nats_topic_retry(t);
	give_up(o, p, "the server does not take it");
	nats_topic_rest(t);
}

/* It may be taken later: nobody listens yet, or the stream does not store it now. */
static bool comes_again(const struct nats_entry *entry)
{
	return (entry->kind == NATS_PROBE && entry->result == -EHOSTUNREACH) ||
	       (entry->kind == NATS_STORE && entry->result < 0 && entry->result != -EINVAL);
}

/* From the last to the first, so that they stand in front of the others as they did. */
static void put_back(struct nats_outbox *o, struct nats_batch *batch)
{
	for (size_t i = batch->n; i-- > 0;) {
		struct nats_entry *entry = &batch->entries[i];
		struct parcel *p = entry->owner;

		if (!p || !comes_again(entry))
			continue;
		list_del(&p->link);
		uncount(o, p);
		o->no_responders += entry->result == -EHOSTUNREACH;
		o->not_stored += entry->kind == NATS_STORE;
		if (p->topic->state != TOPIC_HELD)
			nats_topic_hold(p->topic);
		nats_topic_push_back(p->topic, p);
		nats_topic_wake(p->topic); /* if it could not be made to wait */
	}
}

static void room_again(struct nats_outbox *o)
{
	if (!o->full || o->link_n > NATS_LINK_MESSAGES / 4 * 3 ||
	    o->link_bytes > NATS_LINK_BYTES / 4 * 3)
		return;
	o->full = false;
	o->opt.writable(o->opt.arg);
}

void nats_outbox_confirmed(struct nats_outbox *o, struct nats_batch *batch)
{
	for (size_t i = 0; i < batch->n; i++) {
		struct nats_entry *entry = &batch->entries[i];

		if (!entry->owner || comes_again(entry))
			continue;
		uncount(o, entry->owner);
		answered(o, entry->owner, entry->result);
	}
	put_back(o, batch);
	room_again(o);
}

void nats_outbox_stats(const struct nats_outbox *o, struct nats_outbox_stats *ret)
{
	*ret = (struct nats_outbox_stats){ .no_responders = o->no_responders,
					   .lost = o->lost,
					   .not_stored = o->not_stored,
					   .held = o->held_n,
					   .in_flight = o->link_n,
					   .topics = o->topics.count };
}
