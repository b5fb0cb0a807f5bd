/* SPDX-License-Identifier: MIT */
/*
 * Writing to a queue: the message object is made and appended to the queue's stream, and who
 * asked for it is called when the stream says that it is durable, never before. A repetition of
 * a message is not appended; who asked for it is called when the first one is durable.
 * What the publisher of an ordinary queue is answered is in post.c.
 */
#include "buses/longpoll/publish.h"

#include <errno.h>

#include "base/clock.h"
#include "buses/longpoll/dedup.h"
#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/terms.h"

enum { ID_BYTES = 16 };
_Static_assert(PUBLISH_ID_SIZE == 2 * ID_BYTES + 1, "an id in hex and its NUL");

static void finish_one(struct publish *publish, int rc)
{
	task_cancel(&publish->task);
	list_del(&publish->link);
	if (rc == 0 && !publish->repeated)
		publish->bus->published++;
	publish->done(publish, rc);
}

/* Its repetitions have its fate. */
static void finish(struct publish *publish, int rc)
{
	struct list repetitions;

	list_init(&repetitions);
	list_splice_tail(&repetitions, &publish->repetitions);
	if (publish->entry)
		dedup_done(publish->bus->dedup, publish->entry, rc);
	finish_one(publish, rc);
	list_for_each_safe (it, &repetitions)
		finish_one(container_of(it, struct publish, link), rc);
}

void publish_forgotten(struct publish *publish)
{
	publish->entry = NULL;
}

static void on_repeated(void *arg)
{
	finish(arg, 0);
}

/* Whether the message is there, or on its way, already: then done comes as the first one's. */
static bool is_repetition(struct publish *publish, const struct dedup_key *key)
{
	struct longpoll *bus = publish->bus;
	struct publish *first;
	const char *id;

	if (!key->look || !dedup_find(bus->dedup, key, &first, &id))
		return false;
	memcpy(publish->id, id, sizeof(publish->id));
	publish->repeated = true;
	bus->repetitions++;
	if (first) {
		list_add_tail(&first->repetitions, &publish->link);
	} else {
		list_add_tail(&bus->publishes, &publish->link);
		task_defer(&publish->task);
	}
	return true;
}

static void publish_init(struct publish *publish, struct longpoll *bus, publish_done_fn done)
{
	*publish = (struct publish){ .bus = bus, .done = done };
	list_init(&publish->link);
	list_init(&publish->repetitions);
	task_init(&publish->task, bus->env.loop, on_repeated, publish);
	rand_id_hex(publish->id, ID_BYTES);
}

static void on_appended(void *arg, int rc)
{
	finish(arg, rc);
}

/* The port goes with the hub, and behind them the streams: on_appended does not come any more. */
void publishes_abandon(struct longpoll *bus)
{
	while (!list_empty(&bus->publishes))
		finish(container_of(bus->publishes.next, struct publish, link), -ECANCELED);
}

uint64_t publish_created(struct longpoll *bus)
{
	uint64_t now_ns = clock_wall_ns();

	if (now_ns <= bus->last_created_ns)
		now_ns = bus->last_created_ns + 1;
	bus->last_created_ns = now_ns;
	return now_ns;
}

static void answer_unread(struct http_request *request, int rc, const struct err *e)
{
	const struct http_header accepted = { STR("Accept-Encoding"), STR("gzip, identity") };

	if (rc == -E2BIG)
		answer_problem(request, 413, NULL, 0, "%s", e->text);
	else if (rc == -EBADMSG)
		answer_problem(request, 400, NULL, 0, "%s", e->text);
	else if (rc == -EOPNOTSUPP)
		answer_problem(request, 415, &accepted, 1, "%s", e->text);
	else
		answer_refused(request, rc);
}

