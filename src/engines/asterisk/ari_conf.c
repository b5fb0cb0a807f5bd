/* SPDX-License-Identifier: MIT */
/*
 * The schema of one Asterisk.
 *
 * The three times of the websocket belong together: each ping asks for a sign of life, a link
 * without one for `stale` makes the daemon not ready, and after `dead` it is closed and dialled
 * again.
 */
#include "engines/asterisk/ari_conf.h"

#include "config/valid.h"

static const struct conf_word websockets[] = {
	{ "client", ARI_WEBSOCKET_CLIENT },
	{ "server", ARI_WEBSOCKET_SERVER },
	{ 0 },
};
static const struct conf_word rest_ways[] = {
	{ "http", ARI_REST_HTTP },
	{ "websocket", ARI_REST_WEBSOCKET },
	{ 0 },
};
static const struct conf_word policies[] = {
	{ "stand_down", ARI_STAND_DOWN },
	{ "reclaim", ARI_RECLAIM },
	{ 0 },
};

#define PASSWORD_MUST "a text of 1 to 256 bytes"
#define USERNAME_MUST "a text of 1 to 256 bytes without a colon"

/* A user name goes into Basic authentication, where a colon would end it (RFC 7617 section 2). */
static bool valid_username(struct str s)
{
	return s.n >= 1 && s.n <= 256 && str_find(s, ':') == s.n;
}

static const struct conf_key keys[] = {
	{ "name", CONF_STRING, offsetof(struct ari_conf, name), .required = true,
	  .valid = valid_name, .must = VALID_NAME_MUST,
	  .doc = "The engine's name, as it stands in logs and metrics." },
	{ "url", CONF_STRING, offsetof(struct ari_conf, url), .def = "http://127.0.0.1:8088/ari",
	  .valid = valid_http_url, .must = VALID_HTTP_URL_MUST,
	  .doc = "Where ARI is: the address of http.conf and the path /ari. With https the "
		 "websocket "
		 "goes through TLS, too." },
	{ "tls", CONF_TABLE, offsetof(struct ari_conf, tls), .table = &tls_client_table,
	  .doc = "With an https url: whom to believe." },
	{ "username", CONF_STRING, offsetof(struct ari_conf, username), .valid = valid_username,
	  .must = USERNAME_MUST,
	  .doc = "A user of ari.conf; it needs the right to write. Required, except with "
		 "websocket: "
		 "server and rest: websocket, for then nothing dials the url." },
	{ "password", CONF_SECRET, offsetof(struct ari_conf, password), .min = 1, .max = 256,
	  .doc = "That user's password; required where username is." },
	{ "applications", CONF_STRINGS, offsetof(struct ari_conf, applications),
	  .valid = valid_name, .must = VALID_NAME_MUST,
	  .doc = "The Stasis applications to serve; an empty list: all of them." },
	{ "websocket", CONF_ENUM, offsetof(struct ari_conf, websocket), .def = "client",
	  .words = websockets,
	  .doc = "Who dials: client means that this daemon dials Asterisk; server that Asterisk "
		 "(20.15, 21.10, 22.5 or later) dials ws://<http.listen>/ari/<name>, and keeps "
		 "events for as long as this daemon is away." },
	{ "server_username", CONF_STRING, offsetof(struct ari_conf, server_username),
	  .valid = valid_username, .must = USERNAME_MUST,
	  .doc = "With websocket: server: the username that Asterisk's websocket_client.conf "
		 "gives." },
	{ "server_password", CONF_SECRET, offsetof(struct ari_conf, server_password), .min = 1,
	  .max = 256,
	  .doc = "The password there. After 20 wrong ones in a minute an address waits for the "
		 "minute's end." },
	{ "rest", CONF_ENUM, offsetof(struct ari_conf, rest), .def = "http", .words = rest_ways,
	  .doc = "Which way commands go: http, to the url, several at a time; or websocket (20.14, "
		 "21.9, 22.4 or later), where Asterisk carries them out one by one and takes at "
		 "most 64 KiB each: for an Asterisk whose HTTP can't be reached from here." },
	{ "connections", CONF_U64, offsetof(struct ari_conf, connections), .def = "8", .min = 1,
	  .max = 8, .doc = "Connections for REST requests at the same time." },
	{ "ping", CONF_DURATION, offsetof(struct ari_conf, ping_ms), .def = "1s", .min = 100,
	  .max = 60000, .doc = "How often the websocket is pinged." },
	{ "stale", CONF_DURATION, offsetof(struct ari_conf, stale_ms), .def = "2500ms", .min = 200,
	  .max = 120000,
	  .doc = "Silence for so long makes the link stale, and /readyz false; longer than ping." },
	{ "dead", CONF_DURATION, offsetof(struct ari_conf, dead_ms), .def = "10s", .min = 300,
	  .max = 300000,
	  .doc = "Silence for so long closes the link, and it is dialled again; longer than "
		 "stale." },
	{ "timeout", CONF_DURATION, offsetof(struct ari_conf, timeout_ms), .def = "10s", .min = 100,
	  .max = 300000, .doc = "For one REST request." },
	{ "on_replaced", CONF_ENUM, offsetof(struct ari_conf, on_replaced), .def = "stand_down",
	  .words = policies,
	  .doc = "When somebody else takes an application over: stand_down leaves it to them until "
		 "an operator acts, reclaim takes it back once, after 30 to 40 s, and stands down "
		 "if "
		 "it is taken again within 5 minutes." },
	{ 0 },
};

