/* SPDX-License-Identifier: MIT */
/*
 * Who may: the credentials that a request shows, and what they are good for.
 *
 *   Authorization: <token> | Bearer <token> | Basic <sid:password>      else ?session=<token>
 *
 * The header wins over the query, right or wrong. Nothing shown, or nothing that holds, is 401
 * with a Bearer challenge (so that browsers show no password box in the middle of a poll); another
 * account's is 403. Only passwords count as tries for the limit by address: a session that has
 * just expired is no attack, and a token can't be guessed.
 */
#include <errno.h>
#include <stdio.h>

#include "buses/longpoll/longpoll_internal.h"
#include "codec/base64.h"
#include "codec/form.h"

enum { SESSION_MAX = 128, BASIC_MAX = 1024 };

/* What follows the scheme in an Authorization header: true and *ret if it is that scheme. */
static bool scheme_is(struct str authorization, struct str scheme, struct str *ret)
{
	struct str rest = authorization;
	struct str word = str_cut(&rest, ' ');

	if (!rest.p || !str_eq_nocase(word, scheme))
		return false;
	*ret = str_trim(rest);
	return true;
}

struct str access_session(const struct http_request *request, char *out, size_t size)
{
	struct str authorization = str_trim(http_request_header(request, STR("Authorization")));
	struct str token;

	if (authorization.n) {
		if (scheme_is(authorization, STR("Basic"), &token))
			return str_make(NULL, 0);
		return scheme_is(authorization, STR("Bearer"), &token) ? token : authorization;
	}
	(void)form_find(http_request_info(request)->query, STR("session"), out, size, &token);
	return token;
}

static bool is_basic(const struct http_request *request)
{
	struct str rest;

	return scheme_is(str_trim(http_request_header(request, STR("Authorization"))), STR("Basic"),
			 &rest);
}

bool access_is_shown(const struct http_request *request)
{
	struct str query = http_request_info(request)->query;
	struct form_pair pair;

	if (str_trim(http_request_header(request, STR("Authorization"))).n)
		return true;
	while (form_next(&query, &pair))
		if (form_name_is(&pair, STR("session")))
			return true;
	return false;
}

static struct account *check_basic(struct longpoll *bus, const struct http_request *request)
{
	char text[BASIC_MAX];
	struct str encoded, sid;

	if (!scheme_is(str_trim(http_request_header(request, STR("Authorization"))), STR("Basic"),
		       &encoded) ||
	    encoded.n / 4 * 3 + 3 > sizeof(text))
		return NULL;
	long n = base64_decode(text, encoded);
	if (n < 0)
		return NULL;
	struct str password = str_make(text, (size_t)n);
	sid = str_cut(&password, ':');
	struct account *account =
		password.p ? accounts_check(bus->env.accounts, sid, password) : NULL;
	explicit_bzero(text, sizeof(text));
	return account;
}

static void challenge(struct longpoll *bus, struct http_request *request, struct str scheme,
		      const char *detail)
{
	bus->auth_failures++;
	answer_problem(request, 401, &(struct http_header){ STR("WWW-Authenticate"), scheme }, 1,
		       "%s", detail);
}

/* scheme: how a client of this path shall come back. */
static struct account *basic(struct longpoll *bus, struct http_request *request, struct str scheme)
{
	struct str address = http_request_info(request)->peer_address;
	unsigned wait = failures_wait(bus->failures, address);

	if (wait) {
		answer_retry(request, 429, wait,
			     "too many wrong passwords came from this address; try again later");
		return NULL;
	}
	struct account *account = check_basic(bus, request);
	if (account)
		return account;
	if (is_basic(request))
		failures_add(bus->failures, address);
	challenge(bus, request, scheme,
		  "send the account's sid and token as user and password of HTTP Basic");
	return NULL;
}

struct account *access_basic(struct longpoll *bus, struct http_request *request)
{
	return basic(bus, request, STR("Basic realm=\"pubsub\""));
}

bool access_granted(struct longpoll *bus, struct http_request *request)
{
	char buffer[SESSION_MAX];
	struct account *account;

	if (is_basic(request)) {
		account = basic(bus, request, STR("Bearer"));
		if (!account)
			return false;
	} else {
		struct str token = access_session(request, buffer, sizeof(buffer));

		account = token.n ? session_find(bus->env.accounts, token) : NULL;
		if (!account) {
			challenge(bus, request, STR("Bearer"),
				  token.n ? "the session is unknown or has expired; get a new one "
					    "from /auth"
					  : "a session is missing; get one from /auth and send it "
					    "as Authorization or session=");
			return false;
		}
	}
	if (account == bus->account)
		return true;
	bus->auth_failures++;
	answer_problem(request, 403, NULL, 0, "these credentials are another account's");
	return false;
}
