/* SPDX-License-Identifier: MIT */
/*
 * From a posted body to the message object. The body's kind decides, in this order: nothing, a
 * form, JSON, anything else that is text, and bytes. A form's content type over a body that begins
 * with '<' is XML: that is what `curl -d @call.xml` sends.
 *
 * A form's fields are decoded into one piece of memory and sorted by name and place, so that the
 * first value of each name, and all values of repeated ones, come out of one walk.
 * A session in the URL is a secret and is left out of everything.
 */
#include "buses/longpoll/document.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "codec/base64.h"
#include "codec/form.h"
#include "codec/json_out.h"

enum { FIELDS_MAX = 10000 };

struct field {
	struct str name, value;
	size_t place;
};

struct fields {
	struct field *items;
	char *memory;
	size_t n;
};

static void fields_fini(struct fields *fields)
{
	free(fields->items);
	free(fields->memory);
}

static int field_cmp(const void *a, const void *b)
{
	const struct field *fa = a, *fb = b;
	int order = str_cmp(fa->name, fb->name);

	if (order)
		return order;
	return fa->place < fb->place ? -1 : fa->place > fb->place;
}

/* Decodes and sorts the fields; those named `without` are left out. 0, -E2BIG, -ENOMEM. */
static int fields_init(struct fields *ret, struct str form, struct str without)
{
	struct str rest = form;
	struct form_pair pair;
	size_t n = 0;

	*ret = (struct fields){ 0 };
	while (form_next(&rest, &pair))
		if (++n > FIELDS_MAX)
			return -E2BIG;
	if (n == 0)
		return 0;
	ret->items = calloc(n, sizeof(*ret->items));
	ret->memory = malloc(form.n + 1);
	if (!ret->items || !ret->memory)
		return fields_fini(ret), -ENOMEM;
	char *out = ret->memory;
	for (rest = form; form_next(&rest, &pair);) {
		if (without.n && form_name_is(&pair, without))
			continue;
		struct field *field = &ret->items[ret->n];
		field->place = ret->n++;
		field->name = str_make(out, form_decode(out, pair.name));
		out += field->name.n;
		field->value = str_make(out, form_decode(out, pair.value));
		out += field->value.n;
	}
	qsort(ret->items, ret->n, sizeof(*ret->items), field_cmp);
	return 0;
}

static struct str fields_find(const struct fields *fields, struct str name)
{
	for (size_t i = 0; i < fields->n; i++)
		if (str_eq(fields->items[i].name, name))
			return fields->items[i].value;
	return str_make(NULL, 0);
}

/* How many fields from i on have its name. */
static size_t run_of(const struct fields *fields, size_t i)
{
	size_t n = 1;

	while (i + n < fields->n && str_eq(fields->items[i + n].name, fields->items[i].name))
		n++;
	return n;
}

/* {"name":"first value",...} */
static void put_firsts(struct json_out *w, const struct fields *fields)
{
	json_out(w, STR("{"));
	for (size_t i = 0; i < fields->n; i += run_of(fields, i)) {
		json_out_string(w, i ? STR(",") : STR(""), fields->items[i].name);
		json_out_string(w, STR(":"), fields->items[i].value);
	}
	json_out(w, STR("}"));
}

/* ,"FormValues":{"name":["a","b"],...}: repeated names only, and nothing if there is none. */
static void put_repeated(struct json_out *w, const struct fields *fields)
{
	bool any = false;

	for (size_t i = 0, n; i < fields->n; i += n) {
		n = run_of(fields, i);
		if (n == 1)
			continue;
		json_out_string(w, any ? STR(",") : STR(",\"FormValues\":{"),
				fields->items[i].name);
		for (size_t j = 0; j < n; j++)
			json_out_string(w, j ? STR(",") : STR(":["), fields->items[i + j].value);
		json_out(w, STR("]"));
		any = true;
	}
	if (any)
		json_out(w, STR("}"));
}

