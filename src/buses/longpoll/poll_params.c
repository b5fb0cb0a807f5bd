/* SPDX-License-Identifier: MIT */
/* What a reader asks for, and a sentence for each thing that can't be had. */
#include "buses/longpoll/poll_params.h"

#include <errno.h>

#include "buses/longpoll/item.h"
#include "buses/longpoll/longpoll_internal.h"
#include "codec/form.h"

enum { MAX_DEFAULT = 10, VISIBILITY_DEFAULT_MS = 30000, VALUE_MAX = 64 };

enum name { TIMEOUT, MAX, EMPTY, INCLUDE, LINGER, STREAM, ACK, VISIBILITY, N_NAMES };

static const struct str names[N_NAMES] = {
	[TIMEOUT] = STR_INIT("timeout"), [MAX] = STR_INIT("max"),
	[EMPTY] = STR_INIT("empty"),     [INCLUDE] = STR_INIT("include"),
	[LINGER] = STR_INIT("linger"),   [STREAM] = STR_INIT("stream"),
	[ACK] = STR_INIT("ack"),         [VISIBILITY] = STR_INIT("visibility"),
};

/* What the query says, each name's first value still encoded: one walk, since every poll has one. */
struct reader {
	struct http_request *request;
	struct form_pair first[N_NAMES]; /* name.p = NULL: not given */
	char text[VALUE_MAX];            /* of the value looked at */
};

static void reader_init(struct reader *r, struct http_request *request)
{
	struct str query = http_request_info(request)->query;
	struct form_pair pair;

	r->request = request;
	memset(r->first, 0, sizeof(r->first));
	while (form_next(&query, &pair))
		for (size_t i = 0; i < N_NAMES; i++)
			if (!r->first[i].name.p && pair.name.n >= names[i].n &&
			    form_name_is(&pair, names[i]))
				r->first[i] = pair;
}

/* A value that is too long to be looked at is given, and empty. */
static bool param(struct reader *r, enum name name, struct str *ret)
{
	const struct form_pair *pair = &r->first[name];

	*ret = str_make(NULL, 0);
	if (pair->name.p && pair->value.n <= VALUE_MAX)
		*ret = str_make(r->text, form_decode(r->text, pair->value));
	return pair->name.p;
}

/* A time that is at most max_ms, whatever was asked for. False: it was answered. */
static bool time_param(struct reader *r, enum name name, uint64_t max_ms, uint64_t *ret_ms,
		       bool *ret_given)
{
	struct str value;

	*ret_given = param(r, name, &value);
	if (!*ret_given)
		return true;
	int rc = str_duration_ms(value, ret_ms);
	if (rc < 0 && rc != -ERANGE) {
		answer_problem(r->request, 400, NULL, 0,
			       "%.*s must be a time such as 0, 500ms, 15s or 5m",
			       STR_ARG(names[name]));
		return false;
	}
	if (rc == -ERANGE || *ret_ms > max_ms)
		*ret_ms = max_ms;
	return true;
}

static bool max_param(struct reader *r, struct poll_params *ret)
{
	struct str value;

	ret->has_max = param(r, MAX, &value);
	if (!ret->has_max ||
	    (str_u64(value, &ret->max) == 0 && ret->max >= 1 && ret->max <= MESSAGES_MAX))
		return true;
	answer_problem(r->request, 400, NULL, 0, "max must be 1 to %d messages", MESSAGES_MAX);
	return false;
}

/* A parameter that is there or not, with one value that it may have. */
static bool word_param(struct reader *r, enum name name, struct str word, const char *means,
		       bool *ret)
{
	struct str value;

	*ret = param(r, name, &value);
	if (!*ret || str_eq(value, word))
		return true;
	answer_problem(r->request, 400, NULL, 0, "%.*s may only be %.*s: %s", STR_ARG(names[name]),
		       STR_ARG(word), means);
	return false;
}

/* What was leased for a shorter time than was asked for would be done twice: no clamping here. */
static bool visibility_param(struct reader *r, struct poll_params *ret)
{
	if (!time_param(r, VISIBILITY, UINT64_MAX, &ret->visibility_ms, &ret->has_visibility))
		return false;
	if (ret->visibility_ms >= VISIBILITY_MIN_MS && ret->visibility_ms <= VISIBILITY_MAX_MS)
		return true;
	answer_problem(r->request, 400, NULL, 0, "visibility must be 1s to 12h");
	return false;
}

bool poll_params_of(const struct longpoll *bus, struct http_request *request,
		    struct poll_params *ret)
{
	struct reader r;
	bool has_linger;

	reader_init(&r, request);
	*ret = (struct poll_params){ .timeout_ms = bus->conf->poll_timeout_ms,
				     .max = MAX_DEFAULT,
				     .visibility_ms = VISIBILITY_DEFAULT_MS };
	return time_param(&r, TIMEOUT, POLL_MAX_MS, &ret->timeout_ms, &ret->has_timeout) &&
	       max_param(&r, ret) &&
	       word_param(&r, EMPTY, STR("204"), "the status of an empty answer",
			  &ret->empty_204) &&
	       word_param(&r, INCLUDE, STR("dead"), "events of calls that have ended",
			  &ret->dead) &&
	       time_param(&r, LINGER, LINGER_MAX_MS, &ret->linger_ms, &has_linger) &&
	       word_param(&r, STREAM, STR("1"), "messages are sent as they come", &ret->stream) &&
	       word_param(&r, ACK, STR("manual"),
			  "without it messages are settled when they have arrived", &ret->manual) &&
	       visibility_param(&r, ret);
}

struct str poll_last_id(const struct http_request *request, char *out)
{
	struct str id;

	(void)form_find(http_request_info(request)->query, STR("last"), out, ITEM_ID_MAX, &id);
	return id;
}

bool poll_param_is(const struct http_request *request, struct str name, struct str value)
{
	char text[VALUE_MAX];
	struct str found;

	return form_find(http_request_info(request)->query, name, text, sizeof(text), &found) &&
	       str_eq(found, value);
}
