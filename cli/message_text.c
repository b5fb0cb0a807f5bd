/* SPDX-License-Identifier: MIT */
/* What of a message matters to who reads along: when it came, and what is in it. */
#include "message_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd_internal.h"
#include "table.h"

enum { TIME_AT = 11, TIME_SIZE = 12 }; /* of "2026-11-21T10:15:04.123456789Z" */

static const cJSON *get(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

static int add_json(const cJSON *value, struct buf *out)
{
	char *text = cJSON_PrintUnformatted(value);
	int rc = text ? text_add_clean(out, str_from(text)) : -ENOMEM;

	free(text);
	return rc;
}

static int add_fields(const cJSON *fields, struct buf *out)
{
	const cJSON *field;
	int rc = 0;

	cJSON_ArrayForEach(field, fields)
	{
		rc = rc < 0 ? rc : buf_addc(out, ' ');
		rc = rc < 0 ? rc : text_add_clean(out, str_from(field->string));
		rc = rc < 0 ? rc : buf_addc(out, '=');
		rc = rc < 0 ? rc : text_add_clean(out, str_from(cJSON_GetStringValue(field)));
	}
	return rc;
}

static int add_files(const cJSON *files, struct buf *out)
{
	const cJSON *file;
	int rc = 0;

	cJSON_ArrayForEach(file, files)
	{
		rc = rc < 0 ? rc : buf_add(out, STR(" ["));
		rc = rc < 0 ? rc : text_add_clean(out, str_from(json_text(file, "Name")));
		rc = rc < 0 ? rc : buf_add(out, STR(": file "));
		rc = rc < 0 ? rc : text_add_clean(out, str_from(json_text(file, "Filename")));
		rc = rc < 0 ? rc : buf_addc(out, ']');
	}
	return rc;
}

static size_t decoded_size(const char *base64)
{
	size_t n = strlen(base64);

	while (n && base64[n - 1] == '=')
		n--;
	return n * 3 / 4;
}

static int add_body(const cJSON *message, struct buf *out)
{
	const char *base64 = json_text(message, "BodyBase64");
	int rc = 0;

	if (get(message, "Json")) {
		rc = buf_addc(out, ' ');
		return rc < 0 ? rc : add_json(get(message, "Json"), out);
	}
	if (base64[0])
		return buf_addf(out, " (%zu bytes of %s)", decoded_size(base64),
				json_text(message, "ContentType")[0]
					? json_text(message, "ContentType")
					: "something");
	if (!json_text(message, "Body")[0])
		return 0;
	rc = buf_addc(out, ' ');
	return rc < 0 ? rc : text_add_clean(out, str_from(json_text(message, "Body")));
}

int message_text_add(const cJSON *message, struct buf *out)
{
	const char *created = json_text(message, "Created");
	double times = json_number(message, "Redelivered");
	int rc;

	if (strlen(created) < TIME_AT + TIME_SIZE || !get(message, "FormParams")) {
		rc = add_json(message, out);
		return rc < 0 ? rc : buf_addc(out, '\n');
	}
	rc = text_add_clean(out, str_make(created + TIME_AT, TIME_SIZE));
	rc = rc < 0 ? rc : add_fields(get(message, "FormParams"), out);
	rc = rc < 0 ? rc : add_body(message, out);
	rc = rc < 0 ? rc : add_files(get(message, "Files"), out);
	if (rc == 0 && times > 0)
		rc = buf_addf(out, " (redelivered %.0f)", times);
	return rc < 0 ? rc : buf_addc(out, '\n');
}
