/* SPDX-License-Identifier: MIT */
/*
 * The admin listener's front door: the table of paths, the guard, health and readiness.
 *
 * One mount at "/" and one table, so that what is open and what is guarded can be read in one
 * place. Nothing is kept between requests but the tails (admin_tail.c); each answer asks the hub
 * for its views anew, because whoever looks wants to know how it is now.
 */
#include "api/admin.h"

#include <errno.h>
#include <stdlib.h>

#include "api/admin_internal.h"
#include "base/clock.h"
#include "journal/journal.h"

struct route {
	struct str path;
	bool open;    /* no guard: for probes */
	bool below;   /* also all paths below it */
	bool deletes; /* takes DELETE, too */
	bool posts;   /* takes POST alone */
	void (*handle)(struct admin *admin, struct http_request *request);
};

static void healthz(struct admin *admin, struct http_request *request)
{
	struct http_reply reply = { .status = 200,
				    .content_type = STR("text/plain; charset=utf-8"),
				    .body = STR("ok\n") };

	http_reply(request, &reply);
}

void admin_answer(struct http_request *request, int status, struct str type, const struct buf *body,
		  int rc)
{
	struct http_header no_store = { STR("Cache-Control"), STR("no-store") };
	struct http_reply reply = { .status = status,
				    .content_type = type,
				    .headers = &no_store,
				    .n_headers = 1,
				    .body = buf_str(body) };

	if (rc < 0)
		http_problem(request, 500, STR("The answer is too large or memory is out."), NULL,
			     0);
	else
		http_reply(request, &reply);
}

const char *port_role_text(unsigned roles)
{
	return roles & PORT_ENGINE ? "engine" : "bus";
}

struct readiness {
	struct jout *j;
	bool ready;
};

static void port_ready(void *arg, const struct port_view *view)
{
	struct readiness *r = arg;
	auto_buf struct buf text;

	buf_init(&text, 1024);
	if (view->state == PORT_UP)
		return;
	r->ready = false;
	if (!r->j)
		return;
	(void)buf_addf(&text, "%s %s: %s", port_role_text(view->roles), view->name,
		       port_state_name(view->state));
	if (view->reason && view->reason[0])
		(void)buf_addf(&text, ": %.700s", view->reason);
	jout_str(r->j, NULL, buf_str(&text));
}

bool admin_reasons(struct admin *admin, struct jout *j)
{
	struct readiness r = { .j = j, .ready = !admin->stopping };
	struct journal_stats stats = { 0 };

	if (admin->stopping && j)
		jout_str(j, NULL, STR("voxbusd is stopping"));
	hub_each_port(admin->env.hub, port_ready, &r);
	if (admin->env.journal)
		journal_stats(admin->env.journal, &stats);
	if (stats.failed) {
		r.ready = false;
		if (j)
			jout_str(j, NULL, STR("journal: failed: nothing is recorded any more"));
	}
	return r.ready;
}

bool admin_ready(struct admin *admin)
{
	return admin_reasons(admin, NULL);
}

static void readyz(struct admin *admin, struct http_request *request)
{
	auto_buf struct buf body;
	struct jout j;
	bool ready = admin_ready(admin);

	buf_init(&body, ADMIN_ANSWER_MAX);
	jout_init(&j, &body);
	jout_open(&j, NULL, '{');
	jout_bool(&j, "ready", ready);
	if (!ready) {
		jout_open(&j, "reasons", '[');
		(void)admin_reasons(admin, &j);
		jout_close(&j, ']');
	}
	jout_close(&j, '}');
	admin_answer(request, ready ? 200 : 503, STR("application/json"), &body, jout_end(&j));
}

/* "127.0.0.1:8091" -> "127.0.0.1", "[::1]:8091" -> "[::1]". */
static struct str host_only(struct str address)
{
	size_t end = str_find(address, address.n && address.p[0] == '[' ? ']' : ':');

	if (end < address.n && address.p[end] == ']')
		end++;
	return str_make(address.p, end);
}

/* What may follow a host: nothing, or a port. */
static bool is_port(struct str rest)
{
	for (size_t i = 1; i < rest.n; i++)
		if (rest.p[i] < '0' || rest.p[i] > '9')
			return false;
	return rest.n == 0 || (rest.p[0] == ':' && rest.n > 1 && rest.n <= 6);
}

static bool is_ip_literal(struct str host)
{
	if (host.n && host.p[0] == '[')
		return true;
	for (size_t i = 0; i < host.n; i++)
		if (host.p[i] != '.' && (host.p[i] < '0' || host.p[i] > '9'))
			return false;
	return host.n > 0;
}

/*
 * A page from elsewhere can make a browser talk to us under a name of its own (DNS rebinding), but
 * not under ours. With a wildcard address any address is ours, and names still are not.
 */
static bool host_allowed(const struct admin *admin, struct str header)
{
	struct str host = host_only(header), own = host_only(admin->env.listen);
	bool wildcard = str_eq(own, STR("0.0.0.0")) || str_eq(own, STR("[::]"));

	if (!is_port(str_skip(header, host.n)))
		return false;
	return str_eq_nocase(host, STR("localhost")) || str_eq(host, STR("127.0.0.1")) ||
	       str_eq(host, STR("[::1]")) || (own.n > 0 && str_eq_nocase(host, own)) ||
	       (wildcard && is_ip_literal(host));
}

