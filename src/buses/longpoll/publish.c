/* SPDX-License-Identifier: MIT */
/*
 * Writing to an ordinary queue: the message object is made, appended to the queue's stream, and
 * the client gets its 200 when the stream says that it is durable, never before.
 *
 * The client may go in between; the message is then kept all the same (it may have been sent
 * twice: the client knows as little as we do).
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "buses/longpoll/document.h"
#include "buses/longpoll/longpoll_internal.h"

enum { ID_BYTES = 16 };

struct publish {
	struct list link; /* longpoll.publishes */
	struct longpoll *bus;
	struct http_request *request; /* NULL: the client has gone */
	bool wants_xml;
	char id[2 * ID_BYTES + 1];
};

static void publish_free(struct publish *publish)
{
	list_del(&publish->link);
	free(publish);
}

static void publish_gone(void *arg)
{
	struct publish *publish = arg;

	publish->request = NULL;
}

static void answer_published(struct publish *publish)
{
	const struct http_header id = { STR("X-Message-Id"), str_from(publish->id) };

	answer_reply(publish->request,
		     &(struct http_reply){
			     .status = 200,
			     .content_type = publish->wants_xml ? STR("application/xml") : STR(""),
			     .headers = &id,
			     .n_headers = 1,
			     .body = publish->wants_xml ? STR("<Response/>") : STR("") });
}

static void publish_done(void *arg, int rc)
{
	struct publish *publish = arg;

	if (rc == 0)
		publish->bus->published++;
	if (publish->request) {
		http_request_on_gone(publish->request, NULL, NULL);
		if (rc == 0)
			answer_published(publish);
		else
			answer_refused(publish->request, rc);
	}
	publish_free(publish);
}

/* The port goes with the hub, and behind them the streams: publish_done does not come any more. */
void publishes_abandon(struct longpoll *bus)
{
	list_for_each_safe (it, &bus->publishes) {
		struct publish *publish = container_of(it, struct publish, link);

		if (publish->request) {
			http_request_on_gone(publish->request, NULL, NULL);
			answer_retry(publish->request, 503, 5,
				     "voxbus is stopping; whether this was stored is unknown");
		}
		publish_free(publish);
	}
}

/* Created is strictly increasing, even where the clock is not. */
static uint64_t created_now(struct longpoll *bus)
{
	uint64_t now_ns = clock_wall_ns();

	if (now_ns <= bus->last_created_ns)
		now_ns = bus->last_created_ns + 1;
	bus->last_created_ns = now_ns;
	return now_ns;
}

/* 0 and the object in bus->scratch; else it was answered. */
static int make_document(struct longpoll *bus, struct http_request *request, const char *id,
			 uint64_t created_ns)
{
	const struct http_request_info *info = http_request_info(request);
	const struct document document = {
		.host = http_request_header(request, STR("Host")),
		.target = info->target,
		.content_type = http_request_header(request, STR("Content-Type")),
		.body = info->body,
		.id = str_from(id),
		.created_ns = created_ns,
	};

	buf_clear(&bus->scratch);
	int rc = document_add(&bus->scratch, &document);
	if (rc == -E2BIG)
		answer_problem(request, 413, NULL, 0, "a form has at most 10000 fields");
	else if (rc == -ENOBUFS)
		answer_problem(request, 413, NULL, 0, "the message is too large as JSON");
	else if (rc < 0)
		answer_refused(request, rc);
	return rc;
}

static struct msg *make_message(struct longpoll *bus, struct stream *stream, struct str key,
				const char *id, uint64_t created_ns)
{
	struct blob *payload = blob_create(buf_str(&bus->scratch));

	if (!payload)
		return NULL;
	struct msg *msg = msg_create(&(struct msg){ .kind = MSG_DOCUMENT,
						    .seq = stream_next(stream),
						    .wall_ns = created_ns,
						    .topic = key,
						    .id = str_from(id),
						    .content_type = STR("application/json"),
						    .payload = payload });
	(void)blob_unref(payload);
	return msg;
}

static bool accepts_xml(const struct http_request *request)
{
	struct str accept = http_request_header(request, STR("Accept"));

	while (accept.p) {
		struct str range = str_cut(&accept, ',');
		struct str type = str_trim(str_cut(&range, ';'));

		if (str_eq_nocase(type, STR("application/xml")) ||
		    str_eq_nocase(type, STR("text/xml")))
			return true;
	}
	return false;
}

/* Appends what is in bus->scratch. 0, or why not. */
static int append(struct longpoll *bus, struct publish *publish, struct str key,
		  uint64_t created_ns)
{
	struct stream *stream = place_stream(bus, key, true);
	if (!stream)
		return -ENOMEM;
	auto_msg struct msg *msg = make_message(bus, stream, key, publish->id, created_ns);
	int rc = msg ? stream_append(stream, msg, publish_done, publish) : -ENOMEM;
	(void)stream_unref(stream);
	return rc;
}

void publish_handle(struct longpoll *bus, struct http_request *request, struct str key)
{
	struct str encoding = http_request_header(request, STR("Content-Encoding"));
	struct publish *publish = calloc(1, sizeof(*publish));

	if (!publish) {
		answer_refused(request, -ENOMEM);
		return;
	}
	list_init(&publish->link);
	if (encoding.n && !str_eq_nocase(encoding, STR("identity"))) {
		answer_problem(request, 415, NULL, 0,
			       "send the body without Content-Encoding: this version takes none");
		publish_free(publish);
		return;
	}
	uint64_t created_ns = created_now(bus);
	rand_hex(publish->id, ID_BYTES);
	if (make_document(bus, request, publish->id, created_ns) < 0) {
		publish_free(publish);
		return;
	}
	publish->bus = bus;
	publish->request = request;
	publish->wants_xml = accepts_xml(request);
	int rc = append(bus, publish, key, created_ns);
	if (rc < 0) {
		publish_free(publish);
		answer_refused(request, rc);
		return;
	}
	list_add_tail(&bus->publishes, &publish->link);
	http_request_on_gone(request, publish_gone, publish);
}
