/* SPDX-License-Identifier: MIT */
/*
 * The JSON writer of the admin answers.
 *
 * One flag is all the state that compact JSON needs: whether the next value has a neighbour before
 * it in its container. Opening a bracket clears it; anything written sets it.
 */
#include "api/jout.h"

#include <inttypes.h>

#include "codec/json.h"

static void put(struct jout *j, struct str s)
{
	if (j->rc == 0)
		j->rc = buf_add(j->buf, s);
}

void jout_init(struct jout *j, struct buf *buf)
{
	*j = (struct jout){ .buf = buf };
}

static void put_string(struct jout *j, struct str s)
{
	if (j->rc == 0)
		j->rc = json_add_string(j->buf, s);
}

/* What stands before a value: the comma and the key. */
static void begin(struct jout *j, const char *key)
{
	if (j->comma)
		put(j, STR(","));
	j->comma = true;
	if (!key)
		return;
	put_string(j, str_from(key));
	put(j, STR(":"));
}

void jout_open(struct jout *j, const char *key, char bracket)
{
	begin(j, key);
	put(j, str_make(&bracket, 1));
	j->comma = false;
}

void jout_close(struct jout *j, char bracket)
{
	put(j, str_make(&bracket, 1));
	j->comma = true;
}

void jout_str(struct jout *j, const char *key, struct str value)
{
	begin(j, key);
	put_string(j, value);
}

void jout_u64(struct jout *j, const char *key, uint64_t value)
{
	begin(j, key);
	if (j->rc == 0)
		j->rc = buf_addf(j->buf, "%" PRIu64, value);
}

void jout_seconds(struct jout *j, const char *key, uint64_t ms)
{
	begin(j, key);
	if (j->rc == 0)
		j->rc = buf_addf(j->buf, "%" PRIu64 ".%03u", ms / 1000, (unsigned)(ms % 1000));
}

void jout_bool(struct jout *j, const char *key, bool value)
{
	begin(j, key);
	put(j, value ? STR("true") : STR("false"));
}

void jout_null(struct jout *j, const char *key)
{
	begin(j, key);
	put(j, STR("null"));
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Valid JSON without the whitespace between its tokens, so that it stays on one line. */
static void put_compact(struct jout *j, struct str s)
{
	bool quoted = false;
	size_t start = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (quoted && s.p[i] == '\\') {
			i++;
		} else if (s.p[i] == '"') {
			quoted = !quoted;
		} else if (!quoted && is_space(s.p[i])) {
			put(j, str_make(s.p + start, i - start));
			start = i + 1;
		}
	}
	put(j, str_skip(s, start));
}

void jout_json(struct jout *j, const char *key, struct str value)
{
	struct json parsed;

	begin(j, key);
	if (str_is_utf8(value) && json_parse(value, &parsed) == 0)
		put_compact(j, value);
	else
		put_string(j, value);
}

int jout_end(const struct jout *j)
{
	return j->rc;
}
