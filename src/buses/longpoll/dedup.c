/* SPDX-License-Identifier: MIT */
/*
 * The table of what came lately: by hash, and in the order of its end.
 *
 * In the journal an entry is a state, "dedup/<sid>/<hash>" -> "<end by the journal's clock> <id>",
 * put when its message is durable, never before: a state says that the message is there, so that
 * no restart makes a repetition's 200 a lie. Between a message's durability and its state lies one
 * write of the journal; a kill in these milliseconds lets a repetition through.
 * A journal that refuses costs the memory over restarts, and nothing else.
 */
#include "buses/longpoll/dedup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "buses/longpoll/document.h"
#include "buses/longpoll/publish.h"
#include "codec/form.h"
#include "engines/webhook/signature.h"
#include "journal/journal.h"
#include "loop/loop.h"
#include "net/http_server.h"

enum {
	WINDOW_MS = 600000,
	SWEPT_A_TURN = 256,
	STATE_KEY_MAX = 256,
};

struct dedup {
	struct loop *loop;
	struct journal *journal; /* NULL: none */
	struct map entries;      /* struct dedup_entry.node, by hash */
	struct map ids;          /* struct dedup_entry.by_id */
	struct list ages;        /* struct dedup_entry.link: the first to end first */
	struct timer sweep;
	EVP_MD_CTX *digest; /* SHA-256 */
	struct buf prefix;  /* "dedup/<sid>/" */
	uint64_t evicted;
};

struct dedup_entry {
	struct map_node node;  /* dedup.entries */
	struct map_node by_id; /* dedup.ids */
	struct list link;      /* dedup.ages */
	struct publish *first; /* NULL: durable */
	uint64_t end_ms;       /* by the loop's clock */
	bool stored;
	unsigned char hash[DEDUP_HASH_SIZE];
	char id[PUBLISH_ID_SIZE];
};

/* ---- keys ---- */

static bool digest_add(struct dedup *d, struct str s)
{
	/* Lengths keep "a" + "bc" and "ab" + "c" apart. */
	return EVP_DigestUpdate(d->digest, &s.n, sizeof(s.n)) == 1 &&
	       (!s.n || EVP_DigestUpdate(d->digest, s.p, s.n) == 1);
}

static bool digest(struct dedup *d, const struct str *parts, size_t n, unsigned char *ret)
{
	bool ok = EVP_DigestInit_ex2(d->digest, NULL, NULL) == 1;

	for (size_t i = 0; ok && i < n; i++)
		ok = digest_add(d, parts[i]);
	return ok && EVP_DigestFinal_ex(d->digest, ret, NULL) == 1;
}

/* X-...-Attempt: its number, 1 where it is none; 0: there is no such header. */
static uint64_t attempt_of(const struct http_request_info *info)
{
	static const struct str prefix = STR_INIT("X-"), suffix = STR_INIT("-Attempt");

	for (size_t i = 0; i < info->n_headers; i++) {
		struct str name = info->headers[i].name;
		uint64_t number;

		if (name.n <= prefix.n + suffix.n ||
		    !str_eq_nocase(str_make(name.p, prefix.n), prefix) ||
		    !str_eq_nocase(str_skip(name, name.n - suffix.n), suffix))
			continue;
		return str_u64(str_trim(info->headers[i].value), &number) == 0 && number ? number
											 : 1;
	}
	return 0;
}

void dedup_key_of(struct dedup *d, const struct http_request *request, struct str queue,
		  const struct document *document, struct dedup_key *ret)
{
	const struct http_request_info *info = http_request_info(request);
	struct str key = str_trim(http_request_header(request, STR("Idempotency-Key")));

	*ret = (struct dedup_key){ .look = true, .remember = true };
	if (!key.n)
		key = str_trim(http_request_header(request, STR("I-Twilio-Idempotency-Token")));
	if (key.n) {
		const struct str parts[] = { STR("key"), queue, key };

		ret->look = ret->remember = digest(d, parts, 3, ret->hash);
		return;
	}
	uint64_t attempt = attempt_of(info);
	ret->look = attempt > 1;
	ret->remember = attempt || signature_of(info->headers, info->n_headers).p;
	if (!ret->remember)
		return;
	const struct str parts[] = { STR("body"), queue, info->query, document->posted.body };
	if (!digest(d, parts, 4, ret->hash))
		ret->look = ret->remember = false;
}

