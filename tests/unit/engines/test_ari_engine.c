/* SPDX-License-Identifier: MIT */
/*
 * The engine between an Asterisk made of our own HTTP server and a port made of this file: what takes
 * half a minute in life (retries, standing down, taking back) takes none here.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/json.h"
#include "engines/asterisk/ari.h"
#include "engines/asterisk/ari_conf.h"
#include "net/http_server.h"
#include "net/ws.h"

/* DIALLED in place of an on_replaced: Asterisk dials, and REST goes by its websocket. */
enum { DIALLED = 99, HELD_MAX = 2048, TURNS = 20000, LOG_MAX = 65536 };

/* What the port was told. */
struct port {
	enum port_state state;
	char reason[512];
	struct buf log; /* "StasisStart StasisEnd! 204 bind:c ..."; '!' = made up */
	size_t events, replies, binds, ends;
	bool writable;
};

struct world {
	struct loop *loop;
	struct http_server *server;
	struct port port;
	struct ari_conf conf;
	char url[64], app[8];
	char *apps[1];
	void *engine;
	struct ws *ws; /* the newest one of the fake Asterisk */
	size_t sockets;
	bool open, ended, hold;
	int handshake; /* a status, or 0 = good */
	int application_status, command_status;
	const char *channels;
	struct http_request *held[HELD_MAX];
	size_t n_held;
};

/* ---- the port */

int port_deliver(struct port *port, const struct delivery *d)
{
	int rc;

	if (d->kind == MSG_REPLY) {
		port->replies++;
		for (size_t i = 0; i < d->n_objects; i++)
			port->ends += (d->objects[i].verbs & OBJECT_ENDS) != 0;
		rc = buf_addf(&port->log, "%d ", d->status);
	} else {
		port->events++;
		rc = buf_addf(&port->log, "%.*s%s ", STR_ARG(d->type),
			      d->flags & MSG_SYNTHETIC ? "!" : "");
	}
	assert_true(rc == 0 || rc == -ENOBUFS);
	return 0;
}

int port_bind(struct port *port, const struct msg *command, const struct object_ref *objects,
	      size_t n)
{
	port->binds += n;
	return 0;
}

void port_set_state(struct port *port, enum port_state state, const char *reason)
{
	port->state = state;
	(void)snprintf(port->reason, sizeof(port->reason), "%s", reason);
	assert_null(strstr(reason, "s3cret"));
}

void port_writable(struct port *port)
{
	port->writable = true;
}

const struct str *port_dropped(const struct port *port, struct str application, size_t *ret_n)
{
	*ret_n = 0;
	return NULL;
}

/* ---- the fake Asterisk */

static void answer(struct http_request *request, int status, struct str body)
{
	struct http_reply reply = { status, STR("application/json"), NULL, 0, body };

	http_reply(request, &reply);
}

static void on_rest(void *arg, struct http_request *request)
{
	struct world *w = arg;
	const struct http_request_info *info = http_request_info(request);

	if (w->hold) {
		assert_true(w->n_held < HELD_MAX);
		w->held[w->n_held++] = request;
	} else if (str_eq(info->path, STR("/ari/channels")) && str_eq(info->method, STR("GET"))) {
		answer(request, 200, str_from(w->channels));
	} else if (str_eq(info->path, STR("/ari/bridges"))) {
		answer(request, 200, STR("[]"));
	} else if (str_starts(info->path, STR("/ari/applications/"))) {
		answer(request, w->application_status, STR("{\"channel_ids\":[\"c\"]}"));
	} else {
		answer(request, w->command_status, STR("{\"id\":\"made\"}"));
	}
}

static void on_peer_open(void *arg)
{
	((struct world *)arg)->open = true;
}

static void on_peer_end(void *arg, int reason, int code, struct str text)
{
	struct world *w = arg;

	w->ended = true;
	w->open = false;
	w->ws = ws_destroy(w->ws);
}

