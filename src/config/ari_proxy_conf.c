/* SPDX-License-Identifier: MIT */
/*
 * config.json becomes the text of the equivalent voxbus.yaml, and that is read as any other.
 *
 * So the rules of what a name, a URL or a bus's keys may be stand in one place, the tables, and
 * `--print` says how to move. Each line of that text comes from one member: an error of the
 * YAML's reader is told with that member's place instead of the line's. Values go into it quoted, with
 * ${ escaped: go-ari-proxy replaced nothing either.
 */
#include "config/ari_proxy_conf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "codec/json.h"
#include "codec/json_fault.h"
#include "config/config_internal.h"

enum { LINES_MAX = 24 }; /* 16 are the most that are written */

enum place {
	ORIGIN,
	SERVER_ID,
	APPLICATIONS,
	WEBSOCKET_URL,
	STASIS_URL,
	WS_USER,
	WS_PASSWORD,
	MESSAGE_BUS,
	BUS_CONFIG,
	BUS_URL, /* members of bus_config from here on */
	BUS_QUEUE,
	N_PLACES,
	NOTHING = N_PLACES, /* a line of the YAML that no member says */
};

/* What a member must be. origin is read by nobody: ARI asks for none. */
static const struct member {
	const char *key, *name; /* name: in messages */
	enum json_type type;
	bool required;
	const char *must;
} members[N_PLACES] = {
	[ORIGIN] = { "origin", "origin", JSON_STRING, false, "a text" },
	[SERVER_ID] = { "server_id", "server_id", JSON_STRING, false, "a text" },
	[APPLICATIONS] = { "applications", "applications", JSON_ARRAY, true,
			   "a list of names such as [\"hello\"]" },
	[WEBSOCKET_URL] = { "websocket_url", "websocket_url", JSON_STRING, true,
			    "a text such as \"ws://127.0.0.1:8088/ari/events\"" },
	[STASIS_URL] = { "stasis_url", "stasis_url", JSON_STRING, true,
			 "a text such as \"http://127.0.0.1:8088/ari\"" },
	[WS_USER] = { "ws_user", "ws_user", JSON_STRING, true, "a text: a user of ari.conf" },
	[WS_PASSWORD] = { "ws_password", "ws_password", JSON_STRING, true,
			  "a text: the password of ws_user" },
	[MESSAGE_BUS] = { "message_bus", "message_bus", JSON_STRING, true,
			  "\"RABBITMQ\" or \"NATS\"" },
	[BUS_CONFIG] = { "bus_config", "bus_config", JSON_OBJECT, true, "an object with a url" },
	[BUS_URL] = { "url", "bus_config.url", JSON_STRING, true,
		      "a text such as \"amqp://guest:guest@127.0.0.1:5672/\" or "
		      "\"nats://127.0.0.1:4222\"" },
	[BUS_QUEUE] = { "queue", "bus_config.queue", JSON_STRING, false, "a text" },
};

/* Which bus message_bus means; RabbitMQ's had no use for the queue. */
static const struct bus {
	const char *word, *type, *name;
	bool queue;
} buses[] = { { "RABBITMQ", "amqp", "rabbitmq", false }, { "NATS", "nats", "nats", true } };

struct proxy {
	struct str text; /* of the file */
	const char *filename;
	struct json values[N_PLACES]; /* as found last; JSON_NONE: not there */
	const struct bus *bus;
	FILE *out; /* the YAML */
	size_t n_lines;
	enum place lines[LINES_MAX]; /* what each says; then come the applications, one a line */
	struct err *e;
};

/* ---- messages */

