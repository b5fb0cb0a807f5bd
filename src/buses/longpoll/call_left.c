/* SPDX-License-Identifier: MIT */
/*
 * The message that says that a caller has left: for who wants it (`disconnect_events`), because a
 * phone network that only drops its request tells nobody.
 *
 * It is no event of the call, for those are read only while there is a call: it goes to whoever
 * reads next.
 */
#include <errno.h>

#include "buses/longpoll/call.h"
#include "buses/longpoll/document.h"
#include "buses/longpoll/longpoll_internal.h"
#include "buses/longpoll/publish.h"

static void on_stored(void *arg, int rc)
{
	struct longpoll *bus = arg;

	if (rc < 0)
		log_warn(bus->env.log, "disconnect event lost", "reason=%s", strerror(-rc));
}

/* Its object in bus->scratch: 0 or as document_write. */
static int write_object(struct longpoll *bus, const struct call *call, const char *id,
			uint64_t created_ns)
{
	struct field fields[] = {
		{ .name = STR("AccountSid"), .value = account_sid(bus->account) },
		{ .name = STR("CallSid"), .value = call_sid(call) },
		{ .name = STR("PubSubEvent"), .value = STR("disconnected") },
	};
	const struct document document = {
		.kind = DOCUMENT_FORM,
		.form = { .items = fields, .n = sizeof(fields) / sizeof(fields[0]) },
	};

	buf_clear(&bus->scratch);
	return document_write(&bus->scratch, &document, str_from(id), created_ns);
}

static int append(struct longpoll *bus, const struct call *call, struct stream *stream)
{
	uint64_t created_ns = publish_created(bus);
	char id[PUBLISH_ID_SIZE];

	rand_id_hex(id, (PUBLISH_ID_SIZE - 1) / 2);
	int rc = write_object(bus, call, id, created_ns);
	if (rc < 0)
		return rc;
	struct blob *payload = blob_create(buf_str(&bus->scratch));
	if (!payload)
		return -ENOMEM;
	auto_msg struct msg *msg =
		msg_create(&(struct msg){ .kind = MSG_DOCUMENT,
					  .seq = stream_next(stream),
					  .wall_ns = created_ns,
					  .topic = call_path(call),
					  .id = str_from(id),
					  .content_type = STR("application/json"),
					  .payload = payload });
	(void)blob_unref(payload);
	return msg ? stream_append(stream, msg, on_stored, bus) : -ENOMEM;
}

void call_tell_left(struct longpoll *bus, const struct call *call)
{
	struct stream *stream = place_stream(bus, call_path(call), true);
	int rc = stream ? append(bus, call, stream) : -ENOMEM;

	if (stream)
		(void)stream_unref(stream);
	if (rc < 0)
		on_stored(bus, rc);
}
