/* SPDX-License-Identifier: MIT */
/*
 * From a posted body to the message object. The body's kind decides, in this order: nothing, a
 * form, JSON, anything else that is text, and bytes. A form's content type over a body that begins
 * with '<' is XML: that is what `curl -d @call.xml` sends.
 *
 * A body that came packed is unpacked first; from then on nobody sees the difference.
 * A session in the URL is a secret and is left out of everything.
 */
#include "buses/longpoll/document.h"

#include <errno.h>

#include "base/clock.h"
#include "codec/base64.h"
#include "codec/form.h"
#include "codec/gzip.h"

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

static bool is_form_type(struct str content_type)
{
	return str_eq_nocase(media_type(content_type), STR("application/x-www-form-urlencoded"));
}

static bool is_json(const struct posted *posted)
{
	struct str type = media_type(posted->content_type);
	struct str suffix = str_skip(type, type.n > 5 ? type.n - 5 : 0);
	struct json json;

	if (!str_eq_nocase(type, STR("application/json")) && !str_eq_nocase(suffix, STR("+json")))
		return false;
	return str_is_utf8(posted->body) && json_parse(posted->body, &json) == 0;
}

static enum document_kind kind_of(const struct posted *posted)
{
	if (!posted->body.n)
		return DOCUMENT_EMPTY;
	if (is_form_type(posted->content_type))
		return str_starts(str_trim(posted->body), STR("<")) ? DOCUMENT_OTHER
								    : DOCUMENT_FORM;
	if (str_eq_nocase(media_type(posted->content_type), STR("multipart/form-data")))
		return DOCUMENT_MULTIPART;
	return is_json(posted) ? DOCUMENT_JSON : DOCUMENT_OTHER;
}

static int unpack(struct document *d, struct err *e)
{
	struct posted *posted = &d->posted;
	struct str encoding = str_trim(posted->encoding);

	if (!encoding.n || str_eq_nocase(encoding, STR("identity")))
		return 0;
	if (!str_eq_nocase(encoding, STR("gzip")) && !str_eq_nocase(encoding, STR("x-gzip")))
		return err_set(e, -EOPNOTSUPP,
			       "Content-Encoding may be gzip or identity; send the body so");
	buf_init(&d->unpacked, posted->body_max);
	int rc = gzip_add_unpacked(&d->unpacked, posted->body);
	posted->body = buf_str(&d->unpacked);
	if (rc == -EBADMSG)
		return err_set(e, rc, "the body is not the gzip that its Content-Encoding says");
	if (rc == -ENOBUFS)
		return err_set(e, -E2BIG, "the body has more than %zu bytes when it is unpacked",
			       posted->body_max);
	return rc;
}

static int read_fields(struct fields *fields, struct str form, struct str without, struct err *e)
{
	int rc = fields_init(fields, form, without);

	return rc == -E2BIG ? err_set(e, rc, "a form or a query has at most %d fields", FIELDS_MAX)
			    : rc;
}

/* FormParams, QueryParams and Files. */
static int read_params(struct document *d, struct err *e)
{
	struct str query = d->posted.target, session = STR("session");
	int rc;

	(void)str_cut(&query, '?');
	if (d->posted.query_is_form)
		return read_fields(&d->form, query, session, e);
	rc = read_fields(&d->query, query, session, e);
	if (rc == 0 && d->kind == DOCUMENT_FORM)
		rc = read_fields(&d->form, d->posted.body, STR(""), e);
	else if (rc == 0 && d->kind == DOCUMENT_MULTIPART)
		return files_read(d->posted.content_type, d->posted.body, &d->form, &d->files, e);
	return rc;
}

int document_read(const struct posted *posted, struct document *ret, struct err *e)
{
	*ret = (struct document){ .posted = *posted };
	int rc = unpack(ret, e);
	if (rc == 0) {
		ret->kind = kind_of(&ret->posted);
		rc = read_params(ret, e);
	}
	if (rc < 0)
		document_fini(ret);
	return rc;
}

void document_fini(struct document *document)
{
	files_fini(&document->files);
	fields_fini(&document->form);
	fields_fini(&document->query);
	buf_fini(&document->unpacked);
}

struct str document_param(const struct document *document, struct str name)
{
	struct str value;

	if (document->kind != DOCUMENT_JSON)
		return fields_find(&document->form, name);
	if (json_string(json_get(json_peek(document->posted.body), name), NULL, 0, &value) < 0)
		return str_make(NULL, 0);
	return value;
}

static void put_body(struct json_out *w, const struct document *d)
{
	const struct posted *posted = &d->posted;

	json_out_string(w, STR(",\"ContentType\":"),
			is_form_type(posted->content_type) ? STR("application/xml")
							   : posted->content_type);
	if (d->kind == DOCUMENT_JSON) {
		json_out(w, STR(",\"Json\":"));
		put_compact(w, posted->body);
	} else if (str_is_utf8(posted->body)) {
		json_out_string(w, STR(",\"Body\":"), posted->body);
	} else {
		json_out(w, STR(",\"BodyBase64\":\""));
		if (w->rc == 0)
			w->rc = base64_add(w->buf, posted->body);
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

int document_write(struct buf *out, const struct document *d, struct str id, uint64_t created_ns)
{
	struct json_out w = { .buf = out };
	char created[CLOCK_RFC3339_SIZE];

	clock_rfc3339(created, created_ns, 9);
	json_out_string(&w, STR("{\"Hostname\":"), host_name(d->posted.host));
	json_out_string(&w, STR(",\"AccountSid\":"), fields_find(&d->form, STR("AccountSid")));
	put_url(&w, d->posted.target);
	json_out(&w, STR(",\"FormParams\":"));
	fields_put_firsts(&w, &d->form);
	json_out_string(&w, STR(",\"Created\":"), str_from(created));
	fields_put_repeated(&w, &d->form);
	if (d->query.n) {
		json_out(&w, STR(",\"QueryParams\":"));
		fields_put_firsts(&w, &d->query);
	}
	if (d->kind == DOCUMENT_JSON || d->kind == DOCUMENT_OTHER)
		put_body(&w, d);
	files_put(&w, &d->files);
	json_out_string(&w, STR(",\"Id\":"), id);
	json_out(&w, STR("}"));
	return w.rc;
}
