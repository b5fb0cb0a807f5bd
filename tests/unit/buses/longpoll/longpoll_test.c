/* SPDX-License-Identifier: MIT */
#include "longpoll_test.h"

#include "base/clock.h"

static void on_command(void *arg, struct msg *msg)
{
	struct world *w = arg;

	(void)msg_unref(w->command);
	w->command = msg_ref(msg);
}

static void hub_stopped(void *arg)
{
	*(bool *)arg = true;
}

static void add_ports(struct world *w)
{
	struct port *engine, *other;
	struct err e = { "" };

	w->conf = (struct longpoll_conf){ .name = (char *)"http",
					  .account = (char *)"AC1",
					  .poll_timeout_ms = 15000,
					  .body_max = 1 << 20,
					  .hold_ms = 10000,
					  .park_ms = 15000,

					  .deliveries_max = 3 };
	w->engine_conf = (struct memory_conf){ .ret = &w->engine, .on_send = on_command, .arg = w };
	assert_int_equal(hub_add_port(w->hub, &longpoll_bus_ops, "http", &w->conf, &w->bus, &e), 0);
	assert_int_equal(hub_add_port(w->hub, &memory_bus_ops, "other", &w->other_conf, &other, &e),
			 0);
	assert_int_equal(
		hub_add_port(w->hub, &memory_engine_ops, "pbx", &w->engine_conf, &engine, &e), 0);
	assert_int_equal(
		hub_add_application(w->hub, STR("hello"),
				    &(struct application_options){ .bus = w->bus, .record = true }),
		0);
	assert_int_equal(
		hub_add_application(w->hub, STR("elsewhere"),
				    &(struct application_options){ .bus = other, .record = true }),
		0);
}

static uint64_t an_hour_later(void *arg)
{
	(void)arg;
	return clock_wall_ms() + 3600000;
}

static void open_journal(struct world *w, bool later)
{
	char dir[] = "/tmp/voxbus-test-XXXXXX";
	struct journal_options options = { .dir = dir };
	struct journal_events events;
	struct journal_inject inject = {
		.loop = w->loop, .options = &options, .events = &events, .stepped = true
	};
	if (later)
		inject.wall_ms = an_hour_later;
	struct err e;

	assert_non_null(mkdtemp(dir));
	streams_journal_events(w->streams, &events);
	assert_int_equal(journal_open_injected(&inject, &w->journal, &e), 0);
	assert_int_equal(streams_set_journal(w->streams, w->journal), 0);
}

enum with { NO_JOURNAL, JOURNAL, JOURNAL_LATER };

static int setup(void **state, enum with with)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err e = { "" };
	uint64_t lsn;

	assert_int_equal(loop_create_manual(&w->loop), 0);
	assert_int_equal(streams_create(w->loop, NULL, NULL, &w->streams), 0);
	if (with != NO_JOURNAL)
		open_journal(w, with == JOURNAL_LATER);
	assert_int_equal(accounts_create(w->loop, w->journal, &w->accounts), 0);
	assert_int_equal(accounts_add(w->accounts, STR("AC1"), STR("secret")), 0);
	assert_int_equal(accounts_add(w->accounts, STR("AC2"), STR("other")), 0);
	assert_int_equal(http_server_create(w->loop, NULL, NULL, &w->http), 0);
	const struct hub_options options = { .loop = w->loop,
					     .node = "node1",
					     .journal = w->journal,
					     .streams = w->streams,
					     .http = w->http,
					     .accounts = w->accounts,
					     .commands_max = 3 };
	assert_int_equal(hub_create(&options, &w->hub), 0);
	add_ports(w);
	assert_int_equal(hub_start(w->hub, &e), 0);
	assert_int_equal(http_server_listen(w->http, STR("127.0.0.1:0"), &e), 0);
	w->port = http_server_port(w->http, 0);
	assert_int_equal(
		session_create(accounts_find(w->accounts, STR("AC1")), 3600000, w->session, &lsn),
		0);
	assert_int_equal(
		session_create(accounts_find(w->accounts, STR("AC2")), 3600000, w->foreign, &lsn),
		0);
	run_some(w->loop);
	*state = w;
	return 0;
}

int world_setup(void **state)
{
	return setup(state, NO_JOURNAL);
}

int world_setup_journal(void **state)
{
	return setup(state, JOURNAL);
}

int world_setup_clock_back(void **state)
{
	return setup(state, JOURNAL_LATER);
}

int world_teardown(void **state)
{
	struct world *w = *state;
	bool stopped = false;

	if (w->hub) { /* a test may have ended it */
		hub_stop(w->hub, 1000, hub_stopped, &stopped);
		RUN_UNTIL(w->loop, stopped);
	}
	w->http = http_server_destroy(w->http);
	(void)hub_destroy(w->hub);
	(void)msg_unref(w->command);
	(void)accounts_destroy(w->accounts);
	(void)journal_close(w->journal);
	(void)streams_destroy(w->streams);
	(void)loop_destroy(w->loop);
	free(w);
	return 0;
}

