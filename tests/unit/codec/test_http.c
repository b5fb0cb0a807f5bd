/* SPDX-License-Identifier: MIT */
/*
 * The HTTP parser and writer. Every case of the tables is run whole and cut at every byte, and
 * must give the same events; the smuggling table names the technique of each case.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/http.h"

static const struct http_limits limits = { .header_max = 2048, .target_max = 256 };

static void say_head(struct buf *out, const struct http_head *h)
{
	if (h->status)
		(void)buf_addf(out, "<%d %.*s", h->status, STR_ARG(h->reason));
	else
		(void)buf_addf(out, "<%.*s %.*s", STR_ARG(h->method), STR_ARG(h->target));
	(void)buf_addf(out, " 1.%d%s%s%s%s", h->minor, h->keep_alive ? " keep" : "",
		       h->upgrade ? " up" : "", h->expect_continue ? " 100" : "",
		       h->expect_unknown ? " 417" : "");
	for (size_t i = 0; i < h->n_headers; i++)
		(void)buf_addf(out, "|%.*s=%.*s", STR_ARG(h->headers[i].name),
			       STR_ARG(h->headers[i].value));
	(void)buf_addf(out, ">");
}

/* What was seen, as text: <head>body. for each message, then !status for a refusal. */
static void feed(struct http_parser *p, struct str data, struct buf *out)
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
		else if (rc == -EBADMSG && p->why)
			(void)buf_addf(out, "!%d", p->status);
		if (rc < 0)
			p->why = NULL;
	} while (rc > 0);
}

/* step 0: at once; else in pieces of that many bytes, each from memory of its own. */
static void run(enum http_role role, struct str wire, size_t step, struct buf *out)
{
	struct http_parser p;

	http_parser_init(&p, role, &limits);
	for (size_t at = 0, n; at < wire.n; at += n) {
		n = step && step < wire.n - at ? step : wire.n - at;
		char *copy = str_dup(str_make(wire.p + at, n));

		feed(&p, str_make(copy, n), out);
		free(copy);
	}
	http_parser_fini(&p);
}

static void cut_run(enum http_role role, struct str wire, size_t cut, struct buf *out)
{
	struct http_parser p;
	char *a = str_dup(str_make(wire.p, cut)), *b = str_dup(str_skip(wire, cut));

	http_parser_init(&p, role, &limits);
	feed(&p, str_make(a, cut), out);
	free(a);
	feed(&p, str_make(b, wire.n - cut), out);
	free(b);
	http_parser_fini(&p);
}

static void check(enum http_role role, const char *what, struct str wire, const char *want)
{
	for (size_t i = 0; i <= wire.n + 2; i++) {
		struct buf out auto_buf;

		buf_init(&out, 65536);
		if (i <= wire.n)
			cut_run(role, wire, i, &out);
		else
			run(role, wire, i - wire.n - 1, &out);
		if (!str_eq(buf_str(&out), str_from(want)))
			fail_msg("%s, cut %zu: got %.*s, want %s", what, i, STR_ARG(buf_str(&out)),
				 want);
	}
}

struct sample {
	const char *what;
	struct str wire;
	const char *want;
};

#define H "Host: a\r\n"

