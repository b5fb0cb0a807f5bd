/* SPDX-License-Identifier: MIT */
/*
 * The framing of HTTP/1.1: where a head ends, how long its body is, where chunks begin.
 *
 * llhttp reads the heads (http_head.c), but it is never shown a byte that has not passed the line
 * scanner here, because llhttp 8.1 takes folded lines, a CR without LF and chunk extensions
 * without end even in its strict mode. Bodies never pass through it at all: a chunk's framing is
 * 30 lines of code, and one reading of it is safer than two.
 *
 *     HEAD ─┬─► LENGTH ──────────────────────────────┬─► DONE ──► HEAD
 *           ├─► SIZE ─► DATA ─► DATA_END ─► SIZE     │
 *           │      └─► TRAILER ──────────────────────┤
 *           ├─► UNTIL_EOF (responses) ── eof ────────┤
 *           └────────────────────────────────────────┘
 *
 * Refused beyond the RFC's musts: obs-fold, bare CR and bare LF, control characters, a space
 * before the colon, Content-Length twice (even if equal) or beside Transfer-Encoding, any coding
 * but `chunked`, a second Host. Trailers and chunk extensions are checked, bounded and dropped.
 */
#include "codec/http.h"

#include <errno.h>
#include <stdlib.h>

#include "codec/http_internal.h"

enum {
	FIRST_LINE_REST = 40,      /* method, version and spaces beside the target */
	CHUNK_DIGITS_MAX = 15,     /* so that a size never overflows */
	CHUNK_EXTENSION_MAX = 256, /* bytes a chunk */
};

enum state {
	STATE_HEAD,
	STATE_LENGTH,
	STATE_UNTIL_EOF,
	STATE_SIZE,
	STATE_DATA,
	STATE_DATA_END,
	STATE_TRAILER,
	STATE_DONE,
	STATE_DEAD,
};

static void begin_message(struct http_parser *p)
{
	p->state = STATE_HEAD;
	p->total = p->line = p->lines = 0;
	p->cr = p->colon = false;
	p->skip = p->digits = 0;
}

void http_parser_init(struct http_parser *p, enum http_role role, const struct http_limits *limits)
{
	*p = (struct http_parser){ .role = (unsigned char)role, .limits = *limits };
	buf_init(&p->raw, limits->header_max);
	begin_message(p);
}

void http_parser_fini(struct http_parser *p)
{
	buf_fini(&p->raw);
	free(p->head);
	p->head = NULL;
	p->state = STATE_DEAD;
}

int http_refuse(struct http_parser *p, int status, const char *why)
{
	p->status = status;
	p->why = why;
	p->state = STATE_DEAD;
	return -EBADMSG;
}

static bool is_control(char c)
{
	unsigned char u = (unsigned char)c;

	return (u < 0x20 && u != '\t') || u == 0x7f;
}

/* A CR was before: 1 = that was the empty line, 0 = a line is complete. */
static int scan_line_end(struct http_parser *p, char c)
{
	if (c != '\n')
		return http_refuse(p, 400, "a CR stands without LF: lines end in CR LF");
	p->cr = false;
	if (p->line == 0)
		return 1;
	if (p->lines > 0 && !p->colon)
		return http_refuse(p, 400, "a header line has no colon");
	if (++p->lines > HTTP_HEADERS_MAX + 1)
		return http_refuse(p, 431, "more than 100 header lines");
	p->line = 0;
	p->colon = false;
	return 0;
}

static int scan_name(struct http_parser *p, char c)
{
	if (c == ':' && p->line > 0) {
		p->colon = true;
		return 0;
	}
	if (http_is_tchar(c))
		return 0;
	if (c != ' ' && c != '\t')
		return http_refuse(p, 400, "a header's name holds a character that is not allowed");
	return http_refuse(p, 400,
			   p->line == 0 ? "a header line begins with a space (folded lines are "
					  "obsolete): put the value on one line"
					: "there is a space between a header's name and its colon");
}

/* One byte of a head or of trailers: 1 at the end of the empty line, else 0 or -EBADMSG. */
static int scan(struct http_parser *p, char c)
{
	int rc = 0;

	if (p->cr)
		return scan_line_end(p, c);
	if (c == '\r') {
		p->cr = true;
		return 0;
	}
	if (c == '\n')
		return http_refuse(p, 400, "a LF stands without CR: lines end in CR LF");
	if (is_control(c))
		return http_refuse(p, 400, "a head holds a control character (is this TLS?)");
	if (p->lines > 0 && !p->colon)
		rc = scan_name(p, c);
	p->line++;
	return rc;
}

