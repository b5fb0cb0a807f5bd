/* SPDX-License-Identifier: MIT */
/*
 * From a stored document back to the bytes that were posted: what a call is told to do. Nobody
 * looks whether they are XML, let alone good XML; a phone network takes more than a parser would.
 *
 * What is neither text nor bytes (nothing at all, or a form) is the empty instruction.
 */
#include <errno.h>

#include "buses/longpoll/call.h"
#include "buses/longpoll/longpoll_internal.h"
#include "codec/base64.h"
#include "codec/json.h"

static const struct str xml_type = STR_INIT("application/xml");

/* The publisher's type if it is one of instructions; JSON is another phone network's. */
static bool is_instructions(struct str content_type)
{
	static const struct str types[] = { STR_INIT("application/xml"), STR_INIT("text/xml"),
					    STR_INIT("application/json") };
	struct str type = str_trim(str_cut(&content_type, ';'));

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (str_eq_nocase(type, types[i]))
			return true;
	return str_eq_nocase(str_skip(type, type.n > 4 ? type.n - 4 : 0), STR("+xml")) ||
	       str_eq_nocase(str_skip(type, type.n > 5 ? type.n - 5 : 0), STR("+json"));
}

static int add_base64(struct buf *out, struct json value)
{
	struct str text;

	/* Base64 has nothing that is escaped. */
	if (json_string(value, NULL, 0, &text) < 0)
		return -EBADMSG;
	int rc = buf_reserve(out, text.n / 4 * 3 + 3);
	if (rc < 0)
		return rc;
	long n = base64_decode(buf_tail(out), text);
	if (n < 0)
		return -EBADMSG;
	buf_grew(out, (size_t)n);
	return 0;
}

static int take_member(struct longpoll *bus, const struct json_item *item, struct call_reply *ret)
{
	int rc = 0;

	if (json_key_is(item, STR("ContentType"))) {
		(void)json_string(item->value, ret->type_bytes, sizeof(ret->type_bytes),
				  &ret->type);
	} else if (json_key_is(item, STR("Json"))) {
		ret->body = item->value.raw;
	} else if (json_key_is(item, STR("Body")) || json_key_is(item, STR("BodyBase64"))) {
		buf_clear(&bus->scratch);
		rc = json_key_is(item, STR("Body")) ? json_add_unescaped(&bus->scratch, item->value)
						    : add_base64(&bus->scratch, item->value);
		ret->body = buf_str(&bus->scratch);
	}
	return rc;
}

int call_reply_of(struct longpoll *bus, const struct msg *msg, struct call_reply *ret)
{
	struct json_iter it;
	struct json_item item;
	int rc = 0;

	ret->type = xml_type;
	ret->body = STR("");
	json_iter_init_shallow(&it, json_peek(blob_str(msg->payload)));
	while (rc == 0 && json_next(&it, &item) > 0)
		rc = take_member(bus, &item, ret);
	if (rc == -ENOMEM)
		return rc;
	if (!is_instructions(ret->type))
		ret->type = xml_type;
	if (!ret->body.n) {
		ret->type = xml_type;
		ret->body = STR("<Response/>");
	}
	return 0;
}