bool publish_read(struct longpoll *bus, struct http_request *request, struct document *ret)
{
	const struct http_request_info *info = http_request_info(request);
	const struct posted posted = {
		.host = http_request_header(request, STR("Host")),
		.target = info->target,
		.content_type = http_request_header(request, STR("Content-Type")),
		.body = info->body,
		.encoding = http_request_header(request, STR("Content-Encoding")),
		.body_max = bus->conf->body_max,
		.query_is_form = str_eq(info->method, STR("GET")),
	};
	struct err e;

	int rc = document_read(&posted, ret, &e);
	if (rc < 0) {
		answer_unread(request, rc, &e);
		return false;
	}
	if (publish_permitted(bus, request, ret))
		return true;
	document_fini(ret);
	return false;
}

/* What is in bus->scratch as a message. */
static struct msg *make_message(const struct publish *publish, struct str key,
				const struct document *document, const struct terms *terms)
{
	struct longpoll *bus = publish->bus;
	struct blob *payload = blob_create(buf_str(&bus->scratch));
	struct str sid = document_param(document, STR("CallSid"));

	if (!payload)
		return NULL;
	struct msg *msg = msg_create(&(struct msg){
		.kind = MSG_DOCUMENT,
		.seq = publish->seq,
		.wall_ns = bus->last_created_ns,
		.ttl_ms = terms->ttl_ms,
		.expires_ms = terms->ttl_ms ? loop_now(bus->env.loop) + terms->ttl_ms : 0,
		.topic = key,
		.dialog = place_is_of_calls(key) && call_sid_is_good(sid) ? sid : STR(""),
		.id = str_from(publish->id),
		.content_type = STR("application/json"),
		.payload = payload });
	(void)blob_unref(payload);
	return msg;
}

/* Appends what is in bus->scratch. 0, or why not. */
static int append(struct publish *publish, struct str key, const struct document *document,
		  const struct terms *terms)
{
	struct stream *stream = place_stream(publish->bus, key, true);

	if (!stream)
		return -ENOMEM;
	publish->seq = stream_next(stream);
	auto_msg struct msg *msg = make_message(publish, key, document, terms);
	int rc = -ENOMEM;
	if (msg)
		rc = terms->relaxed ? stream_append_relaxed(stream, msg, on_appended, publish)
				    : stream_append(stream, msg, on_appended, publish);
	(void)stream_unref(stream);
	return rc;
}

static void answer_not_appended(struct http_request *request, int rc, const struct err *e)
{
	if (rc == -EINVAL)
		answer_problem(request, 400, NULL, 0, "%s", e->text);
	else if (rc == -ENOBUFS)
		answer_problem(request, 413, NULL, 0, "the message is too large as JSON");
	else
		answer_refused(request, rc);
}

/* The object in bus->scratch, appended if there is room for it. 0, -EDQUOT: it was answered, or why not. */
static int store(struct publish *publish, struct http_request *request, struct str key,
		 const struct document *document, struct err *e)
{
	struct longpoll *bus = publish->bus;
	struct terms terms;
	int rc = terms_read(request, key, bus->conf->durability == DURABILITY_RELAXED, &terms, e);

	buf_clear(&bus->scratch);
	if (rc == 0)
		rc = document_write(&bus->scratch, document, str_from(publish->id),
				    publish_created(bus));
	if (rc == 0 && !limits_have_room(bus, request, buf_len(&bus->scratch)))
		return -EDQUOT;
	return rc < 0 ? rc : append(publish, key, document, &terms);
}

bool publish_append(struct publish *publish, struct longpoll *bus, struct http_request *request,
		    struct str key, const struct document *document, publish_done_fn done)
{
	struct dedup_key known;
	struct err e;

	if (!limits_take_token(bus, request))
		return false;
	publish_init(publish, bus, done);
	dedup_key_of(bus->dedup, request, key, document, &known);
	if (is_repetition(publish, &known))
		return true;
	int rc = store(publish, request, key, document, &e);
	if (rc == 0) {
		list_add_tail(&bus->publishes, &publish->link);
		if (known.remember)
			publish->entry = dedup_add(bus->dedup, &known, publish, publish->id);
	} else if (rc != -EDQUOT) {
		answer_not_appended(request, rc, &e);
	}
	return rc == 0;
}
