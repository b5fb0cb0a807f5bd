/* SPDX-License-Identifier: MIT */
/*
 * The writer of heads, and the small questions about header values.
 *
 * Whatever is written is checked: a CR, LF or NUL in a value would let whoever chose the value
 * write headers, or a whole second message, of their own.
 */
#include <errno.h>

#include "codec/http_internal.h"

const bool http_tchars[256] = {
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
	['#'] = true,         ['$'] = true,         ['%'] = true,         ['&'] = true,
	['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true,
	['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true,
	['|'] = true,         ['~'] = true,
};

bool http_is_token(struct str s)
{
	bool all = true;

	for (size_t i = 0; i < s.n; i++)
		all &= http_is_tchar(s.p[i]);
	return all && s.n > 0;
}

struct str http_find_header(const struct http_header *headers, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(headers[i].name, name))
			return headers[i].value;
	return str_make(NULL, 0);
}

bool http_has_token(struct str value, struct str token)
{
	while (value.p)
		if (str_eq_nocase(str_trim(str_cut(&value, ',')), token))
			return true;
	return false;
}

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 100, "Continue" },
	{ 101, "Switching Protocols" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 423, "Locked" },
	{ 426, "Upgrade Required" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
};

const char *http_reason(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}

/* To the end in any case: so many bytes are looked at in one instruction. */
static bool is_value(struct str s)
{
	bool bad = false;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char u = (unsigned char)s.p[i];

		bad |= (u < 0x20 && u != '\t') || u == 0x7f;
	}
	return !bad;
}

static bool is_target(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n > 0;
}

/* All parts or none. */
static int add_all(struct buf *b, const struct str *parts, size_t n)
{
	size_t total = 0;
	int rc;

	for (size_t i = 0; i < n; i++)
		total += parts[i].n;
	rc = buf_reserve(b, total);
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (parts[i].n)
			memcpy(buf_tail(b), parts[i].p, parts[i].n);
		buf_grew(b, parts[i].n);
	}
	return rc;
}

int http_write_request(struct buf *b, struct str method, struct str target)
{
	struct str parts[] = { method, STR(" "), target, STR(" HTTP/1.1\r\n") };

	if (!http_is_token(method) || !is_target(target))
		return -EINVAL;
	return add_all(b, parts, 4);
}

int http_write_status(struct buf *b, int status)
{
	char digits[3] = { (char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
			   (char)('0' + status % 10) };
	struct str parts[] = { STR("HTTP/1.1 "), str_make(digits, 3), STR(" "),
			       str_from(http_reason(status)), STR("\r\n") };

	if (status < 100 || status > 999)
		return -EINVAL;
	return add_all(b, parts, 5);
}

int http_write_header(struct buf *b, struct str name, struct str value)
{
	char *out;
	int rc;

	if (!http_is_token(name) || !is_value(value))
		return -EINVAL;
	rc = buf_reserve(b, name.n + value.n + 4);
	if (rc < 0)
		return rc;
	out = buf_tail(b);
	memcpy(out, name.p, name.n);
	out += name.n;
	*out++ = ':';
	*out++ = ' ';
	if (value.n)
		memcpy(out, value.p, value.n);
	out += value.n;
	*out++ = '\r';
	*out = '\n';
	buf_grew(b, name.n + value.n + 4);
	return 0;
}

int http_write_end(struct buf *b)
{
	return buf_add(b, STR("\r\n"));
}
