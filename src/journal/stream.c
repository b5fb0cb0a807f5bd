/* SPDX-License-Identifier: MIT */
/*
 * Streams: their names and marks in the log, trimming, dropping, age.
 *
 * In the log a stream is a number that is never used again. In each segment in which anything is
 * said of a stream its name is said first, together with where it begins and which number comes
 * next (a "mark"); so any set of segments can be read alone, and the newest one that names a
 * stream knows best. A trim is a mark without the name. Trims are not written one by one but once
 * a batch, or after TRIM_DELAY_MS when nothing else is written: a reader that acknowledges one
 * record at a time would else double the syncs.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "journal/journal_internal.h"
#include "journal/le.h"

enum {
	TRIM_DELAY_MS = 20,
	AGE_CHECK_MS = 10000,
	AGE_ROUND = 256,    /* streams looked at in one turn */
	AGE_RECORDS = 4096, /* records dropped from one stream in one turn */
};

struct jstream *jstream_create(struct journal *j, uint64_t id)
{
	struct jstream *js = calloc(1, sizeof(*js));

	if (!js)
		return NULL;
	js->journal = j;
	js->refs = 1;
	js->id = id;
	js->first = js->next = 1;
	list_init(&js->named_link);
	list_init(&js->trim_link);
	list_init(&js->aged_link);
	if (map_add(&j->ids, &js->id_node, str_make((char *)&js->id, sizeof(js->id))) < 0) {
		free(js);
		return NULL;
	}
	return js;
}

struct jstream *jstream_by_id(const struct journal *j, uint64_t id)
{
	struct map_node *node = map_find(&j->ids, str_make((char *)&id, sizeof(id)));

	return node ? container_of(node, struct jstream, id_node) : NULL;
}

int jstream_set_name(struct journal *j, struct jstream *js, struct str name)
{
	js->name = str_dup(name);
	js->name_n = name.n;
	if (js->name && map_add(&j->streams, &js->name_node, str_make(js->name, name.n)) == 0) {
		j->stats.streams++;
		return 0;
	}
	free(js->name);
	js->name = NULL;
	return -ENOMEM;
}

struct jstream *jstream_unref(struct jstream *js)
{
	if (js && --js->refs == 0) {
		index_fini(&js->index);
		free(js->name);
		free(js);
	}
	return NULL;
}

void jstream_forget(struct journal *j, struct jstream *js)
{
	jstream_cut(j, js, js->next);
	jstream_set_named(js, NULL);
	list_del(&js->trim_link);
	jstream_set_max_age(js, 0);
	if (js->name) {
		map_del(&j->streams, &js->name_node);
		j->stats.streams--;
	}
	map_del(&j->ids, &js->id_node);
	js->dropped = true;
	(void)jstream_unref(js);
}

struct jstream *journal_stream(struct journal *j, struct str name)
{
	struct map_node *node = map_find(&j->streams, name);
	struct jstream *js;

	if (node)
		return container_of(node, struct jstream, name_node);
	if (!name.n || name.n > NAME_MAX_BYTES || j->stats.streams >= STREAMS_MAX)
		return NULL;
	js = jstream_create(j, j->next_stream);
	if (!js || jstream_set_name(j, js, name) < 0) {
		if (js)
			jstream_forget(j, js);
		return NULL;
	}
	j->next_stream++;
	return js;
}

struct str jstream_name(const struct jstream *js)
{
	return str_make(js->name, js->name_n);
}

uint64_t jstream_first(const struct jstream *js)
{
	return js->first;
}

uint64_t jstream_next(const struct jstream *js)
{
	return js->next;
}

void journal_each_stream(struct journal *j, void (*fn)(void *arg, struct jstream *js), void *arg)
{
	map_for_each (it, &j->streams) {
		struct jstream *js = container_of(it, struct jstream, name_node);

		if (js->first < js->next)
			fn(arg, js);
	}
}

static size_t names_size(const struct jstream *js)
{
	return NAME_COPIES * record_size(8 + js->name_n);
}

void jstream_set_named(struct jstream *js, struct segment *s)
{
	if (js->named)
		js->named->name_bytes -= names_size(js);
	list_del(&js->named_link);
	js->named = s;
	if (!s)
		return;
	s->name_bytes += names_size(js);
	list_add_tail(&s->streams, &js->named_link);
	if (!js->since)
		js->since = s->number;
}

