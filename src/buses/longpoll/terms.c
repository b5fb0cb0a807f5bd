/* SPDX-License-Identifier: MIT */
/*
 * A publisher's terms. The header wins over the query, since a webhook's URL is configured once and
 * for all messages; what can't be understood is refused, lest a message live a week that was
 * meant for a minute.
 *
 * What is posted to a call (`<path>.xml/<CallSid>`) and not fetched within an hour answers nobody
 * any more: no call waits that long.
 */
#include "buses/longpoll/terms.h"

#include <errno.h>

#include "buses/longpoll/longpoll_internal.h"
#include "codec/form.h"
#include "net/http_server.h"

enum { TTL_MAX_MS = 7 * 24 * 3600 * 1000, CALL_TTL_MS = 3600 * 1000, VALUE_MAX = 64 };

static int read_ttl(const struct http_request *request, struct str key, uint64_t *ret,
		    struct err *e)
{
	struct str query = http_request_info(request)->query;
	struct str value = str_trim(http_request_header(request, STR("X-Ttl")));
	char text[VALUE_MAX];
	struct form_pair pair;
	bool given = value.p;
	struct str sid;

	for (struct str rest = query; !given && form_next(&rest, &pair);)
		given = form_name_is(&pair, STR("ttl"));
	if (!given) {
		*ret = place_is_of_call(key, &sid) ? CALL_TTL_MS : 0;
		return 0;
	}
	if (!value.p)
		(void)form_find(query, STR("ttl"), text, sizeof(text), &value);
	int rc = str_duration_ms(value, ret);
	if (rc == -ERANGE)
		*ret = TTL_MAX_MS;
	else if (rc < 0 || *ret == 0)
		return err_set(
			e, -EINVAL,
			"X-Ttl and ttl must be a time over zero, such as 90s, 10m, 2h or 3600");
	if (*ret > TTL_MAX_MS)
		*ret = TTL_MAX_MS;
	return 0;
}

static int read_durability(const struct http_request *request, bool relaxed, bool *ret,
			   struct err *e)
{
	struct str query = http_request_info(request)->query, value;
	char text[VALUE_MAX];
	struct form_pair pair;

	*ret = relaxed;
	for (struct str rest = query; form_next(&rest, &pair);) {
		if (!form_name_is(&pair, STR("durability")))
			continue;
		(void)form_find(query, STR("durability"), text, sizeof(text), &value);
		*ret = str_eq(value, STR("relaxed"));
		if (!*ret && !str_eq(value, STR("durable")))
			return err_set(e, -EINVAL, "durability must be durable or relaxed");
		break;
	}
	return 0;
}

int terms_read(const struct http_request *request, struct str key, bool relaxed, struct terms *ret,
	       struct err *e)
{
	uint64_t ttl_ms = 0;
	int rc = read_ttl(request, key, &ttl_ms, e);

	if (rc == 0)
		rc = read_durability(request, relaxed, &ret->relaxed, e);
	ret->ttl_ms = ttl_ms;
	return rc;
}
