/* SPDX-License-Identifier: MIT */
/*
 * JetStream: the stream and our consumer are there before the port is UP.
 *
 * One stream holds all subjects of a prefix. Each daemon has a durable consumer of its own, from
 * which it pulls commands; those of other daemons' calls come by, too, and are acknowledged. What we
 * publish is answered by the stream on the inbox of the entry, as a 503 would be.
 */
#include <errno.h>
#include <stdio.h>

#include "buses/nats/nats_line_internal.h"

enum { CONSUMER_WAITING = 64, ACK_WAIT_S = 30, DUPLICATES_S = 600 };

static const int64_t ns_in_s = INT64_C(1000000000);

static int fail(struct nats_line *line, const char *what, natsStatus s, int code)
{
	char why[NATS_REASON];
	int rc = nats_line_error(line, s, why);

	if (s == NATS_NO_RESPONDERS || s == NATS_NOT_FOUND)
		(void)snprintf(line->reason, NATS_REASON,
			       "%s: JetStream is not enabled on this server or account", what);
	else
		(void)snprintf(line->reason, NATS_REASON, "%s: %.180s (%d)", what, why, code);
	/* The server's own words (4xx, 5xx) are for a person; silence is not. */
	return code || s == NATS_NO_RESPONDERS ? -EINVAL : rc;
}

/* Whether the stream that is there holds our subjects and only as such. */
static bool stream_fits(const jsStreamInfo *info, const char *subjects)
{
	for (int i = 0; i < info->Config->SubjectsLen; i++)
		if (strcmp(info->Config->Subjects[i], subjects) == 0 ||
		    strcmp(info->Config->Subjects[i], ">") == 0)
			return true;
	return false;
}

static int stream_add(struct nats_line *line, jsCtx *js, const char *subjects)
{
	const struct nats_stream_conf *conf = &line->conf->jetstream;
	jsStreamConfig config;
	jsErrCode code = 0;
	natsStatus s;

	(void)jsStreamConfig_Init(&config);
	config.Name = conf->stream;
	config.Subjects = &subjects;
	config.SubjectsLen = 1;
	config.Storage = conf->storage == NATS_STORAGE_MEMORY ? js_MemoryStorage : js_FileStorage;
	config.MaxAge = (int64_t)conf->max_age_ms * 1000000;
	config.MaxBytes = (int64_t)conf->max_bytes;
	config.Replicas = (int64_t)conf->replicas;
	config.Duplicates =
		conf->max_age_ms < DUPLICATES_S * 1000 ? config.MaxAge : DUPLICATES_S * ns_in_s;
	s = js_AddStream(NULL, js, &config, NULL, &code);
	return s == NATS_OK ? 0 : fail(line, "the stream can't be made", s, (int)code);
}

static int stream_ensure(struct nats_line *line, jsCtx *js)
{
	const struct nats_stream_conf *conf = &line->conf->jetstream;
	jsStreamInfo *info = NULL;
	jsErrCode code = 0;
	char subjects[80];
	natsStatus s = js_GetStreamInfo(&info, js, conf->stream, NULL, &code);
	int rc = 0;

	(void)snprintf(subjects, sizeof(subjects), "%s.>", conf->prefix);
	if (s == NATS_NOT_FOUND)
		return stream_add(line, js, subjects);
	if (s != NATS_OK)
		return fail(line, "the stream can't be asked for", s, (int)code);
	if (!stream_fits(info, subjects)) {
		(void)snprintf(
			line->reason, NATS_REASON,
			"the stream %s is there with other subjects (%.60s...), it must have %s",
			conf->stream,
			info->Config->SubjectsLen ? info->Config->Subjects[0] : "none", subjects);
		rc = -EINVAL;
	}
	jsStreamInfo_Destroy(info);
	return rc;
}

static int consumer_ensure(struct nats_line *line, jsCtx *js)
{
	const struct nats_stream_conf *conf = &line->conf->jetstream;
	jsConsumerConfig config;
	jsErrCode code = 0;
	char filter[100];
	natsStatus s;

	(void)snprintf(filter, sizeof(filter), "%s.commands.*", conf->prefix);
	(void)jsConsumerConfig_Init(&config);
	config.Durable = line->durable;
	config.Description = line->client;
	config.FilterSubject = filter;
	config.AckPolicy = js_AckExplicit;
	config.AckWait = ACK_WAIT_S * ns_in_s;
	config.MaxAckPending = NATS_INCOMING_MESSAGES;
	config.MaxWaiting = CONSUMER_WAITING;
	/* Commands of before our first start are for nobody. */
	config.DeliverPolicy = js_DeliverNew;
	s = js_AddConsumer(NULL, js, conf->stream, &config, NULL, &code);
	return s == NATS_OK ? 0
			    : fail(line, "the consumer of commands can't be made", s, (int)code);
}

int nats_line_open_stream(struct nats_line *line, natsConnection *nc)
{
	jsOptions options;
	jsCtx *js = NULL;
	natsStatus s;
	int rc;

	(void)jsOptions_Init(&options);
	options.Wait = (int64_t)line->conf->connect_timeout_ms;
	s = natsConnection_JetStream(&js, nc, &options);
	if (s != NATS_OK)
		return nats_line_error(line, s, line->reason);
	rc = stream_ensure(line, js);
	if (rc == 0)
		rc = consumer_ensure(line, js);
	jsCtx_Destroy(js);
	return rc;
}

natsStatus nats_line_store(struct nats_line *line, natsConnection *nc, size_t index,
			   const char *reply)
{
	const struct nats_batch *batch = line->batch;
	const struct nats_entry *entry = &batch->entries[index];
	const char *bytes = buf_str(&batch->bytes).p;
	natsMsg *msg = NULL;
	natsStatus s = natsMsg_Create(&msg, bytes + entry->subject, reply, bytes + entry->data,
				      (int)entry->n_data);

	if (s == NATS_OK && entry->id)
		s = natsMsgHeader_Set(msg, "Nats-Msg-Id", bytes + entry->id);
	if (s == NATS_OK)
		s = natsConnection_PublishMsg(nc, msg);
	natsMsg_Destroy(msg);
	return s;
}

natsStatus nats_line_pull(struct nats_line *line, natsConnection *nc, struct str order)
{
	char subject[200], reply[80];

	(void)snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.MSG.NEXT.%s.%s",
		       line->conf->jetstream.stream, line->durable);
	(void)snprintf(reply, sizeof(reply), "%s.pull", line->inbox);
	return natsConnection_PublishRequest(nc, subject, reply, order.p, (int)order.n);
}