static void requests_are_read(void **state)
{
	static const struct sample samples[] = {
		{ "plain", STR_INIT("GET /a?b=c HTTP/1.1\r\n" H "\r\n"),
		  "<GET /a?b=c 1.1 keep|Host=a>." },
		{ "1.0", STR_INIT("GET / HTTP/1.0\r\n\r\n"), "<GET / 1.0>." },
		{ "1.0 kept", STR_INIT("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
		  "<GET / 1.0 keep|Connection=keep-alive>." },
		{ "close", STR_INIT("GET / HTTP/1.1\r\n" H "connection: x, Close\r\n\r\n"),
		  "<GET / 1.1|Host=a|connection=x, Close>." },
		{ "pipelined",
		  STR_INIT("GET /1 HTTP/1.1\r\n" H "\r\nPOST /2 HTTP/1.1\r\n" H
			   "Content-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\n" H "\r\n"),
		  "<GET /1 1.1 keep|Host=a>.<POST /2 1.1 keep|Host=a|Content-Length=2>hi.<GET /3 "
		  "1.1 "
		  "keep|Host=a>." },
		{ "one empty line in front", STR_INIT("\r\nGET / HTTP/1.1\r\n" H "\r\n"),
		  "<GET / 1.1 keep|Host=a>." },
		{ "empty and spaced values",
		  STR_INIT("GET / HTTP/1.1\r\n" H "X:\r\nY: \t a b \t\r\nZ:z\r\n\r\n"),
		  "<GET / 1.1 keep|Host=a|X=|Y=a b|Z=z>." },
		{ "length 0", STR_INIT("POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"),
		  "<POST / 1.1 keep|Host=a|Content-Length=0>." },
		{ "chunked",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n"
			   "3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nT: v\r\n\r\n"
			   "GET / HTTP/1.1\r\n" H "\r\n"),
		  "<POST / 1.1 keep|Host=a|Transfer-Encoding=Chunked>abc0123456789.<GET / 1.1 "
		  "keep|Host=a>." },
		{ "expectation",
		  STR_INIT("PUT / HTTP/1.1\r\n" H
			   "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx"),
		  "<PUT / 1.1 keep 100|Host=a|Expect=100-Continue|Content-Length=1>x." },
		{ "unknown expectation", STR_INIT("PUT / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n"),
		  "<PUT / 1.1 keep 417|Host=a|Expect=200-ok>." },
		{ "upgrade",
		  STR_INIT("GET /ws HTTP/1.1\r\n" H
			   "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"),
		  "<GET /ws 1.1 keep up|Host=a|Connection=keep-alive, "
		  "Upgrade|Upgrade=websocket>." },
		{ "absolute target", STR_INIT("GET http://a/b HTTP/1.1\r\n" H "\r\n"),
		  "<GET http://a/b 1.1 keep|Host=a>." },
		{ "options of all", STR_INIT("OPTIONS * HTTP/1.1\r\n" H "\r\n"),
		  "<OPTIONS * 1.1 keep|Host=a>." },
		{ "Latin-1 in a value", STR_INIT("GET / HTTP/1.1\r\n" H "X: \xe4\r\n\r\n"),
		  "<GET / 1.1 keep|Host=a|X=\xe4>." },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		check(HTTP_REQUESTS, samples[i].what, samples[i].wire, samples[i].want);
}

static void smuggling_is_refused(void **state)
{
	static const struct sample samples[] = {
		{ "CL.TE",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Content-Length: 6\r\nTransfer-Encoding: "
			   "chunked\r\n\r\n0\r\n\r\nG"),
		  "!400" },
		{ "TE.CL",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: "
			   "3\r\n\r\n1\r\nZ\r\n0\r\n\r\n"),
		  "!400" },
		{ "TE.TE",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Transfer-Encoding: chunked\r\nTransfer-Encoding: "
			   "x\r\n\r\n"),
		  "!400" },
		{ "TE twice",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Transfer-Encoding: chunked\r\nTransfer-Encoding: "
			   "chunked\r\n\r\n"),
		  "!400" },
		{ "TE list",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n"),
		  "!501" },
		{ "TE chunked not last",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, x\r\n\r\n"),
		  "!400" },
		{ "TE xchunked",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n"), "!501" },
		{ "TE quoted",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n"),
		  "!501" },
		{ "TE empty", STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n"),
		  "!501" },
		{ "TE with vertical tab",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \vchunked\r\n\r\n"),
		  "!400" },
		{ "TE in 1.0",
		  STR_INIT("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"), "!400" },
		{ "TE folded",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n"),
		  "!400" },
		{ "TE space colon",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n"), "!400" },
		{ "TE tab colon",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding\t: chunked\r\n\r\n"),
		  "!400" },
		{ "obs-fold", STR_INIT("GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n"), "!400" },
		{ "obs-fold with tab", STR_INIT("GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n"),
		  "!400" },
		{ "space before the first header", STR_INIT("GET / HTTP/1.1\r\n " H "\r\n"),
		  "!400" },
		{ "CL twice, equal",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
		  "!400" },
		{ "CL twice, other",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
		  "!400" },
		{ "CL list", STR_INIT("POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\nx"),
		  "!400" },
		{ "CL signed", STR_INIT("POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\nx"),
		  "!400" },
		{ "CL negative", STR_INIT("POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\nx"),
		  "!400" },
		{ "CL hex", STR_INIT("POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\nx"),
		  "!400" },
		{ "CL spaced", STR_INIT("POST / HTTP/1.1\r\n" H "Content-Length: 1 1\r\n\r\nx"),
		  "!400" },
		{ "CL empty", STR_INIT("POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\nx"),
		  "!400" },
		{ "CL overflow",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\nx"),
		  "!400" },
		{ "CL space colon", STR_INIT("POST / HTTP/1.1\r\n" H "Content-Length : 1\r\n\r\nx"),
		  "!400" },
		{ "bare LF", STR_INIT("GET / HTTP/1.1\n" H "\r\n"), "!400" },
		{ "bare LF in headers", STR_INIT("GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n"),
		  "!400" },
		{ "bare LF at the end", STR_INIT("GET / HTTP/1.1\r\n" H "\n"), "!400" },
		{ "bare CR", STR_INIT("GET / HTTP/1.1\r\n" H "X: a\rY: b\r\n\r\n"), "!400" },
		{ "bare CR before the colon", STR_INIT("GET / HTTP/1.1\r\n" H "X\r: a\r\n\r\n"),
		  "!400" },
		{ "CR CR LF", STR_INIT("GET / HTTP/1.1\r\n" H "X: a\r\r\n\r\n"), "!400" },
		{ "NUL in a value", STR_INIT("GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n"), "!400" },
		{ "NUL in a name", STR_INIT("GET / HTTP/1.1\r\n" H "X\0: a\r\n\r\n"), "!400" },
		{ "no Host", STR_INIT("GET / HTTP/1.1\r\nX: a\r\n\r\n"), "!400" },
		{ "two Hosts", STR_INIT("GET / HTTP/1.1\r\n" H H "\r\n"), "!400" },
		{ "two Hosts in 1.0", STR_INIT("GET / HTTP/1.0\r\n" H H "\r\n"), "!400" },
		{ "a Host with a path", STR_INIT("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), "!400" },
		{ "a Host with an at", STR_INIT("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"), "!400" },
		{ "no colon", STR_INIT("GET / HTTP/1.1\r\n" H "X\r\n\r\n"), "!400" },
		{ "no name", STR_INIT("GET / HTTP/1.1\r\n" H ": x\r\n\r\n"), "!400" },
		{ "name with a bracket", STR_INIT("GET / HTTP/1.1\r\n" H "X(y): x\r\n\r\n"),
		  "!400" },
		{ "chunk size with a space",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n"),
		  "<POST / 1.1 keep|Host=a|Transfer-Encoding=chunked>!400" },
		{ "chunk size with 0x",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n"),
		  "<POST / 1.1 keep|Host=a|Transfer-Encoding=chunked>!400" },
		{ "chunk size signed",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n"),
		  "<POST / 1.1 keep|Host=a|Transfer-Encoding=chunked>!400" },
		{ "chunk size overflow",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n"),
		  "<POST / 1.1 keep|Host=a|Transfer-Encoding=chunked>!400" },
		{ "chunk size ends in LF",
		  STR_INIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n"),
		  "<POST / 1.1 keep|Host=a|Transfer-Encoding=chunked>!400" },
		{ "chunk extension with LF",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Transfer-Encoding: chunked\r\n\r\n3;x\nabc\r\n"),
		  "<POST / 1.1 keep|Host=a|Transfer-Encoding=chunked>!400" },
		{ "chunk longer than said",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"),
		  "<POST / 1.1 keep|Host=a|Transfer-Encoding=chunked>a!400" },
		{ "chunk data ends in LF",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Transfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n"),
		  "<POST / 1.1 keep|Host=a|Transfer-Encoding=chunked>a!400" },
		{ "folded trailer",
		  STR_INIT("POST / HTTP/1.1\r\n" H
			   "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n b\r\n\r\n"),
		  "<POST / 1.1 keep|Host=a|Transfer-Encoding=chunked>!400" },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		check(HTTP_REQUESTS, samples[i].what, samples[i].wire, samples[i].want);
}

static void other_requests_are_refused_with_their_status(void **state)
{
	static const struct sample samples[] = {
		{ "unknown method", STR_INIT("BREW / HTTP/1.1\r\n" H "\r\n"), "!501" },
		{ "CONNECT", STR_INIT("CONNECT a:1 HTTP/1.1\r\n" H "\r\n"), "!501" },
		{ "lower case", STR_INIT("get / HTTP/1.1\r\n" H "\r\n"), "!501" },
		{ "HTTP/2 preface", STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "!505" },
		{ "HTTP/1.2", STR_INIT("GET / HTTP/1.2\r\n" H "\r\n"), "!505" },
		{ "HTTP/0.9", STR_INIT("GET /\r\n\r\n"), "!400" },
		{ "lower-case version", STR_INIT("GET / http/1.1\r\n" H "\r\n"), "!400" },
		{ "two spaces", STR_INIT("GET  / HTTP/1.1\r\n" H "\r\n"), "!400" },
		{ "tab", STR_INIT("GET\t/ HTTP/1.1\r\n" H "\r\n"), "!400" },
		{ "space at the end", STR_INIT("GET / HTTP/1.1 \r\n" H "\r\n"), "!505" },
		{ "no slash", STR_INIT("GET a HTTP/1.1\r\n" H "\r\n"), "!400" },
		{ "8 bit in the target", STR_INIT("GET /\xe4 HTTP/1.1\r\n" H "\r\n"), "!400" },
		{ "two empty lines", STR_INIT("\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n"), "!400" },
		{ "TLS", STR_INIT("\x16\x03\x01\x02\x00\x01"), "!400" },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		check(HTTP_REQUESTS, samples[i].what, samples[i].wire, samples[i].want);
}

static void responses_are_read(void **state)
{
	static const struct sample samples[] = {
		{ "length", STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
		  "<200 OK 1.1 keep|Content-Length=2>hi." },
		{ "continue first",
		  STR_INIT("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created "
			   "it\r\nContent-Length: 0\r\n\r\n"),
		  "<100 Continue 1.1 keep>.<201 Created it 1.1 keep|Content-Length=0>." },
		{ "no reason", STR_INIT("HTTP/1.1 204 \r\n\r\n"), "<204  1.1 keep>." },
		{ "chunked",
		  STR_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
			   "chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
		  "<200 OK 1.1 keep|Transfer-Encoding=chunked>a." },
		{ "until eof", STR_INIT("HTTP/1.0 200 OK\r\n\r\nabc"), "<200 OK 1.0>abc" },
		{ "not modified with a length",
		  STR_INIT("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n"),
		  "<304 x 1.1 keep|Content-Length=5>." },
		{ "upgrade",
		  STR_INIT("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
		  "<101 S 1.1 keep up|Connection=Upgrade|Upgrade=websocket>." },
		{ "not HTTP", STR_INIT("220 mail ESMTP\r\n"), "" },
		{ "not HTTP, whole", STR_INIT("220 mail ESMTP\r\n\r\n"), "!400" },
		{ "empty line in front", STR_INIT("\r\nHTTP/1.1 200 OK\r\n\r\n"), "!400" },
		{ "both lengths",
		  STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: "
			   "chunked\r\n\r\n"),
		  "!400" },
		{ "status of two digits", STR_INIT("HTTP/1.1 20 OK\r\n\r\n"), "!400" },
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		check(HTTP_RESPONSES, samples[i].what, samples[i].wire, samples[i].want);
}

static void parse_one(struct http_parser *p, struct str wire, int want)
{
	struct str piece;
	int rc = http_parse(p, &wire, &piece);

	assert_int_equal(rc, want);
}

static void an_end_of_the_stream_ends_or_cuts(void **state)
{
	struct http_parser p;

	http_parser_init(&p, HTTP_RESPONSES, &limits);
	assert_int_equal(http_parser_eof(&p), HTTP_MORE);
	parse_one(&p, STR("HTTP/1.0 200 OK\r\n\r\n"), HTTP_GOT_HEAD);
	assert_int_equal(http_parser_eof(&p), HTTP_GOT_END);
	parse_one(&p, STR("HTTP/1.0 2"), HTTP_MORE);
	assert_false(http_parser_is_idle(&p));
	assert_int_equal(http_parser_eof(&p), -EBADMSG);
	http_parser_fini(&p);
}

static void an_answer_to_head_has_no_body(void **state)
{
	struct str wire = STR("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
			      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
		   piece;
	static const int want[] = { HTTP_GOT_HEAD, HTTP_GOT_END,  HTTP_GOT_HEAD, HTTP_GOT_END,
				    HTTP_GOT_HEAD, HTTP_GOT_BODY, HTTP_GOT_END,  HTTP_MORE };
	struct http_parser p;

	http_parser_init(&p, HTTP_RESPONSES, &limits);
	http_parser_no_body(&p);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(http_parse(&p, &wire, &piece), want[i]);
	http_parser_fini(&p);
}

static void a_taken_head_outlives_the_parser(void **state)
{
	struct http_parser p;
	struct http_head *head;

	http_parser_init(&p, HTTP_REQUESTS, &limits);
	parse_one(&p, STR("GET /x HTTP/1.1\r\nHost: b\r\n\r\n"), HTTP_GOT_HEAD);
	head = http_parser_take_head(&p);
	assert_null(p.head);
	http_parser_fini(&p);
	assert_true(str_eq(head->target, STR("/x")));
	assert_true(
		str_eq(http_find_header(head->headers, head->n_headers, STR("HOST")), STR("b")));
	assert_null(http_find_header(head->headers, head->n_headers, STR("X")).p);
	free(head);
}

/* before + fill * n + after */
static void limit_case(const char *before, const char *fill, size_t n, const char *after,
		       const char *want)
{
	struct buf wire auto_buf, out auto_buf;

	buf_init(&wire, 1 << 20);
	buf_init(&out, 1 << 20);
	(void)buf_add(&wire, str_from(before));
	for (size_t i = 0; i < n; i++)
		(void)buf_add(&wire, str_from(fill));
	(void)buf_add(&wire, str_from(after));
	for (size_t step = 0; step < 2; step++) {
		buf_clear(&out);
		run(HTTP_REQUESTS, buf_str(&wire), step, &out);
		if (!str_ends(buf_str(&out), str_from(want)))
			fail_msg("%s: got %.*s, want %s", before, STR_ARG(buf_str(&out)), want);
	}
}

static void limits_hold(void **state)
{
	static const char chunked[] =
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
	char text[256];

	limit_case("GET /", "x", 255, " HTTP/1.1\r\nHost: a\r\n\r\n", ".");
	limit_case("GET /", "x", 256, " HTTP/1.1\r\nHost: a\r\n\r\n", "!414");
	limit_case("GET /", "x", 9999, "", "!414");
	limit_case("GET / HTTP/1.1\r\nHost: a\r\nX: ", "x", 2048 - 31, "\r\n\r\n", "!431");
	limit_case("GET / HTTP/1.1\r\nHost: a\r\nX: ", "x", 2048 - 32, "\r\n\r\n", ".");
	limit_case("GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", 99, "\r\n", ".");
	limit_case("GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n", 100, "\r\n", "!431");
	limit_case(chunked, "1\r\na\r\n", 2000, "0\r\n\r\n", ".");
	limit_case(chunked, "1;a\r\na\r\n", 2000, "0\r\n\r\n", ".");
	limit_case(chunked, "0\r\nX: y", 1, "\r\n\r\n", ".");
	(void)snprintf(text, sizeof(text), "%s1;", chunked);
	limit_case(text, "e", 256, "\r\na\r\n0\r\n\r\n", "a.");
	limit_case(text, "e", 257, "\r\na\r\n0\r\n\r\n", "!400");
	(void)snprintf(text, sizeof(text), "%s0\r\nX: ", chunked);
	limit_case(text, "e", 3000, "\r\n\r\n", "!431");
	(void)snprintf(text, sizeof(text), "%s0\r\n", chunked);
	limit_case(text, "X:\r\n", 101, "\r\n", "!431");
}

static void heads_are_written(void **state)
{
	struct buf b auto_buf;

	buf_init(&b, 4096);
	assert_int_equal(http_write_request(&b, STR("GET"), STR("/a?b")), 0);
	assert_int_equal(http_write_header(&b, STR("Host"), STR("x")), 0);
	assert_int_equal(http_write_header(&b, STR("Empty"), STR("")), 0);
	assert_int_equal(http_write_end(&b), 0);
	assert_true(str_eq(buf_str(&b), STR("GET /a?b HTTP/1.1\r\nHost: x\r\nEmpty: \r\n\r\n")));
	buf_clear(&b);
	assert_int_equal(http_write_status(&b, 404), 0);
	assert_int_equal(http_write_status(&b, 599), 0);
	assert_true(str_eq(buf_str(&b), STR("HTTP/1.1 404 Not Found\r\nHTTP/1.1 599 \r\n")));
}

static void injected_lines_are_not_written(void **state)
{
	struct buf b auto_buf;

	buf_init(&b, 4096);
	assert_int_equal(http_write_header(&b, STR("X"), STR("a\r\nY: b")), -EINVAL);
	assert_int_equal(http_write_header(&b, STR("X"), STR("a\nY: b")), -EINVAL);
	assert_int_equal(http_write_header(&b, STR("X"), STR("a\rb")), -EINVAL);
	assert_int_equal(http_write_header(&b, STR("X"), STR("a\0b")), -EINVAL);
	assert_int_equal(http_write_header(&b, STR("X\r\nY"), STR("a")), -EINVAL);
	assert_int_equal(http_write_header(&b, STR("X:"), STR("a")), -EINVAL);
	assert_int_equal(http_write_header(&b, STR(""), STR("a")), -EINVAL);
	assert_int_equal(http_write_request(&b, STR("GE T"), STR("/")), -EINVAL);
	assert_int_equal(http_write_request(&b, STR("GET"), STR("/ HTTP/1.1\r\nX: y")), -EINVAL);
	assert_int_equal(http_write_request(&b, STR("GET"), STR("")), -EINVAL);
	assert_int_equal(http_write_status(&b, 99), -EINVAL);
	assert_int_equal(http_write_status(&b, 1000), -EINVAL);
	assert_int_equal(buf_len(&b), 0);
}

static void tokens_are_found_in_lists(void **state)
{
	assert_true(http_has_token(STR("keep-alive, Upgrade"), STR("upgrade")));
	assert_true(http_has_token(STR("upgrade"), STR("upgrade")));
	assert_false(http_has_token(STR("xupgrade, upgrades"), STR("upgrade")));
	assert_false(http_has_token(STR(""), STR("upgrade")));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_read),
		cmocka_unit_test(smuggling_is_refused),
		cmocka_unit_test(other_requests_are_refused_with_their_status),
		cmocka_unit_test(responses_are_read),
		cmocka_unit_test(an_end_of_the_stream_ends_or_cuts),
		cmocka_unit_test(an_answer_to_head_has_no_body),
		cmocka_unit_test(a_taken_head_outlives_the_parser),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(heads_are_written),
		cmocka_unit_test(injected_lines_are_not_written),
		cmocka_unit_test(tokens_are_found_in_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
