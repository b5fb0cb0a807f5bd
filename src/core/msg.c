/* SPDX-License-Identifier: MIT */
/*
 * Making and counting messages, and their form in the journal.
 *
 * One allocation holds the struct and its strings; the payload is shared. In the journal a message
 * is a head, then the payload's bytes to the end of the record:
 *
 *   u8 version, u8 kind, u16 status, u32 flags, u64 wall_ns, u64 answers,
 *   then topic, node, application, dialog, type, target, id, content_type: each u16 length, bytes
 *
 * Version 2, of messages that expire, has u64 ttl_ms, u64 expires_ms before the strings; the latter
 * is by the clock of the run that wrote it, and means nothing in another one.
 * Numbers are little-endian. A deadline is not kept: it belongs to a run of the process.
 */
#include "core/msg.h"

#include <errno.h>
#include <stdlib.h>

enum {
	RECORD_VERSION = 1,
	RECORD_EXPIRES = 2,
	FIXED_BYTES = 24,
	EXPIRY_BYTES = 16,
	N_STRINGS = 8,
	STRING_MAX = 65535
};

struct blob *blob_create(struct str bytes)
{
	struct blob *b = malloc(sizeof(*b) + bytes.n);

	if (!b)
		return NULL;
	b->refs = 1;
	b->n = bytes.n;
	if (bytes.n)
		memcpy(b->bytes, bytes.p, bytes.n);
	return b;
}

struct blob *blob_ref(struct blob *blob)
{
	if (blob)
		blob->refs++;
	return blob;
}

struct blob *blob_unref(struct blob *blob)
{
	if (blob && --blob->refs == 0)
		free(blob);
	return NULL;
}

/* The strings of a message in the order of the record. */
static void strings_of(struct msg *m, struct str *ret[N_STRINGS])
{
	struct str *all[N_STRINGS] = { &m->topic, &m->node,   &m->application, &m->dialog,
				       &m->type,  &m->target, &m->id,          &m->content_type };

	memcpy(ret, all, sizeof(all));
}

struct msg *msg_create(const struct msg *init)
{
	struct str *strings[N_STRINGS];
	struct msg copy = *init, *m;
	size_t n = 0;
	char *at;

	strings_of(&copy, strings);
	for (int i = 0; i < N_STRINGS; i++)
		n += strings[i]->n;
	m = malloc(sizeof(*m) + n);
	if (!m)
		return NULL;
	at = (char *)(m + 1);
	for (int i = 0; i < N_STRINGS; i++) {
		struct str *s = strings[i];

		if (s->n)
			memcpy(at, s->p, s->n);
		s->p = at;
		at += s->n;
	}
	*m = copy;
	m->refs = 1;
	(void)blob_ref(m->payload);
	return m;
}

size_t msg_bytes(const struct msg *msg)
{
	size_t strings =
		(size_t)(msg->content_type.p + msg->content_type.n - (const char *)(msg + 1));

	return sizeof(*msg) + strings +
	       (msg->payload ? sizeof(*msg->payload) + msg->payload->n : 0);
}

struct msg *msg_ref(struct msg *msg)
{
	msg->refs++;
	return msg;
}

struct msg *msg_unref(struct msg *msg)
{
	if (msg && --msg->refs == 0) {
		(void)blob_unref(msg->payload);
		free(msg);
	}
	return NULL;
}

static char *put(char *at, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		*at++ = (char)(v >> (8 * i));
	return at;
}

static uint64_t get(const char *at, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v |= (uint64_t)(unsigned char)at[i] << (8 * i);
	return v;
}

int msg_encode(const struct msg *msg, struct buf *head)
{
	struct str *strings[N_STRINGS];
	struct msg copy = *msg;
	size_t n = FIXED_BYTES + (msg->ttl_ms ? EXPIRY_BYTES : 0);
	char *at;
	int rc;

	strings_of(&copy, strings);
	for (int i = 0; i < N_STRINGS; i++) {
		if (strings[i]->n > STRING_MAX)
			return -EMSGSIZE;
		n += 2 + strings[i]->n;
	}
	rc = buf_reserve(head, n);
	if (rc < 0)
		return rc;
	at = buf_tail(head);
	at = put(at, msg->ttl_ms ? RECORD_EXPIRES : RECORD_VERSION, 1);
	at = put(at, msg->kind, 1);
	at = put(at, (uint64_t)msg->status, 2);
	at = put(at, msg->flags, 4);
	at = put(at, msg->wall_ns, 8);
	at = put(at, msg->answers, 8);
	if (msg->ttl_ms) {
		at = put(at, msg->ttl_ms, 8);
		at = put(at, msg->expires_ms, 8);
	}
	for (int i = 0; i < N_STRINGS; i++) {
		at = put(at, strings[i]->n, 2);
		if (strings[i]->n)
			memcpy(at, strings[i]->p, strings[i]->n);
		at += strings[i]->n;
	}
	buf_grew(head, n);
	return 0;
}

int msg_decode(struct str record, uint64_t seq, struct msg **ret)
{
	struct str *strings[N_STRINGS];
	struct msg init = { .seq = seq };
	struct msg *m;
	bool expires;

	if (record.n < FIXED_BYTES)
		return -EBADMSG;
	expires = record.p[0] == RECORD_EXPIRES;
	if ((!expires && record.p[0] != RECORD_VERSION) ||
	    (expires && record.n < FIXED_BYTES + EXPIRY_BYTES))
		return -EBADMSG;
	init.kind = (enum msg_kind)get(record.p + 1, 1);
	init.status = (int)get(record.p + 2, 2);
	init.flags = (unsigned)get(record.p + 4, 4) | MSG_RECOVERED;
	init.wall_ns = get(record.p + 8, 8);
	init.answers = get(record.p + 16, 8);
	if (init.kind < MSG_EVENT || init.kind > MSG_DOCUMENT)
		return -EBADMSG;
	record = str_skip(record, FIXED_BYTES);
	if (expires) {
		init.ttl_ms = get(record.p, 8);
		init.expires_ms = get(record.p + 8, 8);
		record = str_skip(record, EXPIRY_BYTES);
	}
	strings_of(&init, strings);
	for (int i = 0; i < N_STRINGS; i++) {
		size_t n = record.n >= 2 ? get(record.p, 2) : record.n;

		if (record.n < 2 || n > record.n - 2)
			return -EBADMSG;
		*strings[i] = str_make(record.p + 2, n);
		record = str_skip(record, 2 + n);
	}
	init.payload = blob_create(record);
	if (!init.payload)
		return -ENOMEM;
	m = msg_create(&init);
	(void)blob_unref(init.payload);
	if (!m)
		return -ENOMEM;
	*ret = m;
	return 0;
}
