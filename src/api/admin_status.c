/* SPDX-License-Identifier: MIT */
/*
 * /api/status and /api/calls: the hub's views as JSON, one member a field.
 *
 * Names end in their unit (_s, _bytes); counters run from the start of the daemon. Members may be
 * added in later versions, none changes its meaning.
 */
#include <unistd.h>

#include "api/admin_internal.h"
#include "base/clock.h"
#include "codec/form.h"
#include "config/voxbus_conf.h"
#include "core/account.h"
#include "journal/journal.h"
#include "net/tls.h"

enum {
	CALLS_DEFAULT = 1000,
	CALLS_MAX = 5000,
	URL_MAX = 512,
	CALL_ROOM = 8192, /* a call is not begun when less than this is left of the answer */
};

struct walk {
	struct jout j;
	uint64_t now_ms;
	uint64_t left, total;
};

static void port_json(void *arg, const struct port_view *view)
{
	struct walk *w = arg;
	struct jout *j = &w->j;

	jout_open(j, NULL, '{');
	jout_str(j, "name", str_from(view->name));
	jout_str(j, "type", str_from(view->type));
	jout_str(j, "role", str_from(port_role_text(view->roles)));
	jout_str(j, "state", str_from(port_state_name(view->state)));
	jout_seconds(j, "since_s", w->now_ms > view->since_ms ? w->now_ms - view->since_ms : 0);
	jout_str(j, "reason", str_from(view->reason));
	jout_u64(j, "events", view->events);
	jout_u64(j, "commands", view->commands);
	jout_u64(j, "replies", view->replies);
	jout_u64(j, "sent", view->sent);
	jout_u64(j, "settled", view->settled);
	jout_u64(j, "returned", view->returned);
	jout_open(j, "stats", '{');
	for (size_t i = 0; i < view->n_stats; i++)
		jout_u64(j, view->stats[i].name, view->stats[i].value);
	jout_close(j, '}');
	jout_close(j, '}');
}

static void application_json(void *arg, const struct application_view *view)
{
	struct walk *w = arg;
	struct jout *j = &w->j;

	jout_open(j, NULL, '{');
	jout_str(j, "name", view->name);
	jout_str(j, "bus", str_from(view->bus));
	jout_bool(j, "record", view->record);
	jout_u64(j, "announced", view->announced);
	jout_u64(j, "unread", view->unread);
	jout_seconds(j, "oldest_unread_s", view->oldest_unread_ms);
	jout_close(j, '}');
}

static void hub_json(struct jout *j, struct hub *hub)
{
	struct hub_stats s;

	hub_stats(hub, &s);
	jout_u64(j, "dialogs", s.dialogs);
	jout_open(j, "hub", '{');
	jout_u64(j, "events", s.events);
	jout_u64(j, "unowned", s.unowned);
	jout_u64(j, "application_events", s.application_events);
	jout_u64(j, "synthetic", s.synthetic);
	jout_u64(j, "commands", s.commands);
	jout_u64(j, "replies", s.replies);
	jout_u64(j, "late_replies", s.late_replies);
	jout_u64(j, "timeouts", s.timeouts);
	jout_u64(j, "refused", s.refused);
	jout_u64(j, "dialogs_opened", s.dialogs_opened);
	jout_u64(j, "dialogs_refused", s.dialogs_refused);
	jout_u64(j, "announced_again", s.announced_again);
	jout_u64(j, "released_unaccepted", s.released_unaccepted);
	jout_u64(j, "released_away", s.released_away);
	jout_u64(j, "away_dropped", s.away_dropped);
	jout_close(j, '}');
}

static void streams_json(struct jout *j, const struct streams *streams)
{
	struct stream_stats s;

	streams_stats(streams, &s);
	jout_open(j, "streams", '{');
	jout_u64(j, "streams", s.streams);
	jout_u64(j, "messages_in_memory", s.messages_in_memory);
	jout_u64(j, "appended", s.appended);
	jout_u64(j, "dropped", s.dropped);
	jout_u64(j, "unrecorded", s.unrecorded);
	jout_u64(j, "disk_reads", s.disk_reads);
	jout_close(j, '}');
}

