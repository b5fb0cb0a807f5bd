/* SPDX-License-Identifier: MIT */
/*
 * Keys, cross checks and what is filled in from the machine.
 *
 * A key stands here only when something reads it: what is not built yet is an unknown key, so
 * that nobody believes that it acts. Adapters are seen through their tables alone: a key `name`
 * is the port's name, `account` must be one of the accounts, `applications` are what it serves.
 */
#include "config/voxbus_conf.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "config/valid.h"

const char voxbus_conf_defaults[] = "http:\n"
				    "  listen:\n"
				    "    - ${VOXBUS_HTTP:-127.0.0.1:8090}\n"
				    "engines:\n"
				    "  - type: asterisk\n"
				    "    name: asterisk\n"
				    "    url: ${VOXBUS_ARI_URL:-http://127.0.0.1:8088/ari}\n"
				    "    username: ${VOXBUS_ARI_USERNAME:-ari}\n"
				    "    password: ${VOXBUS_ARI_PASSWORD:-secret}\n"
				    "    applications:\n"
				    "      - ${VOXBUS_APPLICATION:-hello}\n"
				    "buses:\n"
				    "  - type: longpoll\n"
				    "    name: http\n"
				    "applications:\n"
				    "  - name: ${VOXBUS_APPLICATION:-hello}\n"
				    "    bus: http\n";

/* ---- tables ---- */

static const struct conf_word levels[] = {
	{ "debug", LOG_DEBUG },
	{ "info", LOG_INFO },
	{ "warn", LOG_WARN },
	{ "error", LOG_ERROR },
	{ 0 },
};
static const struct conf_word formats[] = { { "logfmt", LOG_LOGFMT }, { "json", LOG_JSON }, { 0 } };

static const struct conf_key log_keys[] = {
	{ "level", CONF_ENUM, offsetof(struct log_conf, level), .def = "info", .words = levels,
	  .doc = "The least important lines that are written: error means that somebody must act, "
		 "warn that something was lost, info that a state changed; debug is per message." },
	{ "format", CONF_ENUM, offsetof(struct log_conf, format), .def = "logfmt", .words = formats,
	  .doc = "How a line on standard error looks." },
	{ 0 },
};

static const struct conf_key http_keys[] = {
	{ "listen", CONF_STRINGS, offsetof(struct http_conf, listen), .def = "127.0.0.1:8090",
	  .max = 16, .valid = valid_listen, .must = VALID_LISTEN_MUST,
	  .doc = "Where workers and webhooks come in. An empty list: nowhere. Port 0 is drawn by "
		 "the system. With tls a bare address speaks TLS, and one written "
		 "http://127.0.0.1:8090 speaks plain HTTP in any case." },
	{ "tls", CONF_TABLE, offsetof(struct http_conf, tls), .table = &tls_server_table,
	  .doc = "The certificate to show; not given, there is no TLS." },
	{ "public_url", CONF_STRING, offsetof(struct http_conf, public_url),
	  .valid = valid_http_url, .must = VALID_HTTP_URL_MUST,
	  .doc = "The URL under which the world reaches this server's root, e.g. "
		 "https://vb.example.com. Signatures of webhooks are checked against it and the "
		 "path and query of the request; not given, against the request's own scheme and "
		 "Host." },
	{ "trusted_proxies", CONF_STRINGS, offsetof(struct http_conf, trusted_proxies),
	  .valid = valid_network, .must = VALID_NETWORK_MUST,
	  .doc = "Whose X-Forwarded-Proto and X-Forwarded-Host are believed where public_url is "
		 "not given; unix means whoever comes by a Unix socket." },
	{ "connections", CONF_U64, offsetof(struct http_conf, connections), .def = "20000",
	  .min = 1, .max = 1000000,
	  .doc = "Open at the same time; further ones get 503. Never more than the limit "
		 "of open files less 320 (half of it, where it is small): the daemon raises its "
		 "soft "
		 "limit to the hard one, and says at the start how many that allows." },
	{ "connections_per_address", CONF_U64, offsetof(struct http_conf, connections_per_address),
	  .def = "256", .min = 1, .max = 1000000,
	  .doc = "Of one peer's address; loopback is not counted. Further ones get 503." },
	{ 0 },
};