static int check_size(struct http_parser *p)
{
	if (p->lines == 0 && p->role == HTTP_REQUESTS &&
	    (p->total > p->limits.header_max || p->line > p->limits.target_max + FIRST_LINE_REST))
		return http_refuse(p, 414, "the request target is too long");
	if (p->total > p->limits.header_max)
		return http_refuse(p, 431, "the headers are too large in all");
	return 0;
}

/* How many bytes at the beginning are no control characters, but for the rest of eight that hold one. */
static size_t text_run(const char *p, size_t n)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones * 0x80;
	size_t i = 0;
	uint64_t word;

	for (; n - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		uint64_t del = word ^ ones * 0x7f;
		uint64_t low = (word - ones * 0x20) & ~word, is_del = (del - ones) & ~del;
		if ((low | is_del) & highs)
			break;
	}
	return i;
}

/*
 * How many of these bytes scan and check_size would only count: what a name, a value or the first
 * line goes on with, up to its limit. Nearly all bytes of a head are such.
 */
static size_t plain_run(const struct http_parser *p, struct str data)
{
	size_t room = p->limits.header_max - p->total,
	       line_max = p->limits.target_max + FIRST_LINE_REST;
	size_t n = 0;

	if (p->cr)
		return 0;
	if (p->lines == 0 && p->role == HTTP_REQUESTS && room > line_max - p->line)
		room = line_max - p->line;
	if (room > data.n)
		room = data.n;
	if (p->lines > 0 && !p->colon)
		while (n < room && http_is_tchar(data.p[n]))
			n++;
	else
		for (n = text_run(data.p, room); n < room && !is_control(data.p[n]);)
			n++;
	return n;
}

static void choose_body(struct http_parser *p)
{
	struct http_head *h = p->head;
	bool none = p->role == HTTP_RESPONSES &&
		    (p->no_body || h->status < 200 || h->status == 204 || h->status == 304);

	p->total = 0;
	p->left = h->length;
	if (none || (h->has_length && h->length == 0))
		p->state = STATE_DONE;
	else if (h->chunked)
		p->state = STATE_SIZE;
	else if (h->has_length)
		p->state = STATE_LENGTH;
	else
		p->state = p->role == HTTP_REQUESTS ? STATE_DONE : STATE_UNTIL_EOF;
	p->left = p->state == STATE_LENGTH ? h->length : 0;
	if (p->state == STATE_UNTIL_EOF)
		h->keep_alive = false;
}

/* The empty line was found; `last` ends in it. */
static int end_head(struct http_parser *p, struct str last)
{
	struct str text = last;
	int rc = 0;

	if (buf_len(&p->raw)) {
		rc = buf_add(&p->raw, last);
		text = buf_str(&p->raw);
	}
	if (rc == 0)
		rc = http_head_parse(p, text);
	buf_fini(&p->raw);
	if (rc < 0)
		return rc;
	choose_body(p);
	return HTTP_GOT_HEAD;
}

static int parse_head(struct http_parser *p, struct str *data)
{
	struct str part;
	size_t i = 0;
	int rc = 0;

	if (data->n) {
		free(p->head);
		p->head = NULL;
	}
	while (i < data->n && rc == 0) {
		size_t run = plain_run(p, str_skip(*data, i));

		i += run;
		p->line += run;
		p->total += run;
		if (i == data->n)
			break;
		rc = scan(p, data->p[i++]);
		p->total++;
		if (rc >= 0 && check_size(p) < 0)
			rc = -EBADMSG;
	}
	part = str_make(data->p, i);
	*data = str_skip(*data, i);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return part.n ? buf_add(&p->raw, part) : 0;
	if (p->lines)
		return end_head(p, part);
	/* RFC 9112 section 2.2: one empty line in front of a request is overlooked. */
	if (p->skip || p->role == HTTP_RESPONSES)
		return http_refuse(p, 400, "the message begins with an empty line");
	buf_fini(&p->raw);
	begin_message(p);
	p->skip = 1;
	return parse_head(p, data);
}

