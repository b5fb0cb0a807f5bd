/* SPDX-License-Identifier: MIT */
/*
 * Strings written as JSON: runs of bytes that need nothing are copied whole, the others one by one.
 *
 * What needs something differs between the two writers by a table. An append that fails half-way
 * takes back what it wrote, because a caller that gets -ENOBUFS goes on with its buffer.
 */
#include "codec/json.h"

/* What becomes of a byte. */
enum { COPY, SHORT, UNICODE, HIGH };

struct style {
	const char *shorts; /* the control characters that have a letter */
	bool html;          /* < > & and U+2028, U+2029 are escaped; a bad byte too */
};

static const struct style plain = { "\b\f\n\r\t", false }, go = { "\n\r\t", true };

static int class_of(const struct style *style, unsigned char c)
{
	if (c >= 0x80)
		return HIGH;
	if (c == '"' || c == '\\')
		return SHORT;
	if (c < 0x20)
		return c && strchr(style->shorts, c) ? SHORT : UNICODE;
	return style->html && (c == '<' || c == '>' || c == '&') ? UNICODE : COPY;
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

static int add_inside(struct buf *b, const struct style *style, struct str s)
{
	int rc = 0;

	while (s.n && rc == 0) {
		size_t run = 0, used = 1;

		while (run < s.n && class_of(style, (unsigned char)s.p[run]) == COPY)
			run++;
		rc = buf_add(b, str_make(s.p, run));
		s = str_skip(s, run);
		if (rc < 0 || !s.n)
			break;
		switch (class_of(style, (unsigned char)s.p[0])) {
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

static int add_string(struct buf *b, const struct style *style, struct str s)
{
	size_t before = buf_len(b);
	int rc = buf_addc(b, '"');

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
