/* SPDX-License-Identifier: MIT */
/*
 * Multipart bodies by looking for the next delimiter.
 *
 *     preamble CRLF
 *     --boundary CRLF         the first may begin the body
 *     header lines CRLF CRLF
 *     content CRLF
 *     --boundary-- epilogue
 *
 * A delimiter is the boundary at the beginning of a line with nothing but spaces behind it; a line
 * that only begins like one (the boundary "a" in a line "--ab") is content. Each byte is looked at
 * a fixed number of times: the search goes on behind what it has found.
 */
#include "codec/multipart.h"

#include <errno.h>

static int fail(struct multipart *m, const char *why)
{
	m->why = why;
	m->rest = str_make(NULL, 0);
	return -EBADMSG;
}

/* RFC 2046 section 5.1.1. The space, which is allowed inside, nobody uses. */
static bool is_boundary(struct str s)
{
	static const char others[] = "'()+_,-./:=?";

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

		if (!alnum && (!c || !strchr(others, c)))
			return false;
	}
	return s.n > 0 && s.n <= MULTIPART_BOUNDARY_MAX;
}

/* A quoted string at the beginning of *rest, which then begins behind it: its inside, escaped. */
static bool take_quoted(struct str *rest, struct str *ret)
{
	for (size_t i = 1; i < rest->n; i++) {
		if (rest->p[i] == '\\' && i + 1 < rest->n) {
			/* A path of Windows ends in one: only an escaped quote is an escape. */
			if (rest->p[i + 1] == '"' || rest->p[i + 1] == '\\')
				i++;
		} else if (rest->p[i] == '"') {
			*ret = str_make(rest->p + 1, i - 1);
			*rest = str_skip(*rest, i + 1);
			return true;
		}
	}
	return false;
}

/*
 * The value of a parameter in `type; a=b; c="d"`, without its quotes; p = NULL: not there, or
 * nothing like parameters before it.
 */
static struct str parameter(struct str header, struct str name)
{
	struct str rest = header, value;

	(void)str_cut(&rest, ';');
	while (rest.p) {
		rest = str_trim(rest);
		size_t equals = str_find(rest, '=');
		struct str key = str_trim(str_make(rest.p, equals));
		rest = str_skip(rest, equals + 1);
		while (rest.n && (*rest.p == ' ' || *rest.p == '\t'))
			rest = str_skip(rest, 1);
		if (rest.n && *rest.p == '"') {
			if (!take_quoted(&rest, &value))
				break;
			(void)str_cut(&rest, ';');
		} else {
			value = str_trim(str_cut(&rest, ';'));
		}
		if (str_eq_nocase(key, name))
			return value.p ? value : STR("");
	}
	return str_make(NULL, 0);
}

/*
 * What follows a delimiter: 1 = it is one, and *ret is behind its line; 0 = it closes, -1 = these
 * bytes only look like one.
 */
static int behind(struct str rest, struct str *ret)
{
	size_t i = 0;

	if (str_starts(rest, STR("--")))
		return 0;
	while (i < rest.n && (rest.p[i] == ' ' || rest.p[i] == '\t'))
		i++;
	*ret = str_skip(rest, i + 2);
	return str_starts(str_skip(rest, i), STR("\r\n")) ? 1 : -1;
}

/*
 * Cuts *rest at the next delimiter: what is before it in *ret. 1 and *rest behind its line, 0 when
 * it closes (*rest.p = NULL), -1 when there is none.
 */
static int cut_delimiter(const struct multipart *m, struct str *rest, struct str *ret)
{
	struct str left = *rest, next;

	for (;;) {
		size_t at = str_find_str(left, m->delimiter);

		if (at == left.n)
			return -1;
		int kind = behind(str_skip(left, at + m->delimiter.n), &next);
		if (kind >= 0) {
			*ret = str_make(rest->p, (size_t)(left.p + at - rest->p));
			*rest = kind ? next : str_make(NULL, 0);
			return kind;
		}
		left = str_skip(left, at + m->delimiter.n);
	}
}

