/* SPDX-License-Identifier: MIT */
/*
 * Strings written as JSON: text and quotes byte by byte in one pass, what needs more one by one.
 *
 * What needs something differs between the two writers by a table. Most strings need nothing at all: these
 * cost one reservation and one copy. An append that fails half-way
 * takes back what it wrote, because a caller that gets -ENOBUFS goes on with its buffer.
 */
#include "codec/json.h"

/* What becomes of a byte; most are copied. */
enum { COPY, SHORT, UNICODE, HIGH };

enum { EASY_BYTES = 512 };

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

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Not 0 if one of the eight bytes is c. */
static uint64_t has(uint64_t word, unsigned char c)
{
	uint64_t x = word ^ EACH(c);

	return (x - EACH(1)) & ~x & EACH(0x80);
}

/* Not 0 if one of the eight bytes is none that both writers copy. */
static uint64_t has_special(uint64_t word)
{
	return (word & EACH(0x80)) | ((word - EACH(0x20)) & ~word & EACH(0x80)) | has(word, '"') |
	       has(word, '\\') | has(word, '&') | has(word, '<') | has(word, '>');
}

/* How many bytes at the beginning of s are copied: eight at a time, then one by one. */
static size_t run_len(const struct style *style, struct str s)
{
	size_t n = 0;
	uint64_t word;

	for (; s.n - n >= sizeof(word); n += sizeof(word)) {
		memcpy(&word, s.p + n, sizeof(word));
		if (has_special(word))
			break;
	}
	while (n < s.n && style->classes[(unsigned char)s.p[n]] == COPY)
		n++;
	return n;
}

static int add_short(struct buf *b, char c)
{
	static const char from[] = "\b\f\n\r\t", to[] = "bfnrt";
	const char *at = strchr(from, c);
	char out[2] = { '\\', at ? to[at - from] : c };

	return buf_add(b, str_make(out, 2));
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

/*
 * What JSON in a string mostly is, text and quotes, into room for twice as much: how many bytes of s
 * that were. Runs there are so short that a copy of each would cost more than its bytes.
 */
static size_t put_easy(struct buf *b, const struct style *style, struct str s)
{
	char *out = buf_tail(b);
	size_t n = 0, at = 0;

	for (; n < s.n; n++) {
		unsigned char c = (unsigned char)s.p[n], kind = style->classes[c];

		if (kind != COPY) {
			if (c != '"' && c != '\\')
				break;
			out[at++] = '\\';
		}
		out[at++] = (char)c;
	}
	buf_grew(b, at);
	return n;
}

/* One byte or character that needs something, or a run before it that needs nothing. */
static int add_next(struct buf *b, const struct style *style, struct str s, size_t *ret_used)
{
	*ret_used = 1;
	switch (style->classes[(unsigned char)s.p[0]]) {
	case COPY:
		*ret_used = run_len(style, s);
		return buf_add(b, str_make(s.p, *ret_used));
	case SHORT:
		return add_short(b, s.p[0]);
	case UNICODE:
		return buf_addf(b, "\\u%04x", (unsigned char)s.p[0]);
	default:
		return add_high(b, style, s, ret_used);
	}
}

static int add_inside(struct buf *b, const struct style *style, struct str s)
{
	int rc = 0;

	while (s.n && rc == 0) {
		size_t chunk = s.n < EASY_BYTES ? s.n : EASY_BYTES, used = 0;

		/* Near the buffer's maximum there may be room for it all the same. */
		if (buf_reserve(b, 2 * chunk) == 0)
			used = put_easy(b, style, str_make(s.p, chunk));
		if (!used)
			rc = add_next(b, style, s, &used);
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

int json_add_member(struct buf *b, struct str name, struct str value)
{
	size_t before = buf_len(b);
	int rc = json_add_string(b, name);

	if (rc == 0)
		rc = buf_addc(b, ':');
	if (rc == 0)
		rc = json_add_string(b, value);
	if (rc < 0)
		b->end = b->start + before;
	return rc;
}

int json_add_string_go(struct buf *b, struct str s)
{
	return add_string(b, &go, s);
}