static int put_mark(struct journal *j, const struct jstream *js, enum record_type type)
{
	char next[8];
	struct str parts[] = { { next, sizeof(next) }, jstream_name(js) };
	size_t n = type == RECORD_NAME ? 2 : 1;
	struct record r = { .type = (uint8_t)type,
			    .stream = js->id,
			    .seq = js->first,
			    .wall_ms = age_now(&j->age),
			    .body = { NULL, 8 + (n == 2 ? js->name_n : 0) } };

	le64_put(next, js->next);
	/* A name is for the record behind it, which knows whether there is a hurry. */
	return n == 2 ? journal_put_relaxed(j, j->current, &r, parts, n)
		      : journal_put_record(j, j->current, &r, parts, n);
}

int jstream_reserve(struct journal *j, struct jstream *js, size_t size, enum room_for what)
{
	size_t names = names_size(js);
	bool named = js->named && js->named == j->current;
	int rc = segment_room(j, size + (named ? 0 : names), size + names, what);

	if (rc < 0 || js->named == j->current)
		return rc;
	for (int i = 0; i < NAME_COPIES && rc == 0; i++)
		rc = put_mark(j, js, RECORD_NAME);
	if (rc == 0)
		jstream_set_named(js, j->current);
	return rc;
}

struct index_entry jstream_entry(const struct segment *s, size_t offset, const struct record *r)
{
	return (struct index_entry){ s->slot, (uint32_t)(offset / RECORD_ALIGN),
				     (uint32_t)r->body.n, (uint32_t)(r->wall_ms / 1000) };
}

void jstream_set_meter(struct jstream *js, uint64_t *meter)
{
	if (js->meter)
		*js->meter -= js->bytes;
	js->meter = meter;
	if (meter)
		*meter += js->bytes;
}

static void entry_count(struct journal *j, struct jstream *js, size_t size)
{
	j->stats.records++;
	js->bytes += size;
	if (js->meter)
		*js->meter += size;
}

int jstream_push(struct journal *j, struct jstream *js, struct segment *s, size_t offset,
		 const struct record *r)
{
	int rc = index_reserve(&js->index);

	if (rc < 0)
		return rc;
	index_push(&js->index, jstream_entry(s, offset, r));
	js->next++;
	segment_hold(j, s, record_size(r->body.n));
	entry_count(j, js, record_size(r->body.n));
	return 0;
}

static void entry_release(struct journal *j, struct jstream *js, const struct index_entry *entry)
{
	size_t size = record_size(entry->length);

	if (index_missing(entry))
		return;
	j->stats.records--;
	js->bytes -= size;
	if (js->meter)
		*js->meter -= size;
	segment_release(j, j->slots[entry->slot], size);
}

void jstream_move(struct journal *j, struct jstream *js, uint64_t seq, struct index_entry to)
{
	struct index_entry *entry = index_at(&js->index, (uint32_t)(seq - js->first));

	entry_release(j, js, entry);
	*entry = to;
	entry_count(j, js, record_size(to.length));
}

void jstream_lose_record(struct journal *j, struct jstream *js, uint64_t seq)
{
	struct index_entry *entry = index_at(&js->index, (uint32_t)(seq - js->first));

	entry_release(j, js, entry);
	*entry = (struct index_entry){ 0 };
	j->stats.damaged++;
}

static void jstream_pop(struct journal *j, struct jstream *js)
{
	struct index_entry entry = index_pop(&js->index);

	js->first++;
	entry_release(j, js, &entry);
}

void jstream_cut(struct journal *j, struct jstream *js, uint64_t seq)
{
	while (js->index.count && (js->first < seq || index_missing(index_at(&js->index, 0))))
		jstream_pop(j, js);
	if (js->index.count == 0)
		js->first = js->next;
}

/* Has the new beginning written, in time. */
static void mark_later(struct journal *j, struct jstream *js)
{
	if (!js->named)
		return;
	if (list_empty(&js->trim_link))
		list_add_tail(&j->trimmed, &js->trim_link);
	if (!timer_running(&j->trim_timer) && timer_start(&j->trim_timer, TRIM_DELAY_MS) < 0)
		task_defer(&j->flush);
}

/* Writes the new beginning of a trimmed stream. */
static int mark_now(struct journal *j, struct jstream *js)
{
	struct segment *before = js->named;
	int rc = jstream_reserve(j, js, record_size(8), ROOM_MARKS);

	/* A name is a mark too. */
	if (rc == 0 && js->named == before)
		rc = put_mark(j, js, RECORD_TRIM);
	if (rc == 0)
		list_del(&js->trim_link);
	return rc;
}

