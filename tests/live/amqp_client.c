/* SPDX-License-Identifier: MIT */
/*
 * The codec of AMQP at a real broker, with nothing between but a blocking socket:
 *
 *     amqp-client URL send QUEUE COUNT SIZE   declare, publish with confirms
 *     amqp-client URL receive QUEUE COUNT     consume, show each message, acknowledge
 *     amqp-client URL return KEY              a mandatory message that no queue takes
 *     amqp-client URL missing QUEUE           what the broker says to a queue that is not there
 *
 * Each prints what came, a line a thing, and ends with 0 after close and close-ok. Whatever it does
 * not expect, or 10 seconds of silence, ends it with 1 and a sentence.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "codec/amqp_content.h"
#include "codec/amqp_login.h"
#include "codec/amqp_table.h"
#include "codec/amqp_uri.h"

enum { SILENCE_S = 10, BODY_MAX = 1 << 20, OUT_MAX = 4 << 20, CHANNEL = 1, PREFETCH = 10 };

struct client {
	int fd;
	size_t frame_max;
	struct amqp_frame_reader frames;
	struct amqp_assembly assembly;
	struct str data; /* read and not yet looked at */
	char room[65536];
	struct buf out;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "amqp-client: %s: %s\n", what, why);
	exit(1);
}

static void must(int rc, const char *what)
{
	if (rc < 0)
		die(what, strerror(-rc));
}

static void flush_out(struct client *c)
{
	while (buf_len(&c->out)) {
		struct str s = buf_str(&c->out);
		ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL);

		if (n < 0)
			die("send", strerror(errno));
		buf_consume(&c->out, (size_t)n);
	}
}

static void say(struct client *c, uint16_t channel, struct amqp_method m)
{
	must(amqp_method_write(&c->out, channel, c->frame_max, &m), amqp_method_name(m.id));
	flush_out(c);
}

static struct amqp_frame next_frame(struct client *c)
{
	struct amqp_frame frame;
	struct amqp_fault f = { 0 };
	int rc;

	while ((rc = amqp_frame_read(&c->frames, &c->data, &frame, &f)) == 0) {
		ssize_t n = recv(c->fd, c->room, sizeof(c->room), 0);

		if (n <= 0)
			die("recv", n < 0 ? strerror(errno) : "the broker hung up");
		c->data = str_make(c->room, (size_t)n);
	}
	if (rc < 0)
		die("frame", f.text);
	return frame;
}

/* The next method or message, heartbeats passed over. A connection.close ends us. */
static struct amqp_message hear(struct client *c)
{
	struct amqp_message m;
	struct amqp_fault f = { 0 };
	int rc;

	do {
		struct amqp_frame frame = next_frame(c);

		if (frame.type == AMQP_FRAME_HEARTBEAT)
			rc = AMQP_MORE;
		else if (frame.channel)
			rc = amqp_assembly_take(&c->assembly, &frame, &m, &f);
		else
			rc = amqp_method_read(&frame, &m.method, &f) < 0 ? -EBADMSG
									 : AMQP_GOT_METHOD;
	} while (rc == AMQP_MORE);
	if (rc < 0 || rc == AMQP_GOT_OVERSIZED)
		die("message", f.text);
	if (m.method.id == AMQP_CONNECTION_CLOSE) {
		printf("closed %u %.*s\n", m.method.close.code, STR_ARG(m.method.close.text));
		say(c, 0, (struct amqp_method){ AMQP_CONNECTION_CLOSE_OK });
		exit(1);
	}
	return m;
}

static struct amqp_message hear_only(struct client *c, uint32_t id)
{
	struct amqp_message m = hear(c);

	if (m.method.id != id)
		die(amqp_method_name(id), amqp_method_name(m.method.id));
	return m;
}

static struct amqp_message ask(struct client *c, uint16_t channel, struct amqp_method m)
{
	say(c, channel, m);
	return hear_only(c, m.id + 1);
}

static void connect_to(struct client *c, const struct amqp_uri *uri)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	struct timeval silence = { .tv_sec = SILENCE_S };
	char port[8];

	(void)snprintf(port, sizeof(port), "%u", uri->port);
	if (getaddrinfo(uri->host, port, &hints, &found) != 0)
		die(uri->host, "is no address");
	c->fd = socket(found->ai_family, found->ai_socktype, 0);
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	if (c->fd < 0 || connect(c->fd, found->ai_addr, found->ai_addrlen) < 0)
		die("connect", strerror(errno));
	freeaddrinfo(found);
}