static const struct conf_key admin_keys[] = {
	{ "listen", CONF_STRING, offsetof(struct admin_conf, listen), .valid = valid_listen,
	  .must = VALID_LISTEN_MUST,
	  .doc = "Where the voxbus command, probes and metrics come in; not given, the Unix socket "
		 "admin.sock in data_dir. A TCP address needs token_file." },
	{ "token_file", CONF_STRING, offsetof(struct admin_conf, token_file), .valid = valid_path,
	  .must = VALID_PATH_MUST,
	  .doc = "A file whose first line is the token that callers on TCP must send." },
	{ "tls", CONF_TABLE, offsetof(struct admin_conf, tls), .table = &tls_server_table,
	  .doc = "The certificate to show on TCP, as that of http." },
	{ 0 },
};

static const struct conf_key account_keys[] = {
	{ "sid", CONF_STRING, offsetof(struct account_conf, sid), .required = true,
	  .valid = valid_sid, .must = VALID_SID_MUST,
	  .doc = "The account's id, the first part of the path of its queues; by custom AC and 32 "
		 "lower-case hexadecimal digits." },
	{ "token", CONF_SECRET, offsetof(struct account_conf, token), .required = true, .min = 1,
	  .max = 256, .doc = "Its password." },
	{ 0 },
};

static const struct conf_key journal_keys[] = {
	{ "segment", CONF_SIZE, offsetof(struct journal_conf, segment), .def = "64MiB",
	  .min = 1 << 20, .max = 1 << 30, .doc = "The size of one file." },
	{ "quota", CONF_SIZE, offsetof(struct journal_conf, quota), .def = "8GiB", .min = 4 << 20,
	  .max = 1ull << 50,
	  .doc = "All files together, at least four segments; when it is used up, what would be "
		 "recorded is refused." },
	{ "inflight", CONF_SIZE, offsetof(struct journal_conf, inflight), .def = "64MiB",
	  .min = 1 << 20, .max = 1 << 30,
	  .doc = "Bytes in memory that wait to be written; above it, senders are held back." },
	{ "retention", CONF_DURATION, offsetof(struct journal_conf, retention_ms), .def = "7d",
	  .min = 60000, .max = 86400000ull * 365,
	  .doc = "What nobody has read is dropped after this." },
	{ 0 },
};

static const struct conf_key dialogs_keys[] = {
	{ "linger", CONF_DURATION, offsetof(struct dialogs_conf, linger_ms), .def = "10s",
	  .max = 600000, .doc = "How long a dialog stays for late events after its last channel." },
	{ "max", CONF_U64, offsetof(struct dialogs_conf, max), .def = "100000", .min = 1,
	  .max = 10000000,
	  .doc = "Open at the same time; further calls get none and are counted." },
	{ 0 },
};

static const struct conf_key commands_keys[] = {
	{ "deadline", CONF_DURATION, offsetof(struct commands_conf, deadline_ms), .def = "30s",
	  .min = 1000, .max = 600000,
	  .doc = "A command without an answer from its engine is answered with 504 after this." },
	{ "max", CONF_U64, offsetof(struct commands_conf, max), .def = "1000", .min = 1,
	  .max = 100000, .doc = "Commands of one dialog that wait; further ones are refused." },
	{ 0 },
};

/* An entry that asks for TLS needs something to show. */
static int listen_check(const char *entry, const struct tls_server_conf *tls,
			const struct conf_where *where, struct err *e)
{
	if (!entry || tls->certificate || !str_starts(str_from(entry), STR("https://")))
		return 0;
	return conf_fail(where, "listen", e,
			 "listen has \"%s\" without tls, must have tls with certificate and key, "
			 "or begin with http://",
			 entry);
}

static int http_check(const void *arg, const struct conf_where *where, struct err *e)
{
	const struct http_conf *http = arg;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < http->listen.count; i++)
		rc = listen_check(http->listen.items[i], &http->tls, where, e);
	return rc;
}

static int admin_check(const void *conf, const struct conf_where *where, struct err *e)
{
	const struct admin_conf *admin = conf;

	if (!admin->listen || str_starts(str_from(admin->listen), STR("unix:")) ||
	    admin->token_file)
		return listen_check(admin->listen, &admin->tls, where, e);
	return conf_fail(where, "listen", e,
			 "listen is \"%s\" without token_file, must be unix:/path or have a "
			 "token_file",
			 admin->listen);
}

static int journal_check(const void *conf, const struct conf_where *where, struct err *e)
{
	const struct journal_conf *journal = conf;

	if (journal->quota / 4 >= journal->segment)
		return 0;
	return conf_fail(where, "quota", e,
			 "quota is under four segments, must be at least %lluMiB",
			 (unsigned long long)(journal->segment >> 18));
}

static const struct conf_table log_table = { "log", sizeof(struct log_conf), log_keys };
static const struct conf_table http_table = { "http", sizeof(struct http_conf), http_keys,
					      http_check };
