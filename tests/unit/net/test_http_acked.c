/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server: answers whose handler wants to know that they have arrived (on_acked).
 *
 * The peer's kernel acknowledges as it likes: on the loopback at once for the first segments of a
 * connection, later up to 40 ms behind. A peer that is to acknowledge nothing has a receive buffer
 * that is too small for the answer.
 */
#include "http_server_test.h"

#include <sys/un.h>

enum { LARGE = 60000, SMALL = 2048, FULL_MS = 30000 };

/* Asks for an answer that on_acked is set for, and waits until it is to be answered. */
static int ask_acked(struct fixture *f, struct str wire)
{
	int fd = park(f, wire);

	http_request_on_acked(f->parked[f->n_parked - 1], on_sent, f);
	return fd;
}

static struct http_request *newest(const struct fixture *f)
{
	return f->parked[f->n_parked - 1];
}

static void reply_large(struct fixture *f)
{
	static char text[LARGE];

	memset(text, 'x', sizeof(text));
	reply_text(newest(f), 200, str_make(text, sizeof(text)));
}

/* A peer whose receive buffer is smaller than the answer: what it does not read stays unacknowledged. */
static int ask_large(struct fixture *f, struct str wire)
{
	struct sockaddr_in in = raw_address(f->port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), size = SMALL;
	size_t n = f->n_parked;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	raw_write(fd, wire);
	RUN_UNTIL(f->loop, f->n_parked == n + 1);
	http_request_on_acked(newest(f), on_sent, f);
	reply_large(f);
	run_some(f->loop);
	assert_int_equal(f->sent, 0);
	return fd;
}

static bool has_large(struct fixture *f)
{
	struct str s = buf_str(&f->got);
	size_t head = f->got.base ? str_find_str(s, STR("\r\n\r\n")) + 4 : 0;

	return head && s.n >= head + LARGE;
}

/* Reads all of it while the test's clock stands still. */
static void read_large(struct fixture *f, int fd)
{
	RUN_UNTIL(f->loop, raw_read(fd, &f->got) == 0 || has_large(f));
}

/* The peer's kernel acknowledges by a clock of its own: ours goes with it. */
static void wait_told(struct fixture *f)
{
	for (int i = 0; i < 5000 && !f->sent && !f->gone; i++) {
		(void)usleep(1000);
		loop_test_advance(f->loop, 1);
	}
	assert_int_equal(f->sent, 1);
	assert_int_equal(f->gone, 0);
}

#define PARK       "GET /park HTTP/1.1\r\n" HOST "\r\n"
#define PARK_CLOSE "GET /park HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"

static void the_handler_is_told_when_the_peer_has_it_never_inside_its_call(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = ask_acked(&f, STR(PARK));
	reply_text(newest(&f), 200, STR("first"));
	assert_int_equal(f.sent, 0);
	RUN_UNTIL(f.loop, got(&f, fd, "first"));
	wait_told(&f);
	exchange(&f, fd, STR("GET /now HTTP/1.1\r\n" HOST "\r\n"), "/now");
	(void)close(fd);
	finish(&f);
}

static void an_answer_that_is_not_read_is_not_there(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = ask_large(&f, STR(PARK));
	loop_test_advance(f.loop, FULL_MS / 2);
	assert_int_equal(f.sent, 0);
	assert_int_equal(f.gone, 0);
	read_large(&f, fd);
	wait_told(&f);
	(void)close(fd);
	finish(&f);
}

static void who_acknowledges_nothing_for_30_s_is_cut(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = ask_large(&f, STR(PARK));
	loop_test_advance(f.loop, FULL_MS - 1);
	assert_int_equal(f.gone, 0);
	loop_test_advance(f.loop, 1);
	assert_int_equal(f.gone, 1);
	assert_int_equal(f.sent, 0);
	RUN_UNTIL(f.loop, open_now(&f) == 0);
	(void)close(fd);
	finish(&f);
}

static void a_peer_that_ends_without_reading_has_not_got_it(void **state)
{
	for (int reset = 0; reset < 2; reset++) {
		struct fixture f;
		int fd;

		begin(&f, NULL);
		fd = ask_large(&f, STR(PARK));
		if (reset)
			raw_reset(fd);
		else
			(void)close(fd);
		RUN_UNTIL(f.loop, f.gone == 1);
		assert_int_equal(f.sent, 0);
		finish(&f);
	}
}

static void a_peer_that_has_read_it_and_closes_has_got_it(void **state)
{
	static const char *const wires[] = { PARK, PARK_CLOSE, "GET /park HTTP/1.0\r\n\r\n" };

	for (size_t i = 0; i < sizeof(wires) / sizeof(wires[0]); i++) {
		struct fixture f;
		int fd;

		begin(&f, NULL);
		fd = ask_large(&f, str_from(wires[i]));
		read_large(&f, fd);
		(void)close(fd);
		RUN_UNTIL(f.loop, f.sent + f.gone == 1);
		assert_int_equal(f.sent, 1);
		assert_int_equal(f.gone, 0);
		RUN_UNTIL(f.loop, open_now(&f) == 0);
		finish(&f);
	}
}

