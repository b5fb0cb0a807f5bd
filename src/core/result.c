/* SPDX-License-Identifier: MIT */
/*
 * Results of commands, for those that come a second time.
 *
 * Kept for applications whose bus may deliver again only: the reply as it was appended, in memory
 * and as a state "command/<dialog>/<key>" in the journal (the message's record, msg.h). A body that
 * is large is not kept; that it is not is said in its place. All results together
 * have a bound, too.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/hub_internal.h"
#include "journal/journal.h"

enum { NAME_BYTES = 128, VALUE_MAX = 65536, STRINGS_BYTES = 256 };

struct result {
	struct map_node node; /* results.by_key */
	struct list age;      /* results.by_age */
	struct msg *reply;
	char key[RESULT_KEY + 1];
};

/* FNV-1a, and a finish that spreads it: the same in every run, unlike str_hash. */
static uint64_t hash_add(uint64_t h, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
	return (h ^ s.n) * 0x9e3779b97f4a7c15u;
}

static uint64_t hash_command(uint64_t seed, const struct msg *m)
{
	uint64_t h = hash_add(seed, m->id);

	h = hash_add(h, m->type);
	h = hash_add(h, m->target);
	h = hash_add(h, blob_str(m->payload));
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
	return h ^ h >> 29;
}

void result_key(const struct msg *command, char key[RESULT_KEY + 1])
{
	(void)snprintf(key, RESULT_KEY + 1, "%016llx%016llx",
		       (unsigned long long)hash_command(0xcbf29ce484222325u, command),
		       (unsigned long long)hash_command(0x84222325cbf29ce4u, command));
}

void results_init(struct results *r)
{
	map_init(&r->by_key);
	list_init(&r->by_age);
}

static size_t result_bytes(const struct msg *reply)
{
	return sizeof(struct result) + sizeof(*reply) + STRINGS_BYTES + blob_str(reply->payload).n;
}

static void result_free(struct dialog *d, struct result *one)
{
	d->hub->results_bytes -= result_bytes(one->reply);
	map_del(&d->results.by_key, &one->node);
	list_del(&one->age);
	(void)msg_unref(one->reply);
	free(one);
}

void results_fini(struct dialog *d)
{
	list_for_each_safe (it, &d->results.by_age)
		result_free(d, container_of(it, struct result, age));
	map_fini(&d->results.by_key);
}

/* value.p == NULL: it goes. */
static void state_put(const struct dialog *d, const char *key, struct str value)
{
	char name[NAME_BYTES];
	int n = snprintf(name, sizeof(name), "command/%s/%s", d->id, key);
	uint64_t lsn;

	if (d->hub->opt.journal && d->application->record)
		(void)journal_put(d->hub->opt.journal, str_make(name, (size_t)n), value, &lsn);
}

static void result_forget(struct dialog *d, struct result *one)
{
	state_put(d, one->key, str_make(NULL, 0));
	result_free(d, one);
}

void results_forget(struct dialog *d)
{
	list_for_each_safe (it, &d->results.by_age)
		result_forget(d, container_of(it, struct result, age));
}

static struct result *result_of(const struct dialog *d, struct str key)
{
	struct map_node *node = map_find(&d->results.by_key, key);

	return node ? container_of(node, struct result, node) : NULL;
}

struct msg *result_find(const struct dialog *d, const char *key)
{
	const struct result *one = result_of(d, str_from(key));

	return one ? one->reply : NULL;
}

/* The reply, or one that says that its body is not kept; a reference, or NULL. */
static struct msg *short_reply(struct msg *reply)
{
	struct msg init = *reply, *m;

	if (blob_str(reply->payload).n <= RESULT_BODY_MAX)
		return msg_ref(reply);
	init.content_type = STR("application/json");
	init.payload = blob_create(STR("{\"message\":\"the answer is over 8 KiB and was not kept: "
				       "this is a repetition\"}"));
	m = init.payload ? msg_create(&init) : NULL;
	(void)blob_unref(init.payload);
	return m;
}

/* Takes the reference; by the number of its command, so that the oldest is first. */
static void result_add_take(struct dialog *d, struct str key, struct msg *reply)
{
	struct result *one = calloc(1, sizeof(*one)), *old = result_of(d, key);
	struct list *at;

	if (old)
		result_free(d, old);
	if (one) {
		memcpy(one->key, key.p, RESULT_KEY);
		list_init(&one->age);
		one->reply = reply;
	}
	if (!one || map_add(&d->results.by_key, &one->node, str_from(one->key)) < 0) {
		free(one);
		(void)msg_unref(reply);
		return;
	}
	at = d->results.by_age.prev;
	while (at != &d->results.by_age &&
	       container_of(at, struct result, age)->reply->answers > reply->answers)
		at = at->prev;
	list_add_tail(at->next, &one->age);
	d->hub->results_bytes += result_bytes(reply);
}

void result_keep(struct dialog *d, const char *key, struct msg *reply)
{
	auto_buf struct buf value;
	struct msg *kept = short_reply(reply);

	buf_init(&value, VALUE_MAX);
	if (!kept)
		return;
	if (msg_encode(kept, &value) == 0 && buf_add(&value, blob_str(kept->payload)) == 0)
		state_put(d, key, buf_str(&value));
	result_add_take(d, str_make(key, RESULT_KEY), kept);
	while (d->results.by_key.count > RESULTS_MAX)
		result_forget(d, container_of(d->results.by_age.next, struct result, age));
	/* The call that asks for more gives up its own oldest, and this one at last. */
	while (d->hub->results_bytes > d->hub->opt.results_bytes &&
	       !list_empty(&d->results.by_age)) {
		result_forget(d, container_of(d->results.by_age.next, struct result, age));
		d->hub->stats.results_dropped++;
	}
}

void result_recover(struct dialog *d, struct str key, struct str value)
{
	struct msg *reply;

	if (key.n == RESULT_KEY && msg_decode(value, 0, &reply) == 0)
		result_add_take(d, key, reply);
}