int multipart_begin(struct multipart *m, struct str content_type, struct str body)
{
	struct str boundary = parameter(content_type, STR("boundary")), preamble;
	/* The first delimiter has no line before it. */
	struct str first = body, line;

	*m = (struct multipart){ 0 };
	if (!is_boundary(boundary))
		return fail(m, "multipart needs a boundary of 1 to 70 characters in its "
			       "Content-Type");
	memcpy(m->text, "\r\n--", 4);
	memcpy(m->text + 4, boundary.p, boundary.n);
	m->delimiter = str_make(m->text, 4 + boundary.n);
	m->rest = body;
	if (str_starts(first, str_skip(m->delimiter, 2))) {
		int kind = behind(str_skip(first, m->delimiter.n - 2), &line);

		if (kind >= 0) {
			m->rest = kind ? line : str_make(NULL, 0);
			return 0;
		}
	}
	if (cut_delimiter(m, &m->rest, &preamble) < 0)
		return fail(m, "the body has no line with the boundary of its Content-Type; lines "
			       "end in CR LF");
	return 0;
}

/* The next line, without its CR LF; false: there is none. */
static bool take_line(struct str *rest, struct str *ret)
{
	size_t n = str_find_str(*rest, STR("\r\n"));

	if (n == rest->n)
		return false;
	*ret = str_make(rest->p, n);
	*rest = str_skip(*rest, n + 2);
	return true;
}

static bool is_plain(struct str encoding)
{
	return str_eq_nocase(encoding, STR("7bit")) || str_eq_nocase(encoding, STR("8bit")) ||
	       str_eq_nocase(encoding, STR("binary"));
}

/* NULL, or what is wrong with the line. */
static const char *header_line(struct str line, struct multipart_part *part)
{
	struct str value = line;
	struct str name = str_cut(&value, ':');

	if (!value.p || !name.n || name.p[0] == ' ' || name.p[0] == '\t')
		return "a part has a header line without a name and a colon";
	value = str_trim(value);
	if (str_eq_nocase(name, STR("Content-Disposition"))) {
		struct str rest = value;

		if (!str_eq_nocase(str_trim(str_cut(&rest, ';')), STR("form-data")))
			return "a part's Content-Disposition must be form-data";
		part->name = parameter(value, STR("name"));
		part->filename = parameter(value, STR("filename"));
	} else if (str_eq_nocase(name, STR("Content-Type"))) {
		part->content_type = value;
	} else if (str_eq_nocase(name, STR("Content-Transfer-Encoding")) && !is_plain(value)) {
		return "a part has a Content-Transfer-Encoding; send its bytes as they are";
	}
	return NULL;
}

/* Takes the header off the front of *rest: NULL, or what is wrong. */
static const char *header(struct str *rest, struct multipart_part *part)
{
	struct str left =
		str_make(rest->p, rest->n < MULTIPART_HEADER_MAX ? rest->n : MULTIPART_HEADER_MAX);
	struct str line;

	while (take_line(&left, &line)) {
		const char *why = line.n ? header_line(line, part) : NULL;

		if (why)
			return why;
		if (line.n)
			continue;
		*rest = str_skip(*rest, (size_t)(left.p - rest->p));
		return part->name.p ? NULL : "a part has no name in its Content-Disposition";
	}
	return rest->n > MULTIPART_HEADER_MAX ? "a part's header is longer than 8 KiB"
					      : "a part ends in its header";
}

int multipart_next(struct multipart *m, struct multipart_part *ret)
{
	struct multipart_part part = { .content_type = STR("") };

	if (m->why)
		return -EBADMSG;
	if (!m->rest.p)
		return 0;
	const char *why = header(&m->rest, &part);
	if (why)
		return fail(m, why);
	/* An empty content has no line end of its own: the header's last one is the delimiter's. */
	m->rest = str_make(m->rest.p - 2, m->rest.n + 2);
	const char *content = m->rest.p + 2;
	if (cut_delimiter(m, &m->rest, &part.body) < 0)
		return fail(m, "the body ends before its last boundary: it was cut off");
	part.body = part.body.n < 2 ? str_make(content, 0) : str_skip(part.body, 2);
	*ret = part;
	return 1;
}

size_t multipart_unescape(char *out, struct str in)
{
	static const struct {
		char text[4], byte;
	} escapes[] = {
		{ "\\\"", '"' }, { "\\\\", '\\' }, { "%22", '"' }, { "%0D", '\r' }, { "%0A", '\n' }
	};
	size_t n = 0;

	for (size_t i = 0; i < in.n; n++) {
		size_t used = 1;

		out[n] = in.p[i];
		for (size_t j = 0; used == 1 && j < sizeof(escapes) / sizeof(escapes[0]); j++) {
			if (!str_starts(str_skip(in, i), str_from(escapes[j].text)))
				continue;
			out[n] = escapes[j].byte;
			used = strlen(escapes[j].text);
		}
		i += used;
	}
	return n;
}