static void on_socket(void *arg, struct http_request *request)
{
	static const struct ws_events events = { .on_open = on_peer_open, .on_end = on_peer_end };
	struct ws_options options = { .protocol = STR("ari"), .dead_ms = UINT32_MAX };
	struct world *w = arg;

	w->sockets++;
	assert_true(str_eq(http_request_info(request)->query, STR("app=h%C3%A4")));
	/* ari:s3cret */
	assert_true(str_eq(http_request_header(request, STR("Authorization")),
			   STR("Basic YXJpOnMzY3JldA==")));
	if (w->handshake) {
		answer(request, w->handshake, STR("{}"));
		return;
	}
	w->ws = ws_destroy(w->ws);
	w->ended = false;
	assert_int_equal(ws_accept(w->loop, request, &options, &events, w, &w->ws), 0);
}

static void say(struct world *w, const char *frame)
{
	assert_non_null(w->ws);
	assert_int_equal(ws_send(w->ws, str_from(frame), true), 0);
}

/* ---- the world */

static void turn_until(struct world *w, bool (*done)(struct world *w), const char *what)
{
	for (int i = 0; i < TURNS; i++) {
		if (done(w))
			return;
		loop_turn(w->loop);
		if (i > 1000)
			(void)usleep(100);
	}
	fail_msg("%s; state %d %s, log %.*s", what, (int)w->port.state, w->port.reason,
		 STR_ARG(buf_str(&w->port.log)));
}

static bool is_up(struct world *w)
{
	return w->port.state == PORT_UP;
}

static bool is_failed(struct world *w)
{
	return w->port.state == PORT_FAILED;
}

static bool is_down(struct world *w)
{
	return w->port.state == PORT_DOWN;
}

static bool is_closed(struct world *w)
{
	return w->port.state == PORT_CLOSED;
}

static bool has_ended(struct world *w)
{
	return w->ended;
}

/* For what must not happen: many turns. */
static void turn_on(struct world *w)
{
	for (int i = 0; i < 300; i++) {
		loop_turn(w->loop);
		(void)usleep(100);
	}
}

static void advance(struct world *w, uint64_t ms)
{
	/* In steps, so that sockets keep up with pings and time-outs. */
	for (; ms > 500; ms -= 500) {
		loop_test_advance(w->loop, 500);
		loop_turn(w->loop);
	}
	loop_test_advance(w->loop, ms);
}

static void world_create(struct world *w, int on_replaced)
{
	const struct http_mount events = { STR("/ari/events"), 1024, on_socket, w };
	const struct http_mount rest = { STR("/ari"), 65536, on_rest, w };
	struct port_env env = { .name = "pbx1", .node = "n" };
	struct err e;
	bool server = on_replaced == DIALLED;

	memset(w, 0, sizeof(*w));
	buf_init(&w->port.log, LOG_MAX);
	w->channels = "[]";
	w->application_status = w->command_status = 200;
	assert_int_equal(loop_create_manual(&w->loop), 0);
	assert_int_equal(http_server_create(w->loop, NULL, NULL, &w->server), 0);
	assert_int_equal(http_server_mount(w->server, &events), 0);
	assert_int_equal(http_server_mount(w->server, &rest), 0);
	assert_int_equal(http_server_listen(w->server, STR("127.0.0.1:0"), &e), 0);
	(void)snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d/ari/",
		       http_server_port(w->server, 0));
	memcpy(w->app, "h\xc3\xa4", 4);
	w->apps[0] = w->app;
	w->conf = (struct ari_conf){
		.name = (char *)"pbx1",
		.url = w->url,
		.username = (char *)"ari",
		.applications = { w->apps, 1 },
		.connections = 1,
		.ping_ms = 1000000,
		.stale_ms = 2000000,
		.dead_ms = 3000000,
		.timeout_ms = 1000000,
		.on_replaced = server ? ARI_STAND_DOWN : on_replaced,
		.websocket = server ? ARI_WEBSOCKET_SERVER : ARI_WEBSOCKET_CLIENT,
		.rest = server ? ARI_REST_WEBSOCKET : ARI_REST_HTTP,
		.server_username = (char *)"u",
	};
	assert_int_equal(secret_set(&w->conf.password, STR("s3cret")), 0);
	assert_int_equal(secret_set(&w->conf.server_password, STR("p")), 0);
	env.loop = w->loop;
	env.http = w->server;
	assert_int_equal(ari_engine_ops.create(&w->port, &env, &w->conf, &w->engine, &e), 0);
}

