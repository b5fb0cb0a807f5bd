/* SPDX-License-Identifier: MIT */
/*
 * A configuration described as data.
 *
 * A table lists the keys that a YAML mapping may hold and where in a C struct each value goes;
 * parsing, defaults, ranges, messages, printing, the manual and freeing all follow from it. An
 * adapter writes its struct and its table and nothing else:
 *
 *     struct ari_conf { char *name; uint64_t ping_ms; };
 *     static const struct conf_key keys[] = {
 *         { "name", CONF_STRING, offsetof(struct ari_conf, name), .required = true, .doc = "..." },
 *         { "ping", CONF_DURATION, offsetof(struct ari_conf, ping_ms), .def = "1s", .min = 100,
 *           .max = 60000, .doc = "..." },
 *         { 0 },
 *     };
 *     const struct conf_table asterisk_conf = { "asterisk", sizeof(struct ari_conf), keys };
 *
 * A variant list is a list of tables whose `type` key chooses the table; which types there are is
 * told to conf_parse (config.h), so that this folder knows no adapter.
 */
#ifndef VOXBUS_CONFIG_SCHEMA_H
#define VOXBUS_CONFIG_SCHEMA_H

#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"

/* What a key holds, and the C type at its offset. */
enum conf_type {
	CONF_BOOL,      /* bool: yes, no, on, off, true, false */
	CONF_U64,       /* uint64_t */
	CONF_SIZE,      /* uint64_t, bytes: "64MiB"; a bare number is in bytes */
	CONF_DURATION,  /* uint64_t, milliseconds: "15s"; a bare number is in seconds */
	CONF_STRING,    /* char *, NUL-terminated; NULL when neither given nor defaulted */
	CONF_SECRET,    /* struct secret */
	CONF_ENUM,      /* int: the value of one of `words` */
	CONF_STRINGS,   /* struct conf_strings */
	CONF_DURATIONS, /* struct conf_durations: a mapping of names of the user's to durations */
	CONF_TABLE,     /* the struct of `table`, in place; absent means all its defaults */
	CONF_TABLES,    /* struct conf_items of structs of `table` */
	CONF_VARIANTS,  /* struct conf_variants */
};

/* CONF_STRINGS. items is NULL when count is 0. */
struct conf_strings {
	char **items;
	size_t count;
};

/* CONF_TABLES: an array of count structs; `const struct account_conf *a = accounts.items;` */
struct conf_items {
	void *items;
	size_t count;
};

/* CONF_DURATIONS. items is NULL when count is 0. */
struct conf_durations {
	struct conf_duration {
		char *name;
		uint64_t ms;
	} * items;
	size_t count;
};

struct conf_table;

/* One choice of `type` in a variant list. An array of them ends in { 0 }. */
struct conf_variant {
	const char *list; /* the key of the list: "engines", "buses" */
	const char *type; /* "asterisk" */
	const struct conf_table *table;
};

struct conf_variant_item {
	const struct conf_variant
		*variant; /* borrowed: an element of the array told to conf_parse */
	size_t type;      /* its index in that array */
	void *conf;       /* the parsed struct of variant->table */
};

/* CONF_VARIANTS. */
struct conf_variants {
	struct conf_variant_item *items;
	size_t count;
};

/* The words of a CONF_ENUM. An array of them ends in { 0 }. */
struct conf_word {
	const char *word;
	int value;
};

enum {
	CONF_STRING_MAX = 4096, /* bytes, where a key has no max of its own */
	CONF_ITEMS_MAX = 256,   /* of a list, where a key has no max of its own */
};

struct conf_key {
	const char *name;
	enum conf_type type;
	size_t offset;
	/* As one would write it in the file; NULL: 0, no, no text, no items. Lists: "a, b". */
	const char *def;
	/* Bounds, both inclusive: the number, bytes, milliseconds; for strings and secrets the
	 * length in bytes; for lists the number of items. max 0: no limit, or the two above. */
	uint64_t min, max;
	bool required; /* absent is an error; excludes def */
	/* CONF_STRING, CONF_STRINGS (each item), CONF_DURATIONS (each name): beyond min and max. */
	bool (*valid)(struct str value);
	const char *must;               /* completes "must be ..." */
	const struct conf_word *words;  /* CONF_ENUM */
	const struct conf_table *table; /* CONF_TABLE, CONF_TABLES */
	/* CONF_TABLES, CONF_VARIANTS: no two items may hold the same string in their key so named. */
	const char *unique;
	const char *doc; /* one sentence or more, for the manual; without range and default */
};

/* Where a table was read: for messages of check hooks. */
struct conf_where {
	const char *file;
	size_t line;                  /* where the table begins */
	const struct conf_node *node; /* config's own; NULL when the table was not in the file */
	char path[160];               /* `buses[0] "main"`; empty at the top */
};

struct conf_table {
	const char *name;            /* for the manual */
	size_t size;                 /* of the struct */
	const struct conf_key *keys; /* ends in { 0 } */
	/* Rules over several keys; called once all values and defaults are in place. 0, or what
	 * conf_fail returned. Optional. */
	int (*check)(const void *conf, const struct conf_where *where, struct err *e);
};

/*
 * Writes `file:line: path: ` and the sentence, and returns -EINVAL. key (may be NULL) only chooses
 * the line: its own if it stands in the file, else the table's. The sentence names it.
 */
int conf_fail(const struct conf_where *where, const char *key, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The place of the index-th item of the list `key` in the table at `where`. */
void conf_where_item(const struct conf_where *where, const char *key, size_t index,
		     struct conf_where *ret);
/* The string at the key `name` of a parsed struct, or NULL when the table has no such string. */
const char *conf_string(const struct conf_table *table, const void *conf, const char *name);
/* The list of strings at the key `name`, or NULL when the table has no such list. */
struct conf_strings *conf_list(const struct conf_table *table, void *conf, const char *name);

#endif
