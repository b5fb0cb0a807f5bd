/* SPDX-License-Identifier: MIT */
/*
 * A table of the paths that make something, and the reading of a command's parameters.
 *
 * Asterisk takes parameters in the query, in a form or in a JSON body, in that order of preference
 * for us: a name found first counts.
 */
#include "engines/asterisk/ari_routes.h"

#include <errno.h>

#include "codec/json.h"

enum { SEGMENTS = 4, SELF = -1 };

struct route {
	const char *path[SEGMENTS]; /* "*" is any segment */
	enum object_kind kind;
	int id_at;              /* the segment that is the id, or SELF: none */
	const char *id, *other; /* parameters that choose ids */
};

/* The first that fits. */
static const struct route routes[] = {
	{ { "channels" }, OBJECT_CHANNEL, SELF, "channelId", "otherChannelId" },
	{ { "channels", "create" }, OBJECT_CHANNEL, SELF, "channelId", "otherChannelId" },
	{ { "channels", "externalMedia" }, OBJECT_CHANNEL, SELF, "channelId", NULL },
	{ { "channels", "*" }, OBJECT_CHANNEL, 1, NULL, "otherChannelId" },
	{ { "channels", "*", "play" }, OBJECT_PLAYBACK, SELF, "playbackId", NULL },
	{ { "channels", "*", "play", "*" }, OBJECT_PLAYBACK, 3, NULL, NULL },
	{ { "channels", "*", "snoop" }, OBJECT_CHANNEL, SELF, "snoopId", NULL },
	{ { "channels", "*", "snoop", "*" }, OBJECT_CHANNEL, 3, NULL, NULL },
	{ { "channels", "*", "record" }, OBJECT_RECORDING, SELF, "name", NULL },
	{ { "bridges" }, OBJECT_BRIDGE, SELF, "bridgeId", NULL },
	{ { "bridges", "*" }, OBJECT_BRIDGE, 1, NULL, NULL },
	{ { "bridges", "*", "play" }, OBJECT_PLAYBACK, SELF, "playbackId", NULL },
	{ { "bridges", "*", "play", "*" }, OBJECT_PLAYBACK, 3, NULL, NULL },
	{ { "bridges", "*", "record" }, OBJECT_RECORDING, SELF, "name", NULL },
};

struct path {
	struct str segments[SEGMENTS];
	size_t n;
	struct str query;
};

/* false: more segments than any route has, or an empty one. */
static bool path_split(struct str target, struct path *ret)
{
	struct str rest = str_make(target.p, str_find(target, '?'));

	*ret = (struct path){ .query = str_skip(target, rest.n + 1) };
	if (!str_starts(rest, STR("/")))
		return false;
	rest = str_skip(rest, 1);
	while (rest.p) {
		struct str segment = str_cut(&rest, '/');

		if (ret->n == SEGMENTS || !segment.n)
			return false;
		ret->segments[ret->n++] = segment;
	}
	return true;
}

static bool route_fits(const struct route *route, const struct path *path)
{
	for (size_t i = 0; i < SEGMENTS; i++) {
		const char *want = route->path[i];

		if (!want)
			return path->n == i;
		if (i >= path->n)
			return false;
		if (want[0] != '*' && !str_eq(path->segments[i], str_from(want)))
			return false;
	}
	return path->n == SEGMENTS;
}

static const struct route *route_find(struct str method, const struct path *path)
{
	if (!str_eq(method, STR("POST")) && !str_eq(method, STR("PUT")))
		return NULL;
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++)
		if (route_fits(&routes[i], path))
			return &routes[i];
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one byte, decoded. Asterisk leaves a '%' that begins no escape as it is; so does this. */
static char take_byte(struct str *rest)
{
	int high = rest->n > 2 && rest->p[0] == '%' ? hex_digit(rest->p[1]) : -1;
	int low = high >= 0 ? hex_digit(rest->p[2]) : -1;
	char c = low >= 0 ? (char)(high << 4 | low) : rest->p[0];

	*rest = str_skip(*rest, low >= 0 ? 3 : 1);
	return c;
}