static void world_start(struct world *w)
{
	struct err e;

	assert_int_equal(ari_engine_ops.start(w->engine, &e), 0);
}

static void world_destroy(struct world *w)
{
	ari_engine_ops.stop(w->engine);
	turn_until(w, is_closed, "not closed");
	ari_engine_ops.destroy(w->engine);
	w->ws = ws_destroy(w->ws);
	(void)http_server_destroy(w->server);
	secret_fini(&w->conf.password);
	secret_fini(&w->conf.server_password);
	buf_fini(&w->port.log);
	(void)loop_destroy(w->loop);
}

static int command(struct world *w, const char *method, const char *target, const char *body)
{
	struct msg init = { .kind = MSG_COMMAND,
			    .type = str_from(method),
			    .target = str_from(target),
			    .application = str_from(w->app),
			    .payload = blob_create(str_from(body)) };
	struct msg *m = msg_create(&init);
	int rc;

	assert_non_null(m);
	rc = ari_engine_ops.send(w->engine, m);
	(void)msg_unref(m);
	(void)blob_unref(init.payload);
	return rc;
}

static bool logged(const struct world *w, const char *what)
{
	return str_eq(str_trim(buf_str(&w->port.log)), str_from(what));
}

/* ---- tests */

static void wrong_password_is_tried_again_after_half_a_minute(void **state)
{
	struct world w;

	world_create(&w, ARI_STAND_DOWN);
	w.handshake = 401;
	world_start(&w);
	turn_until(&w, is_failed, "no fault");
	assert_non_null(strstr(w.port.reason, "wrong user name or password"));
	assert_non_null(strstr(w.port.reason, "application \"h\xc3\xa4\""));
	w.handshake = 0;
	advance(&w, 29000);
	turn_on(&w);
	assert_int_equal(w.sockets, 1);
	advance(&w, 1001);
	turn_until(&w, is_up, "not up");
	assert_string_equal(w.port.reason, "");
	world_destroy(&w);
}

#define REPLACED "{\"type\":\"ApplicationReplaced\",\"application\":\"h\xc3\xa4\"}"

static void replaced_application_is_left_alone_until_asterisk_forgets_it(void **state)
{
	struct world w;

	world_create(&w, ARI_STAND_DOWN);
	world_start(&w);
	turn_until(&w, is_up, "not up");
	say(&w, REPLACED);
	turn_until(&w, is_failed, "no fault");
	turn_until(&w, has_ended, "the socket stays open");
	assert_non_null(strstr(w.port.reason, "taken over"));
	advance(&w, 60001);
	turn_on(&w);
	advance(&w, 60001);
	turn_on(&w);
	assert_int_equal(w.sockets, 1);
	assert_true(is_failed(&w));
	w.application_status = 404;
	advance(&w, 60001);
	turn_until(&w, is_up, "not up");
	assert_int_equal(w.sockets, 2);
	world_destroy(&w);
}

static void replaced_application_is_reclaimed_once(void **state)
{
	struct world w;

	world_create(&w, ARI_RECLAIM);
	world_start(&w);
	turn_until(&w, is_up, "not up");
	say(&w, REPLACED);
	turn_until(&w, is_down, "still up");
	advance(&w, 29000);
	turn_on(&w);
	assert_int_equal(w.sockets, 1);
	advance(&w, 11001);
	turn_until(&w, is_up, "not up");
	assert_int_equal(w.sockets, 2);
	say(&w, REPLACED);
	turn_until(&w, is_failed, "no fault");
	advance(&w, 50000);
	turn_on(&w);
	assert_int_equal(w.sockets, 2);
	world_destroy(&w);
}

static bool all_asked(struct world *w)
{
	return w->n_held == 1 && w->open;
}

static void frames_that_are_too_many_skip_the_resync(void **state)
{
	struct world w;

	world_create(&w, ARI_STAND_DOWN);
	w.hold = true;
	world_start(&w);
	turn_until(&w, all_asked, "not asked");
	for (int i = 0; i < 10001; i++) {
		say(&w, "{\"type\":\"ChannelVarset\"}");
		loop_turn(w.loop);
		assert_true(w.port.events == 0 || w.port.events >= 10001);
	}
	turn_until(&w, is_up, "not up");
	assert_int_equal(w.port.events, 10001);
	w.hold = false;
	answer(w.held[0], 200, STR("{}"));
	turn_on(&w);
	assert_int_equal(w.port.events, 10001);
	world_destroy(&w);
}