static bool origin_allowed(struct str origin, struct str host)
{
	struct str scheme = STR("http://");

	return !origin.p ||
	       (str_starts(origin, scheme) && str_eq(str_skip(origin, scheme.n), host));
}

bool admin_guard(struct admin *admin, struct http_request *request)
{
	struct str host = http_request_header(request, STR("Host"));
	struct str auth = http_request_header(request, STR("Authorization"));
	struct str scheme = STR("Bearer ");
	struct http_header ask = { STR("WWW-Authenticate"), STR("Bearer realm=\"voxbus\"") };

	if (!admin->env.tcp)
		return true;
	if (!host_allowed(admin, host)) {
		http_problem(request, 403, STR("The Host header is not this listener's address."),
			     NULL, 0);
		return false;
	}
	if (!origin_allowed(http_request_header(request, STR("Origin")), host)) {
		http_problem(request, 403,
			     STR("Requests from pages of another origin are refused."), NULL, 0);
		return false;
	}
	if (auth.n > scheme.n && str_eq_nocase(str_make(auth.p, scheme.n), scheme) &&
	    secret_equals(&admin->token, str_trim(str_skip(auth, scheme.n))))
		return true;
	http_problem(request, 401, STR("The admin token is needed: Authorization: Bearer TOKEN."),
		     &ask, 1);
	return false;
}

static const struct route routes[] = {
	{ .path = STR_INIT("/healthz"), .open = true, .handle = healthz },
	{ .path = STR_INIT("/readyz"), .open = true, .handle = readyz },
	{ .path = STR_INIT("/metrics"), .handle = admin_metrics },
	{ .path = STR_INIT("/api/status"), .handle = admin_status },
	{ .path = STR_INIT("/api/calls"), .handle = admin_calls },
	{ .path = STR_INIT("/api/queues"), .handle = admin_queues },
	{ .path = STR_INIT("/api/queues/"), .below = true, .deletes = true, .handle = admin_queue },
	{ .path = STR_INIT("/api/replay"), .posts = true, .handle = admin_replay },
	{ .path = STR_INIT("/api/tail"), .handle = admin_tail },
	{ .path = STR_INIT("/api/doctor"), .handle = admin_doctor },
};

static bool route_takes(const struct route *route, struct str method)
{
	if (route->posts)
		return str_eq(method, STR("POST"));
	return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) ||
	       (route->deletes && str_eq(method, STR("DELETE")));
}

static void route_run(struct admin *admin, const struct route *route, struct http_request *request)
{
	struct http_header allow = { STR("Allow"), STR("GET, HEAD") };
	struct str why = STR("This path can only be read.");

	if (!route->open && !admin_guard(admin, request))
		return;
	if (route_takes(route, http_request_info(request)->method)) {
		route->handle(admin, request);
		return;
	}
	if (route->posts) {
		allow.value = STR("POST");
		why = STR("This path takes POST.");
	} else if (route->deletes) {
		allow.value = STR("GET, HEAD, DELETE");
		why = STR("This path takes GET, HEAD and DELETE.");
	}
	http_problem(request, 405, why, &allow, 1);
}

static bool route_is(const struct route *route, struct str path)
{
	return route->below ? str_starts(path, route->path) : str_eq(path, route->path);
}

static void handle(void *arg, struct http_request *request)
{
	struct admin *admin = arg;
	struct str path = http_request_info(request)->path;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (route_is(&routes[i], path)) {
			route_run(admin, &routes[i], request);
			return;
		}
	}
	if (admin_guard(admin, request))
		http_problem(request, 404,
			     STR("There are /healthz, /readyz, /metrics, /api/status, /api/calls, "
				 "/api/queues, /api/replay, /api/tail and /api/doctor."),
			     NULL, 0);
}

int admin_create(const struct admin_env *env, struct admin **ret)
{
	struct admin *admin;

	if (env->tcp && env->token.n == 0)
		return -EINVAL;
	admin = calloc(1, sizeof(*admin));
	if (!admin)
		return -ENOMEM;
	admin->env = *env;
	admin->env.token = STR("");
	list_init(&admin->tails);
	list_init(&admin->purges);
	timer_init(&admin->tail_timer, env->loop, admin_tail_timer, admin);
	admin->created_ms = loop_now(env->loop);
	admin->created_wall_ms = clock_wall_ms();
	if (env->tcp && secret_set(&admin->token, env->token) < 0) {
		admin_destroy(admin);
		return -ENOMEM;
	}
	*ret = admin;
	return 0;
}

int admin_mount(struct admin *admin, struct http_server *server)
{
	struct http_mount mount = {
		.prefix = STR("/"), .body_max = 4096, .handle = handle, .arg = admin
	};

	return http_server_mount(server, &mount);
}

void admin_stop(struct admin *admin)
{
	admin->stopping = true;
	admin_tails_end(admin);
}

struct admin *admin_destroy(struct admin *admin)
{
	if (!admin)
		return NULL;
	admin_tails_end(admin);
	admin_purges_end(admin);
	timer_stop(&admin->tail_timer);
	secret_fini(&admin->token);
	free(admin);
	return NULL;
}