/* Never longer than s. */
static size_t decode(char *out, struct str s, bool plus)
{
	size_t n = 0;

	while (s.n) {
		bool space = plus && s.p[0] == '+';
		char c = take_byte(&s);

		out[n++] = space ? ' ' : c;
	}
	return n;
}

static void made_init(struct ari_made *made)
{
	made->n = made->used = 0;
	made->cut = false;
}

static void made_add(struct ari_made *made, enum object_kind kind, struct str id)
{
	made->cut |= id.n && made->n == ARI_ROUTE_OBJECTS;
	if (!id.n || made->n == ARI_ROUTE_OBJECTS)
		return;
	made->objects[made->n++] = (struct object_ref){ kind, OBJECT_BINDS, id };
}

/* A percent-encoded id, decoded into the text. */
static void made_add_encoded(struct ari_made *made, enum object_kind kind, struct str id, bool plus)
{
	char *out = made->text + made->used;
	size_t n;

	if (id.n > sizeof(made->text) - made->used) {
		made->cut = true;
		return;
	}
	n = decode(out, id, plus);
	made->used += n;
	made_add(made, kind, str_make(out, n));
}

static void made_add_json(struct ari_made *made, enum object_kind kind, struct json value)
{
	char *out = made->text + made->used;
	size_t room = sizeof(made->text) - made->used;
	struct str id;

	/* The text must outlive the body, so it is copied even when it has no escapes. */
	if (json_string(value, out, room, &id) < 0 || id.n > room) {
		made->cut |= value.type == JSON_STRING;
		return;
	}
	if (id.p != out && id.n)
		memcpy(out, id.p, id.n);
	made->used += id.n;
	made_add(made, kind, str_make(out, id.n));
}

/* The value of a name in a query or a form, still encoded; p = NULL: not there. */
static struct str form_get(struct str form, const char *name)
{
	while (form.p) {
		struct str value = str_cut(&form, '&'), key = str_cut(&value, '=');

		if (str_eq(key, str_from(name)))
			return value;
	}
	return (struct str){ NULL, 0 };
}

struct parameters {
	struct str query, form;
	struct json body;
};

static void add_parameter(struct ari_made *made, enum object_kind kind, const struct parameters *p,
			  const char *name)
{
	struct str encoded;

	if (!name)
		return;
	encoded = form_get(p->query, name);
	if (!encoded.p)
		encoded = form_get(p->form, name);
	if (encoded.p)
		made_add_encoded(made, kind, encoded, true);
	else
		made_add_json(made, kind, json_get(p->body, str_from(name)));
}

static struct parameters parameters_of(const struct path *path, struct str content_type,
				       struct str body)
{
	struct parameters p = { .query = path->query };

	if (str_starts(content_type, STR("application/x-www-form-urlencoded")))
		p.form = body;
	else
		p.body = json_peek(body);
	return p;
}

void ari_route_chosen(struct str method, struct str target, struct str content_type,
		      struct str body, struct ari_made *ret)
{
	const struct route *route;
	struct path path;
	struct parameters p;

	made_init(ret);
	route = path_split(target, &path) ? route_find(method, &path) : NULL;
	if (!route)
		return;
	p = parameters_of(&path, content_type, body);
	if (route->id_at != SELF)
		made_add_encoded(ret, route->kind, path.segments[route->id_at], false);
	add_parameter(ret, route->kind, &p, route->id);
	add_parameter(ret, route->kind, &p, route->other);
}

static bool has_parameter(const struct parameters *p, const char *name)
{
	return form_get(p->query, name).p || form_get(p->form, name).p ||
	       json_get(p->body, str_from(name)).type != JSON_NONE;
}

const char *ari_route_unnamed(struct str method, struct str target, struct str content_type,
			      struct str body)
{
	const struct route *route;
	struct path path;
	struct parameters p;