static const struct conf_table admin_table = { "admin", sizeof(struct admin_conf), admin_keys,
					       admin_check };
static const struct conf_table account_table = { "account", sizeof(struct account_conf),
						 account_keys };
static const struct conf_table journal_table = { "journal", sizeof(struct journal_conf),
						 journal_keys, journal_check };
static const struct conf_table dialogs_table = { "dialogs", sizeof(struct dialogs_conf),
						 dialogs_keys };
static const struct conf_table commands_table = { "commands", sizeof(struct commands_conf),
						  commands_keys };

static const struct conf_key keys[] = {
	{ "node", CONF_STRING, offsetof(struct voxbus_conf, node), .valid = valid_name,
	  .must = VALID_NAME_MUST,
	  .doc = "This daemon's name, as it stands in what it sends; not given, the host name." },
	{ "data_dir", CONF_STRING, offsetof(struct voxbus_conf, data_dir), .valid = valid_path,
	  .must = VALID_PATH_MUST,
	  .doc = "Where the journal and the state lie; not given, $XDG_STATE_HOME/voxbus, which is "
		 "~/.local/state/voxbus where that variable is not set." },
	{ "log", CONF_TABLE, offsetof(struct voxbus_conf, log), .table = &log_table,
	  .doc = "What is logged." },
	{ "http", CONF_TABLE, offsetof(struct voxbus_conf, http), .table = &http_table,
	  .doc = "The HTTP server." },
	{ "admin", CONF_TABLE, offsetof(struct voxbus_conf, admin), .table = &admin_table,
	  .doc = "The listener of the operator." },
	{ "accounts", CONF_TABLES, offsetof(struct voxbus_conf, accounts), .max = 10000,
	  .table = &account_table, .unique = "sid",
	  .doc = "Who may use the queues; none given, one is made at the first start and "
		 "printed." },
	{ "engines", CONF_VARIANTS, offsetof(struct voxbus_conf, engines), .unique = "name",
	  .doc = "Where calls live. Each item's type chooses its keys." },
	{ "buses", CONF_VARIANTS, offsetof(struct voxbus_conf, buses), .unique = "name",
	  .doc = "Where applications listen. Each item's type chooses its keys." },
	{ "applications", CONF_TABLES, offsetof(struct voxbus_conf, applications), .max = 10000,
	  .table = &application_conf, .unique = "name",
	  .doc = "Which bus serves which application. With a single bus an application need not be "
		 "listed." },
	{ "journal", CONF_TABLE, offsetof(struct voxbus_conf, journal), .table = &journal_table,
	  .doc = "The log on disk." },
	{ "dialogs", CONF_TABLE, offsetof(struct voxbus_conf, dialogs), .table = &dialogs_table,
	  .doc = "One call's conversation with one application." },
	{ "commands", CONF_TABLE, offsetof(struct voxbus_conf, commands), .table = &commands_table,
	  .doc = "What applications ask of engines." },
	{ 0 },
};

static int voxbus_check(const void *conf, const struct conf_where *where, struct err *e);
static const struct conf_table voxbus_table = { "voxbus.yaml", sizeof(struct voxbus_conf), keys,
						voxbus_check };

/* ---- cross checks ---- */

static const char *port_string(const struct conf_variant_item *item, const char *name)
{
	return conf_string(item->variant->table, item->conf, name);
}

static bool has_bus(const struct voxbus_conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->buses.count; i++) {
		const char *bus = port_string(&conf->buses.items[i], "name");

		if (bus && !strcmp(bus, name))
			return true;
	}
	return false;
}

static bool has_account(const struct voxbus_conf *conf, const char *sid)
{
	const struct account_conf *accounts = conf->accounts.items;

	for (size_t i = 0; i < conf->accounts.count; i++) {
		if (!strcmp(accounts[i].sid, sid))
			return true;
	}
	return false;
}

const char *voxbus_conf_bus(const struct voxbus_conf *conf, struct str application)
{
	const struct application_conf *a = conf->applications.items;

	for (size_t i = 0; i < conf->applications.count; i++) {
		if (str_eq(str_from(a[i].name), application) && a[i].bus)
			return a[i].bus;
	}
	return conf->buses.count == 1 ? port_string(&conf->buses.items[0], "name") : NULL;
}

