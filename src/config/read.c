/* SPDX-License-Identifier: MIT */
/*
 * A tree of nodes into structs, table by table.
 *
 * Each table is read in two steps: names first (unknown and duplicate keys, in the file's order),
 * then values in the table's order, defaults included, and its check hook at the end. Lists set
 * their count as they go over zeroed memory, so that what is half read is freed like the whole.
 */
#include "config/config_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORDS_MAX = 360 };

static int fail_at(const struct conf_where *where, size_t line, struct err *e, int rc,
		   const char *text)
{
	return err_set(e, rc, "%s:%zu: %s%s%s", where->file, line, where->path,
		       *where->path ? ": " : "", text);
}

int conf_fail(const struct conf_where *where, const char *key, struct err *e, const char *fmt, ...)
{
	const struct conf_node *value = key ? node_find(where->node, key) : NULL;
	struct err text;
	va_list ap;

	assert(fmt);
	va_start(ap, fmt);
	(void)vsnprintf(text.text, sizeof(text.text), fmt, ap);
	va_end(ap);
	return fail_at(where, value ? value->key_line : where->line, e, -EINVAL, text.text);
}

static int fail_memory(struct reader *r, const struct conf_where *where)
{
	return err_set(r->e, -ENOMEM, "%s: out of memory", where->file);
}

static void words_init(struct buf *words)
{
	buf_init(words, WORDS_MAX);
}

/* "<what>": the value of that node in words, for "x is ...". A secret is not shown. */
static void found(const struct conf_key *key, const struct conf_node *node, struct buf *out)
{
	if (node->kind != NODE_SCALAR)
		(void)buf_addf(out, node->kind == NODE_LIST ? "a list" : "a mapping");
	else if (node->null)
		(void)buf_addf(out, "empty");
	else if (key->type == CONF_SECRET)
		(void)buf_addf(out, SECRET_SHOWN);
	else
		value_quote(str_from(node->text), out);
}

/* `key is X, must be Y`; index < 0: the key itself, else an item of its list. */
static int fail_value(struct reader *r, const struct conf_where *where, const struct conf_key *key,
		      const struct conf_node *node, long index)
{
	auto_buf struct buf is, must;
	char item[24] = "";
	struct err text;

	words_init(&is);
	words_init(&must);
	found(key, node, &is);
	if (key->type == CONF_STRINGS && index < 0)
		(void)buf_addf(&must, "a list like [a, b]");
	else
		value_allowed(key, &must);
	if (index >= 0)
		(void)snprintf(item, sizeof(item), "[%ld]", index);
	(void)snprintf(text.text, sizeof(text.text), "%s%s is %.*s, must be %.*s", key->name, item,
		       STR_ARG(buf_str(&is)), STR_ARG(buf_str(&must)));
	return fail_at(where, index < 0 ? node->key_line : node->line, r->e, -EINVAL, text.text);
}

static int fail_count(struct reader *r, const struct conf_where *where, const struct conf_key *key,
		      const struct conf_node *node)
{
	struct err text;

	(void)snprintf(text.text, sizeof(text.text), "%s has %zu items, must have %llu to %llu",
		       key->name, node ? node_count(node) : 0, (unsigned long long)key->min,
		       (unsigned long long)value_max(key));
	return fail_at(where, node ? node->key_line : where->line, r->e, -EINVAL, text.text);
}

/* ---- names ---- */

