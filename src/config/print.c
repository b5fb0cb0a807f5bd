/* SPDX-License-Identifier: MIT */
/*
 * Structs back to YAML, and tables to the manual.
 *
 * Both walk the tables that reading walks, so that neither can know a key which the other does
 * not. Texts are written plain where YAML and our own ${...} can't take them for something else,
 * and in double quotes everywhere else.
 */
#include "config/config_internal.h"

#include <errno.h>

/* A value is as long as the file or the environment may make it, and a little for its mask. */
enum { PRINTED_MAX = 2 * CONF_TEXT_MAX };

/* ---- the effective configuration ---- */

struct printer {
	FILE *out;
	struct buf
		text; /* room for every value, taken at the start: half a configuration is none */
	int indent;
	bool dash; /* the next line is the first of a list's item */
};

static void table_print(struct printer *p, const struct conf_table *table, const void *conf);

static void line_begin(struct printer *p)
{
	if (p->dash)
		(void)fprintf(p->out, "%*s- ", p->indent - 2, "");
	else
		(void)fprintf(p->out, "%*s", p->indent, "");
	p->dash = false;
}

static bool is_plain(struct str s)
{
	static const struct str words[] = { STR_INIT("null"), STR_INIT("~") };

	for (size_t i = 0; s.p && i < s.n; i++) {
		char low = (char)(s.p[i] | 0x20);
		bool word = (s.p[i] >= '0' && s.p[i] <= '9') || (low >= 'a' && low <= 'z');

		if (!word && (s.p[i] == '\0' || !strchr(i ? "_./:+@-" : "_/", s.p[i])))
			return false;
	}
	return s.p && s.n && s.p[s.n - 1] != ':' && !str_eq(s, words[0]) && !str_eq(s, words[1]);
}

void text_print(FILE *out, struct str s)
{
	if (is_plain(s)) {
		(void)fprintf(out, "%.*s", STR_ARG(s));
		return;
	}
	(void)fputc('"', out);
	for (size_t i = 0; s.p && i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			(void)fprintf(out, "\\%c", c);
		else if (c == '$' && i + 1 < s.n && s.p[i + 1] == '{')
			(void)fprintf(out, "$$");
		else if (c < ' ' || c == 127)
			(void)fprintf(out, "\\x%02x", c);
		else
			(void)fputc(c, out);
	}
	(void)fputc('"', out);
}

static void scalar_print(struct printer *p, const struct conf_key *key, const void *at)
{
	buf_clear(&p->text);
	if (!value_format(key, at, &p->text))
		return;
	line_begin(p);
	(void)fprintf(p->out, "%s: ", key->name);
	text_print(p->out, buf_str(&p->text));
	(void)fputc('\n', p->out);
}

static void strings_print(struct printer *p, const struct conf_key *key,
			  const struct conf_strings *list)
{
	line_begin(p);
	(void)fprintf(p->out, "%s:%s\n", key->name, list->count ? "" : " []");
	for (size_t i = 0; i < list->count; i++) {
		buf_clear(&p->text);
		value_mask(str_from(list->items[i]), &p->text);
		(void)fprintf(p->out, "%*s- ", p->indent + 2, "");
		text_print(p->out, buf_str(&p->text));
		(void)fputc('\n', p->out);
	}
}

static void durations_print(struct printer *p, const struct conf_key *key,
			    const struct conf_durations *list)
{
	line_begin(p);
	(void)fprintf(p->out, "%s:%s\n", key->name, list->count ? "" : " {}");
	for (size_t i = 0; i < list->count; i++) {
		buf_clear(&p->text);
		duration_format(key, list->items[i].ms, &p->text);
		(void)fprintf(p->out, "%*s", p->indent + 2, "");
		text_print(p->out, str_from(list->items[i].name));
		(void)fprintf(p->out, ": %.*s\n", STR_ARG(buf_str(&p->text)));
	}
}

static void item_print(struct printer *p, const char *type, const struct conf_table *table,
		       const void *conf)
{
	p->indent += 4;
	p->dash = true;
	if (type) {
		line_begin(p);
		(void)fprintf(p->out, "type: %s\n", type);
	}
	table_print(p, table, conf);
	if (p->dash) {
		line_begin(p);
		(void)fprintf(p->out, "{}\n");
	}
	p->indent -= 4;
}

static void list_print(struct printer *p, const struct conf_key *key, const void *at)
{
	const struct conf_items *items = at;
	const struct conf_variants *variants = at;
	size_t n = key->type == CONF_TABLES ? items->count : variants->count;

	line_begin(p);
	(void)fprintf(p->out, "%s:%s\n", key->name, n ? "" : " []");
	for (size_t i = 0; i < n; i++) {
		if (key->type == CONF_TABLES)
			item_print(p, NULL, key->table,
				   (const char *)items->items + i * key->table->size);
		else
			item_print(p, variants->items[i].variant->type,
				   variants->items[i].variant->table, variants->items[i].conf);
	}
}

