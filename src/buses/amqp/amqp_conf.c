/* SPDX-License-Identifier: MIT */
/*
 * The schema of one broker.
 *
 * A url is checked by who dials it (codec/amqp_uri.h), so that the sentence is as good as can be and
 * never holds a part of a password.
 */
#include "buses/amqp/amqp_conf.h"

#include "codec/amqp_uri.h"
#include "config/valid.h"
#include "net/tls.h"

enum { FAILOVER_MAX = 16 };

static const struct conf_key keys[] = {
	{ "name", CONF_STRING, offsetof(struct amqp_conf, name), .required = true,
	  .valid = valid_name, .must = VALID_NAME_MUST,
	  .doc = "The bus's name, by which applications choose it." },
	{ "url", CONF_STRING, offsetof(struct amqp_conf, url), .required = true,
	  .doc = "Where the broker is and who we are there: "
		 "amqp[s]://user:password@host:port/vhost, "
		 "each part percent-encoded. Not given in it: guest, guest, localhost, 5672 (5671 "
		 "for "
		 "amqps) and the virtual host /. Behind a ? it takes heartbeat (seconds), "
		 "connection_timeout (milliseconds), both stronger than the keys, and "
		 "auth_mechanism=external, with which the client certificate says who we are." },
	{ "failover", CONF_STRINGS, offsetof(struct amqp_conf, failover), .max = FAILOVER_MAX,
	  .doc = "Further urls, tried in turn when the one before does not answer: other nodes of "
		 "the "
		 "cluster." },
	{ "tls", CONF_TABLE, offsetof(struct amqp_conf, tls), .table = &tls_client_table,
	  .doc = "With an amqps url: whom to believe, and our own certificate." },
	{ "heartbeat", CONF_DURATION, offsetof(struct amqp_conf, heartbeat_ms), .def = "10s",
	  .min = 1000, .max = 600000,
	  .doc = "How often each side lets the other hear of it, at least; the broker may ask for "
		 "less. "
		 "After one such time of silence the link is stale, after two it is lost." },
	{ "connect_timeout", CONF_DURATION, offsetof(struct amqp_conf, connect_timeout_ms),
	  .def = "5s", .min = 100, .max = 600000,
	  .doc = "For a connection, from the dial until its channels are open." },
	{ "prefetch", CONF_U64, offsetof(struct amqp_conf, prefetch), .def = "100", .min = 1,
	  .max = 10000,
	  .doc = "How many commands of one call the broker gives us ahead of our "
		 "acknowledgements." },
	{ "persistent", CONF_BOOL, offsetof(struct amqp_conf, persistent), .def = "off",
	  .doc = "Whether events and replies survive a restart of the broker (delivery mode 2), at "
		 "the "
		 "price of its disk. What it has not confirmed comes again in any case." },
	{ "queue_grace", CONF_DURATION, offsetof(struct amqp_conf, queue_grace_ms), .def = "10s",
	  .max = 3600000,
	  .doc = "How long after the end of a call its queues are looked at: those that are empty "
		 "and "
		 "have no consumer are deleted; the others are looked at again in that interval." },
	{ "queue_sweep", CONF_DURATION, offsetof(struct amqp_conf, queue_sweep_ms), .def = "60s",
	  .min = 1000, .max = 86400000,
	  .doc = "How long after the end of a call they are looked for once more, since a slow "
		 "client "
		 "may have declared one again; what is still there is looked at in that interval "
		 "from then on. Not under queue_grace." },
	{ "queue_age_max", CONF_DURATION, offsetof(struct amqp_conf, queue_age_max_ms), .def = "1h",
	  .min = 1000, .max = 604800000,
	  .doc = "How long after the end of a call its queues are deleted with whatever is in "
		 "them. Not "
		 "under queue_sweep." },
	{ 0 },
};

static int check_url(const char *url, const char *key, const struct conf_where *where,
		     bool *ret_tls, struct err *e)
{
	struct amqp_uri uri;
	struct err why = { "" };
	int rc = amqp_uri_parse(str_from(url), &uri, &why);

	if (rc < 0)
		return conf_fail(where, key, e, "%s is no URL of a broker: %s", key, why.text);
	*ret_tls |= uri.tls;
	amqp_uri_fini(&uri);
	return 0;
}

static int check_times(const struct amqp_conf *conf, const struct conf_where *where, struct err *e)
{
	if (conf->queue_sweep_ms < conf->queue_grace_ms)
		return conf_fail(where, "queue_sweep", e,
				 "queue_sweep is under queue_grace, must be at least as long");
	if (conf->queue_age_max_ms < conf->queue_sweep_ms)
		return conf_fail(where, "queue_age_max", e,
				 "queue_age_max is under queue_sweep, must be at least as long");
	return 0;
}

static int amqp_check(const void *arg, const struct conf_where *where, struct err *e)
{
	const struct amqp_conf *conf = arg;
	bool tls = false;
	int rc = check_url(conf->url, "url", where, &tls, e);

	for (size_t i = 0; rc == 0 && i < conf->failover.count; i++)
		rc = check_url(conf->failover.items[i], "failover", where, &tls, e);
	if (rc < 0)
		return rc;
	if (tls_client_conf_is_set(&conf->tls) && !tls)
		return conf_fail(where, "tls", e,
				 "tls is set and no url is an amqps:// one, must be one");
	return check_times(conf, where, e);
}

const struct conf_table amqp_conf = { "amqp", sizeof(struct amqp_conf), keys, amqp_check };

static bool is_tls(const char *url)
{
	struct str s = str_from(url);

	return str_eq_nocase(str_make(s.p, str_find(s, ':')), STR("amqps"));
}

bool amqp_conf_is_tls(const struct amqp_conf *conf)
{
	bool tls = is_tls(conf->url);

	for (size_t i = 0; i < conf->failover.count; i++)
		tls |= is_tls(conf->failover.items[i]);
	return tls;
}

int amqp_conf_tls(struct loop *loop, const struct log *log, const struct amqp_conf *conf,
		  struct tls_context **ret, struct err *e)
{
	struct tls_client_options options = {
		.ca = conf->tls.ca,
		.certificate = conf->tls.certificate,
		.key = conf->tls.key,
		.server_name = conf->tls.server_name,
		.verify_off = !conf->tls.verify,
	};

	return tls_client_create(loop, &options, log, ret, e);
}
