/* SPDX-License-Identifier: MIT */
/*
 * The URI of a broker.
 *
 * Passwords hold characters that mean something in a URI, and people forget to encode them. So user
 * and password end at the last @ of all, wherever it stands, and a raw @ / ? # or bracket before it
 * is refused. (A virtual host with an @ in it therefore needs %40, which RFC 3986 leaves free.)
 * And as somebody may forget the host, too, a sentence quotes nothing but the value of a parameter
 * that it knows.
 */
#include "codec/amqp_uri.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "codec/form.h"

enum { PORT = 5672, PORT_TLS = 5671, TIMEOUT_MAX_MS = 600000, U16_MAX = 65535 };

/* Percent-decodes a part into a C string: 0 or -EINVAL. It is not quoted. */
static int decode_part(struct str in, char *out, const char *what, struct err *e)
{
	char room[3 * AMQP_URI_PART_MAX];
	long n = in.n > sizeof(room) ? AMQP_URI_PART_MAX + 1 : url_decode(room, in);
	int rc = 0;

	if (n < 0)
		rc = err_set(e, -EINVAL, "a %% in the %s must be followed by two hex digits", what);
	else if (n > AMQP_URI_PART_MAX)
		rc = err_set(e, -EINVAL, "the %s is over %d bytes long", what, AMQP_URI_PART_MAX);
	else if (str_find(str_make(room, (size_t)n), '\0') != (size_t)n)
		rc = err_set(e, -EINVAL, "the %s holds a NUL byte", what);
	if (rc == 0) {
		memcpy(out, room, (size_t)n);
		out[n] = '\0';
	}
	explicit_bzero(room, sizeof(room)); /* it may be the password */
	return rc;
}

static void set_default(char *out, const char *value)
{
	memcpy(out, value, strlen(value) + 1);
}

static int parse_password(struct str s, struct amqp_uri *ret, struct err *e)
{
	char clear[AMQP_URI_PART_MAX + 1] = "";
	int rc = decode_part(s, clear, "password", e);

	if (rc == 0)
		rc = secret_set(&ret->password, str_from(clear));
	explicit_bzero(clear, sizeof(clear));
	return rc;
}

static int parse_user_info(struct str s, struct amqp_uri *ret, struct err *e)
{
	int rc;

	for (size_t i = 0; i < s.n; i++)
		if (strchr("@/?#[]", s.p[i]))
			return err_set(
				e, -EINVAL,
				"before its last @, each of @ / ? # [ ] must be written as %%40 "
				"%%2F %%3F %%23 %%5B %%5D (in a virtual host, @ as %%40)");
	rc = decode_part(str_cut(&s, ':'), ret->user, "user", e);
	if (rc < 0 || !s.p)
		return rc;
	return parse_password(s, ret, e);
}

static int parse_port(struct str s, uint16_t *ret, struct err *e)
{
	uint64_t port;

	if (str_u64(s, &port) < 0 || port == 0 || port > U16_MAX)
		return err_set(
			e, -EINVAL,
			"the port is no number from 1 to %d (an IPv6 address needs brackets)",
			U16_MAX);
	*ret = (uint16_t)port;
	return 0;
}

static bool is_host_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("-._~", c));
}

static int parse_host(struct str s, struct amqp_uri *ret, struct err *e)
{
	int rc;

	if (s.n == 0)
		return 0;
	rc = decode_part(s, ret->host, "host", e);
	if (rc < 0)
		return rc;
	for (const char *c = ret->host; *c; c++)
		if (!is_host_char(*c))
			return err_set(e, -EINVAL, "the host is neither a name nor an address");
	return 0;
}

/* "[::1]" and what follows it. */
static int parse_bracketed(struct str *s, struct amqp_uri *ret, struct err *e)
{
	struct str inside = str_skip(*s, 1);
	struct in6_addr address;

	if (str_find(inside, ']') == inside.n)
		return err_set(e, -EINVAL, "the host lacks its ]");
	*s = inside;
	inside = str_cut(s, ']');
	if (inside.n < sizeof(ret->host)) {
		memcpy(ret->host, inside.p, inside.n);
		ret->host[inside.n] = '\0';
	}
	if (inside.n >= sizeof(ret->host) || inet_pton(AF_INET6, ret->host, &address) != 1)
		return err_set(e, -EINVAL, "the host in brackets is no IPv6 address");
	if (s->n && s->p[0] != ':')
		return err_set(e, -EINVAL, "behind the ] of the host may stand : and a port alone");
	*s = s->n ? str_skip(*s, 1) : str_make(NULL, 0);
	return 0;
}

static int parse_authority(struct str s, struct amqp_uri *ret, struct err *e)
{
	int rc;

	if (s.n && s.p[0] == '[')
		rc = parse_bracketed(&s, ret, e);
	else
		rc = parse_host(str_cut(&s, ':'), ret, e);
	if (rc < 0 || !s.p)
		return rc;
	return parse_port(s, &ret->port, e);
}

