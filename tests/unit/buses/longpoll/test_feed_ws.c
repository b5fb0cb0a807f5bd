/* SPDX-License-Identifier: MIT */
/* A WebSocket on a queue: frames, closes, acknowledgements. The mask of a client's frames is 0. */
#include "feed_test.h"

enum { TEXT = 1, BINARY = 2, CLOSE = 8 };

static const char upgrade[] = "\r\nUpgrade: websocket\r\nConnection: Upgrade"
			      "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
			      "\r\nSec-WebSocket-Version: 13";

static void socket_start(struct client *c, struct world *w, const char *target)
{
	uint64_t waiters = world_stat(w, "waiters");

	read_start_with(c, w, target, upgrade);
	await_text(c, "HTTP/1.1 101 ");
	await_text(c, "\r\n\r\n");
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == waiters + 1);
}

static void frame_send(struct client *c, int opcode, const char *data, size_t n)
{
	char frame[256] = { (char)(0x80 | opcode), (char)(0x80 | n) };

	assert_true(n < 126);
	memcpy(frame + 6, data, n);
	assert_int_equal(send(c->fd, frame, n + 6, MSG_NOSIGNAL), n + 6);
	run_some(c->world->loop);
}

static void close_send(struct client *c, int code)
{
	const char bytes[2] = { (char)(code >> 8), (char)code };

	frame_send(c, CLOSE, bytes, 2);
}

/* The server's close frame with that code comes, behind whatever was there. */
static void await_close(struct client *c, int code)
{
	RUN_UNTIL(c->world->loop,
		  ((void)raw_read(c->fd, &c->in),
		   buf_len(&c->in) > 4 && memmem(buf_str(&c->in).p, buf_len(&c->in), "\x88", 1)));
	struct str in = buf_str(&c->in);
	const unsigned char *at = memmem(in.p, in.n, "\x88", 1);

	assert_int_equal(at[2] << 8 | at[3], code);
}

static bool has_bytes(struct client *c, const char *text)
{
	(void)raw_read(c->fd, &c->in);
	return memmem(buf_str(&c->in).p, buf_len(&c->in), text, strlen(text)) != NULL;
}

static void await_bytes(struct client *c, const char *text)
{
	RUN_UNTIL(c->world->loop, has_bytes(c, text));
}

static void every_message_is_a_text_frame(void **state)
{
	struct world *w = *state;
	struct client c;
	char id[ID_SIZE];

	socket_start(&c, w, "q");
	publish(w, "q", "one", id);
	await_bytes(&c, "\x81\x7e");
	await_bytes(&c, id);
	assert_true(has_bytes(&c, "{\"Hostname\":\"vb.test\","));
	client_close(&c);
}

static void who_closes_in_order_is_done(void **state)
{
	struct world *w = *state;
	struct client c;

	socket_start(&c, w, "q");
	publish(w, "q", "one", NULL);
	await_bytes(&c, "\"one\"");
	close_send(&c, 1000);
	await_close(&c, 1000);
	client_close(&c);
	RUN_UNTIL(w->loop, world_stat(w, "delivered") == 1);
	assert_int_equal(world_stat(w, "lent"), 0);
}

static void who_goes_otherwise_may_come_back(void **state)
{
	struct world *w = *state;
	struct client c;
	char id[ID_SIZE], target[128];

	socket_start(&c, w, "q");
	publish(w, "q", "one", id);
	publish(w, "q", "two", NULL);
	await_bytes(&c, "\"two\"");
	close_send(&c, 1001);
	await_close(&c, 1001);
	client_close(&c);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 0);
	(void)snprintf(target, sizeof(target), "q?last=%s", id);
	socket_start(&c, w, target);
	await_bytes(&c, "\"Redelivered\":1}");
	assert_false(has_bytes(&c, "\"one\""));
	assert_int_equal(world_stat(w, "delivered"), 1);
	raw_reset(c.fd);
	c.fd = -1;
	client_close(&c);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 0);
	loop_test_advance(w->loop, 30000);
	read_expect(w, "q?timeout=0", "\"Redelivered\":2}");
}

