/* SPDX-License-Identifier: MIT */
/*
 * What a path names: the account, the queue, and whether the queue is one of a call's topics.
 *
 * A key is the path percent-decoded, its empty segments dropped: /AC/a//b/ and /AC/%61/b are one
 * queue. Names that would surprise somebody further on (a log, a shell, a file system) are none.
 */
#include <errno.h>
#include <stdlib.h>

#include "buses/longpoll/longpoll_internal.h"
#include "codec/form.h"

static const struct str missed = STR_INIT("missed");

static bool has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

static bool is_plain(struct str s)
{
	bool plain = true;

	for (size_t i = 0; i < s.n; i++)
		plain &= s.p[i] > ' ' && s.p[i] <= '~';
	return plain;
}

/* Drops empty segments in place; the first segment is the sid, the others, joined, the key. */
static int normalise(struct place *place, size_t n, struct err *e)
{
	struct str rest = str_make(place->bytes, n);
	char *out = place->bytes;
	size_t key_at = 0;

	while (rest.p) {
		struct str segment = str_cut(&rest, '/');

		if (segment.n == 0)
			continue;
		if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
			return err_set(e, -EBADMSG, "a queue's name has no . or .. segments");
		if (out != place->bytes && key_at != (size_t)(out - place->bytes))
			*out++ = '/';
		memmove(out, segment.p, segment.n);
		out += segment.n;
		if (!place->sid.p) {
			place->sid = str_make(place->bytes, segment.n);
			key_at = segment.n;
		}
	}
	place->key = str_make(place->bytes + key_at, (size_t)(out - place->bytes) - key_at);
	if (place->key.n > PLACE_KEY_MAX)
		return err_set(e, -EBADMSG, "a queue's name has at most %d bytes", PLACE_KEY_MAX);
	return 0;
}

int place_parse(struct str path, struct place *ret, struct err *e)
{
	ret->sid = ret->key = str_make(NULL, 0);
	if (path.n > sizeof(ret->bytes))
		return err_set(e, -EBADMSG, "the path is too long");
	long n = url_decode(ret->bytes, path);
	if (n < 0)
		return err_set(e, -EBADMSG, "the path has a %% without two hex digits");
	/* Without an escape it is what a request target may be: ASCII that can be seen. */
	if ((size_t)n == path.n && is_plain(path))
		return normalise(ret, path.n, e);
	struct str decoded = str_make(ret->bytes, (size_t)n);
	if (has_control(decoded) || !str_is_utf8(decoded))
		return err_set(e, -EBADMSG, "a queue's name is UTF-8 without control characters");
	return normalise(ret, (size_t)n, e);
}

/* The last segment, and in *ret_path what comes before its slash; p = NULL: there is no slash. */
static struct str last_segment(struct str key, struct str *ret_path)
{
	size_t n = key.n;

	while (n && key.p[n - 1] != '/')
		n--;
	*ret_path = n ? str_make(key.p, n - 1) : str_make(NULL, 0);
	return str_skip(key, n);
}

bool place_is_of_calls(struct str key)
{
	return str_ends(key, STR(".xml"));
}

bool place_is_of_call(struct str key, struct str *ret_sid)
{
	struct str path;

	*ret_sid = last_segment(key, &path);
	return path.p && place_is_of_calls(path) && !str_eq(*ret_sid, missed);
}

bool place_is_missed(struct str key, struct str *ret_path)
{
	struct str last = last_segment(key, ret_path);

	return ret_path->p && place_is_of_calls(*ret_path) && str_eq(last, missed);
}

struct str place_join(struct str path, struct str segment, char out[CALL_NAME_MAX])
{
	if (path.n + 1 + segment.n > CALL_NAME_MAX)
		return str_make(NULL, 0);
	memcpy(out, path.p, path.n);
	out[path.n] = '/';
	memcpy(out + path.n + 1, segment.p, segment.n);
	return str_make(out, path.n + 1 + segment.n);
}

struct str place_missed(struct str path, char out[CALL_NAME_MAX])
{
	return place_join(path, missed, out);
}

const struct application *application_find(const struct longpoll *bus, struct str name)
{
	list_for_each (it, &bus->applications) {
		const struct application *a = container_of(it, struct application, link);

		if (str_eq(str_make(a->name, a->n), name))
			return a;
	}
	return NULL;
}

enum topic topic_of(const struct longpoll *bus, struct str key)
{
	if (str_starts(key, STR("events_")))
		return TOPIC_EVENTS;
	if (str_starts(key, STR("commands_")))
		return TOPIC_COMMANDS;
	if (str_starts(key, STR("responses_")))
		return TOPIC_RESPONSES;
	return application_find(bus, key) ? TOPIC_APPLICATION : TOPIC_QUEUE;
}

struct stream *place_stream(struct longpoll *bus, struct str key, bool make)
{
	struct streams *streams = hub_streams(bus->env.hub);
	const struct application *application = application_find(bus, key);
	unsigned flags = application && !application->record ? 0 : STREAM_RECORD;
	struct stream *stream = NULL;
	struct buf name;

	buf_init(&name, PATH_MAX_BYTES);
	if (buf_add(&name, account_sid(bus->account)) == 0 && buf_addc(&name, '/') == 0 &&
	    buf_add(&name, key) == 0)
		stream = make ? stream_open(streams, buf_str(&name), flags)
			      : stream_find(streams, buf_str(&name));
	buf_fini(&name);
	return stream;
}