static void adopted_objects_that_are_gone_are_ended(void **state)
{
	const struct object_ref gone = { OBJECT_CHANNEL, 0, STR("gone") };
	const struct object_ref here = { OBJECT_CHANNEL, 0, STR("c") };
	const struct object_ref bridge = { OBJECT_BRIDGE, 0, STR("b") };
	struct world w;

	world_create(&w, ARI_STAND_DOWN);
	w.channels = "[{\"id\":\"c\",\"state\":\"Up\",\"dialplan\":{\"app_name\":\"Stasis\","
		     "\"app_data\":\"h\xc3\xa4\"}}]";
	ari_engine_ops.adopt(w.engine, str_from(w.app), &gone, 1);
	ari_engine_ops.adopt(w.engine, str_from(w.app), &here, 1);
	ari_engine_ops.adopt(w.engine, str_from(w.app), &bridge, 1);
	ari_engine_ops.adopt(w.engine, STR("other"), &gone, 1);
	world_start(&w);
	turn_on(&w);
	assert_false(is_up(&w)); /* what the answers overtook is waited for */
	advance(&w, 100);
	turn_until(&w, is_up, "not up");
	assert_true(
		logged(&w, "ChannelStateChange! StasisEnd! ChannelDestroyed! BridgeDestroyed!"));
	world_destroy(&w);
}

static bool has_reply(struct world *w)
{
	return w->port.replies > 0;
}

static void failed_command_lets_its_objects_go(void **state)
{
	struct world w;

	world_create(&w, ARI_STAND_DOWN);
	world_start(&w);
	turn_until(&w, is_up, "not up");
	w.command_status = 409;
	assert_int_equal(command(&w, "POST", "/channels/x", "{\"otherChannelId\":\"y\"}"), 0);
	assert_int_equal(w.port.binds, 2);
	turn_until(&w, has_reply, "no reply");
	assert_int_equal(w.port.ends, 2);
	/* let go: bound again by the next; and not twice while it is known */
	w.command_status = 200;
	w.port.replies = 0;
	assert_int_equal(command(&w, "POST", "/channels/x", ""), 0);
	assert_int_equal(command(&w, "POST", "/channels/x", ""), 0);
	assert_int_equal(w.port.binds, 3);
	turn_until(&w, has_reply, "no reply");
	world_destroy(&w);
}

static void command_that_can_not_be_sent_is_answered_in_a_later_turn(void **state)
{
	struct world w;

	world_create(&w, ARI_STAND_DOWN);
	world_start(&w);
	turn_until(&w, is_up, "not up");
	assert_int_equal(command(&w, "POST", "/..", ""), 0);
	assert_int_equal(command(&w, "no method", "/x", ""), 0);
	assert_int_equal(w.port.replies, 0);
	turn_until(&w, has_reply, "no reply");
	assert_true(logged(&w, "400 400"));
	world_destroy(&w);
}

static bool is_writable(struct world *w)
{
	return w->port.writable;
}

static void full_queue_refuses_until_there_is_room(void **state)
{
	struct world w;
	size_t sent = 0;

	world_create(&w, ARI_STAND_DOWN);
	world_start(&w);
	turn_until(&w, is_up, "not up");
	w.hold = true;
	while (command(&w, "GET", "/x", "") == 0)
		assert_true(++sent < 5000);
	assert_true(sent > 100);
	assert_int_equal(command(&w, "GET", "/x", ""), -EAGAIN);
	for (int i = 0; i < 1000 && !w.n_held; i++) {
		loop_turn(w.loop);
		(void)usleep(100);
	}
	assert_int_equal(w.n_held, 1);
	assert_false(w.port.writable);
	w.hold = false;
	answer(w.held[0], 200, STR("{}"));
	turn_until(&w, is_writable, "no room");
	assert_int_equal(command(&w, "GET", "/x", ""), 0);
	/* stopped with a thousand under way */
	world_destroy(&w);
}

