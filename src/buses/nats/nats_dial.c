/* SPDX-License-Identifier: MIT */
/*
 * Making and ending a connection.
 *
 * The library's own reconnecting is off: what it would send again by itself the hub has taken back
 * by then, and the port's state would not be true. Files (keys, credentials, certificates) are read
 * at each attempt, so that new ones count without a restart.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "buses/nats/nats_line_internal.h"
#include "buses/nats/nats_nkey.h"

int nats_line_error(struct nats_line *line, natsStatus s, char reason[NATS_REASON])
{
	const char *status = natsStatus_GetText(s), *text = nats_GetLastError(NULL), *said;

	said = text && *text == '(' ? strstr(text, "): ") : NULL; /* after "(conn.c:2088): " */
	text = said ? said + 3 : text;
	(void)snprintf(reason, NATS_REASON, "%s", text && *text ? text : status);
	switch (s) {
	case NATS_CONNECTION_AUTH_FAILED:
	case NATS_NOT_PERMITTED:
		return -EACCES;
	case NATS_SSL_ERROR:
	case NATS_SECURE_CONNECTION_REQUIRED:
	case NATS_SECURE_CONNECTION_WANTED:
	case NATS_PROTOCOL_ERROR:
		return -EPROTO;
	case NATS_INVALID_ARG:
		return -EINVAL;
	case NATS_NO_MEMORY:
		return -ENOMEM;
	default:
		return -ECONNREFUSED;
	}
}

/* ---- options */

static int hex_of(char c)
{
	char low = (char)(c | 0x20);

	if (c >= '0' && c <= '9')
		return c - '0';
	return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* Percent-decoded (RFC 3986 section 2.1), into memory that is wiped by secret_fini. */
static int decode(struct str s, struct secret *ret)
{
	size_t n = 0;
	int rc = secret_set(ret, s);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s.n; i++) {
		int high = s.p[i] == '%' && i + 2 < s.n ? hex_of(s.p[i + 1]) : -1;
		int low = high >= 0 ? hex_of(s.p[i + 2]) : -1;

		ret->value[n++] = low >= 0 ? (char)(high << 4 | low) : s.p[i];
		i += low >= 0 ? 2 : 0;
	}
	ret->value[n] = '\0';
	return 0;
}

static natsStatus login_of_url(natsOptions *opts, const struct nats_url *url)
{
	struct secret user = { NULL }, password = { NULL };
	natsStatus s = NATS_NO_MEMORY;

	if (decode(url->user, &user) == 0 && decode(url->password, &password) == 0)
		s = url->has_password ? natsOptions_SetUserInfo(opts, user.value, password.value)
				      : natsOptions_SetToken(opts, user.value);
	secret_fini(&user);
	secret_fini(&password);
	return s;
}

static natsStatus set_login(natsOptions *opts, const struct nats_conf *conf,
			    const struct nats_url *url, char reason[NATS_REASON])
{
	char public_key[NATS_NKEY_SIZE];

	if (url->user.n)
		return login_of_url(opts, url);
	if (conf->token.value)
		return natsOptions_SetToken(opts, conf->token.value);
	if (conf->credentials && access(conf->credentials, R_OK) < 0) {
		(void)snprintf(reason, NATS_REASON, "credentials %s can't be read: %s",
			       conf->credentials, strerror(errno));
		return NATS_INVALID_ARG;
	}
	if (conf->credentials)
		return natsOptions_SetUserCredentialsFromFiles(opts, conf->credentials, NULL);
	if (!conf->nkey)
		return NATS_OK;
	if (nats_nkey_public(conf->nkey, public_key, reason, NATS_REASON) < 0)
		return NATS_INVALID_ARG;
	return natsOptions_SetNKeyFromSeed(opts, public_key, conf->nkey);
}

/* The name that the certificate must have: the library looks at none by itself. */
static natsStatus expect_host(natsOptions *opts, const struct nats_line *line)
{
	struct str host = str_from(line->host_port);
	char text[300];

	if (line->conf->tls.server_name)
		return natsOptions_SetExpectedHostname(opts, line->conf->tls.server_name);
	host = *host.p == '[' ? str_make(host.p + 1, str_find(host, ']') - 1)
			      : str_make(host.p, str_find(host, ':'));
	(void)snprintf(text, sizeof(text), "%.*s", STR_ARG(host));
	return natsOptions_SetExpectedHostname(opts, text);
}