static void keep_id(void *arg, const struct dialog_view *view)
{
	struct world *w = arg;

	(void)snprintf(w->dialog, sizeof(w->dialog), "%.*s", STR_ARG(view->id));
}

void world_call(struct world *w)
{
	const struct object_ref channel = { OBJECT_CHANNEL, OBJECT_OPENS | OBJECT_BINDS,
					    STR("chan1") };
	const struct delivery event = { .kind = MSG_EVENT,
					.application = STR("hello"),
					.node = STR("pbx1"),
					.type = STR("StasisStart"),
					.objects = &channel,
					.n_objects = 1,
					.payload = STR("{\"type\":\"StasisStart\"}") };

	assert_int_equal(port_deliver(memory_port_port(w->engine), &event), 0);
	run_some(w->loop);
	hub_each_dialog(w->hub, keep_id, w);
	assert_int_equal(strlen(w->dialog), 36);
}

struct wanted {
	const char *name;
	uint64_t value;
};

static void find_stat(void *arg, const struct port_view *view)
{
	struct wanted *wanted = arg;

	if (strcmp(view->name, "http") != 0)
		return;
	for (size_t i = 0; i < view->n_stats; i++)
		if (strcmp(view->stats[i].name, wanted->name) == 0)
			wanted->value = view->stats[i].value;
}

uint64_t world_stat(struct world *w, const char *name)
{
	struct wanted wanted = { name, UINT64_MAX };

	hub_each_port(w->hub, find_stat, &wanted);
	return wanted.value;
}

void client_open(struct client *c, struct world *w)
{
	*c = (struct client){ .world = w, .fd = raw_connect(w->port) };
	buf_init(&c->in, 16 << 20);
}

void client_close(struct client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	buf_fini(&c->in);
	free(c->text);
}

void client_ask(struct client *c, const char *head, const char *body)
{
	struct buf b;

	buf_init(&b, 4 << 20);
	assert_int_equal(buf_addf(&b, "%s HTTP/1.1\r\nHost: vb.test:1", head), 0);
	if (body)
		assert_int_equal(buf_addf(&b, "\r\nContent-Length: %zu", strlen(body)), 0);
	assert_int_equal(buf_add(&b, STR("\r\n\r\n")), 0);
	assert_int_equal(buf_add(&b, str_from(body)), 0);
	while (buf_len(&b)) {
		struct str s = buf_str(&b);
		ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL);

		if (n > 0)
			buf_consume(&b, (size_t)n);
		loop_turn(c->world->loop);
	}
	buf_fini(&b);
}

/* Bytes of the first whole answer in the buffer, 0: not yet. */
static size_t whole(struct str s)
{
	size_t end = str_find_str(s, STR("\r\n\r\n"));
	struct str head = str_make(s.p, end);
	size_t at = str_find_str(head, STR("Content-Length: "));

	if (end == s.n)
		return 0;
	end += 4;
	if (str_find_str(head, STR("chunked")) < head.n) {
		size_t last = str_find_str(s, STR("0\r\n\r\n"));

		return last < s.n ? last + 5 : 0;
	}
	if (at == head.n)
		return end;
	end += (size_t)strtoul(head.p + at + 16, NULL, 10);
	return s.n >= end ? end : 0;
}

static bool take_answer(struct client *c)
{
	(void)raw_read(c->fd, &c->in);
	size_t n = whole(buf_str(&c->in));
	if (!n)
		return false;
	free(c->text);
	c->text = str_dup(str_make(buf_str(&c->in).p, n));
	c->status = (int)strtol(c->text + 9, NULL, 10);
	buf_consume(&c->in, n);
	return true;
}

bool client_has_answer(struct client *c)
{
	for (int i = 0; i < 20; i++) {
		run_some(c->world->loop);
		if (take_answer(c))
			return true;
	}
	return false;
}

int client_answer(struct client *c)
{
	RUN_UNTIL(c->world->loop, take_answer(c));
	return c->status;
}

char *ask(struct world *w, int *status, const char *head, const char *body)
{
	struct client c;

	client_open(&c, w);
	client_ask(&c, head, body);
	*status = client_answer(&c);
	char *text = c.text;
	c.text = NULL;
	client_close(&c);
	return text;
}

void expect(struct world *w, int status, const char *piece, const char *head, const char *body)
{
	int got;
	char *text = ask(w, &got, head, body);

	if (got != status || (piece && !strstr(text, piece)))
		fail_msg("%s: expected %d and \"%s\", got: %s", head, status, piece ? piece : "",
			 text);
	assert_non_null(strstr(text, "\r\nAccess-Control-Allow-Origin: *\r\n"));
	if (status >= 400)
		assert_non_null(strstr(text, "application/problem+json"));
	free(text);
}