	route = path_split(target, &path) ? route_find(method, &path) : NULL;
	if (!route || route->id_at != SELF || !str_eq(method, STR("POST")) ||
	    (route->kind != OBJECT_CHANNEL && route->kind != OBJECT_BRIDGE))
		return NULL;
	p = parameters_of(&path, content_type, body);
	return has_parameter(&p, route->id) ? NULL : route->id;
}

void ari_route_answered(struct str method, struct str target, struct str answer,
			struct ari_made *ret)
{
	const struct route *route;
	struct path path;
	struct json doc;

	made_init(ret);
	route = path_split(target, &path) ? route_find(method, &path) : NULL;
	if (!route || json_parse(answer, &doc) < 0)
		return;
	made_add_json(ret, route->kind,
		      json_get(doc, route->kind == OBJECT_RECORDING ? STR("name") : STR("id")));
}

void ari_route_deleted(struct str method, struct str target, struct ari_made *ret)
{
	struct path path;

	made_init(ret);
	if (str_eq(method, STR("DELETE")) && path_split(target, &path) && path.n == 2 &&
	    str_eq(path.segments[0], STR("bridges")))
		made_add_encoded(ret, OBJECT_BRIDGE, path.segments[1], false);
}

/* Parameters that name an object, whatever the route; `name` is one of a recording to be made. */
static const struct {
	const char *name;
	enum object_kind kind;
} naming[] = {
	{ "channelId", OBJECT_CHANNEL },   { "otherChannelId", OBJECT_CHANNEL },
	{ "originator", OBJECT_CHANNEL },  { "snoopId", OBJECT_CHANNEL },
	{ "caller", OBJECT_CHANNEL },      { "bridgeId", OBJECT_BRIDGE },
	{ "playbackId", OBJECT_PLAYBACK }, { "destinationRecordingName", OBJECT_RECORDING },
};

/* "a,b" and ["a", "b"]: the channels that go into a bridge, or out. */
static void add_channels(struct ari_made *made, const struct parameters *p)
{
	struct json value = json_get(p->body, STR("channel"));
	size_t before = made->n;
	struct json_iter it;
	struct json_item item;
	struct str rest;

	add_parameter(made, OBJECT_CHANNEL, p, "channel");
	if (made->n > before) {
		rest = made->objects[before].id;
		made->n = before;
		while (rest.p)
			made_add(made, OBJECT_CHANNEL, str_cut(&rest, ','));
		return;
	}
	if (value.type != JSON_ARRAY)
		return;
	json_iter_init(&it, value);
	while (json_next(&it, &item) > 0)
		made_add_json(made, OBJECT_CHANNEL, item.value);
}

static void add_named(struct ari_made *made, const struct path *path, const struct parameters *p)
{
	for (size_t i = 0; i < sizeof(naming) / sizeof(*naming); i++)
		add_parameter(made, naming[i].kind, p, naming[i].name);
	add_channels(made, p);
	if (path->n == 3 && str_eq(path->segments[2], STR("record")))
		add_parameter(made, OBJECT_RECORDING, p, "name");
}

/* What reads or makes no object of a call. */
static bool touches_nothing(struct str method, const struct path *path)
{
	static const char *const resources[] = { "asterisk", "sounds", "endpoints", "deviceStates",
						 "applications" };

	for (size_t i = 0; i < sizeof(resources) / sizeof(*resources); i++)
		if (str_eq(path->segments[0], str_from(resources[i])))
			return str_eq(method, STR("GET"));
	return false;
}

/* A new channel or bridge, with an id that a parameter chooses, or Asterisk. */
static bool is_creation(struct str method, const struct path *path)
{
	struct str first = path->segments[0], second = path->segments[1];

	if (!str_eq(method, STR("POST")))
		return false;
	if (path->n == 1)
		return str_eq(first, STR("channels")) || str_eq(first, STR("bridges"));
	return path->n == 2 && str_eq(first, STR("channels")) &&
	       (str_eq(second, STR("create")) || str_eq(second, STR("externalMedia")));
}