static void journal_json(struct jout *j, const struct journal *journal)
{
	struct journal_stats s;

	if (!journal) {
		jout_null(j, "journal");
		return;
	}
	journal_stats(journal, &s);
	jout_open(j, "journal", '{');
	jout_bool(j, "failed", s.failed);
	jout_u64(j, "disk_bytes", s.disk_bytes);
	jout_u64(j, "segments", s.segments);
	jout_u64(j, "streams", s.streams);
	jout_u64(j, "records", s.records);
	jout_u64(j, "states", s.states);
	jout_u64(j, "appends", s.appends);
	jout_u64(j, "bytes", s.bytes);
	jout_u64(j, "writes", s.writes);
	jout_u64(j, "syncs", s.syncs);
	jout_u64(j, "refused", s.refused);
	jout_u64(j, "recovered", s.recovered);
	jout_u64(j, "torn_bytes", s.torn_bytes);
	jout_u64(j, "damaged", s.damaged);
	jout_close(j, '}');
}

/* "http://127.0.0.1:8090": as clients say it, with the port that was drawn for 0. */
static void listen_json(struct jout *j, const struct http_server *http,
			const struct http_conf *conf)
{
	jout_open(j, "listen", '[');
	for (size_t i = 0; conf && i < conf->listen.count; i++) {
		auto_buf struct buf url;
		struct str at;
		bool tls = voxbus_conf_listen(conf->listen.items[i], &conf->tls, &at);

		buf_init(&url, URL_MAX);
		if (str_starts(at, STR("unix:")))
			(void)buf_add(&url, at);
		else if (str_ends(at, STR(":0")))
			(void)buf_addf(&url, "%s://%.*s:%d", tls ? "https" : "http",
				       (int)(at.n - 2), at.p, http_server_port(http, i));
		else
			(void)buf_addf(&url, "%s://%.*s", tls ? "https" : "http", STR_ARG(at));
		jout_str(j, NULL, buf_str(&url));
	}
	jout_close(j, ']');
}

static void http_json(struct jout *j, const struct http_server *http, const struct http_conf *conf)
{
	struct http_server_stats s;

	if (!http) {
		jout_null(j, "http");
		return;
	}
	http_server_stats(http, &s);
	jout_open(j, "http", '{');
	listen_json(j, http, conf);
	jout_u64(j, "open", s.open);
	jout_u64(j, "limit", s.limit);
	jout_u64(j, "connections", s.connections);
	jout_u64(j, "requests", s.requests);
	jout_u64(j, "malformed", s.malformed);
	jout_u64(j, "timeouts", s.timeouts);
	jout_u64(j, "refused", s.refused);
	jout_u64(j, "accept_failures", s.accept_failures);
	jout_close(j, '}');
}

static void tls_json(struct jout *j, const struct tls_context *tls)
{
	struct tls_certificate certificate;
	struct tls_stats s;
	char expires[CLOCK_RFC3339_SIZE];

	if (!tls) {
		jout_null(j, "tls");
		return;
	}
	tls_context_certificate(tls, &certificate);
	tls_context_stats(tls, &s);
	clock_rfc3339(expires, (uint64_t)certificate.not_after * 1000000000, 3);
	jout_open(j, "tls", '{');
	jout_str(j, "subject", str_from(certificate.subject));
	jout_str(j, "expires", str_from(expires));
	jout_u64(j, "handshakes", s.handshakes);
	jout_u64(j, "resumed", s.resumed);
	jout_u64(j, "failed", s.failed);
	jout_u64(j, "reloads", s.reloads);
	jout_u64(j, "reload_failures", s.reload_failures);
	jout_close(j, '}');
}

static void process_json(struct jout *j, const struct admin *admin)
{
	struct process_view p;

	process_view(admin, &p);
	jout_open(j, "process", '{');
	jout_u64(j, "rss_bytes", p.rss_bytes);
	jout_u64(j, "open_fds", p.open_fds);
	jout_u64(j, "max_fds", p.max_fds);
	jout_u64(j, "disk_bytes", p.disk_bytes);
	jout_u64(j, "disk_free_bytes", p.disk_free_bytes);
	jout_close(j, '}');
}

static void head_json(struct jout *j, struct admin *admin)
{
	char started[CLOCK_RFC3339_SIZE];
	uint64_t now_ns = clock_wall_ns(), then_ns = admin->env.started_wall_ns;

	clock_rfc3339(started, then_ns, 3);
	jout_str(j, "version", str_from(admin->env.version));
	jout_str(j, "node", str_from(admin->env.node));
	jout_u64(j, "pid", (uint64_t)getpid());
	jout_str(j, "config", str_from(admin->env.config));
	jout_bool(j, "ari_proxy", admin->env.ari_proxy);
	jout_str(j, "data_dir", str_from(admin->env.data_dir));
	jout_str(j, "started", str_from(started));
	jout_seconds(j, "uptime_s", now_ns > then_ns ? (now_ns - then_ns) / 1000000 : 0);
	jout_bool(j, "ready", admin_ready(admin));
	jout_open(j, "reasons", '[');
	(void)admin_reasons(admin, j);
	jout_close(j, ']');
}

