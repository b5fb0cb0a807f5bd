/* SPDX-License-Identifier: MIT */
/*
 * The slow twin of json.c's scanner: it takes the same documents, and where it stops it knows why.
 *
 * Each function moves `at` over what it is named after, or leaves it at the byte that is wrong and
 * returns what should have been there.
 */
#include "codec/json_fault.h"

#include "codec/json.h"

struct scan {
	const char *at, *end;
	unsigned depth;
};

static const char *scan_value(struct scan *s);

static bool is_at(const struct scan *s, char c)
{
	return s->at < s->end && *s->at == c;
}

static void spaces(struct scan *s)
{
	while (s->at < s->end && *s->at && strchr(" \t\r\n", *s->at))
		s->at++;
}

static bool digits(struct scan *s)
{
	const char *from = s->at;

	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return s->at > from;
}

static const char *scan_escape(struct scan *s)
{
	bool unicode = is_at(s, 'u');

	if (!unicode && (s->at == s->end || !*s->at || !strchr("\"\\/bfnrt", *s->at)))
		return "one of \" \\ / b f n r t u behind a backslash";
	s->at++;
	for (int i = 0; unicode && i < 4; i++, s->at++)
		if (s->at == s->end || !*s->at || !strchr("0123456789abcdefABCDEF", *s->at))
			return "four hexadecimal digits behind \\u";
	return NULL;
}

static const char *scan_string(struct scan *s)
{
	const char *why = NULL;

	for (s->at++; !why && !is_at(s, '"');) {
		if (s->at == s->end)
			return "the quote that closes the text";
		if ((unsigned char)*s->at < ' ')
			return "no control character in a text (a quote may be missing before it)";
		if (*s->at++ == '\\')
			why = scan_escape(s);
	}
	if (!why)
		s->at++;
	return why;
}

static const char *scan_number(struct scan *s)
{
	static const char must[] = "a digit";

	if (is_at(s, '-'))
		s->at++;
	if (is_at(s, '0'))
		s->at++;
	else if (!digits(s))
		return must;
	if (is_at(s, '.')) {
		s->at++;
		if (!digits(s))
			return must;
	}
	if (is_at(s, 'e') || is_at(s, 'E')) {
		s->at++;
		if (is_at(s, '+') || is_at(s, '-'))
			s->at++;
		if (!digits(s))
			return must;
	}
	return NULL;
}

static const char *scan_key(struct scan *s)
{
	const char *why = is_at(s, '"') ? scan_string(s) : "a key in double quotes";

	if (why)
		return why;
	spaces(s);
	if (!is_at(s, ':'))
		return "a colon";
	s->at++;
	spaces(s);
	return NULL;
}

/* At the bracket. */
static const char *scan_container(struct scan *s)
{
	bool object = *s->at == '{';
	char close = object ? '}' : ']';
	const char *why = NULL;

	if (s->depth == JSON_DEPTH_MAX)
		return "at most 64 levels";
	s->depth++;
	s->at++;
	spaces(s);
	if (is_at(s, close))
		goto closed;
	for (;;) {
		if (object)
			why = scan_key(s);
		if (!why)
			why = scan_value(s);
		if (why)
			return why;
		spaces(s);
		if (is_at(s, close))
			goto closed;
		if (!is_at(s, ','))
			return object ? "a comma or }" : "a comma or ]";
		s->at++;
		spaces(s);
	}
closed:
	s->at++;
	s->depth--;
	return NULL;
}

static const char *scan_value(struct scan *s)
{
	static const struct str words[] = { STR_INIT("true"), STR_INIT("false"), STR_INIT("null") };

	if (is_at(s, '{') || is_at(s, '['))
		return scan_container(s);
	if (is_at(s, '"'))
		return scan_string(s);
	if (is_at(s, '-') || (s->at < s->end && *s->at >= '0' && *s->at <= '9'))
		return scan_number(s);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (str_starts(str_make(s->at, (size_t)(s->end - s->at)), words[i])) {
			s->at += words[i].n;
			return NULL;
		}
	}
	return "a value";
}

const char *json_fault(struct str text, const char **ret_at)
{
	struct scan s = { .at = text.n ? text.p : "", .depth = 0 };
	const char *why;

	s.end = s.at + text.n;
	spaces(&s);
	why = scan_value(&s);
	if (!why) {
		spaces(&s);
		why = s.at < s.end ? "nothing more" : NULL;
	}
	*ret_at = text.n ? s.at : text.p;
	return why;
}