static void table_print(struct printer *p, const struct conf_table *table, const void *conf)
{
	for (const struct conf_key *k = table->keys; k->name; k++) {
		const void *at = (const char *)conf + k->offset;

		switch (k->type) {
		case CONF_TABLE:
			line_begin(p);
			(void)fprintf(p->out, "%s:\n", k->name);
			p->indent += 2;
			table_print(p, k->table, at);
			p->indent -= 2;
			break;
		case CONF_TABLES:
		case CONF_VARIANTS:
			list_print(p, k, at);
			break;
		case CONF_STRINGS:
			strings_print(p, k, at);
			break;
		case CONF_DURATIONS:
			durations_print(p, k, at);
			break;
		default:
			scalar_print(p, k, at);
		}
	}
}

int conf_print(const struct conf_table *table, const void *conf, FILE *out)
{
	struct printer p = { .out = out };
	int rc;

	buf_init(&p.text, PRINTED_MAX);
	rc = buf_reserve(&p.text, PRINTED_MAX);
	if (rc == 0)
		table_print(&p, table, conf);
	buf_fini(&p.text);
	if (rc < 0)
		return rc;
	return fflush(out) || ferror(out) ? -EIO : 0;
}

/* ---- the manual ---- */

static const char *type_name(enum conf_type type)
{
	static const char *const names[] = {
		[CONF_BOOL] = "yes or no",
		[CONF_U64] = "number",
		[CONF_SIZE] = "size",
		[CONF_DURATION] = "duration",
		[CONF_STRING] = "text",
		[CONF_SECRET] = "secret",
		[CONF_ENUM] = "word",
		[CONF_STRINGS] = "list of texts",
		[CONF_DURATIONS] = "mapping of texts to durations",
		[CONF_TABLE] = "mapping",
		[CONF_TABLES] = "list of mappings",
		[CONF_VARIANTS] = "list of mappings",
	};

	return names[type];
}

/* mdoc takes a backslash for an escape, and a point or quote at a line's start for a macro. */
static void doc_text(FILE *out, struct str s)
{
	if (s.p && s.n && (*s.p == '.' || *s.p == '\''))
		(void)fprintf(out, "\\&");
	for (size_t i = 0; s.p && i < s.n; i++)
		(void)fprintf(out, s.p[i] == '\\' ? "\\e" : "%c", s.p[i]);
}

static void key_doc(const struct conf_key *key, FILE *out)
{
	auto_buf struct buf allowed;
	bool bounded = key->type == CONF_ENUM || key->min || key->max || key->must;

	(void)fprintf(out, ".It Ic %s Pq %s\n", key->name, type_name(key->type));
	doc_text(out, str_from(key->doc));
	(void)fputc('\n', out);
	buf_init(&allowed, PRINTED_MAX);
	if (key->type == CONF_STRINGS && (key->min || key->max))
		(void)fprintf(out, "Number of items: %llu to %llu.\n", (unsigned long long)key->min,
			      (unsigned long long)value_max(key));
	if (bounded && key->type < CONF_TABLE && (key->type != CONF_STRINGS || key->must)) {
		value_allowed(key, &allowed);
		(void)fprintf(out, "Allowed: ");
		doc_text(out, buf_str(&allowed));
		(void)fprintf(out, ".\n");
	}
	if (key->required)
		(void)fprintf(out, "Required.\n");
	else if (key->def) {
		(void)fprintf(out, "Default: ");
		doc_text(out, str_from(key->def));
		(void)fprintf(out, ".\n");
	}
}

static void table_doc(const struct conf_table *table, const char *path, const char *type,
		      FILE *out);

/* Nested tables follow the list of keys, each with a heading of its own. */
static void inner_doc(const struct conf_key *key, const char *path, FILE *out)
{
	char inner[160];

	(void)snprintf(inner, sizeof(inner), "%s%s%s%s", path, *path ? "." : "", key->name,
		       key->type == CONF_TABLE ? "" : "[]");
	table_doc(key->table, inner, NULL, out);
}

static void table_doc(const struct conf_table *table, const char *path, const char *type, FILE *out)
{
	if (*path)
		(void)fprintf(out, ".Ss %s%s%s\n", path, type ? " with type: " : "",
			      type ? type : "");
	(void)fprintf(out, ".Bl -tag -width Ds\n");
	for (const struct conf_key *k = table->keys; k->name; k++)
		key_doc(k, out);
	(void)fprintf(out, ".El\n");
	for (const struct conf_key *k = table->keys; k->name; k++) {
		if (k->type == CONF_TABLE || k->type == CONF_TABLES)
			inner_doc(k, path, out);
	}
}

int conf_doc(const struct conf_table *table, const struct conf_variant *variants, FILE *out)
{
	table_doc(table, "", NULL, out);
	for (const struct conf_variant *v = variants; v && v->list; v++) {
		char path[160];

		(void)snprintf(path, sizeof(path), "%s[]", v->list);
		table_doc(v->table, path, v->type, out);
	}
	return fflush(out) || ferror(out) ? -EIO : 0;
}
