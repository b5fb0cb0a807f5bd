/* SPDX-License-Identifier: MIT */
/*
 * Values from the environment.
 *
 * ${NAME} must be set; ${NAME:-default} takes the default when NAME is not set or empty; $${ is a
 * plain ${. The result is not looked at again, neither here nor as YAML, so that a variable can't
 * bring in keys or other variables.
 */
#include "config/config_internal.h"

#include <errno.h>
#include <stdlib.h>

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i], low = (char)(c | 0x20);

		if (c != '_' && !(low >= 'a' && low <= 'z') && !(i && c >= '0' && c <= '9'))
			return false;
	}
	return s.n > 0;
}

static int value_of(struct str name, const char **ret, struct err *e)
{
	char *zname = str_dup(name);

	if (!zname)
		return -ENOMEM;
	*ret = getenv(zname);
	free(zname);
	if (*ret && !str_is_utf8(str_from(*ret)))
		return err_set(e, -EINVAL, "the environment variable %.*s is not UTF-8",
			       STR_ARG(name));
	return 0;
}

/* inside: what stands between ${ and }. */
static int expand_one(struct str inside, struct buf *out, struct err *e)
{
	size_t dash = str_find_str(inside, STR(":-"));
	struct str name = str_make(inside.p, dash);
	const char *value = NULL;
	int rc;

	if (!is_name(name) || name.n > 256)
		return err_set(
			e, -EINVAL,
			"bad ${...}, must be ${NAME} or ${NAME:-default}; $${ stands for ${");
	rc = value_of(name, &value, e);
	if (rc < 0)
		return rc;
	if (dash < inside.n && (!value || !*value))
		return buf_add(out, str_skip(inside, dash + 2));
	if (!value)
		return err_set(e, -EINVAL,
			       "the environment variable %.*s is not set, must be set or have a "
			       "default: ${%.*s:-default}",
			       STR_ARG(name), STR_ARG(name));
	return buf_add(out, str_from(value));
}

int env_expand(struct str text, struct buf *out, struct err *e)
{
	while (text.n) {
		size_t at = str_find_str(text, STR("${"));
		bool escaped = at > 0 && at < text.n && text.p[at - 1] == '$';
		struct str rest = str_skip(text, at + 2);
		size_t close = str_find(rest, '}');
		int rc = buf_add(out, str_make(text.p, escaped ? at - 1 : at));

		if (rc < 0 || at == text.n)
			return rc;
		if (escaped) {
			rc = buf_add(out, STR("${"));
			text = rest;
		} else if (close == rest.n) {
			return err_set(e, -EINVAL,
				       "${ without }, must be ${NAME}; $${ stands for ${");
		} else {
			rc = expand_one(str_make(rest.p, close), out, e);
			text = str_skip(rest, close + 1);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}
