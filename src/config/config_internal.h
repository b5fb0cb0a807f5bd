/* SPDX-License-Identifier: MIT */
/* What the files of this folder share: the tree that YAML becomes, and scalars as text. */
#ifndef VOXBUS_CONFIG_INTERNAL_H
#define VOXBUS_CONFIG_INTERNAL_H

#include "base/buf.h"
#include "config/config.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

/* node.c: one value of the file. */
struct conf_node {
	enum node_kind kind;
	bool null; /* a scalar that says nothing: empty, ~ or null, without quotes */
	size_t line;
	char *text; /* NODE_SCALAR: after replacement; no NUL inside */
	char *key;  /* its name, when the parent is a mapping */
	size_t key_line;
	struct conf_node *first, *last; /* conf_node.next: children in the file's order */
	struct conf_node *next;
};

/* *ret is always a mapping; an empty file is an empty one. Codes as conf_parse. */
int node_parse(struct str text, const char *file, struct conf_node **ret, struct err *e);
struct conf_node *node_destroy(struct conf_node *node);
/* The child of that name in a mapping, or NULL; node may be NULL. */
const struct conf_node *node_find(const struct conf_node *node, const char *key);
size_t node_count(const struct conf_node *node);

/*
 * env.c: ${NAME}, ${NAME:-default} and $${ replaced, appended to out. 0, -ENOMEM, -ENOBUFS, or
 * -EINVAL with a sentence in e (without its place).
 */
int env_expand(struct str text, struct buf *out, struct err *e);

/* value.c: scalars (and items of CONF_STRINGS) as text. */

/* Puts the value at its place: 0, -EINVAL, -ERANGE (both: "must be" value_allowed) or -ENOMEM. */
int value_set(const struct conf_key *key, struct str text, void *at);
/* Appends an item to a CONF_STRINGS: as value_set. max items are the caller's care. */
int value_add(const struct conf_key *key, struct str text, struct conf_strings *list);
/* Appends to a CONF_DURATIONS; the name is the caller's care. As value_set. */
int value_add_duration(const struct conf_key *key, const char *name, struct str text,
		       struct conf_durations *list);
void duration_format(const struct conf_key *key, uint64_t ms, struct buf *out);
/* Whether a string is long enough, short enough and valid. */
bool value_fits(const struct conf_key *key, struct str text);
/* What may stand there: completes "must be". */
void value_allowed(const struct conf_key *key, struct buf *out);
/* The value as it would be written, not quoted; a secret is ***. False: a string that is not set. */
bool value_format(const struct conf_key *key, const void *at, struct buf *out);
/* Quotes for a message: cut when long, no control characters, no password of a URL. */
void value_quote(struct str text, struct buf *out);
/* Appends text, with the password of a URL as ***. */
void value_mask(struct str text, struct buf *out);
/* The most items (lists) or bytes (strings) of a key. */
uint64_t value_max(const struct conf_key *key);

/* print.c: a text as it may stand in a YAML mapping, quoted where it must be, with ${ escaped. */
void text_print(FILE *out, struct str text);

/* config.c: text is initialised in any case, is the caller's to free, and may hold secrets. */
int conf_read_file(const char *filename, struct buf *text, struct err *e);

/* read.c: one table from the mapping at `where`; typed allows the key `type` beside its own. */
struct reader {
	const struct conf_variant *variants;
	struct err *e;
};
int table_read(struct reader *r, const struct conf_table *table, const struct conf_where *where,
	       bool typed, void *conf);

#endif