/* ---- states ---- */

static void state_put(struct dedup *d, const unsigned char *hash, struct str value)
{
	auto_buf struct buf key = { .max = STATE_KEY_MAX };
	uint64_t lsn;
	int rc = buf_add(&key, buf_str(&d->prefix));

	for (size_t i = 0; rc == 0 && i < DEDUP_HASH_SIZE; i++)
		rc = buf_addf(&key, "%02x", hash[i]);
	if (rc == 0)
		(void)journal_put(d->journal, buf_str(&key), value, &lsn);
}

static void entry_store(struct dedup *d, struct dedup_entry *entry)
{
	char value[64];

	if (!d->journal)
		return;
	(void)snprintf(value, sizeof(value), "%" PRIu64 " %s",
		       journal_now_ms(d->journal) + entry->end_ms - loop_now(d->loop), entry->id);
	state_put(d, entry->hash, str_from(value));
	entry->stored = true;
}

/* ---- the table ---- */

static void entry_free(struct dedup *d, struct dedup_entry *entry)
{
	map_del(&d->entries, &entry->node);
	map_del(&d->ids, &entry->by_id);
	list_del(&entry->link);
	free(entry);
}

/* Also from the journal. */
static void entry_forget(struct dedup *d, struct dedup_entry *entry)
{
	if (entry->stored)
		state_put(d, entry->hash, str_make(NULL, 0));
	if (entry->first)
		publish_forgotten(entry->first);
	entry_free(d, entry);
}

static struct dedup_entry *oldest(const struct dedup *d)
{
	return list_empty(&d->ages) ? NULL : container_of(d->ages.next, struct dedup_entry, link);
}

/* Without memory for the timer the next entry starts it. */
static void sweep_later(struct dedup *d)
{
	const struct dedup_entry *entry = oldest(d);
	uint64_t now_ms = loop_now(d->loop);

	if (entry && !timer_running(&d->sweep))
		(void)timer_start(&d->sweep, entry->end_ms > now_ms ? entry->end_ms - now_ms : 1);
}

static void on_sweep(void *arg)
{
	struct dedup *d = arg;
	uint64_t now_ms = loop_now(d->loop);
	struct dedup_entry *entry;

	for (int n = 0; n < SWEPT_A_TURN && (entry = oldest(d)) && entry->end_ms <= now_ms; n++)
		entry_forget(d, entry);
	sweep_later(d);
}

static struct dedup_entry *find(const struct dedup *d, const unsigned char *hash)
{
	struct map_node *node =
		map_find(&d->entries, str_make((const char *)hash, DEDUP_HASH_SIZE));

	return node ? container_of(node, struct dedup_entry, node) : NULL;
}

static struct dedup_entry *add(struct dedup *d, const unsigned char *hash, uint64_t end_ms,
			       struct str id)
{
	struct dedup_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->end_ms = end_ms;
	memcpy(entry->hash, hash, sizeof(entry->hash));
	memcpy(entry->id, id.p, id.n < sizeof(entry->id) ? id.n : sizeof(entry->id) - 1);
	if (map_add(&d->entries, &entry->node,
		    str_make((const char *)entry->hash, sizeof(entry->hash))) < 0) {
		free(entry);
		return NULL;
	}
	if (map_add(&d->ids, &entry->by_id, str_from(entry->id)) < 0) {
		map_del(&d->entries, &entry->node);
		free(entry);
		return NULL;
	}
	list_add_tail(&d->ages, &entry->link);
	return entry;
}

bool dedup_find(struct dedup *d, const struct dedup_key *key, struct publish **ret_first,
		const char **ret_id)
{
	const struct dedup_entry *entry = find(d, key->hash);

	/* The timer may be late. */
	if (!entry || (!entry->first && entry->end_ms <= loop_now(d->loop)))
		return false;
	*ret_first = entry->first;
	*ret_id = entry->id;
	return true;
}