static void closing_behind_the_answer_waits_for_the_peer(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = ask_large(&f, STR(PARK_CLOSE));
	loop_test_advance(f.loop, 10000);
	assert_int_equal(f.gone, 0);
	assert_int_equal(open_now(&f), 1);
	/* The FIN is there although nobody has acknowledged anything. */
	read_to_end(&f, fd);
	assert_true(has_large(&f));
	wait_told(&f);
	(void)close(fd);
	RUN_UNTIL(f.loop, open_now(&f) == 0);
	finish(&f);
}

static void what_comes_behind_a_request_that_closes_is_dropped(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = ask_large(&f, STR(PARK_CLOSE PARK));
	raw_write(fd, STR(PARK));
	run_some(f.loop);
	read_to_end(&f, fd);
	wait_told(&f);
	assert_int_equal(f.handled, 1);
	(void)close(fd);
	finish(&f);
}

static void a_pipelined_request_is_no_acknowledgement(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = ask_large(&f, STR(PARK "GET /early HTTP/1.1\r\n" HOST "\r\n"));
	raw_write(fd, STR("GET /late HTTP/1.1\r\n" HOST "\r\n"));
	run_some(f.loop);
	loop_test_advance(f.loop, 5000);
	assert_int_equal(f.sent, 0);
	assert_int_equal(f.handled, 1);
	/* Now it has it, and both are answered. */
	read_large(&f, fd);
	wait_told(&f);
	RUN_UNTIL(f.loop, got(&f, fd, "/late"));
	assert_got(&f, "\r\n\r\n/early");
	assert_int_equal(f.handled, 3);
	(void)close(fd);
	finish(&f);
}

/* Without a tick of the clock: the request itself brings the acknowledgement. */
static void the_next_request_is_not_kept_waiting_by_a_slow_acknowledgement(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = raw_connect(f.port);
	for (int i = 0; i < 60; i++) {
		f.n_parked = 0;
		buf_clear(&f.got);
		raw_write(fd, STR(PARK));
		RUN_UNTIL(f.loop, f.n_parked == 1);
		assert_int_equal(f.sent, i);
		http_request_on_acked(newest(&f), on_sent, &f);
		reply_text(newest(&f), 200, STR("answer"));
		RUN_UNTIL(f.loop, got(&f, fd, "answer"));
	}
	assert_int_equal(f.gone, 0);
	(void)close(fd);
	RUN_UNTIL(f.loop, f.sent + f.gone == 60);
	assert_int_equal(f.sent, 60);
	finish(&f);
}

static void a_peer_on_a_unix_socket_has_it_when_it_has_read_it(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct buf path auto_buf;
	struct fixture f;
	struct err e;

	begin(&f, NULL);
	buf_init(&path, sizeof(un.sun_path));
	assert_int_equal(buf_addf(&path, "unix:/tmp/voxbus-acked-%d.sock", (int)getpid()), 0);
	assert_int_equal(http_server_listen(f.server, buf_str(&path), &e), 0);
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/voxbus-acked-%d.sock",
		       (int)getpid());
	for (int reads = 0; reads < 2; reads++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		f.n_parked = 0;
		f.sent = f.gone = 0;
		assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
		assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
		raw_write(fd, STR(PARK));
		RUN_UNTIL(f.loop, f.n_parked == 1);
		http_request_on_acked(newest(&f), on_sent, &f);
		reply_text(newest(&f), 200, STR("answer"));
		loop_test_advance(f.loop, 100);
		assert_int_equal(f.sent, 0);
		if (reads)
			RUN_UNTIL(f.loop, got(&f, fd, "answer"));
		(void)close(fd);
		RUN_UNTIL(f.loop, f.sent + f.gone == 1);
		assert_int_equal(f.sent, reads);
	}
	finish(&f);
}

static void who_is_told_no_more_is_not_told(void **state)
{
	struct fixture f;
	int fd;

	begin(&f, NULL);
	fd = ask_large(&f, STR(PARK));
	assert_int_equal(f.gone, 0);
	http_request_on_acked(newest(&f), NULL, NULL);
	http_request_on_gone(newest(&f), NULL, NULL);
	read_large(&f, fd);
	(void)close(fd);
	RUN_UNTIL(f.loop, open_now(&f) == 0);
	assert_int_equal(f.sent + f.gone, 0);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_handler_is_told_when_the_peer_has_it_never_inside_its_call),
		cmocka_unit_test(an_answer_that_is_not_read_is_not_there),
		cmocka_unit_test(who_acknowledges_nothing_for_30_s_is_cut),
		cmocka_unit_test(a_peer_that_ends_without_reading_has_not_got_it),
		cmocka_unit_test(a_peer_that_has_read_it_and_closes_has_got_it),
		cmocka_unit_test(closing_behind_the_answer_waits_for_the_peer),
		cmocka_unit_test(what_comes_behind_a_request_that_closes_is_dropped),
		cmocka_unit_test(a_pipelined_request_is_no_acknowledgement),
		cmocka_unit_test(the_next_request_is_not_kept_waiting_by_a_slow_acknowledgement),
		cmocka_unit_test(a_peer_on_a_unix_socket_has_it_when_it_has_read_it),
		cmocka_unit_test(who_is_told_no_more_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
