/* SPDX-License-Identifier: MIT */
/* What a poll asks for. */
#include "buses/longpoll/poll_params.h"

#include <errno.h>

#include "buses/longpoll/longpoll_internal.h"
#include "codec/form.h"

enum { MAX_DEFAULT = 10, VALUE_MAX = 64 };

static bool param(struct str query, struct str name, char *text, struct str *ret)
{
	return form_find(query, name, text, VALUE_MAX, ret) || ret->p;
}

bool poll_params_of(const struct longpoll *bus, struct http_request *request,
		    struct poll_params *ret)
{
	static const struct str later[] = { STR_INIT("ack"), STR_INIT("visibility"),
					    STR_INIT("stream"), STR_INIT("linger") };
	struct str query = http_request_info(request)->query, value;
	char text[VALUE_MAX];

	*ret = (struct poll_params){ .timeout_ms = bus->conf->poll_timeout_ms, .max = MAX_DEFAULT };
	if (param(query, STR("timeout"), text, &value)) {
		int rc = str_duration_ms(value, &ret->timeout_ms);

		if (rc < 0 && rc != -ERANGE) {
			answer_problem(request, 400, NULL, 0,
				       "timeout must be a time such as 0, 500ms, 15s or 5m");
			return false;
		}
		if (rc == -ERANGE || ret->timeout_ms > POLL_MAX_MS)
			ret->timeout_ms = POLL_MAX_MS;
	}
	if (param(query, STR("max"), text, &value) &&
	    (str_u64(value, &ret->max) < 0 || ret->max < 1 || ret->max > MESSAGES_MAX)) {
		answer_problem(request, 400, NULL, 0, "max must be 1 to %d messages", MESSAGES_MAX);
		return false;
	}
	if (param(query, STR("empty"), text, &value)) {
		if (!str_eq(value, STR("204"))) {
			answer_problem(request, 400, NULL, 0,
				       "empty may only be 204: the status of an empty answer");
			return false;
		}
		ret->empty_204 = true;
	}
	if (param(query, STR("include"), text, &value)) {
		if (!str_eq(value, STR("dead"))) {
			answer_problem(request, 400, NULL, 0,
				       "include may only be dead: events of calls that have ended");
			return false;
		}
		ret->dead = true;
	}
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		if (!param(query, later[i], text, &value))
			continue;
		answer_problem(request, 400, NULL, 0,
			       "%.*s is not offered by this version; leave it out and messages "
			       "are removed when they were sent",
			       STR_ARG(later[i]));
		return false;
	}
	return true;
}
