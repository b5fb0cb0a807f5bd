/* SPDX-License-Identifier: MIT */
/*
 * The scanner under any bytes: json_parse, json_fault and the iterator must agree, strings must come out
 * no longer than they went in, and what a writer writes must be read back as it was.
 */
#include <assert.h>
#include <stdlib.h>

#include "codec/json.h"
#include "codec/json_fault.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_string(struct json value)
{
	char *out = malloc(value.raw.n);
	struct str s;
	struct buf b;
	struct json back;

	assert(out && json_string(value, out, value.raw.n, &s) == 0);
	assert(s.n + 2 <= value.raw.n && json_is(value, s));
	buf_init(&b, 8 * value.raw.n + 8);
	assert(json_add_string(&b, s) == 0);
	assert(json_parse(buf_str(&b), &back) == 0 && back.type == JSON_STRING);
	assert(!str_is_utf8(s) || json_is(back, s));
	buf_clear(&b);
	assert(json_add_string_go(&b, s) == 0);
	assert(json_parse(buf_str(&b), &back) == 0 && back.type == JSON_STRING);
	assert(!str_is_utf8(s) || json_is(back, s));
	buf_fini(&b);
	free(out);
}

static int walk(struct json value)
{
	struct json_iter it;
	struct json_item item;
	int rc;

	json_iter_init(&it, value);
	while ((rc = json_next(&it, &item)) > 0) {
		if (item.value.type == JSON_STRING)
			check_string(item.value);
		if (item.value.type >= JSON_ARRAY)
			assert(walk(item.value) == 0);
	}
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = str_make((const char *)data, n);
	struct json value, peeked = json_peek(text);
	const char *at;
	int rc = json_parse(text, &value);

	assert((json_fault(text, &at) != NULL) == (rc < 0));
	assert(rc == 0 || (at >= text.p && at <= str_end(text)));
	if (rc == 0 && value.type == JSON_STRING)
		check_string(value);
	/* The iterator allows one level more: it begins inside the first. */
	if (peeked.type >= JSON_ARRAY) {
		int walked = walk(peeked);

		assert(rc < 0 || walked == 0);
	}
	(void)json_path(peeked, STR("channel.dialplan.app_name"));
	return 0;
}
