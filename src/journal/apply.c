/* SPDX-License-Identifier: MIT */
/*
 * What each item of a segment means, at the start: it is put where the append would have put it.
 *
 * Streams are known by their numbers here, and get their names when a name comes by. Within a
 * segment a small number (ordinal) stands for each, so that it is looked up once. Numbers that are
 * missing in a stream leave places without a record.
 */
#include <errno.h>
#include <stdlib.h>

#include "journal/recover_internal.h"

static struct jstream *jstream_make(struct recovery *rv, uint64_t id)
{
	struct jstream *js = jstream_by_id(rv->j, id);

	if (js)
		return js;
	js = jstream_create(rv->j, id);
	if (!js) {
		rv->rc = -ENOMEM;
		return NULL;
	}
	if (id >= rv->j->next_stream)
		rv->j->next_stream = id + 1;
	js->since = rv->s->number;
	return js;
}

/* Room for one more ordinal: 0 or -ENOMEM. */
static int ordinals_reserve(struct recovery *rv)
{
	size_t cap = rv->ordinals_cap ? rv->ordinals_cap * 2 : 1024;
	struct jstream **streams;
	uint64_t *ids;

	if (rv->n_ordinals < rv->ordinals_cap)
		return 0;
	streams = realloc(rv->streams, cap * sizeof(struct jstream *));
	if (streams)
		rv->streams = streams;
	ids = realloc(rv->ordinal_ids, cap * sizeof(*ids));
	if (ids)
		rv->ordinal_ids = ids;
	if (!streams || !ids)
		return -ENOMEM;
	rv->ordinals_cap = cap;
	return 0;
}

static void apply_stream(struct recovery *rv, const struct index_item *item)
{
	if (item->ordinal == 0)
		rv->n_ordinals = 0; /* another segment begins */
	if (ordinals_reserve(rv) < 0) {
		rv->rc = -ENOMEM;
		return;
	}
	rv->streams[rv->n_ordinals] = NULL;
	rv->ordinal_ids[rv->n_ordinals++] = item->seq;
}

static struct jstream *jstream_at(struct recovery *rv, uint32_t ordinal, bool make)
{
	if (ordinal >= rv->n_ordinals)
		return NULL;
	if (!rv->streams[ordinal])
		rv->streams[ordinal] = make ? jstream_make(rv, rv->ordinal_ids[ordinal])
					    : jstream_by_id(rv->j, rv->ordinal_ids[ordinal]);
	return rv->streams[ordinal];
}

static void jstream_lose(struct recovery *rv, struct jstream *js)
{
	for (size_t i = 0; i < rv->n_ordinals; i++)
		if (rv->streams[i] == js)
			rv->streams[i] = NULL;
	jstream_forget(rv->j, js);
}

/* Makes seq the next one: places for what is lost before it, or a new beginning. */
static void jstream_skip_to(struct recovery *rv, struct jstream *js, uint64_t seq)
{
	if (js->index.count && seq - js->next > GAP_MAX)
		jstream_cut(rv->j, js, js->next);
	if (js->index.count == 0) {
		js->first = js->next = seq;
		return;
	}
	if (index_reserve_many(&js->index, (uint32_t)(seq - js->next)) < 0) {
		rv->rc = -ENOMEM;
		return;
	}
	for (; js->next < seq; js->next++)
		index_push(&js->index, (struct index_entry){ 0 });
}

static struct record item_record(const struct index_item *item)
{
	return (struct record){ .wall_ms = (uint64_t)item->wall_s * 1000, .body.n = item->length };
}

static void apply_data(struct recovery *rv, const struct index_item *item)
{
	struct jstream *js = jstream_at(rv, item->ordinal, true);
	struct record r = item_record(item);

	if (!js)
		return;
	js->mention = rv->s->number;
	if (item->seq < js->next || item->seq == UINT64_MAX) {
		recover_report(rv, rv->s->number, item->offset, item->size, "a number out of order",
			       "skips it");
		return;
	}
	if (item->seq > js->next)
		jstream_skip_to(rv, js, item->seq);
	if (rv->rc == 0)
		rv->rc = jstream_push(rv->j, js, rv->s, item->offset, &r);
	rv->j->stats.recovered++;
}

/* Places without records from seq on, in front of what is there. */
static bool jstream_reach_back(struct recovery *rv, struct jstream *js, uint64_t seq)
{
	if (seq == 0 || js->first - seq > GAP_MAX)
		return false;
	if (js->first > seq && index_reserve_many(&js->index, (uint32_t)(js->first - seq)) < 0) {
		rv->rc = -ENOMEM;
		return false;
	}
	for (; js->first > seq; js->first--)
		index_push_missing_front(&js->index);
	return true;
}

