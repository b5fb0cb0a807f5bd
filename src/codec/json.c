/* SPDX-License-Identifier: MIT */
/*
 * The skipping scanner.
 *
 * Everything is a pointer that moves forward: skip_* take where a thing begins and return where
 * it ends, or NULL if it is not one. Containers are stepped over without recursion: one bit a level
 * says whether it is an object, so 64 levels fit in a word. Strings, most of every document, run in
 * a table-driven loop.
 */
#include "codec/json.h"

#include <endian.h>
#include <errno.h>

#include "codec/json_skip.h"

/* What a byte means inside a string. */
enum { PLAIN, QUOTE, ESCAPE, CONTROL };

static const unsigned char string_class[256] = {
	[0 ... 31] = CONTROL,
	['"'] = QUOTE,
	['\\'] = ESCAPE,
};

static inline const char *skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Four hex digits, or -1. */
static int hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int d = hex_digit(p[i]);

		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* p is behind the backslash. */
static const char *skip_escape(const char *p, const char *end)
{
	if (p == end)
		return NULL;
	if (*p == 'u')
		return hex4(p + 1, end) < 0 ? NULL : p + 5;
	return *p && strchr("\"\\/bfnrt", *p) ? p + 1 : NULL;
}

/*
 * The high bit of each of the eight bytes that is a quote, a backslash or a control character.
 * Borrows run upwards, so the lowest bit is right and those above it may not be.
 */
static inline uint64_t eight_special(uint64_t w)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
	uint64_t quote = w ^ ones * '"', escape = w ^ ones * '\\';

	return ((quote - ones) | (escape - ones) | (w - ones * 0x20)) & ~w & high;
}

/* The first byte from p on that is not plain. */
static inline const char *skip_plain(const char *p, const char *end)
{
	for (uint64_t w; end - p >= 8; p += 8) {
		memcpy(&w, p, 8);
		w = eight_special(le64toh(w));
		if (w)
			return p + __builtin_ctzll(w) / 8;
	}
	while (p < end && string_class[(unsigned char)*p] == PLAIN)
		p++;
	return p;
}

/* p is behind the opening quote; returns what is behind the closing one. */
static const char *skip_string(const char *p, const char *end)
{
	for (;;) {
		p = skip_plain(p, end);
		if (p == end || string_class[(unsigned char)*p] == CONTROL)
			return NULL;
		if (*p++ == '"')
			return p;
		p = skip_escape(p, end);
		if (!p)
			return NULL;
	}
}

/* One digit at least. */
static const char *skip_digits(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p == start ? NULL : p;
}

static const char *skip_number(const char *p, const char *end)
{
	if (*p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else
		p = skip_digits(p, end);
	if (p && p < end && *p == '.')
		p = skip_digits(p + 1, end);
	if (p && p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = skip_digits(p, end);
	}
	return p;
}

static const char *skip_word(const char *p, const char *end, struct str word)
{
	return (size_t)(end - p) >= word.n && !memcmp(p, word.p, word.n) ? p + word.n : NULL;
}

static const char *skip_scalar(const char *p, const char *end)
{
	switch (*p) {
	case '"':
		return skip_string(p + 1, end);
	case 't':
		return skip_word(p, end, STR("true"));
	case 'f':
		return skip_word(p, end, STR("false"));
	case 'n':
		return skip_word(p, end, STR("null"));
	default:
		return skip_number(p, end);
	}
}

/* A key, its colon and the spaces around: returns where the value begins. */
static const char *skip_key(const char *p, const char *end, struct str *ret)
{
	const char *start;

	p = skip_space(p, end);
	if (p == end || *p != '"')
		return NULL;
	start = ++p;
	p = skip_string(p, end);
	if (!p)
		return NULL;
	*ret = str_make(start, (size_t)(p - start) - 1);
	p = skip_space(p, end);
	return p < end && *p == ':' ? skip_space(p + 1, end) : NULL;
}

/* The containers that a walk is in: bit 0 of kinds is the innermost, 1 = object. */
struct nest {
	uint64_t kinds;
	unsigned depth;
};

/* p is at a bracket: goes in. Returns where the first value is, or the closing bracket. */
static const char *nest_enter(struct nest *n, const char *p, const char *end, bool *ret_empty)
{
	bool object = *p == '{';
	struct str key;

	if (n->depth == JSON_DEPTH_MAX)
		return NULL;
	n->kinds = n->kinds << 1 | object;
	n->depth++;
	p = skip_space(p + 1, end);
	*ret_empty = p < end && *p == (object ? '}' : ']');
	return object && !*ret_empty ? skip_key(p, end, &key) : p;
}

/* p is behind a value: leaves what ends here. Returns the next value, or the end at depth 0. */
static const char *nest_leave(struct nest *n, const char *p, const char *end)
{
	struct str key;

	while (n->depth) {
		bool object = n->kinds & 1;

		p = skip_space(p, end);
		if (p == end)
			return NULL;
		if (*p == ',')
			return object ? skip_key(p + 1, end, &key) : skip_space(p + 1, end);
		if (*p != (object ? '}' : ']'))
			return NULL;
		p++;
		n->kinds >>= 1;
		n->depth--;
	}
	return p;
}

/* p is at the first byte of a value of any kind. */
static const char *skip_value(const char *p, const char *end)
{
	struct nest n = { 0 };

	while (p && p < end) {
		bool empty = true;

		if (*p == '{' || *p == '[')
			p = nest_enter(&n, p, end, &empty);
		else
			p = skip_scalar(p, end);
		if (p && empty)
			p = nest_leave(&n, p, end);
		if (p && !n.depth)
			return p;
	}
	return NULL;
}

static enum json_type type_of(char c)
{
	switch (c) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	case 'n':
		return JSON_NULL;
	default:
		return c == '-' || (c >= '0' && c <= '9') ? JSON_NUMBER : JSON_NONE;
	}
}

