/* SPDX-License-Identifier: MIT */
/*
 * Clients that are cheap: a request is one send, an answer nearly always one recv into a buffer that
 * all share; one that came in part goes on in a buffer of its client's own.
 */
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "answer.h"
#include "bench.h"
#include "loop/loop.h"
#include "peer.h"

enum {
	REQUEST_MAX = 1024,
	READ_MAX = 65536,
	EVENTS_MAX = 256,
	CONNECTS = 256, /* on their way at a time */
	SETTLE_US = 20000,
	PATIENCE_US = 60000000,
};

struct load_client {
	struct peer peer;
	unsigned queue; /* of a waiter */
	bool open, busy;
	struct service_place place;
	char *part; /* of an answer that is not whole yet */
	size_t n_part, room;
};

static char shared[READ_MAX + 1];

static bool is_waiter(const struct load *l, const struct load_client *c)
{
	return c < l->clients + l->n_waiters;
}

static void send_request(struct load_client *c, const char *text, size_t n)
{
	peer_send(&c->peer, text, n);
	c->busy = true;
}

static void ask(struct load *l, struct load_client *c)
{
	char text[REQUEST_MAX];

	send_request(c, text,
		     service_poll(l->service, c->queue, l->max, &c->place, text, sizeof(text)));
}

static void publish_next(struct load *l, struct load_client *c)
{
	char text[REQUEST_MAX];
	unsigned queue = (unsigned)(l->begun % l->n_queues);

	if (!l->to_publish)
		return;
	l->to_publish--;
	l->begun++;
	send_request(c, text,
		     service_publish(l->service, queue, loop_now_us(), text, sizeof(text)));
}

static void on_message(void *arg, uint64_t stamp_us)
{
	struct load *l = arg;

	l->delivered++;
	l->last_us = loop_now_us();
	if (l->n_us < l->max_us)
		l->us[l->n_us++] = l->last_us - stamp_us;
}

static void take_answer(struct load *l, struct load_client *c, const struct answer *a)
{
	if (a->status < 200 || a->status > 299)
		die("an answer is no success");
	c->busy = false;
	if (!is_waiter(l, c)) {
		l->acked++;
		publish_next(l, c);
		return;
	}
	l->answers++;
	memcpy(c->place.modified, a->modified, sizeof(a->modified));
	memcpy(c->place.tag, a->tag, sizeof(a->tag));
	if (l->poll_again)
		ask(l, c);
}

/* Where the next bytes go: the shared buffer, or behind those that came before. */
static char *room_for(struct load_client *c)
{
	if (!c->n_part)
		return shared;
	if (c->room - c->n_part <= READ_MAX) {
		c->room = 2 * (c->room + READ_MAX);
		c->part = realloc(c->part, c->room);
		if (!c->part)
			die("realloc");
	}
	return c->part + c->n_part;
}

static void keep_part(struct load_client *c, size_t n)
{
	if (!c->n_part) {
		c->room = READ_MAX;
		c->n_part = 1; /* it is not the shared buffer that is wanted */
		(void)room_for(c);
		memcpy(c->part, shared, n);
		c->n_part = 0;
	}
	c->n_part += n;
}

static void drop_part(struct load_client *c)
{
	free(c->part);
	c->part = NULL;
	c->n_part = c->room = 0;
}

static void client_read(struct load *l, struct load_client *c)
{
	struct answer a = { .on_message = is_waiter(l, c) ? on_message : NULL, .arg = l };
	char *to = room_for(c), *text;
	size_t got = peer_recv(&c->peer, to, READ_MAX), all = c->n_part + got, used;

	if (!got)
		return;
	to[got] = '\0';
	text = c->n_part ? c->part : shared;
	used = answer_take(&a, text, all);
	if (!used) {
		keep_part(c, got);
		return;
	}
	if (used != all || !c->busy)
		die("an answer that nobody asked for");
	drop_part(c);
	take_answer(l, c, &a);
}

static void watch(struct load *l, struct load_client *c, uint32_t events, int op)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (epoll_ctl(l->epoll, op, c->peer.fd, &e) < 0)
		die("epoll_ctl");
}

void load_turn(struct load *l, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(l->epoll, events, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct load_client *c = events[i].data.ptr;

		if (c->open) {
			client_read(l, c);
		} else if (peer_open(&c->peer) == 0) {
			c->open = true;
			watch(l, c, EPOLLIN, EPOLL_CTL_MOD);
		}
	}
}

void load_until(struct load *l, const uint64_t *count, uint64_t n)
{
	uint64_t began = loop_now_us();

	while (*count < n) {
		load_turn(l, 100);
		if (loop_now_us() - began > PATIENCE_US)
			die("answers do not come");
	}
}

void load_create(struct load *l)
{
	unsigned n = l->n_waiters + l->n_publishers, begun = 0, open = 0;

	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->clients = calloc(n, sizeof(*l->clients));
	if (l->epoll < 0 || !l->clients)
		die("no clients");
	while (open < n) {
		for (; begun < n && begun - open < CONNECTS; begun++) {
			struct load_client *c = &l->clients[begun];

			c->queue = begun % l->n_queues;
			peer_dial(&c->peer, l->service->child.http, NULL);
			watch(l, c, EPOLLOUT, EPOLL_CTL_ADD);
		}
		load_turn(l, 1000);
		while (open < begun && l->clients[open].open)
			open++;
	}
}

void load_ask_one(struct load *l, unsigned i)
{
	ask(l, &l->clients[i]);
}

void load_ask(struct load *l)
{
	uint64_t began = loop_now_us();

	for (unsigned i = 0; i < l->n_waiters; i++)
		ask(l, &l->clients[i]);
	while (service_waiters(l->service) < l->n_waiters) {
		if (loop_now_us() - began > PATIENCE_US)
			die("the polls do not wait");
		(void)usleep(SETTLE_US);
	}
}

void load_publish(struct load *l, uint64_t n)
{
	l->to_publish += n;
	for (unsigned i = l->n_waiters; i < l->n_waiters + l->n_publishers; i++)
		if (!l->clients[i].busy)
			publish_next(l, &l->clients[i]);
}

void load_destroy(struct load *l)
{
	for (unsigned i = 0; i < l->n_waiters + l->n_publishers; i++) {
		drop_part(&l->clients[i]);
		peer_close(&l->clients[i].peer);
	}
	free(l->clients);
	(void)close(l->epoll);
}