/*
 * A record that lay in an older segment, which may be gone: then younger ones were read before it.
 * It was alive when it was copied, so no mark that was read until now says otherwise.
 */
static void apply_copy(struct recovery *rv, const struct index_item *item)
{
	struct jstream *js = jstream_at(rv, item->ordinal, false);
	struct record r = item_record(item);

	if (!js || item->seq >= js->next) {
		apply_data(rv, item);
		return;
	}
	js->mention = rv->s->number;
	if (item->seq < js->first && !jstream_reach_back(rv, js, item->seq)) {
		if (rv->rc == 0)
			recover_report(rv, rv->s->number, item->offset, item->size,
				       "a number out of order", "skips it");
		return;
	}
	segment_hold(rv->j, rv->s, record_size(item->length));
	jstream_move(rv->j, js, item->seq, jstream_entry(rv->s, item->offset, &r));
	rv->j->stats.recovered++;
}

/* Two streams with one name: the newer was made after the older's drop. The survivor, or NULL. */
static struct jstream *jstream_take_name(struct recovery *rv, struct jstream *js, struct str name)
{
	struct map_node *node = map_find(&rv->j->streams, name);
	struct jstream *other = node ? container_of(node, struct jstream, name_node) : NULL;
	struct jstream *older = other && other->id > js->id ? js : other;
	struct tomb *ghosts;

	if (older) {
		ghosts = realloc(rv->ghosts, (rv->n_ghosts + 1) * sizeof(*ghosts));
		if (!ghosts) {
			rv->rc = -ENOMEM;
			return NULL;
		}
		rv->ghosts = ghosts;
		rv->ghosts[rv->n_ghosts++] = (struct tomb){ older->id, older->since };
		jstream_lose(rv, older);
		if (older == js)
			return NULL;
	}
	rv->rc = jstream_set_name(rv->j, js, name);
	return rv->rc < 0 ? NULL : js;
}

static void apply_mark(struct recovery *rv, const struct index_item *item)
{
	struct jstream *js;

	if (item->name.n > NAME_MAX_BYTES) {
		recover_report(rv, rv->s->number, item->offset, item->size, "a malformed mark",
			       "skips it");
		return;
	}
	js = jstream_at(rv, item->ordinal, true);
	if (js && item->type == RECORD_NAME && !js->name)
		js = jstream_take_name(rv, js, item->name);
	if (!js)
		return;
	js->mention = rv->s->number;
	if (item->type == RECORD_NAME && js->named != rv->s)
		jstream_set_named(js, rv->s);
	jstream_cut(rv->j, js, item->seq);
	if (item->next > js->next)
		jstream_skip_to(rv, js, item->next);
}

static void apply_drop(struct recovery *rv, const struct index_item *item)
{
	struct jstream *js = jstream_at(rv, item->ordinal, false);

	if (!js)
		return;
	rv->rc = segment_bury(rv->s, (struct tomb){ js->id, js->since });
	jstream_lose(rv, js);
}

/*
 * Millions of items, each of another stream: nearly all the time would go into waiting for memory. So the
 * streams of items to come are fetched into the cache: first the struct, then where its index ends.
 */
void recover_ahead(const struct recovery *rv, struct str rest)
{
	enum { NEAR = 8, FAR = 16 };
	uint32_t near = index_item_peek(rest, NEAR), far = index_item_peek(rest, FAR);

	if (far < rv->n_ordinals && rv->streams[far]) {
		__builtin_prefetch(&rv->streams[far]->id, 1);
		__builtin_prefetch(&rv->streams[far]->named, 1);
	}
	if (near < rv->n_ordinals && rv->streams[near])
		index_prefetch(&rv->streams[near]->index);
}

void recover_apply(struct recovery *rv, const struct index_item *item)
{
	switch (item->type) {
	case RECORD_DATA:
		apply_data(rv, item);
		break;
	case RECORD_COPY:
		apply_copy(rv, item);
		break;
	case RECORD_NAME:
	case RECORD_TRIM:
		apply_mark(rv, item);
		break;
	case RECORD_DROP:
		apply_drop(rv, item);
		break;
	case INDEX_STREAM:
		apply_stream(rv, item);
		break;
	case INDEX_MALFORMED:
		recover_report(rv, rv->s->number, item->offset, item->size, "a malformed mark",
			       "skips it");
		break;
	case INDEX_HOLE:
		recover_report_range(rv, rv->s->number, item->offset, item->size);
		break;
	default:
		break;
	}
}