/* Nothing behind the slash is the default, as clients in use read it; RabbitMQ's text says "". */
static int parse_path(struct str s, struct amqp_uri *ret, struct err *e)
{
	if (s.n == 0)
		return 0;
	if (str_find(s, '/') != s.n)
		return err_set(e, -EINVAL, "a / in the virtual host must be written as %%2F");
	return decode_part(s, ret->vhost, "virtual host", e);
}

static int parse_number(const struct form_pair *pair, uint64_t least, uint64_t most, int64_t *ret,
			struct err *e)
{
	uint64_t value;

	if (str_u64(pair->value, &value) < 0 || value < least || value > most)
		return err_set(e, -EINVAL, "%.*s is \"%.*s\", must be a number from %llu to %llu",
			       STR_ARG(pair->name), STR_ARG(pair->value), (unsigned long long)least,
			       (unsigned long long)most);
	*ret = (int64_t)value;
	return 0;
}

/* nth: a name that is unknown is counted, not quoted. */
static int parse_parameter(const struct form_pair *pair, int nth, struct amqp_uri *ret,
			   struct err *e)
{
	int64_t value = 0;
	int rc;

	if (form_name_is(pair, STR("connection_timeout")))
		return parse_number(pair, 1, TIMEOUT_MAX_MS, &ret->connection_timeout_ms, e);
	if (form_name_is(pair, STR("heartbeat"))) {
		rc = parse_number(pair, 0, U16_MAX, &value, e);
		ret->heartbeat_s = (int)value;
		return rc;
	}
	if (form_name_is(pair, STR("channel_max"))) {
		rc = parse_number(pair, 0, U16_MAX, &value, e);
		ret->channel_max = (int)value;
		return rc;
	}
	if (form_name_is(pair, STR("auth_mechanism"))) {
		ret->external = str_eq_nocase(pair->value, STR("external"));
		if (ret->external || str_eq_nocase(pair->value, STR("plain")))
			return 0;
		return err_set(e, -EINVAL, "auth_mechanism is \"%.*s\", must be plain or external",
			       STR_ARG(pair->value));
	}
	return err_set(e, -EINVAL,
		       "parameter %d is unknown; there are heartbeat, connection_timeout, "
		       "channel_max and auth_mechanism",
		       nth);
}

static int parse_query(struct str s, struct amqp_uri *ret, struct err *e)
{
	struct form_pair pair;
	int rc = 0;

	for (int nth = 1; rc == 0 && form_next(&s, &pair); nth++)
		rc = parse_parameter(&pair, nth, ret, e);
	return rc;
}

static int parse_scheme(struct str *s, struct amqp_uri *ret, struct err *e)
{
	size_t n = str_find_str(*s, STR("://"));
	struct str scheme = str_make(s->p, n == s->n ? 0 : n);

	ret->tls = str_eq_nocase(scheme, STR("amqps"));
	if (!ret->tls && !str_eq_nocase(scheme, STR("amqp")))
		return err_set(e, -EINVAL, "the URL must begin with amqp:// or amqps://");
	ret->port = ret->tls ? PORT_TLS : PORT;
	*s = str_skip(*s, n + 3);
	return 0;
}

/* Cuts off what is behind the last @; what is before it is returned, or p = NULL without an @. */
static struct str cut_user_info(struct str *s)
{
	const char *at = s->n ? memrchr(s->p, '@', s->n) : NULL;
	struct str before = str_make(NULL, 0);

	if (at) {
		before = str_make(s->p, (size_t)(at - s->p));
		*s = str_skip(*s, before.n + 1);
	}
	return before;
}

static int parse_all(struct str s, struct amqp_uri *ret, struct err *e)
{
	struct str user_info, path, authority;
	int rc = parse_scheme(&s, ret, e);

	if (rc < 0)
		return rc;
	user_info = cut_user_info(&s);
	if (user_info.p)
		rc = parse_user_info(user_info, ret, e);
	if (rc < 0)
		return rc;
	if (str_find(s, '#') != s.n)
		return err_set(e, -EINVAL, "a # must be written as %%23");
	path = str_cut(&s, '?');
	authority = str_cut(&path, '/');
	rc = parse_authority(authority, ret, e);
	if (rc == 0)
		rc = parse_path(path, ret, e);
	return rc < 0 ? rc : parse_query(s, ret, e);
}

int amqp_uri_parse(struct str uri, struct amqp_uri *ret, struct err *e)
{
	int rc;

	*ret = (struct amqp_uri){ .heartbeat_s = -1,
				  .channel_max = -1,
				  .connection_timeout_ms = -1 };
	set_default(ret->host, "localhost");
	set_default(ret->user, "guest");
	set_default(ret->vhost, "/");
	rc = parse_all(uri, ret, e);
	if (rc == 0 && !ret->password.value)
		rc = secret_set(&ret->password, STR("guest"));
	if (rc < 0)
		amqp_uri_fini(ret);
	return rc;
}

void amqp_uri_fini(struct amqp_uri *uri)
{
	secret_fini(&uri->password);
	*uri = (struct amqp_uri){ 0 };
}