struct dedup_entry *dedup_add(struct dedup *d, const struct dedup_key *key, struct publish *first,
			      const char *id)
{
	struct dedup_entry *entry = find(d, key->hash);

	if (entry)
		entry_forget(d, entry);
	while (d->entries.count >= DEDUP_MAX) {
		entry_forget(d, oldest(d));
		d->evicted++;
	}
	entry = add(d, key->hash, loop_now(d->loop) + WINDOW_MS, str_from(id));
	if (entry)
		entry->first = first;
	sweep_later(d);
	return entry;
}

void dedup_done(struct dedup *d, struct dedup_entry *entry, int rc)
{
	entry->first = NULL;
	if (rc < 0)
		entry_forget(d, entry);
	else
		entry_store(d, entry);
}

void dedup_forget(struct dedup *d, struct str id)
{
	struct map_node *node = map_find(&d->ids, id);

	if (node)
		entry_forget(d, container_of(node, struct dedup_entry, by_id));
}

size_t dedup_count(const struct dedup *d)
{
	return d->entries.count;
}

uint64_t dedup_evicted(const struct dedup *d)
{
	return d->evicted;
}

/* ---- life ---- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hash_parse(struct str hex, unsigned char *ret)
{
	if (hex.n != (size_t)2 * DEDUP_HASH_SIZE)
		return false;
	for (size_t i = 0; i < DEDUP_HASH_SIZE; i++) {
		int high = hex_value(hex.p[2 * i]), low = hex_value(hex.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		ret[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

/* What has ended meanwhile is swept soon. */
static void recover_one(void *arg, struct str key, struct str value)
{
	struct dedup *d = arg;
	struct str id = value, end = str_cut(&id, ' ');
	unsigned char hash[DEDUP_HASH_SIZE];
	uint64_t end_ms, now_ms = journal_now_ms(d->journal);

	if (str_u64(end, &end_ms) < 0 || !hash_parse(str_skip(key, buf_len(&d->prefix)), hash))
		return;
	uint64_t left_ms = end_ms > now_ms ? end_ms - now_ms : 0;
	struct dedup_entry *entry =
		add(d, hash, loop_now(d->loop) + (left_ms < WINDOW_MS ? left_ms : WINDOW_MS), id);
	if (entry)
		entry->stored = true;
}

static int end_cmp(const void *a, const void *b)
{
	const struct dedup_entry *ea = *(struct dedup_entry *const *)a;
	const struct dedup_entry *eb = *(struct dedup_entry *const *)b;

	return ea->end_ms < eb->end_ms ? -1 : ea->end_ms > eb->end_ms;
}

/* States come in any order. */
static int sort_ages(struct dedup *d)
{
	size_t n = 0;
	struct dedup_entry **all = calloc(d->entries.count + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	list_for_each (it, &d->ages)
		all[n++] = container_of(it, struct dedup_entry, link);
	qsort(all, n, sizeof(*all), end_cmp);
	for (size_t i = 0; i < n; i++) {
		list_del(&all[i]->link);
		list_add_tail(&d->ages, &all[i]->link);
	}
	free(all);
	return 0;
}

static int recover(struct dedup *d)
{
	if (!d->journal)
		return 0;
	journal_each_state(d->journal, buf_str(&d->prefix), recover_one, d);
	int rc = sort_ages(d);
	sweep_later(d);
	return rc;
}

int dedup_create(struct loop *loop, struct journal *journal, struct str scope, struct dedup **ret)
{
	struct dedup *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->loop = loop;
	d->journal = journal;
	map_init(&d->entries);
	map_init(&d->ids);
	list_init(&d->ages);
	timer_init(&d->sweep, loop, on_sweep, d);
	buf_init(&d->prefix, STATE_KEY_MAX);
	d->digest = EVP_MD_CTX_new();
	if (!d->digest || EVP_DigestInit_ex(d->digest, EVP_sha256(), NULL) != 1 ||
	    buf_addf(&d->prefix, "dedup/%.*s/", STR_ARG(scope)) < 0 || recover(d) < 0) {
		(void)dedup_destroy(d);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

struct dedup *dedup_destroy(struct dedup *d)
{
	if (!d)
		return NULL;
	timer_stop(&d->sweep);
	map_for_each (node, &d->entries)
		entry_free(d, container_of(node, struct dedup_entry, node));
	map_fini(&d->entries);
	map_fini(&d->ids);
	buf_fini(&d->prefix);
	EVP_MD_CTX_free(d->digest);
	free(d);
	return NULL;
}
