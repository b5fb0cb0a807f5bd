/* SPDX-License-Identifier: MIT */
/*
 * The schema of one NATS server, or of several that stand in for each other.
 *
 * The url may hold a password (which --print masks); servers to fall back on use the same one, so
 * their URLs hold none and may stand in the log.
 */
#include "buses/nats/nats_conf.h"

#include <errno.h>
#include <stdio.h>

#include "config/valid.h"

#define URL_MUST      "nats://[user:password@]host[:port] or tls://..., also with token@"
#define FAILOVER_MUST "nats://host[:port] or tls://..., without a user"

bool nats_url_has_port(struct str host_port)
{
	bool ipv6 = str_starts(host_port, STR("["));

	return ipv6 ? !str_ends(host_port, STR("]")) : str_find(host_port, ':') < host_port.n;
}

/* Without a port it is judged as with the usual one. */
static bool valid_host_port(struct str s)
{
	char text[300];
	int n = snprintf(text, sizeof(text), "%.*s%s", STR_ARG(s),
			 nats_url_has_port(s) ? "" : ":4222");

	return n < (int)sizeof(text) && !str_starts(s, STR("unix:")) &&
	       valid_address(str_make(text, (size_t)n));
}

int nats_url_parse(struct str url, struct nats_url *ret)
{
	struct nats_url u = { .tls = str_starts(url, STR("tls://")) };
	struct str rest = str_skip(url, u.tls ? 6 : 7);
	size_t at;

	if (!u.tls && !str_starts(url, STR("nats://")))
		return -EINVAL;
	if (str_ends(rest, STR("/")))
		rest.n--;
	at = str_find(rest, '@');
	u.host_port = rest;
	if (at < rest.n) {
		size_t colon = str_find(str_make(rest.p, at), ':');

		u.user = str_make(rest.p, colon);
		u.has_password = colon < at;
		u.password = str_skip(str_make(rest.p, at), colon + 1);
		u.host_port = str_skip(rest, at + 1);
		if (!u.user.n)
			return -EINVAL;
	}
	if (!valid_host_port(u.host_port))
		return -EINVAL;
	*ret = u;
	return 0;
}

static bool valid_url(struct str s)
{
	struct nats_url url;

	return nats_url_parse(s, &url) == 0;
}

static bool valid_failover(struct str s)
{
	struct nats_url url;

	return nats_url_parse(s, &url) == 0 && !url.user.n;
}

/* What a stream's or a consumer's name may not hold would end its part of an API subject. */
static bool valid_token(struct str s)
{
	return valid_name(s) && str_find(s, '.') == s.n;
}

#define TOKEN_MUST "1 to 64 of A-Z a-z 0-9 _ -"

static const struct conf_word storages[] = {
	{ "file", NATS_STORAGE_FILE },
	{ "memory", NATS_STORAGE_MEMORY },
	{ 0 },
};

static const struct conf_key stream_keys[] = {
	{ "stream", CONF_STRING, offsetof(struct nats_stream_conf, stream), .valid = valid_token,
	  .must = TOKEN_MUST,
	  .doc = "The stream to publish into and to take commands from: with it, delivery is at "
		 "least once. Made if the server has none of that name. Not given: core NATS." },
	{ "prefix", CONF_STRING, offsetof(struct nats_stream_conf, prefix), .def = "voxbus",
	  .valid = valid_token, .must = TOKEN_MUST,
	  .doc = "With a stream the subjects are PREFIX.apps.<application>, "
		 "PREFIX.events.<dialog>, "
		 "PREFIX.commands.<dialog> and PREFIX.responses.<dialog>, as a stream can't have "
		 "events_*." },
	{ "storage", CONF_ENUM, offsetof(struct nats_stream_conf, storage), .def = "file",
	  .words = storages, .doc = "Where a stream that we make is kept." },
	{ "max_age", CONF_DURATION, offsetof(struct nats_stream_conf, max_age_ms), .def = "1d",
	  .min = 60000, .max = UINT64_C(31536000000),
	  .doc = "How long it keeps a message, in a stream that we make." },
	{ "max_bytes", CONF_SIZE, offsetof(struct nats_stream_conf, max_bytes), .def = "1GiB",
	  .min = 1 << 20, .max = UINT64_C(1) << 50,
	  .doc = "How large it gets before the oldest are dropped, in a stream that we make." },
	{ "replicas", CONF_U64, offsetof(struct nats_stream_conf, replicas), .def = "1", .min = 1,
	  .max = 5, .doc = "On how many servers of a cluster it is, in a stream that we make." },
	{ 0 },
};

static const struct conf_table stream_table = { "jetstream", sizeof(struct nats_stream_conf),
						stream_keys };