static int fail_bus(const struct voxbus_conf *conf, const struct conf_where *item,
		    const char *given, struct err *e)
{
	auto_buf struct buf names;

	buf_init(&names, 300);
	for (size_t i = 0; i < conf->buses.count; i++)
		(void)buf_addf(&names, "%s%s", i ? " or " : "",
			       port_string(&conf->buses.items[i], "name"));
	if (!conf->buses.count)
		return conf_fail(item, "bus", e, "there is no bus, must be one in buses");
	if (!given)
		return conf_fail(item, NULL, e, "bus is missing, must be %.*s",
				 STR_ARG(buf_str(&names)));
	return conf_fail(item, "bus", e, "bus is \"%s\", must be %.*s", given,
			 STR_ARG(buf_str(&names)));
}

static int applications_check(const struct voxbus_conf *conf, const struct conf_where *where,
			      struct err *e)
{
	const struct application_conf *a = conf->applications.items;

	for (size_t i = 0; i < conf->applications.count; i++) {
		struct conf_where item;

		if (a[i].bus ? has_bus(conf, a[i].bus) : conf->buses.count == 1)
			continue;
		conf_where_item(where, "applications", i, &item);
		return fail_bus(conf, &item, a[i].bus, e);
	}
	return 0;
}

static struct conf_strings *engine_applications(const struct conf_variant_item *engine)
{
	return conf_list(engine->variant->table, engine->conf, "applications");
}

/* Each application that an engine serves needs a bus, or its calls would go nowhere. */
static int engine_check(const struct voxbus_conf *conf, const struct conf_variant_item *engine,
			const struct conf_where *item, struct err *e)
{
	const struct conf_strings *names = engine_applications(engine);

	if (names && !names->count && !conf->applications.count)
		return conf_fail(item, "applications", e,
				 "applications is empty and so are the file's applications, must "
				 "name one here or there");
	for (size_t i = 0; names && i < names->count; i++) {
		if (voxbus_conf_bus(conf, str_from(names->items[i])))
			continue;
		return conf_fail(item, "applications", e,
				 "applications[%zu] is \"%s\", which has no bus, must %s", i,
				 names->items[i],
				 conf->buses.count ? "be listed in the file's applications"
						   : "have one in buses");
	}
	return 0;
}

static bool has_key(const struct conf_table *table, const char *name)
{
	const struct conf_key *k = table->keys;

	while (k->name && strcmp(k->name, name) != 0)
		k++;
	return k->name != NULL;
}

static int bus_check(const struct voxbus_conf *conf, const struct conf_variant_item *bus,
		     const struct conf_where *item, struct err *e)
{
	const char *sid = port_string(bus, "account");

	if (sid && !has_account(conf, sid))
		return conf_fail(item, "account", e,
				 "account is \"%s\", must be the sid of one of accounts", sid);
	if (!sid && has_key(bus->variant->table, "account") && conf->accounts.count > 1)
		return conf_fail(item, NULL, e,
				 "account is missing, must be the sid of one of the %zu accounts",
				 conf->accounts.count);
	return 0;
}

static int voxbus_check(const void *arg, const struct conf_where *where, struct err *e)
{
	const struct voxbus_conf *conf = arg;
	struct conf_where item;
	int rc = applications_check(conf, where, e);

	for (size_t i = 0; i < conf->engines.count && rc == 0; i++) {
		conf_where_item(where, "engines", i, &item);
		rc = engine_check(conf, &conf->engines.items[i], &item, e);
	}
	for (size_t i = 0; i < conf->buses.count && rc == 0; i++) {
		conf_where_item(where, "buses", i, &item);
		rc = bus_check(conf, &conf->buses.items[i], &item, e);
	}
	return rc;
}

/* ---- what depends on the machine ---- */

/* Sets an unset string to the joined parts. */
static int string_join(char **ret, const char *a, const char *b, const char *c)
{
	auto_buf struct buf text;
	int rc;

	buf_init(&text, CONF_STRING_MAX);
	if (*ret)
		return 0;
	rc = buf_addf(&text, "%s%s%s", a, b, c);
	if (rc < 0)
		return rc;
	*ret = str_dup(buf_str(&text));
	return *ret ? 0 : -ENOMEM;
}

static int node_resolve(struct voxbus_conf *conf, struct err *e)
{
	char host[256] = "";

	if (conf->node)
		return 0;
	if (gethostname(host, sizeof(host) - 1) < 0 || !valid_name(str_from(host)))
		return err_set(
			e, -EINVAL,
			"node is missing and the host name is \"%s\", must be " VALID_NAME_MUST,
			host);
	return string_join(&conf->node, host, "", "");
}

