/* SPDX-License-Identifier: MIT */
/*
 * What the tests of src/net share: turning the loop until something is true, and raw peers:
 * plain sockets that a test scripts byte by byte.
 */
#ifndef VOXBUS_TESTS_NET_TEST_H
#define VOXBUS_TESTS_NET_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "loop/loop.h"

enum { GUARD_US = 20000000 };

/* Turns the loop until the condition holds; fails after GUARD_US. */
#define RUN_UNTIL(loop, condition)                             \
	do {                                                   \
		uint64_t guard_us = loop_now_us() + GUARD_US;  \
		while (!(condition)) {                         \
			assert_true(loop_now_us() < guard_us); \
			loop_turn(loop);                       \
			(void)sched_yield();                   \
		}                                              \
	} while (0)

/* Enough turns for anything on the loopback that was going to happen. */
static inline void run_some(struct loop *loop)
{
	for (int i = 0; i < 50; i++)
		loop_turn(loop);
}

static inline struct sockaddr_in raw_address(int port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return in;
}

/* A listening socket on a drawn port. */
static inline int raw_listen(int *port)
{
	struct sockaddr_in in = raw_address(0);
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

static inline int raw_accept(struct loop *loop, int fd)
{
	int conn = -1;

	RUN_UNTIL(loop, (conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	return conn;
}

static inline int raw_connect(int port)
{
	struct sockaddr_in in = raw_address(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static inline void raw_write(int fd, struct str s)
{
	assert_int_equal(send(fd, s.p, s.n, MSG_NOSIGNAL), (ssize_t)s.n);
}

/* Appends what has come: > 0 bytes, 0 end, < 0 nothing now. */
static inline ssize_t raw_read(int fd, struct buf *b)
{
	ssize_t n;

	assert_int_equal(buf_reserve(b, 65536), 0);
	n = recv(fd, buf_tail(b), 65536, 0);
	if (n > 0)
		buf_grew(b, (size_t)n);
	return n;
}

/* Closes with a reset. */
static inline void raw_reset(int fd)
{
	struct linger linger = { 1, 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	(void)close(fd);
}

#endif