static int missing(const struct conf_where *where, const char *key, const char *must,
		   const char *why, struct err *e)
{
	return conf_fail(where, NULL, e, "%s is missing, must be %s%s", key, must, why);
}

/* Who logs in where depends on who dials. */
static int check_credentials(const struct ari_conf *conf, const struct conf_where *where,
			     struct err *e)
{
	const char *why = " (with websocket: server)";
	bool server = conf->websocket == ARI_WEBSOCKET_SERVER;
	bool dials = !server || conf->rest == ARI_REST_HTTP;

	if (dials && !conf->username)
		return missing(where, "username", USERNAME_MUST, "", e);
	if (dials && !conf->password.value)
		return missing(where, "password", PASSWORD_MUST, "", e);
	if (server && !conf->server_username)
		return missing(where, "server_username", USERNAME_MUST, why, e);
	if (server && !conf->server_password.value)
		return missing(where, "server_password", PASSWORD_MUST, why, e);
	if (!server && (conf->server_username || conf->server_password.value))
		return conf_fail(where,
				 conf->server_username ? "server_username" : "server_password", e,
				 "%s is set, must be left out unless websocket is server",
				 conf->server_username ? "server_username" : "server_password");
	return 0;
}

static int ari_check(const void *arg, const struct conf_where *where, struct err *e)
{
	const struct ari_conf *conf = arg;
	int rc = check_credentials(conf, where, e);

	if (rc < 0)
		return rc;
	if (tls_client_conf_is_set(&conf->tls) && !ari_conf_is_tls(conf))
		return conf_fail(where, "tls", e,
				 "tls is set and url is \"%s\", must be an https:// url",
				 conf->url);
	if (conf->stale_ms <= conf->ping_ms)
		return conf_fail(where, "stale", e, "stale is not over ping, must be longer");
	if (conf->dead_ms <= conf->stale_ms)
		return conf_fail(where, "dead", e, "dead is not over stale, must be longer");
	for (size_t i = 1; i < conf->applications.count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(conf->applications.items[i], conf->applications.items[j]))
				return conf_fail(where, "applications", e,
						 "applications[%zu] is \"%s\", must be listed once",
						 i, conf->applications.items[i]);
		}
	}
	return 0;
}

const struct conf_table asterisk_conf = { "asterisk", sizeof(struct ari_conf), keys, ari_check };
