/* SPDX-License-Identifier: MIT */
/*
 * One HTTP head: llhttp takes it apart, then we check what it lets pass.
 *
 * The text is copied once, into a block that also holds the header table; llhttp runs over the
 * copy and its callbacks set the slices. It is stopped at the end of the headers: how the body is
 * framed is decided here, from Content-Length and Transfer-Encoding alone (RFC 9112 section 6.3).
 * The number of headers that llhttp found must be the number of lines that our scanner counted:
 * where two readers of a head disagree, it is refused.
 */
#include <errno.h>
#include <stdlib.h>

#include <llhttp.h>

#include "codec/http_internal.h"

/* llhttp's calls, one after the other, for one head */
struct fill {
	struct http_head *head;
	size_t room, n;
	bool complete;
};

/* Spans come in one piece or in neighbouring ones: the text is one block. */
static void extend(struct str *s, const char *at, size_t n)
{
	if (!s->p)
		s->p = at;
	s->n = (size_t)(at + n - s->p);
}

static int on_url(llhttp_t *ll, const char *at, size_t n)
{
	struct fill *f = ll->data;

	extend(&f->head->target, at, n);
	return 0;
}

static int on_method(llhttp_t *ll, const char *at, size_t n)
{
	struct fill *f = ll->data;

	extend(&f->head->method, at, n);
	return 0;
}

static int on_status(llhttp_t *ll, const char *at, size_t n)
{
	struct fill *f = ll->data;

	extend(&f->head->reason, at, n);
	return 0;
}

static int on_field(llhttp_t *ll, const char *at, size_t n)
{
	struct fill *f = ll->data;

	if (f->n == f->room)
		return HPE_USER;
	extend(&f->head->headers[f->n].name, at, n);
	return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t n)
{
	struct fill *f = ll->data;

	if (f->n == f->room)
		return HPE_USER;
	extend(&f->head->headers[f->n].value, at, n);
	return 0;
}

static int on_value_complete(llhttp_t *ll)
{
	struct fill *f = ll->data;

	if (f->n == f->room)
		return HPE_USER;
	f->head->headers[f->n].value = str_trim(f->head->headers[f->n].value);
	f->n++;
	return 0;
}

static int on_headers_complete(llhttp_t *ll)
{
	struct fill *f = ll->data;

	f->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_method = on_method,
	.on_status = on_status,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
};

static int refuse_llhttp(struct http_parser *p, llhttp_errno_t error)
{
	switch (error) {
	case HPE_INVALID_METHOD:
		return http_refuse(p, 501,
				   "the method is none that HTTP has: methods are upper case, "
				   "as in GET and POST");
	case HPE_INVALID_URL:
		return http_refuse(p, 400,
				   "the request target is not a path, with or without a query");
	case HPE_UNEXPECTED_CONTENT_LENGTH:
		return http_refuse(p, 400,
				   "Content-Length stands twice, or beside Transfer-Encoding");
	case HPE_INVALID_CONTENT_LENGTH:
		return http_refuse(p, 400, "Content-Length is not a decimal number");
	case HPE_INVALID_TRANSFER_ENCODING:
		return http_refuse(p, 400,
				   "Transfer-Encoding must be \"chunked\", once, and nothing else");
	case HPE_INVALID_VERSION:
		return http_refuse(p, 505, "the HTTP version is not 1.0 or 1.1");
	default:
		return http_refuse(p, 400,
				   "the head is malformed: a first line and lines \"Name: "
				   "value\" are wanted");
	}
}

/* "HTTP/1.0" or "HTTP/1.1": the minor version, or -EBADMSG. */
static int check_version(struct http_parser *p, struct str version)
{
	if (str_eq(version, STR("HTTP/1.1")))
		return 1;
	if (str_eq(version, STR("HTTP/1.0")))
		return 0;
	if (str_starts(version, STR("HTTP/")))
		return http_refuse(p, 505, "the HTTP version is not 1.0 or 1.1");
	return http_refuse(p, 400, "the first line is not \"METHOD TARGET HTTP/1.1\"");
}

static int check_target(struct http_parser *p, struct str method, struct str target)
{
	if (target.n > p->limits.target_max)
		return http_refuse(p, 414, "the request target is too long");
	for (size_t i = 0; i < target.n; i++)
		if (target.p[i] <= ' ' || target.p[i] > '~')
			return http_refuse(p, 400,
					   "the request target holds a character that must be "
					   "percent-encoded");
	if (str_eq(method, STR("CONNECT")))
		return http_refuse(p, 501, "CONNECT is not served here: this is no proxy");
	if ((target.n && target.p[0] == '/') || str_starts(target, STR("http://")) ||
	    str_starts(target, STR("https://")) ||
	    (str_eq(target, STR("*")) && str_eq(method, STR("OPTIONS"))))
		return 0;
	return http_refuse(p, 400, "the request target does not begin with a slash");
}

