/* SPDX-License-Identifier: MIT */
/* Certificates and keys of the listeners, engines and buses. */
#include "daemon_tls.h"

#include "base/clock.h"
#include "buses/amqp/amqp_conf.h"
#include "engines/asterisk/ari_conf.h"
#include "net/tls.h"

int daemon_tls_server(struct loop *loop, const struct tls_server_conf *conf, const char *key,
		      struct tls_context **ret, struct err *e)
{
	struct tls_server_options options = { conf->certificate, conf->key, conf->client_ca };
	int rc;

	*ret = NULL;
	if (!conf->certificate)
		return 0;
	rc = tls_server_create(loop, &options, NULL, ret, e);
	return rc < 0 ? err_prefix(e, rc, "%s", key) : 0;
}

/* Where a warning goes, and of what it speaks. */
struct place {
	const char *name, *key;
	FILE *out;
};

/* What was read is looked at and let go. */
static int look(struct tls_context *context, const char *name, const char *key, FILE *out,
		struct err *e)
{
	int rc = context ? tls_certificate_problem(context, (int64_t)(clock_wall_ms() / 1000), e)
			 : 0;

	(void)tls_context_destroy(context);
	if (rc < 0)
		return err_prefix(e, rc, "%s", key);
	if (rc)
		(void)fprintf(out, "%s: warning: %s: %s\n", name, key, e->text);
	return 0;
}

static int check_server(const struct tls_server_conf *conf, const char *name, const char *key,
			FILE *out, struct err *e)
{
	struct tls_context *context;
	int rc = daemon_tls_server(NULL, conf, key, &context, e);

	return rc < 0 ? rc : look(context, name, key, out, e);
}

/* rc: of making the context for what dials, conf: its keys. */
static int check_client(int rc, struct tls_context *context, const struct tls_client_conf *conf,
			struct place place, struct err *e)
{
	if (rc < 0)
		return err_prefix(e, rc, "%s", place.key);
	if (!conf->verify)
		(void)fprintf(place.out,
			      "%s: warning: %s: verify is off: anybody in between can read and "
			      "change everything\n",
			      place.name, place.key);
	return look(context, place.name, place.key, place.out, e);
}

static int check_engine(const struct ari_conf *conf, const char *name, FILE *out, struct err *e)
{
	struct tls_context *context = NULL;
	char key[128];
	int rc;

	if (!ari_conf_is_tls(conf))
		return 0;
	(void)snprintf(key, sizeof(key), "engine \"%s\": tls", conf->name);
	rc = ari_conf_tls(NULL, NULL, conf, &context, e);
	return check_client(rc, context, &conf->tls, (struct place){ name, key, out }, e);
}

static int check_bus(const struct amqp_conf *conf, const char *name, FILE *out, struct err *e)
{
	struct tls_context *context = NULL;
	char key[128];
	int rc;

	if (!amqp_conf_is_tls(conf))
		return 0;
	(void)snprintf(key, sizeof(key), "bus \"%s\": tls", conf->name);
	rc = amqp_conf_tls(NULL, NULL, conf, &context, e);
	return check_client(rc, context, &conf->tls, (struct place){ name, key, out }, e);
}

int daemon_tls_check(const struct voxbus_conf *conf, const char *name, FILE *out, struct err *e)
{
	int rc = check_server(&conf->http.tls, name, "http.tls", out, e);

	if (rc == 0)
		rc = check_server(&conf->admin.tls, name, "admin.tls", out, e);
	for (size_t i = 0; rc == 0 && i < conf->engines.count; i++)
		if (conf->engines.items[i].variant->table == &asterisk_conf)
			rc = check_engine(conf->engines.items[i].conf, name, out, e);
	for (size_t i = 0; rc == 0 && i < conf->buses.count; i++)
		if (conf->buses.items[i].variant->table == &amqp_conf)
			rc = check_bus(conf->buses.items[i].conf, name, out, e);
	return rc < 0 ? err_prefix(e, rc, "%s", name) : 0;
}