/* The path, and of the query all but sessions, as they were sent. */
static void put_url(struct json_out *w, struct str target)
{
	struct buf url;
	struct form_pair pair;
	struct str query = target, path = str_cut(&query, '?');
	char sep = '?';

	buf_init(&url, target.n);
	int rc = buf_add(&url, path);
	while (rc == 0 && form_next(&query, &pair)) {
		if (form_name_is(&pair, STR("session")))
			continue;
		const char *end =
			pair.value.p ? pair.value.p + pair.value.n : pair.name.p + pair.name.n;
		rc = buf_addc(&url, sep);
		if (rc == 0)
			rc = buf_add(&url, str_make(pair.name.p, (size_t)(end - pair.name.p)));
		sep = '&';
	}
	if (w->rc == 0)
		w->rc = rc;
	json_out_string(w, STR(",\"Url\":"), buf_str(&url));
	buf_fini(&url);
}

/* A valid document without the spaces between its tokens. */
static void put_compact(struct json_out *w, struct str json)
{
	bool quoted = false;
	size_t from = 0;

	for (size_t i = 0; i < json.n; i++) {
		char c = json.p[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
			json_out(w, str_make(json.p + from, i - from));
			from = i + 1;
		}
	}
	json_out(w, str_skip(json, from));
}

static struct str media_type(struct str content_type)
{
	return str_trim(str_cut(&content_type, ';'));
}

static bool is_form(const struct document *d)
{
	return str_eq_nocase(media_type(d->content_type),
			     STR("application/x-www-form-urlencoded")) &&
	       !str_starts(str_trim(d->body), STR("<"));
}

static bool is_json(const struct document *d)
{
	struct str type = media_type(d->content_type);
	struct str suffix = str_skip(type, type.n > 5 ? type.n - 5 : 0);
	struct json json;

	if (!str_eq_nocase(type, STR("application/json")) && !str_eq_nocase(suffix, STR("+json")))
		return false;
	return str_is_utf8(d->body) && json_parse(d->body, &json) == 0;
}

static void put_body(struct json_out *w, const struct document *d)
{
	bool form_type = str_eq_nocase(media_type(d->content_type),
				       STR("application/x-www-form-urlencoded"));

	json_out_string(w, STR(",\"ContentType\":"),
			form_type ? STR("application/xml") : d->content_type);
	if (is_json(d)) {
		json_out(w, STR(",\"Json\":"));
		put_compact(w, d->body);
	} else if (str_is_utf8(d->body)) {
		json_out_string(w, STR(",\"Body\":"), d->body);
	} else {
		json_out(w, STR(",\"BodyBase64\":\""));
		if (w->rc == 0)
			w->rc = base64_add(w->buf, d->body);
		json_out(w, STR("\""));
	}
}

/* Without the port; an IPv6 address keeps its brackets. */
static struct str host_name(struct str host)
{
	bool bracket = host.n && host.p[0] == '[';
	size_t end = bracket ? str_find(host, ']') + 1 : str_find(host, ':');

	return str_make(host.p, end < host.n ? end : host.n);
}

static void put_document(struct json_out *w, const struct document *d, const struct fields *form,
			 const struct fields *query)
{
	char created[CLOCK_RFC3339_SIZE];

	clock_rfc3339(created, d->created_ns, 9);
	json_out_string(w, STR("{\"Hostname\":"), host_name(d->host));
	json_out_string(w, STR(",\"AccountSid\":"), fields_find(form, STR("AccountSid")));
	put_url(w, d->target);
	json_out(w, STR(",\"FormParams\":"));
	put_firsts(w, form);
	json_out_string(w, STR(",\"Created\":"), str_from(created));
	put_repeated(w, form);
	if (query->n) {
		json_out(w, STR(",\"QueryParams\":"));
		put_firsts(w, query);
	}
	if (d->body.n && !is_form(d))
		put_body(w, d);
	json_out_string(w, STR(",\"Id\":"), d->id);
	json_out(w, STR("}"));
}

int document_add(struct buf *out, const struct document *document)
{
	struct json_out w = { .buf = out };
	struct fields form, query;
	struct str query_text = document->target;

	(void)str_cut(&query_text, '?');
	int rc = fields_init(&query, query_text, STR("session"));
	if (rc < 0)
		return rc;
	rc = fields_init(&form, is_form(document) ? document->body : STR(""), STR(""));
	if (rc == 0) {
		put_document(&w, document, &form, &query);
		rc = w.rc;
		fields_fini(&form);
	}
	fields_fini(&query);
	return rc;
}
