/* SPDX-License-Identifier: MIT */
/*
 * Putting the parts together.
 *
 * Made in this order and destroyed in the reverse one: loop, streams, journal, accounts, HTTP
 * servers, hub with its ports and applications, admin. Stopping: the hub's ports first (engines,
 * then buses, which answer who waits), then the HTTP servers, then the loop.
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "account_file.h"
#include "api/admin.h"
#include "base/clock.h"
#include "base/log.h"
#include "buses/amqp/amqp.h"
#include "buses/amqp/amqp_conf.h"
#include "buses/longpoll/longpoll.h"
#include "buses/longpoll/longpoll_conf.h"
#include "buses/nats/nats.h"
#include "buses/nats/nats_conf.h"
#include "core/account.h"
#include "core/hub.h"
#include "core/lease.h"
#include "daemon_tls.h"
#include "engines/asterisk/ari.h"
#include "engines/asterisk/ari_conf.h"
#include "journal/journal.h"
#include "net/http_server.h"
#include "net/http_url.h"
#include "net/tls.h"

enum {
	STOP_MS = 3000,
	PATH_MAX_BYTES = 4096,
	TOKEN_MAX = 4096,
	RESERVED_FILES = 320, /* descriptors that are not for HTTP clients */
	ADMIN_CONNS = 64,     /* of them */
};

struct daemon {
	struct voxbus_conf *conf;
	const char *file;
	bool ari_proxy; /* file is go-ari-proxy's */
	struct loop *loop;
	struct streams *streams;
	struct journal *journal;
	struct leases *leases; /* NULL: no room for the file */
	struct accounts *accounts;
	struct tls_context *tls, *admin_tls; /* NULL: no certificate */
	struct http_origin origin;
	struct http_server *http, *admin_http;
	struct hub *hub;
	struct admin *admin;
	struct secret admin_token;
	uint64_t started_wall_ns, started_us;
	uint64_t connections; /* of HTTP clients at the same time */
	int stopping;         /* parts that have not stopped yet */
};

const struct conf_variant daemon_variants[] = {
	{ "engines", "asterisk", &asterisk_conf },
	{ "buses", "longpoll", &longpoll_conf },
	{ "buses", "amqp", &amqp_conf },
	{ "buses", "nats", &nats_conf },
	{ 0 },
};

static const struct port_ops *ops_of(const char *list, const char *type)
{
	static const struct {
		const char *list;
		const struct port_ops *ops;
	} all[] = { { "engines", &ari_engine_ops },
		    { "buses", &longpoll_bus_ops },
		    { "buses", &amqp_bus_ops },
		    { "buses", &nats_bus_ops } };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (strcmp(all[i].list, list) == 0 && strcmp(all[i].ops->name, type) == 0)
			return all[i].ops;
	return NULL;
}

/* mkdir -p; the last part is for its owner alone. */
static int make_dirs(const char *dir, struct err *e)
{
	char path[PATH_MAX_BYTES];

	if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
		return err_set(e, -ENAMETOOLONG, "data_dir: the path is too long");
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		(void)mkdir(path, 0755); /* the last mkdir tells what is wrong */
		*p = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(e, -errno, "data_dir %s can't be made: %s: make it, or set data_dir",
			       dir, strerror(errno));
	if (access(path, W_OK | X_OK) < 0)
		return err_set(
			e, -errno,
			"data_dir %s can't be written: %s: change its owner, or set data_dir", dir,
			strerror(errno));
	return 0;
}

/*
 * Many idle clients need many descriptors: takes what the hard limit allows. How many connections
 * that leaves room for; the journal, engines, the admin listener and what they open live in the reserve.
 */
static uint64_t raise_files(void)
{
	struct rlimit rl;
	uint64_t files;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return UINT64_MAX;
	if (rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
		(void)getrlimit(RLIMIT_NOFILE, &rl);
	}
	files = rl.rlim_cur == RLIM_INFINITY ? UINT64_MAX : rl.rlim_cur;
	return files > 2 * (uint64_t)RESERVED_FILES ? files - RESERVED_FILES : files / 2;
}

