/* SPDX-License-Identifier: MIT */
/*
 * What the journal must have after a power cut: all that it acknowledged, and of the rest a prefix.
 *
 *   sure    what holds when all records up to the durable lsn are there
 *   tail    what was appended after that, in order: a cut may take any end of it, and nothing else
 *   live    what holds when all is there
 *
 * Segments and states are two logs, each with its tail. A trim has no lsn that its caller learns;
 * it is in a record once it has been handed over, so it is sure when the last lsn of then is
 * durable; before, it may be forgotten, and records come back. Nothing that was not trimmed may be
 * missing, ever. A name that is dropped and made again is another incarnation of it; each body
 * begins with the number of the incarnation and its own, so that none passes for another.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "disk_internal.h"
#include "journal/le.h"
#include "torture.h"

enum { NONE = 0, VALUE_LEAST = 8, PATTERN = 256 * 1024 };

/* A stream from its making to its drop. */
struct inc {
	unsigned name;
	uint32_t *lens; /* of seq i + 1: its length + 1, 0 = no such record */
	size_t n, cap;
	uint64_t asked, sure; /* trimmed up to */
};

/* A name: which incarnation (NONE: it is not known), and its next number. */
struct look {
	unsigned inc;
	uint64_t next;
};

struct append {
	uint64_t lsn, seq;
	unsigned name, inc; /* inc NONE: a drop */
};

struct change {
	uint64_t lsn;
	unsigned key, version; /* NONE: deleted */
};

struct mark {
	uint64_t lsn, seq; /* lsn 0: not handed over yet */
	unsigned inc;
	const struct jstream *js;
};

static struct inc *incs; /* from 1 */
static size_t n_incs, cap_incs;
static struct look sure[NAMES], live[NAMES];
static unsigned sure_states[KEYS], live_states[KEYS], versions;
static struct append *tail;
static size_t n_tail, cap_tail;
static struct change *changes;
static size_t n_changes, cap_changes;
static struct mark *marks;
static size_t n_marks, cap_marks;
static uint64_t written_floor;
static char *pattern;

/* Bytes that look much like records, so that a search for one has something to stumble over. */
static void make_pattern(void)
{
	struct rnd r = { 42 };

	pattern = malloc(PATTERN);
	assert(pattern);
	for (size_t at = 0; at < PATTERN; at += 8)
		le64_put(pattern + at, rnd_next(&r));
	for (size_t at = 0; at + 4096 < PATTERN; at += 8 * rnd_scale(&r, 8)) {
		struct record fake = { .type = RECORD_DATA,
				       .stream = 1 + rnd_below(&r, 9),
				       .seq = rnd_below(&r, 99),
				       .lsn = rnd_below(&r, 9999) };

		fake.body = str_make(pattern + at + RECORD_HEADER, rnd_below(&r, 999));
		record_seal(pattern + at, &fake, rnd_next(&r));
	}
}

void model_init(void)
{
	if (!pattern)
		make_pattern();
	for (size_t i = 1; i <= n_incs; i++)
		free(incs[i].lens);
	n_incs = n_tail = n_changes = n_marks = 0;
	versions = 0;
	written_floor = 0;
	for (unsigned i = 0; i < NAMES; i++)
		sure[i] = live[i] = (struct look){ NONE, 1 };
	memset(sure_states, 0, sizeof(sure_states));
	memset(live_states, 0, sizeof(live_states));
}

void model_fini(void)
{
	model_init();
	free(incs);
	free(tail);
	free(changes);
	free(marks);
	free(pattern);
	incs = NULL;
	tail = NULL;
	changes = NULL;
	marks = NULL;
	pattern = NULL;
	cap_incs = cap_tail = cap_changes = cap_marks = 0;
}

struct str model_name(unsigned i)
{
	static char text[NAMES][64];

	/* Some are long, so that names weigh. */
	(void)snprintf(text[i], sizeof(text[i]), "%s%u",
		       i % 7 == 3 ? "a-stream-with-rather-a-long-name-" : "s", i);
	return str_from(text[i]);
}

