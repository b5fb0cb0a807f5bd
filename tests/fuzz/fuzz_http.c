/* SPDX-License-Identifier: MIT */
/*
 * The HTTP parser: whatever comes, whole and cut at places that the input chooses, gives the same
 * events, and what it accepts obeys the framing rules once more.
 *
 * First byte: bit 0 the role, bit 1 that heads have no body, the others seed the cuts.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "codec/http.h"

static const struct http_limits limits = { .header_max = 1024, .target_max = 128 };

static void check_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		assert(s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\0');
}

static void say_head(struct buf *out, const struct http_head *h)
{
	assert(h->minor == 0 || h->minor == 1);
	assert(!(h->chunked && h->has_length));
	assert(h->n_headers <= HTTP_HEADERS_MAX);
	(void)buf_addf(out, "<%.*s %.*s %d %.*s %d%d%d%d%d", STR_ARG(h->method), STR_ARG(h->target),
		       h->status, STR_ARG(h->reason), h->minor, h->keep_alive, h->upgrade,
		       h->chunked, h->expect_continue);
	for (size_t i = 0; i < h->n_headers; i++) {
		assert(http_is_token(h->headers[i].name));
		check_value(h->headers[i].value);
		(void)buf_addf(out, "|%.*s=%.*s", STR_ARG(h->headers[i].name),
			       STR_ARG(h->headers[i].value));
	}
}

/* false: refused */
static bool feed(struct http_parser *p, struct str data, struct buf *out)
{
	struct str piece;
	int rc;

	do {
		rc = http_parse(p, &data, &piece);
		if (rc == HTTP_GOT_HEAD)
			say_head(out, p->head);
		else if (rc == HTTP_GOT_BODY)
			(void)buf_add(out, piece);
		else if (rc == HTTP_GOT_END)
			(void)buf_addc(out, '.');
	} while (rc > 0);
	if (rc == HTTP_MORE)
		assert(data.n == 0);
	if (rc < 0)
		(void)buf_addf(out, "!%d %s", p->status, p->why);
	return rc == HTTP_MORE;
}

static void run(struct str in, unsigned char first, unsigned seed, struct buf *out)
{
	struct http_parser p;
	bool good = true;

	http_parser_init(&p, first & 1 ? HTTP_RESPONSES : HTTP_REQUESTS, &limits);
	if (first & 2)
		http_parser_no_body(&p);
	while (in.n && good) {
		size_t n = in.n;
		char *copy;

		if (seed) {
			seed = seed * 1103515245 + 12345;
			n = 1 + (seed >> 16) % (seed & 0x8000 ? 3 : 40);
			n = n < in.n ? n : in.n;
		}
		copy = str_dup(str_make(in.p, n));
		good = feed(&p, str_make(copy, n), out);
		free(copy);
		in = str_skip(in, n);
	}
	if (good)
		(void)buf_addf(out, "$%d", http_parser_eof(&p));
	http_parser_fini(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole auto_buf, cut auto_buf;
	struct str in;

	buf_init(&whole, 1 << 24);
	buf_init(&cut, 1 << 24);
	if (size < 2)
		return 0;
	in = str_make((const char *)data + 1, size - 1);
	run(in, data[0], 0, &whole);
	run(in, data[0], data[0] / 4 + 1u, &cut);
	assert(str_eq(buf_str(&whole), buf_str(&cut)));
	return 0;
}
