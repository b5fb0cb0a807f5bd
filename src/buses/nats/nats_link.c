/* SPDX-License-Identifier: MIT */
/*
 * When to dial, when to ask whether the server lives, when to give it up.
 *
 *   CONNECTING/DOWN --dialled--> UP --stale_ms without an answer--> STALE --dead_ms--> DOWN
 *        ^                        ^------------answer-----------------+                  |
 *        +--------------------- back-off, the next server ---------------------------<---+
 *
 * An answer is the end of a round (a PONG). While there is nothing to publish an empty round is made
 * each ping_ms, so that the state is true within about ping_ms + stale_ms of a server's silence. A
 * server that is silent may only be slow or stopped for a while: until dead_ms what is under way
 * stays there, and is confirmed by one PONG if it wakes up. After that, and when the connection is
 * closed, the hub takes everything back.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "buses/nats/nats_internal.h"

static const char *server_at(const struct nats *n, size_t i)
{
	return i ? n->conf->failover.items[i - 1] : n->conf->url;
}

static struct str host_port(const struct nats *n)
{
	struct nats_url url = { 0 };

	(void)nats_url_parse(str_from(server_at(n, n->server)), &url);
	return url.host_port;
}

static size_t servers(const struct nats *n)
{
	return 1 + n->conf->failover.count;
}

static void set_state(struct nats *n, enum port_state state, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void set_state(struct nats *n, enum port_state state, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(n->reason, sizeof(n->reason), fmt, ap);
	va_end(ap);
	port_set_state(n->port, state, n->reason);
}

/* ---- dialling */

static void on_dial(void *arg)
{
	struct nats *n = arg;
	struct str server = host_port(n);
	char text[320];

	/* The library wants a port. */
	(void)snprintf(text, sizeof(text), "%.*s%s", STR_ARG(server),
		       nats_url_has_port(server) ? "" : ":4222");
	nats_line_connect(n->line, str_from(text));
}

/* Each server is tried once; then there is a pause. */
static void dial_later(struct nats *n)
{
	uint64_t wait_ms = 0;

	if (n->stopping || nats_line_is_busy(n->line))
		return; /* on_round comes and calls again */
	if (n->attempts >= servers(n)) {
		n->attempts = 0;
		wait_ms = n->worst == -ECONNREFUSED ? backoff_next_ms(&n->backoff) : NATS_FAILED_MS;
		n->worst = -ECONNREFUSED;
	}
	n->attempts++;
	if (timer_start(&n->dial, wait_ms) < 0)
		on_dial(n);
}

static void next_server(struct nats *n)
{
	n->server = (n->server + 1) % servers(n);
}

/* A person must act for all but a server that is not there. */
static void on_refused(struct nats *n, int rc, const char *reason)
{
	struct str server = host_port(n);

	if (n->worst == -ECONNREFUSED)
		n->worst = rc;
	if (rc == -EACCES)
		set_state(n, PORT_FAILED, "%.*s does not accept our login (%s)", STR_ARG(server),
			  reason);
	else if (rc == -EPROTO)
		set_state(n, PORT_FAILED, "no agreement with %.*s (%s): is it NATS, does TLS fit?",
			  STR_ARG(server), reason);
	else if (rc == -EINVAL)
		set_state(n, PORT_FAILED, "%.*s: %s", STR_ARG(server), reason);
	else
		set_state(n, PORT_DOWN, "%.*s does not answer (%s)", STR_ARG(server), reason);
	next_server(n);
	dial_later(n);
}

