/* SPDX-License-Identifier: MIT */
/*
 * The long-poll bus: queues over plain HTTP, for applications that only can fetch.
 *
 * This file is the port: its life, its mounts on the daemon's HTTP server, and which path and
 * method goes where. Readers pull, so nothing is ever sent: a poll reads the queue's stream by the
 * queue's cursor. README.md tells what maps to what.
 *
 *   path                        GET, HEAD, DELETE   POST, PUT
 *   /<sid>/<queue>              session             open
 *   /<sid>/<path>.xml, ../X     session             open; a call's request is held: call.h
 *   /<sid>/<application>        session             403
 *   /<sid>/events_<dialog>      session             403
 *   /<sid>/responses_<dialog>   session             403
 *   /<sid>/commands_<dialog>    403                 session
 *
 * Several of these ports may share one server: each mounts its own account's path, and the first
 * one also /auth and the paths of nobody.
 */
#include "buses/longpoll/longpoll.h"

#include <errno.h>
#include <stdlib.h>

#include "buses/longpoll/call.h"
#include "buses/longpoll/call_events.h"
#include "buses/longpoll/dedup.h"
#include "buses/longpoll/ack.h"
#include "buses/longpoll/bury.h"
#include "buses/longpoll/feed.h"
#include "buses/longpoll/feed_http.h"
#include "buses/longpoll/feed_ws.h"
#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/pace.h"
#include "buses/longpoll/parcel.h"
#include "buses/longpoll/poll.h"
#include "buses/longpoll/poll_params.h"
#include "journal/journal.h"

static void get_queue(struct longpoll *bus, struct http_request *request, struct str key)
{
	struct poll_params params;

	if (!poll_params_of(bus, request, &params))
		return;
	if (topic_of(bus, key) == TOPIC_EVENTS)
		port_touched(bus->port,
			     key); /* a worker that reads a call's events has accepted it */
	bool ws = feed_ws_wanted(request), events = feed_events_wanted(request);
	bool list = params.stream || params.linger_ms || params.manual;
	if (params.dead && (ws || events || list))
		answer_problem(request, 400, NULL, 0,
			       "include=dead is for plain polls: without stream, linger, ack, "
			       "Server-Sent Events and WebSocket");
	else if (ws)
		feed_ws_handle(bus, request, key, &params);
	else if (events)
		feed_events_handle(bus, request, key, &params);
	else if (list)
		feed_list_handle(bus, request, key, &params);
	else
		poll_handle(bus, request, key, &params);
}

static void read_queue(struct longpoll *bus, struct http_request *request, struct str key)
{
	if (!access_granted(bus, request))
		return;
	if (topic_of(bus, key) == TOPIC_COMMANDS)
		answer_problem(request, 403, NULL, 0,
			       "commands are only read by voxbus; read responses_<dialog>");
	else if (str_eq(http_request_info(request)->method, STR("HEAD")))
		poll_length(bus, request, key);
	else
		get_queue(bus, request, key);
}

static void write_queue(struct longpoll *bus, struct http_request *request, struct str key)
{
	enum topic topic = topic_of(bus, key);

	if (topic != TOPIC_QUEUE && !access_granted(bus, request))
		return;
	if (topic == TOPIC_QUEUE)
		post_handle(bus, request, key);
	else if (topic == TOPIC_COMMANDS)
		command_handle(bus, request, key);
	else
		answer_problem(request, 403, NULL, 0,
			       "only voxbus writes here; commands go to commands_<dialog>");
}

static void acknowledge(struct longpoll *bus, struct http_request *request, struct str key)
{
	if (!access_granted(bus, request))
		return;
	if (topic_of(bus, key) == TOPIC_COMMANDS)
		answer_problem(request, 403, NULL, 0, "commands are only read by voxbus");
	else
		ack_handle(bus, request, key);
}