static int open_journal(struct daemon *d, struct err *e)
{
	struct journal_options options = { .segment_bytes = d->conf->journal.segment,
					   .quota_bytes = d->conf->journal.quota,
					   .inflight_max = d->conf->journal.inflight };
	struct stream_limits limits = { .max_age_ms = d->conf->journal.retention_ms };
	struct journal_events events;
	char dir[PATH_MAX_BYTES];
	int rc;

	(void)snprintf(dir, sizeof(dir), "%s/journal", d->conf->data_dir);
	options.dir = dir;
	if (streams_create(d->loop, NULL, &limits, &d->streams) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	streams_journal_events(d->streams, &events);
	rc = journal_open(d->loop, &options, NULL, &events, &d->journal, e);
	return rc < 0 ? rc : streams_set_journal(d->streams, d->journal);
}

/* Without them voxbus serves all the same. */
static int open_leases(struct daemon *d, struct err *e)
{
	char path[PATH_MAX_BYTES];
	struct err why;
	int rc;

	(void)snprintf(path, sizeof(path), "%s/leases", d->conf->data_dir);
	rc = leases_open(path, NULL, &d->leases, &why);
	if (rc == 0 && streams_set_leases(d->streams, d->leases) < 0)
		(void)err_set(&why, rc = -ENOMEM, "leases %s: no memory", path);
	if (rc < 0)
		log_warn(NULL, "no leases", "reason=%s then=%s", why.text,
			 "messages that are under way when voxbusd ends come again unmarked");
	return 0;
}

static int made_account(struct daemon *d, struct err *e)
{
	struct made_account made = { .fresh = false };
	char path[PATH_MAX_BYTES];
	int rc;

	(void)snprintf(path, sizeof(path), "%s/account", d->conf->data_dir);
	rc = account_file_load(path, &made, e);
	if (rc < 0)
		return rc;
	if (made.fresh)
		(void)printf("voxbusd: made an account, kept in %s:\n  AccountSid %s\n"
			     "  AuthToken  %s\n",
			     path, made.sid, made.token.value);
	(void)fflush(stdout);
	rc = accounts_add(d->accounts, str_from(made.sid), secret_str(&made.token));
	for (size_t i = 0; rc == 0 && i < d->conf->buses.count; i++) {
		struct conf_variant_item *item = &d->conf->buses.items[i];
		struct longpoll_conf *bus = item->conf;

		if (item->variant->table == &longpoll_conf && !bus->account)
			bus->account = strdup(made.sid);
	}
	secret_fini(&made.token);
	return rc < 0 ? err_set(e, rc, "the account can't be added: %s", strerror(-rc)) : 0;
}

static int add_accounts(struct daemon *d, struct err *e)
{
	const struct account_conf *accounts = d->conf->accounts.items;
	int rc = accounts_create(d->loop, d->journal, &d->accounts);

	for (size_t i = 0; rc == 0 && i < d->conf->accounts.count; i++)
		rc = accounts_add(d->accounts, str_from(accounts[i].sid),
				  secret_str(&accounts[i].token));
	if (rc < 0)
		return err_set(e, rc, "the accounts can't be made: %s", strerror(-rc));
	return d->conf->accounts.count ? 0 : made_account(d, e);
}

static int create_servers(struct daemon *d, struct err *e)
{
	d->origin = (struct http_origin){
		.public_url = d->conf->http.public_url,
		.trusted_proxies = (const char *const *)d->conf->http.trusted_proxies.items,
		.n_trusted_proxies = d->conf->http.trusted_proxies.count,
	};
	struct http_server_options options = {
		.conns_max = d->connections,
		.conns_per_address = d->conf->http.connections_per_address,
		.origin = &d->origin,
	};
	const struct http_server_options admin = { .conns_max = ADMIN_CONNS };
	int rc = daemon_tls_server(d->loop, &d->conf->http.tls, "http.tls", &d->tls, e);

	if (rc == 0)
		rc = daemon_tls_server(d->loop, &d->conf->admin.tls, "admin.tls", &d->admin_tls, e);
	if (rc < 0)
		return rc;
	rc = http_server_create(d->loop, &options, NULL, &d->http);
	if (rc == 0)
		rc = http_server_create(d->loop, &admin, NULL, &d->admin_http);
	return rc < 0 ? err_set(e, rc, "the HTTP server can't be made: %s", strerror(-rc)) : 0;
}

static int add_ports(struct daemon *d, const char *list, const struct conf_variants *items,
		     struct err *e)
{
	for (size_t i = 0; i < items->count; i++) {
		const struct conf_variant_item *item = &items->items[i];
		const char *name = conf_string(item->variant->table, item->conf, "name");
		const struct port_ops *ops = ops_of(list, item->variant->type);
		struct port *port;
		int rc = hub_add_port(d->hub, ops, name, item->conf, &port, e);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static enum deduplicate deduplicate_of(const struct application_conf *conf)
{
	switch (conf ? conf->deduplicate : APPLICATION_REDELIVERED) {
	case APPLICATION_ALWAYS:
		return DEDUPLICATE_ALWAYS;
	case APPLICATION_NEVER:
		return DEDUPLICATE_OFF;
	default:
		return DEDUPLICATE_REDELIVERED;
	}
}

static int application_to_hub(struct hub *hub, struct str name, struct port *bus,
			      const struct application_conf *conf)
{
	const struct conf_strings *drop = conf ? &conf->events.drop : NULL;
	const struct conf_durations *ttl = conf ? &conf->events.ttl : NULL;
	struct application_options options = {
		.bus = bus,
		.record = !conf || conf->record,
		.deduplicate = deduplicate_of(conf),
		.application_events = conf && conf->application_events,
		.keep_ms = conf ? conf->keep_ms : 0,
		.accept_ms = conf ? conf->accept.within_ms : 0,
		.accept_tries = conf ? (unsigned)conf->accept.tries : 0,
		.refuse_away = conf && conf->while_away.policy == APPLICATION_REFUSE,
		.away_events_max = conf ? conf->while_away.events_max : 0,
		.away_age_ms = conf ? conf->while_away.age_max_ms : 0,
		.n_drop = drop ? drop->count : 0,
		.n_ttl = ttl ? ttl->count : 0,
	};
	struct str *types = calloc(options.n_drop + 1, sizeof(*types));
	struct event_ttl *ttls = calloc(options.n_ttl + 1, sizeof(*ttls));
	int rc = -ENOMEM;

	for (size_t i = 0; types && i < options.n_drop; i++)
		types[i] = str_from(drop->items[i]);
	for (size_t i = 0; ttls && i < options.n_ttl; i++)
		ttls[i] = (struct event_ttl){ str_from(ttl->items[i].name), ttl->items[i].ms };
	options.drop = types;
	options.ttl = ttls;
	if (types && ttls)
		rc = hub_add_application(hub, name, &options);
	free(types);
	free(ttls);
	return rc;
}

/* conf: NULL when the file does not list it. */
static int add_application(struct daemon *d, const char *name, const char *bus,
			   const struct application_conf *conf, struct err *e)
{
	struct port *port = bus ? hub_port(d->hub, str_from(bus), PORT_BUS) : NULL;
	int rc;

	if (!port)
		return err_set(e, -EINVAL,
			       "application \"%s\": it is not in applications and there is not "
			       "exactly one bus: list it there with its bus",
			       name);
	rc = application_to_hub(d->hub, str_from(name), port, conf);
	if (rc < 0 && rc != -EEXIST)
		return err_set(e, rc, "application \"%s\": %s", name, strerror(-rc));
	return 0;
}

/* Those that are listed, then those that only an engine names: these get the only bus. */
static int add_applications(struct daemon *d, struct err *e)
{
	const struct application_conf *apps = d->conf->applications.items;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < d->conf->applications.count; i++)
		rc = add_application(d, apps[i].name, apps[i].bus, &apps[i], e);
	for (size_t i = 0; rc == 0 && i < d->conf->engines.count; i++) {
		const struct conf_variant_item *engine = &d->conf->engines.items[i];
		const struct conf_strings *names =
			conf_list(engine->variant->table, engine->conf, "applications");

		for (size_t k = 0; rc == 0 && names && k < names->count; k++) {
			const char *name = names->items[k];

			if (hub_has_application(d->hub, str_from(name)))
				continue;
			rc = add_application(d, name, voxbus_conf_bus(d->conf, str_from(name)),
					     NULL, e);
		}
	}
	return rc;
}

static int create_hub(struct daemon *d, struct err *e)
{
	struct hub_options options = {
		.loop = d->loop,
		.node = d->conf->node,
		.journal = d->journal,
		.streams = d->streams,
		.http = d->http,
		.accounts = d->accounts,
		.command_deadline_ms = d->conf->commands.deadline_ms,
		.commands_max = d->conf->commands.max,
		.linger_ms = d->conf->dialogs.linger_ms,
		.dialogs_max = d->conf->dialogs.max,
	};
	int rc = hub_create(&options, &d->hub);

	if (rc < 0)
		return err_set(e, rc, "out of memory");
	rc = add_ports(d, "buses", &d->conf->buses, e);
	if (rc == 0)
		rc = add_ports(d, "engines", &d->conf->engines, e);
	return rc < 0 ? rc : add_applications(d, e);
}

static int read_admin_token(struct daemon *d, struct err *e)
{
	const char *path = d->conf->admin.token_file;
	char text[TOKEN_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO: without waiting */
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	struct str rest, token;

	if (n < 0)
		(void)err_set(e, -errno, "admin.token_file %s: %s", path, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	if (n < 0)
		return -EINVAL;
	rest = str_make(text, (size_t)n);
	token = str_trim(str_cut(&rest, '\n'));
	if (token.n < 16)
		return err_set(e, -EINVAL,
			       "admin.token_file %s: the token has %zu characters, must have at "
			       "least 16",
			       path, token.n);
	return secret_set(&d->admin_token, token) < 0 ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int create_admin(struct daemon *d, struct err *e)
{
	bool tcp = !str_starts(str_from(d->conf->admin.listen), STR("unix:"));
	struct admin_env env = {
		.loop = d->loop,
		.hub = d->hub,
		.streams = d->streams,
		.accounts = d->accounts,
		.journal = d->journal,
		.journal_quota = d->conf->journal.quota,
		.http = d->http,
		.http_conf = &d->conf->http,
		.version = VOXBUS_VERSION,
		.node = d->conf->node,
		.config = d->file,
		.ari_proxy = d->ari_proxy,
		.data_dir = d->conf->data_dir,
		.started_wall_ns = d->started_wall_ns,
		.tcp = tcp,
		.tls = d->tls,
	};
	int rc = tcp ? read_admin_token(d, e) : 0;

	if (rc < 0)
		return rc;
	(void)voxbus_conf_listen(d->conf->admin.listen, &d->conf->admin.tls, &env.listen);
	env.token = secret_str(&d->admin_token);
	rc = admin_create(&env, &d->admin);
	if (rc == 0)
		rc = admin_mount(d->admin, d->admin_http);
	return rc < 0 ? err_set(e, rc, "the admin API can't be made: %s", strerror(-rc)) : 0;
}

static int listen_all(struct daemon *d, struct err *e)
{
	const struct http_conf *http = &d->conf->http;
	struct str at;
	bool tls = voxbus_conf_listen(d->conf->admin.listen, &d->conf->admin.tls, &at);
	int rc = http_server_listen_tls(d->admin_http, at, tls ? d->admin_tls : NULL, e);

	if (rc < 0)
		return err_prefix(e, rc, "admin.listen");
	for (size_t i = 0; i < http->listen.count; i++) {
		tls = voxbus_conf_listen(http->listen.items[i], &http->tls, &at);
		rc = http_server_listen_tls(d->http, at, tls ? d->tls : NULL, e);
		if (rc < 0)
			return err_prefix(e, rc, "http.listen");
	}
	return 0;
}

int daemon_create(struct voxbus_conf *conf, const char *file, bool ari_proxy, struct daemon **ret,
		  struct err *e)
{
	static int (*const steps[])(struct daemon * d, struct err * e) = {
		open_journal, open_leases,  add_accounts, create_servers,
		create_hub,   create_admin, listen_all,
	};
	struct daemon *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return err_set(e, -ENOMEM, "out of memory");
	d->conf = conf;
	d->file = file;
	d->ari_proxy = ari_proxy;
	d->started_wall_ns = clock_wall_ns();
	d->started_us = loop_now_us();
	d->connections = raise_files();
	if (d->connections > conf->http.connections)
		d->connections = conf->http.connections;
	rc = make_dirs(conf->data_dir, e);
	if (rc == 0 && loop_create(&d->loop) < 0)
		rc = err_set(e, -ENOMEM, "the event loop can't be made");
	for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(*steps); i++)
		rc = steps[i](d, e);
	*ret = d; /* half-built too: daemon_destroy takes it */
	return rc;
}

static void on_http_stopped(void *arg)
{
	struct daemon *d = arg;

	if (--d->stopping == 0)
		loop_stop(d->loop);
}

static void on_hub_stopped(void *arg)
{
	struct daemon *d = arg;

	d->stopping = 2;
	admin_stop(d->admin);
	http_server_stop(d->http, STOP_MS, on_http_stopped, d);
	http_server_stop(d->admin_http, STOP_MS, on_http_stopped, d);
}

static void on_signal(void *arg, int signum)
{
	struct daemon *d = arg;

	if (d->stopping++) {
		log_warn(NULL, "stopping at once", "signal=%s", strsignal(signum));
		loop_stop(d->loop);
		return;
	}
	log_info(NULL, "stopping", "signal=%s", strsignal(signum));
	hub_stop(d->hub, STOP_MS, on_hub_stopped, d);
}

/* Certificates and keys may have changed; nothing else is read anew. */
static void on_hangup(void *arg, int signum)
{
	log_info(NULL, "reloading", "signal=%s what=%s", strsignal(signum),
		 "certificates and keys");
	tls_reload_all();
}

int daemon_run(struct daemon *d, struct err *e)
{
	int rc = loop_on_signal(d->loop, SIGTERM, on_signal, d);

	if (rc == 0)
		rc = loop_on_signal(d->loop, SIGHUP, on_hangup, d);
	if (rc == 0)
		rc = loop_on_signal(d->loop, SIGINT, on_signal, d);
	if (rc < 0)
		return err_set(e, rc, "signals can't be watched: %s", strerror(-rc));
	rc = hub_start(d->hub, e);
	if (rc < 0)
		return rc;
	log_info(NULL, "started", "version=%s node=%s config=%s data_dir=%s admin=%s start_ms=%.1f",
		 VOXBUS_VERSION, d->conf->node, d->file ? d->file : "embedded defaults",
		 d->conf->data_dir, d->conf->admin.listen,
		 (double)(loop_now_us() - d->started_us) / 1000);
	log_info(NULL, "connections", "max=%" PRIu64 " http.connections=%" PRIu64 " because=%s",
		 d->connections, d->conf->http.connections,
		 d->connections < d->conf->http.connections
			 ? "the limit of open files allows no more (LimitNOFILE, ulimit -n)"
			 : "http.connections says so");
	loop_run(d->loop);
	log_info(NULL, "stopped", "uptime_ms=%" PRIu64, (loop_now_us() - d->started_us) / 1000);
	return 0;
}

struct daemon *daemon_destroy(struct daemon *d)
{
	if (!d)
		return NULL;
	/* Servers first: who waits on them is told that it is over. */
	(void)http_server_destroy(d->http);
	(void)http_server_destroy(d->admin_http);
	(void)admin_destroy(d->admin);
	(void)hub_destroy(d->hub);
	(void)accounts_destroy(d->accounts);
	(void)journal_close(d->journal);
	(void)streams_destroy(d->streams);
	(void)leases_close(d->leases);
	(void)tls_context_destroy(d->tls);
	(void)tls_context_destroy(d->admin_tls);
	(void)loop_destroy(d->loop);
	secret_fini(&d->admin_token);
	free(d);
	return NULL;
}
