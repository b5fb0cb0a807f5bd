/* SPDX-License-Identifier: MIT */
/*
 * The Command envelope in. What a client wrote is judged here, once for all buses, and every
 * refusal is a sentence that tells its author what to change.
 *
 * The strings are unescaped into one buffer that is reserved in full at the beginning (unescaping
 * never makes text longer), so that slices into it stay where they are.
 */
#include "envelope/envelope.h"

#include <errno.h>

#include "codec/json.h"

struct field {
	const char *name;
	struct str *value;
	bool objects; /* may also be a JSON object, taken as its bytes */
};

static int take(struct buf *bytes, const struct field *field, struct json value, struct err *e)
{
	size_t at = buf_len(bytes);
	int rc;

	if (value.type == JSON_NULL)
		return 0;
	if (value.type == JSON_STRING)
		rc = json_add_unescaped(bytes, value);
	else if (field->objects && value.type == JSON_OBJECT)
		rc = buf_add(bytes, value.raw);
	else
		return err_set(e, -EBADMSG, "%s must be a string%s", field->name,
			       field->objects ? " or an object" : "");
	if (rc < 0)
		return err_set(e, rc == -ENOMEM ? rc : -EBADMSG, "%s is not a valid string",
			       field->name);
	*field->value = str_skip(buf_str(bytes), at);
	return 0;
}

static int read_members(struct json object, struct envelope_command *c, struct err *e)
{
	const struct field fields[] = {
		{ "unique_id", &c->unique_id, false },
		{ "url", &c->url, false },
		{ "method", &c->method, false },
		{ "body", &c->body, true },
	};
	struct json_iter it;
	struct json_item item;
	int rc;

	json_iter_init(&it, object);
	while ((rc = json_next(&it, &item)) > 0) {
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
			if (!json_key_is_nocase(&item, str_from(fields[i].name)))
				continue;
			int taken = take(&c->bytes, &fields[i], item.value, e);
			if (taken < 0)
				return taken;
		}
	}
	return rc < 0 ? err_set(e, -EBADMSG, "a command must be a JSON object") : 0;
}

static int check(const struct envelope_command *c, struct err *e)
{
	if (!c->method.n)
		return err_set(e, -EBADMSG, "method is missing: GET, POST, PUT or DELETE");
	if (!c->url.p)
		return err_set(e, -EBADMSG, "url is missing, such as \"/channels/ID/answer\"");
	return 0; /* whether it is a good one is for the engine to say, in its reply */
}

int envelope_command_parse(struct str text, struct envelope_command *ret, struct err *e)
{
	struct envelope_command c = { .dummy = str_eq(str_trim(text), STR("DUMMY")) };
	struct json object;

	buf_init(&c.bytes, text.n + 1);
	if (c.dummy) {
		*ret = c;
		return 0;
	}
	if (json_parse(text, &object) < 0)
		return err_set(e, -EBADMSG, "the command is not valid JSON");
	if (object.type != JSON_OBJECT)
		return err_set(e, -EBADMSG, "a command must be a JSON object");
	if (!str_is_utf8(text))
		return err_set(e, -EBADMSG, "the command is not valid UTF-8");
	int rc = buf_reserve(&c.bytes, text.n + 1);
	if (rc == 0)
		rc = read_members(object, &c, e);
	if (rc == 0)
		rc = check(&c, e);
	if (rc < 0) {
		buf_fini(&c.bytes);
		return rc;
	}
	*ret = c;
	return 0;
}

void envelope_command_fini(struct envelope_command *command)
{
	buf_fini(&command->bytes);
}