static const struct conf_key keys[] = {
	{ "name", CONF_STRING, offsetof(struct nats_conf, name), .required = true,
	  .valid = valid_name, .must = VALID_NAME_MUST,
	  .doc = "The bus's name, as it stands in logs and metrics." },
	{ "url", CONF_STRING, offsetof(struct nats_conf, url), .def = "nats://127.0.0.1:4222",
	  .valid = valid_url, .must = URL_MUST,
	  .doc = "Where the server is. Without a port it is 4222. In user, password and token "
		 "percent-encoding counts." },
	{ "failover", CONF_STRINGS, offsetof(struct nats_conf, failover), .max = 16,
	  .valid = valid_failover, .must = FAILOVER_MUST,
	  .doc = "Servers that are tried in turn when the url's does not answer, with the same "
		 "user, password, token, files and TLS." },
	{ "queue", CONF_STRING, offsetof(struct nats_conf, queue), .valid = valid_name,
	  .must = VALID_NAME_MUST,
	  .doc = "The queue group in which commands are subscribed to. Not given, they are "
		 "subscribed to plainly: right unless something else hears the same subjects." },
	{ "token", CONF_SECRET, offsetof(struct nats_conf, token), .min = 1, .max = 1024,
	  .doc = "The server's token, where it is not in the url." },
	{ "credentials", CONF_STRING, offsetof(struct nats_conf, credentials), .valid = valid_path,
	  .must = VALID_PATH_MUST, .doc = "A credentials file (.creds): the user's JWT and seed." },
	{ "nkey", CONF_STRING, offsetof(struct nats_conf, nkey), .valid = valid_path,
	  .must = VALID_PATH_MUST, .doc = "A file with the seed of the user's nkey (SU...)." },
	{ "tls", CONF_TABLE, offsetof(struct nats_conf, tls), .table = &tls_client_table,
	  .doc = "With a tls:// url: whom to believe." },
	{ "connect_timeout", CONF_DURATION, offsetof(struct nats_conf, connect_timeout_ms),
	  .def = "2s", .min = 100, .max = 30000,
	  .doc = "For one attempt to connect, log-in included." },
	{ "ping", CONF_DURATION, offsetof(struct nats_conf, ping_ms), .def = "1s", .min = 100,
	  .max = 60000, .doc = "How often a silent server is asked whether it lives." },
	{ "stale", CONF_DURATION, offsetof(struct nats_conf, stale_ms), .def = "2500ms", .min = 200,
	  .max = 120000,
	  .doc = "No answer for so long makes the link stale, and /readyz false; longer than "
		 "ping." },
	{ "dead", CONF_DURATION, offsetof(struct nats_conf, dead_ms), .def = "15s", .min = 300,
	  .max = 300000,
	  .doc = "No answer for so long ends the link, what was not confirmed is kept and sent "
		 "again by the next one; longer than stale." },
	{ "hold", CONF_DURATION, offsetof(struct nats_conf, hold_ms), .def = "60s", .max = 3600000,
	  .doc = "How long after a call's end its events and responses wait for somebody to "
		 "subscribe; then they are dropped, and counted as lost. While the call lives they "
		 "wait." },
	{ "jetstream", CONF_TABLE, offsetof(struct nats_conf, jetstream), .table = &stream_table,
	  .doc = "Delivery at least once, by a stream of JetStream." },
	{ 0 },
};

static int check_url(const struct nats_conf *conf, const struct conf_where *where,
		     struct nats_url *url, struct err *e)
{
	(void)nats_url_parse(str_from(conf->url), url); /* it was valid */
	if (tls_client_conf_is_set(&conf->tls) && !url->tls)
		return conf_fail(where, "tls", e,
				 "tls is set and url is nats://, must be a tls:// url");
	for (size_t i = 0; i < conf->failover.count; i++) {
		struct nats_url other = { 0 };

		if (nats_url_parse(str_from(conf->failover.items[i]), &other) == 0 &&
		    other.tls != url->tls)
			return conf_fail(where, "failover", e,
					 "failover[%zu] is \"%s\", must be %s:// as the url is", i,
					 conf->failover.items[i], url->tls ? "tls" : "nats");
	}
	return 0;
}

static int check_login(const struct nats_conf *conf, const struct nats_url *url,
		       const struct conf_where *where, struct err *e)
{
	int ways = (url->user.n > 0) + (conf->token.value != NULL) + (conf->credentials != NULL) +
		   (conf->nkey != NULL);

	if (ways <= 1)
		return 0;
	return conf_fail(where, NULL, e,
			 "there are %d ways to log in, must be one of: user or token in url, "
			 "token, credentials, nkey",
			 ways);
}

static int nats_check(const void *arg, const struct conf_where *where, struct err *e)
{
	const struct nats_conf *conf = arg;
	struct nats_url url = { 0 };
	int rc = check_url(conf, where, &url, e);

	if (rc == 0)
		rc = check_login(conf, &url, where, e);
	if (rc < 0)
		return rc;
	if (conf->jetstream.stream && conf->queue)
		return conf_fail(
			where, "queue", e,
			"queue is set, must be left out with jetstream.stream: each daemon "
			"has a consumer of its own");
	if (conf->stale_ms <= conf->ping_ms)
		return conf_fail(where, "stale", e, "stale is not over ping, must be longer");
	if (conf->dead_ms <= conf->stale_ms)
		return conf_fail(where, "dead", e, "dead is not over stale, must be longer");
	return 0;
}

const struct conf_table nats_conf = { "nats", sizeof(struct nats_conf), keys, nats_check };