struct json json_peek(struct str text)
{
	text = str_trim(text);
	return (struct json){ text.n ? type_of(text.p[0]) : JSON_NONE, text };
}

int json_parse(struct str text, struct json *ret)
{
	struct json value = json_peek(text);
	const char *end = str_end(value.raw);

	if (value.type == JSON_NONE || skip_value(value.raw.p, end) != end)
		return -EBADMSG;
	*ret = value;
	return 0;
}

void json_iter_init(struct json_iter *it, struct json value)
{
	*it = (struct json_iter){
		.p = value.raw.p,
		.end = str_end(value.raw),
		.object = value.type == JSON_OBJECT,
		.failed = value.type != JSON_OBJECT && value.type != JSON_ARRAY,
	};
}

void json_iter_init_shallow(struct json_iter *it, struct json value)
{
	json_iter_init(it, value);
	it->shallow = true;
}

static const char *iter_skip(const struct json_iter *it, const char *p)
{
	if (it->shallow && p < it->end && (*p == '{' || *p == '['))
		return json_skip_container(p, it->end);
	return skip_value(p, it->end);
}

static int iter_fail(struct json_iter *it)
{
	it->failed = true;
	return -EBADMSG;
}

/* At the closing bracket, or behind it when asked again. */
static int iter_end(struct json_iter *it)
{
	it->p = it->end;
	return 0;
}

int json_next(struct json_iter *it, struct json_item *ret)
{
	struct str key = { NULL, 0 };
	const char *p = it->p, *start;
	bool first = !it->started;

	if (it->failed)
		return -EBADMSG;
	if (p == it->end && it->started)
		return 0;
	it->started = true;
	p = skip_space(first ? p + 1 : p, it->end);
	if (p == it->end)
		return iter_fail(it);
	if (*p == (it->object ? '}' : ']'))
		return skip_space(p + 1, it->end) == it->end ? iter_end(it) : iter_fail(it);
	if (!first && *p != ',')
		return iter_fail(it);
	if (!first)
		p = skip_space(p + 1, it->end);
	start = it->object ? skip_key(p, it->end, &key) : p;
	p = start ? iter_skip(it, start) : NULL;
	if (!p)
		return iter_fail(it);
	*ret = (struct json_item){ key, { type_of(*start), str_make(start, (size_t)(p - start)) } };
	it->p = p;
	/* A closing bracket must follow, so a value that reaches the end is cut off. */
	return p == it->end ? iter_fail(it) : 1;
}