struct str model_key(unsigned i)
{
	static char text[KEYS][64];

	(void)snprintf(text[i], sizeof(text[i]), "key/%u", i);
	return str_from(text[i]);
}

struct str model_body(unsigned inc, uint64_t seq, size_t len)
{
	static char body[BODY_MOST + 16];
	struct rnd r = { inc * UINT64_C(1000003) + seq };

	memcpy(body, pattern + 8 * rnd_below(&r, (PATTERN - BODY_MOST - 16) / 8), len);
	if (len >= 16) {
		le64_put(body, inc);
		le64_put(body + 8, seq);
	}
	return str_make(body, len);
}

/* Odd versions are large values. */
static size_t value_len(unsigned version)
{
	struct rnd r = { version };

	return VALUE_LEAST + (version % 2 ? rnd_below(&r, 60000) : rnd_scale(&r, 6));
}

struct str model_value(unsigned version)
{
	static char value[65536];
	size_t len = value_len(version);

	memcpy(value, pattern + version % 1000 * 8, len);
	le64_put(value, version);
	return str_make(value, len);
}

static unsigned inc_new(unsigned name)
{
	incs = disk_grow(incs, n_incs + 1, &cap_incs, sizeof(*incs));
	incs[++n_incs] = (struct inc){ .name = name, .asked = 1, .sure = 1 };
	return (unsigned)n_incs;
}

unsigned model_inc(unsigned name)
{
	if (live[name].inc == NONE)
		live[name] = (struct look){ inc_new(name), 1 };
	return live[name].inc;
}

uint64_t model_next(unsigned name)
{
	return live[name].next;
}

static uint32_t inc_len(unsigned inc, uint64_t seq)
{
	return seq - 1 < incs[inc].n ? incs[inc].lens[seq - 1] : 0;
}

/* Is there a record in [from, to)? */
static bool inc_has(unsigned inc, uint64_t from, uint64_t to)
{
	for (; from < to && from - 1 < incs[inc].n; from++)
		if (inc_len(inc, from))
			return true;
	return false;
}

void model_appended(unsigned name, uint64_t seq, size_t len, uint64_t lsn)
{
	struct inc *inc = &incs[live[name].inc];

	while (inc->n < seq) {
		inc->lens = disk_grow(inc->lens, inc->n, &inc->cap, sizeof(*inc->lens));
		inc->lens[inc->n++] = 0;
	}
	inc->lens[seq - 1] = (uint32_t)len + 1;
	live[name].next = seq + 1;
	tail = disk_grow(tail, n_tail, &cap_tail, sizeof(*tail));
	tail[n_tail++] = (struct append){ lsn, seq, name, live[name].inc };
}

void model_trimmed(unsigned name, const struct jstream *js, uint64_t seq)
{
	struct inc *inc = &incs[live[name].inc];

	if (jstream_first(js) > inc->asked)
		inc->asked = jstream_first(js);
	marks = disk_grow(marks, n_marks, &cap_marks, sizeof(*marks));
	marks[n_marks++] = (struct mark){ 0, seq, live[name].inc, js };
}

void model_skipped(unsigned name, uint64_t seq)
{
	live[name].next = seq;
	if (seq > incs[live[name].inc].asked)
		incs[live[name].inc].asked = seq;
}

void model_dropped(unsigned name, uint64_t lsn)
{
	unsigned inc = live[name].inc;

	for (size_t i = 0; i < n_marks; i++)
		if (marks[i].inc == inc && !marks[i].lsn)
			marks[i--] = marks[--n_marks];
	tail = disk_grow(tail, n_tail, &cap_tail, sizeof(*tail));
	tail[n_tail++] = (struct append){ lsn, 0, name, NONE };
	live[name] = (struct look){ NONE, 1 };
}

unsigned model_version(bool large)
{
	versions++;
	if (versions % 2 != large)
		versions++;
	return versions;
}

