/* SPDX-License-Identifier: MIT */
/*
 * Strings written as JSON: runs of bytes that need nothing are copied whole, the others one by one.
 *
 * What needs something differs between the two writers by a table. Most strings need nothing at all: these
 * cost one reservation and one copy. An append that fails half-way
 * takes back what it wrote, because a caller that gets -ENOBUFS goes on with its buffer.
 */
#include "codec/json.h"

/* What becomes of a byte; most are copied. */
enum { COPY, SHORT, UNICODE, HIGH };

struct style {
	unsigned char classes[256];
	bool html; /* < > & and U+2028, U+2029 are escaped; a bad byte too */
};

static const struct style plain = {
	.classes = { [0 ... '\a'] = UNICODE,
		     ['\b' ... '\n'] = SHORT,
		     ['\v'] = UNICODE,
		     ['\f' ... '\r'] = SHORT,
		     [0x0e ... 0x1f] = UNICODE,
		     ['"'] = SHORT,
		     ['\\'] = SHORT,
		     [0x80 ... 0xff] = HIGH },
};

static const struct style go = {
	.classes = { [0 ... '\b'] = UNICODE,
		     ['\t' ... '\n'] = SHORT,
		     ['\v' ... '\f'] = UNICODE,
		     ['\r'] = SHORT,
		     [0x0e ... 0x1f] = UNICODE,
		     ['"'] = SHORT,
		     ['&'] = UNICODE,
		     ['<'] = UNICODE,
		     ['>'] = UNICODE,
		     ['\\'] = SHORT,
		     [0x80 ... 0xff] = HIGH },
	.html = true,
};

/* How many bytes at the beginning of s are copied. */
static size_t run_len(const struct style *style, struct str s)
{
	size_t n = 0;

	while (n < s.n && style->classes[(unsigned char)s.p[n]] == COPY)
		n++;
	return n;
}

/* The letter behind the backslash. */
static char short_of(char c)
{
	static const char letters[32] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'
	};

	return (unsigned char)c < sizeof(letters) ? letters[(unsigned char)c] : c;
}

static int add_short(struct buf *b, char c)
{
	char out[2] = { '\\', short_of(c) };

	return buf_add(b, str_make(out, 2));
}

/*
 * JSON in JSON is quotes every few bytes: those, and what is copied, are written without asking for
 * room each time. How many bytes of s were; 0 also when there is no room for the worst case.
 */
static size_t put_easy(struct buf *b, const struct style *style, struct str s)
{
	size_t n = 0;
	char *out, *begin;

	if (buf_reserve(b, 2 * s.n) < 0)
		return 0;
	out = begin = buf_tail(b);
	for (; n < s.n; n++) {
		unsigned char class = style->classes[(unsigned char)s.p[n]];

		if (class == SHORT)
			*out++ = '\\';
		else if (class != COPY)
			break;
		*out++ = class == SHORT ? short_of(s.p[n]) : s.p[n];
	}
	buf_grew(b, (size_t)(out - begin));
	return n;
}

/* How many bytes of s are one character of UTF-8; 0: none. */
static size_t utf8_len(struct str s)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	return n && n <= s.n && str_is_utf8(str_make(s.p, n)) ? n : 0;
}

/* One character over 0x7f, or one byte that begins none. */
static int add_high(struct buf *b, const struct style *style, struct str s, size_t *ret_used)
{
	size_t n = utf8_len(s);
	struct str c = str_make(s.p, n);

	*ret_used = n ? n : 1;
	if (!n)
		return buf_add(b, style->html ? STR("\\ufffd") : STR("\xef\xbf\xbd"));
	if (style->html && str_eq(c, STR("\xe2\x80\xa8")))
		return buf_add(b, STR("\\u2028"));
	if (style->html && str_eq(c, STR("\xe2\x80\xa9")))
		return buf_add(b, STR("\\u2029"));
	return buf_add(b, c);
}

static int add_inside(struct buf *b, const struct style *style, struct str s)
{
	int rc = 0;

	while (s.n && rc == 0) {
		size_t run, used = 1;

		s = str_skip(s, put_easy(b, style, s));
		run = run_len(style, s);
		rc = buf_add(b, str_make(s.p, run));
		s = str_skip(s, run);
		if (rc < 0 || !s.n)
			break;
		switch (style->classes[(unsigned char)s.p[0]]) {
		case SHORT:
			rc = add_short(b, s.p[0]);
			break;
		case UNICODE:
			rc = buf_addf(b, "\\u%04x", (unsigned char)s.p[0]);
			break;
		default:
			rc = add_high(b, style, s, &used);
			break;
		}
		s = str_skip(s, used);
	}
	return rc;
}

/* A string of which nothing needs anything, into the room that is there. */
static void put_clean(struct buf *b, struct str s)
{
	char *out = buf_tail(b);

	out[0] = '"';
	if (s.n)
		memcpy(out + 1, s.p, s.n);
	out[s.n + 1] = '"';
	buf_grew(b, s.n + 2);
}

static int add_string(struct buf *b, const struct style *style, struct str s)
{
	size_t before = buf_len(b);
	int rc = buf_reserve(b, s.n + 2); /* no byte becomes less than one */

	if (rc < 0)
		return rc;
	if (run_len(style, s) == s.n) {
		put_clean(b, s);
		return 0;
	}
	rc = buf_addc(b, '"');
	if (rc == 0)
		rc = add_inside(b, style, s);
	if (rc == 0)
		rc = buf_addc(b, '"');
	if (rc < 0)
		b->end = b->start + before;
	return rc;
}

int json_add_string(struct buf *b, struct str s)
{
	return add_string(b, &plain, s);
}

int json_add_string_go(struct buf *b, struct str s)
{
	return add_string(b, &go, s);
}