static natsStatus set_tls(natsOptions *opts, const struct nats_line *line)
{
	const struct tls_client_conf *tls = &line->conf->tls;
	natsStatus s = natsOptions_SetSecure(opts, true);

	if (s == NATS_OK && tls->certificate)
		s = natsOptions_LoadCertificatesChain(opts, tls->certificate, tls->key);
	if (s == NATS_OK && !tls->verify)
		return natsOptions_SkipServerVerification(opts, true);
	if (s == NATS_OK && tls->ca)
		s = natsOptions_LoadCATrustedCertificates(opts, tls->ca);
	return s == NATS_OK ? expect_host(opts, line) : s;
}

static natsStatus set_ways(natsOptions *opts, struct nats_line *line)
{
	const struct nats_conf *conf = line->conf;
	natsStatus s = natsOptions_SetName(opts, line->client);

	if (s == NATS_OK)
		s = natsOptions_SetTimeout(opts, (int64_t)conf->connect_timeout_ms);
	if (s == NATS_OK)
		s = natsOptions_SetAllowReconnect(opts, false);
	if (s == NATS_OK)
		s = natsOptions_SetWriteDeadline(opts, NATS_WRITE_MS);
	if (s == NATS_OK)
		s = natsOptions_UseGlobalMessageDelivery(opts, true);
	if (s == NATS_OK)
		s = natsOptions_SetErrorHandler(opts, nats_on_library_error, line);
	if (s == NATS_OK)
		s = natsOptions_SetClosedCB(opts, nats_on_library_closed, line);
	/* Rounds are our pings: the library need not send its own. */
	if (s == NATS_OK)
		s = natsOptions_SetPingInterval(opts, INT64_C(3600000));
	return s;
}

static natsStatus set_options(natsOptions *opts, struct nats_line *line)
{
	struct nats_url url = { 0 };
	char text[320];
	natsStatus s;

	(void)nats_url_parse(str_from(line->conf->url), &url);
	(void)snprintf(text, sizeof(text), "nats://%s", line->host_port);
	s = natsOptions_SetURL(opts, text);
	if (s == NATS_OK)
		s = set_ways(opts, line);
	if (s == NATS_OK)
		s = set_login(opts, line->conf, &url, line->reason);
	if (s == NATS_OK && url.tls)
		s = set_tls(opts, line);
	return s;
}

/* ---- the connection */

static void greet(struct nats_line *line, natsConnection *nc)
{
	int64_t max = natsConnection_GetMaxPayload(nc);

	line->greeting = (struct nats_greeting){
		.max_payload = max > 0 ? (size_t)max : SIZE_MAX,
		.headers = natsConnection_HasHeaderSupport(nc) == NATS_OK,
	};
}

static void set_connection(struct nats_line *line, natsConnection *nc)
{
	nats_line_lock(line);
	line->nc = nc;
	line->lost = line->closed = false;
	line->answered = 0;
	nats_line_unlock(line);
}

int nats_line_dial(struct nats_line *line)
{
	natsOptions *opts = NULL;
	natsConnection *nc = NULL;
	natsStatus s;
	int rc;

	nats_line_hang_up(line);
	s = natsOptions_Create(&opts);
	if (s == NATS_OK)
		s = set_options(opts, line);
	if (s == NATS_OK) {
		nats_line_ref(line); /* nats_on_library_closed gives it back */
		s = natsConnection_Connect(&nc, opts);
		if (s != NATS_OK)
			nats_line_unref(line);
	}
	natsOptions_Destroy(opts);
	if (s != NATS_OK)
		return line->reason[0] ? -EINVAL : nats_line_error(line, s, line->reason);
	set_connection(line, nc);
	greet(line, nc);
	rc = nats_line_open_inbox(line, nc);
	if (rc == 0 && line->conf->jetstream.stream)
		rc = nats_line_open_stream(line, nc);
	if (rc < 0)
		nats_line_hang_up(line);
	return rc;
}

void nats_line_hang_up(struct nats_line *line)
{
	natsConnection *nc;

	nats_line_lock(line);
	nc = line->nc;
	line->nc = NULL; /* what the library still says of it means nothing */
	while (line->breaking)
		(void)pthread_cond_wait(&line->cond, &line->mutex);
	nats_line_unlock(line);
	nats_line_forget(line);
	natsConnection_Destroy(nc);
}