static size_t utf8_put(char *out, unsigned c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* p is behind "\u": the character of it and of a second half that follows. */
static const char *unescape_u(const char *p, const char *end, unsigned *ret)
{
	int c = hex4(p, end), low;

	if (c < 0)
		return NULL;
	p += 4;
	*ret = (unsigned)c;
	if (c < 0xd800 || c > 0xdfff)
		return p;
	*ret = 0xfffd;
	if (c > 0xdbff || end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return p;
	low = hex4(p + 2, end);
	if (low < 0xdc00 || low > 0xdfff)
		return p;
	*ret = 0x10000 + ((unsigned)(c - 0xd800) << 10) + (unsigned)(low - 0xdc00);
	return p + 6;
}

/* The next byte or escape of a raw string: up to four bytes. Returns what follows, or NULL. */
static const char *unescape_next(const char *p, const char *end, char out[4], size_t *ret_n)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	unsigned c;

	*ret_n = 1;
	if (*p != '\\') {
		out[0] = *p;
		return p + 1;
	}
	if (++p == end)
		return NULL;
	if (*p == 'u') {
		p = unescape_u(p + 1, end, &c);
		*ret_n = p ? utf8_put(out, c) : 0;
		return p;
	}
	at = *p ? strchr(from, *p) : NULL;
	if (!at)
		return NULL;
	out[0] = to[at - from];
	return p + 1;
}

/* Compares a raw string with text, step by step. */
static bool raw_equals(struct str raw, struct str text, bool (*eq)(struct str, struct str))
{
	const char *p = raw.p, *end = str_end(raw);

	if (str_find(raw, '\\') == raw.n)
		return eq(raw, text);
	while (p < end) {
		char out[4];
		size_t n;

		p = unescape_next(p, end, out, &n);
		if (!p || n > text.n || !eq(str_make(out, n), str_make(text.p, n)))
			return false;
		text = str_skip(text, n);
	}
	return text.n == 0;
}

bool json_key_is(const struct json_item *item, struct str key)
{
	/* An escape is longer than what it stands for, so most keys are told apart by length. */
	return str_eq(item->key, key) ||
	       (item->key.n > key.n && str_find(item->key, '\\') < item->key.n &&
		raw_equals(item->key, key, str_eq));
}

bool json_key_is_nocase(const struct json_item *item, struct str key)
{
	return raw_equals(item->key, key, str_eq_nocase);
}

struct json json_get(struct json object, struct str key)
{
	struct json_iter it;
	struct json_item item;

	if (object.type != JSON_OBJECT)
		return (struct json){ JSON_NONE, { NULL, 0 } };
	json_iter_init(&it, object);
	while (json_next(&it, &item) > 0)
		if (json_key_is(&item, key))
			return item.value;
	return (struct json){ JSON_NONE, { NULL, 0 } };
}

struct json json_path(struct json object, struct str path)
{
	while (path.p && object.type != JSON_NONE)
		object = json_get(object, str_cut(&path, '.'));
	return object;
}

/* Without its quotes; false when it can't be a string. */
static bool string_inside(struct json value, struct str *ret)
{
	if (value.type != JSON_STRING || value.raw.n < 2)
		return false;
	*ret = str_make(value.raw.p + 1, value.raw.n - 2);
	return true;
}

int json_string(struct json value, char *out, size_t size, struct str *ret)
{
	struct str raw;
	const char *p, *end;
	size_t used = 0;

	if (!string_inside(value, &raw))
		return -EINVAL;
	if (str_find(raw, '\\') == raw.n) {
		*ret = raw;
		return 0;
	}
	for (p = raw.p, end = str_end(raw); p < end;) {
		char bytes[4];
		size_t n;

		p = unescape_next(p, end, bytes, &n);
		if (!p)
			return -EBADMSG;
		if (n > size - used)
			return -ENOBUFS;
		memcpy(out + used, bytes, n);
		used += n;
	}
	*ret = str_make(out, used);
	return 0;
}

int json_add_unescaped(struct buf *b, struct json value)
{
	struct str s;
	int rc = buf_reserve(b, value.raw.n);

	if (rc < 0)
		return rc;
	rc = json_string(value, buf_tail(b), value.raw.n, &s);
	if (rc < 0)
		return rc;
	if (s.p == buf_tail(b)) {
		buf_grew(b, s.n);
		return 0;
	}
	return buf_add(b, s);
}

bool json_is(struct json value, struct str text)
{
	struct str raw;

	return string_inside(value, &raw) && raw_equals(raw, text, str_eq);
}

int json_u64(struct json value, uint64_t *ret)
{
	return value.type == JSON_NUMBER ? str_u64(value.raw, ret) : -EINVAL;
}