/* How many single-character edits lie between two names; long names are far away. */
static size_t edits(const char *a, const char *b)
{
	enum { MAX = 32 };
	size_t row[MAX + 1], n = strlen(b);

	if (strlen(a) > MAX || n > MAX)
		return MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

static int fail_unknown(struct reader *r, const struct conf_table *table,
			const struct conf_where *where, const struct conf_node *node)
{
	const struct conf_key *nearest = NULL;
	size_t least = strlen(node->key) / 3 + 2;
	auto_buf struct buf is, known;
	struct err text;

	words_init(&is);
	words_init(&known);
	value_quote(str_from(node->key), &is);
	for (const struct conf_key *k = table->keys; k->name; k++) {
		size_t n = edits(node->key, k->name);

		(void)buf_addf(&known, "%s%s", k == table->keys ? "" : ", ", k->name);
		if (n < least) {
			least = n;
			nearest = k;
		}
	}
	if (nearest)
		(void)snprintf(text.text, sizeof(text.text),
			       "unknown key %.*s, did you mean \"%s\"?", STR_ARG(buf_str(&is)),
			       nearest->name);
	else
		(void)snprintf(text.text, sizeof(text.text), "unknown key %.*s, known are: %.*s",
			       STR_ARG(buf_str(&is)), STR_ARG(buf_str(&known)));
	return fail_at(where, node->key_line, r->e, -EINVAL, text.text);
}

static bool key_known(const struct conf_table *table, const char *name, bool typed)
{
	if (typed && !strcmp(name, "type"))
		return true;
	for (const struct conf_key *k = table->keys; k->name; k++) {
		if (!strcmp(k->name, name))
			return true;
	}
	return false;
}

static int fail_twice(struct reader *r, const struct conf_where *where,
		      const struct conf_node *node, const struct conf_node *first)
{
	struct err text;

	(void)snprintf(text.text, sizeof(text.text), "%s is given twice, first in line %zu",
		       node->key, first->key_line);
	return fail_at(where, node->key_line, r->e, -EINVAL, text.text);
}

static int names_check(struct reader *r, const struct conf_table *table,
		       const struct conf_where *where, bool typed)
{
	if (!where->node)
		return 0;
	for (const struct conf_node *n = where->node->first; n; n = n->next) {
		const struct conf_node *first = node_find(where->node, n->key);

		if (!key_known(table, n->key, typed))
			return fail_unknown(r, table, where, n);
		if (first != n)
			return fail_twice(r, where, n, first);
	}
	return 0;
}

/* ---- places ---- */

/* What does not fit is left out: the line number tells the place anyway. */
static void path_add(struct conf_where *where, const char *a, const char *b)
{
	size_t used = strlen(where->path), n = strlen(a), m = strlen(b);

	if (used + n + m >= sizeof(where->path))
		return;
	memcpy(where->path + used, a, n);
	memcpy(where->path + used + n, b, m + 1);
}

static void where_child(const struct conf_where *parent, const char *key,
			const struct conf_node *node, struct conf_where *ret)
{
	ret->file = parent->file;
	ret->line = node ? node->line : parent->line;
	ret->node = node;
	*ret->path = '\0';
	path_add(ret, parent->path, *parent->path ? "." : "");
	path_add(ret, key, "");
}

void conf_where_item(const struct conf_where *where, const char *key, size_t index,
		     struct conf_where *ret)
{
	const struct conf_node *list = node_find(where->node, key);
	const struct conf_node *item = list ? list->first : NULL, *name = NULL;
	auto_buf struct buf label;
	char step[64];

	for (size_t i = 0; item && i < index; i++)
		item = item->next;
	if (item && item->kind == NODE_MAP)
		name = node_find(item, "name");
	words_init(&label);
	(void)snprintf(step, sizeof(step), "%s[%zu]", key, index);
	where_child(where, step, item, ret);
	if (!name || name->kind != NODE_SCALAR || name->null)
		return;
	(void)buf_addc(&label, ' ');
	value_quote(str_from(name->text), &label);
	if (buf_addc(&label, '\0') == 0 && buf_str(&label).p)
		path_add(ret, buf_str(&label).p, "");
}

/* ---- values ---- */

static int strings_read(struct reader *r, const struct conf_where *where,
			const struct conf_key *key, const struct conf_node *node,
			struct conf_strings *list)
{
	long index = 0;

	if (node->kind != NODE_LIST)
		return fail_value(r, where, key, node, -1);
	if (node_count(node) < key->min || node_count(node) > value_max(key))
		return fail_count(r, where, key, node);
	for (const struct conf_node *n = node->first; n; n = n->next, index++) {
		int rc = n->kind == NODE_SCALAR && !n->null
				 ? value_add(key, str_from(n->text), list)
				 : -EINVAL;

		if (rc == -ENOMEM)
			return fail_memory(r, where);
		if (rc < 0)
			return fail_value(r, where, key, n, index);
	}
	return 0;
}

static int fail_name(struct reader *r, const struct conf_where *where, const struct conf_key *key,
		     const struct conf_node *node)
{
	auto_buf struct buf is;
	struct err text;

	words_init(&is);
	value_quote(str_from(node->key), &is);
	(void)snprintf(text.text, sizeof(text.text), "%s has the key %.*s, must be %s", key->name,
		       STR_ARG(buf_str(&is)), key->must);
	return fail_at(where, node->key_line, r->e, -EINVAL, text.text);
}

static int duration_read(struct reader *r, const struct conf_where *where,
			 const struct conf_key *key, const struct conf_node *map,
			 const struct conf_node *node, struct conf_durations *list)
{
	const struct conf_node *first = node_find(map, node->key);
	struct conf_where inner;
	int rc = -EINVAL;

	if (key->valid && !key->valid(str_from(node->key)))
		return fail_name(r, where, key, node);
	where_child(where, key->name, map, &inner);
	if (first != node)
		return fail_twice(r, &inner, node, first);
	if (node->kind == NODE_SCALAR && !node->null)
		rc = value_add_duration(key, node->key, str_from(node->text), list);
	if (rc == -ENOMEM)
		return fail_memory(r, where);
	if (rc < 0) {
		struct conf_key named = *key;

		named.name = node->key;
		return fail_value(r, &inner, &named, node, -1);
	}
	return 0;
}

static int durations_read(struct reader *r, const struct conf_where *where,
			  const struct conf_key *key, const struct conf_node *node,
			  struct conf_durations *list)
{
	int rc = 0;

	if (node->kind != NODE_MAP)
		return conf_fail(where, key->name, r->e,
				 "%s is %s, must be a mapping like {a: 15s}", key->name,
				 node->kind == NODE_LIST ? "a list" : "a text");
	if (node_count(node) > CONF_ITEMS_MAX)
		return conf_fail(where, key->name, r->e, "%s has %zu items, must have 0 to %d",
				 key->name, node_count(node), CONF_ITEMS_MAX);
	for (const struct conf_node *n = node->first; n && rc == 0; n = n->next)
		rc = duration_read(r, where, key, node, n, list);
	return rc;
}

/* An item of a list of tables must be a mapping. */
static int item_check(struct reader *r, const struct conf_where *item)
{
	auto_buf struct buf is;
	static const struct conf_key plain = { .type = CONF_STRING };

	words_init(&is);
	assert(item->node);
	if (item->node->kind == NODE_MAP)
		return 0;
	found(&plain, item->node, &is);
	return conf_fail(item, NULL, r->e, "this item is %.*s, must be keys with values",
			 STR_ARG(buf_str(&is)));
}

static int tables_read(struct reader *r, const struct conf_where *where, const struct conf_key *key,
		       const struct conf_node *node, struct conf_items *list)
{
	size_t n = node_count(node);
	int rc = 0;

	list->items = n ? calloc(n, key->table->size) : NULL;
	if (n && !list->items)
		return fail_memory(r, where);
	for (list->count = 0; list->count < n && rc == 0;) {
		struct conf_where item;

		conf_where_item(where, key->name, list->count, &item);
		rc = item_check(r, &item);
		if (rc == 0)
			rc = table_read(r, key->table, &item, false,
					(char *)list->items + list->count++ * key->table->size);
	}
	return rc;
}

static int fail_type(struct reader *r, const struct conf_key *key, const struct conf_where *item,
		     const struct conf_node *type)
{
	static const struct conf_key plain = { .type = CONF_STRING };
	auto_buf struct buf is, known;

	words_init(&is);
	words_init(&known);
	for (const struct conf_variant *v = r->variants; v && v->list; v++) {
		if (!strcmp(v->list, key->name))
			(void)buf_addf(&known, "%s%s", buf_len(&known) ? " or " : "", v->type);
	}
	if (!type)
		(void)buf_addf(&is, "missing");
	else
		found(&plain, type, &is);
	return conf_fail(item, "type", r->e, "type is %.*s, must be %.*s", STR_ARG(buf_str(&is)),
			 STR_ARG(buf_str(&known)));
}

static int variant_read(struct reader *r, const struct conf_key *key, const struct conf_where *item,
			struct conf_variant_item *ret)
{
	const struct conf_node *type = node_find(item->node, "type");
	const struct conf_variant *v = r->variants;

	while (v && v->list &&
	       !(type && type->kind == NODE_SCALAR && !strcmp(v->list, key->name) &&
		 !strcmp(v->type, type->text)))
		v++;
	if (!v || !v->list)
		return fail_type(r, key, item, type);
	ret->conf = calloc(1, v->table->size);
	if (!ret->conf)
		return fail_memory(r, item);
	ret->variant = v;
	ret->type = (size_t)(v - r->variants);
	return table_read(r, v->table, item, true, ret->conf);
}

static int variants_read(struct reader *r, const struct conf_where *where,
			 const struct conf_key *key, const struct conf_node *node,
			 struct conf_variants *list)
{
	size_t n = node_count(node);
	int rc = 0;

	list->items = n ? calloc(n, sizeof(*list->items)) : NULL;
	if (n && !list->items)
		return fail_memory(r, where);
	for (list->count = 0; list->count < n && rc == 0;) {
		struct conf_where item;

		conf_where_item(where, key->name, list->count, &item);
		rc = item_check(r, &item);
		if (rc == 0)
			rc = variant_read(r, key, &item, &list->items[list->count++]);
	}
	return rc;
}

static const char *item_string(const struct conf_key *key, const void *at, size_t i)
{
	if (key->type == CONF_VARIANTS) {
		const struct conf_variant_item *item =
			((const struct conf_variants *)at)->items + i;

		return conf_string(item->variant->table, item->conf, key->unique);
	}
	return conf_string(key->table,
			   (const char *)((const struct conf_items *)at)->items +
				   i * key->table->size,
			   key->unique);
}

static int unique_check(struct reader *r, const struct conf_where *where,
			const struct conf_key *key, const struct conf_node *node, const void *at)
{
	size_t n = node_count(node);

	for (size_t i = 1; i < n; i++) {
		const char *name = item_string(key, at, i);

		for (size_t j = 0; j < i; j++) {
			const char *other = item_string(key, at, j);
			struct conf_where item;

			if (!name || !other || strcmp(name, other) != 0)
				continue;
			conf_where_item(where, key->name, i, &item);
			return conf_fail(&item, key->unique, r->e,
					 "%s is \"%s\", must differ from that of %s[%zu]",
					 key->unique, name, key->name, j);
		}
	}
	return 0;
}

static int list_read(struct reader *r, const struct conf_where *where, const struct conf_key *key,
		     const struct conf_node *node, void *at)
{
	int rc;

	if (node->kind != NODE_LIST)
		return fail_value(r, where, key, node, -1);
	if (node_count(node) < key->min || node_count(node) > value_max(key))
		return fail_count(r, where, key, node);
	rc = key->type == CONF_TABLES ? tables_read(r, where, key, node, at)
				      : variants_read(r, where, key, node, at);
	return rc < 0 || !key->unique ? rc : unique_check(r, where, key, node, at);
}

static int nested_read(struct reader *r, const struct conf_where *where, const struct conf_key *key,
		       const struct conf_node *node, void *at)
{
	struct conf_where inner;

	if (node && node->kind != NODE_MAP)
		return fail_value(r, where, key, node, -1);
	where_child(where, key->name, node, &inner);
	return table_read(r, key->table, &inner, false, at);
}

/* A default is our own text: that it fits its key is for the tests to see. */
static int default_read(struct reader *r, const struct conf_where *where,
			const struct conf_key *key, void *at)
{
	struct str rest = str_from(key->def);
	int rc = 0;

	if (!key->def)
		return 0;
	if (key->type != CONF_STRINGS)
		rc = value_set(key, rest, at);
	while (key->type == CONF_STRINGS && rest.p && rc == 0)
		rc = value_add(key, str_trim(str_cut(&rest, ',')), at);
	if (rc == -ENOMEM)
		return fail_memory(r, where);
	return rc < 0 ? conf_fail(where, NULL, r->e, "%s has a bad default", key->name) : 0;
}

static int absent_read(struct reader *r, const struct conf_where *where, const struct conf_key *key,
		       void *at)
{
	auto_buf struct buf must;

	words_init(&must);
	if (key->type == CONF_TABLE)
		return nested_read(r, where, key, NULL, at);
	if (!key->required)
		return default_read(r, where, key, at);
	value_allowed(key, &must);
	return conf_fail(where, NULL, r->e, "%s is missing, must be %.*s", key->name,
			 STR_ARG(buf_str(&must)));
}

static int key_read(struct reader *r, const struct conf_where *where, const struct conf_key *key,
		    void *at)
{
	const struct conf_node *node = node_find(where->node, key->name);
	int rc;

	if (!node)
		return absent_read(r, where, key, at);
	switch (key->type) {
	case CONF_TABLE:
		return nested_read(r, where, key, node->null ? NULL : node, at);
	case CONF_TABLES:
	case CONF_VARIANTS:
		return node->null ? absent_read(r, where, key, at)
				  : list_read(r, where, key, node, at);
	case CONF_STRINGS:
		return node->null ? absent_read(r, where, key, at)
				  : strings_read(r, where, key, node, at);
	case CONF_DURATIONS:
		return node->null ? 0 : durations_read(r, where, key, node, at);
	default:
		rc = node->kind == NODE_SCALAR && !node->null
			     ? value_set(key, str_from(node->text), at)
			     : -EINVAL;
		if (rc == -ENOMEM)
			return fail_memory(r, where);
		return rc < 0 ? fail_value(r, where, key, node, -1) : 0;
	}
}

int table_read(struct reader *r, const struct conf_table *table, const struct conf_where *where,
	       bool typed, void *conf)
{
	int rc = names_check(r, table, where, typed);

	for (const struct conf_key *k = table->keys; k->name && rc == 0; k++)
		rc = key_read(r, where, k, (char *)conf + k->offset);
	if (rc == 0 && table->check)
		rc = table->check(conf, where, r->e);
	return rc;
}

const char *conf_string(const struct conf_table *table, const void *conf, const char *name)
{
	for (const struct conf_key *k = table->keys; k->name; k++) {
		if (k->type == CONF_STRING && !strcmp(k->name, name))
			return *(char *const *)((const char *)conf + k->offset);
	}
	return NULL;
}

struct conf_strings *conf_list(const struct conf_table *table, void *conf, const char *name)
{
	for (const struct conf_key *k = table->keys; k->name; k++) {
		if (k->type == CONF_STRINGS && !strcmp(k->name, name))
			return (struct conf_strings *)((char *)conf + k->offset);
	}
	return NULL;
}
