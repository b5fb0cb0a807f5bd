/* SPDX-License-Identifier: MIT */
/*
 * The contract's row of the asterisk engine: its outside is an Asterisk of one HTTP server with a
 * WebSocket, which holds every command until the test answers it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "contract.h"
#include "engines/asterisk/ari.h"
#include "engines/asterisk/ari_conf.h"
#include "net/ws.h"

enum { HELD_MAX = 64 };

struct outside {
	struct contract *contract;
	struct http_server *server;
	struct ari_conf conf;
	char url[64], app[8];
	char *apps[1];
	struct ws *ws;
	bool away;
	struct http_request *held[HELD_MAX];
	size_t n_held;
};

static void reply(struct http_request *request, int status, struct str body)
{
	struct http_reply r = { status, STR("application/json"), NULL, 0, body };

	http_reply(request, &r);
}

/* Its client is gone: it must not be answered any more. */
static void on_gone(void *arg)
{
	struct outside *o = arg;

	o->n_held = 0;
}

static void on_rest(void *arg, struct http_request *request)
{
	struct outside *o = arg;
	const struct http_request_info *info = http_request_info(request);

	if (str_eq(info->path, STR("/ari/channels")) || str_eq(info->path, STR("/ari/bridges"))) {
		reply(request, 200, STR("[]"));
	} else if (str_starts(info->path, STR("/ari/applications/"))) {
		reply(request, 200, STR("{\"channel_ids\":[]}"));
	} else {
		assert_true(o->n_held < HELD_MAX);
		http_request_on_gone(request, on_gone, o);
		o->held[o->n_held++] = request;
	}
}

static void on_open(void *arg)
{
	(void)arg;
}

static void on_end(void *arg, int reason, int code, struct str text)
{
	struct outside *o = arg;

	o->ws = ws_destroy(o->ws);
}

static void on_socket(void *arg, struct http_request *request)
{
	static const struct ws_events events = { .on_open = on_open, .on_end = on_end };
	struct ws_options options = { .protocol = STR("ari"), .dead_ms = UINT32_MAX };
	struct outside *o = arg;

	if (o->away) {
		reply(request, 503, STR("{}"));
		return;
	}
	o->ws = ws_destroy(o->ws);
	assert_int_equal(ws_accept(o->contract->loop, request, &options, &events, o, &o->ws), 0);
}

static void setup(struct contract *c, const void **conf)
{
	struct outside *o = calloc(1, sizeof(*o));
	const struct http_mount events = { STR("/ari/events"), 1024, on_socket, o };
	const struct http_mount rest = { STR("/ari"), 65536, on_rest, o };
	struct err e;

	assert_non_null(o);
	o->contract = c;
	assert_int_equal(http_server_create(c->loop, NULL, NULL, &o->server), 0);
	assert_int_equal(http_server_mount(o->server, &events), 0);
	assert_int_equal(http_server_mount(o->server, &rest), 0);
	assert_int_equal(http_server_listen(o->server, STR("127.0.0.1:0"), &e), 0);
	(void)snprintf(o->url, sizeof(o->url), "http://127.0.0.1:%d/ari/",
		       http_server_port(o->server, 0));
	memcpy(o->app, "app", 4);
	o->apps[0] = o->app;
	o->conf = (struct ari_conf){ .name = (char *)"pbx1",
				     .url = o->url,
				     .username = (char *)"ari",
				     .applications = { o->apps, 1 },
				     .connections = 1,
				     .ping_ms = 1000000,
				     .stale_ms = 2000000,
				     .dead_ms = 3000000,
				     .timeout_ms = 1000000 };
	assert_int_equal(secret_set(&o->conf.password, STR("s3cret")), 0);
	c->outside = o;
	*conf = &o->conf;
}

static void teardown(struct contract *c)
{
	struct outside *o = c->outside;

	o->ws = ws_destroy(o->ws);
	(void)http_server_destroy(o->server);
	secret_fini(&o->conf.password);
	free(o);
}

static bool answer(struct contract *c, bool good)
{
	struct outside *o = c->outside;
	struct http_request *first = o->held[0];

	if (!o->n_held)
		return false;
	o->n_held--;
	memmove(o->held, o->held + 1, o->n_held * sizeof(o->held[0]));
	reply(first, good ? 200 : 500, STR("{}"));
	return true;
}

static void lose(struct contract *c)
{
	struct outside *o = c->outside;

	o->away = true;
	o->ws = ws_destroy(o->ws);
}

static void restore(struct contract *c)
{
	((struct outside *)c->outside)->away = false;
}

const struct contract_row contract_asterisk = {
	.what = "the asterisk engine",
	.ops = &ari_engine_ops,
	.setup = setup,
	.teardown = teardown,
	.answer = answer,
	.lose = lose,
	.restore = restore,
	.back_ms = 60000,
};