void model_put(unsigned key, unsigned version, uint64_t lsn)
{
	live_states[key] = version;
	changes = disk_grow(changes, n_changes, &cap_changes, sizeof(*changes));
	changes[n_changes++] = (struct change){ lsn, key, version };
}

void model_flushed(uint64_t lsn)
{
	for (size_t i = 0; i < n_marks; i++)
		if (!marks[i].lsn && list_empty(&marks[i].js->trim_link))
			marks[i].lsn = lsn;
}

static void apply(struct look *looks, const struct append *a)
{
	looks[a->name] =
		a->inc == NONE ? (struct look){ NONE, 1 } : (struct look){ a->inc, a->seq + 1 };
}

void model_durable(uint64_t lsn)
{
	size_t n = 0, m = 0;

	for (; n < n_tail && tail[n].lsn <= lsn; n++)
		apply(sure, &tail[n]);
	n_tail -= n;
	if (n && n_tail)
		memmove(tail, tail + n, n_tail * sizeof(*tail));
	for (; m < n_changes && changes[m].lsn <= lsn; m++)
		sure_states[changes[m].key] = changes[m].version;
	n_changes -= m;
	if (m && n_changes)
		memmove(changes, changes + m, n_changes * sizeof(*changes));
	for (size_t i = 0; i < n_marks; i++) {
		if (!marks[i].lsn || marks[i].lsn > lsn)
			continue;
		if (marks[i].seq > incs[marks[i].inc].sure)
			incs[marks[i].inc].sure = marks[i].seq;
		marks[i--] = marks[--n_marks];
	}
}

void model_written(uint64_t lsn)
{
	written_floor = lsn;
}

void model_power_cut(void)
{
	written_floor = 0;
}

uint64_t model_last_lsn(void)
{
	uint64_t a = n_tail ? tail[n_tail - 1].lsn : 0,
		 b = n_changes ? changes[n_changes - 1].lsn : 0;

	return a > b ? a : b;
}

static bool body_is(unsigned inc, uint64_t seq, struct str body)
{
	uint32_t len = inc_len(inc, seq);

	return len && body.n == len - 1 &&
	       (body.n == 0 || memcmp(body.p, model_body(inc, seq, body.n).p, body.n) == 0);
}

bool model_check_record(unsigned name, uint64_t seq, struct str body)
{
	if (live[name].inc != NONE && body_is(live[name].inc, seq, body))
		return true;
	return complain("%s record %" PRIu64 " (%zu bytes) is not what was appended",
			model_name(name).p, seq, body.n);
}

bool model_live_record(unsigned name, uint64_t seq, struct str body)
{
	return live[name].inc != NONE && body_is(live[name].inc, seq, body);
}

bool model_known_record(unsigned name, uint64_t seq, struct str body)
{
	for (unsigned i = 1; i <= n_incs; i++)
		if (incs[i].name == name && body_is(i, seq, body))
			return true;
	return false;
}

int model_state(struct str key, struct str value)
{
	uint64_t version = value.n >= VALUE_LEAST ? le64_get(value.p) : 0;

	if (!version || version > versions || value.n != value_len((unsigned)version) ||
	    memcmp(value.p, model_value((unsigned)version).p, value.n) != 0)
		return -1;
	for (unsigned i = 0; i < KEYS; i++)
		if (str_eq(key, model_key(i)))
			return (int)i;
	return -1;
}

/* ---- what is found after an opening */

enum { CANDIDATES = 64 };

struct candidate {
	unsigned inc;
	uint64_t served;
	bool ok;
};

struct found {
	uint64_t first, next, cursor;
	struct candidate candidates[CANDIDATES];
	size_t n;
	bool done;
	int rc;
};

static struct found found[NAMES];
static unsigned found_states[KEYS];
static bool found_bad;

static void add_candidate(struct found *f, unsigned inc)
{
	if (inc == NONE || (f->n && f->candidates[f->n - 1].inc == inc) || f->n == CANDIDATES)
		return;
	f->candidates[f->n++] = (struct candidate){ inc, 0, true };
}

