/* SPDX-License-Identifier: MIT */
/*
 * How much an account may publish: so many messages a second, and so many bytes that wait.
 *
 * The rate is a bucket of tokens that fills with time, one for each message. What is stored is what
 * the journal keeps of the account's queues and of its calls' topics, heads and all, until a reader
 * has got it; it is counted where it comes and goes, so that asking costs nothing.
 */
#include "buses/longpoll/longpoll_internal.h"

/* Thousandths of a token, so that slow rates fill evenly. */
enum { TOKEN = 1000 };

static uint64_t bucket_size(const struct longpoll_conf *conf)
{
	return (conf->burst ? conf->burst : conf->rate) * TOKEN;
}

static void bucket_fill(struct longpoll *bus)
{
	uint64_t now_ms = loop_now(bus->env.loop), size = bucket_size(bus->conf);
	uint64_t passed_ms = now_ms - bus->rate_filled_ms;

	/* A rate of 1/s is a thousandth of a token in each millisecond. */
	if (!bus->rate_filled || passed_ms >= size / bus->conf->rate ||
	    bus->rate_tokens + passed_ms * bus->conf->rate > size)
		bus->rate_tokens = size;
	else
		bus->rate_tokens += passed_ms * bus->conf->rate;
	bus->rate_filled = true;
	bus->rate_filled_ms = now_ms;
}

bool limits_take_token(struct longpoll *bus, struct http_request *request)
{
	if (!bus->conf->rate)
		return true;
	bucket_fill(bus);
	if (bus->rate_tokens >= TOKEN) {
		bus->rate_tokens -= TOKEN;
		return true;
	}
	bus->limited++;
	answer_retry(request, 429, 1,
		     "this account may publish %llu messages a second (rate of the bus); nothing "
		     "was stored",
		     (unsigned long long)bus->conf->rate);
	return false;
}

bool limits_have_room(struct longpoll *bus, struct http_request *request, size_t bytes)
{
	uint64_t quota = bus->conf->quota, stored = bus->stored.bytes;

	if (!quota || (stored <= quota && bytes <= quota - stored))
		return true;
	bus->over_quota++;
	answer_problem(request, 507, NULL, 0,
		       "this account's messages take %llu bytes and may take %llu (quota of the "
		       "bus); nothing was stored; read or purge its queues",
		       (unsigned long long)stored, (unsigned long long)quota);
	return false;
}
