/* SPDX-License-Identifier: MIT */
/* Reading and writing socket addresses; looking names up is conn_dial.c's. */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

static int parse_unix(struct str s, struct str path, struct address *a, struct err *e)
{
	struct sockaddr_un *un = &a->socket.un;

	if (path.n == 0 || path.p[0] != '/' || memchr(path.p, 0, path.n))
		return err_set(e, -EINVAL, "%.*s: a Unix socket needs an absolute path: unix:/path",
			       STR_ARG(s));
	if (path.n >= sizeof(un->sun_path))
		return err_set(e, -EINVAL,
			       "%.*s: the path has %zu bytes, a Unix socket's has at most %zu",
			       STR_ARG(s), path.n, sizeof(un->sun_path) - 1);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path.p, path.n);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
	return 0;
}

/* Takes "host:port" or "[v6]:port" apart. */
static bool split(struct str s, struct str *host, struct str *port, bool *bracketed)
{
	size_t at;

	*bracketed = s.n && s.p[0] == '[';
	if (*bracketed) {
		at = str_find(s, ']');
		if (at + 1 >= s.n || s.p[at + 1] != ':')
			return false;
		*host = str_make(s.p + 1, at - 1);
		*port = str_skip(s, at + 2);
		return host->n > 0;
	}
	at = str_find(s, ':');
	*host = str_make(s.p, at);
	*port = str_skip(s, at + 1);
	return at < s.n && host->n > 0 && str_find(*port, ':') == port->n;
}

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '.' || c == '_'))
			return false;
	}
	return true;
}

int address_parse(struct str s, struct address *ret, struct err *e)
{
	struct str host, port;
	struct address a = { 0 };
	uint64_t number;
	bool bracketed;

	if (str_starts(s, STR("unix:"))) {
		int rc = parse_unix(s, str_skip(s, 5), &a, e);

		if (rc == 0)
			*ret = a;
		return rc;
	}
	if (!split(s, &host, &port, &bracketed) || host.n >= sizeof(a.host) ||
	    memchr(host.p, 0, host.n))
		return err_set(e, -EINVAL, "%.*s: must be host:port, [IPv6]:port or unix:/path",
			       STR_ARG(s));
	if (str_u64(port, &number) < 0 || number > UINT16_MAX)
		return err_set(e, -EINVAL, "%.*s: the port is \"%.*s\", must be 0 to 65535",
			       STR_ARG(s), STR_ARG(port));
	a.port = (uint16_t)number;
	memcpy(a.host, host.p, host.n);
	if (bracketed && inet_pton(AF_INET6, a.host, &a.socket.in6.sin6_addr) == 1) {
		a.socket.in6.sin6_family = AF_INET6;
		a.socket.in6.sin6_port = htons(a.port);
		a.len = sizeof(a.socket.in6);
	} else if (!bracketed && inet_pton(AF_INET, a.host, &a.socket.in.sin_addr) == 1) {
		a.socket.in.sin_family = AF_INET;
		a.socket.in.sin_port = htons(a.port);
		a.len = sizeof(a.socket.in);
	} else if (!bracketed && is_name(host)) {
		a.is_name = true;
	} else {
		return err_set(e, -EINVAL, "%.*s: \"%s\" is neither an address nor a host name",
			       STR_ARG(s), a.host);
	}
	*ret = a;
	return 0;
}

static void describe_in(struct in_addr in, uint16_t port, struct address_text *t)
{
	char host[INET_ADDRSTRLEN];

	(void)inet_ntop(AF_INET, &in, host, sizeof(host));
	(void)snprintf(t->text, sizeof(t->text), "%s:%u", host, (unsigned int)ntohs(port));
	t->host_n = (uint8_t)strlen(host);
	t->is_loopback = ntohl(in.s_addr) >> 24 == 127;
}

void address_describe(const struct sockaddr *sa, struct address_text *t)
{
	char host[INET6_ADDRSTRLEN];
	union address_socket s = { 0 };

	*t = (struct address_text){ 0 };
	if (sa->sa_family == AF_INET) {
		memcpy(&s.in, sa, sizeof(s.in));
		describe_in(s.in.sin_addr, s.in.sin_port, t);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&s.in6, sa, sizeof(s.in6));
		if (IN6_IS_ADDR_V4MAPPED(&s.in6.sin6_addr)) {
			struct in_addr in;

			memcpy(&in, s.in6.sin6_addr.s6_addr + 12, sizeof(in));
			describe_in(in, s.in6.sin6_port, t);
			return;
		}
		(void)inet_ntop(AF_INET6, &s.in6.sin6_addr, host, sizeof(host));
		(void)snprintf(t->text, sizeof(t->text), "[%s]:%u", host,
			       (unsigned int)ntohs(s.in6.sin6_port));
		t->host_at = 1;
		t->host_n = (uint8_t)strlen(host);
		t->is_loopback = IN6_IS_ADDR_LOOPBACK(&s.in6.sin6_addr);
	} else {
		memcpy(t->text, "unix", 5);
		t->is_loopback = true;
	}
}