static void on_records(void *arg, int rc, const struct journal_record *records, size_t n)
{
	struct found *f = arg;

	f->done = true;
	f->rc = rc;
	for (size_t i = 0; i < n; i++) {
		for (size_t c = 0; c < f->n; c++) {
			f->candidates[c].served++;
			if (f->candidates[c].ok)
				f->candidates[c].ok = body_is(f->candidates[c].inc, records[i].seq,
							      records[i].body);
		}
		f->cursor = records[i].seq + 1;
	}
}

static bool find_stream(struct run *run, unsigned name)
{
	struct found *f = &found[name];
	struct jstream *js = journal_stream(run->j, model_name(name));

	*f = (struct found){ .first = jstream_first(js), .next = jstream_next(js) };
	add_candidate(f, sure[name].inc);
	for (size_t i = 0; i < n_tail; i++)
		if (tail[i].name == name)
			add_candidate(f, tail[i].inc);
	for (f->cursor = f->first; f->cursor < f->next;) {
		f->done = false;
		if (journal_read(run->j, js, f->cursor, 1 << 20, on_records, f) < 0)
			return complain("no memory");
		while (!f->done && works_step(NULL))
			;
		if (disk.dead)
			return false; /* the cut came before all was looked at */
		if (!f->done || (f->rc < 0 && f->rc != -ENOENT))
			return complain("%s: reading from %" PRIu64 " gives %d", model_name(name).p,
					f->cursor, f->rc);
		if (f->rc == -ENOENT)
			break;
	}
	for (size_t c = 0; c < f->n; c++) {
		uint64_t want = 0;

		for (uint64_t seq = f->first; seq < f->next; seq++)
			want += inc_len(f->candidates[c].inc, seq) != 0;
		f->candidates[c].ok &= want == f->candidates[c].served;
	}
	return true;
}

static void on_state(void *arg, struct str key, struct str value)
{
	int i = model_state(key, value);

	if (i < 0)
		found_bad = !complain("state %.*s has a value of %zu bytes that nobody put",
				      STR_ARG(key), value.n);
	else
		found_states[i] = (unsigned)le64_get(value.p);
}

static void on_stream(void *arg, struct jstream *js)
{
	for (unsigned i = 0; i < NAMES; i++)
		if (str_eq(jstream_name(js), model_name(i)))
			return;
	found_bad = !complain("there is a stream %.*s that nobody made", STR_ARG(jstream_name(js)));
}

/* The number that an empty stream may go on with: a skip may or may not be known. */
static bool next_fits(const struct found *f, const struct look *look)
{
	if (f->next == look->next)
		return true;
	if (f->first != f->next || f->next < look->next)
		return false;
	for (size_t c = 0; c < f->n; c++) {
		unsigned inc = f->candidates[c].inc;

		if ((look->inc == NONE || look->inc == inc) &&
		    (inc_len(inc, f->next) || f->next <= incs[inc].asked) &&
		    !inc_has(inc, look->next, f->next))
			return true;
	}
	return false;
}

/* What is wrong with this stream if that is what should be there; NULL: nothing. */
static const char *mismatch(const struct found *f, const struct look *look)
{
	const struct inc *inc = &incs[look->inc];

	if (!next_fits(f, look))
		return "the next number is another";
	if (look->inc == NONE)
		return f->first == f->next ? NULL : "it was dropped";
	if (f->first == f->next)
		return inc_has(look->inc, inc->asked, f->next) ? "untrimmed records are gone"
							       : NULL;
	for (size_t c = 0; c < f->n; c++) {
		if (f->candidates[c].inc != look->inc)
			continue;
		if (!f->candidates[c].ok)
			return "records are missing or are not what was appended";
		if (inc_has(look->inc, inc->asked, f->first))
			return "untrimmed records are gone";
		return f->first < inc->sure ? "a trim that was durable is forgotten" : NULL;
	}
	return "another incarnation's records";
}

static bool all_fit(const struct look *looks, unsigned *ret_name, const char **ret_what)
{
	for (unsigned i = 0; i < NAMES; i++) {
		const char *what = mismatch(&found[i], &looks[i]);

		if (!what)
			continue;
		*ret_name = i;
		*ret_what = what;
		return false;
	}
	return true;
}