static void bad_configuration_is_refused_with_a_sentence(void **state)
{
	struct ari_conf conf = { .name = (char *)"p",
				 .url = (char *)"https://127.0.0.1/ari",
				 .username = (char *)"u",
				 .connections = 1 };
	struct port port = { 0 };
	struct port_env env = { .name = "p", .node = "n" };
	void *engine = NULL;
	struct err e = { "" };

	assert_int_equal(loop_create_manual(&env.loop), 0);
	assert_true(ari_engine_ops.create(&port, &env, &conf, &engine, &e) < 0);
	assert_true(strlen(e.text) > 10);
	conf.url = (char *)"http://127.0.0.1/ari";
	e.text[0] = '\0';
	assert_true(ari_engine_ops.create(&port, &env, &conf, &engine, &e) < 0);
	assert_non_null(strstr(e.text, "no application"));
	ari_engine_ops.destroy(NULL);
	(void)loop_destroy(env.loop);
}

/* A RESTRequest is answered with an empty list, or 204 when it is a command. */
static void on_asked(void *arg, struct str data, bool text)
{
	struct world *w = arg;
	char frame[256], id[32];
	struct json doc = json_peek(data);
	struct str number;
	bool get = json_is(json_get(doc, STR("method")), STR("GET"));

	assert_int_equal(json_string(json_get(doc, STR("request_id")), id, sizeof(id), &number), 0);
	(void)snprintf(frame, sizeof(frame),
		       "{\"type\":\"RESTResponse\",\"request_id\":\"%.*s\",\"status_code\":%d%s}",
		       STR_ARG(number), get ? 200 : 204, get ? ",\"message_body\":\"[]\"" : "");
	assert_int_equal(ws_send(w->ws, str_from(frame), true), 0);
}

static void dial(struct world *w)
{
	static const struct ws_events events = { .on_open = on_peer_open,
						 .on_message = on_asked,
						 .on_end = on_peer_end };
	struct ws_options options = { .protocol = STR("ari"),
				      .authorization = STR("Basic dTpw"), /* u:p */
				      .dead_ms = UINT32_MAX };
	char url[80];
	struct err e;

	(void)snprintf(url, sizeof(url), "%spbx1", w->url);
	assert_int_equal(ws_connect(w->loop, str_from(url), &options, &events, w, &w->ws, &e), 0);
}

#define OF_HAE ",\"application\":\"h\xc3\xa4\"}"

static void what_asterisk_had_kept_comes_before_it_is_compared_with(void **state)
{
	struct world w;

	world_create(&w, DIALLED);
	world_start(&w);
	assert_non_null(strstr(w.port.reason, "waiting for Asterisk to dial /ari/pbx1"));
	dial(&w);
	turn_on(&w);
	assert_true(w.open);
	say(&w, "{\"type\":\"StasisStart\",\"channel\":{\"id\":\"c\"}" OF_HAE);
	say(&w, "{\"type\":\"StasisEnd\",\"channel\":{\"id\":\"c\"}" OF_HAE);
	say(&w, "{\"type\":\"ApplicationRegistered\"" OF_HAE);
	turn_until(&w, is_up, "not up");
	assert_int_equal(command(&w, "POST", "/channels/c/answer", ""), 0);
	turn_until(&w, has_reply, "no reply");
	assert_true(logged(&w, "StasisStart StasisEnd ApplicationRegistered 204"));
	w.ws = ws_destroy(w.ws);
	turn_until(&w, is_down, "still up");
	world_destroy(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_password_is_tried_again_after_half_a_minute),
		cmocka_unit_test(replaced_application_is_left_alone_until_asterisk_forgets_it),
		cmocka_unit_test(replaced_application_is_reclaimed_once),
		cmocka_unit_test(frames_that_are_too_many_skip_the_resync),
		cmocka_unit_test(adopted_objects_that_are_gone_are_ended),
		cmocka_unit_test(failed_command_lets_its_objects_go),
		cmocka_unit_test(command_that_can_not_be_sent_is_answered_in_a_later_turn),
		cmocka_unit_test(full_queue_refuses_until_there_is_room),
		cmocka_unit_test(bad_configuration_is_refused_with_a_sentence),
		cmocka_unit_test(what_asterisk_had_kept_comes_before_it_is_compared_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