static void queue_handle(struct longpoll *bus, struct http_request *request, struct str key)
{
	struct str method = http_request_info(request)->method;

	if (str_eq(method, STR("GET")) && topic_of(bus, key) == TOPIC_QUEUE &&
	    call_is_webhook(request, key))
		post_handle(bus, request, key);
	else if (str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")))
		read_queue(bus, request, key);
	else if (str_eq(method, STR("POST")) || str_eq(method, STR("PUT")))
		write_queue(bus, request, key);
	else if (str_eq(method, STR("DELETE")))
		acknowledge(bus, request, key);
	else
		answer_method(request, STR("GET, HEAD, POST, PUT, DELETE, OPTIONS"));
}

static void handle(void *arg, struct http_request *request)
{
	struct longpoll *bus = arg;
	const struct http_request_info *info = http_request_info(request);
	struct place place;
	struct err e;

	if (str_eq(info->method, STR("OPTIONS"))) {
		answer_preflight(request);
		return;
	}
	if (bus->stopped) {
		answer_retry(request, 503, 5, "voxbus is stopping");
		return;
	}
	if (place_parse(info->path, &place, &e) < 0)
		answer_problem(request, 400, NULL, 0, "%s", e.text);
	else if (!str_eq(place.sid, account_sid(bus->account)) && call_resume(bus, request, &place))
		return;
	else if (!str_eq(place.sid, account_sid(bus->account)))
		answer_problem(request, 404, NULL, 0,
			       "the path must begin with the sid of an account that has queues");
	else if (!place.key.n)
		answer_problem(request, 404, NULL, 0,
			       "name a queue behind the account's sid: /<sid>/<queue>");
	else
		queue_handle(bus, request, place.key);
}

static void closed(void *arg)
{
	struct longpoll *bus = arg;

	port_set_state(bus->port, PORT_CLOSED, "");
}

static void destroy(void *self)
{
	struct longpoll *bus = self;

	if (!bus)
		return;
	bus->stopped = true;
	task_cancel(&bus->closed);
	task_cancel(&bus->serve);
	paces_end(bus);
	streams_unwatch(&bus->unread);
	streams_unmeter(hub_streams(bus->env.hub), &bus->stored);
	buf_fini(&bus->path);
	feeds_stop(bus);
	queues_release_waiters(bus);
	parcels_abandon(bus);
	feeds_abandon(bus);
	loans_abandon(bus);
	acks_abandon(bus);
	burials_abandon(bus);
	publishes_abandon(bus);
	auths_abandon(bus);
	commands_abandon(bus);
	queues_destroy(bus);
	bus->webhook = webhook_destroy(bus->webhook);
	list_for_each_safe (it, &bus->applications)
		free(container_of(it, struct application, link));
	(void)failures_destroy(bus->failures);
	(void)dedup_destroy(bus->dedup);
	buf_fini(&bus->scratch);
	free(bus);
}

/* The account in the configuration, or the only one. */
static int choose_account(struct longpoll *bus, struct err *e)
{
	const char *sid = bus->conf->account;

	if (!bus->env.http || !bus->env.accounts)
		return err_set(e, -EINVAL, "the long-poll bus needs the HTTP server and accounts");
	bus->account = sid ? accounts_find(bus->env.accounts, str_from(sid))
			   : accounts_only(bus->env.accounts);
	if (bus->account)
		return 0;
	return sid ? err_set(e, -EINVAL, "account \"%s\" is not among the accounts", sid)
		   : err_set(e, -EINVAL, "account must be given: there is not exactly one");
}

static int make_path(struct longpoll *bus)
{
	int rc = buf_addc(&bus->path, '/');

	if (rc == 0)
		rc = buf_add(&bus->path, account_sid(bus->account));
	return rc < 0 ? rc : buf_addc(&bus->path, '/');
}

static int create(struct port *port, const struct port_env *env, const void *conf, void **ret,
		  struct err *e)
{
	struct longpoll *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return err_set(e, -ENOMEM, "no memory");
	bus->port = port;
	bus->env = *env;
	bus->conf = conf;
	list_init(&bus->applications);
	list_init(&bus->parcels);
	list_init(&bus->feeds);
	list_init(&bus->loans);
	map_init(&bus->lent);
	list_init(&bus->acks);
	list_init(&bus->burials);
	list_init(&bus->publishes);
	list_init(&bus->auths);
	list_init(&bus->commands);
	map_init(&bus->queues);
	list_init(&bus->serving);
	list_init(&bus->paces);
	task_init(&bus->serve, env->loop, queues_serve, bus);
	bus->unread = (struct streams_watch){ .fn = queues_unread, .arg = bus };
	list_init(&bus->unread.link);
	list_init(&bus->stored.link);
	buf_init(&bus->scratch, OBJECT_MAX);
	buf_init(&bus->path, PATH_MAX_BYTES);
	task_init(&bus->closed, env->loop, closed, bus);
	int rc = choose_account(bus, e);
	if (rc == 0 && (make_path(bus) < 0 || failures_create(env->loop, &bus->failures) < 0 ||
			port_set_scope(port, account_sid(bus->account)) < 0))
		rc = err_set(e, -ENOMEM, "no memory");
	if (rc < 0) {
		destroy(bus);
		return rc;
	}
	*ret = bus;
	return 0;
}

static void add_application(void *arg, const struct application_view *view)
{
	struct longpoll *bus = arg;

	if (strcmp(view->bus, bus->env.name) != 0)
		return;
	struct application *application = calloc(1, sizeof(*application) + view->name.n);
	if (!application)
		return;
	application->record = view->record;
	application->n = view->name.n;
	memcpy(application->name, view->name.p, view->name.n);
	list_add_tail(&bus->applications, &application->link);
}

/* shared: another port of this kind may have it already. */
static int mount(struct longpoll *bus, struct str prefix, http_handler fn, bool shared,
		 struct err *e)
{
	const struct http_mount m = { .prefix = prefix,
				      .body_max = bus->conf->body_max,
				      .handle = fn,
				      .arg = bus,
				      .headers = answer_cors,
				      .n_headers = ANSWER_CORS };
	int rc = http_server_mount(bus->env.http, &m);

	if (rc == 0 || (rc == -EEXIST && shared))
		return 0;
	return err_set(e, rc, "can't serve %.*s: %s", STR_ARG(prefix), strerror(-rc));
}

static int make_calls(struct longpoll *bus, struct err *e)
{
	bus->webhook = webhook_create(&(struct webhook_options){ .loop = bus->env.loop,
								 .log = bus->env.log,
								 .park_ms = bus->conf->park_ms,
								 .on_changed = call_events_changed,
								 .arg = bus });
	return bus->webhook ? 0 : err_set(e, -ENOMEM, "no memory");
}

static int start(void *self, struct err *e)
{
	struct longpoll *bus = self;
	struct streams *streams = hub_streams(bus->env.hub);
	struct str path = buf_str(&bus->path);

	if (dedup_create(bus->env.loop, streams_journal(streams), account_sid(bus->account),
			 &bus->dedup) < 0)
		return err_set(e, -ENOMEM, "no memory");
	if (make_calls(bus, e) < 0)
		return -ENOMEM;
	/* Not before what an earlier run wrote, should the wall clock have been set back since. */
	if (streams_journal(streams))
		bus->last_created_ns = (journal_now_ms(streams_journal(streams)) + 1) * 1000000;
	hub_each_application(bus->env.hub, add_application, bus);
	streams_watch(streams, &bus->unread);
	bus->stored.prefix = str_skip(path, 1);
	streams_meter(streams, &bus->stored);
	int rc = mount(bus, str_make(path.p, path.n - 1), handle, false, e);
	if (rc == 0)
		rc = mount(bus, STR("/auth"), auth_handle, true, e);
	if (rc == 0)
		rc = mount(bus, STR("/"), handle, true, e);
	if (rc == 0)
		port_set_state(bus->port, PORT_UP, "");
	return rc;
}

static void settle(void *self, uint64_t tag, int result)
{
	command_settle(self, tag, result);
}

static void pause_commands(void *self, bool on)
{
	struct longpoll *bus = self;

	bus->paused = on;
}

static void stop(void *self)
{
	struct longpoll *bus = self;

	bus->stopped = true;
	paces_end(bus);
	feeds_stop(bus);
	queues_release_waiters(bus);
	/* What is being moved to another queue would be in both after the next start. */
	if (!bus->copies)
		task_defer(&bus->closed);
}

static size_t stats(void *self, struct port_stat *ret, size_t n)
{
	const struct longpoll *bus = self;
	const struct webhook *calls = bus->webhook;
	const struct port_stat all[] = {
		{ "waiters", "Polls that wait now.", true, bus->waiters },
		{ "polls", "Polls taken.", false, bus->polls },
		{ "published", "Messages acknowledged to publishers.", false, bus->published },
		{ "delivered", "Messages that pollers have got.", false, bus->delivered },
		{ "redelivered", "Messages handed out again.", false, bus->redelivered },
		{ "auth_failures", "Requests refused for their credentials.", false,
		  bus->auth_failures },
		{ "stored_bytes", "What the journal keeps of the account's queues.", true,
		  bus->stored.bytes },
		{ "signature_failures", "Publishes refused for a signature that is wrong.", false,
		  bus->signature_failures },
		{ "limited", "Publishes refused for the rate.", false, bus->limited },
		{ "repetitions", "Publishes of what had come before: not stored again.", false,
		  bus->repetitions },
		{ "remembered", "Messages whose repetition would be known.", true,
		  bus->dedup ? dedup_count(bus->dedup) : 0 },
		{ "forgotten", "Of these, those that went early to make room.", false,
		  bus->dedup ? dedup_evicted(bus->dedup) : 0 },
		{ "over_quota", "Publishes refused for the quota.", false, bus->over_quota },
		{ "lent", "Messages leased to readers, or kept for one that comes back.", true,
		  bus->lent.count },
		{ "dead", "Messages moved to a queue of dead ones.", false, bus->dead },
		{ "oversized", "Messages dropped because no answer could hold them.", false,
		  bus->oversized },
		{ "calls_held", "Calls whose requests wait for instructions.", true,
		  calls ? webhook_count(calls, CALL_HELD) : 0 },
		{ "calls_parked", "Calls that were answered and may ask again.", true,
		  calls ? webhook_count(calls, CALL_PARKED) : 0 },
		{ "calls_answered", "Requests of calls answered with instructions.", false,
		  bus->calls_answered },
		{ "calls_redirected", "Requests of calls told to come again.", false,
		  bus->calls_redirected },
		{ "event_bytes", "Events in memory, of queues of calls.", true, bus->event_bytes },
		{ "calls_missed", "Events of calls that ended before anybody read of them.", false,
		  bus->calls_missed },
	};
	size_t n_all = sizeof(all) / sizeof(all[0]);

	if (n > n_all)
		n = n_all;
	memcpy(ret, all, n * sizeof(all[0]));
	return n;
}

const struct port_ops longpoll_bus_ops = {
	.name = "longpoll",
	.roles = PORT_BUS | PORT_PULL,
	.create = create,
	.start = start,
	.settle = settle,
	.pause = pause_commands,
	.stop = stop,
	.destroy = destroy,
	.stats = stats,
	.queues = &longpoll_queues,
};