static void messages_are_acknowledged_over_the_socket(void **state)
{
	struct world *w = *state;
	struct client c;
	char id[3][ID_SIZE], text[256];

	socket_start(&c, w, "q?ack=manual&visibility=10s");
	publish(w, "q", "one", id[0]);
	publish(w, "q", "two", id[1]);
	publish(w, "q", "three", id[2]);
	await_bytes(&c, "\"three\"");
	let_arrive(w);
	int n = snprintf(text, sizeof(text), "{\"ack\":\"%s\"}", id[1]);
	frame_send(&c, TEXT, text, (size_t)n);
	RUN_UNTIL(w->loop, world_stat(w, "delivered") == 1);
	n = snprintf(text, sizeof(text), "{\"ack\":[\"%s\",\"?\"]}", id[0]);
	frame_send(&c, TEXT, text, (size_t)n);
	RUN_UNTIL(w->loop, world_stat(w, "delivered") == 2);
	loop_test_advance(w->loop, 10000);
	await_bytes(&c, "\"Redelivered\":1}");
	client_close(&c);
}

static void what_is_not_understood_ends_it(void **state)
{
	static const struct {
		const char *what, *target, *data;
		int opcode, code;
	} cases[] = {
		{ "nothing is taken", "q", "{\"ack\":\"x\"}", TEXT, 1008 },
		{ "no JSON", "q?ack=manual", "hello", TEXT, 1008 },
		{ "something else", "q?ack=manual", "{\"nack\":\"x\"}", TEXT, 1008 },
		{ "no list of ids", "q?ack=manual", "{\"ack\":[1]}", TEXT, 1008 },
		{ "bytes", "q?ack=manual", "\x01", BINARY, 1003 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client c;

		print_message("%s\n", cases[i].what);
		socket_start(&c, w, cases[i].target);
		frame_send(&c, cases[i].opcode, cases[i].data, strlen(cases[i].data));
		await_close(&c, cases[i].code);
		client_close(&c);
		RUN_UNTIL(w->loop, world_stat(w, "waiters") == 0);
	}
}

static void a_socket_ends_with_its_time_or_its_max(void **state)
{
	struct world *w = *state;
	struct client c;

	socket_start(&c, w, "q?timeout=5s");
	loop_test_advance(w->loop, 5000);
	await_close(&c, 1000);
	client_close(&c);
	publish(w, "q", "one", NULL);
	publish(w, "q", "two", NULL);
	read_start_with(&c, w, "q?max=1", upgrade);
	await_close(&c, 1000);
	assert_false(has_bytes(&c, "\"two\""));
	client_close(&c);
}

static void a_socket_ends_with_its_session(void **state)
{
	struct world *w = *state;
	struct client c;
	char head[128];

	socket_start(&c, w, "q");
	(void)snprintf(head, sizeof(head), "DELETE /auth?session=%s", w->session);
	expect(w, 204, NULL, head, NULL);
	loop_test_advance(w->loop, 15000);
	await_close(&c, 1008);
	client_close(&c);
}

static void a_peer_that_says_nothing_is_dead(void **state)
{
	struct world *w = *state;
	struct client c;

	socket_start(&c, w, "q");
	publish(w, "q", "one", NULL);
	await_bytes(&c, "\"one\"");
	for (int i = 0; i < 9; i++) /* it acknowledges by TCP, but answers no ping */
		loop_test_advance(w->loop, 5000);
	RUN_UNTIL(w->loop, world_stat(w, "waiters") == 0);
	client_close(&c);
}

static void a_bad_handshake_is_refused(void **state)
{
	struct world *w = *state;
	struct client c;

	read_start_with(&c, w, "q", "\r\nUpgrade: websocket\r\nConnection: Upgrade");
	assert_int_equal(client_answer(&c), 400);
	client_close(&c);
	read_start_with(&c, w, "q?max=0", upgrade);
	assert_int_equal(client_answer(&c), 400);
	client_close(&c);
	run_some(w->loop);
	assert_int_equal(world_stat(w, "waiters"), 0);
}

static void ended(void *arg)
{
	(void)arg;
}

static void sockets_are_told_when_the_port_stops(void **state)
{
	struct world *w = *state;
	struct client c;

	socket_start(&c, w, "q");
	hub_stop(w->hub, 1000, ended, NULL);
	await_close(&c, 1001);
	client_close(&c);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(every_message_is_a_text_frame),
		TEST(who_closes_in_order_is_done),
		TEST(who_goes_otherwise_may_come_back),
		TEST(messages_are_acknowledged_over_the_socket),
		TEST(what_is_not_understood_ends_it),
		TEST(a_socket_ends_with_its_time_or_its_max),
		TEST(a_socket_ends_with_its_session),
		TEST(a_peer_that_says_nothing_is_dead),
		TEST(a_bad_handshake_is_refused),
		TEST(sockets_are_told_when_the_port_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
