/* SPDX-License-Identifier: MIT */
/*
 * What each record means, at the start: it is put where the append would have put it.
 *
 * Streams are known by their numbers here, and get their names when a name comes by. Numbers that
 * are missing in a stream leave places without a record.
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

/* Makes seq the next one: places for what is lost before it, or a new beginning. */
static void jstream_skip_to(struct recovery *rv, struct jstream *js, uint64_t seq)
{
	if (js->index.count && seq - js->next > GAP_MAX)
		jstream_cut(rv->j, js, js->next);
	if (js->index.count == 0) {
		js->first = js->next = seq;
		return;
	}
	while (js->next < seq) {
		if (index_reserve(&js->index) < 0) {
			rv->rc = -ENOMEM;
			return;
		}
		index_push(&js->index, (struct index_entry){ 0 });
		js->next++;
	}
}

static void apply_data(struct recovery *rv, size_t offset, const struct record *r)
{
	struct jstream *js = jstream_make(rv, r->stream);

	if (!js)
		return;
	js->mention = rv->s->number;
	if (r->seq < js->next || r->seq == UINT64_MAX) {
		recover_report(rv, rv->s->number, offset, record_size(r->body.n),
			       "a number out of order", "skips it");
		return;
	}
	if (r->seq > js->next)
		jstream_skip_to(rv, js, r->seq);
	if (rv->rc == 0)
		rv->rc = jstream_push(rv->j, js, rv->s, offset, r);
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
		jstream_forget(rv->j, older);
		if (older == js)
			return NULL;
	}
	rv->rc = jstream_set_name(rv->j, js, name);
	return rv->rc < 0 ? NULL : js;
}

static void apply_mark(struct recovery *rv, size_t offset, const struct record *r)
{
	struct jstream *js;
	struct str name;
	uint64_t next;

	if (!record_mark(r, &next, &name) || name.n > NAME_MAX_BYTES) {
		recover_report(rv, rv->s->number, offset, record_size(r->body.n),
			       "a malformed mark", "skips it");
		return;
	}
	js = jstream_make(rv, r->stream);
	if (js && r->type == RECORD_NAME && !js->name)
		js = jstream_take_name(rv, js, name);
	if (!js)
		return;
	js->mention = rv->s->number;
	if (r->type == RECORD_NAME && js->named != rv->s)
		jstream_set_named(js, rv->s);
	jstream_cut(rv->j, js, r->seq);
	if (next > js->next)
		jstream_skip_to(rv, js, next);
}

static void apply_drop(struct recovery *rv, const struct record *r)
{
	struct jstream *js = jstream_by_id(rv->j, r->stream);

	if (!js)
		return;
	rv->rc = segment_bury(rv->s, (struct tomb){ js->id, js->since });
	jstream_forget(rv->j, js);
}

void recover_apply(void *arg, size_t offset, const struct record *r)
{
	struct recovery *rv = arg;

	if (rv->rc < 0)
		return;
	rv->newest_ms = age_later(rv->newest_ms, r->wall_ms);
	if (r->type == RECORD_DATA)
		apply_data(rv, offset, r);
	else if (r->type == RECORD_NAME || r->type == RECORD_TRIM)
		apply_mark(rv, offset, r);
	else if (r->type == RECORD_DROP)
		apply_drop(rv, r);
}
