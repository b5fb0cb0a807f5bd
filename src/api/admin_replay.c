/* SPDX-License-Identifier: MIT */
/*
 * POST /api/replay?dialog=D&topic=T&speed=N: a call's events once more.
 *
 * The answer says what will come, not that it has.
 */
#include <errno.h>

#include "api/admin_internal.h"
#include "codec/form.h"
#include "core/replay.h"

enum { VALUE_MAX = 256 };

struct asked {
	struct replay_options options;
	char dialog[VALUE_MAX], topic[VALUE_MAX];
};

/* "1", "2.5", "0": thousandths. */
static bool read_speed(struct str s, uint64_t *ret)
{
	struct str rest = s, whole = str_cut(&rest, '.');
	uint64_t n = 0, part = 0;

	if (str_u64(whole, &n) < 0 || n > REPLAY_SPEED_MAX / REPLAY_REAL_TIME)
		return false;
	if (rest.p && (rest.n > 3 || str_u64(rest, &part) < 0))
		return false;
	for (size_t i = rest.n; rest.p && i < 3; i++)
		part *= 10;
	*ret = n * REPLAY_REAL_TIME + part;
	return true;
}

static struct str value_of(struct form_pair pair, char out[VALUE_MAX])
{
	return pair.value.n < VALUE_MAX ? str_make(out, form_decode(out, pair.value))
					: str_make(NULL, 0);
}

static const char *read_query(struct asked *asked, struct str query)
{
	struct form_pair pair;

	asked->options = (struct replay_options){ .speed = REPLAY_REAL_TIME };
	while (form_next(&query, &pair)) {
		if (form_name_is(&pair, STR("dialog"))) {
			asked->options.dialog = value_of(pair, asked->dialog);
		} else if (form_name_is(&pair, STR("topic"))) {
			asked->options.topic = value_of(pair, asked->topic);
			if (!asked->options.topic.n)
				return "topic must be a name of 1 to 200 bytes, or left out.";
		} else if (form_name_is(&pair, STR("speed")) &&
			   !read_speed(pair.value, &asked->options.speed)) {
			return "speed must be a number from 0 (at once) to 1000000, with at most "
			       "three decimals.";
		}
	}
	return asked->options.dialog.n ? NULL : "dialog must be the id of a call.";
}

static void refuse(struct http_request *request, int rc, const struct err *e)
{
	int status = 503;

	if (rc == -ENOENT || rc == -ENODATA)
		status = 404;
	else if (rc == -EINVAL)
		status = 400;
	else if (rc == -EBUSY)
		status = 409;
	http_problem(request, status, str_from(e->text), NULL, 0);
}

void admin_replay(struct admin *admin, struct http_request *request)
{
	struct asked asked;
	struct replay_view view;
	struct err e = { "" };
	auto_buf struct buf body;
	struct jout j;
	const char *wrong = read_query(&asked, http_request_info(request)->query);
	int rc;

	buf_init(&body, ADMIN_ANSWER_MAX);
	if (wrong) {
		http_problem(request, 400, str_from(wrong), NULL, 0);
		return;
	}
	rc = hub_replay(admin->env.hub, &asked.options, &view, &e);
	if (rc < 0) {
		refuse(request, rc, &e);
		return;
	}
	log_info(admin->env.log, "replay", "dialog=%.*s topic=%s events=%llu",
		 STR_ARG(asked.options.dialog), view.topic, (unsigned long long)view.events);
	jout_init(&j, &body);
	jout_open(&j, NULL, '{');
	jout_str(&j, "dialog", asked.options.dialog);
	jout_str(&j, "topic", str_from(view.topic));
	jout_u64(&j, "first", view.first);
	jout_u64(&j, "events", view.events);
	jout_close(&j, '}');
	admin_answer(request, 202, STR("application/json"), &body, jout_end(&j));
}