/* `file:line:column: ` and the sentence; columns count characters. */
static int fail(const struct proxy *p, const char *at, int rc, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int fail(const struct proxy *p, const char *at, int rc, const char *fmt, ...)
{
	char sentence[sizeof(p->e->text)];
	size_t line = 1, column = 1;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	for (const char *c = p->text.p; c && c < at; c++) {
		line += *c == '\n';
		if (*c == '\n')
			column = 1;
		else if (((unsigned char)*c & 0xc0) != 0x80)
			column++;
	}
	return err_set(p->e, rc, "%s:%zu:%zu: %s", p->filename, line, column, sentence);
}

static const char *type_text(enum json_type type)
{
	static const char *const texts[] = {
		[JSON_NONE] = "nothing", [JSON_NULL] = "null",        [JSON_FALSE] = "false",
		[JSON_TRUE] = "true",    [JSON_NUMBER] = "a number",  [JSON_STRING] = "a text",
		[JSON_ARRAY] = "a list", [JSON_OBJECT] = "an object",
	};

	return texts[type];
}

static int fail_type(const struct proxy *p, const char *name, struct json value, const char *must)
{
	return fail(p, value.raw.p, -EINVAL, "%s is %s, must be %s", name, type_text(value.type),
		    must);
}

/* The sentence shows what was found, without the password of a URL. */
static int fail_value(const struct proxy *p, enum place place, const char *must)
{
	struct json value = p->values[place];
	auto_buf struct buf plain, shown;

	buf_init(&plain, CONF_TEXT_MAX);
	buf_init(&shown, CONF_TEXT_MAX);
	if (json_add_unescaped(&plain, value) == 0)
		value_quote(buf_str(&plain), &shown);
	return fail(p, value.raw.p, -EINVAL, "%s is %.*s, must be %s", members[place].name,
		    STR_ARG(buf_str(&shown)), must);
}

static int fail_json(const struct proxy *p)
{
	const char *at, *must = json_fault(p->text, &at);

	if (!str_trim(p->text).n)
		return fail(p, p->text.p, -EBADMSG, "the file is empty, must be a JSON object");
	if (at == str_end(p->text))
		return fail(p, at, -EBADMSG, "the JSON ends here, must go on with %s", must);
	if (*at < '!' || *at > '~')
		return fail(p, at, -EBADMSG, "the JSON is broken: byte 0x%02x, must be %s",
			    (unsigned char)*at, must);
	return fail(p, at, -EBADMSG, "the JSON is broken: %c, must be %s", *at, must);
}

/* ---- reading */

static int take(struct proxy *p, enum place place, struct json value);

static int read_members(struct proxy *p, struct json object, enum place from, enum place to)
{
	struct json_iter it;
	struct json_item item;
	int rc = 0;

	json_iter_init(&it, object);
	while (rc == 0 && json_next(&it, &item) > 0) {
		for (enum place i = from; rc == 0 && i <= to; i++)
			if (json_key_is_nocase(&item, str_from(members[i].key)))
				rc = take(p, i, item.value);
	}
	return rc;
}

static int take(struct proxy *p, enum place place, struct json value)
{
	const struct member *m = &members[place];

	if (value.type == JSON_NULL)
		return 0;
	if (value.type != m->type)
		return fail_type(p, m->name, value, m->must);
	p->values[place] = value;
	return place == BUS_CONFIG ? read_members(p, value, BUS_URL, BUS_QUEUE) : 0;
}

/* A missing member is told at the object that should have it. */
static int check_required(const struct proxy *p, struct json root)
{
	for (enum place i = 0; i < N_PLACES; i++) {
		struct json inside = i >= BUS_URL ? p->values[BUS_CONFIG] : root;

		if (members[i].required && p->values[i].type == JSON_NONE)
			return fail(p, inside.raw.p, -EINVAL, "%s is missing, must be %s",
				    members[i].name, members[i].must);
	}
	return 0;
}

static int check_applications(const struct proxy *p)
{
	struct json list = p->values[APPLICATIONS];
	struct json_iter it;
	struct json_item item;
	char name[40];
	size_t n = 0;

	json_iter_init(&it, list);
	while (json_next(&it, &item) > 0) {
		(void)snprintf(name, sizeof(name), "applications[%zu]", n++);
		if (item.value.type != JSON_STRING)
			return fail_type(p, name, item.value, "a text");
	}
	return n ? 0
		 : fail(p, list.raw.p, -EINVAL, "applications is empty, must be %s",
			members[APPLICATIONS].must);
}

static int check_bus(struct proxy *p)
{
	struct json word = p->values[MESSAGE_BUS];

	for (size_t i = 0; i < sizeof(buses) / sizeof(*buses); i++)
		if (json_is(word, str_from(buses[i].word)))
			p->bus = &buses[i];
	if (p->bus)
		return 0;
	if (json_is(word, STR("OSLO")))
		return fail(p, word.raw.p, -EINVAL,
			    "message_bus is \"OSLO\", which is not supported, must be %s",
			    members[MESSAGE_BUS].must);
	return fail_value(p, MESSAGE_BUS, members[MESSAGE_BUS].must);
}

/* ---- two URLs of one Asterisk */

struct url {
	bool tls;
	struct str host, port, path; /* path: without slashes at its end */
};

static bool url_split(struct str s, const char *scheme, struct url *ret)
{
	size_t n = strlen(scheme), colon;
	struct str authority;

	if (!str_starts(s, str_from(scheme)))
		return false;
	s = str_skip(s, n);
	ret->tls = str_starts(s, STR("s://"));
	if (!ret->tls && !str_starts(s, STR("://")))
		return false;
	s = str_skip(s, ret->tls ? 4 : 3);
	authority = str_make(s.p, str_find(s, '/'));
	ret->path = str_skip(s, authority.n);
	while (str_ends(ret->path, STR("/")))
		ret->path.n--;
	colon = authority.n;
	while (authority.p && colon && authority.p[colon - 1] != ':' &&
	       authority.p[colon - 1] != ']')
		colon--;
	if (authority.p && colon && authority.p[colon - 1] == ':') {
		ret->host = str_make(authority.p, colon - 1);
		ret->port = str_skip(authority, colon);
	} else {
		ret->host = authority;
		ret->port = ret->tls ? STR("443") : STR("80");
	}
	return true;
}

static bool is_loopback(struct str host)
{
	return str_eq_nocase(host, STR("localhost")) || str_eq(host, STR("127.0.0.1")) ||
	       str_eq(host, STR("[::1]"));
}

static bool same_place(const struct url *ws, const struct url *http)
{
	bool host = str_eq_nocase(ws->host, http->host) ||
		    (is_loopback(ws->host) && is_loopback(http->host));

	return host && ws->tls == http->tls && str_eq(ws->port, http->port) &&
	       ws->path.n == http->path.n + strlen("/events") && str_starts(ws->path, http->path) &&
	       str_ends(ws->path, STR("/events"));
}

/* An engine has one address. A stasis_url that is none is left to the tables. */
static int check_urls(const struct proxy *p)
{
	auto_buf struct buf ws_text, http_text, must;
	struct str http;
	struct url a, b;
	int rc;

	buf_init(&ws_text, CONF_TEXT_MAX);
	buf_init(&http_text, CONF_TEXT_MAX);
	buf_init(&must, CONF_TEXT_MAX);
	rc = json_add_unescaped(&ws_text, p->values[WEBSOCKET_URL]);
	if (rc == 0)
		rc = json_add_unescaped(&http_text, p->values[STASIS_URL]);
	http = buf_str(&http_text);
	if (rc < 0 || !url_split(http, "http", &b))
		return rc;
	if (url_split(buf_str(&ws_text), "ws", &a) && same_place(&a, &b))
		return 0;
	rc = buf_addf(&must, "\"ws%s%.*s/events\", for stasis_url is ", b.tls ? "s://" : "://",
		      (int)(b.path.p + b.path.n - b.host.p), b.host.p);
	if (rc == 0)
		value_quote(http, &must);
	if (rc == 0)
		rc = buf_addc(&must, '\0');
	return fail_value(p, WEBSOCKET_URL, rc == 0 ? buf_str(&must).p : "that of stasis_url");
}

/* ---- writing */

static void line(struct proxy *p, enum place place, const char *text)
{
	assert(p->n_lines < LINES_MAX);
	p->lines[p->n_lines++] = place;
	(void)fprintf(p->out, "%s\n", text);
}

static int put_text(struct proxy *p, const char *before, struct json value)
{
	auto_buf struct buf plain;
	int rc;

	buf_init(&plain, CONF_TEXT_MAX);
	rc = json_add_unescaped(&plain, value);
	if (rc == 0) {
		(void)fputs(before, p->out);
		text_print(p->out, buf_str(&plain));
		(void)fputc('\n', p->out);
	}
	if (plain.base)
		explicit_bzero(plain.base, plain.cap);
	return rc;
}

/* Nothing where the member is not there, or is empty and need not be there. */
static int value_line(struct proxy *p, enum place place, const char *before)
{
	struct json value = p->values[place];

	if (value.type == JSON_NONE || (!members[place].required && json_is(value, STR(""))))
		return 0;
	p->lines[p->n_lines++] = place;
	return put_text(p, before, value);
}

static int put_bus(struct proxy *p)
{
	char text[64];
	int rc;

	line(p, NOTHING, "buses:");
	(void)snprintf(text, sizeof(text), "  - type: %s", p->bus->type);
	line(p, MESSAGE_BUS, text);
	(void)snprintf(text, sizeof(text), "    name: %s", p->bus->name);
	line(p, MESSAGE_BUS, text);
	rc = value_line(p, BUS_URL, "    url: ");
	return rc == 0 && p->bus->queue ? value_line(p, BUS_QUEUE, "    queue: ") : rc;
}

static int put_all(struct proxy *p)
{
	struct json_iter it;
	struct json_item item;
	int rc = value_line(p, SERVER_ID, "node: ");

	line(p, NOTHING, "http:");
	line(p, NOTHING, "  listen: []");
	line(p, NOTHING, "engines:");
	line(p, NOTHING, "  - type: asterisk");
	line(p, NOTHING, "    name: asterisk");
	if (rc == 0)
		rc = value_line(p, STASIS_URL, "    url: ");
	if (rc == 0)
		rc = value_line(p, WS_USER, "    username: ");
	if (rc == 0)
		rc = value_line(p, WS_PASSWORD, "    password: ");
	if (rc == 0)
		rc = put_bus(p);
	line(p, APPLICATIONS, "applications:");
	json_iter_init(&it, p->values[APPLICATIONS]);
	while (rc == 0 && json_next(&it, &item) > 0)
		rc = put_text(p, "  - name: ", item.value);
	return rc;
}

/* ---- the way back: from a line of the YAML to the member */

/* "buses[0] \"rabbitmq\": url is ..." -> "url is ..." */
static const char *without_path(const char *s)
{
	const char *end = s + strspn(s, "abcdefghijklmnopqrstuvwxyz");
	const char *name;

	if (*end != '[')
		return s;
	end = strchr(end, ']');
	name = end && str_starts(str_from(end), STR("] \"")) ? end + 3 : NULL;
	end = name ? strstr(name, "\": ") : end;
	return end ? strchr(end, ':') + 2 : s;
}

static struct json application_at(const struct proxy *p, size_t index)
{
	struct json_iter it;
	struct json_item item = { .value = p->values[APPLICATIONS] };

	json_iter_init(&it, p->values[APPLICATIONS]);
	while (json_next(&it, &item) > 0 && index--)
		;
	return item.value;
}

static int translate(const struct proxy *p, int rc)
{
	const struct err yaml = *p->e;
	const char *text = yaml.text;
	struct str number;
	uint64_t n;
	enum place place;

	if (!str_starts(str_from(text), str_from(p->filename)) || text[strlen(p->filename)] != ':')
		return rc;
	text += strlen(p->filename) + 1;
	number = str_make(text, strspn(text, "0123456789"));
	if (str_u64(number, &n) < 0 || n == 0 ||
	    !str_starts(str_skip(str_from(text), number.n), STR(": ")))
		return rc;
	text = without_path(text + number.n + 2);
	if (n > p->n_lines) {
		n -= p->n_lines + 1;
		return fail(p, application_at(p, n).raw.p, rc, "applications[%zu]: %s", (size_t)n,
			    text);
	}
	place = p->lines[n - 1];
	if (place == NOTHING)
		return rc;
	return fail(p, p->values[place].raw.p, rc, "%s: %s", members[place].name, text);
}

/* ---- from outside */

static int parse_yaml(struct proxy *p, const struct conf_variant *variants,
		      struct voxbus_conf **ret)
{
	char *yaml = NULL;
	size_t n = 0;
	int rc;

	p->out = open_memstream(&yaml, &n);
	rc = p->out ? put_all(p) : -ENOMEM;
	if (p->out && (ferror(p->out) | fclose(p->out)))
		rc = -ENOMEM;
	if (rc < 0)
		(void)err_set(p->e, rc, "%s: out of memory", p->filename);
	else
		rc = voxbus_conf_parse(variants, str_make(yaml, n), p->filename, ret, p->e);
	if (rc == -EINVAL || rc == -EBADMSG)
		rc = translate(p, rc);
	if (yaml)
		explicit_bzero(yaml, n);
	free(yaml);
	return rc;
}

int ari_proxy_conf_parse(const struct conf_variant *variants, struct str text, const char *filename,
			 struct voxbus_conf **ret, struct err *e)
{
	struct proxy p = { .text = text, .filename = filename, .e = e };
	struct json root;
	int rc;

	if (!str_is_utf8(text))
		return err_set(e, -EBADMSG, "%s: the file is not UTF-8, must be JSON in UTF-8",
			       filename);
	if (json_parse(text, &root) < 0)
		return fail_json(&p);
	if (root.type != JSON_OBJECT)
		return fail(&p, root.raw.p, -EINVAL, "the file is %s, must be a JSON object",
			    type_text(root.type));
	rc = read_members(&p, root, ORIGIN, BUS_CONFIG);
	if (rc == 0)
		rc = check_required(&p, root);
	if (rc == 0)
		rc = check_applications(&p);
	if (rc == 0)
		rc = check_bus(&p);
	if (rc == 0)
		rc = check_urls(&p);
	if (rc == -ENOMEM)
		return err_set(e, rc, "%s: out of memory", filename);
	return rc < 0 ? rc : parse_yaml(&p, variants, ret);
}

int ari_proxy_conf_load(const struct conf_variant *variants, const char *filename,
			struct voxbus_conf **ret, struct err *e)
{
	struct buf text;
	int rc = conf_read_file(filename, &text, e);

	if (rc == 0)
		rc = ari_proxy_conf_parse(variants, buf_str(&text), filename, ret, e);
	if (text.base)
		explicit_bzero(text.base, text.cap);
	buf_fini(&text);
	return rc;
}