/* Is what was found the state after some prefix of the tail? Then that is `sure`. */
static bool match_streams(void)
{
	struct look looks[NAMES], most[NAMES];
	unsigned name = 0;
	const char *what = "";
	size_t best = 0;
	bool fits = false;

	memcpy(looks, sure, sizeof(looks));
	memcpy(most, sure, sizeof(most));
	/* The longest that fits: a tail of records that were trimmed at once fits many. */
	for (size_t k = 0;; k++) {
		unsigned a;
		const char *b;

		if (all_fit(looks, &a, &b)) {
			if (k == n_tail || tail[k].lsn > written_floor) {
				fits = true;
				memcpy(most, looks, sizeof(most));
			}
		} else if (!fits && (k == 0 || a > name)) {
			name = a;
			what = b;
			best = k;
			memcpy(most, looks, sizeof(most));
		}
		if (k == n_tail)
			break;
		apply(looks, &tail[k]);
	}
	if (!fits)
		return complain("the streams are not a prefix of what was appended (%zu of %zu not "
				"yet durable): %s: %s; it has %" PRIu64 " to %" PRIu64
				", should go on with %" PRIu64 ", trimmed to %" PRIu64
				" (durable %" PRIu64 ", written floor %" PRIu64 ")",
				best, n_tail, model_name(name).p, what, found[name].first,
				found[name].next, most[name].next,
				most[name].inc ? incs[most[name].inc].asked : 0,
				most[name].inc ? incs[most[name].inc].sure : 0, written_floor);
	memcpy(sure, most, sizeof(sure));
	return true;
}

static bool match_states(void)
{
	unsigned states[KEYS];
	bool fits = false;

	memcpy(states, sure_states, sizeof(states));
	for (size_t k = 0;; k++) {
		if (memcmp(states, found_states, sizeof(states)) == 0 &&
		    (k == n_changes || changes[k].lsn > written_floor))
			fits = true;
		if (k == n_changes)
			break;
		states[changes[k].key] = changes[k].version;
	}
	if (fits)
		return true;
	for (unsigned i = 0; i < KEYS; i++)
		if (found_states[i] != sure_states[i] || n_changes)
			return complain(
				"the states are not those after a prefix of the puts (%zu not "
				"yet durable): %s has version %u, durable is %u, last %u",
				n_changes, model_key(i).p, found_states[i], sure_states[i],
				live_states[i]);
	return complain("the states that were written are gone");
}

/* What is there is what counts from now on. */
static void adopt(void)
{
	for (unsigned i = 0; i < NAMES; i++) {
		const struct found *f = &found[i];
		struct look *look = &sure[i];

		if (look->inc == NONE && f->next > 1)
			look->inc = inc_new(i);
		look->next = f->next;
		live[i] = *look;
		if (look->inc == NONE)
			continue;
		incs[look->inc].asked = incs[look->inc].sure = f->first;
		for (uint64_t seq = f->next; seq - 1 < incs[look->inc].n; seq++)
			incs[look->inc].lens[seq - 1] = 0;
	}
	memcpy(sure_states, found_states, sizeof(sure_states));
	memcpy(live_states, found_states, sizeof(live_states));
	n_tail = n_changes = n_marks = 0;
	written_floor = 0;
}

bool model_verify(struct run *run, bool damage_expected)
{
	struct journal_stats st;

	found_bad = false;
	memset(found_states, 0, sizeof(found_states));
	for (unsigned i = 0; i < NAMES; i++)
		if (!find_stream(run, i))
			return false;
	journal_each_stream(run->j, on_stream, NULL);
	journal_each_state(run->j, STR(""), on_state, NULL);
	journal_stats(run->j, &st);
	if (st.damaged && !damage_expected)
		return complain("%" PRIu64 " places are called damaged, and nothing was",
				st.damaged);
	if (found_bad || !match_streams() || !match_states())
		return false;
	adopt();
	return true;
}
