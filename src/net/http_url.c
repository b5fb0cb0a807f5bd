/* SPDX-License-Identifier: MIT */
/*
 * The URL that a client used, which is what it signed. Behind a proxy nobody here can know it, so
 * the operator says it (public_url); else the proxy does, if it is one that is trusted: anybody
 * else could say anything. What is left is what stands in the request.
 */
#include "net/http_url.h"

#include "base/network.h"
#include "net/conn.h"
#include "net/http_server_internal.h"

static bool is_trusted(const struct http_origin *origin, struct str address)
{
	for (size_t i = 0; origin && i < origin->n_trusted_proxies; i++) {
		struct network network;

		if (network_parse(str_from(origin->trusted_proxies[i]), &network) == 0 &&
		    network_has(&network, address))
			return true;
	}
	return false;
}

/* The first value of a list: what the proxy nearest to the client said. */
static struct str forwarded(const struct http_request *r, bool trusted, struct str name)
{
	struct str list = trusted ? http_request_header(r, name) : str_make(NULL, 0);

	return str_trim(str_cut(&list, ','));
}

static int add_origin(const struct http_request *r, struct buf *ret)
{
	const struct http_request_info *info = http_request_info(r);
	bool trusted = is_trusted(r->link->server->options.origin, info->peer_address);
	struct str scheme = forwarded(r, trusted, STR("X-Forwarded-Proto"));
	struct str host = forwarded(r, trusted, STR("X-Forwarded-Host"));

	if (!str_eq_nocase(scheme, STR("https")) && !str_eq_nocase(scheme, STR("http")))
		scheme = conn_is_tls(r->link->conn) ? STR("https") : STR("http");
	if (!host.n)
		host = http_request_header(r, STR("Host"));
	int rc = buf_add(ret, scheme);
	if (rc == 0)
		rc = buf_add(ret, STR("://"));
	return rc < 0 ? rc : buf_add(ret, host);
}

int http_request_url(const struct http_request *r, struct buf *ret)
{
	const struct http_request_info *info = http_request_info(r);
	const struct http_origin *origin = r->link->server->options.origin;
	struct str base = str_from(origin ? origin->public_url : NULL);
	int rc;

	if (!base.n) {
		rc = add_origin(r, ret);
	} else {
		if (base.p[base.n - 1] == '/')
			base.n--;
		rc = buf_add(ret, base);
	}
	if (rc == 0)
		rc = buf_add(ret, info->path);
	if (rc == 0 && info->query.p)
		rc = buf_addc(ret, '?');
	return rc < 0 ? rc : buf_add(ret, info->query);
}