static int data_dir_resolve(struct voxbus_conf *conf, struct err *e)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	/* The XDG base directory rules: a relative path counts as not set. */
	if (conf->data_dir)
		return 0;
	if (state && *state == '/')
		return string_join(&conf->data_dir, state, "/voxbus", "");
	if (home && *home == '/')
		return string_join(&conf->data_dir, home, "/.local/state", "/voxbus");
	return err_set(e, -EINVAL,
		       "data_dir is missing, must be a directory (neither XDG_STATE_HOME nor HOME "
		       "is set)");
}

static int admin_resolve(struct voxbus_conf *conf, struct err *e)
{
	enum { PATH_MAX_UNIX = 107 };

	if (!conf->admin.listen && strlen(conf->data_dir) + strlen("/admin.sock") > PATH_MAX_UNIX)
		return err_set(e, -EINVAL,
			       "data_dir is too long for the socket admin.sock in it, must be at "
			       "most 96 bytes, or admin.listen must be given");
	return string_join(&conf->admin.listen, "unix:", conf->data_dir, "/admin.sock");
}

static int applications_resolve(struct voxbus_conf *conf)
{
	struct application_conf *a = conf->applications.items;
	int rc = 0;

	for (size_t i = 0; i < conf->applications.count && rc == 0; i++) {
		const char *bus = voxbus_conf_bus(conf, str_from(a[i].name));

		rc = string_join(&a[i].bus, bus ? bus : "", "", "");
	}
	return rc;
}

/* An engine that names no application serves all that the file has. */
static int engine_resolve(struct voxbus_conf *conf, const struct conf_variant_item *engine)
{
	const struct application_conf *a = conf->applications.items;
	struct conf_strings *names = engine_applications(engine);

	if (!names || names->count)
		return 0;
	names->items = calloc(conf->applications.count, sizeof(*names->items));
	if (!names->items)
		return -ENOMEM;
	for (size_t i = 0; i < conf->applications.count; i++) {
		names->items[i] = strdup(a[i].name);
		if (!names->items[i])
			return -ENOMEM;
		names->count++;
	}
	return 0;
}

static int resolve(struct voxbus_conf *conf, const char *filename, struct err *e)
{
	struct err why = { "out of memory, or a path is too long" };
	int rc = node_resolve(conf, &why);

	if (rc == 0)
		rc = data_dir_resolve(conf, &why);
	if (rc == 0)
		rc = admin_resolve(conf, &why);
	if (rc == 0)
		rc = applications_resolve(conf);
	for (size_t i = 0; rc == 0 && i < conf->engines.count; i++)
		rc = engine_resolve(conf, &conf->engines.items[i]);
	return rc < 0 ? err_set(e, rc, "%s: %s", filename, why.text) : 0;
}

/* ---- from outside ---- */

bool voxbus_conf_listen(const char *entry, const struct tls_server_conf *tls,
			struct str *ret_address)
{
	struct str s = str_from(entry);

	if (str_starts(s, STR("http://")) || str_starts(s, STR("https://"))) {
		*ret_address = str_skip(s, str_find(s, '/') + 2);
		return s.p[4] == 's';
	}
	*ret_address = s;
	return tls->certificate && !str_starts(s, STR("unix:"));
}

static int finish(int rc, void *parsed, const char *filename, struct voxbus_conf **ret,
		  struct err *e)
{
	struct voxbus_conf *conf = parsed;

	if (rc == 0)
		rc = resolve(conf, filename, e);
	if (rc == 0)
		*ret = conf;
	else
		(void)voxbus_conf_destroy(conf);
	return rc;
}

int voxbus_conf_parse(const struct conf_variant *variants, struct str text, const char *filename,
		      struct voxbus_conf **ret, struct err *e)
{
	void *conf = NULL;
	int rc = conf_parse(&voxbus_table, variants, text, filename, &conf, e);

	return finish(rc, conf, filename, ret, e);
}

int voxbus_conf_load(const struct conf_variant *variants, const char *filename,
		     struct voxbus_conf **ret, struct err *e)
{
	void *conf = NULL;
	int rc;

	if (!filename)
		return voxbus_conf_parse(variants, str_from(voxbus_conf_defaults),
					 "embedded defaults", ret, e);
	rc = conf_load(&voxbus_table, variants, filename, &conf, e);
	return finish(rc, conf, filename, ret, e);
}

struct voxbus_conf *voxbus_conf_destroy(struct voxbus_conf *conf)
{
	return conf_destroy(&voxbus_table, conf);
}

int voxbus_conf_print(const struct voxbus_conf *conf, FILE *out)
{
	return conf_print(&voxbus_table, conf, out);
}

int voxbus_conf_doc(const struct conf_variant *variants, FILE *out)
{
	return conf_doc(&voxbus_table, variants, out);
}