/* Told apart here what llhttp would call malformed alike. The minor version, or -EBADMSG. */
static int check_first_line(struct http_parser *p, struct str line)
{
	struct str rest = line, method = str_cut(&rest, ' '), target = str_cut(&rest, ' ');
	int minor;

	if (p->role == HTTP_RESPONSES)
		return check_version(p, method);
	if (!http_is_token(method) || target.n == 0)
		return http_refuse(p, 400, "the first line is not \"METHOD TARGET HTTP/1.1\"");
	minor = check_version(p, rest);
	if (minor >= 0 && check_target(p, method, target) < 0)
		return -EBADMSG;
	return minor;
}

static bool is_host(struct str value)
{
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
		    (!c || !strchr("-._~!$&'()*+=:[]%", c)))
			return false;
	}
	return true;
}

static int check_host(struct http_parser *p, struct str value, int seen)
{
	if (seen > 1)
		return http_refuse(p, 400, "there is more than one Host header");
	if (!is_host(value))
		return http_refuse(p, 400, "the Host header is not a host name or address");
	return 0;
}

static int check_length(struct http_parser *p, struct str value)
{
	if (p->head->has_length)
		return http_refuse(p, 400, "there is more than one Content-Length header");
	if (str_u64(value, &p->head->length) < 0)
		return http_refuse(p, 400, "Content-Length is not a decimal number");
	p->head->has_length = true;
	return 0;
}

static int check_coding(struct http_parser *p, struct str value)
{
	if (p->head->chunked)
		return http_refuse(p, 400, "there is more than one Transfer-Encoding header");
	if (!str_eq_nocase(value, STR("chunked")))
		return http_refuse(p, 501, "a Transfer-Encoding other than chunked is not served");
	if (p->head->minor == 0)
		return http_refuse(p, 400, "Transfer-Encoding does not exist in HTTP/1.0");
	p->head->chunked = true;
	return 0;
}

static void see_expect(struct http_head *h, struct str value)
{
	if (h->minor == 0)
		return;
	if (str_eq_nocase(value, STR("100-continue")))
		h->expect_continue = true;
	else
		h->expect_unknown = true;
}

/* Each name was read as the scanner read it: from the line's beginning to a colon. */
static bool is_whole_line(const struct http_header *h)
{
	return h->name.n > 0 && h->name.p[-1] == '\n' && h->name.p[h->name.n] == ':';
}

static int check_headers(struct http_parser *p)
{
	struct http_head *h = p->head;
	int hosts = 0, rc = 0;

	for (size_t i = 0; i < h->n_headers && rc == 0; i++) {
		struct str name = h->headers[i].name, value = h->headers[i].value;

		if (!is_whole_line(&h->headers[i]))
			return http_refuse(p, 400, "a header line is not \"Name: value\"");
		if (str_eq_nocase(name, STR("Host")) && p->role == HTTP_REQUESTS)
			rc = check_host(p, value, ++hosts);
		else if (str_eq_nocase(name, STR("Content-Length")))
			rc = check_length(p, value);
		else if (str_eq_nocase(name, STR("Transfer-Encoding")))
			rc = check_coding(p, value);
		else if (str_eq_nocase(name, STR("Expect")))
			see_expect(h, value);
	}
	if (rc == 0 && h->chunked && h->has_length)
		return http_refuse(p, 400, "Content-Length and Transfer-Encoding stand together");
	if (rc == 0 && p->role == HTTP_REQUESTS && h->minor == 1 && hosts == 0)
		return http_refuse(p, 400, "an HTTP/1.1 request needs a Host header");
	return rc;
}

static int run_llhttp(struct http_parser *p, struct str text, size_t room)
{
	struct fill fill = { .head = p->head, .room = room };
	llhttp_t ll;
	llhttp_errno_t error;

	llhttp_init(&ll, p->role == HTTP_REQUESTS ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	ll.data = &fill;
	error = llhttp_execute(&ll, text.p, text.n);
	if (error != HPE_PAUSED && error != HPE_OK)
		return refuse_llhttp(p, error);
	if (!fill.complete || fill.n != room || ll.http_major != 1 ||
	    ll.http_minor != p->head->minor)
		return http_refuse(p, 400, "the head can be read in more than one way");
	p->head->n_headers = fill.n;
	p->head->status = ll.status_code;
	p->head->keep_alive = p->head->minor ? !(ll.flags & F_CONNECTION_CLOSE)
					     : (ll.flags & F_CONNECTION_KEEP_ALIVE) != 0;
	p->head->upgrade = ll.upgrade;
	if (p->role == HTTP_RESPONSES && (ll.status_code < 100 || ll.status_code > 999))
		return http_refuse(p, 400, "the status is not three digits");
	return 0;
}

int http_head_parse(struct http_parser *p, struct str text)
{
	struct str rest = text;
	size_t room = p->lines - 1;
	int minor = check_first_line(p, str_cut(&rest, '\r'));
	char *copy;

	if (minor < 0)
		return minor;
	p->head = calloc(1, sizeof(*p->head) + room * sizeof(p->head->headers[0]) + text.n);
	if (!p->head)
		return -ENOMEM;
	p->head->minor = minor;
	copy = (char *)(p->head->headers + room);
	memcpy(copy, text.p, text.n);
	if (run_llhttp(p, str_make(copy, text.n), room) < 0)
		return -EBADMSG;
	return check_headers(p);
}