static void log_in(struct client *c, const struct amqp_uri *uri)
{
	struct amqp_tune ours = { 8, AMQP_FRAME_MIN, 30 }, agreed;
	struct buf table auto_buf = { 0 }, response auto_buf = { 0 };
	struct amqp_method start_ok = { AMQP_CONNECTION_START_OK };
	struct amqp_message m;
	struct amqp_value capabilities;
	struct amqp_fault f;

	buf_init(&table, 4096);
	buf_init(&response, 1024);
	must(buf_add(&c->out, AMQP_PROTOCOL_HEADER), "header");
	flush_out(c);
	m = hear_only(c, AMQP_CONNECTION_START);
	if (!amqp_offers(m.method.start.mechanisms, STR("PLAIN")) ||
	    !amqp_table_find(m.method.start.server_properties, STR("capabilities"),
			     &capabilities) ||
	    !amqp_table_says(capabilities.str, STR("publisher_confirms")))
		die("start", "neither PLAIN nor confirms");
	must(amqp_client_properties(&table, STR("voxbus"), STR("test"), STR("amqp-client")),
	     "start-ok");
	must(amqp_plain_response(&response, str_from(uri->user), &uri->password), "start-ok");
	start_ok.start_ok = (struct amqp_start_ok){ buf_str(&table), STR("PLAIN"),
						    buf_str(&response), STR("en_US") };
	say(c, 0, start_ok);
	m = hear_only(c, AMQP_CONNECTION_TUNE);
	if (amqp_tune_agree(&ours, &m.method.tune, &agreed, &f) < 0)
		die("tune", f.text);
	say(c, 0, (struct amqp_method){ AMQP_CONNECTION_TUNE_OK, .tune = agreed });
	c->frame_max = agreed.frame_max;
	amqp_frame_reader_set_max(&c->frames, c->frame_max);
	(void)ask(c, 0,
		  (struct amqp_method){ AMQP_CONNECTION_OPEN, .open = { str_from(uri->vhost) } });
	(void)ask(c, CHANNEL, (struct amqp_method){ AMQP_CHANNEL_OPEN });
	printf("open frame_max=%u\n", agreed.frame_max);
}

static void log_out(struct client *c)
{
	struct amqp_method close = { AMQP_CHANNEL_CLOSE,
				     .close = { AMQP_REPLY_SUCCESS, STR_INIT("bye"), 0, 0 } };

	(void)ask(c, CHANNEL, close);
	close.id = AMQP_CONNECTION_CLOSE;
	(void)ask(c, 0, close);
	printf("closed\n");
}

static void publish(struct client *c, struct str exchange, struct str key, bool mandatory,
		    struct str body)
{
	struct buf headers auto_buf = { 0 };
	struct amqp_message m = {
		.method = { AMQP_BASIC_PUBLISH, .publish = { exchange, key, mandatory, false } },
		.body = body,
	};

	buf_init(&headers, 1024);
	must(amqp_table_add_str(&headers, STR("s"), STR("text")), "headers");
	must(amqp_table_add_int(&headers, STR("i"), -5), "headers");
	must(amqp_table_add_long(&headers, STR("l"), INT64_C(1) << 40), "headers");
	must(amqp_table_add_bool(&headers, STR("b"), true), "headers");
	must(amqp_table_add_time(&headers, STR("t"), 1700000000), "headers");
	m.properties = (struct amqp_properties){
		.present = 0xfffc & ~AMQP_HAS_CLUSTER_ID,
		.content_type = STR("application/json"),
		.content_encoding = STR("utf-8"),
		.headers = buf_str(&headers),
		.delivery_mode = AMQP_PERSISTENT,
		.priority = 3,
		.correlation_id = STR("corr"),
		.reply_to = STR("back"),
		.expiration = STR("60000"),
		.message_id = STR("id-1"),
		.timestamp = 1700000001,
		.type = STR("event"),
		.user_id = STR("guest"),
		.app_id = STR("voxbus"),
	};
	must(amqp_message_write(&c->out, CHANNEL, c->frame_max, &m), "basic.publish");
	flush_out(c);
}

static void send_messages(struct client *c, struct str queue, unsigned count, size_t size)
{
	char *body = malloc(size + 1);
	uint64_t confirmed = 0;

	memset(body, 'x', size);
	(void)ask(c, CHANNEL, (struct amqp_method){ AMQP_CONFIRM_SELECT });
	(void)ask(c, CHANNEL,
		  (struct amqp_method){ AMQP_EXCHANGE_DECLARE,
					.exchange_declare = { STR("voxbus.test"), STR("topic"),
							      .durable = true } });
	(void)ask(c, CHANNEL,
		  (struct amqp_method){ AMQP_QUEUE_DECLARE,
					.queue_declare = { queue, .durable = true } });
	(void)ask(c, CHANNEL,
		  (struct amqp_method){ AMQP_QUEUE_BIND, .queue_bind = { queue, STR("voxbus.test"),
									 STR("calls.#") } });
	for (unsigned i = 0; i < count; i++)
		publish(c, STR("voxbus.test"), STR("calls.one"), false, str_make(body, size));
	while (confirmed < count) {
		struct amqp_message m = hear_only(c, AMQP_BASIC_ACK);

		confirmed = m.method.ack.delivery_tag;
	}
	printf("confirmed %u\n", count);
	free(body);
}