static int end_size(struct http_parser *p, char c)
{
	if (c != '\n')
		return http_refuse(p, 400, "a chunk's size line does not end in CR LF");
	p->cr = p->colon = false;
	p->digits = 0;
	p->line = 0;
	p->lines = 1; /* trailers are scanned like the lines behind a first line */
	p->total = 0;
	p->state = p->left ? STATE_DATA : STATE_TRAILER;
	return 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_size(struct http_parser *p, char c)
{
	int v = hex_value(c);

	if (p->cr)
		return end_size(p, c);
	if (c == '\r' && p->digits) {
		p->cr = true;
	} else if (p->colon) { /* inside an extension */
		if (is_control(c) || ++p->line > CHUNK_EXTENSION_MAX)
			return http_refuse(p, 400, "a chunk extension is malformed or too long");
	} else if (v >= 0 && p->digits < CHUNK_DIGITS_MAX) {
		p->left = p->left * 16 + (uint64_t)v;
		p->digits++;
	} else if (c == ';' && p->digits) {
		p->colon = true;
	} else {
		return http_refuse(p, 400, "a chunk's size is not a hexadecimal number");
	}
	return 0;
}

static int parse_data_end(struct http_parser *p, char c)
{
	if (c != (p->cr ? '\n' : '\r'))
		return http_refuse(p, 400, "a chunk is longer than its size says");
	if (p->cr) {
		p->line = 0;
		p->state = STATE_SIZE;
	}
	p->cr = !p->cr;
	return 0;
}

static int parse_trailer(struct http_parser *p, char c)
{
	int rc = scan(p, c);

	if (rc == 1)
		p->state = STATE_DONE;
	if (rc >= 0 && ++p->total > p->limits.header_max)
		return http_refuse(p, 431, "the trailers are too large in all");
	return rc < 0 ? rc : 0;
}

static int parse_piece(struct http_parser *p, struct str *data, struct str *ret_piece)
{
	size_t n = data->n;

	if (p->state != STATE_UNTIL_EOF) {
		if (p->left < n)
			n = (size_t)p->left;
		p->left -= n;
		if (p->left == 0)
			p->state = p->state == STATE_DATA ? STATE_DATA_END : STATE_DONE;
	}
	*ret_piece = str_make(data->p, n);
	*data = str_skip(*data, n);
	return HTTP_GOT_BODY;
}

static int end_message(struct http_parser *p)
{
	if (p->role == HTTP_REQUESTS || !p->head || p->head->status >= 200)
		p->no_body = false;
	begin_message(p);
	return HTTP_GOT_END;
}

static int parse_byte(struct http_parser *p, char c)
{
	if (p->state == STATE_SIZE)
		return parse_size(p, c);
	if (p->state == STATE_DATA_END)
		return parse_data_end(p, c);
	return parse_trailer(p, c);
}

int http_parse(struct http_parser *p, struct str *data, struct str *ret_piece)
{
	int rc;

	*ret_piece = str_make(NULL, 0);
	for (;;) {
		switch (p->state) {
		case STATE_DEAD:
			return -EBADMSG;
		case STATE_DONE:
			return end_message(p);
		case STATE_HEAD:
			return parse_head(p, data);
		default:
			break;
		}
		if (data->n == 0)
			return HTTP_MORE;
		if (p->state == STATE_LENGTH || p->state == STATE_DATA ||
		    p->state == STATE_UNTIL_EOF)
			return parse_piece(p, data, ret_piece);
		rc = parse_byte(p, data->p[0]);
		*data = str_skip(*data, 1);
		if (rc < 0)
			return rc;
	}
}

int http_parser_eof(struct http_parser *p)
{
	if (http_parser_is_idle(p))
		return HTTP_MORE;
	if (p->state == STATE_UNTIL_EOF || p->state == STATE_DONE)
		return end_message(p);
	return http_refuse(p, 400, "the connection closed in the middle of a message");
}

bool http_parser_is_idle(const struct http_parser *p)
{
	return p->state == STATE_HEAD && p->total == 0;
}

bool http_parser_is_new(const struct http_parser *p)
{
	return http_parser_is_idle(p) && !p->skip && !p->no_body && !p->head;
}

void http_parser_no_body(struct http_parser *p)
{
	p->no_body = true;
}

struct http_head *http_parser_take_head(struct http_parser *p)
{
	struct http_head *head = p->head;

	p->head = NULL;
	return head;
}