/* The objects in the path; false: it names none that we know. */
static bool add_path(struct ari_made *made, const struct path *path)
{
	static const struct {
		const char *first, *third;
		enum object_kind kind;
		size_t at;
	} places[] = {
		{ "channels", NULL, OBJECT_CHANNEL, 1 },
		{ "channels", "play", OBJECT_PLAYBACK, 3 },
		{ "channels", "snoop", OBJECT_CHANNEL, 3 },
		{ "bridges", NULL, OBJECT_BRIDGE, 1 },
		{ "bridges", "play", OBJECT_PLAYBACK, 3 },
		{ "bridges", "videoSource", OBJECT_CHANNEL, 3 },
		{ "playbacks", NULL, OBJECT_PLAYBACK, 1 },
		{ "recordings", NULL, OBJECT_RECORDING, 2 },
	};
	size_t before = made->n;

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (path->n > places[i].at &&
		    str_eq(path->segments[0], str_from(places[i].first)) &&
		    (!places[i].third || str_eq(path->segments[2], str_from(places[i].third))))
			made_add_encoded(made, places[i].kind, path->segments[places[i].at], false);
	return made->n > before;
}

int ari_route_subjects(struct str method, struct str target, struct str content_type,
		       struct str body, struct ari_made *ret)
{
	struct path path;
	struct parameters p;

	made_init(ret);
	if (!path_split(target, &path))
		return -ENOENT;
	if (touches_nothing(method, &path))
		return 0;
	if (!is_creation(method, &path) && !add_path(ret, &path))
		return -ENOENT;
	p = parameters_of(&path, content_type, body);
	add_named(ret, &path, &p);
	return ret->cut ? -ENOENT : 0;
}

/*
 * Whether "." or ".." is a segment, encoded or not: Asterisk has no such thing, and a proxy in
 * between might obey. Such a proxy may take %2F and backslashes for slashes, too.
 */
static bool has_dots(struct str path)
{
	size_t dots = 0, others = 0;

	while (path.n) {
		char c = take_byte(&path);

		if (c == '.') {
			dots++;
		} else if (c != '/' && c != '\\') {
			others++;
		} else {
			if (!others && (dots == 1 || dots == 2))
				return true;
			dots = others = 0;
		}
	}
	return !others && (dots == 1 || dots == 2);
}

static const char *target_fault(struct str target)
{
	struct str rest = str_make(target.p, str_find(target, '?'));

	if (!target.p || !str_starts(target, STR("/")))
		return "the url must begin with a slash";
	if (target.n > ARI_TARGET_MAX)
		return "the url is too long";
	if (has_dots(rest))
		return "the url must not hold . or .. as a segment";
	for (size_t i = 0; i < target.n; i++)
		if ((unsigned char)target.p[i] < 0x20 || target.p[i] == 0x7f)
			return "the url must not hold control characters";
	return NULL;
}

static bool goes_as_it_is(unsigned char c)
{
	return c > 0x20 && c < 0x7f && !strchr("\"#<>\\^`{|}", c);
}

static int add_encoded(struct buf *out, unsigned char c)
{
	return buf_addf(out, "%%%02X", c);
}

int ari_route_target(struct str prefix, struct str target, struct buf *out, const char **ret_why)
{
	int rc;

	*ret_why = target_fault(target);
	if (*ret_why)
		return -EINVAL;
	rc = buf_add(out, prefix);
	for (size_t i = 0; i < target.n && rc == 0; i++) {
		unsigned char c = (unsigned char)target.p[i];

		rc = goes_as_it_is(c) ? buf_addc(out, target.p[i]) : add_encoded(out, c);
	}
	return rc;
}

int ari_route_encode(struct buf *out, struct str s)
{
	int rc = 0;

	for (size_t i = 0; i < s.n && rc == 0; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			     (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_' || c == '~';

		rc = plain ? buf_addc(out, s.p[i]) : add_encoded(out, c);
	}
	return rc;
}