static void on_connected(void *arg, int rc, const char *reason,
			 const struct nats_greeting *greeting)
{
	struct nats *n = arg;
	struct nats_commands_stats in;

	if (n->stopping)
		return;
	if (rc < 0) {
		on_refused(n, rc, reason);
		return;
	}
	n->up = true;
	n->outdated = false;
	n->connects++;
	n->attempts = 0;
	n->up_ms = n->life_ms = loop_now(n->env.loop);
	nats_commands_stats(n->commands, &in);
	n->pulled = in.come;
	n->max_payload = greeting->max_payload;
	if (!greeting->headers && !n->headers_said)
		log_warn(n->env.log, "server too old", "server=%.*s then=%s", STR_ARG(host_port(n)),
			 "it does not tell when nobody listens (2.2 does): first events may be "
			 "lost");
	n->headers_said = n->headers_said || !greeting->headers;
	port_set_state(n->port, PORT_UP, "");
	task_defer(&n->pump);
}

/* ---- giving up */

void nats_link_lost(struct nats *n, const char *reason)
{
	if (!n->up)
		return;
	if (loop_now(n->env.loop) - n->up_ms >= NATS_PROVEN_MS)
		backoff_reset(&n->backoff);
	n->attempts = servers(n); /* not at once */
	n->up = false;
	n->outdated = nats_line_is_busy(n->line);
	nats_forget(n);
	set_state(n, PORT_DOWN, "the link to %.*s is lost (%s)", STR_ARG(host_port(n)), reason);
	next_server(n);
	dial_later(n);
}

static void on_lost(void *arg, const char *reason)
{
	struct nats *n = arg;

	if (!n->stopping)
		nats_link_lost(n, reason);
}

static void on_round(void *arg, struct nats_batch *batch, int rc, const char *reason)
{
	struct nats *n = arg;
	bool outdated = n->outdated;

	n->outdated = false;
	if (n->stopping)
		return;
	if (outdated) {
		dial_later(n);
		return;
	}
	if (rc < 0) {
		nats_link_lost(n, reason);
		return;
	}
	n->rounds++;
	n->life_ms = loop_now(n->env.loop);
	port_set_state(n->port, PORT_UP, "");
	nats_round_done(n, batch);
}

static void on_tick(void *arg)
{
	struct nats *n = arg;
	uint64_t silent = loop_now(n->env.loop) - n->life_ms;

	(void)timer_start(&n->tick, NATS_TICK_MS);
	if (!n->up)
		return;
	if (!nats_line_is_busy(n->line)) {
		if (silent >= n->conf->ping_ms)
			nats_round(n, true);
		return;
	}
	if (silent >= n->conf->dead_ms) {
		nats_line_break(n->line);
		nats_link_lost(n, "it has fallen silent");
	} else if (silent >= n->conf->stale_ms) {
		set_state(n, PORT_STALE, "%.*s has not answered for %" PRIu64 " ms",
			  STR_ARG(host_port(n)), n->conf->stale_ms);
	}
}

static void on_messages(void *arg)
{
	struct nats *n = arg;

	if (!n->stopping)
		nats_commands_come(n->commands);
	if (n->conf->jetstream.stream && n->up)
		task_defer(&n->pump); /* more may be asked for */
}

static void on_ended(void *arg)
{
	nats_closed(arg);
}

const struct nats_line_events nats_link_events = {
	.on_connected = on_connected,
	.on_round = on_round,
	.on_lost = on_lost,
	.on_messages = on_messages,
	.on_ended = on_ended,
};

void nats_link_init(struct nats *n)
{
	backoff_init(&n->backoff, NATS_BACKOFF_FIRST_MS, NATS_BACKOFF_MAX_MS);
	timer_init(&n->dial, n->env.loop, on_dial, n);
	timer_init(&n->tick, n->env.loop, on_tick, n);
	n->worst = -ECONNREFUSED;
}

void nats_link_start(struct nats *n)
{
	set_state(n, PORT_CONNECTING, "dialling %.*s", STR_ARG(host_port(n)));
	n->attempts = 1;
	(void)timer_start(&n->tick, NATS_TICK_MS);
	on_dial(n);
}

void nats_link_stop(struct nats *n)
{
	timer_stop(&n->dial);
	timer_stop(&n->tick);
	n->up = false;
	nats_forget(n);
}
