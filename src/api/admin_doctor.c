/* SPDX-License-Identifier: MIT */
/*
 * /api/doctor: gathers the facts that the daemon knows and writes the findings as JSON.
 *
 * The judgement is in doctor.c; the faults that only an outsider can see (no daemon, a wrong
 * configuration file) are the voxbus command's.
 */
#include <errno.h>
#include <stdlib.h>

#include "api/admin_internal.h"
#include "api/doctor.h"
#include "base/clock.h"
#include "journal/journal.h"
#include "net/tls.h"

#define QUOTA_DEFAULT (8ULL << 30) /* journal_options.quota_bytes == 0 */

struct gather {
	struct doctor_facts *facts;
	uint64_t now_ms;
};

static void port_fact(void *arg, const struct port_view *view)
{
	struct gather *g = arg;
	struct doctor_port *port;

	if (g->facts->n_ports >= DOCTOR_PORTS_MAX)
		return;
	port = &g->facts->ports[g->facts->n_ports++];
	(void)snprintf(port->name, sizeof(port->name), "%s", view->name);
	(void)snprintf(port->type, sizeof(port->type), "%s", view->type);
	(void)snprintf(port->role, sizeof(port->role), "%s", port_role_text(view->roles));
	(void)snprintf(port->reason, sizeof(port->reason), "%s", view->reason ? view->reason : "");
	port->state = view->state;
	port->since_ms = g->now_ms > view->since_ms ? g->now_ms - view->since_ms : 0;
}

static void application_fact(void *arg, const struct application_view *view)
{
	struct gather *g = arg;
	struct doctor_application *a;

	if (g->facts->n_applications >= DOCTOR_APPLICATIONS_MAX)
		return;
	a = &g->facts->applications[g->facts->n_applications++];
	(void)snprintf(a->name, sizeof(a->name), "%.*s", STR_ARG(view->name));
	(void)snprintf(a->bus, sizeof(a->bus), "%s", view->bus ? view->bus : "");
	a->unread = view->unread;
	a->oldest_unread_ms = view->oldest_unread_ms;
}

static void journal_facts(struct doctor_facts *facts, const struct admin_env *env)
{
	struct journal_stats stats;

	if (!env->journal)
		return;
	journal_stats(env->journal, &stats);
	facts->journal = true;
	facts->journal_failed = stats.failed;
	facts->journal_bytes = stats.disk_bytes;
	facts->journal_quota = env->journal_quota ? env->journal_quota : QUOTA_DEFAULT;
	facts->journal_refused = stats.refused;
	facts->journal_damaged = stats.damaged;
}

/* text: where the sentence lies. */
static void certificate_fact(struct doctor_facts *facts, const struct admin_env *env,
			     struct err *text)
{
	struct tls_certificate certificate;
	char date[CLOCK_HTTP_SIZE];
	int rc;

	if (!env->tls)
		return;
	tls_context_certificate(env->tls, &certificate);
	rc = tls_certificate_problem(env->tls, (int64_t)(clock_wall_ms() / 1000), text);
	facts->certificate = text->text;
	facts->certificate_level = rc < 0 ? DOCTOR_FAIL : rc ? DOCTOR_WARN : DOCTOR_OK;
	if (rc)
		return;
	clock_http_date(date, (uint64_t)certificate.not_after * 1000000000);
	(void)err_set(text, 0, "the certificate of http.tls is valid until %s", date);
}

static void own_facts(struct doctor_facts *facts, struct admin *admin)
{
	struct process_view process;
	uint64_t expected = admin->created_wall_ms + loop_now(admin->env.loop) - admin->created_ms;
	uint64_t wall = clock_wall_ms();

	process_view(admin, &process);
	facts->data_dir = admin->env.data_dir;
	facts->data_dir_writable = process.data_dir_writable;
	facts->disk_bytes = process.disk_bytes;
	facts->disk_free_bytes = process.disk_free_bytes;
	facts->open_fds = process.open_fds;
	facts->max_fds = process.max_fds;
	facts->clock_jump_ms = wall > expected ? wall - expected : expected - wall;
}

static void finding_json(void *arg, const struct doctor_finding *finding)
{
	struct jout *j = arg;

	jout_open(j, NULL, '{');
	jout_str(j, "id", str_from(finding->id));
	jout_str(j, "level", str_from(doctor_level_name(finding->level)));
	jout_str(j, "what", str_from(finding->what));
	jout_str(j, "fix", str_from(finding->fix));
	jout_close(j, '}');
}

void admin_doctor(struct admin *admin, struct http_request *request)
{
	struct gather g = { .facts = calloc(1, sizeof(*g.facts)),
			    .now_ms = loop_now(admin->env.loop) };
	auto_buf struct buf body;
	struct hub_stats hub;
	struct stream_stats streams;
	struct err certificate;
	struct jout j;

	buf_init(&body, ADMIN_ANSWER_MAX);
	if (!g.facts) {
		admin_answer(request, 500, STR(""), &body, -ENOMEM);
		return;
	}
	hub_each_port(admin->env.hub, port_fact, &g);
	hub_each_application(admin->env.hub, application_fact, &g);
	hub_stats(admin->env.hub, &hub);
	streams_stats(admin->env.streams, &streams);
	g.facts->dialogs_refused = hub.dialogs_refused;
	g.facts->timeouts = hub.timeouts;
	g.facts->dropped = streams.dropped;
	g.facts->unrecorded = streams.unrecorded;
	journal_facts(g.facts, &admin->env);
	own_facts(g.facts, admin);
	certificate_fact(g.facts, &admin->env, &certificate);
	jout_init(&j, &body);
	jout_open(&j, NULL, '[');
	doctor_run(g.facts, finding_json, &j);
	jout_close(&j, ']');
	free(g.facts);
	admin_answer(request, 200, STR("application/json"), &body, jout_end(&j));
}