static void show(const struct amqp_message *m)
{
	struct str rest = m->properties.headers;
	struct amqp_entry e;
	unsigned long sum = 0;

	for (size_t i = 0; i < m->body.n; i++)
		sum += (unsigned char)m->body.p[i];
	printf("message key=%.*s type=%.*s size=%zu sum=%lu headers=",
	       STR_ARG(m->method.deliver.routing_key), STR_ARG(m->properties.content_type),
	       m->body.n, sum);
	while (amqp_table_next(&rest, &e))
		printf("%.*s:%c,", STR_ARG(e.name), e.value.type);
	printf("\n");
}

static void receive_messages(struct client *c, struct str queue, unsigned count)
{
	struct amqp_message m;

	(void)ask(c, CHANNEL,
		  (struct amqp_method){ AMQP_BASIC_QOS, .qos = { 0, PREFETCH, false } });
	(void)ask(c, CHANNEL,
		  (struct amqp_method){ AMQP_BASIC_CONSUME, .consume = { queue, STR("tag") } });
	for (unsigned i = 0; i < count; i++) {
		m = hear_only(c, AMQP_BASIC_DELIVER);
		show(&m);
		say(c, CHANNEL,
		    (struct amqp_method){ AMQP_BASIC_ACK,
					  .ack = { m.method.deliver.delivery_tag, false } });
	}
	say(c, CHANNEL, (struct amqp_method){ AMQP_BASIC_CANCEL, .cancel = { STR("tag") } });
	do /* what was prefetched goes back when the channel closes */
		m = hear(c);
	while (m.method.id == AMQP_BASIC_DELIVER);
	if (m.method.id != AMQP_BASIC_CANCEL_OK)
		die("basic.cancel", amqp_method_name(m.method.id));
}

static void send_to_nobody(struct client *c, struct str key)
{
	struct amqp_message m;

	publish(c, STR(""), key, true, STR("lost"));
	m = hear_only(c, AMQP_BASIC_RETURN);
	printf("returned %u %.*s body=%.*s\n", m.method.returned.code,
	       STR_ARG(m.method.returned.text), STR_ARG(m.body));
}

static void look_for(struct client *c, struct str queue)
{
	struct amqp_message m;

	say(c, CHANNEL,
	    (struct amqp_method){ AMQP_QUEUE_DECLARE,
				  .queue_declare = { queue, .passive = true } });
	m = hear_only(c, AMQP_CHANNEL_CLOSE);
	printf("channel closed %u for %s\n", m.method.close.code,
	       amqp_method_name(AMQP_ID(m.method.close.class_id, m.method.close.method_id)));
	say(c, CHANNEL, (struct amqp_method){ AMQP_CHANNEL_CLOSE_OK });
	(void)ask(c, CHANNEL, (struct amqp_method){ AMQP_CHANNEL_OPEN });
}

int main(int argc, char **argv)
{
	static struct client c = { .frame_max = AMQP_FRAME_MIN };
	unsigned count = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
	struct amqp_uri uri;
	struct err e = { "" };

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 4)
		die("usage", "amqp-client URL send|receive|return|missing NAME [COUNT [SIZE]]");
	if (amqp_uri_parse(str_from(argv[1]), &uri, &e) < 0)
		die("URL", e.text);
	amqp_frame_reader_init(&c.frames);
	amqp_assembly_init(&c.assembly, BODY_MAX);
	buf_init(&c.out, OUT_MAX);
	connect_to(&c, &uri);
	log_in(&c, &uri);
	if (strcmp(argv[2], "send") == 0)
		send_messages(&c, str_from(argv[3]), count,
			      argc > 5 ? strtoul(argv[5], NULL, 10) : 0);
	else if (strcmp(argv[2], "receive") == 0)
		receive_messages(&c, str_from(argv[3]), count);
	else if (strcmp(argv[2], "return") == 0)
		send_to_nobody(&c, str_from(argv[3]));
	else
		look_for(&c, str_from(argv[3]));
	log_out(&c);
	amqp_uri_fini(&uri);
	amqp_frame_reader_fini(&c.frames);
	amqp_assembly_fini(&c.assembly);
	buf_fini(&c.out);
	(void)close(c.fd);
	return 0;
}