void jstreams_put_marks(struct journal *j)
{
	while (!list_empty(&j->trimmed))
		if (mark_now(j, container_of(j->trimmed.next, struct jstream, trim_link)) < 0)
			break;
}

int jstream_sync(struct journal *j, struct jstream *js, uint64_t *ret_lsn)
{
	int rc = j->failed ? -EIO : 0;

	if (rc == 0 && !list_empty(&js->trim_link))
		rc = mark_now(j, js);
	if (rc == 0)
		*ret_lsn = j->lsn;
	return rc;
}

int jstream_trim(struct journal *j, struct jstream *js, uint64_t seq)
{
	if (j->failed)
		return -EIO;
	if (seq > js->next)
		return -EINVAL;
	if (seq <= js->first)
		return 0;
	jstream_cut(j, js, seq);
	mark_later(j, js);
	return 0;
}

bool jstream_is_trimmed(const struct jstream *js, uint64_t seq, uint64_t *ret_lsn)
{
	if (seq >= js->first || !list_empty(&js->trim_link))
		return false;
	*ret_lsn = js->journal->lsn;
	return true;
}

int jstream_skip(struct jstream *js, uint64_t seq)
{
	if (js->index.count || seq < js->next)
		return -EINVAL;
	/* The next record's own number tells a restart. */
	js->first = js->next = seq;
	return 0;
}

int jstream_put_drop(struct journal *j, uint64_t id, uint64_t since)
{
	struct record r = { .type = RECORD_DROP, .stream = id, .wall_ms = age_now(&j->age) };
	int rc = segment_room(j, record_size(0), record_size(0), ROOM_MARKS);

	if (rc == 0)
		rc = segment_bury(j->current, (struct tomb){ id, since });
	if (rc < 0)
		return rc;
	rc = journal_put_relaxed(j, j->current, &r, NULL, 0);
	if (rc < 0)
		j->current->n_tombs--;
	return rc;
}

int jstream_drop(struct journal *j, struct jstream *js)
{
	int rc = j->failed ? -EIO : 0;

	if (rc == 0 && js->named)
		rc = jstream_put_drop(j, js->id, js->since);
	if (rc == 0)
		jstream_forget(j, js);
	return rc;
}

void jstream_set_max_age(struct jstream *js, uint64_t max_age_ms)
{
	struct journal *j = js->journal;

	js->max_age_ms = max_age_ms;
	if (max_age_ms && list_empty(&js->aged_link)) {
		list_add_tail(&j->aged, &js->aged_link);
		j->n_aged++;
		(void)timer_start(&j->age_timer, 1);
	} else if (!max_age_ms && !list_empty(&js->aged_link)) {
		list_del(&js->aged_link);
		j->n_aged--;
	}
}

void jstream_on_expired(struct jstream *js, void (*fn)(void *arg, uint64_t first), void *arg)
{
	js->expired = fn;
	js->expired_arg = arg;
}

/* True: there is more to do. The stream may be gone afterwards. */
static bool jstream_expire(struct journal *j, struct jstream *js, uint64_t now_ms)
{
	uint64_t before = js->first, keep_s;
	unsigned n = 0;
	bool more;

	if (!js->max_age_ms || now_ms < js->max_age_ms)
		return false;
	keep_s = (now_ms - js->max_age_ms) / 1000;
	while (js->index.count && index_at(&js->index, 0)->wall_s < keep_s && n++ < AGE_RECORDS)
		jstream_pop(j, js);
	jstream_cut(j, js, js->first);
	more = n > AGE_RECORDS;
	if (js->first == before)
		return more;
	mark_later(j, js);
	if (js->expired)
		js->expired(js->expired_arg, js->first);
	return more;
}

void jstreams_check_age(void *arg)
{
	struct journal *j = arg;
	uint64_t now_ms = age_now(&j->age);
	bool more = false;
	size_t n = 0;

	/* The list turns: the first goes to the end, and the next round begins where this ends. */
	for (; n < AGE_ROUND && n < j->n_aged; n++) {
		struct list *link = j->aged.next;

		list_del(link);
		list_add_tail(&j->aged, link);
		more |= jstream_expire(j, container_of(link, struct jstream, aged_link), now_ms);
	}
	j->aged_done = more ? 0 : j->aged_done + n;
	if (j->aged_done < j->n_aged) {
		(void)timer_start(&j->age_timer, 1);
		return;
	}
	j->aged_done = 0;
	(void)timer_start(&j->age_timer, AGE_CHECK_MS);
}
