/* SPDX-License-Identifier: MIT */
/*
 * What `voxbus tail` prints of a message:
 *
 *   00:03:13.123 1f0c2a77 * AppStart hello
 *   00:03:13.124 1f0c2a77 > StasisStart             PJSIP/alice-00000001
 *   00:03:13.190 1f0c2a77 < POST /channels/1.1/answer
 *   00:03:13.201 1f0c2a77 = POST /channels/1.1/answer -> 204
 *
 * The time is the daemon's local one as the line has it. A reply names its command only by number;
 * the last commands are kept in a ring to show what was asked.
 */
#include "tail_text.h"

#include <stdlib.h>

#include "codec/json.h"
#include "table.h"

enum { COMMANDS = 256, DIALOG_SHOWN = 8, TEXT_SIZE = 512 };

struct command {
	char dialog[64], text[256];
	uint64_t seq;
};

struct tail_text {
	struct command ring[COMMANDS];
	size_t next;
};

struct tail_text *tail_text_create(void)
{
	return calloc(1, sizeof(struct tail_text));
}

struct tail_text *tail_text_destroy(struct tail_text *text)
{
	free(text);
	return NULL;
}

/* A string member as it is meant; "" when there is none or it is too long. */
static struct str text_of(struct json object, const char *path, char out[TEXT_SIZE])
{
	struct str s;

	if (json_string(json_path(object, str_from(path)), out, TEXT_SIZE, &s) < 0)
		return STR("");
	return s;
}

static uint64_t number_of(struct json object, const char *path)
{
	uint64_t n = 0;

	(void)json_u64(json_path(object, str_from(path)), &n);
	return n;
}

/* What is worth seeing of an event, in this order. */
static const struct {
	const char *path, *label;
} details[] = {
	{ "channel.name", "" },
	{ "channel.caller.number", "from " },
	{ "channel.dialplan.exten", "to " },
	{ "digit", "digit " },
	{ "playback.id", "playback " },
	{ "playback.state", "" },
	{ "recording.name", "recording " },
	{ "recording.state", "" },
	{ "bridge.id", "bridge " },
	{ "channel.state", "" },
	{ "cause_txt", "" },
	{ "variable", "" },
};

static bool worth(struct str type, const char *path)
{
	struct str p = str_from(path);

	if (str_eq(p, STR("channel.state")))
		return str_eq(type, STR("ChannelStateChange"));
	if (str_eq(p, STR("channel.caller.number")) || str_eq(p, STR("channel.dialplan.exten")))
		return str_eq(type, STR("StasisStart"));
	return true;
}

static int add_details(struct buf *out, struct str type, struct json payload)
{
	char scratch[TEXT_SIZE];
	int rc = 0;

	for (size_t i = 0; i < sizeof(details) / sizeof(details[0]) && rc == 0; i++) {
		struct str value = text_of(payload, details[i].path, scratch);

		if (value.n == 0 || !worth(type, details[i].path))
			continue;
		rc = buf_addf(out, " %s", details[i].label);
		if (rc == 0)
			rc = text_add_clean(out, value);
	}
	return rc;
}

static int add_event(struct buf *out, struct json line)
{
	char scratch[TEXT_SIZE];
	struct str type = text_of(line, "type", scratch);
	int rc = text_add_clean(out, type);

	for (size_t n = text_width(type); n < 23 && rc == 0; n++)
		rc = buf_addc(out, ' ');
	if (rc == 0)
		rc = add_details(out, type, json_get(line, STR("payload")));
	if (rc == 0 && json_get(line, STR("synthetic")).type == JSON_TRUE)
		rc = buf_add(out, STR(" (found missing)"));
	return rc;
}

static int add_command(struct tail_text *t, struct buf *out, struct json line, struct str dialog)
{
	struct command *c = &t->ring[t->next++ % COMMANDS];
	char method[TEXT_SIZE], target[TEXT_SIZE];

	(void)snprintf(c->dialog, sizeof(c->dialog), "%.*s", STR_ARG(dialog));
	(void)snprintf(c->text, sizeof(c->text), "%.*s %.*s",
		       STR_ARG(text_of(line, "method", method)),
		       STR_ARG(text_of(line, "target", target)));
	c->seq = number_of(line, "seq");
	return text_add_clean(out, str_from(c->text));
}

static int add_reply(const struct tail_text *t, struct buf *out, struct json line,
		     struct str dialog)
{
	uint64_t answers = number_of(line, "answers");
	int rc = 0;

	for (size_t i = 0; i < COMMANDS && answers; i++) {
		const struct command *c = &t->ring[i];

		if (c->seq != answers || !str_eq(str_from(c->dialog), dialog))
			continue;
		rc = text_add_clean(out, str_from(c->text));
		if (rc == 0)
			rc = buf_addc(out, ' ');
		break;
	}
	if (rc == 0)
		rc = buf_addf(out, "-> %u", (unsigned)number_of(line, "status"));
	return rc;
}

static int add_body(struct tail_text *t, struct buf *out, struct json line)
{
	char kind[TEXT_SIZE], dialog[TEXT_SIZE], scratch[TEXT_SIZE];
	struct str k = text_of(line, "kind", kind), d = text_of(line, "dialog", dialog);
	char arrow = str_eq(k, STR("event"))      ? '>'
		     : str_eq(k, STR("command"))  ? '<'
		     : str_eq(k, STR("reply"))    ? '='
		     : str_eq(k, STR("announce")) ? '*'
						  : '-';
	int rc = buf_addf(out, "%-*.*s %c ", DIALOG_SHOWN,
			  d.n < DIALOG_SHOWN ? (int)d.n : DIALOG_SHOWN, d.n ? d.p : "", arrow);

	if (rc < 0)
		return rc;
	switch (arrow) {
	case '>':
		return add_event(out, line);
	case '<':
		return add_command(t, out, line, d);
	case '=':
		return add_reply(t, out, line, d);
	case '*':
		rc = text_add_clean(out, text_of(line, "type", scratch));
		if (rc == 0)
			rc = buf_addc(out, ' ');
		return rc < 0 ? rc : text_add_clean(out, text_of(line, "application", scratch));
	default:
		rc = text_add_clean(out, text_of(line, "topic", scratch));
		return rc < 0 ? rc : buf_addf(out, " %u bytes", (unsigned)number_of(line, "size"));
	}
}

int tail_text_add(struct tail_text *t, struct str text, struct buf *out)
{
	char scratch[TEXT_SIZE];
	struct json line;
	struct str ts;
	int rc;

	if (json_parse(text, &line) < 0 || line.type != JSON_OBJECT) {
		rc = text_add_clean(out, text);
		return rc < 0 ? rc : buf_addc(out, '\n');
	}
	if (json_get(line, STR("lost")).type == JSON_NUMBER)
		return buf_addf(out, "... %u messages are not shown: this reader was too slow\n",
				(unsigned)number_of(line, "lost"));
	ts = text_of(line, "ts", scratch);
	ts = str_skip(ts, 11); /* "2026-11-21T" */
	ts.n = ts.n < 12 ? ts.n : 12;
	rc = text_add_clean(out, ts);
	if (rc == 0)
		rc = buf_addc(out, ' ');
	if (rc == 0)
		rc = add_body(t, out, line);
	return rc < 0 ? rc : buf_addc(out, '\n');
}