void admin_status(struct admin *admin, struct http_request *request)
{
	const struct admin_env *env = &admin->env;
	auto_buf struct buf body;
	struct walk w = { .now_ms = loop_now(env->loop) };

	buf_init(&body, ADMIN_ANSWER_MAX);
	jout_init(&w.j, &body);
	jout_open(&w.j, NULL, '{');
	head_json(&w.j, admin);
	jout_open(&w.j, "ports", '[');
	hub_each_port(env->hub, port_json, &w);
	jout_close(&w.j, ']');
	jout_open(&w.j, "applications", '[');
	hub_each_application(env->hub, application_json, &w);
	jout_close(&w.j, ']');
	hub_json(&w.j, env->hub);
	streams_json(&w.j, env->streams);
	journal_json(&w.j, env->journal);
	http_json(&w.j, env->http, env->http_conf);
	tls_json(&w.j, env->tls);
	jout_u64(&w.j, "sessions", env->accounts ? accounts_sessions(env->accounts) : 0);
	process_json(&w.j, admin);
	jout_close(&w.j, '}');
	admin_answer(request, 200, STR("application/json"), &body, jout_end(&w.j));
}

static void dialog_json(void *arg, const struct dialog_view *view)
{
	struct walk *w = arg;
	struct jout *j = &w->j;
	char opened[CLOCK_RFC3339_SIZE];

	w->total++;
	if (w->left == 0 || buf_len(j->buf) + CALL_ROOM > ADMIN_ANSWER_MAX)
		return;
	w->left--;
	clock_rfc3339(opened, view->opened_wall_ns, 3);
	jout_open(j, NULL, '{');
	jout_str(j, "dialog", view->id);
	jout_str(j, "application", view->application);
	jout_str(j, "engine", view->engine);
	jout_str(j, "state", str_from(view->state));
	jout_str(j, "opened", str_from(opened));
	jout_seconds(j, "age_s",
		     w->now_ms * 1000000 > view->opened_wall_ns
			     ? w->now_ms - view->opened_wall_ns / 1000000
			     : 0);
	jout_str(j, "channel", view->channel);
	jout_str(j, "label", view->label);
	jout_u64(j, "channels", view->channels);
	jout_u64(j, "objects", view->objects);
	jout_u64(j, "events", view->events);
	jout_u64(j, "commands", view->commands);
	jout_u64(j, "unread", view->unread);
	jout_close(j, '}');
}

/* False: what it says is no number, or too large. */
static bool read_limit(struct str query, uint64_t *ret)
{
	struct form_pair pair;

	while (form_next(&query, &pair))
		if (form_name_is(&pair, STR("limit")))
			return str_u64(pair.value, ret) == 0 && *ret <= CALLS_MAX;
	return true;
}

void admin_calls(struct admin *admin, struct http_request *request)
{
	auto_buf struct buf body;
	char total[24];
	struct walk w = { .now_ms = clock_wall_ms(), .left = CALLS_DEFAULT };

	buf_init(&body, ADMIN_ANSWER_MAX);
	if (!read_limit(http_request_info(request)->query, &w.left)) {
		http_problem(request, 400, STR("limit must be a number from 0 to 5000."), NULL, 0);
		return;
	}
	jout_init(&w.j, &body);
	jout_open(&w.j, NULL, '[');
	hub_each_dialog(admin->env.hub, dialog_json, &w);
	jout_close(&w.j, ']');
	if (jout_end(&w.j) < 0) {
		admin_answer(request, 500, STR(""), &body, jout_end(&w.j));
		return;
	}
	(void)snprintf(total, sizeof(total), "%llu", (unsigned long long)w.total);
	struct http_header headers[] = { { STR("Cache-Control"), STR("no-store") },
					 { STR("X-Total-Count"), str_from(total) } };
	struct http_reply reply = { .status = 200,
				    .content_type = STR("application/json"),
				    .headers = headers,
				    .n_headers = 2,
				    .body = buf_str(&body) };
	http_reply(request, &reply);
}
